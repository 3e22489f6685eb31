"""What the nodes of a plan do: work trees, agents, commits, folding, reviews. In which order, others decide.

    plan:head     the commit that the repository's own work tree is at, before something acts on it
    plan:tree     a work tree of a task's own, forked from a commit
    plan:agent    one invocation of an agent (planagent.py)
    plan:commit   what the task has changed, as a commit
    plan:fold     a task's commits onto the target branch
    plan:review   one invocation of the reviewer
    plan:value    a value, a failure or an issue that was computed from what is known
    plan:sweep    the work tree of a task that was folded is removed

All of them may be repeated: a crash between the act and its record finds the same state, or one that is put back first.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weft.errors import AttemptError
from weft.kinds import KindSpec
from weft.runtimes.base import AttemptContext, Output

if TYPE_CHECKING:
    import asyncio

    from weft.runtimes.git import Repository, Tree


def spec_of(kind: str, doc: str) -> KindSpec:
    """Of a kind that no document can name: it has no settings to check."""
    return KindSpec(kind=kind, settings=(), doc=doc, takes_input=False)


async def repository_of(ctx: AttemptContext, settings: Mapping[str, Any]) -> Repository:
    """The repository of the run, opened once."""
    import asyncio

    from weft.runtimes.git import open_repository

    children = ctx.world.children
    assert children is not None
    folder, state, own = Path(settings["repo"]), Path(settings["state"]), settings.get("own", ())

    async def close(opening: asyncio.Task[Repository]) -> None:
        opening.cancel()
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            opening.result().close()

    opening = ctx.resources.obtain(
        f"repository {folder}",
        lambda: asyncio.ensure_future(open_repository(children, folder, env=ctx.env, state=state, own=own)),
        close,
    )
    return await asyncio.shield(opening)


def tree_of(repository: Repository, place: Mapping[str, Any]) -> Tree:
    """The work tree that `plan:tree` or `plan:head` spoke of, with the branch that it was on then."""
    from weft.runtimes.git import Tree

    if place["path"] is None:
        return Tree(repository.tree.path, repository.tree.gitdir, place["branch"])
    return Tree(place["path"], place["gitdir"], place["branch"])


def unused_file(name: str, ending: str) -> Path:
    """A file for this call: one of an earlier call of the same name stays."""
    numbers = itertools.count(2)
    file = Path(name + ending)
    while file.exists():
        file = Path(f"{name}-{next(numbers)}{ending}")
    return file


# -- places -----------------------------------------------------------------------------------------------------------


class Head:
    """`plan:head`."""

    spec: ClassVar[KindSpec] = spec_of("plan:head", "the commit that the repository is at")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{branch, base, path, gitdir, before}`; `before` only where what is not committed is to be left alone."""
        from weft.runtimes.gitstate import contents, current_branch, head

        repository = await repository_of(ctx, settings)
        async with repository.lock:
            pass
        before = await contents(repository) if settings.get("allow_dirty") else None
        branch = await current_branch(repository)
        return {"branch": branch, "base": await head(repository), "path": None, "gitdir": None, "before": before}


class NewTree:
    """`plan:tree`."""

    spec: ClassVar[KindSpec] = spec_of("plan:tree", "a work tree of a task's own")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{branch, base, path, gitdir, before}`. One that an interrupted attempt has made is taken over, as new."""
        from weft.runtimes.gitstate import commit_of
        from weft.runtimes.worktrees import (
            add_worktree,
            list_worktrees,
            remove_branch,
            remove_worktree,
            reset_worktree,
        )

        repository = await repository_of(ctx, settings)
        base, branch, path = settings["base"], settings["branch"], Path(settings["path"])
        there = [tree for tree in list_worktrees(repository, branch) if tree.branch == branch]
        if there and not Path(there[0].path).is_dir():  # noqa: ASYNC240 - as below; somebody has deleted the folder
            await remove_worktree(repository, there.pop())
        if there and there[0].path == str(path.resolve()):  # noqa: ASYNC240 - one look at a local folder
            tree = there[0]
            await reset_worktree(repository, tree, base)
        else:
            if await commit_of(repository, branch) == base and not there:  # made just before the end came
                await remove_branch(repository, branch, base)
            tree = await add_worktree(repository, path, branch, base)
        return {"branch": branch, "base": base, "path": tree.path, "gitdir": tree.gitdir, "before": None}


class Sweep:
    """`plan:sweep`."""

    spec: ClassVar[KindSpec] = spec_of("plan:sweep", "a work tree that nobody needs any more is removed")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """None. The branch goes, too, when it is where the task left it."""
        from weft.runtimes.worktrees import list_worktrees, remove_branch, remove_worktree

        repository = await repository_of(ctx, settings)
        place = settings["place"]
        if place["path"] is None:
            return None
        if any(tree.path == place["path"] for tree in list_worktrees(repository)):
            await remove_worktree(repository, tree_of(repository, place), tip=settings["tip"])
        else:  # the end came when the work tree was gone, and its branch was not
            await remove_branch(repository, place["branch"], settings["tip"])
        return None


# -- commits ----------------------------------------------------------------------------------------------------------


class Commit:
    """`plan:commit`."""

    spec: ClassVar[KindSpec] = spec_of("plan:commit", "what a task has changed, as a commit")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{tip, base, files, place}`; without a change `tip` is the base."""
        from weft.runtimes.changes import as_text
        from weft.runtimes.commits import commit_all
        from weft.runtimes.gitstate import changed_files

        repository = await repository_of(ctx, settings)
        place = settings["place"]
        tree = tree_of(repository, place)
        files = await changed_files(repository, tree, place["base"])
        tip = None
        if settings["commit"]:
            began = ctx.started_at
            tip = await commit_all(
                repository, tree, settings["message"], base=place["base"], before=place["before"], when=began
            )
        return {
            "tip": tip or place["base"],
            "base": place["base"],
            "files": [as_text(f) for f in files],
            "place": place,
        }


class Fold:
    """`plan:fold`."""

    spec: ClassVar[KindSpec] = spec_of("plan:fold", "a task's commits onto the target branch")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{tip, commits, how}`. Raises AttemptError (`Conflict`) with files and tasks; nothing is half-merged."""
        from weft.runtimes.commits import fold, touching
        from weft.runtimes.failures import GitError
        from weft.runtimes.gitstate import named

        repository = await repository_of(ctx, settings)
        work, onto = settings["work"], settings["onto"]
        if work["place"]["path"] is None:
            return {"tip": work["tip"], "commits": [], "how": "nothing"}
        try:
            folded = await fold(repository, onto["branch"], work["base"], work["tip"], onto=onto["base"])
        except GitError as error:
            if error.type != "Conflict":
                raise
            files = tuple(error.files)
            others = await touching(repository, work["base"], onto["base"], files)
            tasks = [task for commit in others if (task := await _task_of(repository, commit))]
            against = f" (changed by {', '.join(dict.fromkeys(tasks))})" if tasks else ""
            message = f"{settings['name']} conflicts in {named(files)}{against}"
            branch = work["place"]["branch"]
            hint = f"`git merge {branch}`, resolve it, commit, and run again; its work tree is {work['place']['path']}"
            raise AttemptError(message, type="Conflict", hint=hint) from None
        return {"tip": folded.tip, "commits": list(folded.commits), "how": folded.how}


async def _task_of(repository: Repository, commit: str) -> str:
    """The task that a commit of ours is of; else its abbreviated name."""
    subject = await repository.ask("log", "-1", "--format=%s", commit)
    head, colon, _ = subject.partition(":")
    return head.lower() if colon and head.lower().startswith("task ") else commit[:12]


# -- reviews ----------------------------------------------------------------------------------------------------------


class Review:
    """`plan:review`."""

    spec: ClassVar[KindSpec] = spec_of("plan:review", "one invocation of the reviewer")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{exit_code, output, failed}`. Raises AttemptError (`ReviewerFailed`) unless that is to be passed over."""
        from weft.runtimes.review import run_review

        assert ctx.world.children is not None
        done = await run_review(
            ctx.world.children,
            settings["command"],
            cwd=settings["repo"],
            env={**ctx.env, **settings["env"]},
            seconds=settings["seconds"],
            transcript=unused_file(f"{settings['transcript']}-{ctx.attempt}", ".log"),
        )
        failed = done.failed
        if failed is not None and not settings["pass_over"]:
            hint = done.hint or (done.transcript and f"see {done.transcript}")
            raise AttemptError(failed, type="ReviewerFailed", retryable=True, hint=hint)
        return {"exit_code": done.exit_code, "output": "" if failed else done.output, "failed": failed}


class Computed:
    """`plan:value`."""

    spec: ClassVar[KindSpec] = spec_of("plan:value", "what follows from what is known")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The value. Raises AttemptError where what is known is a failure."""
        found = settings["value"]
        if "failure" in found:
            kind, message = found["failure"]
            raise AttemptError(message, type=kind, hint=found.get("hint"))
        return Output(found.get("value"), issue=found.get("issue") or "")
