"""Named limits, rates, and what they must never do: stall, starve, or be overrun."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import event_types as events
from weft.core.scheduler import Scheduler
from weft.graph.model import Graph, Node
from weft.policy import Limit
from weft.testing import Script, SimulatedRun, foreach, graph

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))


def many(count: int, *limits: str) -> Graph:
    return Graph([Node(id=f"n{i}", limits=limits, order=i) for i in range(count)])


def run_with(
    g: Graph, limits: Mapping[str, Limit], *, jobs: int = 100, commit: float = 0.0, **script: object
) -> SimulatedRun:
    run = SimulatedRun(Scheduler(g, jobs=jobs, limits=limits), Script(**script), commit=commit)  # type: ignore[arg-type]
    assert run.run() == "succeeded"
    return run


def most_at_once(run: SimulatedRun, ids: set[str]) -> int:
    """The most leaves of these that ran at the same time."""
    edges = sorted(
        [(run.started_at[p], 1) for p in run.started_at if p in ids]
        + [(run.completed_at[p], -1) for p in run.completed_at if p in ids]
    )
    level = best = 0
    for _, step in edges:
        level += step
        best = max(best, level)
    return best


def test_a_limit_bounds_the_leaves_that_share_its_key() -> None:
    run = run_with(many(10, "api"), {"api": Limit(concurrency=3)})
    assert most_at_once(run, set(run.started_at)) == 3
    assert run.now == 4.0


def test_a_limit_that_nobody_configured_limits_nobody() -> None:
    assert run_with(many(10, "api"), {}).now == 1.0


def test_who_had_to_wait_for_a_limit_says_so() -> None:
    run = run_with(many(2, "api"), {"api": Limit(concurrency=1)})
    assert [(e.path, e.limit) for e in run.recorded if isinstance(e, events.LimitWaited)] == [("n1", "api")]


def test_a_place_behind_a_closed_limit_goes_to_those_who_can_use_it() -> None:
    g = graph("a b c", a={"limits": ("x",)}, b={"limits": ("x",)})
    run = run_with(g, {"x": Limit(concurrency=1)}, jobs=2)
    assert run.started_at == {"a": 0.0, "c": 0.0, "b": 1.0}


def test_keys_in_reverse_order_cannot_deadlock() -> None:
    g = Graph([Node(id=f"n{i}", limits=("x", "y") if i % 2 else ("y", "x"), order=i) for i in range(20)])
    run = run_with(g, {"x": Limit(concurrency=1), "y": Limit(concurrency=2)})
    assert most_at_once(run, set(run.started_at)) == 1
    assert run.now == 20.0


def test_who_waits_for_two_keys_does_not_keep_others_from_one_of_them() -> None:
    g = Graph(
        [
            Node(id="holder", limits=("y",), order=0),
            Node(id="both", limits=("x", "y"), order=1),
            Node(id="only", limits=("x",), order=2),
        ]
    )
    run = run_with(g, {"x": Limit(concurrency=1), "y": Limit(concurrency=1)}, durations={"holder": 5.0})
    assert run.started_at == {"holder": 0.0, "only": 0.0, "both": 5.0}


def test_a_rate_bounds_the_starts_in_every_window() -> None:
    run = run_with(many(7, "api"), {"api": Limit(rate=3, per=1.0)}, otherwise=0.01)
    assert list(run.started_at.values()) == pytest.approx([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0])


def test_a_rate_goes_on_by_itself_while_nothing_ends() -> None:
    run = run_with(many(7, "api"), {"api": Limit(rate=2, per=1.0)}, otherwise=1000.0)
    assert sorted(run.started_at.values()) == pytest.approx([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0])


def test_a_rate_below_one_is_a_longer_window() -> None:
    run = run_with(many(3, "api"), {"api": Limit(rate=0.5, per=1.0)}, otherwise=0.01)
    assert list(run.started_at.values()) == pytest.approx([0.0, 2.0, 4.0])


def test_a_rate_is_counted_from_when_attempts_really_start() -> None:
    """Decided at 0, performed after a commit of 0.9 s: the next may not start at 1.0."""
    run = run_with(many(2, "api"), {"api": Limit(rate=1, per=1.0)}, commit=0.9, otherwise=0.01)
    first, second = run.started_at.values()
    assert second - first >= 1.0


def test_a_window_and_a_limit_hold_together() -> None:
    each = foreach(Graph([Node(id="x", limits=("api",))], chain=True), concurrency=5)
    run = run_with(graph("e", e=each), {"api": Limit(concurrency=2)}, answers={"e": 9})
    assert most_at_once(run, set(run.started_at)) == 2


@settings(max_examples=150 * SCALE, deadline=None)
@given(st.data())
def test_random_limits_are_never_overrun_and_never_stall(data: st.DataObject) -> None:
    keys = ["x", "y", "z"]
    limits = {
        key: Limit(
            concurrency=data.draw(st.none() | st.integers(1, 3)),
            rate=data.draw(st.none() | st.sampled_from([0.5, 1.0, 2.0, 5.0])),
            per=data.draw(st.sampled_from([1.0, 3.0])),
        )
        for key in keys
    }
    count = data.draw(st.integers(1, 12))
    nodes = [
        Node(
            id=f"n{i}",
            needs=tuple({f"n{j}" for j in data.draw(st.lists(st.integers(0, i - 1), max_size=2))}) if i else (),
            limits=tuple(data.draw(st.lists(st.sampled_from(keys), unique=True))),
            order=i,
        )
        for i in range(count)
    ]
    durations = {f"n{i}": data.draw(st.sampled_from([0.0, 0.3, 1.0, 7.0])) for i in range(count)}
    jobs = data.draw(st.integers(1, 4))
    run = run_with(Graph(nodes), limits, jobs=jobs, commit=data.draw(st.sampled_from([0.0, 0.2])), durations=durations)
    assert run.peak <= jobs
    for key, limit in limits.items():
        ids = {node.id for node in nodes if key in node.limits}
        if limit.concurrency is not None:
            assert most_at_once(run, ids) <= limit.concurrency
        if limit.rate is not None:
            places, window = (limit.rate, limit.per) if limit.rate >= 1 else (1, limit.per / limit.rate)
            starts = sorted(run.started_at[i] for i in ids)
            for first, late in zip(starts, starts[int(places) :], strict=False):
                assert late - first >= window - 1e-9
