"""Which repositories a plan runs on, and what it leaves alone in them."""

from __future__ import annotations

from plans.conftest import Make
from plans.ground import Ground, until, usual_history


def test_a_repository_that_is_in_no_state_to_begin_with_is_refused(ground: Ground) -> None:
    ground.write("1")

    def refused() -> str:
        said = ground.run()
        assert (said.code, said.out) == (1, "")
        return said.err.replace(str(ground.repo), "REPO")

    (ground.repo / "README").write_text("mine\n")
    assert refused() == (
        "weft: REPO has changes that are not committed: README\nhint: commit or stash them, or give --allow-dirty\n"
    )
    ground.git("checkout", "-q", "README")
    ground.git("checkout", "-q", "--detach")
    assert refused() == (
        "weft: REPO is on no branch (its HEAD is detached)\n"
        "hint: `git switch BRANCH`, or `git switch -c NEW` to make one here\n"
    )
    ground.git("checkout", "-q", "main")
    (ground.repo / ".git/MERGE_HEAD").write_text(ground.begin)
    assert refused() == "weft: REPO is in the middle of a merge\nhint: finish it, or `git merge --abort`\n"
    (ground.repo / ".git/MERGE_HEAD").unlink()
    ground.git("config", "--unset", "user.name")
    env = {"GIT_AUTHOR_NAME": "", "GIT_COMMITTER_NAME": "", "GIT_AUTHOR_EMAIL": "", "GIT_COMMITTER_EMAIL": ""}
    said = ground.run(env=env)
    assert said.err.startswith("weft: git does not know who commits here\n")
    assert ground.calls() == []
    outside = ground.weft("plan", "run", str(ground.plan), "--repo", str(ground.folder), "--config", str(ground.config))
    assert (outside.code, outside.err.splitlines()[0]) == (1, f"weft: {ground.folder} is not a git repository")


def test_what_was_not_committed_before_is_told_from_what_tasks_change(make: Make) -> None:
    ground = make()
    (ground.repo / "README").write_text("mine\n")
    (ground.repo / "notes").write_text("mine, too\n")
    ground.write("1 2p 3p")
    said = ground.run("--allow-dirty")
    assert said.code == 0, said.all
    assert ground.history() == usual_history([1, 2, 3])
    assert ground.files()["README"] == "one\ntwo\nthree\n"
    assert ground.git("status", "--porcelain") == " M README\n?? notes\n"
    assert (ground.repo / "README").read_text() == "mine\n"


def test_a_task_that_changes_what_was_changed_before_fails_and_takes_nothing_away(make: Make) -> None:
    ground = make({"execute": [["append", "README", "by task {task}\n"]]})
    (ground.repo / "README").write_text("mine\n")
    ground.write("1")
    ground.settle(reviewer=None)
    said = ground.run("--allow-dirty")
    assert said.code == 1, said.all
    (error,) = ground.summary()["tasks"][0]["errors"]
    assert error["message"].startswith("the task changed files that had changes of their own before: README")
    assert (ground.repo / "README").read_text() == "mine\nby task 1\n"
    assert ground.history() == []


def test_what_an_interrupted_task_left_beside_uncommitted_changes_is_named_and_stays(make: Make) -> None:
    ground = make({"execute": [["write", "half.txt", "half\n"], ["wait_for", "/nonexistent/never"]]})
    (ground.repo / "README").write_text("mine\n")
    ground.write("1")
    ground.settle(reviewer=None)
    process = ground.start_run("--allow-dirty")
    until((ground.repo / "half.txt").exists)
    process.kill()
    process.wait(10)
    said = ground.run("--allow-dirty")
    assert said.code == 1, said.all
    (error,) = ground.summary()["tasks"][0]["errors"]
    assert error["message"] == (
        "what is not committed may not be put back, and is not as it was when the task began: half.txt"
        " (look at `git status`, put it in order, and run again)"
    )
    assert (ground.repo / "half.txt").read_text() == "half\n"
    (ground.repo / "half.txt").unlink()
    ground.agents.set({"plan": [["print", "a plan"]], "execute": [["write", "whole.txt", "whole\n"]]})
    said = ground.run("--allow-dirty")
    assert said.code == 0, said.all
    assert ground.git("status", "--porcelain") == " M README\n"
    assert ground.files()["whole.txt"] == "whole\n"
