"""A plan may be killed at any moment: the same command goes on, and comes to what an undisturbed run comes to."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agents.scripted import most_at_once
from plans.conftest import Make
from plans.ground import WEFT, Ground, processes_with, until, usual_history

PLAN = "1 2p 3p"
SCRIPT = {
    "plan": [["print", "the plan of task {task}: written down, and then done"], ["hold", 0.05]],
    "execute": [["write", "task-{task}.txt", "made "], ["hold", 0.05], ["append", "task-{task}.txt", "by task {task}\n"]],
    "address": [["write", "task-{task}.fixed", "fix"], ["hold", 0.05], ["append", "task-{task}.fixed", "ed\n"]],
}  # fmt: skip
FILES = {
    "README": "one\ntwo\nthree\n",
    **{f"task-{n}.txt": f"made by task {n}\n" for n in (1, 2, 3)},
    **{f"task-{n}.fixed": "fixed\n" for n in (1, 2, 3)},
}


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)


def check_done(ground: Ground) -> None:
    """The state after everything: that of an undisturbed run."""
    assert ground.history() == usual_history([1, 2, 3])
    assert ground.files() == FILES
    assert ground.tidy(), (ground.git("status", "--porcelain"), ground.worktrees(), ground.branches())
    assert processes_with(str(ground.folder)) == []


def reviewed_before_done(ground: Ground) -> None:
    """No task counts as done whose review is not."""
    listed = ground.weft("plan", "status", str(ground.plan), *ground.where(), "--json")
    assert listed.code == 0, listed.all
    for task in json.loads(listed.out)["tasks"]:
        if task["status"] == "done":
            assert f"Task {task['task']}: review, round 1" in ground.history()


def boundaries(ground: Ground) -> list[str]:
    """Moments of a run, each at its first occurrence in the stamps of agents and reviewers."""
    found = [f"{s['phase']}:{s['task']}:{s['event']}" for s in ground.agents.stamps()]
    return found + [f"review:{n}:{s['event']}" for n, s in enumerate(ground.agents.review_stamps())]


def killed_at(ground: Ground, moment: str, delay: float = 0.0) -> None:
    process = ground.start_run()
    until(lambda: moment in boundaries(ground) or process.poll() is not None)
    time.sleep(delay)
    kill(process)


@pytest.mark.parametrize("moment", ["execute:2:end", "address:1:end"])
def test_a_run_that_was_killed_at_a_boundary_goes_on_with_what_is_missing(make: Make, moment: str) -> None:
    ground = make(SCRIPT)
    ground.write(PLAN)
    killed_at(ground, moment)
    before = ground.calls()
    reviewed_before_done(ground)
    said = ground.run()
    assert said.code == 0, said.all
    check_done(ground)
    again = ground.calls()[len(before) :]
    twice = [call for call in set(ground.calls()) if ground.calls().count(call) > 1]
    assert len(twice) <= 2  # what ran in that moment, side by side at most
    assert all(call in again for call in twice)


MOMENTS = [
    f"{phase}:{task}:{event}"
    for task in (1, 2, 3)
    for phase in ("plan", "execute", "address")
    for event in ("start", "end")
] + [f"review:{n}:{event}" for n in range(12) for event in ("start", "end")]


@pytest.mark.torture
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_boundary(make: Make, moment: str) -> None:
    ground = make(SCRIPT)
    ground.write(PLAN)
    killed_at(ground, moment, 0.02)
    assert ground.run().code == 0
    check_done(ground)


def at_random(make: Make, seed: int) -> None:
    """Killed up to three times, each after a random while."""
    draw = random.Random(seed)
    ground = make(SCRIPT)
    ground.write(PLAN)
    for _ in range(draw.randint(1, 3)):
        process = ground.start_run()
        try:
            process.communicate(timeout=draw.uniform(0.3, 5))
            break
        except subprocess.TimeoutExpired:
            kill(process)
    said = ground.run()
    assert said.code == 0, (seed, said.all)
    check_done(ground)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_was_killed_at_random_moments_comes_to_the_same(make: Make, seed: int) -> None:
    at_random(make, seed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_hundred_random_moments(make: Make, seed: int) -> None:
    at_random(make, seed)


NOT_FIXED = ["sh", "-c", 'test -e "task-$WEFT_PLAN_TASK.fixed" || echo "task-$WEFT_PLAN_TASK.txt:1: not fixed"']
"""A reviewer that looks at the task at hand only."""


def any_mixture(make: Make, seed: int) -> None:
    """Agents that fail here and there, kills, other settings; in the end all is well, and everything is there once."""
    draw = random.Random(seed)
    ground = make(SCRIPT)
    numbers = range(1, draw.randint(3, 5))
    ground.write(" ".join(f"{n}{draw.choice(['', 'p', 'p'])}" for n in numbers))
    for _ in range(draw.randint(1, 3)):
        bad = [f"{phase}:{n}" for n in numbers for phase in SCRIPT if draw.random() < 0.2]
        ground.agents.set({**SCRIPT, **{key: [["write", "half.txt", key], ["exit", 1]] for key in bad}})
        ground.settle(NOT_FIXED, continue_with_remaining_tasks=draw.random() < 0.7, max_parallel=draw.choice([1, 2, 4]))
        filters = draw.choice([(), (), ("--task", "2"), ("--from-task", "2")])
        process = ground.start_run(*filters)
        try:
            process.communicate(timeout=draw.choice([90, draw.uniform(0.3, 6)]))
        except subprocess.TimeoutExpired:
            kill(process)
    ground.agents.set(SCRIPT)
    ground.settle(NOT_FIXED, max_parallel=draw.choice([1, 4]))
    said = ground.run()
    assert said.code == 0, (seed, said.all)
    assert sorted(ground.history()) == sorted(usual_history(numbers)), seed
    assert "half.txt" not in ground.files()
    assert sorted(ground.files()) == sorted(
        ["README", *(f"task-{n}.{end}" for n in numbers for end in ("txt", "fixed"))]
    )
    assert ground.tidy(), (seed, ground.git("status", "--porcelain"), ground.worktrees(), ground.branches())
    assert ground.run().out == "nothing to do: every task is done\n"


@pytest.mark.parametrize("seed", [1, 2])
def test_failures_and_kills_in_a_mixture_come_to_the_same(make: Make, seed: int) -> None:
    any_mixture(make, seed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 160))
def test_failures_and_kills_in_any_mixture(make: Make, seed: int) -> None:
    any_mixture(make, seed)


def test_only_what_is_missing_of_a_block_runs_and_side_by_side(make: Make) -> None:
    ground = make({**SCRIPT, "plan:3": [["exit", 1]], "plan:4": [["exit", 1]]})
    ground.write("1 2p 3p 4p")
    assert ground.run().code == 1
    assert ground.history() == usual_history([1, 2])
    count = len(ground.calls())
    slow = [["print", "the plan"], ["hold", 0.4]]
    ground.agents.set({**SCRIPT, "plan": slow})
    said = ground.run()
    assert said.code == 0, said.all
    again = ground.spans()[count:]
    assert {s.task for s in again} == {"3", "4"}
    assert most_at_once([s for s in again if s.phase == "plan"]) == 2
    assert ground.history() == usual_history([1, 2, 3, 4])
    count = len(ground.calls())
    nothing = ground.run()
    assert (nothing.code, nothing.out) == (0, "nothing to do: every task is done\n")
    assert len(ground.calls()) == count
    assert ground.tidy()


def test_a_review_that_was_passed_over_is_not_passed_over_when_its_task_is_done(make: Make) -> None:
    ground = make({**SCRIPT, "execute:2": [["exit", 1]], "plan:3": [["exit", 1]]})
    ground.write("1p 2p 3")
    ground.settle(NOT_FIXED, continue_with_remaining_tasks=True)
    assert ground.run().code == 2
    ground.agents.set({**SCRIPT, "address:3": [["exit", 1]]})
    assert ground.run("--from-task", "2").code == 2
    ground.agents.set(SCRIPT)
    said = ground.run()
    assert said.code == 0, said.all
    assert ground.history() == usual_history([1, 2, 3])
    assert ground.tidy()
    listed = ground.weft("plan", "status", str(ground.plan), *ground.where(), "--json")
    assert [task["status"] for task in json.loads(listed.out)["tasks"]] == ["done"] * 3


def test_an_edited_task_is_refused_by_name_and_a_new_one_just_runs(make: Make) -> None:
    ground = make(SCRIPT)
    ground.write("1 2")
    assert ground.run().code == 0
    ground.write("1 2 3")
    said = ground.run()
    assert said.code == 0, said.all
    assert ground.history() == usual_history([1, 2, 3])
    ground.write("1 2 3", {2: "Make it otherwise, Task 2."})
    count = len(ground.calls())
    said = ground.run()
    assert (said.code, said.out) == (65, "")
    assert said.err == (
        "weft: tasks were edited since they ran\n"
        "  task 2 has another text\n"
        "hint: --accept-changes runs them again; or restore their text\n"
    )
    assert len(ground.calls()) == count
    status = ground.weft("plan", "status", str(ground.plan), *ground.where())
    assert status.out.splitlines()[:3] == ["task 1  done", "task 2  done (its text was edited since)", "task 3  done"]
    ground.agents.set({**SCRIPT, "execute:2": [["write", "task-2.md", "otherwise\n"]]})
    said = ground.run("--accept-changes")
    assert said.code == 0, said.all
    assert {n for _, n in ground.calls()[count:]} == {2}
    assert ground.files()["task-2.md"] == "otherwise\n"
    assert ground.run().out == "nothing to do: every task is done\n"


def test_a_branch_goes_whose_work_tree_was_gone_when_the_end_came(make: Make) -> None:
    ground = make(SCRIPT)
    ground.write(PLAN)
    killed_at(ground, "address:3:start")
    (tree,) = ground.worktrees()
    shutil.rmtree(tree)  # as the end may come in the middle of removing it
    ground.git("worktree", "prune")
    assert len(ground.branches()) == 2
    said = ground.run()
    assert said.code == 0, said.all
    check_done(ground)


def test_a_task_that_is_done_after_its_followers_takes_nothing_of_theirs_away(make: Make) -> None:
    ground = make({**SCRIPT, "execute:1": [["exit", 1]]})
    ground.write("1 2 3")
    ground.settle(continue_with_remaining_tasks=True)
    process = ground.start_run()
    until(lambda: "execute:3:start" in boundaries(ground))
    kill(process)
    ground.agents.set(SCRIPT)
    said = ground.run()
    assert said.code == 0, said.all
    assert ground.history() == usual_history([2, 1, 3])
    assert ground.files() == FILES
    assert ground.tidy()


def test_a_review_that_fails_twice_is_begun_anew_twice(make: Make) -> None:
    ground = make({**SCRIPT, "address": [["exit", 1]]})
    ground.write("1 2")
    for _ in range(3):
        assert ground.run().code == 1
    assert ground.calls() == [("plan", 1), ("execute", 1), *[("address", 1)] * 3]
    ground.agents.set(SCRIPT)
    said = ground.run()
    assert said.code == 0, said.all
    assert ground.history() == usual_history([1, 2])
    assert ground.run().out == "nothing to do: every task is done\n"
    assert ground.run("--task", "2").out == "nothing to do: every task is done\n"


def test_two_runs_at_once_are_one_run_and_an_exit_code(make: Make) -> None:
    ground = make({**SCRIPT, "execute:1": [["wait_for", "/nonexistent/never"]]})
    ground.write("1")
    process = ground.start_run()
    until(lambda: "execute:1:start" in boundaries(ground))
    second = ground.run()
    assert (second.code, second.out) == (75, "")
    assert "another plan runs on this repository: process " in second.err
    beside = ground.folder / "beside"
    ground.git("worktree", "add", "-q", str(beside), "HEAD")  # another state, another tree, the same repository
    elsewhere = ground.weft("plan", "run", str(ground.plan), "--repo", str(beside), "--config", str(ground.config))
    assert (elsewhere.code, elsewhere.out) == (75, "")
    ground.git("worktree", "remove", "--force", str(beside))
    status = ground.weft("plan", "status", str(ground.plan), *ground.where())
    assert "task 1  running: execute" in status.out
    reset = ground.weft("plan", "reset", str(ground.plan), *ground.where(), "--yes")
    assert (reset.code, reset.out) == (75, "")
    assert reset.err.splitlines()[-1] == "hint: wait for it, or end it with `weft plan run --take-over`"
    ground.agents.set(SCRIPT)
    third = ground.run("--take-over")
    assert third.code == 0, third.all
    assert process.wait(10) != 0
    assert ground.history() == usual_history([1])
    assert ground.tidy()


def test_what_runs_after_the_end_runs_after_an_interruption_too(make: Make) -> None:
    ground = make({**SCRIPT, "execute:1": [["wait_for", "/nonexistent/never"]]})
    ground.write("1")
    told = ground.folder / "told"
    ground.settle(post_run_commands=[f'echo "$WEFT_PLAN_EXIT_CODE" > {told}'])
    process = ground.start_run()
    until(lambda: "execute:1:start" in boundaries(ground))
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while b"leaving" not in process.stderr.readline():  # the second signal is the one that stops what runs
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.decode().splitlines()[-2:] == [
        f"plan interrupted (run {ground.runs()[-1].name})", "run the same command again to go on from here"
    ]  # fmt: skip
    assert (ground.summary()["status"], ground.summary()["exit_code"]) == ("interrupted", 130)
    assert told.read_text() == "130\n"


def test_what_an_interrupted_agent_left_is_kept_as_a_patch(make: Make) -> None:
    half = [["write", "task-{task}.txt", "half\n"], ["wait_for", "/nonexistent/never"]]
    ground = make({**SCRIPT, "execute": half})
    ground.write("1p 2p")
    process = ground.start_run()
    ends = [f"execute:{n}:start" for n in (1, 2)]
    until(lambda: all(end in boundaries(ground) for end in ends))
    until(lambda: len(list((ground.repo / ".weft").rglob("task-?.txt"))) == 2)
    kill(process)
    status = ground.weft("plan", "status", str(ground.plan), *ground.where())
    assert [line for line in status.out.splitlines() if not line.startswith("  ")] == [
        *(f"task {n}  interrupted: execute" for n in (1, 2)), f"plan interrupted (run {ground.runs()[-1].name})"
    ]  # fmt: skip
    ground.agents.set(SCRIPT)
    said = ground.run()
    assert said.code == 0, said.all
    patches = sorted(path.name for path in ground.runs()[-1].glob("*.patch"))
    assert patches == ["task-1-execute-1-left.patch", "task-2-execute-1-left.patch"]
    assert "+half" in (ground.runs()[-1] / patches[0]).read_text()
    assert ground.files()["task-1.txt"] == "made by task 1\n"
    assert ground.history() == usual_history([1, 2])
    assert ground.tidy()


def test_a_run_goes_on_only_on_its_branch_and_what_was_committed_since_is_kept(make: Make) -> None:
    ground = make({**SCRIPT, "execute": [["write", "half.txt", "half\n"], ["wait_for", "/nonexistent/never"]]})
    ground.write("1")
    process = ground.start_run()
    until((ground.repo / "half.txt").exists)
    kill(process)
    ground.git("switch", "-q", "-c", "other")
    ground.agents.set(SCRIPT)
    said = ground.run()
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "weft: this run was interrupted on branch main, and other is checked out now\n"
        "hint: `git switch main`, and run again; or begin anew with `weft plan reset`\n"
    )
    ground.git("switch", "-q", "main")
    (ground.repo / "mine.txt").write_text("mine\n")
    ground.git("add", "mine.txt")
    ground.git("commit", "-q", "-m", "mine")
    tip = ground.git("rev-parse", "main").strip()
    said = ground.run()
    assert said.code == 0, said.all
    assert f"is kept in {ground.runs()[-1]}/task-1-execute-1-left.patch and on branch weft/left-{tip[:12]})" in said.out
    assert ground.history() == usual_history([1])
    assert ground.branches() == ["main", "other", f"weft/left-{tip[:12]}"]
    assert ground.git("log", "-1", "--format=%s", f"weft/left-{tip[:12]}") == "mine\n"


def test_other_commands_know_the_run_of_a_plan(ground: Ground) -> None:
    ground.write("1")
    assert ground.run().code == 0

    def weft(*words: str) -> tuple[int, str, str]:
        command = [*WEFT, *words]
        process = subprocess.run(command, cwd=ground.repo, env=ground.env, capture_output=True, check=False)
        return process.returncode, process.stdout.decode(), process.stderr.decode()

    code, out, err = weft("runs")
    assert (code, err) == (0, "")
    assert "plan.md" in out
    code, out, err = weft("show", "last")
    assert (code, err) == (0, "")
    assert "plan.md" in out
    code, out, err = weft("resume", "last")
    assert (code, out) == (64, "")
    assert err == (f"weft: this is the run of a plan\nhint: weft plan run {Path(ground.plan)} --repo {ground.repo}\n")
