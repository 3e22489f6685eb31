"""One invocation of an agent for a task of a plan, and all that it must not do.

    taken back    what an earlier attempt left without an end (kept as a patch)
    watched       what is outside of its work tree, what git runs, what tells agents what to run
    judged        how it ended, what it has changed, the task's own check

A failure in the repository's own tree is taken back, too: the next task begins with a clean one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weft.errors import AttemptError
from weft.event_types import Usage
from weft.kinds import KindSpec
from weft.runtimes.base import AttemptContext, Output
from weft.runtimes.planned import repository_of, spec_of, tree_of, unused_file

if TYPE_CHECKING:
    from weft.runtimes.agent import Ran
    from weft.runtimes.git import Repository
    from weft.runtimes.planted import Footprint, Guarded, Kept

_NOBODYS = ("refs/heads/weft/", "refs/remotes/", "refs/prefetch/")
"""Refs that may move while agents work: tasks' own, and what editors and `git fetch` bring up to date on their own."""


class Agent:
    """`plan:agent`."""

    spec: ClassVar[KindSpec] = spec_of("plan:agent", "one invocation of a coding agent")

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """`{text, duration, transcript, patch}`. Raises AttemptError: `AgentFailed`, `Timeout`, `OutsideWrite`,
        `SteeringWrite`, `UndeclaredWriteError`, `VerifyFailed`, and what keeps an agent from starting.
        """
        import asyncio

        from weft.runtimes.planted import Watch
        from weft.runtimes.steering import steering_files

        repository = await repository_of(ctx, settings)
        place = settings["place"]
        patch = await _put_back(ctx, repository, settings, "left")
        watch = ctx.resources.obtain(f"watch {settings['repo']}", Watch, Watch.close)
        with watch.begin(repository) as guarded:
            before = await _footprint(repository, place, await guarded)
            steering = await asyncio.to_thread(steering_files, _folder(settings))
            ran = await self._invoke(ctx, settings)
            return await self._judged(ctx, repository, settings, before, steering, ran, patch)

    async def _judged(
        self,
        ctx: AttemptContext,
        repository: Repository,
        settings: Mapping[str, Any],
        before: Footprint | Guarded,
        steering: Mapping[str, Kept],
        ran: Ran,
        patch: str | None,
    ) -> Output:
        place = settings["place"]
        try:
            _refuse_lost_state(repository, Path(settings["state"]))
            await _refuse_outside(repository, before)
            if settings["read_only"]:
                patch = await _put_back(ctx, repository, settings, "unasked") or patch
                await _restore_steering(settings, steering)
            _judge(ran, settings)
            if not settings["read_only"]:
                await _refuse_other_branch(repository, place)
                await _refuse_steering(settings, steering)
                await _refuse_undeclared(repository, settings)
                await _verify(ctx, settings)
        except AttemptError as error:
            if place["path"] is None and place["before"] is None:  # the next task begins with a clean tree
                kept = await _put_back(ctx, repository, settings, "failed")
                await _restore_steering(settings, steering)
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
            transcript=unused_file(f"{settings['transcript']}-{ctx.attempt}", ".log"),
            on_line=lambda line: ctx.log("line", line.encode("utf-8", "replace")),
        )


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
    file = unused_file(f"{settings['transcript']}-{ctx.attempt}-{why}", ".patch")
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


def _folder(settings: Mapping[str, Any]) -> Path:
    """Where the agent works."""
    return Path(settings["place"]["path"] or settings["repo"])


async def _refuse_steering(settings: Mapping[str, Any], before: Mapping[str, Kept]) -> None:
    import asyncio

    from weft.runtimes.steering import refuse_steering

    if not settings["place"].get("shared"):  # there others may have been the ones, and have declared it
        await asyncio.to_thread(refuse_steering, _folder(settings), before, settings["writes"])


async def _restore_steering(settings: Mapping[str, Any], before: Mapping[str, Kept]) -> None:
    """What git ignores stays when a tree is put back; these files must not."""
    import asyncio

    from weft.runtimes.steering import restore_steering

    if not settings["place"].get("shared") and settings["place"]["before"] is None:
        await asyncio.to_thread(restore_steering, _folder(settings), before)


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
        transcript=unused_file(f"{settings['transcript']}-{ctx.attempt}-verify", ".log"),
        key="verify",
    )
    if ran.exit_code != 0:
        raise _failed(f"`{command}`, which must succeed afterwards, {ran}", "VerifyFailed", ran)
