"""Rollback: which compensations run, in which order, and what a failed one does."""

from __future__ import annotations

import pytest

from weft import event_types as events
from weft.core.scheduler import Scheduler
from weft.graph.model import Graph
from weft.policy import FailurePolicy, Retry, Rollback
from weft.testing import Script, SimulatedRun, failed, foreach, graph, parallel


def undoable(text: str, **settings: dict[str, object]) -> Graph:
    """A graph of nodes that all have a compensation."""
    ids = text.replace("->", " ").replace(";", " ").split()
    return graph(text, **{i: {"compensation": graph("undo"), **settings.get(i, {})} for i in ids})


def rolled_back(
    g: Graph, rollback: Rollback = "all", on_failure: FailurePolicy = "finish", **script: object
) -> SimulatedRun:
    run = SimulatedRun(Scheduler(g, rollback=rollback, on_failure=on_failure), Script(**script))  # type: ignore[arg-type]
    run.run()
    return run


def compensated(run: SimulatedRun) -> list[str]:
    return [e.path for e in run.recorded if isinstance(e, events.CompensationStarted)]


def test_a_chain_is_undone_from_its_end() -> None:
    run = rolled_back(undoable("a -> b -> c -> d", d={"compensation": None}), outcomes={"d": failed()})
    assert (run.status, run.scheduler.undo.rolled_back) == ("failed", ["c", "b", "a"])


def test_a_diamond_is_undone_in_reverse_order_of_completion() -> None:
    g = undoable("a -> b c -> d", d={"compensation": None})
    run = rolled_back(g, durations={"b": 5.0, "c": 2.0}, outcomes={"d": failed()})
    assert run.scheduler.undo.rolled_back == ["b", "c", "a"]


def test_what_was_started_and_never_completed_is_undone_first() -> None:
    g = undoable("a b c")
    run = rolled_back(g, durations={"a": 1.0, "b": 2.0, "c": 3.0}, outcomes={"b": failed()})
    assert run.scheduler.undo.rolled_back == ["b", "c", "a"]
    assert run.status == "failed"


def test_what_never_started_is_not_undone() -> None:
    run = rolled_back(undoable("x -> y; p", p={"conditional": True}), outcomes={"x": failed()}, answers={"p": False})
    assert compensated(run) == ["x"]


def test_a_cancelled_run_is_rolled_back_too() -> None:
    run = SimulatedRun(Scheduler(undoable("a -> b")))
    run.post(events.CancelRequested(), 1.5)
    assert run.run() == "cancelled"
    assert run.scheduler.undo.rolled_back == ["b", "a"]


@pytest.mark.parametrize("script", [{}, {"outcomes": {"b": failed()}}])
def test_a_run_that_succeeds_or_has_issues_is_not(script: dict[str, object]) -> None:
    run = rolled_back(undoable("a -> b"), on_failure="continue", **script)
    assert (run.status in ("succeeded", "issues"), compensated(run)) == (True, [])


def test_with_rollback_none_nothing_is_undone() -> None:
    run = rolled_back(undoable("a -> b"), "none", outcomes={"b": failed()})
    assert (run.status, compensated(run)) == ("failed", [])


def test_with_dependencies_only_what_the_failed_node_needed_is_undone() -> None:
    g = undoable("a -> b -> x; c -> d; e -> x")
    run = rolled_back(g, "dependencies", outcomes={"x": failed()}, durations={"d": 0.5, "b": 2.0})
    assert run.scheduler.undo.rolled_back == ["x", "b", "e", "a"]


def test_with_dependencies_a_failed_iteration_does_not_undo_its_siblings() -> None:
    inner = graph("x y", chain=True, x={"compensation": graph("undo")})
    g = graph("a each", a={"compensation": graph("undo")}, each=foreach(inner, concurrency=2))
    run = rolled_back(g, "dependencies", answers={"each": 2}, outcomes={"each[1]/y": failed()})
    assert run.scheduler.undo.rolled_back == ["each[1]/x"]
    run = rolled_back(g, "all", answers={"each": 2}, outcomes={"each[1]/y": failed()})
    assert sorted(run.scheduler.undo.rolled_back) == ["a", "each[0]/x", "each[1]/x"]


def test_a_compensation_that_fails_is_retried_then_reported_and_stops_nobody() -> None:
    g = undoable(
        "a -> b -> c -> x", x={"compensation": None}, b={"compensation_retry": Retry(3, base=2.0, jitter="none")}
    )
    run = rolled_back(g, outcomes={"x": failed()}, undo={"b": failed("cannot")})
    assert run.status == "failed"
    assert (run.scheduler.undo.rolled_back, run.scheduler.undo.failed) == (["c", "a"], ["b"])
    assert compensated(run) == ["c", "b", "b", "b", "a"]
    assert run.now == 4 + 1 + (1 + 2 + 1 + 4 + 1) + 1  # the run, c, three tries of b with their waits, a


def test_a_compensation_that_works_the_second_time_counts_as_done() -> None:
    g = undoable("a -> x", x={"compensation": None})
    run = rolled_back(g, outcomes={"x": failed()}, undo={"a": [failed(), None]})
    assert (run.scheduler.undo.rolled_back, run.scheduler.undo.failed) == (["a"], [])


def test_compensations_run_one_after_the_other() -> None:
    g = undoable("a b c -> x", x={"compensation": None})
    run = rolled_back(g, outcomes={"x": failed()}, durations={"undo c": 5.0})
    facts = [(type(e).__name__, e.path) for e in run.recorded if "Compensation" in type(e).__name__]
    assert facts == [(n, p) for p in "cba" for n in ("CompensationStarted", "CompensationSucceeded")]


def test_what_was_done_inside_blocks_is_undone_and_so_are_blocks() -> None:
    branch = graph("x", chain=True, x={"compensation": graph("undo")})
    g = graph("p -> z", p=parallel(branch, "y", compensation=graph("undo")))
    run = rolled_back(g, outcomes={"z": failed()})
    assert run.scheduler.undo.rolled_back == ["p", "x"]


def test_a_loser_of_a_race_is_undone() -> None:
    slow = graph("slow", chain=True, slow={"compensation": graph("undo")})
    run = rolled_back(
        graph("p -> z", p=parallel("fast", slow, wait=1)), durations={"slow": 9.0}, outcomes={"z": failed()}
    )
    assert run.scheduler.undo.rolled_back == ["slow"]


def test_a_node_that_its_fallback_saved_is_undone_once() -> None:
    g = graph("a -> x", a={"compensation": graph("undo"), "fallback": graph("f", chain=True)})
    run = rolled_back(g, outcomes={"a": failed(), "x": failed()})
    assert run.scheduler.undo.rolled_back == ["a"]


def test_interrupted_no_further_compensation_begins_and_a_resume_goes_on_with_the_next() -> None:
    g = undoable("a -> b -> c -> x", x={"compensation": None})
    script = Script(outcomes={"x": failed()})
    run = SimulatedRun(Scheduler(g), script)
    run.post(events.Interrupted(), 5.5)
    with pytest.raises(AssertionError, match="nothing can happen any more"):
        run.run()
    assert compensated(run) == ["c", "b"]
    again = SimulatedRun(Scheduler(g, replaying=True), script, journal=run.journal)
    assert again.run() == "failed"
    assert compensated(again) == ["c", "b", "a"]
    assert again.scheduler.undo.rolled_back == ["c", "b", "a"]


def test_a_crash_in_the_middle_resumes_in_the_middle() -> None:
    g = undoable("a -> b -> x", x={"compensation": None}, b={"effect": "once"})
    script = Script(outcomes={"x": failed()})
    whole = SimulatedRun(Scheduler(g), script)
    whole.run()
    for cut in range(1, len(whole.journal)):
        again = SimulatedRun(Scheduler(g, replaying=True), script, journal=whole.journal[:cut])
        status = again.run()
        if status == "waiting":  # the cut was between b's start and its end
            continue
        assert status == "failed"
        done = [e.path for e in again.recorded if isinstance(e, events.CompensationSucceeded)]
        assert done == ["b", "a"]
