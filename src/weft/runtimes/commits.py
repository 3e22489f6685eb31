"""What a task changed becomes commits, and commits come onto the target branch.

Folding is computed in the object database, without a work tree: a commit is brought over by a three-way merge of
trees, and only when all of them are known to be clean does anything move. First the files, then the branch: a crash in
between leaves files that are those of a commit nobody points to yet, and the same call again finds exactly these
and only moves the branch. For that a folded commit has the dates of the commit it comes from, so that folding twice
gives the same names.

`git merge-tree` takes the commit to merge from only since 2.40 (`--merge-base`). Before that the base is what history
says, so the three trees are put into three commits with no other history; nothing ever points to them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from weft.runtimes.failures import GitError
from weft.runtimes.git import Repository, Tree, checked_branch, checked_commit
from weft.runtimes.gitstate import (
    Change,
    changes,
    commit_of,
    contents,
    current_branch,
    head,
    named,
    split,
    write_contents,
)
from weft.runtimes.worktrees import checked_out, release_locks

_NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "weft"), ("EMAIL", "weft@localhost"), ("DATE", "@0 +0000"))
}


class Folded(msgspec.Struct, frozen=True):
    """The target branch after a fold: its tip, the commits that are new on it (oldest first), and how they came."""

    tip: str
    commits: tuple[str, ...]
    how: str
    """`nothing`, `fast-forward`, `picked`, or `squashed` (the task had rewritten its own past)."""


# -- committing --------------------------------------------------------------------------------------------------------


async def commit_all(
    repository: Repository,
    tree: Tree,
    message: str,
    *,
    base: str,
    before: str | None = None,
    author: tuple[str, str] | None = None,
    when: float | None = None,
) -> str | None:
    """Commit what a task that began at the commit `base` left in `tree`; the tip, None when it changed nothing.

    Commits that an agent made by itself stay; on another branch or a detached HEAD, they come onto the tree's own
    branch. In the repository's own tree nothing that was there at `base` goes: an agent that has rewritten its past
    there has made one commit, and one that has left for another history raises GitError (`OtherBranch`). `before`
    (from `contents`) is what was in the tree when the task began: only what differs from it is committed; a file that
    was changed before *and* by the task raises GitError (`DirtyTree`). `author` is name and address (else who git says
    commits here), `when` Unix time.
    """
    now = await head(repository, tree)
    start = await starting(repository, tree, base)
    with repository.scratch() as index:
        tree_id = await write_contents(repository, tree, now, index)
        if before is not None:
            tree_id = await _only_changed(repository, base, start, before, tree_id)
        tip = start
        if tree_id != await repository.ask("rev-parse", f"{start}^{{tree}}"):
            text = message.encode("utf-8", "replace")
            tip = await _commit(repository, tree_id, [start], text, _who(repository, author, when))
        release_locks(repository, tree)
        await _point(repository, tree, now, tip)
        if before is None:
            _take_over(index, Path(tree.gitdir))
        else:  # what the user has staged stays staged
            await _update_index(repository, tree, None, await changes(repository, base, tip))
    return None if tip == base else tip


async def starting(repository: Repository, tree: Tree, base: str) -> str:
    """The commit on which what a task left in `tree` is a change. Raises GitError (`OtherBranch`)."""
    now, branch = await head(repository, tree), tree.branch
    if tree.gitdir != repository.tree.gitdir:  # folding sees to it
        return now
    on = checked_out(Path(tree.gitdir))
    kept = base if branch is None or on == branch else await commit_of(repository, branch)
    if kept is not None and await _is_ancestor(repository, base, now) and await _is_ancestor(repository, kept, now):
        return now
    if on == branch:
        return base
    raise GitError(
        f"the agent has left branch {branch} for {on or 'no branch'}, which does not go on from there",
        type="OtherBranch",
        hint=f"look at it; what is to stay of it must come onto {branch}",
    )


async def _only_changed(repository: Repository, base: str, now: str, before: str, after: str) -> str:
    dirty = {change.path for change in await changes(repository, base, before)}
    wanted = await changes(repository, before, after)
    both = sorted(dirty & {change.path for change in wanted})
    if both:
        raise GitError(
            f"the task changed files that had changes of their own before: {named(both)}",
            type="DirtyTree",
            files=both,
            hint="commit or stash yours before the run",
        )
    with repository.scratch() as index:
        await repository.call("read-tree", now, index=index)
        await _update_index(repository, repository.tree, index, wanted)
        return await repository.ask("write-tree", index=index)


async def _update_index(repository: Repository, tree: Tree, index: str | None, wanted: Sequence[Change]) -> None:
    lines = "".join(f"{each.mode if each.mode != '000000' else '0'} {each.blob}\t{each.path}\0" for each in wanted)
    data = lines.encode("utf-8", "surrogateescape")
    await repository.call("update-index", "-z", "--index-info", tree=tree, index=index, stdin=data)


async def _point(repository: Repository, tree: Tree, old: str, tip: str) -> None:
    """Let the tree's branch be at `tip`, and the tree be on its branch."""
    if tree.branch is not None:
        await repository.call("update-ref", f"refs/heads/{tree.branch}", tip, tree=tree)
        await repository.call("symbolic-ref", "HEAD", f"refs/heads/{tree.branch}", tree=tree)
    elif tip != old:
        await repository.call("update-ref", "-m", "weft: a task", "HEAD", tip, old, tree=tree)


def _take_over(index: str, gitdir: Path) -> None:
    """By git's own protocol: whoever makes `index.lock` may write, and renaming it publishes."""
    lock = gitdir / "index.lock"
    try:
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise GitError(f"{lock} is held by another git", type="Locked", retryable=True) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(Path(index).read_bytes())
    lock.replace(gitdir / "index")


def _who(repository: Repository, author: tuple[str, str] | None, when: float | None) -> dict[str, str]:
    committer = repository.identity or author
    author = author or committer
    if author is None or committer is None:
        raise GitError(
            "git does not know who commits here",
            type="NoIdentity",
            hint="`git config --global user.name NAME` and `git config --global user.email ADDRESS`",
        )
    env = {"GIT_AUTHOR_NAME": author[0], "GIT_AUTHOR_EMAIL": author[1]}
    env |= {"GIT_COMMITTER_NAME": committer[0], "GIT_COMMITTER_EMAIL": committer[1]}
    if when is not None:
        env |= {f"GIT_{role}_DATE": f"@{int(when)} +0000" for role in ("AUTHOR", "COMMITTER")}
    return env


async def _commit(
    repository: Repository, tree_id: str, parents: Sequence[str], message: bytes, env: Mapping[str, str]
) -> str:
    given = [word for parent in parents for word in ("-p", parent)]
    return await repository.ask("commit-tree", tree_id, *given, "-F", "-", stdin=message, env=env)


# -- folding -----------------------------------------------------------------------------------------------------------


async def fold(repository: Repository, target: str, base: str, tip: str, *, onto: str | None = None) -> Folded:
    """Bring what happened from `base` to `tip` onto the branch `target`, and its work tree along with it.

    Fast-forward where that is possible, else each commit is applied in order (of a merge commit what it brought to
    its first parent); what is there already is left out. A `tip` that `base` is no ancestor of comes as one commit.
    `onto` is the commit that `target` had when folding was decided: given, the call may be repeated after a crash.
    Raises GitError: `Conflict` (its `files` cannot be joined; nothing was changed), `DirtyTree` (the target's work
    tree has changes in the way; nothing was changed).
    """
    async with repository.lock:
        at = await commit_of(repository, checked_branch(target))
        if at is None:
            raise GitError(f"there is no branch {target} any more", type="Missing", hint="something has deleted it")
        start = checked_commit(onto or at)
        new, commits, how = await _folded(repository, start, checked_commit(base), checked_commit(tip))
        if at not in (start, new):
            raise GitError(
                f"the branch {target} has moved from {start[:12]} to {at[:12]}",
                hint="something else commits to it; run again when it is where you want it",
            )
        await _move(repository, target, start, new, at)
        return Folded(new, tuple(commits), how)


async def _folded(repository: Repository, start: str, base: str, tip: str) -> tuple[str, list[str], str]:
    if await _is_ancestor(repository, tip, start):
        return start, [], "nothing"
    straight = await _is_ancestor(repository, base, tip)
    if straight and await _is_ancestor(repository, start, tip):
        return tip, await _between(repository, start, tip), "fast-forward"
    steps = [(f"{each}^1", each) for each in await _between(repository, base, tip)] if straight else [(base, tip)]
    at, made = start, list[str]()
    for parent, commit in steps:
        picked = await _pick(repository, at, parent, commit)
        if picked != at:
            at = picked
            made.append(picked)
    return at, made, ("picked" if straight else "squashed") if made else "nothing"


async def _pick(repository: Repository, at: str, parent: str, commit: str) -> str:
    names = [f"{each}^{{tree}}" for each in (at, parent, commit)]
    ours, base, theirs = (await repository.ask("rev-parse", *names)).split()
    merged = theirs if ours == base else await _merged(repository, base, ours, theirs, at, commit)
    if merged == ours:
        return at
    env, message = await _authorship(repository, commit)
    return await _commit(repository, merged, [at], message, env)


async def _merged(repository: Repository, base: str, ours: str, theirs: str, at: str, commit: str) -> str:
    root = await _commit(repository, base, [], b"base", _NOBODY)
    left = await _commit(repository, ours, [root], b"ours", _NOBODY)
    right = await _commit(repository, theirs, [root], b"theirs", _NOBODY)
    code, out, said = await repository.result(
        "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", left, right
    )
    words = [word for word in split(out) if word]
    if code == 0 and words:
        return words[0]
    if code != 1 or len(words) < 2:
        raise GitError(f"git merge-tree failed: {said.strip() or f'exit code {code}'}")
    files = sorted(set(words[1:]))
    raise GitError(
        f"{commit[:12]} and {at[:12]} changed the same places: {named(files)}",
        type="Conflict",
        files=files,
        hint=f"`git cherry-pick {commit[:12]}` and resolve it by hand",
    )


async def _authorship(repository: Repository, commit: str) -> tuple[dict[str, str], bytes]:
    """Who wrote a commit, when, and its message, from the object itself; the committer is ours, the dates stay."""
    raw = await repository.call("cat-file", "commit", commit)
    header, _, message = raw.partition(b"\n\n")
    line = next((line for line in header.split(b"\n") if line.startswith(b"author ")), b"author  <> 0 +0000")
    name, _, rest = line.removeprefix(b"author ").rpartition(b" <")
    address, _, date = rest.rpartition(b"> ")
    env = _who(repository, (_text(name) or "unknown", _text(address)), None)
    day = "@" + _text(date)
    env |= {"GIT_AUTHOR_DATE": day, "GIT_COMMITTER_DATE": day}
    encoding = next((line[9:] for line in header.split(b"\n") if line.startswith(b"encoding ")), b"utf-8")
    try:
        message = message.decode(_text(encoding)).encode()
    except (LookupError, ValueError):
        message = message.decode("utf-8", "replace").encode()
    return env, message


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


async def _move(repository: Repository, target: str, old: str, new: str, at: str) -> None:
    """The files of the work tree that has `target` checked out, then the branch."""
    if new == old:
        return
    if await current_branch(repository) != target:
        raise GitError(
            f"{repository.place.top} is no longer on the branch {target}", hint=f"`git switch {target}`, then run again"
        )
    await _move_files(repository, old, new)
    if at != new:
        await repository.call("update-ref", "-m", "weft: a task", f"refs/heads/{target}", new, at)


async def _move_files(repository: Repository, old: str, new: str) -> None:
    release_locks(repository, repository.tree)
    await repository.call("update-index", "-q", "--refresh", fine=(0, 1))
    code, _, said = await repository.result("read-tree", "-m", "-u", old, new)
    if not code:
        return
    now = await contents(repository, base=new)
    wanted = {change.path: change for change in await changes(repository, old, new)}
    present = await changes(repository, old, now)
    in_the_way = sorted(each.path for each in present if each.path in wanted and wanted[each.path] != each)
    others = [each for each in present if each.path not in wanted]
    if in_the_way:
        raise GitError(
            f"{repository.place.top} has changes where the task has some: {named(in_the_way)}",
            type="DirtyTree",
            files=in_the_way,
            hint="commit or stash them; the task's branch is kept",
        )
    if others:
        raise GitError(f"git read-tree failed: {said.strip() or f'exit code {code}'}")
    await repository.call("read-tree", "--reset", "-u", new)


async def _is_ancestor(repository: Repository, old: str, new: str) -> bool:
    code, _, said = await repository.result("merge-base", "--is-ancestor", old, new)
    if code > 1:
        raise GitError(f"git merge-base failed: {said.strip()}")
    return code == 0


async def _between(repository: Repository, old: str, new: str) -> list[str]:
    """The commits from `old` (left out) to `new`, oldest first, along first parents."""
    return (await repository.ask("rev-list", "--reverse", "--first-parent", f"{old}..{new}")).split()


async def touching(repository: Repository, old: str, new: str, files: Sequence[str]) -> tuple[str, ...]:
    """The commits from `old` to `new`, oldest first, that changed one of `files`: with whom a conflict is."""
    given = [f":(top,literal){name}" for name in files]
    out = await repository.ask("rev-list", "--reverse", f"{checked_commit(old)}..{checked_commit(new)}", "--", *given)
    return tuple(out.split())
