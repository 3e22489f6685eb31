"""What an agent left outside of its work tree is found, named and put back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtimes.repositories import Sandbox
from weft.runtimes.planted import (
    MAX_KEPT,
    Plant,
    changed_outside,
    footprint,
    guard,
    planted,
    restore,
)

pytestmark = pytest.mark.anyio

HOOK = "#!/bin/sh\nexit 0\n"


async def test_nothing_changed_is_nothing_found_whatever_git_did_meanwhile(sandbox: Sandbox) -> None:
    before = guard(sandbox.repository.place)
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"x": "x\n"})
    await sandbox.finish(tree, base)
    sandbox.git("gc", "-q")
    assert await planted(sandbox.repository, before) == ()


async def test_what_is_planted_is_named_and_put_back(sandbox: Sandbox) -> None:
    git = sandbox.top / ".git"
    (git / "hooks").mkdir(exist_ok=True)
    (git / "hooks/pre-commit").write_text(HOOK)
    (git / "hooks/pre-push").symlink_to("/nowhere/mine")
    (git / "info").mkdir(exist_ok=True)
    (git / "info/attributes").write_text("*.txt text\n")
    await sandbox.task(1)
    files = {path: path.read_bytes() for path in git.rglob("*") if path.is_file() and "objects" not in path.parts}
    before = guard(sandbox.repository.place)

    sandbox.git("config", "core.fsmonitor", "/bin/evil")
    sandbox.git("config", "filter.x.clean", "/bin/evil")
    (git / "config.worktree").write_text("[core]\n\tfsmonitor = evil\n")
    (git / "hooks/pre-commit").chmod(0o755)
    (git / "hooks/pre-push").unlink()
    (git / "hooks/pre-push").symlink_to("/nowhere/evil")
    (git / "hooks/post-checkout").write_text(HOOK)
    (git / "info/attributes").unlink()
    (git / "worktrees/task-1/commondir").write_text("/elsewhere\n")
    found = await planted(sandbox.repository, before)
    assert [str(plant) for plant in found] == [
        ".git/config was changed (core.fsmonitor, filter.x.clean)",
        ".git/config.worktree was added (core.fsmonitor)",
        ".git/hooks/post-checkout was added",
        ".git/hooks/pre-commit was changed",
        ".git/hooks/pre-push was changed",
        ".git/info/attributes was removed",
        ".git/worktrees/task-1/commondir was changed",
    ]
    assert restore(before, found) == ()
    assert await planted(sandbox.repository, before) == ()
    assert {path: path.read_bytes() for path in files} == files
    assert not os.access(git / "hooks/pre-commit", os.X_OK) or os.geteuid() == 0
    assert (git / "hooks/pre-push").readlink() == Path("/nowhere/mine")


async def test_settings_that_an_agent_may_write_are_left_alone(sandbox: Sandbox) -> None:
    before = guard(sandbox.repository.place)
    sandbox.git("config", "branch.feature.merge", "refs/heads/feature")
    sandbox.git("config", "branch.feature.remote", "origin")
    sandbox.git("config", "user.name", "Agent")
    assert await planted(sandbox.repository, before) == ()
    sandbox.git("config", "remote.origin.url", "ext::evil")
    assert await planted(sandbox.repository, before) == (Plant("config", "changed", ("remote.origin.url",)),)


async def test_a_pipe_or_a_huge_file_in_the_way_holds_nobody_up(sandbox: Sandbox) -> None:
    git = sandbox.top / ".git"
    (git / "hooks").mkdir(exist_ok=True)
    (git / "hooks/large").write_bytes(b"x" * (MAX_KEPT + 1))
    before = guard(sandbox.repository.place)
    os.mkfifo(git / "hooks/pre-commit")
    (git / "hooks/large").write_bytes(b"x" * MAX_KEPT + b"y")
    (git / "config").unlink()
    os.mkfifo(git / "config")
    found = await planted(sandbox.repository, before)
    assert found == (
        Plant("config", "changed"),
        Plant("hooks/large", "changed"),
        Plant("hooks/pre-commit", "added"),
    )
    assert restore(before, found) == (Plant("hooks/large", "changed"),)  # too large to have been held
    assert sandbox.git("config", "core.bare") == "false"


async def test_what_was_done_outside_of_the_work_tree_is_named(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    sandbox.git("branch", "doomed")
    tree = await sandbox.task(1, base)
    before = await footprint(sandbox.repository)
    sandbox.write({"x": "x\n"}, Path(tree.path))
    sandbox.git("add", "-A", cwd=tree.path)
    sandbox.git("commit", "-qm", "inside", cwd=tree.path)
    nothing = await changed_outside(sandbox.repository, before, own=("refs/heads/weft/",))
    assert not nothing

    sandbox.write({"a.txt": "from outside\n", "new.txt": "n\n", ".weft/x": "state\n"})
    (sandbox.top / "c.txt").unlink()
    sandbox.git("branch", "-D", "doomed")
    sandbox.git("tag", "made")
    sandbox.git("symbolic-ref", "HEAD", "refs/heads/elsewhere")
    sandbox.git("update-ref", "refs/heads/elsewhere", base)
    sandbox.git("config", "core.editor", "evil")
    found = await changed_outside(sandbox.repository, before, own=("refs/heads/weft/",))
    assert found
    assert found.files == ("a.txt", "c.txt", "new.txt")
    assert found.refs == ("HEAD", "refs/heads/doomed", "refs/heads/elsewhere", "refs/tags/made")
    assert found.plants == (Plant("config", "changed", ("core.editor",)),)
