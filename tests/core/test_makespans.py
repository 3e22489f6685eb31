"""How long uneven workflows take, to the least that any schedule could need; and that their order is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from weft.core.priority import plan
from weft.core.scheduler import Scheduler
from weft.graph.analysis import layers
from weft.graph.model import Graph
from weft.testing import Script, SimulatedRun, graph, load_trace, simulate
from weft.testing.makespans import Makespans, geometric_mean, learnt, lower_bound, measure
from weft.testing.shapes import Sample, chain, fetch_and_search, fork_join, gather, recorded_shapes, split_search

GATES = [(4, 1.02), (16, 1.05), (64, 1.05)]
TRACES = os.environ.get("WEFT_TRACES")
WHERE = ["shapes", pytest.param("traces", marks=pytest.mark.skipif(not TRACES, reason="WEFT_TRACES names no folder"))]


@cache
def samples(where: str) -> tuple[Sample, ...]:
    if where == "shapes":
        return tuple(recorded_shapes().values())
    traces = [load_trace(path) for path in sorted(Path(TRACES or "").glob("*.json"))]
    found = [Sample(flow.graph(), durations) for flow, durations in traces]
    assert found, f"there are no traces in {TRACES}"
    return tuple(found)


@cache
def figures(where: str, jobs: int) -> Makespans:
    return measure(samples(where), jobs)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("jobs", "most"), GATES)
def test_who_knows_every_duration_comes_close_to_the_bound(where: str, jobs: int, most: float) -> None:
    assert 1.0 <= figures(where, jobs).perfect <= most


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("jobs", [4, 16, 64])
def test_who_knows_nothing_is_no_slower_than_waves(where: str, jobs: int) -> None:
    found = figures(where, jobs)
    assert found.none <= found.waves


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("jobs", [4, 16, 64])
def test_who_learnt_from_one_run_is_in_between(where: str, jobs: int) -> None:
    found = figures(where, jobs)
    assert found.perfect <= found.learnt <= found.none


def upside_down(sample: Sample, jobs: int) -> float:
    """The makespan to the bound when the shortest remaining path goes first."""
    ranks = {
        sample.workflow: [-rank for rank in plan(sample.workflow, lambda n: sample.durations[n.id])[sample.workflow]]
    }
    run = SimulatedRun(Scheduler(sample.workflow, jobs=jobs, ranks=ranks), Script(sample.durations))
    assert run.run() == "succeeded"
    return max(run.completed_at.values()) / lower_bound(*sample, jobs)


@pytest.mark.parametrize(("jobs", "most"), GATES)
def test_with_the_priorities_upside_down_the_gate_is_missed(jobs: int, most: float) -> None:
    assert geometric_mean([upside_down(sample, jobs) for sample in samples("shapes")]) > most


@pytest.mark.parametrize(("jobs", "most"), GATES)
def test_in_the_order_of_the_document_the_gate_is_missed(jobs: int, most: float) -> None:
    assert figures("shapes", jobs).none > most


def faults(workflow: Graph, started: Mapping[str, float], completed: Mapping[str, float], jobs: int) -> list[str]:
    """What is wrong with an order of things: started too early, or too many at once."""
    found = [
        f"{node.id} before {need}"
        for node in workflow.nodes
        for need in node.needs
        if started[node.id] < completed[need]
    ]
    moments = [(at, 1) for at in started.values()] + [(at, -1) for at in completed.values()]
    running = 0
    for at, step in sorted(moments):  # of one moment, ends come first
        running += step
        if running > jobs:
            found.append(f"{running} at {at}")
    return found


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("jobs", [4, 16, 64])
def test_the_order_is_right_whatever_is_believed(where: str, jobs: int) -> None:
    for sample in samples(where):
        if where == "shapes" and len(sample.workflow) > 400:  # enough for a fast suite: every shape is among the rest
            continue
        for schedule in ("dataflow", "waves"):
            for believed in (None, {}, learnt(sample.durations)):
                run = simulate(*sample, jobs=jobs, schedule=schedule, estimates=believed)  # type: ignore[arg-type]
                assert run.status == "succeeded"
                assert run.completed_at.keys() == sample.durations.keys()
                assert faults(sample.workflow, run.started_at, run.completed_at, jobs) == []
                assert run.peak <= jobs


def test_a_wrong_order_is_seen() -> None:
    g = graph("a -> b; c")
    completed = {"a": 2.0, "b": 3.0, "c": 3.0}
    assert faults(g, {"a": 0.0, "b": 2.0, "c": 0.0}, completed, 2) == []
    assert faults(g, {"a": 0.0, "b": 1.0, "c": 0.0}, completed, 3) == ["b before a"]
    assert faults(g, {"a": 0.0, "b": 2.0, "c": 0.0}, completed, 1) == ["2 at 0.0", "2 at 2.0"]


def test_the_bound_is_the_longer_of_the_critical_path_and_the_shared_work() -> None:
    g = graph("a -> b c -> d")
    durations = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 1.0}
    assert [lower_bound(g, durations, jobs) for jobs in (1, 2)] == [8.0, 6.0]
    assert lower_bound(graph(""), {}, 4) == 0.0


def layer_sizes(sample: Sample) -> list[int]:
    return [len(layer) for layer in layers(sample.workflow)]


def test_the_shapes_are_those_that_were_recorded() -> None:
    assert layer_sizes(chain()) == [1] * 5
    assert layer_sizes(fork_join()) == [1, 8, 1]
    assert layer_sizes(split_search(40, 9.5, 0.05)) == [1, 40, 2]
    assert layer_sizes(gather(100)) == [100, 1]
    assert layer_sizes(fetch_and_search(20)) == [21, 20, 1]
    assert layer_sizes(fetch_and_search(30)) == [31, 30, 2, 1]
    assert len(recorded_shapes()) == 53


def test_a_shape_is_the_same_for_the_same_seed() -> None:
    first, again, other = (gather(50, seed=seed).durations for seed in (1, 1, 2))
    assert first == again != other
