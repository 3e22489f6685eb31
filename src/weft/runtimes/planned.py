"""What the nodes of a plan do: agents and reviewers in work trees, commits, folding. In which order, others decide.

    plan:head     the commit that the repository's own work tree is at, before something acts on it
    plan:tree     a work tree of a task's own, forked from a commit
    plan:agent    one invocation of an agent; what an earlier one left without an end is kept as a patch and taken back
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
from weft.event_types import Usage
from weft.kinds import KindSpec
from weft.runtimes.base import AttemptContext, Output

if TYPE_CHECKING:
    import asyncio

    from weft.runtimes.agent import Ran
    from weft.runtimes.git import Repository, Tree
    from weft.runtimes.planted import Footprint, Guarded


_NOBODYS = ("refs/heads/weft/", "refs/remotes/", "refs/prefetch/")
"""Refs that may move while agents work: tasks' own, and what editors and `git fetch` bring up to date on their own."""


def _spec(kind: str, doc: str) -> KindSpec:
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


# -- places -----------------------------------------------------------------------------------------------------------


class Head:
    """`plan:head`."""

    spec: ClassVar[KindSpec] = _spec("plan:head", "the commit that the repository is at")

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

    spec: ClassVar[KindSpec] = _spec("plan:tree", "a work tree of a task's own")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{branch, base, path, gitdir, before}`. One that an interrupted attempt has made is taken over, as new."""
        from weft.runtimes.gitstate import commit_of
        from weft.runtimes.worktrees import add_worktree, list_worktrees, remove_worktree, reset_worktree

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
                await repository.call("branch", "-D", "--", branch)
            tree = await add_worktree(repository, path, branch, base)
        return {"branch": branch, "base": base, "path": tree.path, "gitdir": tree.gitdir, "before": None}


class Sweep:
    """`plan:sweep`."""

    spec: ClassVar[KindSpec] = _spec("plan:sweep", "a work tree that nobody needs any more is removed")

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


# -- agents -----------------------------------------------------------------------------------------------------------


class Agent:
    """`plan:agent`."""

    spec: ClassVar[KindSpec] = _spec("plan:agent", "one invocation of a coding agent")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{text, duration, transcript, patch}`. Raises AttemptError: `AgentFailed`, `Timeout`, `OutsideWrite`,
        `UndeclaredWriteError`, `VerifyFailed`, and what keeps an agent from starting.
        """
        from weft.runtimes.planted import Watch

        repository = await repository_of(ctx, settings)
        place = settings["place"]
        patch = await _put_back(ctx, repository, settings, "left")
        watch = ctx.resources.obtain(f"watch {settings['repo']}", Watch, Watch.close)
        with watch.begin(repository) as guarded:
            before = await _footprint(repository, place, await guarded)
            ran = await self._invoke(ctx, settings)
            return await self._judged(ctx, repository, settings, before, ran, patch)

    async def _judged(
        self,
        ctx: AttemptContext,
        repository: Repository,
        settings: Mapping[str, Any],
        before: Footprint | Guarded,
        ran: Ran,
        patch: str | None,
    ) -> Output:
        place = settings["place"]
        try:
            _refuse_lost_state(repository, Path(settings["state"]))
            await _refuse_outside(repository, before)
            if settings["read_only"]:
                patch = await _put_back(ctx, repository, settings, "unasked") or patch
            _judge(ran, settings)
            if not settings["read_only"]:
                await _refuse_other_branch(repository, place)
                await _refuse_undeclared(repository, settings)
                await _verify(ctx, settings)
        except AttemptError as error:
            if place["path"] is None and place["before"] is None:  # the next task begins with a clean tree
                kept = await _put_back(ctx, repository, settings, "failed")
                error.hint = "; ".join(
                    said for said in (error.hint, kept and f"its changes are kept in {kept}") if said
                )
            raise
        used = _used(ran)
        answer = {"text": ran.text, "duration": ran.duration, "transcript": ran.transcript, "patch": patch}
        return Output(answer, used=used)

    async def _invoke(self, ctx: AttemptContext, settings: Mapping[str, Any]) -> Ran:
        from weft.runtimes.agent import run_agent

        call = settings["call"]
        if call["file"] is not None:
            _write_prompt(Path(settings["prompt_file"]), call["file"])
        place = settings["place"]
        assert ctx.world.children is not None
        return await run_agent(
            ctx.world.children,
            call["argv"],
            cwd=place["path"] or settings["repo"],
            env={**ctx.env, **settings["env"]},
            stdin=call["stdin"],
            seconds=settings["seconds"],
            transcript=_unused(f"{settings['transcript']}-{ctx.attempt}", ".log"),
            on_line=lambda line: ctx.log("line", line.encode("utf-8", "replace")),
        )


def _unused(name: str, ending: str) -> Path:
    """A file for this call: one of an earlier call of the same name stays."""
    numbers = itertools.count(2)
    file = Path(name + ending)
    while file.exists():
        file = Path(f"{name}-{next(numbers)}{ending}")
    return file


def _write_prompt(file: Path, text: str) -> None:
    import os

    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text.encode("utf-8", "surrogateescape"))


async def _put_back(ctx: AttemptContext, repository: Repository, settings: Mapping[str, Any], why: str) -> str | None:
    """Take back what is in the tree without an end on record. It is kept as a patch, and commits on a branch: where, is
    returned.
    """
    from weft.runtimes.gitstate import changes, contents, named
    from weft.runtimes.worktrees import reset_worktree, save_patch

    place = settings["place"]
    if place.get("shared"):  # others edit there, too
        return None
    tree, base, before = tree_of(repository, place), place["base"], place["before"]
    if before is not None:
        now = await contents(repository, tree)
        if now != before:
            found = named([change.path for change in await changes(repository, before, now)])
            message = f"what is not committed may not be put back, and is not as it was when the task began: {found}"
            raise AttemptError(message, type="DirtyTree", hint="look at `git status`, put it in order, and run again")
        return None
    file = _unused(f"{settings['transcript']}-{ctx.attempt}-{why}", ".patch")
    kept = await save_patch(repository, tree, base, file)
    left = await reset_worktree(repository, tree, base)
    return " and on branch ".join(str(each) for each in (kept and file, left) if each) or None


async def _footprint(repository: Repository, place: Mapping[str, Any], guarded: Guarded) -> Footprint | Guarded:
    """What an agent must leave alone: in the repository's own tree what git runs, in another everything beside it."""
    import msgspec

    from weft.runtimes.planted import footprint

    if place["path"] is None:
        return guarded
    return msgspec.structs.replace(await footprint(repository), guarded=guarded)


def _refuse_lost_state(repository: Repository, state: Path) -> None:
    """As `git clean -fdx` does it. The folder is made anew: what is written there later must stay invisible to git."""
    from weft.runtimes.git import make_state

    if (state / ".gitignore").exists() and (state / "runs").is_dir():
        return
    make_state(state, repository.place)
    raise AttemptError(
        f"the agent deleted the state folder {state}, and with it the record of this run",
        type="OutsideWrite",
        hint="what was committed stays; forbid it to delete ignored files, and begin anew",
    )


async def _refuse_outside(repository: Repository, before: Footprint | Guarded) -> None:
    import asyncio

    from weft.runtimes.gitstate import named
    from weft.runtimes.planted import Guarded, Outside, changed_outside, planted, restore

    if isinstance(before, Guarded):
        guarded = before
        outside = Outside(plants=await planted(repository, guarded))
    else:
        guarded = before.guarded
        outside = await changed_outside(repository, before, own=_NOBODYS)
    if not outside:
        return
    left = await asyncio.to_thread(restore, guarded, outside.plants)
    said = [f"files of the repository: {named(outside.files)}"] if outside.files else []
    said += [f"refs: {', '.join(outside.refs)}"] if outside.refs else []
    said += [f"what git runs: {', '.join(map(str, outside.plants))}"] if outside.plants else []
    put_back = "could not all be put back" if left else "was put back"
    hint = f"what git runs {put_back}" if outside.plants else "look at it, and take back what is not wanted"
    raise AttemptError(
        f"the agent changed what is outside of its work tree: {'; '.join(said)}", type="OutsideWrite", hint=hint
    )


def _used(ran: Ran) -> Usage | None:
    usage = ran.usage
    if usage is None:
        return None
    tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    return Usage(float(tokens), usage.cost or 0.0)


def _judge(ran: Ran, settings: Mapping[str, Any]) -> None:
    """Raise for an agent that did not do its work."""
    if ran.timed_out:
        raise _failed(f"the agent {ran}", "Timeout", ran)
    if ran.exit_code != 0:
        raise _failed(f"the agent {ran}", "AgentFailed", ran)
    least = settings["least"]
    if least is not None and len(ran.text.strip()) < least:
        found = len(ran.text.strip())
        raise _failed(f"the plan has {found} characters, fewer than {least}", "PlanTooShort", ran)


def _failed(message: str, kind: str, ran: Ran) -> AttemptError:
    from weft.runtimes.command import end_of

    said = end_of(ran.stderr.strip() or ran.stdout.strip(), 600)
    hint = f"see {ran.transcript}" if ran.transcript else None
    return AttemptError(f"{message}: {said}" if said else message, type=kind, retryable=True, hint=hint)


async def _refuse_other_branch(repository: Repository, place: Mapping[str, Any]) -> None:
    from weft.runtimes.commits import starting

    if not place.get("shared"):
        await starting(repository, tree_of(repository, place), place["base"])


async def _refuse_undeclared(repository: Repository, settings: Mapping[str, Any]) -> None:
    from weft.runtimes.changes import undeclared, undeclared_error
    from weft.runtimes.gitstate import changed_files

    writes = settings["writes"]
    place = settings["place"]
    if writes is None or place.get("shared"):
        return
    changed = await changed_files(repository, tree_of(repository, place), place["base"])
    if strays := undeclared(list(changed), writes):
        raise undeclared_error(strays, writes)


async def _verify(ctx: AttemptContext, settings: Mapping[str, Any]) -> None:
    from weft.runtimes.agent import run_agent
    from weft.runtimes.command import SHELL

    command = settings["verify"]
    if command is None:
        return
    assert ctx.world.children is not None
    place = settings["place"]
    ran = await run_agent(
        ctx.world.children,
        (*SHELL, command),
        cwd=place["path"] or settings["repo"],
        env={**ctx.env, **settings["env"]},
        seconds=settings["seconds"],
        transcript=_unused(f"{settings['transcript']}-{ctx.attempt}-verify", ".log"),
        key="verify",
    )
    if ran.exit_code != 0:
        raise _failed(f"`{command}`, which must succeed afterwards, {ran}", "VerifyFailed", ran)


# -- commits ----------------------------------------------------------------------------------------------------------


class Commit:
    """`plan:commit`."""

    spec: ClassVar[KindSpec] = _spec("plan:commit", "what a task has changed, as a commit")

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

    spec: ClassVar[KindSpec] = _spec("plan:fold", "a task's commits onto the target branch")

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

    spec: ClassVar[KindSpec] = _spec("plan:review", "one invocation of the reviewer")

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
            transcript=_unused(f"{settings['transcript']}-{ctx.attempt}", ".log"),
        )
        failed = done.failed
        if failed is not None and not settings["pass_over"]:
            hint = done.hint or (done.transcript and f"see {done.transcript}")
            raise AttemptError(failed, type="ReviewerFailed", retryable=True, hint=hint)
        return {"exit_code": done.exit_code, "output": "" if failed else done.output, "failed": failed}


class Computed:
    """`plan:value`."""

    spec: ClassVar[KindSpec] = _spec("plan:value", "what follows from what is known")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The value. Raises AttemptError where what is known is a failure."""
        found = settings["value"]
        if "failure" in found:
            kind, message = found["failure"]
            raise AttemptError(message, type=kind, hint=found.get("hint"))
        return Output(found.get("value"), issue=found.get("issue") or "")
