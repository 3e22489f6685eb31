"""The table of steps."""

from __future__ import annotations

import itertools

import pytest

from weft.core.state import Instance
from weft.core.status import TRANSITIONS, Status, Step, diagram
from weft.errors import IllegalEvent
from weft.graph.model import Node


@pytest.mark.parametrize(("status", "step"), list(itertools.product(Status, Step)))
def test_a_step_that_is_not_in_the_table_is_refused_and_changes_nothing(status: Status, step: Step) -> None:
    instance = Instance(None, 0, Node(id="a"), "a", status)  # type: ignore[arg-type]
    following = TRANSITIONS.get((status, step))
    if following is not None:
        instance.step(step)
        assert instance.status is following
    else:
        with pytest.raises(IllegalEvent) as refusal:
            instance.step(step)
        assert str(refusal.value) == f"a is {status.word}: it cannot be {step.word}"
        assert instance.status is status


def test_what_has_ended_takes_no_step_and_everything_else_does() -> None:
    moving = {status for status, _ in TRANSITIONS}
    assert set(Status) - moving == {Status.SUCCEEDED, Status.FAILED, Status.SKIPPED, Status.CANCELLED}


def test_the_diagram_has_every_step() -> None:
    lines = diagram().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> pending"]
    assert "    running --> ready: retried" in lines
    assert "    succeeded --> [*]" in lines
    assert len(lines) == 2 + len(TRANSITIONS) + 4
