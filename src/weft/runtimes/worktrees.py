"""Work trees of tasks: made, listed, put back, removed.

A work tree is one by what git keeps about it in `.git/worktrees`, not by the `.git` file that lies in it: an agent may
delete or forge that file, and nothing here reads it after the work tree was made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from weft.runtimes.failures import GitError
from weft.runtimes.git import Place, Repository, Tree, checked_branch, checked_commit
from weft.runtimes.gitstate import commit_of, contents, head, outside_state

TRIES = 4
"""How often a work tree is tried when another git holds a lock."""
PROCESSES = Path("/proc")


async def add_worktree(repository: Repository, path: Path, branch: str, base: str) -> Tree:
    """A work tree at `path` on the new `branch`, with the files of the commit `base`.

    Any number may be asked for at once. After a failure neither the folder nor the branch is left. Raises GitError.
    """
    checked_branch(branch)
    checked_commit(base)
    path = Path(os.path.realpath(path))  # noqa: ASYNC240 - one look at a local folder
    async with repository.lock:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise GitError(
                f"there is something at {path} already",
                hint="it may be the work of an earlier run: look at it, then `git worktree remove` it",
            )
        if await commit_of(repository, branch) is not None:
            raise GitError(
                f"there is a branch {branch} already", hint=f"look at it, then `git branch -D {branch}` if it can go"
            )
        await _add(repository, path, branch, base)
    tree = Tree(str(path), _linked(path), branch)
    try:
        write_link(tree)
        await repository.call("read-tree", "--reset", "-u", base, tree=tree)
    except BaseException:
        await remove_worktree(repository, tree, tip=base)
        raise
    return tree


async def _add(repository: Repository, path: Path, branch: str, base: str) -> None:
    import asyncio

    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(TRIES):
        try:
            await repository.call(
                "worktree", "add", "--quiet", "--no-checkout", "--no-track", "-b", branch, "--", str(path), base
            )
        except BaseException as error:
            for admin in _admins(repository.place):
                if _path_of(admin) == str(path):
                    shutil.rmtree(admin, ignore_errors=True)
            shutil.rmtree(path, ignore_errors=True)
            await repository.result("update-ref", "-d", f"refs/heads/{branch}", base)
            if not isinstance(error, GitError) or error.type != "Locked" or attempt == TRIES - 1:
                raise
            await asyncio.sleep(0.05 * 2**attempt)
        else:
            return


async def remove_worktree(repository: Repository, tree: Tree, *, tip: str | None = None) -> bool:
    """Delete the folder and what git knows of it. The branch goes too when it is at `tip`; whether it went.

    What an agent made read-only goes as well; a symbolic link is deleted, not followed. Raises GitError.
    """
    if tree.gitdir == repository.place.common or tree.gitdir == repository.tree.gitdir:
        raise GitError(f"{tree.path} is the repository itself and is not removed")
    import asyncio

    release_locks(repository, tree)
    await asyncio.to_thread(_delete, Path(tree.path))
    async with repository.lock:
        await asyncio.to_thread(_delete, Path(tree.gitdir))
    return tip is not None and tree.branch is not None and await remove_branch(repository, tree.branch, tip)


async def remove_branch(repository: Repository, branch: str, tip: str) -> bool:
    """Delete a branch that is at the commit `tip`; whether it went. Another one stays.

    Git takes two locks for it, one of them for all refs: those that a killed git has left are taken away.
    """
    import asyncio

    call = ("update-ref", "-d", f"refs/heads/{checked_branch(branch)}", checked_commit(tip))
    common = Path(repository.place.common)
    async with repository.lock:
        code, _, _ = await repository.result(*call)
        locks = [common / "packed-refs.lock", common / "refs/heads" / f"{branch}.lock"]
        if code and await asyncio.to_thread(_release, repository, locks):
            code, _, _ = await repository.result(*call)
    return not code


def _release(repository: Repository, locks: Sequence[Path]) -> bool:
    """Take away the locks that nobody holds; whether there was one."""
    dead = [lock for lock in locks if os.path.lexists(lock) and _holder(repository, lock) is None]
    for lock in dead:
        lock.unlink(missing_ok=True)
    return bool(dead)


def list_worktrees(repository: Repository, branches: str = "weft/", folder: Path | None = None) -> tuple[Tree, ...]:
    """The work trees on a branch whose name begins with `branches`, or that lie in `folder`, by path.

    Runs no program. A folder that is gone is listed too: what git knows of it is left. `branch` is what is checked
    out, None when that is no branch.
    """
    return worktrees_at(repository.place, branches, folder)


def worktrees_at(place: Place, branches: str = "weft/", folder: Path | None = None) -> tuple[Tree, ...]:
    """As `list_worktrees`, of a repository that is not open."""
    inside = None if folder is None else os.path.realpath(folder) + os.sep
    found = []
    for admin in _admins(place):
        path = _path_of(admin)
        branch = checked_out(admin)
        if path and ((branch or "").startswith(branches) or (inside and path.startswith(inside))):
            found.append(Tree(path, str(admin), branch))
    return tuple(sorted(found, key=lambda tree: tree.path))


async def save_patch(repository: Repository, tree: Tree, base: str, file: Path) -> bool:
    """Write what differs from the commit `base` to `file`, for `git apply`; False (and no file) when nothing does.

    It has everything that was committed since, changed or new; ignored files are left out.
    """
    import asyncio

    now = await contents(repository, tree, base=base)
    if now == await repository.ask("rev-parse", f"{checked_commit(base)}^{{tree}}"):
        return False
    part = Path(os.path.abspath(file) + ".partial")  # noqa: ASYNC240, PTH100 - git runs in another folder
    part.parent.mkdir(parents=True, exist_ok=True)
    await repository.call(
        "diff-tree", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
        f"--output={part}", base, now,
    )  # fmt: skip
    await asyncio.to_thread(part.replace, file)
    return True


async def reset_worktree(repository: Repository, tree: Tree, commit: str) -> str | None:
    """Make a work tree and its branch what they were at `commit`; everything else in it is gone after that.

    In a task's own work tree ignored files go too. In the repository's they stay, as does the state folder; and commits
    that came since, which may be the user's, are kept on a branch whose name is returned. Whoever wants to keep what
    was not committed calls `save_patch` before. Raises GitError.
    """
    checked_commit(commit)
    own = tree.gitdir != repository.tree.gitdir
    left = None if own else await _keep_commits(repository, tree, commit)
    release_locks(repository, tree)
    if own:
        write_link(tree)
    _end_unfinished(Path(tree.gitdir))
    if tree.branch is not None and checked_out(Path(tree.gitdir)) != tree.branch:
        await repository.call("symbolic-ref", "HEAD", f"refs/heads/{tree.branch}", tree=tree)
    await repository.call("update-ref", "-m", "weft: back to where the task began", "HEAD", commit, tree=tree)
    code, _, _ = await repository.result("read-tree", "--reset", "-u", commit, tree=tree)
    if code:  # a damaged index
        (Path(tree.gitdir) / "index").unlink(missing_ok=True)
        await repository.call("read-tree", "--reset", "-u", commit, tree=tree)
    more = ("-x",) if own else ()
    await repository.call("clean", "-ffdq", *more, "--", *outside_state(repository), tree=tree)
    return left


async def _keep_commits(repository: Repository, tree: Tree, commit: str) -> str | None:
    """The commits of the branch that a reset to `commit` would lose, on a branch of their own; its name."""
    now = await commit_of(repository, tree.branch) if tree.branch is not None else await head(repository, tree)
    if now is None or now == commit:
        return None
    code, _, _ = await repository.result("merge-base", "--is-ancestor", now, commit)
    if code == 0:
        return None
    left = f"weft/left-{now[:12]}"
    await repository.call("update-ref", "-m", "weft: what came since a task began", f"refs/heads/{left}", now)
    return left


def _end_unfinished(gitdir: Path) -> None:
    """Forget a merge, rebase or pick that an agent was in the middle of."""
    for name in ("MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG"):
        (gitdir / name).unlink(missing_ok=True)
    for name in ("rebase-merge", "rebase-apply", "sequencer"):
        shutil.rmtree(gitdir / name, ignore_errors=True)


def release_locks(repository: Repository, tree: Tree) -> tuple[str, ...]:
    """Remove the locks of a git that is dead on the tree's index, HEAD and branch; their paths. Raises GitError
    (`Locked`) when one lives.

    Git closes a lock's file and goes on holding it (while an editor is open, say), so that nobody has it open proves
    nothing. In a task's own work tree nobody but the task has any business, and its processes are gone. In the
    repository's a git process with its folder in the work tree counts as the holder; where processes cannot be
    looked at, the lock stays.
    """
    locks = [Path(tree.gitdir) / "index.lock", Path(tree.gitdir) / "HEAD.lock"]
    branch = tree.branch or checked_out(Path(tree.gitdir))
    if branch is not None:
        locks.append(Path(repository.place.common) / "refs/heads" / f"{branch}.lock")
    locks = [lock for lock in locks if os.path.lexists(lock)]
    for lock in locks:
        holder = _holder(repository, lock) if tree.gitdir == repository.tree.gitdir else None
        if holder is not None:
            raise GitError(
                f"{lock} is held by {holder}",
                type="Locked",
                retryable=True,
                hint="wait until it ends; if no git is at work there, delete that file",
            )
        lock.unlink(missing_ok=True)
    return tuple(map(str, locks))


def _holder(repository: Repository, lock: Path) -> str | None:
    try:
        numbers = [int(entry.name) for entry in PROCESSES.iterdir() if entry.name.isdigit()]
    except OSError:
        return "a process that cannot be looked for on this system"
    for number in numbers:
        home = PROCESSES / str(number)
        with suppress(OSError):
            name = (home / "comm").read_text("utf-8", "replace").strip()
            if name.startswith("git") and _at_work(repository, os.path.realpath(home / "cwd")):
                return f"process {number} ({name})"
        with suppress(OSError):
            if any(os.path.realpath(entry) == str(lock) for entry in (home / "fd").iterdir()):
                return f"process {number}"
    return None


def _at_work(repository: Repository, cwd: str) -> bool:
    """Whether a folder belongs to the repository's own work tree: the tasks' lie in the state folder."""
    tree, state = repository.tree, repository.state
    if state is not None and Path(cwd).is_relative_to(Path(tree.path) / state):
        return False
    return Path(cwd).is_relative_to(tree.path) or Path(cwd).is_relative_to(tree.gitdir)


def checked_out(gitdir: Path) -> str | None:
    """The branch that a work tree is on, by its HEAD. Runs no program."""
    with suppress(OSError):
        ref = (gitdir / "HEAD").read_text("utf-8", "surrogateescape").strip()
        if ref.startswith("ref: refs/heads/"):
            return ref.removeprefix("ref: refs/heads/")
    return None


def write_link(tree: Tree) -> None:
    """Put the `.git` file of a work tree back, whatever is there in its stead."""
    link = Path(tree.path) / ".git"
    if link.is_dir() and not link.is_symlink():
        _delete(link)
    part = Path(tree.gitdir) / "link.partial"
    part.write_text(f"gitdir: {tree.gitdir}\n", "utf-8", "surrogateescape")
    try:
        part.replace(link)
    except OSError:  # another file system
        link.unlink(missing_ok=True)
        link.write_bytes(part.read_bytes())
        part.unlink()


def _linked(path: Path) -> str:
    return os.path.realpath((path / ".git").read_text("utf-8", "surrogateescape").strip().removeprefix("gitdir: "))


def _admins(place: Place) -> list[Path]:
    folder = Path(place.common) / "worktrees"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _path_of(admin: Path) -> str:
    try:
        return (admin / "gitdir").read_text("utf-8", "surrogateescape").strip().removesuffix("/.git")
    except OSError:
        return ""


def _delete(path: Path) -> None:
    """Delete a folder with everything in it, read-only folders too. Raises GitError."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    if path.is_symlink():
        path.unlink()
    if os.path.lexists(path):
        raise GitError(f"{path} cannot be deleted", hint="another user's files, or a mount, are in it")
