"""Agents that misbehave, in real work trees beside one that does not: each ends in its known result.

What order things happen in is decided elsewhere; here the acts are called one after the other, as a run calls them:
work trees, agents at once, then for each task in order: what it did outside, its commit, its fold.
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agents.scripted import Scripted, git_environment
from backends.conftest import Trace
from runtimes.repositories import Sandbox
from weft.runtimes.agent import Ran, run_agent
from weft.runtimes.commits import commit_all, fold
from weft.runtimes.failures import GitError
from weft.runtimes.git import Tree
from weft.runtimes.planted import Outside, changed_outside, footprint, restore
from weft.runtimes.worktrees import remove_worktree, reset_worktree, save_patch

pytestmark = pytest.mark.anyio

WORKS = [["write", "sibling.txt", "done\n"]]


class Block:
    """Two tasks at once: the first misbehaves, the second does its work."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.scripted = Scripted(folder / "script")
        self.base = sandbox.commit()
        self.trees: list[Tree] = []
        self.outside = Outside()

    async def run(self, steps: list[list[Any]], seconds: float | None = None) -> Ran:
        """How the first ended; the second has been folded after this, and nothing else."""
        self.scripted.set({"execute:1": steps, "execute:2": WORKS})
        self.trees = [await self.sandbox.task(number, self.base) for number in (1, 2)]
        before = await footprint(self.sandbox.repository)
        first, second = await asyncio.gather(self.agent(0, seconds), self.agent(1))
        assert (second.exit_code, second.stderr) == (0, "")
        self.outside = await changed_outside(self.sandbox.repository, before, own=("refs/heads/weft/",))
        assert restore(before.guarded, self.outside.plants) == ()
        await self.sandbox.finish(self.trees[1], self.base)
        assert (self.sandbox.top / "sibling.txt").read_text() == "done\n"
        return first

    def agent(self, number: int, seconds: float | None = None) -> Any:
        return run_agent(
            self.sandbox.children, self.scripted.argv("execute"), cwd=self.trees[number].path, env=self.scripted.env,
            stdin=f"Task {number + 1}", seconds=seconds, grace=0.2,
        )  # fmt: skip

    async def first(self) -> str | None:
        """The commit of the first task."""
        return await commit_all(self.sandbox.repository, self.trees[0], "the first", base=self.base)

    async def finish(self) -> None:
        """Fold the first task, remove both work trees, and see that nothing is left."""
        tip = await self.first()
        assert tip is not None
        await fold(self.sandbox.repository, "main", self.base, tip)
        for tree in self.trees:
            await remove_worktree(self.sandbox.repository, tree, tip=self.sandbox.commit(str(tree.branch)))
        assert self.sandbox.status() == []
        assert len(self.sandbox.git("worktree", "list").splitlines()) == 1
        assert self.sandbox.git("branch", "--list", "weft/*") == ""


@pytest.fixture
def block(sandbox: Sandbox, tmp_path: Path) -> Block:
    return Block(sandbox, tmp_path)


async def test_exit_code_1_and_exit_0_without_a_change(block: Block) -> None:
    assert (await block.run([["exit", 1]])).exit_code == 1
    assert await block.first() is None
    assert not block.outside


async def test_a_change_and_then_exit_code_1_is_kept_in_its_work_tree(block: Block) -> None:
    assert (await block.run([["write", "half.txt", "half\n"], ["exit", 1]])).exit_code == 1
    patch = block.sandbox.state / "1.patch"
    assert await save_patch(block.sandbox.repository, block.trees[0], block.base, patch)
    assert "half.txt" in patch.read_text()
    await reset_worktree(block.sandbox.repository, block.trees[0], block.base)
    assert await block.first() is None


async def test_one_that_hangs_with_grandchildren_and_ignores_term(block: Block, trace: Trace) -> None:
    ran = await block.run([["grandchild", trace.word], ["ignore_term"], ["hold", 60]], seconds=0.5)
    assert ran.timed_out
    assert trace.wait_gone() == []
    assert await block.first() is None


async def test_one_that_leaves_locks_and_a_damaged_index(block: Block) -> None:
    assert (await block.run([["write", "a.txt", "x\n"], ["leave_locks"], ["damage_index"]])).exit_code == 0
    await block.finish()
    assert block.sandbox.subjects() == ["first", "task-2", "the first"]


async def test_one_that_commits_by_itself(block: Block) -> None:
    steps = [["write", "a.txt", "x\n"], ["commit", "mine"], ["write", "b.txt", "y\n"], ["commit", "mine too"]]
    assert (await block.run(steps)).exit_code == 0
    await block.finish()
    assert block.sandbox.subjects() == ["first", "task-2", "mine", "mine too"]


async def test_one_that_commits_on_another_branch(block: Block) -> None:
    steps = [["git", "switch", "-q", "-c", "feature"], ["write", "a.txt", "x\n"], ["commit", "mine"]]
    assert (await block.run(steps)).exit_code == 0
    assert block.outside.refs == ("refs/heads/feature",)
    await block.finish()
    assert block.sandbox.subjects() == ["first", "task-2", "mine"]


async def test_one_that_rewrites_history(block: Block) -> None:
    steps = [["write", "a.txt", "x\n"], ["git", "commit", "-qa", "--amend", "-m", "rewritten"]]
    assert (await block.run(steps)).exit_code == 0
    await block.finish()
    assert block.sandbox.subjects() == ["first", "task-2", "rewritten"]


async def test_one_that_moves_the_target_branch_is_named(block: Block) -> None:
    steps = [["write", "a.txt", "x\n"], ["commit", "mine"], ["git", "update-ref", "refs/heads/main", "HEAD"]]
    block.scripted.set({"execute:1": steps})
    block.trees = [await block.sandbox.task(1, block.base)]
    before = await footprint(block.sandbox.repository)
    await block.agent(0)
    found = await changed_outside(block.sandbox.repository, before, own=("refs/heads/weft/",))
    assert found.refs == ("refs/heads/main",)


async def test_one_that_edits_outside_of_its_work_tree_is_named(block: Block) -> None:
    outside = str(block.sandbox.top / "c.txt")
    assert (await block.run([["write", outside, "from outside\n"], ["write", "a.txt", "x\n"]])).exit_code == 0
    assert (block.outside.files, block.outside.refs, block.outside.plants) == (("c.txt",), (), ())
    assert block.sandbox.status() == [" M c.txt"]  # it is left as it is, and the fold goes past it
    tip = await block.first()
    assert tip is not None
    await fold(block.sandbox.repository, "main", block.base, tip)
    assert block.sandbox.status() == [" M c.txt"]


@pytest.mark.parametrize("how", ["deleted", "another repository"])
async def test_one_that_deletes_its_git(block: Block, how: str) -> None:
    steps: list[list[Any]] = [["write", "a.txt", "x\n"], ["delete_git"]]
    if how == "another repository":
        steps += [["git", "init", "-q"], ["commit", "in a repository of its own"]]
    assert (await block.run(steps)).exit_code == 0
    await block.finish()
    assert (block.sandbox.top / "a.txt").read_text() == "x\n"


async def test_one_that_makes_git_forget_its_work_tree(block: Block) -> None:
    assert (await block.run([["write", "a.txt", "x\n"], ["delete_git"], ["hold", 0.1]])).exit_code == 0
    block.sandbox.git("worktree", "prune")  # as an agent elsewhere may
    with pytest.raises(GitError) as caught:
        await block.first()
    assert caught.value.message == f"git no longer knows the work tree {block.trees[0].path}"
    assert (caught.value.type, caught.value.hint) == ("Missing", "its files are still there")
    assert (Path(block.trees[0].path) / "a.txt").read_text() == "x\n"


async def test_one_that_deletes_the_repository(block: Block) -> None:
    block.scripted.set({"execute:1": [["delete_repository"]]})
    block.trees = [await block.sandbox.task(1, block.base)]
    await block.agent(0)
    with pytest.raises(GitError) as caught:
        await block.first()
    assert caught.value.message == f"{block.sandbox.top}/.git is gone: something has deleted the repository"


async def test_one_that_plants_a_hook_and_a_monitor(block: Block) -> None:
    canary = block.sandbox.canary
    program = f"#!/bin/sh\necho x >> {canary}\n"
    names = ("post-checkout", "reference-transaction", "post-index-change")
    steps: list[list[Any]] = [["write", "a.txt", "x\n"]]
    steps += [["plant", "core.fsmonitor", str(block.sandbox.program())]]
    steps += [["plant_hook", name, program] for name in names]
    assert (await block.run(steps)).exit_code == 0
    assert [plant.file for plant in block.outside.plants] == ["config", *(f"hooks/{name}" for name in sorted(names))]
    assert not canary.exists()
    await block.finish()
    block.sandbox.git("status")
    assert not canary.exists()


async def test_one_that_leaves_a_repository_inside(block: Block) -> None:
    assert (await block.run([["nested", "vendor"]])).exit_code == 0
    with pytest.raises(GitError) as caught:
        await block.first()
    assert (caught.value.type, caught.value.files) == ("Nested", ("vendor/",))


async def test_one_that_leads_out_of_its_work_tree_by_a_link(block: Block) -> None:
    """A symbolic link is committed as one; nothing is ever written through it."""
    victim = block.sandbox.top.parent / "victim"
    victim.mkdir()
    (victim / "b.txt").write_text("theirs\n")
    assert (await block.run([["print", "nothing"]])).exit_code == 0
    folder = Path(block.trees[0].path) / "folder"
    (folder / "b.txt").unlink()
    folder.rmdir()
    folder.symlink_to(victim)
    await block.finish()
    assert (victim / "b.txt").read_text() == "theirs\n"
    assert len(list(victim.iterdir())) == 1
    assert (block.sandbox.top / "folder").readlink() == victim


@pytest.mark.torture
async def test_work_trees_and_folds_in_a_large_repository(sandbox: Sandbox) -> None:
    """20,000 files, 20 tasks: what it costs is in the tens of seconds, not minutes."""
    for number in range(20_000):
        path = sandbox.top / f"d{number % 100}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n")
    subprocess.run(["git", "add", "-A"], cwd=sandbox.top, env=git_environment(), check=True)
    sandbox.git("commit", "-qm", "many")
    base = sandbox.commit()
    began = asyncio.get_running_loop().time()
    trees = await asyncio.gather(*(sandbox.task(n, base, {f"d0/new{n}": "x\n"}) for n in range(20)))
    made = asyncio.get_running_loop().time()
    for tree in trees:
        await sandbox.finish(tree, base)
    done = asyncio.get_running_loop().time()
    print(f"20 work trees {made - began:.1f} s, 20 commits and folds {done - made:.1f} s")
    assert sandbox.status() == []
    assert done - began < 120
