"""Agents that do what they must not: each ends in a result of its own, and its siblings do not notice."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from plans.conftest import Make
from plans.ground import processes_with, until, usual_history

FINE = [["write", "task-{task}.txt", "made by task {task}\n"]]
HELD, HUNG, ALIVE = "6543210.25", "6543210.5", "6543210.75"
"""Seconds that a grandchild sleeps: marks to find it by."""

FORMS: dict[int, list[list[Any]]] = {
    1: [["exit", 1]],
    2: [["grandchild", HELD], *FINE],
    3: [*FINE, ["bytes", 50_000_000]],
    4: [*FINE, ["print_raw", "no newline"]],
    5: [*FINE, ["binary", 4096]],
    6: [],
    7: [*FINE, ["leave_locks"]],
    8: [*FINE, ["commit", "by itself"]],
    9: [*FINE, ["print_raw", "\x1b]0;owned\x07\x1b[2J\x1b[31mred\n"], ["error", "\x1b[2Joops"]],
    10: [*FINE, ["delete_git"]],
    11: [*FINE, ["damage_index"]],
    12: [*FINE, ["git", "update-ref", "refs/remotes/origin/main", "HEAD"]],
}


def test_each_misbehaviour_in_a_block_is_a_result_of_its_own(make: Make) -> None:
    ground = make({f"execute:{n}": steps for n, steps in FORMS.items()})
    ground.write(" ".join(f"{n}p" for n in FORMS))
    ground.settle(reviewer=None, max_parallel=4, continue_with_remaining_tasks=True)
    said = ground.run(seconds=120)
    assert said.code == 2, said.all
    summary = ground.summary()
    assert summary["failed"] == [1]
    assert summary["completed"] == list(range(2, 13))
    assert ground.tidy() or ground.branches()[1:] == [summary["tasks"][0]["branch"]]
    subjects = {n: f"Task {n}: Make the file of Task {n}." for n in FORMS}
    assert ground.history() == [subjects[n] if n != 8 else "by itself" for n in range(2, 13) if n != 6]
    made = {name: text for name, text in ground.files().items() if name != "README"}
    assert made == {f"task-{n}.txt": f"made by task {n}\n" for n in range(2, 13) if n != 6}
    assert summary["tasks"][5]["commits"] == []
    assert "\x1b" not in said.all
    assert processes_with(HELD) == []
    (log,) = ground.runs()[-1].glob("task-3-execute-*.log")
    assert log.stat().st_size < 25_000_000


def test_agents_that_do_not_end_are_ended_with_all_they_started(make: Make) -> None:
    ground = make({
        "execute:1": [["grandchild", HUNG], ["hold", 600]],
        "execute:2": [["ignore_term"], ["grandchild", HUNG], ["hold", 600]],
        "execute:3": FINE,
    })  # fmt: skip
    ground.write("1p 2p 3p")
    ground.settle(reviewer=None, phase_timeout_sec=3)
    said = ground.run()
    assert said.code == 1, said.all
    summary = ground.summary()
    assert (summary["completed"], summary["failed"]) == ([3], [1, 2])
    for task in summary["tasks"][:2]:
        assert task["errors"][0]["type"] == "Timeout"
        assert task["errors"][0]["message"].startswith("the agent did not end within 3 s")
    assert processes_with(HUNG) == []
    assert ground.history() == ["Task 3: Make the file of Task 3."]


def test_file_names_and_plans_that_are_no_text_are_no_failure(make: Make) -> None:
    ground = make({"plan": [["print_raw", "a \0 plan"], ["binary", 256]], "execute": [["write", "caf\udce9\n", "x"]]})
    ground.write("1")
    ground.settle(reviewer=None)
    said = ground.run()
    assert said.code == 0, said.all
    assert ground.summary()["tasks"][0]["files"] == ["caf\\xe9\n"]
    assert ground.git("ls-tree", "-r", "--name-only", "main") == 'README\n"caf\\351\\n"\n'


@pytest.mark.parametrize("parallel", [True, False], ids=["in a block", "alone"])
def test_what_git_runs_is_not_planted(make: Make, parallel: bool) -> None:
    mark = "the hook ran"
    ground = make({
        "execute:1": [*FINE, ["plant_hook", "post-checkout", f"#!/bin/sh\ntouch '{mark}'\n"]],
        "execute:2": [*FINE, ["plant", "core.fsmonitor", f"touch '{mark}'"]],
        "execute:3": FINE,
    })  # fmt: skip
    ground.write("1p 2p 3" if parallel else "1 2 3")
    ground.settle(reviewer=None, max_parallel=2, continue_with_remaining_tasks=True)
    said = ground.run()
    assert said.code == 2, said.all
    tasks = ground.summary()["tasks"]
    failed = ground.summary()["failed"]
    assert failed == [1, 2] if not parallel else failed  # side by side, the first that ends may be taken for both
    assert 3 not in failed
    assert {e["type"] for t in tasks[:2] for e in t["errors"]} == {"OutsideWrite"}
    told = " ".join(e["message"] for t in tasks for e in t["errors"])
    assert ".git/hooks/post-checkout was added" in told
    assert ".git/config was changed (core.fsmonitor)" in told
    assert "what git runs was put back" in told
    assert not (ground.repo / ".git/hooks/post-checkout").exists()
    assert "fsmonitor" not in (ground.repo / ".git/config").read_text()
    assert list(ground.folder.rglob(mark)) == []
    assert ground.history() == [f"Task {n}: Make the file of Task {n}." for n in (1, 2, 3) if n not in failed]
    assert ground.git("status", "--porcelain") == ""


def test_an_edit_outside_of_the_work_tree_is_refused_and_left_to_be_looked_at(make: Make) -> None:
    ground = make()
    outside = ground.repo / "README"
    first_ended = str(ground.folder / "ended")
    ground.agents.set({
        "plan": [["print", "a plan"]],
        "execute:1": [*FINE, ["write", str(outside), "not mine\n"]],
        "plan:2": [["print", "a plan"], ["wait_for", first_ended]],
        "execute:2": FINE,
    })  # fmt: skip
    ground.write("1p 2p")
    ground.settle(reviewer=None)
    process = ground.start_run()
    until(lambda: any(s["event"] == "end" and s["phase"] == "execute" for s in ground.agents.stamps()))
    Path(first_ended).write_text("")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out.decode() + err.decode()
    first = ground.summary()["tasks"][0]
    assert first["errors"][0]["message"].startswith(
        "the agent changed what is outside of its work tree: files of the repository: README"
    )
    assert outside.read_text() == "not mine\n"
    again = ground.run()
    assert again.code == 1, again.all
    assert "README" in again.err
    ground.git("checkout", "README")
    ground.agents.set({"plan": [["print", "a plan"]], "execute": FINE})
    assert ground.run().code == 0
    assert sorted(ground.files()) == ["README", "task-1.txt", "task-2.txt"]
    assert ground.tidy()


def test_an_agent_that_leaves_for_another_branch_moves_no_branch(make: Make) -> None:
    ground = make({"execute": [["git", "switch", "-q", "old"], *FINE]})
    ground.git("switch", "-q", "-c", "old")
    ground.git("commit", "-q", "--allow-empty", "-m", "precious")
    ground.git("switch", "-q", "main")
    ground.git("commit", "-q", "--allow-empty", "-m", "mine")
    ground.write("1")
    ground.settle(reviewer=None)
    said = ground.run()
    assert said.code == 1, said.all
    (error,) = ground.summary()["tasks"][0]["errors"]
    assert error["type"] == "OtherBranch"
    assert error["message"].startswith("the agent has left branch main for old, which does not go on from there (")
    assert "; its changes are kept in " in error["message"]
    assert (ground.history(), ground.git("status", "--porcelain")) == (["mine"], "")
    assert ground.git("branch", "--show-current") == "main\n"
    assert ground.git("log", "-1", "--format=%s", "old") == "precious\n"


def test_the_record_of_a_run_that_an_agent_deletes_is_missed_at_once(make: Make) -> None:
    ground = make({"execute:1": [*FINE, ["git", "clean", "-qfdx"]], "execute": FINE})
    ground.write("1 2")
    ground.settle(reviewer=None)
    said = ground.run()
    assert said.code == 1, said.all
    first, second = ground.summary()["tasks"]
    assert (first["status"], second["status"]) == ("failed", "not started")
    assert first["errors"][0]["message"].startswith(
        f"the agent deleted the state folder {ground.repo}/.weft, and with it the record of this run (what was committed"
    )
    assert ground.tidy()
    ground.agents.set({"plan": [["print", "a plan"]], "execute": FINE})
    assert ground.run().code == 0
    assert ground.history() == usual_history([1, 2], rounds=0)


def test_a_repository_that_an_agent_deletes_is_an_error_and_not_a_crash(make: Make) -> None:
    ground = make({"execute:1": [["delete_git"]]})
    ground.write("1 2")
    ground.settle(reviewer=None)
    said = ground.run()
    assert said.code == 1, said.all
    summary = ground.summary()
    assert (summary["failed"], summary["not_started"]) == ([1], [2])
    assert ".git" in summary["tasks"][0]["errors"][0]["message"]


@pytest.mark.parametrize("way", ["argument", "file", "stdin"])
def test_a_prompt_of_more_than_an_argument_takes_goes_another_way_or_is_refused(make: Make, way: str) -> None:
    ground = make({"execute": FINE})
    ground.write("1", {1: "Make the file of Task 1.\n" + "All of this matters. " * 7000})
    ground.settle(reviewer=None, prompt=way)
    said = ground.run()
    if way != "argument":
        assert said.code == 0, said.all
        assert min(span.prompt for span in ground.spans()) > 140_000
        return
    assert said.code == 1, said.all
    (error,) = ground.summary()["tasks"][0]["errors"]
    assert error["message"].startswith("the prompt has 147,")
    assert "and agent scripted takes at most 102,400 bytes as an argument" in error["message"]
    assert ground.spans() == []


def test_the_marks_are_found_where_something_lives() -> None:
    """The negative control of `processes_with`."""
    process = subprocess.Popen(["sleep", ALIVE])
    try:
        assert processes_with(ALIVE) == [process.pid]
    finally:
        process.kill()
        process.wait()


def test_what_the_next_agent_may_do_is_changed_by_no_agent_unless_its_task_says_so(make: Make) -> None:
    steer = [["write", ".mcp.json", "{}"], *FINE]
    ground = make({"execute:1": steer, "execute:2": steer, "execute:3": steer})
    (ground.repo / ".gitignore").write_text(".mcp.json\n")
    ground.git("add", ".gitignore")
    ground.git("commit", "-q", "-m", "ignore")
    ground.write("1 2p 3p", {3: "writes: .mcp.json, task-3.txt\n\nMake the file of Task 3."})
    ground.settle(reviewer=None, continue_with_remaining_tasks=True)
    said = ground.run()
    assert said.code == 2, said.all
    tasks = ground.summary()["tasks"]
    assert [[e["type"] for e in task["errors"]] for task in tasks] == [["SteeringWrite"], ["SteeringWrite"], []]
    assert "what tells agents and editors what to run: .mcp.json" in said.all
    assert not (ground.repo / ".mcp.json").exists()
