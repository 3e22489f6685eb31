"""Policies, by name: what a failure stops, what goes on, how the run ends."""

from __future__ import annotations

import pytest

from weft import event_types as events
from weft.core.scheduler import Scheduler
from weft.graph.model import Graph
from weft.policy import FailurePolicy, Retry
from weft.testing import Script, SimulatedRun, block, failed, foreach, graph, parallel


def finished(g: Graph, on_failure: FailurePolicy = "finish", jobs: int = 10, **script: object) -> SimulatedRun:
    run = SimulatedRun(Scheduler(g, on_failure=on_failure, jobs=jobs), Script(**script))  # type: ignore[arg-type]
    run.run()
    return run


def errors(run: SimulatedRun) -> list[str]:
    return [e.path for e in run.recorded if isinstance(e, events.AttemptFailed) and e.error.type != "Cancelled"]


# x fails at 1 s; long runs to 5 s; queued never had a slot; after needs x; beside needs long
TOP = graph("x -> after; long -> beside; queued")
DURATIONS = {"x": 1.0, "long": 5.0, "after": 1.0, "beside": 1.0, "queued": 3.0}


@pytest.mark.parametrize(
    ("policy", "status", "statuses", "end"),
    [
        ("finish", "failed", {"x": "failed", "long": "succeeded"}, 5.0),
        ("cancel", "failed", {"x": "failed", "long": "cancelled"}, 1.0),
        (
            "continue",
            "issues",
            {"x": "failed", "long": "succeeded", "after": "skipped", "beside": "succeeded", "queued": "succeeded"},
            6.0,
        ),
    ],
)
def test_the_three_policies_at_the_top(
    policy: FailurePolicy, status: str, statuses: dict[str, str], end: float
) -> None:
    run = finished(TOP, policy, jobs=2, durations=DURATIONS, outcomes={"x": failed()})
    assert (run.status, run.statuses, run.now) == (status, statuses, end)


@pytest.mark.parametrize(
    ("policy", "status", "statuses"),
    [
        ("finish", "failed", {"x": "failed", "slow": "succeeded", "p": "failed"}),
        ("cancel", "failed", {"x": "failed", "slow": "cancelled", "p": "failed"}),
        (
            "continue",
            "issues",
            {
                "x": "failed",
                "x2": "skipped",
                "slow": "succeeded",
                "slow2": "succeeded",
                "p": "succeeded",
                "z": "succeeded",
            },
        ),
    ],
)
def test_the_three_policies_in_a_parallel(policy: FailurePolicy, status: str, statuses: dict[str, str]) -> None:
    g = graph("p -> z", p=parallel("x x2", "slow slow2", on_failure=policy))
    run = finished(g, durations={"slow": 3.0}, outcomes={"x": failed()})
    assert (run.status, run.statuses) == (status, statuses)


@pytest.mark.parametrize(
    ("policy", "status", "started"),
    [
        ("finish", "failed", ["each[0]/x", "each[1]/x"]),
        ("cancel", "failed", ["each[0]/x", "each[1]/x"]),
        ("continue", "issues", ["each[0]/x", "each[1]/x", "each[2]/x", "each[1]/y", "each[2]/y", "z"]),
    ],
)
def test_the_three_policies_in_a_foreach(policy: FailurePolicy, status: str, started: list[str]) -> None:
    g = graph("each -> z", each=foreach("x y", concurrency=2, on_failure=policy))
    run = finished(g, answers={"each": 3}, durations={"each[1]/x": 2.0}, outcomes={"each[0]/x": failed()})
    assert (run.status, sorted(run.started_at)) == (status, sorted(started))
    if policy == "cancel":
        assert run.statuses["each[1]/x"] == "cancelled"


def test_a_foreach_under_continue_has_null_at_the_failed_indexes() -> None:
    g = graph("each -> z", each=foreach("x y", concurrency=9, on_failure="continue"))
    run = finished(g, answers={"each": 3}, outcomes={"each[1]/x": failed()})
    assert sorted(run.values["each"]) == [(0, "y"), (1, None), (2, "y")]
    assert run.statuses["each"] == "succeeded"
    assert run.statuses["each[1]/y"] == "skipped"


def test_under_continue_from_the_top_a_foreach_collects_and_an_if_fails() -> None:
    g = graph("each maybe -> z", each=foreach("x"), maybe=block("choice", "c d"))
    run = finished(g, "continue", answers={"each": 2}, outcomes={"each[0]/x": failed(), "c": failed()})
    assert run.status == "issues"
    assert run.statuses["each"] == "succeeded"
    assert (run.statuses["maybe"], run.statuses["d"], run.statuses["z"]) == ("failed", "skipped", "skipped")


def test_an_if_inside_a_foreach_fails_its_iteration() -> None:
    each = foreach(graph("a maybe b", chain=True, maybe=block("choice", "x y")), on_failure="continue", concurrency=5)
    run = finished(graph("each", each=each), answers={"each": 2}, outcomes={"each[0]/x": failed()})
    assert run.status == "issues"
    assert {p: s for p, s in run.statuses.items() if "[0]" in p} == {
        "each[0]/a": "succeeded",
        "each[0]/x": "failed",
        "each[0]/y": "skipped",
        "each[0]/maybe": "failed",
        "each[0]/b": "skipped",
    }
    assert run.statuses["each[1]/b"] == "succeeded"


def test_an_inner_finish_under_an_outer_continue_stops_only_the_inner_block() -> None:
    inner = graph("p", chain=True, p=parallel("x", "slow slow2", on_failure="finish"))
    g = graph("each -> z", each=foreach(inner, concurrency=2, on_failure="continue"))
    run = finished(g, answers={"each": 2}, durations={"slow": 3.0}, outcomes={"each[0]/x": failed()})
    assert run.status == "issues"
    assert "each[0]/slow2" not in run.statuses
    assert (run.statuses["each[0]/p"], run.statuses["each[1]/p"]) == ("failed", "succeeded")


def test_an_inner_continue_under_an_outer_cancel_cancels_nothing() -> None:
    g = graph("each other", each=foreach("x", on_failure="continue"))
    run = finished(g, "cancel", answers={"each": 2}, durations={"other": 9.0}, outcomes={"x": failed()})
    assert (run.status, run.statuses["other"]) == ("issues", "succeeded")


def test_an_inner_finish_under_an_outer_cancel_lets_its_own_siblings_end_and_then_cancels_the_outer_ones() -> None:
    g = graph("p other", p=parallel("x", "slow", on_failure="finish"))
    run = finished(g, "cancel", durations={"slow": 3.0, "other": 9.0}, outcomes={"x": failed()})
    assert run.status == "failed"
    assert (run.statuses["slow"], run.statuses["other"], run.now) == ("succeeded", "cancelled", 3.0)


def test_a_failure_deep_inside_stops_what_is_queued_at_the_top_at_once() -> None:
    g = graph("p -> z; queued", p=parallel("x", "slow"))
    run = finished(g, jobs=2, durations={"slow": 5.0}, outcomes={"x": failed()})
    assert sorted(run.started_at) == ["slow", "x"]


def test_all_errors_are_kept() -> None:
    run = finished(graph("a b c d"), outcomes={"a": failed(), "c": failed(), "d": failed()})
    assert (run.status, errors(run)) == ("failed", ["a", "c", "d"])


def test_an_error_that_happened_before_the_cancellation_came_is_kept() -> None:
    run = finished(graph("a b"), "cancel", outcomes={"a": failed("one"), "b": failed("two")})
    assert (run.statuses, errors(run)) == ({"a": "failed", "b": "failed"}, ["a", "b"])


def test_a_leaf_under_continue_of_its_own_is_an_issue_and_its_dependents_run() -> None:
    run = finished(graph("a -> b", a={"on_failure": "continue"}), outcomes={"a": failed()})
    assert (run.status, run.statuses) == ("issues", {"a": "failed", "b": "succeeded"})


def test_skipped_dependents_say_why() -> None:
    run = finished(graph("a -> b -> c"), "continue", outcomes={"a": failed()})
    skips = [(e.path, e.reason) for e in run.recorded if isinstance(e, events.NodeSkipped)]
    assert skips == [("b", "a failed"), ("c", "a failed")]


def test_a_failed_block_says_what_made_it_fail() -> None:
    run = finished(graph("p", p=parallel(graph("g", chain=True, g=block("group", "x")))), outcomes={"x": failed()})
    facts = [(e.path, e.cause) for e in run.recorded if isinstance(e, events.BlockFailed)]
    assert facts == [("g", "x"), ("p", "x")]


def test_a_condition_that_cannot_be_evaluated_fails_the_node() -> None:
    run = finished(graph("a -> b", a={"conditional": True}), answers={"a": failed()})
    assert (run.status, run.statuses) == ("failed", {"a": "failed"})


def test_a_collection_that_cannot_be_evaluated_fails_the_foreach() -> None:
    run = finished(graph("each -> b", each=foreach("x")), answers={"each": failed()})
    assert (run.status, run.statuses) == ("failed", {"each": "failed"})


def test_a_loop_whose_check_says_it_may_not_go_on_fails() -> None:
    s = Scheduler(graph("l", l=block("loop", "x")))
    s.handle(events.RunStarted(run="r", workflow="w"))
    s.handle(events.LoopChecked(path="l", round=0, go_on=False, error=failed()))
    s.close_batch()
    assert s.finished == "failed"


def test_a_merge_that_cannot_be_computed_fails_the_parallel() -> None:
    run = finished(graph("p -> z", p=parallel("x", "y", merges=True)), answers={"p": failed()})
    assert (run.status, run.statuses["p"]) == ("failed", "failed")


# -- fallback ---------------------------------------------------------------------------------------------------------


def test_a_fallback_takes_over_and_its_node_has_succeeded() -> None:
    run = finished(graph("a -> b", a={"fallback": graph("f g", chain=True)}), outcomes={"a": failed()})
    assert (run.status, run.statuses["a"]) == ("succeeded", "succeeded")
    assert list(run.started_at) == ["a", "f", "g", "b"]
    assert run.values["a"] == [(0, "g")]


def test_a_fallback_comes_after_the_retries() -> None:
    g = graph("a", a={"retry": Retry(2, base=5.0, jitter="none"), "fallback": graph("f", chain=True)})
    run = finished(g, outcomes={"a": failed(retryable=True)})
    assert [(p, n) for _, p, n in run.performed] == [("a", 1), ("a", 2), ("f", 1)]


def test_a_fallback_that_fails_fails_its_node() -> None:
    g = graph("a -> b", a={"fallback": graph("f", chain=True)})
    run = finished(g, outcomes={"a": failed(), "f": failed()})
    assert (run.status, run.statuses) == ("failed", {"a": "failed", "f": "failed"})


def test_a_fallback_that_fails_under_the_nodes_own_continue_is_an_issue() -> None:
    g = graph("a -> b", a={"fallback": graph("f", chain=True), "on_failure": "continue"})
    run = finished(g, outcomes={"a": failed(), "f": failed()})
    assert (run.status, run.statuses["b"]) == ("issues", "succeeded")


def test_a_block_falls_back_too() -> None:
    g = graph("p -> z", p=parallel("x", "slow", fallback=graph("f", chain=True), on_failure="cancel"))
    run = finished(g, outcomes={"x": failed()}, durations={"slow": 9.0})
    assert (run.status, run.statuses["p"], run.statuses["slow"]) == ("succeeded", "succeeded", "cancelled")


def test_a_named_fallback_that_is_not_needed_is_skipped_and_says_so() -> None:
    g = graph(
        "a b", a={"fallback": graph("f", chain=True), "named_fallback": True}, b={"fallback": graph("u", chain=True)}
    )
    run = finished(g)
    skips = [(e.path, e.reason) for e in run.recorded if isinstance(e, events.NodeSkipped)]
    assert skips == [("f", "not needed")]


def test_a_named_fallback_that_ran_is_not_said_to_be_unneeded() -> None:
    g = graph("a", a={"fallback": graph("f", chain=True), "named_fallback": True})
    run = finished(g, outcomes={"a": failed()})
    assert not [e for e in run.recorded if isinstance(e, events.NodeSkipped)]


def test_a_fallback_stands_in_for_a_condition_that_cannot_be_evaluated() -> None:
    run = finished(graph("a", a={"conditional": True, "fallback": graph("f", chain=True)}), answers={"a": failed()})
    assert (run.status, run.statuses["a"]) == ("succeeded", "succeeded")


def test_a_running_node_falls_back_even_when_a_sibling_has_failed_and_finishes() -> None:
    g = graph("x slow", slow={"fallback": graph("f", chain=True)})
    run = finished(g, durations={"slow": 5.0}, outcomes={"x": failed(), "slow": failed()})
    assert (run.status, run.statuses["slow"]) == ("failed", "succeeded")


# -- block timeout ----------------------------------------------------------------------------------------------------


def test_a_block_that_takes_too_long_is_stopped_and_fails() -> None:
    g = graph("t -> z; other", t=block("group", "x y", timeout=2.5))
    run = finished(g, durations={"x": 2.0, "y": 2.0, "other": 9.0})
    assert run.status == "failed"
    assert run.statuses == {"x": "succeeded", "y": "cancelled", "t": "failed", "other": "succeeded"}


def test_at_its_deadline_a_block_falls_back_and_the_run_goes_on() -> None:
    g = graph("t -> z", t=block("group", "x", timeout=2.5, fallback=graph("f", chain=True)))
    run = finished(g, durations={"x": 9.0})
    assert (run.status, run.now) == ("succeeded", 4.5)
    assert run.statuses == {"x": "cancelled", "f": "succeeded", "t": "succeeded", "z": "succeeded"}


def test_a_deadline_that_comes_after_the_end_is_not_expected() -> None:
    run = finished(graph("t -> z", t=block("group", "x", timeout=1.5)))
    assert (run.status, run.now) == ("succeeded", 2.0)
    assert not [e for e in run.recorded if isinstance(e, events.BlockTimedOut)]


def test_a_deadline_of_a_cancelled_block_starts_no_fallback() -> None:
    g = graph("t", t=block("group", "x", timeout=2.0, fallback=graph("f", chain=True)))
    run = SimulatedRun(Scheduler(g), Script({"x": 9.0}, stubborn={"x": None}))
    run.post(events.CancelRequested(reason="enough"), 1.0)
    assert run.run() == "cancelled"
    assert list(run.started_at) == ["x"]
