"""Work trees of tasks: made, listed, put back, removed, whatever was done in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from runtimes.repositories import Sandbox
from weft.runtimes import worktrees
from weft.runtimes.failures import GitError
from weft.runtimes.git import Tree
from weft.runtimes.gitstate import changed_files, commit_of
from weft.runtimes.worktrees import (
    add_worktree,
    list_worktrees,
    release_locks,
    remove_branch,
    remove_worktree,
    reset_worktree,
    save_patch,
)

pytestmark = pytest.mark.anyio


def listing(folder: Path | str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.name != ".git")


def branches_of(sandbox: Sandbox, prefix: str) -> dict[str, str]:
    """The branches whose name begins with `prefix`, and their commits."""
    out = sandbox.git("for-each-ref", "--format=%(refname:short) %(objectname)", f"refs/heads/{prefix}")
    return dict(line.split(" ") for line in out.splitlines())


async def test_a_work_tree_has_the_files_of_its_base_and_a_branch_without_upstream(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    sandbox.write({"a.txt": "later\n"})
    sandbox.git("commit", "-qam", "later")
    before = (sandbox.top / ".git/config").read_bytes()
    tree = await sandbox.task(1, base)
    assert (Path(tree.path) / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert sandbox.git("status", "-b", "--porcelain", cwd=tree.path) == "## weft/r1/task-1"
    assert sandbox.git("rev-parse", "HEAD", cwd=tree.path) == base
    assert (sandbox.top / ".git/config").read_bytes() == before
    assert sandbox.status() == []
    assert (Path(tree.path) / ".git").read_text() == f"gitdir: {sandbox.top}/.git/worktrees/task-1\n"


async def test_a_folder_or_branch_that_is_there_already_is_left_alone(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"mine.txt": "kept"})
    with pytest.raises(GitError) as caught:
        await add_worktree(sandbox.repository, Path(tree.path), "weft/r1/other", base)
    assert caught.value.message == f"there is something at {tree.path} already"
    assert caught.value.hint == "it may be the work of an earlier run: look at it, then `git worktree remove` it"
    with pytest.raises(GitError) as caught:
        await add_worktree(sandbox.repository, sandbox.state / "other", "weft/r1/task-1", base)
    assert caught.value.message == "there is a branch weft/r1/task-1 already"
    assert caught.value.hint == "look at it, then `git branch -D weft/r1/task-1` if it can go"
    assert (Path(tree.path) / "mine.txt").read_text() == "kept"
    assert not (sandbox.state / "other").exists()
    assert branches_of(sandbox, "weft/r1/") == {"weft/r1/task-1": base}


async def test_after_a_failure_neither_folder_nor_branch_is_left(sandbox: Sandbox) -> None:
    (sandbox.top / ".git/worktrees/task-1").mkdir(parents=True)
    blob = sandbox.git("rev-parse", "HEAD:a.txt")
    (sandbox.top / ".git/objects" / blob[:2] / blob[2:]).unlink()  # the files cannot be written
    with pytest.raises(GitError):
        await sandbox.task(1)
    assert branches_of(sandbox, "weft/") == {}
    assert not (sandbox.state / "worktrees/task-1").exists()
    assert len(sandbox.git("worktree", "list").splitlines()) == 1
    with pytest.raises(GitError, match=r"^git worktree failed: not a valid branch point: '1111"):
        await add_worktree(sandbox.repository, sandbox.state / "w", "weft/r1/task-2", "1" * 40)
    assert branches_of(sandbox, "weft/") == {}
    assert not (sandbox.state / "w").exists()


async def test_orphans_of_dead_runs_are_listed(sandbox: Sandbox) -> None:
    trees = [await sandbox.task(number) for number in (1, 2, 3)]
    sandbox.git("worktree", "add", "-q", "-b", "mine", str(sandbox.top.parent / "mine"))
    sandbox.git("switch", "-q", "-c", "elsewhere", cwd=trees[1].path)
    sandbox.git("switch", "-q", "--detach", cwd=trees[2].path)
    assert list_worktrees(sandbox.repository) == (trees[0],)
    found = list_worktrees(sandbox.repository, folder=sandbox.state)
    assert found == (
        trees[0],
        Tree(trees[1].path, trees[1].gitdir, "elsewhere"),
        Tree(trees[2].path, trees[2].gitdir, None),
    )
    assert list_worktrees(sandbox.repository, "nobody/") == ()


async def test_removing_goes_through_whatever_was_done_to_it(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    outside = sandbox.top.parent / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    tree = await sandbox.task(1, base, {"deep/er/x": "x", "locked/y": "y"})
    top = Path(tree.path)
    (top / "link").symlink_to(outside)
    (top / "locked").chmod(0o500)
    (top / ".git").unlink()
    sandbox.git("init", "-q", cwd=top)
    sandbox.git("worktree", "lock", str(top), check=False)
    assert await remove_worktree(sandbox.repository, tree, tip=base)
    assert not top.exists()
    assert (outside / "kept.txt").read_text() == "kept"
    assert len(sandbox.git("worktree", "list").splitlines()) == 1
    assert await commit_of(sandbox.repository, "weft/r1/task-1") is None


async def test_a_branch_with_work_that_is_not_known_is_kept(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"x": "x"})
    sandbox.git("add", "-A", cwd=tree.path)
    sandbox.git("commit", "-qm", "by itself", cwd=tree.path)
    tip = sandbox.git("rev-parse", "HEAD", cwd=tree.path)
    assert not await remove_worktree(sandbox.repository, tree, tip=base)
    assert branches_of(sandbox, "weft/r1/") == {"weft/r1/task-1": tip}


async def test_the_repository_itself_is_never_removed(sandbox: Sandbox) -> None:
    with pytest.raises(GitError, match="is the repository itself and is not removed"):
        await remove_worktree(sandbox.repository, sandbox.repository.tree)
    assert (sandbox.top / "a.txt").exists()


async def mess(sandbox: Sandbox, tree: Tree) -> None:
    """A commit, changes, new files, ignored ones, a half-done merge, a locked and damaged index."""
    sandbox.write({"by-itself.txt": "x\n"}, Path(tree.path))
    sandbox.git("add", "-A", cwd=tree.path)
    sandbox.git("commit", "-qm", "by itself", cwd=tree.path)
    sandbox.write(
        {"a.txt": "changed\n", "new.txt": "new\n", ".gitignore": "*.log\n", "x.log": "log\n"}, Path(tree.path)
    )
    sandbox.write({"image": "\x00\x01binary\n", "dir/deep": "deep\n"}, Path(tree.path))
    (Path(tree.path) / "c.txt").unlink()
    (Path(tree.gitdir) / "MERGE_HEAD").write_text(sandbox.commit() + "\n")
    (Path(tree.gitdir) / "index.lock").write_text("")
    (Path(tree.gitdir) / "index").write_text("rubbish")


async def test_what_was_left_is_kept_as_a_patch_and_the_tree_is_put_back(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base)
    await mess(sandbox, tree)
    files = (".gitignore", "a.txt", "by-itself.txt", "c.txt", "dir/deep", "image", "new.txt")
    assert await changed_files(sandbox.repository, tree, base) == files
    patch = sandbox.state / "left/task-1.patch"
    assert await save_patch(sandbox.repository, tree, base, patch)
    sandbox.git("switch", "-q", "--detach", cwd=tree.path, check=False)
    await reset_worktree(sandbox.repository, tree, base)
    assert sandbox.git("status", "-b", "--porcelain", "--ignored", cwd=tree.path) == "## weft/r1/task-1"
    assert sandbox.git("rev-parse", "weft/r1/task-1") == base
    assert listing(tree.path) == ["a.txt", "c.txt", "folder", "folder/b.txt"]
    assert not await save_patch(sandbox.repository, tree, base, sandbox.state / "none")
    assert not (sandbox.state / "none").exists()

    sandbox.git("apply", str(patch))  # the patch brings it all back
    assert (sandbox.top / "image").read_text() == "\x00\x01binary\n"
    assert (sandbox.top / "by-itself.txt").exists()
    assert not (sandbox.top / "c.txt").exists()


async def test_a_git_file_that_was_deleted_or_forged_is_put_back(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "changed\n"})
    link = Path(tree.path) / ".git"
    right = link.read_text()
    for forged in ("gitdir: /nowhere\n", None, "folder"):
        link.unlink()
        if forged == "folder":
            subprocess.run(["git", "init", "-q"], cwd=tree.path, check=True)
        elif forged:
            link.write_text(forged)
        assert await changed_files(sandbox.repository, tree, base) in (("a.txt",), ())
        await reset_worktree(sandbox.repository, tree, base)
        assert link.read_text() == right
        assert sandbox.status(tree.path) == []


async def test_the_repositorys_own_tree_is_put_back_without_its_ignored_files(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    sandbox.write({".gitignore": "*.env\n"})
    sandbox.git("add", "-A")
    sandbox.git("commit", "-qm", "ignore")
    base = sandbox.commit()
    sandbox.write({"a.txt": "changed\n", "new.txt": "n\n", "local.env": "secret\n", ".weft/state/journal": "j\n"})
    sandbox.git("commit", "-qam", "by itself")
    tip = sandbox.commit()
    left = await reset_worktree(sandbox.repository, sandbox.repository.tree, base)
    assert (sandbox.commit(), sandbox.status()) == (base, [])
    assert left == f"weft/left-{tip[:12]}"  # whose commits these were, nobody can tell
    assert sandbox.commit(left) == tip
    assert (sandbox.top / "local.env").read_text() == "secret\n"
    assert (sandbox.top / ".weft/state/journal").read_text() == "j\n"
    assert not (sandbox.top / "new.txt").exists()


async def test_the_repositorys_own_tree_comes_back_to_its_branch_and_another_branch_stays(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    sandbox.git("switch", "-q", "-c", "other")
    sandbox.write({"precious.txt": "p\n"})
    sandbox.git("add", "-A")
    sandbox.git("commit", "-qm", "precious")
    precious = sandbox.commit()
    own = structs.replace(sandbox.repository.tree, branch="main")
    assert await reset_worktree(sandbox.repository, own, base) is None
    assert (sandbox.git("branch", "--show-current"), sandbox.commit(), sandbox.status()) == ("main", base, [])
    assert sandbox.commit("other") == precious
    sandbox.git("switch", "-q", "other")
    sandbox.git("switch", "-q", "--detach")
    await reset_worktree(sandbox.repository, own, base)
    assert (sandbox.git("branch", "--show-current"), sandbox.commit()) == ("main", base)


async def test_a_lock_of_a_dead_git_is_removed_and_that_of_a_living_one_is_not(sandbox: Sandbox) -> None:
    git = sandbox.top / ".git"
    lock = git / "index.lock"
    tree = sandbox.repository.tree
    assert not release_locks(sandbox.repository, tree)
    locks = (lock, git / "HEAD.lock", git / "refs/heads/main.lock")
    for each in (*locks, git / "refs/heads/other.lock"):
        each.write_text("")
    assert release_locks(sandbox.repository, tree) == tuple(map(str, locks))
    assert not any(each.exists() for each in locks)
    assert (git / "refs/heads/other.lock").exists()  # nobody's business of ours

    with lock.open("w"), pytest.raises(GitError) as caught:
        release_locks(sandbox.repository, tree)
    assert caught.value.message == f"{lock} is held by process {os.getpid()}"
    assert (caught.value.type, caught.value.retryable) == ("Locked", True)
    assert caught.value.hint == "wait until it ends; if no git is at work there, delete that file"

    waiting = subprocess.Popen(["git", "cat-file", "--batch"], cwd=sandbox.top, stdin=subprocess.PIPE)
    try:  # a git that is at work there but has closed the lock's file, as while an editor is open
        with pytest.raises(GitError, match=rf"is held by process {waiting.pid} \(git\)"):
            release_locks(sandbox.repository, tree)
    finally:
        waiting.communicate()
    assert release_locks(sandbox.repository, tree)


async def test_a_git_in_the_work_tree_of_another_task_holds_no_lock_of_the_repositorys(sandbox: Sandbox) -> None:
    other = await sandbox.task(1)
    (sandbox.top / ".git/index.lock").write_text("")
    waiting = subprocess.Popen(["git", "cat-file", "--batch"], cwd=other.path, stdin=subprocess.PIPE)
    try:
        assert release_locks(sandbox.repository, sandbox.repository.tree)
    finally:
        waiting.communicate()


async def test_where_processes_cannot_be_looked_at_a_lock_stays(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = sandbox.top / ".git/index.lock"
    lock.write_text("")
    monkeypatch.setattr(worktrees, "PROCESSES", tmp_path / "no such folder")
    with pytest.raises(GitError, match="is held by a process that cannot be looked for on this system"):
        release_locks(sandbox.repository, sandbox.repository.tree)
    assert lock.exists()


async def test_a_branch_goes_in_spite_of_locks_that_a_killed_git_has_left(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    locks = [sandbox.top / ".git/packed-refs.lock", sandbox.top / ".git/refs/heads/weft/r1/task-1.lock"]
    sandbox.git("branch", "weft/r1/task-1", base)
    for lock in locks:
        lock.touch()
    with locks[0].open():  # somebody holds it
        assert not await remove_branch(sandbox.repository, "weft/r1/task-1", base)
        assert branches_of(sandbox, "weft/") == {"weft/r1/task-1": base}
        assert [lock.exists() for lock in locks] == [True, False]
    assert await remove_branch(sandbox.repository, "weft/r1/task-1", base)
    assert branches_of(sandbox, "weft/") == {}
    assert not locks[0].exists()
