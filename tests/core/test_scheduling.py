"""What starts when: dataflow, waves, priority, slots."""

from __future__ import annotations

import pytest

from weft import event_types as events
from weft.core.priority import plan
from weft.core.scheduler import Scheduler
from weft.testing import Script, SimulatedRun, block, foreach, graph, parallel, simulate

CHAINS = graph("a -> a2; b -> b2")
UNEVEN = {"a": 0.02, "a2": 0.2, "b": 0.2, "b2": 0.02}


def test_under_dataflow_a_node_starts_as_soon_as_what_it_needs_is_done() -> None:
    run = simulate(CHAINS, UNEVEN, jobs=4)
    assert run.makespan == pytest.approx(0.22)
    assert run.started_at == pytest.approx({"a": 0.0, "b": 0.0, "a2": 0.02, "b2": 0.2})


def test_under_waves_nothing_of_a_layer_starts_before_the_layer_before_has_ended() -> None:
    run = simulate(CHAINS, UNEVEN, jobs=4, schedule="waves")
    assert run.makespan == pytest.approx(0.4)
    assert run.started_at == pytest.approx({"a": 0.0, "b": 0.0, "a2": 0.2, "b2": 0.2})


def test_the_waves_of_a_diamond_are_on_record() -> None:
    run = SimulatedRun(Scheduler(graph("a -> b c -> d"), schedule="waves"))
    assert run.run() == "succeeded"
    waves = [e for e in run.recorded if isinstance(e, events.WaveStarted | events.WaveCompleted)]
    assert [(type(e).__name__, e.wave, e.count) for e in waves] == [
        ("WaveStarted", 0, 1),
        ("WaveCompleted", 0, 1),
        ("WaveStarted", 1, 2),
        ("WaveCompleted", 1, 2),
        ("WaveStarted", 2, 1),
        ("WaveCompleted", 2, 1),
    ]


def test_a_wave_that_is_skipped_in_part_ends_all_the_same() -> None:
    g = graph("a -> b c -> d", a={"on_failure": None}, b={"conditional": True})
    run = SimulatedRun(Scheduler(g, schedule="waves"), Script(answers={"b": False}))
    assert run.run() == "succeeded"
    assert run.statuses == {"a": "succeeded", "b": "skipped", "c": "succeeded", "d": "succeeded"}


def test_under_waves_a_failed_node_under_continue_does_not_hold_up_the_next_layer() -> None:
    from weft.testing import failed

    g = graph("a b -> c; b -> d -> e")
    run = SimulatedRun(Scheduler(g, schedule="waves", on_failure="continue"), Script(outcomes={"a": failed()}))
    assert run.run() == "issues"
    assert run.statuses == {"a": "failed", "b": "succeeded", "c": "skipped", "d": "succeeded", "e": "succeeded"}


def test_an_empty_graph_succeeds_without_a_wave() -> None:
    for schedule in ("dataflow", "waves"):
        run = SimulatedRun(Scheduler(graph(""), schedule=schedule))  # type: ignore[arg-type]
        assert run.run() == "succeeded"
        assert [type(e).__name__ for e in run.recorded] == ["RunStarted", "RunFinished"]


def test_the_longest_remaining_path_goes_first() -> None:
    g = graph("short; long -> longer -> longest")
    assert simulate(g, {}, jobs=1, estimates={}).started_at == {
        "long": 0.0,
        "longer": 1.0,
        "short": 2.0,
        "longest": 3.0,
    }


def test_ties_go_in_document_order() -> None:
    g = graph("d c b a")
    assert list(simulate(g, {}, jobs=1).started_at) == ["d", "c", "b", "a"]


def test_learnt_weights_beat_the_number_of_nodes() -> None:
    g = graph("one; x -> y")
    assert list(simulate(g, {"one": 9.0, "x": 1.0, "y": 1.0}, jobs=1).started_at) == ["one", "x", "y"]


def test_the_inside_of_a_long_block_is_preferred_to_a_short_node() -> None:
    g = graph("short; p -> tail", p=parallel("x", "y"))
    assert list(simulate(g, {}, jobs=1).started_at) == ["x", "y", "short", "tail"]


def test_a_body_weighs_what_comes_after_its_block_too() -> None:
    ranks = plan(g := graph("p -> tail", p=block("group", "x y")))
    assert list(ranks[g]) == [3.0, 1.0]
    assert list(ranks[g.nodes[0].bodies[0]]) == [3.0, 2.0]


def test_the_same_events_give_the_same_commands() -> None:
    g = graph("a b c -> p -> z", p=parallel("x y", "u v", wait=1))
    script = {"a": 3.0, "b": 2.0, "c": 1.0, "x": 2.0}
    first, second = (SimulatedRun(Scheduler(g, jobs=2), Script(script), commit=0.3) for _ in range(2))
    first.run()
    second.run()
    assert first.journal == second.journal
    assert first.performed == second.performed


def test_never_more_than_jobs_leaves_run_and_one_is_enough() -> None:
    g = graph(
        "p -> z",
        p=parallel(
            graph(
                "outer",
                chain=True,
                outer=foreach(graph("inner", chain=True, inner=foreach("x y", concurrency=3)), concurrency=2),
            ),
            graph("other", chain=True, other=foreach("u", concurrency=5)),
        ),
    )
    answers = {"outer": 4, "inner": 5, "other": 7}
    for jobs in (1, 2, 4, 100):
        run = SimulatedRun(Scheduler(g, jobs=jobs), Script(answers=answers), commit=0.1)
        assert run.run() == "succeeded"
        assert run.peak == min(jobs, 11)
        assert len(run.performed) == 4 * 5 * 2 + 7 + 1


def test_a_node_that_holds_no_slot_waits_for_none() -> None:
    g = graph("a sleep", sleep={"holds_slot": False})
    run = SimulatedRun(Scheduler(g, jobs=1), Script({"a": 10.0, "sleep": 10.0}))
    run.run()
    assert run.started_at == {"a": 0.0, "sleep": 0.0}
    assert run.peak == 1


def test_a_start_record_rides_in_the_commit_of_the_end_that_allowed_it() -> None:
    run = SimulatedRun(Scheduler(graph("a -> b", b={"effect": "once"})), commit=0.5)
    run.run()
    assert [[type(e).__name__ for e in batch] for batch in run.journal] == [
        ["RunStarted", "AttemptStarted"],
        ["AttemptSucceeded", "AttemptStarted"],
        ["AttemptSucceeded", "RunFinished"],
    ]
    assert run.started_at == {"a": 0.5, "b": 2.0}  # after the commit, never before


def test_no_start_of_a_pure_node_is_recorded() -> None:
    run = SimulatedRun(Scheduler(graph("a", a={"effect": "pure"})))
    run.run()
    assert [type(e).__name__ for e in run.recorded] == ["RunStarted", "AttemptSucceeded", "RunFinished"]


def test_interrupted_nothing_new_starts_and_the_run_has_no_end() -> None:
    run = SimulatedRun(Scheduler(graph("a -> b; c"), jobs=1))
    run.post(events.Interrupted(), 0.5)
    with pytest.raises(AssertionError, match="nothing can happen any more"):
        run.run()
    assert run.statuses == {"a": "succeeded"}
    assert run.scheduler.finished == ""
    again = SimulatedRun(Scheduler(graph("a -> b; c"), replaying=True), journal=run.journal)
    assert again.run() == "succeeded"
    assert sorted(again.started_at) == ["b", "c"]
