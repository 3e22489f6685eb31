"""Workflows and traces in virtual time, and that the simulation tells what the engine would do."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.testing import FakeClock, ScriptedBackend, Takes, load_trace, simulate
from weft.testing.makespans import lower_bound
from weft.testing.shapes import recorded_shapes


def nothing() -> None:
    """Does nothing."""


def written(folder: Path, tasks: Any) -> Path:
    path = folder / "trace.json"
    path.write_text(json.dumps({"tasks": tasks}))
    return path


def diamond() -> weft.Workflow:
    flow = weft.Workflow("diamond")
    for name, needs in {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}.items():
        flow.add_task(nothing, id=name, needs=needs)
    return flow


# -- workflows ----------------------------------------------------------------------------------------------------------


def test_a_workflow_is_simulated_without_calling_anything() -> None:
    run = simulate(diamond(), {"a": 1, "b": 2, "c": 3, "d": 1}, jobs=2)
    assert (run.status, run.makespan, run.peak) == ("succeeded", 5.0, 2)
    assert run.started_at == {"a": 0.0, "b": 1.0, "c": 1.0, "d": 4.0}


def test_each_schedule_can_be_simulated() -> None:
    flow = diamond()
    flow.add_task(nothing, id="e", needs="b")
    durations = {"a": 1.0, "b": 1.0, "c": 5.0, "d": 1.0, "e": 4.0}
    found = {s: simulate(flow, durations, jobs=4, schedule=s).makespan for s in weft.workflow.SCHEDULES}  # type: ignore[arg-type]
    assert found == {"dataflow": 7.0, "waves": 10.0, "sequential": 12.0}
    run = simulate(flow, durations, jobs=4, schedule="sequential")
    assert (list(run.started_at), run.peak, run.utilisation) == (flow.execution_order(), 1, 1.0)


def test_a_simulation_keeps_limits_and_mutexes() -> None:
    for setting in ({"mutex": "disk"}, {"limit": "api"}):
        flow = weft.Workflow("limited", limits={"api": 1})
        for name in "abc":
            flow.add_task(nothing, id=name, **setting)
        assert simulate(flow, dict.fromkeys("abc", 2.0), jobs=3).makespan == 6.0
    free = weft.Workflow("free")
    for name in "abc":
        free.add_task(nothing, id=name)
    assert simulate(free, dict.fromkeys("abc", 2.0), jobs=3).makespan == 2.0


def test_what_reads_and_writes_the_same_is_simulated_in_order() -> None:
    flow = weft.Workflow("data")
    flow.add_task(nothing, id="write", writes=["x"])
    flow.add_task(nothing, id="read", reads=["x"])
    assert simulate(flow, {}, jobs=2).started_at == {"write": 0.0, "read": 1.0}


# -- traces -------------------------------------------------------------------------------------------------------------


def test_a_trace_is_read_from_its_file_in_whatever_order_its_tasks_stand(tmp_path: Path) -> None:
    tasks = [{"id": "b", "seconds": 1, "needs": ["a"]}, {"id": "a", "seconds": 2.5}]
    flow, durations = load_trace(written(tmp_path, tasks))
    assert isinstance(flow, weft.Workflow)
    assert (flow.name, flow.execution_order()) == ("trace", ["a", "b"])
    assert durations == {"a": 2.5, "b": 1.0}
    assert simulate(flow, durations, jobs=1).makespan == lower_bound(flow, durations, 1) == 3.5
    assert flow.run().outputs == {"b": None, "a": None}


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('{"tasks": [{"id": "a"}]}', weft.InputError, "{} is no trace: Object missing required field `seconds` - at `$.tasks[0]`"),
        ("{", weft.InputError, "{} is no trace: Input data was truncated"),
        ('{"tasks": [{"id": "a", "seconds": 1}, {"id": "a", "seconds": 1}]}', weft.DuplicateTaskError, None),
        ('{"tasks": [{"id": "a", "seconds": 1, "needs": ["b"]}]}', weft.UnknownTaskError, None),
        ('{"tasks": [{"id": "a", "seconds": 1, "needs": ["a"]}]}', weft.CycleError, None),
    ],
)  # fmt: skip
def test_a_file_that_is_no_trace_is_told(tmp_path: Path, text: str, kind: type[Exception], message: str | None) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(kind) as raised:
        load_trace(path)
    if message is not None:
        assert isinstance(raised.value, weft.WeftError)
        assert raised.value.message == message.format(path)


def test_the_engine_takes_as_long_as_its_simulation_says(tmp_path: Path) -> None:
    shapes = recorded_shapes()
    for name, jobs in itertools.product(("fork-join-8", "split-search-40-0", "fetch-and-search-10-0"), (2, 4)):
        graph, seconds = shapes[name]
        tasks = [{"id": n.id, "seconds": round(seconds[n.id], 3), "needs": list(n.needs)} for n in graph.nodes]
        flow, durations = load_trace(written(tmp_path, tasks))
        backend = ScriptedBackend({id: Takes(s) for id, s in durations.items()}, strict=True)  # noqa: A001
        result = FakeClock().run(flow.execute(backend=backend, jobs=jobs))
        assert result.duration == pytest.approx(simulate(flow, durations, jobs=jobs, estimates={}).makespan), name
