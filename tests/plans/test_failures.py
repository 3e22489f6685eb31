"""What fails, fails by itself: its siblings are folded and reviewed, and what it left is kept and named."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from plans.conftest import Make
from plans.ground import USUAL, Ground, usual_history
from weft.text.findings import read_review

SAME_LINE = {
    "execute:1": [["replace", "README", "two", "two, by the first"]],
    "execute:2": [["replace", "README", "two", "two, by the second"], ["write", "more.txt", "more\n"]],
}
LINE = {"file": "README", "line": 1, "message": "not so"}


def reviewing(ground: Ground, told: dict[int, Any], **settings: Any) -> None:
    """A reviewer that says something of its own about each task."""
    script = str(Path(__file__).with_name("reviewer.py"))
    command = [sys.executable, "-S", "-E", script, json.dumps(told), str(ground.folder)]
    ground.settle(reviewer=command, **settings)


def test_a_conflict_is_a_result_that_names_files_and_tasks_and_leaves_nothing_half_merged(make: Make) -> None:
    ground = make(SAME_LINE)
    ground.write("1p 2p 3")
    ground.settle(reviewer=None, continue_with_remaining_tasks=True)
    said = ground.run()
    assert said.code == 2, said.all
    summary = ground.summary()
    assert (summary["completed"], summary["failed"], summary["conflicts"]) == ([1, 3], [2], [2])
    second = summary["tasks"][1]
    (error,) = second["errors"]
    assert (error["type"], error["message"]) == (
        "Conflict",
        "task 2 conflicts in README (changed by task 1) "
        f"(`git merge {second['branch']}`, resolve it, commit, and run again; its work tree is {second['worktree']})",
    )
    assert "task 2 conflicts in README (changed by task 1)" in said.out
    assert f"its work tree is kept: {second['worktree']} (branch {second['branch']})" in said.out
    assert ground.worktrees() == [second["worktree"]]
    assert ground.branches() == ["main", second["branch"]]
    assert Path(second["worktree"], "more.txt").exists()
    assert ground.git("status", "--porcelain") == ""
    files = ground.files()
    assert files["README"] == "one\ntwo, by the first\nthree\n"
    assert "more.txt" not in files
    assert ground.history() == [f"Task {n}: Make the file of Task {n}." for n in (1, 3)]

    ground.git("merge", "-q", "-X", "theirs", "--no-edit", second["branch"])  # what the hint says
    said = ground.run()
    assert said.code == 0, said.all
    assert len(ground.calls()) == 6
    assert ground.files()["more.txt"] == "more\n"
    assert ground.tidy()


def test_siblings_of_a_failed_task_are_folded_and_reviewed_and_the_run_stops_there(make: Make) -> None:
    ground = make({"execute:2": [["write", "half.txt", "half\n"], ["error", "no idea"], ["exit", 9]]})
    ground.write("1p 2p 3p 4")
    said = ground.run()
    assert said.code == 1, said.all
    summary = ground.summary()
    assert (summary["completed"], summary["failed"], summary["not_started"]) == ([1, 3], [2], [4])
    assert summary["tasks"][1]["errors"][0]["message"].startswith("the agent ended with exit code 9: no idea (see ")
    assert ground.worktrees() == [summary["tasks"][1]["worktree"]]
    assert Path(summary["tasks"][1]["worktree"], "half.txt").exists()
    assert ground.history() == usual_history([1, 3])
    assert "run the same command again to go on from here" in said.out

    ground.agents.set({**json.loads(ground.agents.script.read_text()), "execute:2": [["write", "task-2.txt", "2\n"]]})
    said = ground.run()
    assert said.code == 0, said.all
    again = ground.calls()[len([c for c in ground.calls() if c[1] in (1, 3)]) + 2 :]
    assert {number for _, number in again} == {2, 4}
    assert again[0] == ("execute", 2)  # its plan stands
    assert ground.history() == usual_history([1, 3, 2, 4])
    assert "half.txt" not in ground.files()
    assert ground.tidy()


def test_a_failed_task_whose_work_tree_somebody_has_deleted_begins_in_a_new_one(make: Make) -> None:
    ground = make({"execute:2": [["exit", 1]]})
    ground.write("1p 2p")
    ground.settle(reviewer=None)
    assert ground.run().code == 1
    (tree,) = ground.worktrees()
    shutil.rmtree(tree)
    ground.agents.set(USUAL)
    said = ground.run()
    assert said.code == 0, said.all
    assert ground.history() == usual_history([1, 2], rounds=0)
    assert ground.tidy()


def test_work_trees_of_a_run_that_was_forgotten_are_listed_and_stay(make: Make) -> None:
    ground = make({"execute:2": [["exit", 9]]})
    ground.write("1p 2p")
    ground.settle(reviewer=None)
    assert ground.run().code == 1
    (tree,) = ground.worktrees()
    branch = ground.branches()[1]
    assert ground.weft("plan", "reset", str(ground.plan), *ground.where(), "--yes").out == (
        f"1 run forgotten\nleft by it: {tree} (branch {branch})\n"
    )
    line = f"left by another run: {tree} (branch {branch})"
    assert line in ground.weft("plan", "status", str(ground.plan), *ground.where()).out.splitlines()
    ground.write("3")
    said = ground.run()
    assert said.code == 0, said.all
    assert line in said.out.splitlines()
    assert ground.summary()["orphans"] == [{"worktree": tree, "branch": branch}]
    assert ground.worktrees() == [tree]


def test_what_is_not_committed_is_left_in_the_tree_and_never_thrown_away(make: Make) -> None:
    ground = make({"execute:2": [["write", "half.txt", "half\n"], ["exit", 9]]})
    ground.write("1p 2p 3p 4")
    ground.settle(reviewer=None, commit=False, continue_with_remaining_tasks=True)
    said = ground.run()
    assert said.code == 2, said.all
    assert ground.summary()["completed"] == [1, 3, 4]
    assert ground.history() == []
    status = {line[3:] for line in ground.git("status", "--porcelain").splitlines()}
    assert status == {"half.txt", "task-1.txt", "task-3.txt", "task-4.txt"}
    ground.agents.set({"plan": [["print", "a plan"]], "execute": [["write", "task-{task}.txt", "made\n"]]})
    said = ground.run()
    assert said.code == 0, said.all
    assert "?? task-2.txt" in ground.git("status", "--porcelain").splitlines()
    assert (ground.repo / "task-4.txt").exists()


def test_without_a_block_a_failed_task_stops_the_run_and_leaves_a_clean_tree(make: Make) -> None:
    ground = make({"execute:2": [["write", "half.txt", "half\n"], ["exit", 9]]})
    ground.write("1p 2p 3")
    said = ground.run("--no-parallel")
    assert said.code == 1, said.all
    summary = ground.summary()
    assert (summary["completed"], summary["failed"], summary["not_started"]) == ([1], [2], [3])
    assert ground.tidy()
    (patch,) = ground.runs()[-1].glob("*.patch")
    assert "half.txt" in patch.read_text()
    assert patch.name in summary["tasks"][1]["errors"][0]["message"]


def test_the_cap_of_failures_in_a_row_ends_the_run(make: Make) -> None:
    ground = make({"plan:1": [["exit", 1]], "plan:3": [["exit", 1]], "plan:4": [["exit", 1]]})
    ground.write("1 2 3 4 5")
    ground.settle(reviewer=None, continue_with_remaining_tasks=True, max_consecutive_task_failures=2)
    said = ground.run()
    assert said.code == 3, said.all
    summary = ground.summary()
    assert (summary["completed"], summary["failed"], summary["not_started"]) == ([2], [1, 3, 4], [5])
    assert "2 tasks in a row have failed; max_consecutive_task_failures is 2" in said.all


def test_a_task_that_was_done_before_ends_no_row_of_failures(make: Make) -> None:
    ground = make({"plan:1": [["exit", 1]], "plan:3": [["exit", 1]]})
    ground.write("1 2 3 4")
    ground.settle(reviewer=None, continue_with_remaining_tasks=True, max_consecutive_task_failures=2)
    assert ground.run("--task", "2").code == 0
    said = ground.run()
    assert said.code == 3, said.all
    summary = ground.summary()
    assert (summary["completed"], summary["failed"], summary["not_started"]) == ([2], [1, 3], [4])


def test_whatever_form_findings_have_they_are_addressed_until_the_reviewer_is_content(make: Make) -> None:
    ground = make({"address": [["append", "addressed.txt", "by {task}\n"]]})
    clean = [0, "[]"]
    forms: dict[int, Any] = {
        1: [[0, json.dumps([LINE])], clean],
        2: [[0, json.dumps({"findings": [LINE]})], clean],
        3: [[0, "Found this:\n```json\n" + json.dumps({"issues": [LINE]}) + "\n```\n"], [0, "No issues found."]],
        4: [[0, json.dumps({"count": 2, "findings": []})], [0, ""]],
        5: [[1, "README:1: not so"], [0, "LGTM"]],
        6: clean,
    }
    ground.write("1 2 3 4 5 6")
    reviewing(ground, forms)
    said = ground.run()
    assert said.code == 0, said.all
    assert ground.files()["addressed.txt"] == "".join(f"by {n}\n" for n in range(1, 6))
    assert [t["rounds"] for t in ground.summary()["tasks"]] == [1, 1, 1, 1, 1, 0]


def test_a_reviewer_that_fails_is_not_mistaken_for_findings(make: Make) -> None:
    ground = make()
    told: dict[int, Any] = {1: [3, json.dumps([LINE])], 2: "hang", 3: [1, ""], 4: [0, "[]"]}
    ground.write("1 2 3 4")
    reviewing(ground, told, continue_with_remaining_tasks=True, phase_timeout_sec=4)
    said = ground.run()
    assert said.code == 2, said.all
    tasks = ground.summary()["tasks"]
    assert [t["status"] for t in tasks] == ["failed", "failed", "failed", "done"]
    assert [t["errors"][0]["type"] for t in tasks[:3]] == ["ReviewerFailed"] * 3
    assert tasks[0]["errors"][0]["message"] == (
        f"the reviewer ended with exit code 3 (see {ground.runs()[-1]}/task-1-review-1-1.log)"
    )
    assert tasks[1]["errors"][0]["message"].startswith("the reviewer did not end within 4 s")
    assert ground.spans("address") == []

    told = {1: [[3, "[]"], [0, "[]"]], 2: [3, "[]"], 3: [0, "[]"]}
    reviewing(ground, told, continue_with_remaining_tasks=True, on_review_fail="retry_once")
    said = ground.run()
    assert said.code == 2, said.all
    assert [t["status"] for t in ground.summary()["tasks"]] == ["done", "failed", "done", "done"]

    reviewing(ground, told, on_review_fail="skip")
    said = ground.run()
    assert said.code == 0, said.all
    second = ground.summary()["tasks"][1]
    assert (second["status"], second["reviewed"]) == ("done", False)
    assert second["review_failed"].startswith("the reviewer ended with exit code 3")
    assert "  not reviewed: the reviewer ended with exit code 3" in said.out
    assert len(ground.calls()) == 8  # phases 1 and 2 ran once


def test_findings_that_stay_fail_the_task_or_are_a_warning(make: Make) -> None:
    ground = make({"address": [["append", "addressed.txt", "by {task}\n"]]})
    ground.write("1")
    reviewing(ground, {1: [0, json.dumps([LINE])]}, max_address_rounds=2)
    said = ground.run()
    assert said.code == 1, said.all
    assert ground.summary()["tasks"][0]["errors"][0]["message"] == (
        "1 finding left after review: README:1: not so (fix them by hand, or on_findings_remaining = 'warn')"
    )
    assert ground.summary()["remaining_findings"] == {"1": [{**_finding(), "message": "not so"}]}
    assert ground.calls().count(("address", 1)) == 2
    reviewing(ground, {1: [0, json.dumps([LINE])]}, max_address_rounds=1, on_findings_remaining="warn")
    said = ground.run()
    assert said.code == 2, said.all
    assert ground.calls().count(("address", 1)) == 3  # it was reviewed anew
    summary = ground.summary()
    assert (summary["status"], summary["completed"]) == ("issues", [1])
    assert list(summary["remaining_findings"]) == ["1"]
    assert "  left: not so" in said.out


def _finding() -> Any:
    import msgspec

    return msgspec.to_builtins(read_review(0, json.dumps([LINE])).findings[0])


def test_without_a_reviewer_phase_three_is_skipped_and_that_is_said(make: Make) -> None:
    ground = make()
    ground.write("1")
    ground.settle(reviewer=None)
    text = ground.config.read_text().replace('reviewer = "none"\n', "")
    ground.config.write_text(text)
    said = ground.run(env={"PATH": "/usr/bin:/bin"})
    assert said.code == 0, said.all
    assert "nobody reviewed: the reviewer stet is not installed" in said.out
    assert ground.summary()["review_skipped"] == "the reviewer stet is not installed"
    assert ground.history() == ["Task 1: Make the file of Task 1."]


def test_findings_are_dismissed_by_patterns_and_by_the_agent_and_never_by_prose(make: Make) -> None:
    ground = make({
        "address": [["append", "addressed.txt", "by {task}\n"]],
        "plan:2": [
            ["write", "stray.txt", "neither phase 1 nor a dismissal may change anything\n"],
            ["print", json.dumps({"dismiss": [{"id": _finding()["id"], "reason": "out_of_scope"}]})],
        ],
        "plan:3": [["print", "All of them are wrong: dismiss them."]],
    })  # fmt: skip
    ground.write("1 2 3")
    vendored = {"file": "vendor/x.js", "line": 3, "message": "ugly"}
    told = {1: [0, json.dumps([vendored])], 2: [0, json.dumps([LINE])], 3: [[0, json.dumps([LINE])], [0, "[]"]]}
    reviewing(ground, told, dismiss="agent", dismiss_patterns=["out_of_scope: vendor/"])
    said = ground.run()
    assert said.code == 0, said.all
    tasks = ground.summary()["tasks"]
    assert [[d["by"] for d in t["dismissed"]] for t in tasks] == [["pattern vendor/"], ["agent"], []]
    assert [t["rounds"] for t in tasks] == [0, 0, 1]
    assert ground.files()["addressed.txt"] == "by 3\n"
    assert "stray.txt" not in ground.files()
    kept = sorted(path.name for path in ground.runs()[-1].glob("*.patch"))
    assert kept == ["task-2-ask-1-1-unasked.patch", "task-2-plan-1-unasked.patch"]
    assert all("+++ b/stray.txt" in (ground.runs()[-1] / name).read_text() for name in kept)


def test_a_task_whose_command_does_not_succeed_afterwards_has_failed(make: Make) -> None:
    ground = make()
    ground.write("1p 2p", {
        1: "verify: test -f task-1.txt && test ! -e task-2.txt\nMake the file of Task 1.",
        2: "verify: echo no such thing >&2; exit 3\nMake the file of Task 2.",
    })  # fmt: skip
    ground.settle(reviewer=None)
    said = ground.run()
    assert said.code == 1, said.all
    first, second = ground.summary()["tasks"]
    log = ground.runs()[-1] / "task-2-execute-1-verify.log"
    assert (first["status"], second["status"], second["errors"][0]["type"]) == ("done", "failed", "VerifyFailed")
    assert second["errors"][0]["message"] == (
        "`echo no such thing >&2; exit 3`, which must succeed afterwards, ended with exit code 3: no such thing "
        f"(see {log})"
    )
    assert "no such thing" in log.read_text()
    assert ground.history() == usual_history([1], rounds=0)


def test_a_plan_that_is_too_short_is_asked_for_once_more(make: Make) -> None:
    mark = "the plan is long enough, and has all that it needs: files, steps, checks"
    ground = make({"plan:1": [["print", "ok"]], "plan:2": [["print", mark]]})
    ground.write("1p 2p")
    ground.settle(reviewer=None, validate_plan_text=True)
    said = ground.run()
    assert said.code == 1, said.all
    assert ground.calls().count(("plan", 1)) == 2
    assert ground.calls().count(("plan", 2)) == 1
    (error,) = ground.summary()["tasks"][0]["errors"]
    assert error["message"].startswith("the plan has 2 characters, fewer than 50: ok (see ")


def test_a_reviewer_is_told_the_task_and_from_where_to_where_its_work_reaches(make: Make) -> None:
    ground = make()
    ground.write("1 2p 3p")
    told = ground.folder / "told"
    log = "git log --format=%s $WEFT_PLAN_BASE..$WEFT_PLAN_TIP"
    ground.settle(reviewer=["sh", "-c", f'echo "$WEFT_PLAN_TASK $WEFT_PLAN_PHASE: $({log})" >> {told}'])
    said = ground.run()
    assert said.code == 0, said.all
    assert told.read_text().splitlines() == [f"{n} review: Task {n}: Make the file of Task {n}." for n in (1, 2, 3)]
