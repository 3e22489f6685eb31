"""Resume is a fold: a replay of every prefix knows what the live scheduler knew, whatever the world did to it."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from core.drawing import Drawing
from core.world import TameWorld, World, drawn_options
from weft import event_types as events
from weft.core.limits import ReadyQueue
from weft.core.scheduler import Scheduler
from weft.core.state import Instance
from weft.errors import IllegalEvent
from weft.testing import Script, SimulatedRun, failed, foreach, graph, parallel

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))


class AnyWorld(RuleBasedStateMachine):
    """Whatever may happen to a run, in any order; the checks are in `World`."""

    @initialize(rng=st.randoms(use_true_random=False), depth=st.integers(0, 3))
    def begin(self, rng: random.Random, depth: int) -> None:
        self.world = World(rng, Drawing(rng, depth=depth).graph(), **drawn_options(rng))

    @property
    def over(self) -> bool:
        return bool(self.world.status) and self.world.status != "waiting"

    @precondition(lambda self: not self.over)
    @rule()
    def something_is_answered(self) -> None:
        self.world.answer()

    @precondition(lambda self: not self.over and self.world.running)
    @rule()
    def an_attempt_ends(self) -> None:
        self.world.end_attempt()

    @precondition(lambda self: not self.over and self.world.flying is None)
    @rule()
    def a_batch_is_closed(self) -> None:
        self.world.close()

    @precondition(lambda self: not self.over and self.world.flying is not None)
    @rule()
    def a_commit_lands(self) -> None:
        self.world.land()

    @precondition(lambda self: not self.over and self.world.timers)
    @rule()
    def a_timer_fires(self) -> None:
        self.world.fire()

    @precondition(lambda self: not self.over and self.world.deadlines)
    @rule()
    def a_deadline_passes(self) -> None:
        self.world.time_out()

    @precondition(lambda self: not self.over and self.world.undoing)
    @rule()
    def a_compensation_ends(self) -> None:
        self.world.undo()

    @precondition(lambda self: not self.over)
    @rule()
    def somebody_decides(self) -> None:
        self.world.decide()

    @precondition(lambda self: not self.over)
    @rule()
    def somebody_cancels(self) -> None:
        self.world.cancel()

    @precondition(lambda self: not self.over)
    @rule()
    def the_machine_crashes(self) -> None:
        self.world.crash()

    @rule()
    def somebody_lies(self) -> None:
        self.world.offend()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            assert self.world.settle() in ("succeeded", "issues", "failed", "cancelled")


TestAnyWorld = AnyWorld.TestCase
TestAnyWorld.settings = settings(
    max_examples=40 * SCALE,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("chunk", range(4))
def test_whatever_happens_the_run_ends_and_a_replay_knows_the_same(chunk: int) -> None:
    for seed in range(chunk * 100 * SCALE, (chunk + 1) * 100 * SCALE):
        rng = random.Random(seed)
        world = World(rng, Drawing(rng, depth=rng.randint(0, 4)).graph(), **drawn_options(rng))
        for _ in range(rng.choice([0, 20, 60, 120, 400])):
            world.step()
            if world.status not in ("", "waiting"):
                break
        assert world.settle() in ("succeeded", "issues", "failed", "cancelled"), f"seed {seed}"


@pytest.mark.parametrize("failures", [False, True])
def test_crashed_anywhere_a_run_ends_as_if_it_had_not_been_and_nothing_done_runs_again(failures: bool) -> None:
    for seed in range(120 * SCALE):
        rng = random.Random(seed)
        graph = Drawing(rng, tame=True, depth=rng.randint(0, 3)).graph()
        options = {"on_failure": "continue" if failures else "finish", "schedule": rng.choice(["dataflow", "waves"])}
        calm = TameWorld(rng, graph, seed=seed, failures=failures, **options)
        calm.checks = False
        status = calm.settle()
        for crashes in (1, 1, 3):
            world = TameWorld(rng, graph, seed=seed, failures=failures, **options)
            for _ in range(crashes):
                for _ in range(rng.randint(0, 40)):
                    act = rng.choice([world.close, world.land, world.answer, world.end_attempt, world.fire])
                    act()
                    if world.status:
                        break
                if world.status in ("", "waiting"):
                    world.crash()
            assert (world.settle(), world.finished) == (status, calm.finished), f"seed {seed}"


# -- the guard of early starts ----------------------------------------------------------------------------------------


class Eager(ReadyQueue):
    """Starts on a free slot whatever is ready, durable or not."""

    def pop(self, now: float, *, early: bool) -> Instance | None:
        return super().pop(now, early=False)


class Settling(ReadyQueue):
    """Takes what became ready while a commit was in flight for durable when that commit lands."""

    def settle(self, now: float) -> None:
        super().settle(now)
        self.close()
        super().settle(now)


def loses_order(queue: type[ReadyQueue]) -> bool:
    class Variant(Scheduler):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.queue = queue(options["jobs"], {})

    for seed in range(300):
        world = World(rng := random.Random(seed), graph("a -> b; c d -> e"), scheduler=Variant, outcomes=[None], jobs=1)
        world.checks = False
        try:
            for _ in range(60):
                rng.choice([world.close, world.land, world.end_attempt, world.answer])()
                if world.status:
                    break
        except AssertionError as error:
            if "is durable" in str(error):
                return True
    return False


def test_an_early_start_needs_durable_causes_and_without_the_guard_order_is_lost() -> None:
    assert not loses_order(ReadyQueue)
    assert loses_order(Settling)


def test_an_early_start_is_never_guarded_and_without_the_guard_it_is() -> None:
    def run() -> None:
        for seed in range(200):
            rng = random.Random(seed)
            world = World(rng, Drawing(rng, depth=0).graph(), outcomes=[None], jobs=2)
            world.scheduler.queue = Eager(2, {})
            world.checks = False
            for _ in range(60):
                rng.choice([world.close, world.land, world.end_attempt, world.answer])()

    with pytest.raises(AssertionError):
        run()


def test_while_a_commit_is_in_flight_a_free_slot_is_used_by_what_is_durable() -> None:
    g = graph("a -> after; b c d")
    run = SimulatedRun(Scheduler(g, jobs=1), Script({"b": 5.0}, otherwise=2.0), commit=10.0)
    run.run()
    # from 10 on nothing waits for a commit but `after`, which must not start before a's end is durable, at 22
    assert run.started_at == {"a": 10.0, "after": 22.0, "b": 24.0, "c": 29.0, "d": 31.0}


def test_items_of_a_concurrent_foreach_do_not_wait_for_each_others_commits() -> None:
    g = graph("e", e=foreach("x", concurrency=2))
    run = SimulatedRun(Scheduler(g, jobs=2), Script(answers={"e": 6}), commit=10.0)
    run.run()
    assert sorted(run.started_at.values()) == [10.0, 10.0, 11.0, 11.0, 12.0, 12.0]


def test_items_of_a_sequential_foreach_do() -> None:
    run = SimulatedRun(Scheduler(graph("e", e=foreach("x"))), Script(answers={"e": 3}), commit=10.0)
    run.run()
    assert list(run.started_at.values()) == [10.0, 21.0, 32.0]


def test_no_more_ends_than_a_bound_are_unrecorded() -> None:
    from weft.core.scheduler import MAX_UNRECORDED

    most = 0

    def watch(run: SimulatedRun) -> None:
        nonlocal most
        facts = [*run.flying, *run.pending]
        most = max(most, sum(isinstance(e, events.AttemptSucceeded) for e in facts))

    g = graph(" ".join(f"n{i}" for i in range(1000)))
    run = SimulatedRun(Scheduler(g, jobs=8), Script(otherwise=0.1), commit=1000.0, watch=watch)
    run.run()
    assert most == MAX_UNRECORDED


# -- what a replay must bear ------------------------------------------------------------------------------------------


def replayed(g: Any, facts: list[events.Event], **options: Any) -> Scheduler:
    s = Scheduler(g, replaying=True, **options)
    for fact in facts:
        s.handle(fact)
    return s


def test_a_replay_does_not_depend_on_slots_windows_or_order_of_iterations() -> None:
    g = graph("e", e=foreach("x", concurrency=1))
    facts = [
        events.RunStarted(run="r", workflow="w"),
        events.ForeachExpanded(path="e", count=5),
        *[events.AttemptStarted(path=f"e[{i}]/x") for i in (3, 1, 0)],
        events.AttemptSucceeded(path="e[3]/x"),
    ]
    s = replayed(g, facts)
    s.recover()
    started = [c.instance.path for c in s.close_batch() if hasattr(c, "attempt")]
    assert started == ["e[0]/x", "e[1]/x"]  # the window is 1 now, but two were lost; 3 is done, 2 and 4 come later


def test_an_iteration_beyond_the_last_cannot_have_started() -> None:
    g = graph("e", e=foreach("x"))
    s = replayed(g, [events.RunStarted(run="r", workflow="w"), events.ForeachExpanded(path="e", count=2)])
    with pytest.raises(IllegalEvent, match=r"e\[2\] cannot start"):
        s.handle(events.AttemptStarted(path="e[2]/x"))


def test_a_second_node_of_an_iteration_cannot_start_before_the_first() -> None:
    g = graph("e", e=foreach("x y", concurrency=4))
    s = replayed(g, [events.RunStarted(run="r", workflow="w"), events.ForeachExpanded(path="e", count=4)])
    with pytest.raises(IllegalEvent, match=r"e\[2\]/y is not alive"):
        s.handle(events.AttemptStarted(path="e[2]/y"))
    assert sorted(s.open) == ["e"]


def test_an_end_whose_needs_are_not_met_is_illegal() -> None:
    s = replayed(graph("a -> b"), [events.RunStarted(run="r", workflow="w")])
    with pytest.raises(IllegalEvent, match="b is not alive"):
        s.handle(events.AttemptSucceeded(path="b"))


def test_a_branch_that_the_concurrency_of_today_would_not_have_opened_is_believed() -> None:
    g = graph("p", p=parallel("a", "b", "c", concurrency=1))
    s = replayed(g, [events.RunStarted(run="r", workflow="w"), events.AttemptSucceeded(path="c")])
    s.handle(events.AttemptSucceeded(path="b"))
    s.recover()
    assert [c.instance.path for c in s.close_batch() if hasattr(c, "attempt")] == ["a"]


def test_a_lost_attempt_is_repeated_under_its_number_and_says_why() -> None:
    s = replayed(graph("a"), [events.RunStarted(run="r", workflow="w"), events.AttemptStarted(path="a")])
    s.recover()
    (start,) = s.close_batch()
    assert (start.attempt, start.reason) == (1, "resumed: outcome unknown")  # type: ignore[attr-defined]


def test_an_attempt_that_was_lost_while_it_was_being_cancelled_ends_as_if_it_had_not_been_lost() -> None:
    g = graph("p", p=parallel("a", "b", wait=1))
    starts = [events.AttemptStarted(path=path) for path in ("a", "b")]
    s = replayed(g, [events.RunStarted(run="r", workflow="w"), *starts, events.AttemptSucceeded(path="a")])
    ends = [c.event for c in s.recover() if isinstance(getattr(c, "event", None), events.AttemptFailed)]  # type: ignore
    assert [(e.path, e.error.type, e.error.message) for e in ends] == [("b", "Cancelled", "p has what it waits for")]


def test_a_lost_once_attempt_asks_a_person() -> None:
    g = graph("a", a={"effect": "once"})
    s = replayed(g, [events.RunStarted(run="r", workflow="w"), events.AttemptStarted(path="a")])
    assert [type(c.event).__name__ for c in s.recover()] == ["DecisionNeeded"]  # type: ignore[attr-defined]
    s.close_batch()
    assert s.finished == "waiting"


def test_after_waiting_the_journal_may_go_on() -> None:
    g = graph("a -> b", a={"effect": "once"})
    run = SimulatedRun(Scheduler(g), Script(outcomes={"a": failed(unknown=True)}))
    assert run.run() == "waiting"
    again = SimulatedRun(Scheduler(g, replaying=True), journal=run.journal)
    assert again.run() == "waiting"
    third = SimulatedRun(Scheduler(g, replaying=True), journal=again.journal)
    third.post(events.DecisionMade(path="a", answer="done"))
    assert third.run() == "waiting"  # it waits before it hears
    third.status = ""
    third.tick()
    assert third.run() == "succeeded"
    last = replayed(g, third.recorded)
    assert last.finished == "succeeded"


def test_a_lost_attempt_of_a_cancelled_run_is_not_repeated_and_that_is_recorded() -> None:
    g = graph("a", a={"compensation": graph("undo")})
    run = SimulatedRun(Scheduler(g), Script(stubborn={"a": 9.0}, durations={"a": 99.0}))
    run.post(events.CancelRequested(), 1.0)
    run.run(until=5.0)
    again = SimulatedRun(Scheduler(g, replaying=True), journal=run.journal)
    assert again.run() == "cancelled"
    assert again.performed == []
    assert again.scheduler.undo.rolled_back == ["a"]
    assert replayed(g, again.recorded).finished == "cancelled"


def test_a_pure_attempt_that_ran_when_others_were_stopped_has_a_record() -> None:
    g = graph("x p", p={"effect": "pure"})
    run = SimulatedRun(Scheduler(g), Script({"p": 5.0}, {"x": failed()}))
    run.run()
    names = [f"{type(e).__name__} {e.path}" for e in run.recorded if isinstance(e, events.PathEvent)]
    assert names == ["AttemptStarted x", "AttemptStarted p", "AttemptFailed x", "AttemptSucceeded p"]


def test_a_retry_that_was_waited_for_is_waited_for_again() -> None:
    from weft import commands
    from weft.policy import Retry

    g = graph("a", a={"retry": Retry(3)})
    facts = [
        events.RunStarted(run="r", workflow="w"),
        events.AttemptStarted(path="a"),
        events.AttemptFailed(path="a", error=failed(retryable=True)),
    ]
    s = replayed(g, facts)
    assert [type(c) for c in s.recover()] == [commands.SetTimer]
    assert s.close_batch() == []
