"""What a repository and its work trees are now: questions that change nothing in them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from weft.runtimes.failures import GitError
from weft.runtimes.git import NO_COMMIT, Repository, Tree
from weft.text.source import harmless

_SHOWN = 5
"""Files that a message names; it counts the rest."""
_UNFINISHED = (
    ("MERGE_HEAD", "merge"),
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("BISECT_LOG", "bisect"),
)


class Standing(msgspec.Struct, frozen=True):
    """Where a run begins: the branch, its commit, and what was not committed (only where that is allowed)."""

    branch: str
    head: str
    dirty: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """A file that differs between two trees; `mode` and `blob` are the new ones, zeros when it is gone."""

    path: str
    mode: str
    blob: str


async def ready(repository: Repository, *, allow_dirty: bool = False) -> Standing:
    """What a run starts from. Raises GitError: `NoCommits`, `Detached`, `Unfinished`, `DirtyTree`, `NoIdentity`."""
    commit = await head(repository)
    branch = await current_branch(repository)
    what = unfinished(repository.tree)
    if what is not None:
        raise GitError(
            f"{repository.place.top} is in the middle of a {what}",
            type="Unfinished",
            hint=f"finish it, or `git {what} {'reset' if what == 'bisect' else '--abort'}`",
        )
    dirty = await dirty_files(repository)
    if dirty and not allow_dirty:
        raise GitError(
            f"{repository.place.top} has changes that are not committed: {named(dirty)}",
            type="DirtyTree",
            files=dirty,
            hint="commit or stash them, or give --allow-dirty",
        )
    if repository.identity is None:
        raise GitError(
            "git does not know who commits here",
            type="NoIdentity",
            hint="`git config --global user.name NAME` and `git config --global user.email ADDRESS`",
        )
    return Standing(branch, commit, dirty)


async def head(repository: Repository, tree: Tree | None = None) -> str:
    """The commit that is checked out. Raises GitError (`NoCommits`)."""
    code, out, _ = await repository.result("rev-parse", "--verify", "--quiet", "HEAD^{commit}", tree=tree)
    if code:
        path = (tree or repository.tree).path
        raise GitError(
            f"{path} has no commit yet to start from", type="NoCommits", hint="`git add -A` and `git commit` first"
        )
    return out.decode().strip()


async def current_branch(repository: Repository, tree: Tree | None = None) -> str:
    """The branch that is checked out. Raises GitError (`Detached`)."""
    code, out, _ = await repository.result("symbolic-ref", "--quiet", "HEAD", tree=tree)
    name = out.decode("utf-8", "surrogateescape").strip()
    if code or not name.startswith("refs/heads/"):
        path = (tree or repository.tree).path
        raise GitError(
            f"{path} is on no branch (its HEAD is detached)",
            type="Detached",
            hint="`git switch BRANCH`, or `git switch -c NEW` to make one here",
        )
    return name.removeprefix("refs/heads/")


async def commit_of(repository: Repository, branch: str) -> str | None:
    """The commit of a branch, None when there is no such branch."""
    code, out, _ = await repository.result("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
    return None if code else out.decode().strip()


def unfinished(tree: Tree) -> str | None:
    """What a work tree is in the middle of (`merge`, `rebase` ...), None when nothing."""
    return next((what for name, what in _UNFINISHED if (Path(tree.gitdir) / name).exists()), None)


async def dirty_files(repository: Repository, tree: Tree | None = None) -> tuple[str, ...]:
    """Files that are changed, staged or new, sorted; the state folder and ignored files are not among them."""
    out = await repository.call(
        "status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=dirty", "--no-renames",
        "--", *outside_state(repository), tree=tree,
    )  # fmt: skip
    return tuple(sorted(entry[3:] for entry in split(out)))


async def contents(repository: Repository, tree: Tree | None = None, *, base: str = "HEAD") -> str:
    """The files of a work tree as they are now, as the name of a git tree; `base` only tells what is known.

    Nothing of the work tree's own index is used or changed: it may be locked or damaged, or hide changes. Ignored
    files and the state folder are left out. Raises GitError (`Nested`) when there is another repository among the
    new files.
    """
    with repository.scratch() as index:
        return await write_contents(repository, tree, base, index)


async def write_contents(repository: Repository, tree: Tree | None, base: str, index: str) -> str:
    """As `contents`; `index` becomes the index that goes with it."""
    await repository.call("read-tree", base, tree=tree, index=index)
    await repository.call("update-index", "-q", "--really-refresh", tree=tree, index=index, fine=(0, 1))
    known = split(
        await repository.call(
            "diff-files", "-z", "--name-status", "--no-renames", "--ignore-submodules=dirty", "--",
            *outside_state(repository), tree=tree, index=index,
        )
    )  # fmt: skip
    new = split(
        await repository.call(
            "ls-files", "-z", "--others", "--exclude-standard", "--", *outside_state(repository), tree=tree, index=index
        )
    )
    nested = sorted(path for path in new if path.endswith("/"))
    if nested:
        raise GitError(
            f"there is another git repository among the new files: {named(nested)}",
            type="Nested",
            files=nested,
            hint="delete its .git folder to commit the files, or add it to .gitignore",
        )
    status = dict(zip(known[1::2], known[::2], strict=True))
    gone = [f"0 {NO_COMMIT}\t{path}" for path, letter in status.items() if letter == "D"]
    present = [path for path, letter in status.items() if letter != "D"] + new
    for options, lines in (("--index-info", gone), ("--stdin", present)):  # what is gone makes room for what is new
        if lines:
            data = "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape")
            words = ("update-index", "-z", "--add", "--replace", options)
            await repository.call(*words, tree=tree, index=index, stdin=data)
    return await repository.ask("write-tree", tree=tree, index=index)


async def changes(repository: Repository, old: str, new: str) -> tuple[Change, ...]:
    """What differs between two trees or commits, by path; a renamed file is one that is gone and one that is new."""
    out = await repository.call("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new)
    words = split(out)
    found = []
    for facts, path in zip(words[::2], words[1::2], strict=True):
        _, mode, _, blob, _ = facts.split(" ")
        found.append(Change(path, mode, blob))
    return tuple(found)


async def changed_files(repository: Repository, tree: Tree, base: str) -> tuple[str, ...]:
    """Files of a work tree that differ from the commit `base`: committed since, changed, new or gone. Sorted."""
    now = await contents(repository, tree, base=base)
    return tuple(sorted(change.path for change in await changes(repository, base, now)))


def outside_state(repository: Repository) -> tuple[str, ...]:
    """Pathspecs for everything but the state folder."""
    return (".",) if repository.state is None else (".", f":(top,exclude,literal){repository.state}")


def split(out: bytes) -> list[str]:
    """What git ends with NUL each."""
    return out.decode("utf-8", "surrogateescape").split("\0")[:-1]


def named(files: tuple[str, ...] | list[str]) -> str:
    """File names for a message: a few, and how many more."""
    shown = ", ".join(harmless(name) for name in files[:_SHOWN])
    return shown if len(files) <= _SHOWN else f"{shown} and {len(files) - _SHOWN} more"
