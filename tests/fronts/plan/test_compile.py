"""A plan as a graph: how often what is tried, and what agents are told of where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from weft.fronts.plan.compile import BASE, CAP, Setting, compile_plan, message_of
from weft.fronts.plan.config import settle_config
from weft.fronts.plan.document import require_plan
from weft.graph.model import Node, walk_paths
from weft.policy import Retry
from weft.text.source import Source

PLAN = require_plan(Source("plan.md", "## Task 1 (parallel)\nA.\n\n## Task 2 (parallel)\nB.\n"))


def nodes(**flags: Any) -> dict[str, Node]:
    """Nodes by their paths, with brackets for blocks that are repeated."""
    config = settle_config({"max_parallel": 2, **flags})
    graph = compile_plan(PLAN, PLAN.tasks, config, Setting("/repo", "/repo/.weft", "run", "lint")).graph
    return dict(_named(graph))


def _named(graph: Any) -> Iterator[tuple[str, Node]]:
    for node, path, _ in walk_paths(graph):
        yield path, node


def retry(count: int) -> Retry:
    return Retry(max_attempts=count, base=BASE, cap=CAP)


@pytest.mark.parametrize(
    ("flags", "plan", "execute", "review", "phase"),
    [
        ({}, 1, 1, 1, 1),
        ({"phase_retry_count": 3}, 4, 4, 1, 1),
        ({"validate_plan_text": True}, 2, 1, 1, 1),
        ({"validate_plan_text": True, "phase_retry_count": 3}, 4, 4, 1, 1),
        ({"phase_3_retry_count": 2}, 1, 1, 1, 3),
        ({"on_review_fail": "retry_once"}, 1, 1, 2, 1),
    ],
)
def test_phases_are_tried_as_often_as_the_settings_say(
    flags: dict[str, Any], plan: int, execute: int, review: int, phase: int
) -> None:
    found = nodes(**flags)
    for number in (1, 2):
        task = next(path for path in found if path.endswith(f"task-{number}/plan")).removesuffix("/plan")
        assert found[f"{task}/plan"].retry == retry(plan)
        assert found[f"{task}/execute"].retry == retry(execute)
        assert found[f"{task}/commit"].retry == retry(1)
        inside = {path.rpartition("/")[2]: node for path, node in found.items() if path.startswith(f"review-{number}/")}
        assert inside["review"].retry == retry(review)
        assert inside["address"].retry == retry(1)
        assert next(node for path, node in found.items() if path.startswith(f"review-{number}/phase")).retry == retry(
            phase
        )


@pytest.mark.parametrize(("dismiss", "count"), [("none", 0), ("patterns", 1), ("agent", 1)])
def test_patterns_dismiss_unless_nothing_is_dismissed(dismiss: str, count: int) -> None:
    found = nodes(dismiss=dismiss, dismiss_patterns=["out_of_scope: x"])
    for path, node in found.items():
        if path.endswith("/findings"):
            assert len(node.work.settings["value"].patterns) == count  # type: ignore[union-attr]
    assert any(path.endswith("/ask") for path in found) == (dismiss == "agent")


def test_the_message_of_a_commit_is_one_harmless_line() -> None:
    plan = require_plan(Source("plan.md", "## Task 1: Red \x1b[31m\nA.\n\n## Task 2\n\nMake it.\nMore.\n"))
    assert [message_of(task) for task in plan.tasks] == ["Task 1: Red \ufffd[31m\n", "Task 2: Make it.\n"]
