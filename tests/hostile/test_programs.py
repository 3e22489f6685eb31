"""Random documents run for real: whatever the schedule, the number of jobs and the journal, they come to what a small
independent interpreter says, also when they failed first and were resumed.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from hostile.programs import Failed, Maker, Model, Node, write
from hostile.project import Project
from weft import app

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))
COUNT = 20 * SCALE
WAYS = (
    {"jobs": 1, "journal": "none"},
    {"jobs": 8, "journal": "none"},
    {"jobs": 8, "journal": "none", "schedule": "waves"},
    {"jobs": 3},
)


def all_of(outcome: app.Outcome) -> dict[str, Any]:
    return {path: (node.status, node.output, node.attempts) for path, node in outcome.result.nodes.items()}


def front(policy: str) -> str:
    return f"on-failure: {policy}" if policy else ""


def agree(project: Project, nodes: list[Node], policy: str = "", ways: tuple[Any, ...] = WAYS) -> app.Outcome:
    """Run the program in every way; all end alike."""
    outcomes = [project.run(write(nodes), front(policy), **way) for way in ways]
    first = outcomes[0]
    for other in outcomes[1:]:
        assert all_of(other) == all_of(first)
        assert (other.result.status, other.result.output) == (first.result.status, first.result.output)
    return first


def check(outcome: app.Outcome, model: Model, nodes: list[Node]) -> None:
    assert outcome.result.status == model.status
    assert outcome.result.output == model.output
    found = {path: node.output for path, node in outcome.result.nodes.items()}
    for node in nodes:
        if node[1] not in model.lost:
            assert found[node[1]] == model.values[node[1]], node[1]


@pytest.mark.parametrize("start", range(0, COUNT, 20))
def test_programs_without_failures_come_to_what_the_model_says(project: Project, start: int) -> None:
    for seed in range(start, start + 20):
        nodes = Maker(Random(seed)).program()
        check(agree(project, nodes), Model(nodes), nodes)


@pytest.mark.parametrize("start", range(0, COUNT, 20))
def test_under_continue_exactly_what_failed_is_missing(project: Project, start: int) -> None:
    for seed in range(start, start + 20):
        nodes = Maker(Random(seed), "always", ("", "", "continue")).program()
        check(agree(project, nodes, "continue"), Model(nodes, "continue"), nodes)


@pytest.mark.parametrize("start", range(0, COUNT, 20))
def test_a_program_that_fails_fails_in_every_way_and_whatever_succeeded_is_right(project: Project, start: int) -> None:
    for seed in range(start, start + 20):
        random = Random(seed)
        nodes = Maker(random, "always", ("", "", "", "finish", "cancel", "continue"), peek=False).program()
        policy = random.choice(("finish", "cancel"))
        try:
            model = Model(nodes, policy)
        except Failed:
            model = None
        for way in WAYS[:3]:
            outcome = project.run(write(nodes), front(policy), **way)
            if model is not None:
                check(outcome, model, nodes)
                continue
            assert outcome.result.status == "failed"
            assert outcome.result.errors
            assert all(error.error.type == "ExpressionError" for error in outcome.result.errors)
            assert not {node.status for node in outcome.result.nodes.values()} & {"running", "pending", "ready"}


@pytest.mark.parametrize("start", range(0, COUNT, 20))
def test_a_program_that_failed_and_is_resumed_comes_to_what_it_would_have(project: Project, start: int) -> None:
    resumed = 0
    gate = project.folder / "gate"
    for seed in range(start, start + 20):
        random = Random(seed)
        nodes = Maker(random, "gate", ("", "", "finish", "cancel")).program()
        model = Model(nodes)
        gate.unlink(missing_ok=True)
        outcome = project.run(write(nodes), front(random.choice(("finish", "cancel"))), jobs=random.choice((1, 2, 8)))
        gate.write_text("7")
        if outcome.result.status == "failed":
            before = {
                path: node
                for path, node in outcome.result.nodes.items()
                if node.status == "succeeded" and ":" in node.kind
            }
            outcome = project.resume(jobs=random.choice((1, 8)))
            resumed += 1
            for path, node in before.items():
                assert outcome.result.nodes[path].output == node.output, path
        check(outcome, model, nodes)
    assert resumed


def test_the_model_bites(project: Project) -> None:
    """The negative control: a program that is not the one that ran is told from it."""
    nodes = Maker(Random(1)).program()
    others = [Maker(Random(seed)).program() for seed in range(2, 12)]
    outcome = project.run(write(nodes), journal="none")
    assert all(Model(other).output != outcome.result.output for other in others)
