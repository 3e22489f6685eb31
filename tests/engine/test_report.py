"""A report tells the same whenever it takes in its events; a result is put together once, when somebody looks."""

from __future__ import annotations

from typing import Any

import pytest

import weft
from weft.engine.records import Outputs
from weft.engine.report import WAITING, Report
from weft.errors import ErrorData
from weft.event_types import AttemptFailed, AttemptSucceeded, Event, NodePlan, RunResumed, RunStarted
from weft.results import NodeResult, RunResult


def _events() -> list[Event]:
    """Those of a run with a failure, a retry, items and a task that is skipped."""
    flow = weft.Workflow("mixed", on_failure="continue")
    tries: list[int] = []

    @flow.task
    async def numbers() -> list[int]:
        return list(range(30))

    @flow.task(retry=2)
    async def shaky() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionError("not yet")
        return 1

    async def half(item: int) -> int:
        if item == 7:
            raise ValueError("an odd one")
        return item // 2

    flow.map_task(half, "numbers", id="halves", on_failure="continue")

    @flow.task
    async def broken(shaky: int) -> int:
        raise ValueError("broken")

    @flow.task
    async def after(broken: int) -> int:
        return broken

    return flow.run(check=False).events


def _report(keep: int) -> Report:
    return Report(Outputs(None, lambda data: None, lambda ref: b"", by_reference=True), keep=keep)  # type: ignore


def _told(result: RunResult) -> dict[str, Any]:
    plain = {name: value for name, value in vars(result).items() if name not in ("nodes", "errors")}
    nodes = {
        path: [getattr(node, f) for f in NodeResult.__slots__ if f != "_load"] for path, node in result.nodes.items()
    }
    return {**plain, "nodes": nodes, "errors": [(e.path, e.error, e.attempt) for e in result.errors]}


@pytest.mark.parametrize("keep", [3, 10, 1000])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_events_taken_in_later_tell_what_events_taken_in_at_once_tell(keep: int, size: int) -> None:
    facts = _events()
    at_once, later = _report(keep), _report(keep)
    for event in facts:
        at_once.add(event)
    for start in range(0, len(facts), size):
        later.later(facts[start : start + size])
    assert later.status == "running"  # the control: nobody has looked yet, and it has not been told of its end
    assert _told(later.settled().result()) == _told(at_once.result())


def test_only_so_many_events_wait() -> None:
    report = _report(3)
    facts = _events()
    report.later(facts)
    assert len(facts) > 3 * WAITING
    assert len(report._waiting) == 3 * WAITING


def test_a_result_is_put_together_once_and_only_when_more_than_its_status_is_asked_for() -> None:
    collected = []

    def collect() -> RunResult:
        collected.append(1)
        report = _report(100)
        report.later(facts)
        return report.settled().result()

    facts = _events()
    result = RunResult.later("r1", "mixed", "issues", collect)
    assert (result.run_id, result.workflow, result.status, collected) == ("r1", "mixed", "issues", [])
    assert [error.path for error in result.errors] == ["halves[7]/half", "broken"]
    assert (result.run_id, result.exit_code, result.counts["skipped"]) == ("r1", 2, 1)
    assert collected == [1]
    with pytest.raises(AttributeError, match="'RunResult' object has no attribute 'nothing'"):
        result.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_what_a_sitting_does_not_have_comes_back_as_it_was() -> None:
    def plan(*paths: str) -> tuple[NodePlan, ...]:
        return tuple(NodePlan(path, "task", 0) for path in paths)

    error = ErrorData("ValueError", "no")
    report = _report(100)
    for event in (
        RunStarted(run="r", workflow="w", plan=plan("a", "b", "c"), at=1.0),
        AttemptSucceeded("a", 1, 0.5, at=2.0),
        AttemptFailed("b", error, 1, 0.5, at=3.0),
        RunResumed(epoch=2, plan=plan("c"), at=4.0),
        AttemptSucceeded("c", 1, 0.5, at=5.0),
    ):
        report.add(event)
    assert report.nodes.keys() == {"c"}
    assert report.errors == {}
    report.add(RunResumed(epoch=3, plan=plan("a", "b", "c"), at=6.0))
    assert {path: node.status for path, node in report.nodes.items()} == {
        "a": "succeeded",
        "b": "failed",
        "c": "succeeded",
    }
    assert report.errors == {"b": (error, 1)}
    report.add(RunResumed(epoch=4, plan=plan("a", "b"), changed={"a": "changed"}, at=7.0))
    assert {path: node.status for path, node in report.nodes.items()} == {"a": "pending", "b": "failed"}
