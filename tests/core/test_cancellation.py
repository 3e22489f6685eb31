"""Cancellation: starts nothing, ends everything, is final; and its races."""

from __future__ import annotations

import itertools

import pytest

from weft import event_types as events
from weft.core.scheduler import Scheduler
from weft.graph.model import Graph
from weft.policy import Retry
from weft.testing import Script, SimulatedRun, block, failed, foreach, graph, parallel

UNDO = {"compensation": graph("undo")}


def cancelled(g: Graph, after: float, *, timeout: bool = False, jobs: int = 10, **script: object) -> SimulatedRun:
    run = SimulatedRun(Scheduler(g, jobs=jobs), Script(**script))  # type: ignore[arg-type]
    run.post(events.CancelRequested(by="me", reason="enough", timeout=timeout), after)
    run.run()
    return run


def test_a_cancelled_run_starts_nothing_and_ends_everything() -> None:
    g = graph("a -> b; p; e; q1 q2", p=parallel("x x2", "y"), e=foreach("z", concurrency=2))
    run = cancelled(g, 0.5, jobs=5, answers={"e": 9})
    assert (run.status, run.now) == ("cancelled", 0.5)
    assert sorted(run.started_at) == ["a", "e[0]/z", "e[1]/z", "x", "y"]
    assert set(run.statuses.values()) == {"cancelled"}


def test_a_step_that_takes_its_time_to_stop_is_waited_for() -> None:
    run = cancelled(graph("a -> b"), 0.5, durations={"a": 99.0}, stubborn={"a": 3.0})
    assert (run.status, run.now, run.statuses) == ("cancelled", 3.5, {"a": "cancelled"})


def test_a_success_that_was_faster_than_its_cancellation_is_recorded_and_compensated() -> None:
    run = cancelled(graph("a -> b", a=UNDO), 0.5, stubborn={"a": None})
    assert run.status == "cancelled"
    assert run.statuses == {"a": "succeeded"}
    assert run.scheduler.undo.rolled_back == ["a"]


def test_a_failure_of_its_own_that_was_faster_is_kept_as_a_failure() -> None:
    run = cancelled(
        graph("a", a={"retry": Retry(5), "fallback": graph("f")}),
        0.5,
        stubborn={"a": None},
        outcomes={"a": failed(retryable=True)},
    )
    assert (run.status, run.statuses, list(run.started_at)) == ("cancelled", {"a": "failed"}, ["a"])


def test_what_waits_for_its_retry_is_cancelled_and_undone() -> None:
    g = graph("a", a={"retry": Retry(3, base=60.0, jitter="none"), **UNDO})
    run = cancelled(g, 5.0, outcomes={"a": failed(retryable=True)})
    assert run.status == "cancelled"
    assert [n for _, _, n in run.performed] == [1]
    assert run.scheduler.undo.rolled_back == ["a"]


def test_a_run_out_of_time_is_cancelled_inside_and_ends_as_failed() -> None:
    assert cancelled(graph("a"), 0.5, timeout=True).status == "failed"


def test_a_second_request_changes_nothing() -> None:
    run = SimulatedRun(Scheduler(graph("a", a=UNDO)), Script(stubborn={"a": 1.0}))
    for delay in (0.5, 0.7, 1.6):  # before, and while the rollback runs
        run.post(events.CancelRequested(), delay)
    assert run.run() == "cancelled"
    assert run.scheduler.undo.rolled_back == ["a"]


def test_a_request_during_the_rollback_of_a_failed_run_does_not_stop_it() -> None:
    g = graph("a -> b -> x", a=UNDO, b=UNDO)
    run = SimulatedRun(Scheduler(g), Script(outcomes={"x": failed()}))
    run.post(events.CancelRequested(), 3.5)
    assert run.run() == "failed"
    assert run.scheduler.undo.rolled_back == ["b", "a"]


def test_a_request_after_the_end_changes_nothing() -> None:
    run = SimulatedRun(Scheduler(graph("a")))
    assert run.run() == "succeeded"
    run.scheduler.handle(events.CancelRequested())
    assert run.scheduler.finished == "succeeded"


def test_a_once_node_that_waits_for_a_decision_is_forgone_and_undone() -> None:
    g = graph("a c", a={"effect": "once", **UNDO})
    run = cancelled(g, 2.0, durations={"c": 9.0}, outcomes={"a": failed(unknown=True)})
    assert run.status == "cancelled"
    assert run.scheduler.undo.rolled_back == ["a"]


def test_out_of_time_a_once_node_still_waits_for_its_decision() -> None:
    g = graph("a c", a={"effect": "once"})
    run = cancelled(g, 2.0, timeout=True, durations={"c": 9.0}, outcomes={"a": failed(unknown=True)})
    assert (run.status, run.statuses) == ("waiting", {"c": "cancelled"})


def test_a_run_that_waits_can_be_cancelled() -> None:
    run = SimulatedRun(Scheduler(graph("a", a={"effect": "once"})), Script(outcomes={"a": failed(unknown=True)}))
    assert run.run() == "waiting"
    run.status = ""
    run.post(events.CancelRequested())
    run.tick()
    assert run.run() == "cancelled"


def test_a_block_that_was_stopped_is_cancelled_and_one_that_never_began_leaves_no_trace() -> None:
    g = graph("p q", p=block("group", "x", **UNDO), q=block("group", "y", **UNDO))
    run = cancelled(g, 0.5, jobs=1)
    assert run.status == "cancelled"
    assert run.scheduler.undo.rolled_back == ["p"]


@pytest.mark.parametrize("order", list(itertools.permutations(["success", "cancel", "failure"])))
def test_in_every_order_of_the_same_instant_there_is_one_outcome_per_attempt(order: tuple[str, ...]) -> None:
    """a succeeds, b fails, and somebody cancels, all at once: c was running, d never starts."""
    s = Scheduler(graph("a b c -> d", a=UNDO, b=UNDO, c=UNDO))
    s.handle(events.RunStarted(run="r", workflow="w"))
    s.close_batch()
    s.handle(events.BatchDurable())
    happening = {
        "success": events.AttemptSucceeded(path="a"),
        "failure": events.AttemptFailed(path="b", error=failed()),
        "cancel": events.CancelRequested(),
    }
    for name in order:
        s.handle(happening[name])
    s.handle(events.AttemptFailed(path="c", error=failed(type="Cancelled")))
    s.close_batch()
    assert sorted(path for path, _ in s.undo.left) == ["a", "b", "c"]
    assert dict(s.undo.left)["a"] is True
    assert (s.cancelled, s.undo.status) == ("cancelled", "cancelled")
