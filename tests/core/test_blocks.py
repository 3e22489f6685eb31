"""Blocks: parallel with its waits, choice, foreach and its breaks, loops and their values."""

from __future__ import annotations

import pytest

from weft import commands
from weft import event_types as events
from weft.core.blocks import Foreach
from weft.core.scheduler import Scheduler
from weft.errors import IllegalEvent
from weft.graph.model import Graph
from weft.testing import Script, SimulatedRun, block, failed, foreach, graph, parallel


def finished(g: Graph, jobs: int = 10, **script: object) -> SimulatedRun:
    run = SimulatedRun(Scheduler(g, jobs=jobs), Script(**script))  # type: ignore[arg-type]
    run.run()
    return run


def winners(run: SimulatedRun, path: str = "p") -> list[int]:
    return [index for index, node in run.values[path] if node is not None]


# -- parallel ---------------------------------------------------------------------------------------------------------


def test_any_takes_the_first_success_and_cancels_the_losers() -> None:
    run = finished(graph("p -> z", p=parallel("a a2", "b", "c", wait=1)), durations={"a": 5.0, "b": 2.0, "c": 3.0})
    assert run.status == "succeeded"
    assert run.statuses == {"a": "cancelled", "b": "succeeded", "c": "cancelled", "p": "succeeded", "z": "succeeded"}
    assert (winners(run), run.now) == ([1], 3.0)


def test_any_survives_failures_as_long_as_one_can_succeed() -> None:
    run = finished(
        graph("p -> z", p=parallel("a", "b", "c", wait=1)),
        durations={"c": 5.0},
        outcomes={"a": failed(), "b": failed()},
    )
    assert (run.status, winners(run)) == ("succeeded", [2])


def test_any_fails_with_all_errors_when_all_have_failed() -> None:
    run = finished(graph("p -> z", p=parallel("a", "b", wait=1)), outcomes={"a": failed(), "b": failed()})
    assert (run.status, run.statuses) == ("failed", {"a": "failed", "b": "failed", "p": "failed"})


def test_n_takes_the_first_n_in_order_of_completion() -> None:
    run = finished(graph("p", p=parallel("a", "b", "c", wait=2)), durations={"a": 3.0, "b": 2.0, "c": 1.0})
    assert (run.status, winners(run), run.statuses["a"]) == ("succeeded", [2, 1], "cancelled")


def test_too_many_failures_for_n_fail_the_parallel_and_nothing_more_starts_in_it() -> None:
    g = graph("p", p=parallel("a", "b", "c c2", wait=2))
    run = finished(g, durations={"c": 5.0}, outcomes={"a": failed(), "b": failed()})
    assert (run.status, run.statuses) == ("failed", {"a": "failed", "b": "failed", "c": "succeeded", "p": "failed"})


def test_n_is_never_more_than_there_are_branches() -> None:
    assert finished(graph("p -> z", p=parallel("a", "b", wait=5))).status == "succeeded"


def test_a_failure_that_any_outlives_is_no_issue() -> None:
    g = graph("p", p=parallel("a", "b", wait=1, on_failure="continue"))
    assert finished(g, durations={"b": 5.0}, outcomes={"a": failed()}).status == "succeeded"


def test_a_success_that_comes_after_the_race_was_won_changes_nothing() -> None:
    run = SimulatedRun(Scheduler(graph("p", p=parallel("a", "b", wait=1))), Script({"b": 1.5}, stubborn={"b": None}))
    assert run.run() == "succeeded"
    assert (run.statuses, winners(run)) == ({"a": "succeeded", "b": "succeeded", "p": "succeeded"}, [0])


def test_the_concurrency_of_a_parallel_bounds_its_branches() -> None:
    run = finished(graph("p", p=parallel("a a2", "b b2", "c c2", concurrency=2)))
    assert run.started_at == {"a": 0.0, "b": 0.0, "a2": 1.0, "b2": 1.0, "c": 2.0, "c2": 3.0}


def test_blocks_with_nothing_inside_end_at_once() -> None:
    empty = {"kind": "parallel", "bodies": ()}
    g = graph("p q r s -> z", p=empty, q=parallel("", ""), r=block("group", ""), s=foreach("", concurrency=2))
    run = finished(g, answers={"s": 1000})
    assert (run.status, list(run.started_at)) == ("succeeded", ["z"])


def test_a_merge_is_asked_for_once_all_branches_have_ended() -> None:
    s = Scheduler(graph("p", p=parallel("a", "b", merges=True)))
    s.handle(events.RunStarted(run="r", workflow="w"))
    s.close_batch()
    s.handle(events.AttemptSucceeded(path="b"))
    asked = s.handle(events.AttemptSucceeded(path="a"))
    assert [type(c) for c in asked] == [commands.CloseFrame, commands.AskMerge]
    ended = s.handle(events.ChoiceMade(path="p", taken=0))
    assert [type(c) for c in ended] == [commands.CompleteBlock, commands.Record, commands.Finish]


# -- choice, when -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("taken", "started"), [(0, ["x", "z"]), (1, ["y", "z"]), (-1, ["z"])])
def test_a_choice_runs_one_body_or_none(taken: int, started: list[str]) -> None:
    run = finished(graph("c -> z", c=block("choice", "x", "y")), answers={"c": taken})
    assert (run.status, list(run.started_at)) == ("succeeded", started)


def test_a_choice_of_a_body_that_is_not_there_is_illegal() -> None:
    s = Scheduler(graph("c", c=block("choice", "x")))
    s.handle(events.RunStarted(run="r", workflow="w"))
    with pytest.raises(IllegalEvent, match="c has no such body"):
        s.handle(events.ChoiceMade(path="c", taken=1))


def test_a_node_whose_when_is_false_is_skipped_and_the_chain_goes_on() -> None:
    g = graph("g", g=block("group", graph("a b", chain=True, a={"conditional": True})))
    run = finished(g, answers={"a": False})
    assert run.statuses == {"a": "skipped", "b": "succeeded", "g": "succeeded"}


# -- foreach ----------------------------------------------------------------------------------------------------------


def test_a_foreach_is_sequential_unless_told_otherwise() -> None:
    run = finished(graph("e", e=foreach("x y")), answers={"e": 2})
    assert run.started_at == {"e[0]/x": 0.0, "e[0]/y": 1.0, "e[1]/x": 2.0, "e[1]/y": 3.0}


def test_a_foreach_keeps_a_window() -> None:
    run = finished(graph("e", e=foreach("x", concurrency=3)), answers={"e": 7})
    assert [run.started_at[f"e[{i}]/x"] for i in range(7)] == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0]


def test_a_foreach_over_nothing_succeeds() -> None:
    run = finished(graph("e -> z", e=foreach("x")), answers={"e": 0})
    assert run.statuses == {"e": "succeeded", "z": "succeeded"}


def test_a_collection_of_unknown_length_is_asked_for_as_far_as_the_window_reaches() -> None:
    s = Scheduler(graph("e", e=foreach("x", concurrency=2)))
    (ask,) = s.handle(events.RunStarted(run="r", workflow="w"))
    assert isinstance(ask, commands.AskItems)
    assert ask.at_least == 2
    assert s.handle(events.ItemsFound(path="e", count=2)) == []
    assert [c.instance.path for c in s.close_batch() if isinstance(c, commands.StartAttempt)] == ["e[0]/x", "e[1]/x"]
    _closed, ask = s.handle(events.AttemptSucceeded(path="e[0]/x"))
    assert isinstance(ask, commands.AskItems)
    assert ask.at_least == 3
    s.handle(events.ForeachExpanded(path="e", count=2))
    ended = s.handle(events.AttemptSucceeded(path="e[1]/x"))
    assert [type(c).__name__ for c in ended] == ["CloseFrame", "CompleteBlock", "Record", "Finish"]


def test_fewer_items_than_have_started_are_illegal() -> None:
    s = Scheduler(graph("e", e=foreach("x", concurrency=2)))
    s.handle(events.RunStarted(run="r", workflow="w"))
    s.handle(events.ItemsFound(path="e", count=1))
    with pytest.raises(IllegalEvent, match=r"e\[0\] has started, of 0 items"):
        s.handle(events.ForeachExpanded(path="e", count=0))


# -- break ------------------------------------------------------------------------------------------------------------


def breaking(*, everything: bool = False) -> Graph:
    """x, then a break when the script says so, then y."""
    return graph("x stop y", chain=True, stop={"kind": "break", "conditional": True, "everything": everything})


def test_a_break_ends_a_sequential_foreach() -> None:
    run = finished(graph("e -> z", e=foreach(breaking())), answers={"e": 5, "stop": False, "e[1]/stop": True})
    assert list(run.started_at) == ["e[0]/x", "e[0]/y", "e[1]/x", "z"]
    assert run.values["e"] == [(0, "y"), (1, None)]


def test_a_break_in_a_concurrent_foreach_ends_its_own_iteration() -> None:
    g = graph("e -> z", e=foreach(breaking(), concurrency=2))
    run = finished(g, answers={"e": 4, "stop": False, "e[1]/stop": True})
    assert sorted(run.values["e"]) == [(0, "y"), (1, None), (2, "y"), (3, "y")]


def test_break_all_ends_a_concurrent_foreach_and_what_runs_ends_normally() -> None:
    g = graph("e -> z", e=foreach(breaking(everything=True), concurrency=2))
    run = finished(g, answers={"e": 9, "stop": False, "e[1]/stop": True}, durations={"e[0]/x": 3.0})
    assert sorted(run.values["e"]) == [(0, "y"), (1, None)]
    assert run.status == "succeeded"
    (fact,) = [e for e in run.recorded if isinstance(e, events.IterationBroken)]
    assert (fact.everything, fact.highest) == (True, 1)


def test_break_all_withdraws_iterations_that_wait_for_a_slot() -> None:
    g = graph("e", e=foreach(breaking(everything=True), concurrency=100))
    run = SimulatedRun(Scheduler(g, jobs=2), Script(answers={"e": 100, "stop": True}))
    assert run.run() == "succeeded"
    assert sorted(run.started_at) == ["e[0]/x", "e[1]/x"]


def test_the_list_of_a_broken_foreach_ends_with_the_last_iteration_that_began() -> None:
    g = graph("e", e=foreach(breaking(everything=True), concurrency=3))
    s = Scheduler(g, jobs=2)
    run = SimulatedRun(s, Script(answers={"e": 9, "stop": True}))
    block = s.open["e"]
    run.run()
    assert isinstance(block, Foreach)
    assert block.size == 2


def test_a_break_reaches_through_an_if() -> None:
    inner = graph("x maybe y", chain=True, maybe=block("choice", graph("stop", chain=True, stop={"kind": "break"})))
    run = finished(graph("e -> z", e=foreach(inner)), answers={"e": 3, "maybe": -1, "e[1]/maybe": 0})
    assert list(run.started_at) == ["e[0]/x", "e[0]/y", "e[1]/x", "z"]
    assert run.statuses["e[1]/maybe"] == "succeeded"


def test_a_break_ends_a_loop_whose_value_is_that_of_the_last_node_before_it() -> None:
    run = finished(graph("l -> z", l=block("loop", breaking())), answers={"l": 9, "stop": False, "l[2]/stop": True})
    assert run.values["l"] == [(0, "y"), (1, "y"), (2, "x")]
    assert list(run.started_at)[-2:] == ["l[2]/x", "z"]


def test_a_break_before_anything_else_leaves_the_loop_the_value_it_had() -> None:
    first = graph("stop x", chain=True, stop={"kind": "break", "conditional": True})
    s = Scheduler(graph("l", l=block("loop", first)))
    closed: list[commands.CloseFrame] = []
    run = SimulatedRun(s, Script(answers={"l": 9, "stop": False, "l[1]/stop": True}))
    take = run._take
    run._take = lambda wishes, place: (
        closed.extend(w for w in wishes if isinstance(w, commands.CloseFrame)),
        take(wishes, place),
    )[1]  # type: ignore[method-assign]
    run.run()
    assert [(c.frame.index, c.kept, c.last) for c in closed] == [(0, True, 1), (1, True, -1)]


def test_a_break_has_no_value_so_it_is_nobodys_last_node() -> None:
    last = graph("x stop", chain=True, stop={"kind": "break", "conditional": True})
    run = finished(graph("l", l=block("loop", last)), answers={"l": 2, "stop": False})
    assert run.values["l"] == [(0, "x"), (1, "x")]


# -- loop -------------------------------------------------------------------------------------------------------------


def test_a_loop_goes_round_as_often_as_it_is_told_to() -> None:
    run = finished(graph("l -> z", l=block("loop", "x y")), answers={"l": 3})
    assert list(run.started_at) == ["l[0]/x", "l[0]/y", "l[1]/x", "l[1]/y", "l[2]/x", "l[2]/y", "z"]


def test_a_loop_may_go_round_not_at_all() -> None:
    assert list(finished(graph("l -> z", l=block("loop", "x")), answers={"l": 0}).started_at) == ["z"]


def test_under_continue_a_failed_round_is_an_issue_and_the_loop_goes_on() -> None:
    g = graph("l", l=block("loop", "x", on_failure="continue"))
    run = finished(g, answers={"l": 3}, outcomes={"l[1]/x": failed()})
    assert (run.status, run.values["l"]) == ("issues", [(0, "x"), (1, None), (2, "x")])


def test_a_called_document_puts_its_path_in_front() -> None:
    run = finished(graph("notify", notify=block("group", "send", prefixes=True)))
    assert list(run.started_at) == ["notify/send"]


def test_a_deep_nesting_and_a_long_chain_overflow_nothing() -> None:
    g = graph("x", chain=True)
    for depth in range(300):
        g = graph(f"g{depth}", chain=True, **{f"g{depth}": block("group", g)})
    s = Scheduler(g)
    run = SimulatedRun(s)
    run.post(events.CancelRequested(), 0.5)
    assert run.run() == "cancelled"
    ids = [f"n{i}" for i in range(20_000)]
    long = graph(" ".join(ids), chain=True, **{i: {"conditional": True} for i in ids[1:]})
    assert SimulatedRun(Scheduler(long), Script(answers=dict.fromkeys(ids, False))).run() == "succeeded"
