"""Attempts: retries, skips, unknown outcomes and what a person decides; events that cannot have happened."""

from __future__ import annotations

import pytest

from weft import commands
from weft import event_types as events
from weft.core.scheduler import Scheduler
from weft.errors import ErrorData, IllegalEvent
from weft.graph.model import Graph
from weft.policy import Retry
from weft.testing import Hang, Script, SimulatedRun, block, failed, foreach, graph

LOST = failed("connection lost", retryable=True, unknown=True)
BUSY = failed("503", retryable=True)


def started(g: Graph, **options: object) -> Scheduler:
    s = Scheduler(g, **options)  # type: ignore[arg-type]
    s.handle(events.RunStarted(run="r", workflow="w"))
    s.close_batch()
    s.handle(events.BatchDurable())
    return s


# -- retry ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (Retry(4, "fixed", 2.0, jitter="none"), [2.0, 2.0, 2.0]),
        (Retry(4, "linear", 2.0, jitter="none"), [2.0, 4.0, 6.0]),
        (Retry(4, "exponential", 2.0, jitter="none"), [2.0, 4.0, 8.0]),
        (Retry(5, "exponential", 2.0, cap=5.0, jitter="none"), [2.0, 4.0, 5.0, 5.0]),
        (Retry(4, "exponential", 2.0), [1.0, 2.0, 4.0]),  # drawn: 0.5
    ],
)
def test_attempts_are_numbered_from_one_and_wait_as_the_policy_says(retry: Retry, delays: list[float]) -> None:
    run = SimulatedRun(Scheduler(graph("a", a={"retry": retry})), Script(outcomes={"a": BUSY}, draw=0.5, otherwise=0.0))
    assert run.run() == "failed"
    waits = [e for e in run.recorded if isinstance(e, events.RetryScheduled)]
    assert [e.delay for e in waits] == delays
    assert [e.attempt for e in waits] == list(range(2, len(delays) + 2))
    assert [n for _, _, n in run.performed] == list(range(1, len(delays) + 2))
    assert run.now == sum(delays)


def test_what_the_other_side_asked_for_is_a_lower_bound() -> None:
    run = SimulatedRun(
        Scheduler(graph("a", a={"retry": Retry(2, base=1.0)})),
        Script(outcomes={"a": [failed(retryable=True, retry_after=60.0), None]}, otherwise=0.0),
    )
    assert (run.run(), run.now) == ("succeeded", 60.0)


def test_a_retry_says_which_it_is() -> None:
    run = SimulatedRun(Scheduler(graph("a", a={"retry": Retry(3)})), Script(outcomes={"a": [BUSY, BUSY, None]}))
    run.run()
    starts = [e.reason for e in run.recorded if isinstance(e, events.AttemptStarted)]
    assert starts == ["new", "retry 1 of 2", "retry 2 of 2"]


def test_what_is_not_worth_it_is_not_retried() -> None:
    run = SimulatedRun(Scheduler(graph("a", a={"retry": Retry(3)})), Script(outcomes={"a": failed("404")}))
    assert (run.run(), len(run.performed)) == ("failed", 1)


@pytest.mark.parametrize(("agreed", "status"), [(True, "ready"), (False, None)])
def test_the_retrys_own_condition_decides_over_the_error(agreed: bool, status: str | None) -> None:
    s = started(graph("a", a={"retry": Retry(3, conditional=True)}))
    s.handle(events.AttemptFailed(path="a", error=failed(retryable=not agreed), agreed=agreed))
    found = s.find("a")
    assert (found and found.status.word) == status


def test_a_node_that_waits_for_its_retry_holds_no_slot() -> None:
    g = graph("a b", a={"retry": Retry(2, base=10.0, jitter="none")})
    run = SimulatedRun(Scheduler(g, jobs=1), Script(outcomes={"a": [BUSY, None]}))
    run.run()
    assert run.started_at == {"a": 0.0, "b": 1.0}
    assert run.now == 12.0


def test_retries_go_on_when_a_sibling_has_failed_and_finishes() -> None:
    g = graph("a x; queued", a={"retry": Retry(2, base=5.0, jitter="none")})
    run = SimulatedRun(Scheduler(g, jobs=2), Script({"x": 2.0}, {"a": [BUSY, None], "x": failed()}))
    assert run.run() == "failed"
    assert run.statuses == {
        "a": "succeeded",
        "x": "failed",
        "queued": "succeeded",
    }  # queued got a's slot before x failed


def test_a_retry_that_waits_for_a_slot_when_a_sibling_fails_goes_on_as_well() -> None:
    g = graph("a x y", a={"retry": Retry(2, base=0.5, jitter="none")})
    script = Script({"x": 2.0, "y": 9.0}, {"a": [BUSY, None], "x": failed()})
    run = SimulatedRun(Scheduler(g, jobs=2), script)
    assert run.run() == "failed"
    assert run.started_at == {"a": 0.0, "x": 0.0, "y": 1.0}  # a's turn would be at 1.5, x fails at 2
    assert run.statuses == {"a": "succeeded", "x": "failed", "y": "succeeded"}


def test_attempts_of_earlier_sittings_are_counted_but_not_held_against_it() -> None:
    run = SimulatedRun(
        Scheduler(graph("a", a={"retry": Retry(2, base=0.0)}), prior={"a": 5}), Script(outcomes={"a": BUSY})
    )
    assert run.run() == "failed"
    assert [n for _, _, n in run.performed] == [6, 7]


# -- skips ------------------------------------------------------------------------------------------------------------


def test_a_step_that_skips_itself_counts_as_done() -> None:
    run = SimulatedRun(Scheduler(graph("a -> b")), Script(outcomes={"a": failed(type="Skipped")}))
    assert (run.run(), run.statuses) == ("succeeded", {"a": "skipped", "b": "succeeded"})


def test_a_step_may_skip_its_dependents_too() -> None:
    run = SimulatedRun(Scheduler(graph("a -> b -> c; d")), Script(outcomes={"a": failed(type="SkippedWithDependents")}))
    assert run.run() == "succeeded"
    assert run.statuses == {"a": "skipped", "b": "skipped", "c": "skipped", "d": "succeeded"}


def test_an_attempt_that_says_it_was_cancelled_when_nobody_asked_has_failed() -> None:
    run = SimulatedRun(Scheduler(graph("a -> b")), Script(outcomes={"a": failed(type="Cancelled")}))
    assert (run.run(), run.statuses) == ("failed", {"a": "failed"})


# -- once, decisions --------------------------------------------------------------------------------------------------

ONCE = graph("a -> b; c", a={"effect": "once"})


def decided(answer: str) -> SimulatedRun:
    run = SimulatedRun(Scheduler(ONCE), Script({"c": 5.0}, {"a": [LOST, None]}))
    assert run.run() == "waiting"
    run.status = ""
    run.post(events.DecisionMade(path="a", answer=answer))
    run.tick()
    run.run()
    return run


def test_an_unknown_outcome_of_a_once_node_waits_for_a_person_when_nothing_else_can_go_on() -> None:
    run = SimulatedRun(Scheduler(ONCE), Script({"c": 5.0}, {"a": LOST}))
    assert (run.run(), run.now) == ("waiting", 5.0)
    (asked,) = [e for e in run.recorded if isinstance(e, events.DecisionNeeded)]
    assert asked.question == "did attempt 1 of a take effect? (connection lost)"


@pytest.mark.parametrize(
    ("answer", "status", "statuses", "attempts"),
    [
        ("done", "succeeded", {"a": "succeeded", "b": "succeeded", "c": "succeeded"}, 1),
        ("retry", "succeeded", {"a": "succeeded", "b": "succeeded", "c": "succeeded"}, 2),
        ("fail", "failed", {"a": "failed", "c": "succeeded"}, 1),
    ],
)
def test_a_decision_settles_it(answer: str, status: str, statuses: dict[str, str], attempts: int) -> None:
    run = decided(answer)
    assert (run.status, run.statuses) == (status, statuses)
    assert [n for _, p, n in run.performed if p == "a"] == list(range(1, attempts + 1))


def test_a_decision_to_fail_lets_the_fallback_in() -> None:
    g = graph("a -> b", a={"effect": "once", "fallback": graph("f", chain=True)})
    run = SimulatedRun(Scheduler(g), Script(outcomes={"a": LOST}))
    assert run.run() == "waiting"
    run.status = ""
    run.post(events.DecisionMade(path="a", answer="fail"))
    run.tick()
    assert (run.run(), run.statuses) == ("succeeded", {"a": "succeeded", "f": "succeeded", "b": "succeeded"})


def test_a_known_failure_of_a_once_node_is_a_failure() -> None:
    run = SimulatedRun(Scheduler(ONCE), Script(outcomes={"a": failed("refused", retryable=True)}))
    assert run.run() == "failed"


def test_waiting_wins_over_failed_and_the_rollback_comes_after_the_decision() -> None:
    g = graph("a x c", a={"effect": "once"}, c={"compensation": graph("undo")})
    run = SimulatedRun(Scheduler(g), Script({"x": 2.0}, {"a": LOST, "x": failed()}))
    assert run.run() == "waiting"
    assert not [e for e in run.recorded if isinstance(e, events.CompensationStarted)]
    run.status = ""
    run.post(events.DecisionMade(path="a", answer="done"))
    run.tick()
    assert run.run() == "failed"
    assert run.scheduler.undo.rolled_back == ["c"]


def test_a_run_that_waits_for_an_answer_is_not_waiting_for_a_person_yet() -> None:
    s = started(graph("a; e", a={"effect": "once"}, e=foreach("x")))  # nobody has said yet how many items e has
    s.handle(events.AttemptFailed(path="a", error=LOST))
    s.close_batch()
    assert s.finished == ""


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (events.DecisionMade(path="c", answer="done"), "c is running: there is nothing to decide"),
        (
            events.DecisionMade(path="zz", answer="done"),
            "zz is not alive: it has ended, was never reached, or is not of this graph",
        ),
        (events.DecisionMade(path="a", answer="maybe"), "'maybe' is not an answer: it is done, retry or fail"),
        (events.AttemptSucceeded(path="a"), "a is waiting: attempt 1 is not running"),
        (events.AttemptSucceeded(path="c", attempt=2), "c is running: attempt 2 is not running"),
        (events.AttemptStarted(path="c"), "attempts start by command, not by event"),
        (events.AttemptSucceeded(path="g"), "g is a block and has no attempts"),
        (events.ChoiceMade(path="c", taken=0), "c has asked nothing"),
        (events.LoopChecked(path="g", round=0, go_on=True), "g has asked nothing"),
        (events.BlockTimedOut(path="c", error=LOST), "c is not a running block"),
        (events.IterationBroken(path="c"), "c is not at a break"),
        (events.CompensationSucceeded(path="c"), "c is not being compensated"),
        (events.RunStarted(run="r", workflow="w"), "the run has started already"),
    ],
)
def test_what_cannot_have_happened_is_refused_and_changes_nothing(event: events.Event, message: str) -> None:
    s = started(graph("a c g", a={"effect": "once"}, g=block("group", "x")))
    s.handle(events.AttemptFailed(path="a", error=LOST))
    before = {path: (i.status, i.attempt, i.asked) for path, i in s.open.items()}
    with pytest.raises(IllegalEvent) as refusal:
        s.handle(event)
    assert str(refusal.value) == message
    assert {path: (i.status, i.attempt, i.asked) for path, i in s.open.items()} == before
    assert s.close_batch() == []


def test_a_cancellation_before_the_start_is_refused() -> None:
    with pytest.raises(IllegalEvent, match="the run has not started"):
        Scheduler(graph("a")).handle(events.CancelRequested())


def test_a_run_in_which_an_attempt_never_ends_hangs_and_the_simulation_says_so() -> None:
    s = started(graph("a"))
    run = SimulatedRun.__new__(SimulatedRun)
    run.scheduler, run.status = s, ""
    run._committing, run._timeline = True, []
    with pytest.raises(Hang, match=r"\{'a': 'running'\}"):
        run.tick()


def test_an_error_is_data() -> None:
    assert failed("x", type="T") == ErrorData("T", "x")


def test_a_late_timer_of_a_node_that_was_cancelled_is_no_fault() -> None:
    s = started(graph("a", a={"retry": Retry(2)}))
    (_, timer) = s.handle(events.AttemptFailed(path="a", error=BUSY))
    assert isinstance(timer, commands.SetTimer)
    s.handle(events.CancelRequested())
    assert s.handle(events.TimerFired(path="a")) == []
