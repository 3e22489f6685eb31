"""In which order a plan runs, and what it leaves: the order is the same whatever finishes first."""

from __future__ import annotations

import json

import pytest

from agents.scripted import most_at_once
from plans.conftest import Make
from plans.ground import ONE_BLOCK, Ground, usual_history

HOLD = {
    "plan": [["print", "the plan of task {task}"], ["hold", 0.25]],
    "execute:1": [["hold", 0.9], ["write", "task-1.txt", "made by task 1\n"]],
    "execute": [["hold", 0.25], ["write", "task-{task}.txt", "made by task {task}\n"]],
    "address": [["hold", 0.05], ["write", "task-{task}.fixed", "fixed\n"]],
}
"""The first task takes longest."""


def test_a_block_runs_side_by_side_as_a_pool_and_is_reviewed_one_by_one(make: Make) -> None:
    ground = make(HOLD)
    mark = str(ground.folder / "the third has begun")
    made = [["write", "task-1.txt", "made by task 1\n"]]
    third = {"execute:1": [["wait_for", mark], *made], "plan:3": [["write", mark, ""], *HOLD["plan"]]}
    ground.agents.set({**HOLD, **third})  # a pool: the third does not wait for the first two
    ground.write(ONE_BLOCK)
    ground.settle(max_parallel=2, prompt="file")
    said = ground.run()
    assert (said.code, said.err) == (0, ""), said.all
    work, fixes = ground.spans("plan", "execute"), ground.spans("address")
    assert most_at_once(work) == 2
    assert most_at_once(ground.spans()) == 2
    assert [s.task for s in fixes] == ["1", "2", "3", "4"]
    assert most_at_once(fixes) == 1
    assert fixes[0].start > max(s.end or 0 for s in work)
    assert ground.history() == usual_history([1, 2, 3, 4])
    assert ground.tidy()
    trees = {s.cwd for s in work}
    assert len(trees) == 4
    heads = [json.loads(log.read_text().splitlines()[0]) for log in ground.runs()[-1].glob("task-*-execute-1.log")]
    assert {(head["cwd"], head["argv"][-1]) for head in heads} == {(tree, tree) for tree in trees}
    assert {s.cwd for s in fixes} == {str(ground.repo)}
    summary = ground.summary()
    assert (summary["completed"], summary["failed"], summary["not_started"]) == ([1, 2, 3, 4], [], [])


@pytest.mark.parametrize("flags", [("--no-parallel",), ("--max-parallel", "1")])
def test_without_parallel_a_block_is_a_sequence_with_the_same_result(make: Make, flags: tuple[str, ...]) -> None:
    ground = make()
    ground.write("1p 2p")
    said = ground.run(*flags)
    assert (said.code, said.err) == (0, ""), said.all
    assert most_at_once(ground.spans()) == 1
    phases = ("plan", "execute", "address")
    assert ground.calls() == [(phase, number) for number in (1, 2) for phase in phases]
    assert {s.cwd for s in ground.spans()} == {str(ground.repo)}
    assert ground.history() == usual_history([1, 2])
    assert ground.tidy()


def test_one_task_of_a_block_alone_is_sequential_and_the_rest_follow_from_there(make: Make) -> None:
    ground = make()
    ground.write("1 2p 3p 4")
    said = ground.run("--task", "3")
    assert said.code == 0
    assert ground.calls() == [(phase, 3) for phase in ("plan", "execute", "address")]
    assert {s.cwd for s in ground.spans()} == {str(ground.repo)}
    assert ground.history() == usual_history([3])
    unknown = ground.run("--from-task", "7")
    assert (unknown.code, unknown.out) == (64, "")
    assert unknown.err == f"weft: --from-task: there is no task 7 in {ground.plan}\nhint: available are 1-4\n"
    said = ground.run("--from-task", "2")
    assert said.code == 0
    assert sorted({n for _, n in ground.calls()}) == [2, 3, 4]
    assert ground.calls().count(("execute", 3)) == 1
    assert ground.history() == usual_history([3, 2, 4])
    assert ground.tidy()


def test_a_shared_block_has_one_tree_and_one_commit_after_all_of_its_tasks(make: Make) -> None:
    ground = make({**HOLD, "address:1": [["write", f"task-{n}.fixed", "fixed\n"] for n in (1, 2)]})
    ground.write("1p 2p 3")
    ground.settle(isolation="shared")
    said = ground.run()
    assert (said.code, said.err) == (0, ""), said.all
    assert most_at_once(ground.spans("plan", "execute")) == 2
    assert {s.cwd for s in ground.spans()} == {str(ground.repo)}
    assert ground.history() == [
        "Tasks 1, 2",
        "Task 1: review, round 1",
        *usual_history([3]),
    ]
    assert "task-2.txt" in ground.files()
    assert ground.tidy()


def test_hazards_are_scheduled_by_what_tasks_say_they_write_and_that_is_verified(make: Make) -> None:
    ground = make(HOLD)
    said_to_write = {n: f"writes: task-{n}.txt\n\nMake the file of Task {n}." for n in (1, 2, 4)}
    said_to_write[3] = "needs: 1\nwrites: task-3.txt\n\nMake the file of Task 3."
    said_to_write[4] = "writes: task-4.md\n\nMake the file of Task 4."
    ground.write("1 2 3 4", said_to_write)
    ground.settle(schedule="hazards", reviewer=None)
    checked = json.loads(ground.weft("plan", "check", str(ground.plan), *ground.where(), "--json").out)
    said = ground.run()
    assert checked["segments"] == ["P[1,2,4]", "S3"]
    assert said.code == 1
    spans = {(s.phase, s.task): s for s in ground.spans()}
    assert spans["plan", "2"].start < (spans["execute", "1"].end or 0)
    (error,) = ground.summary()["tasks"][3]["errors"]
    assert error["type"] == "UndeclaredWriteError"
    assert "task-4.txt" in error["message"]
    assert ground.summary()["not_started"] == [3]
    assert ground.history() == ["Task 1: Make the file of Task 1.", "Task 2: Make the file of Task 2."]
    assert "task-4.txt" not in ground.files()


def test_the_order_of_the_history_is_that_of_the_tasks_and_not_that_of_their_ends(ground: Ground) -> None:
    """The negative control: by the stamps, the first task ended last."""
    ground.agents.set({**HOLD, "address": [["write", "task-{task}.fixed", "fixed\n"]]})
    ground.write("1p 2p")
    assert ground.run().code == 0
    ends = {s.task: s.end or 0 for s in ground.spans("execute")}
    assert ends["1"] > ends["2"]
    assert ground.history() == usual_history([1, 2])
