"""Plans: find the run that is a plan's, run it or go on with it, and sum up what came of it.

A run is found by repository and plan. Running the same command again goes on with it: what is done stays done. Only a
plan whose every task is done, or whose run was cancelled, begins anew; for the first there is nothing to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft import event_types as events
from weft.app.planhistory import begins_anew, history_of
from weft.app.planning import (
    PLANS,
    PlanOutcome,
    PlanRequest,
    Ready,
    own_files,
    places,
    plan_source,
    prepare,
    reviewer_of,
    settings,
)
from weft.app.running import NOBODY, Audience, end_children, sit
from weft.app.summary import nothing_to_do, standing_of, summed_up
from weft.errors import ChangedError, OwnedError
from weft.fronts.plan.compile import Setting, compile_plan, parts_of
from weft.graph.model import walk_paths
from weft.graph.work import Program
from weft.values import digest

if TYPE_CHECKING:
    from weft.engine.facts import Facts
    from weft.engine.sitting import Sitting
    from weft.journal.base import Journal, Store
    from weft.journal.lock import OwnerLock
    from weft.runtimes.git import Repository

TAKE_OVER = "wait for it, or end it with `weft plan run --take-over`"

# -- running ----------------------------------------------------------------------------------------------------------


def run(request: PlanRequest, *, audience: Audience = NOBODY) -> PlanOutcome:
    """Run a plan, or go on with it. Raises WeftError for what is wrong before an agent starts; OwnedError when another
    process runs a plan on this repository.
    """
    ready = prepare(request)
    store = store_of(ready.state)
    lock = _owned(ready.repo, take_over=request.take_over)
    try:
        run_id, _, begin, sitting = _begin(ready, request, store, audience)
        if sitting is None:
            return nothing_to_do(ready, store, run_id)
        outcome = sit(sitting, store, begin, audience.watch, ready.state)
        return summed_up(ready, store, run_id, outcome)
    finally:
        lock.release()


def store_of(state: Path) -> Store:
    """The runs of a repository."""
    import weft
    from weft.journal.sqlite import SqliteStore

    return SqliteStore(state, weft=weft.__version__)


def _owned(repo: Path, *, take_over: bool) -> OwnerLock:
    """Own the repository with all its work trees, wherever plans keep their state: refs and hooks are shared."""
    from weft.journal.lock import own
    from weft.runtimes.git import discover

    folder = Path(discover(repo).common, "weft")
    folder.mkdir(exist_ok=True)
    try:
        return own(folder, "plan", take_over=take_over)
    except OwnedError as error:
        message = f"another plan runs on this repository: {error.owner or error.message}"
        raise OwnedError(message, error.owner, hint=TAKE_OVER) from None


def _begin(
    ready: Ready, request: PlanRequest, store: Store, audience: Audience
) -> tuple[str, Program, Callable[[], Any], Sitting | None]:
    """The run that goes on, or a new one; without a sitting there is nothing to do."""
    found = latest(store, ready.path)
    if found is not None:
        journal = store.open(found, take_over=request.take_over, kill_children=end_children)
        try:
            going_on = _resumed(ready, request, store, journal, audience)
        except BaseException:
            journal.close()
            raise
        if going_on is not None:
            return going_on
        journal.close()
    return _started(ready, request, store, audience)


def latest(store: Store, path: Path) -> str | None:
    """The newest run of a plan, by the plan's real path."""
    for run_id in store.runs():
        reader = store.reader(run_id)
        try:
            batch = next(iter(reader.read()), None)
        finally:
            reader.close()
        first = batch[0] if batch else None
        if isinstance(first, events.RunStarted) and first.settings.get("plan") == str(path):
            return run_id
    return None


def _started(
    ready: Ready, request: PlanRequest, store: Store, audience: Audience
) -> tuple[str, Program, Callable[[], Any], Sitting]:
    from weft.engine.sitting import Arguments, run_started

    _refuse_unready(ready, allow_dirty=request.allow_dirty or not ready.config["commit"])
    run_id = store.new_id()
    program = compile_plan(ready.plan, ready.tasks, ready.config, _setting(ready, request, run_id))
    options = _options(ready)
    started = run_started(run_id, program, Arguments(), options, at=time.time(), settings=_facts(ready))
    journal = store.create(run_id, [started], {"plan.md": ready.source.text.encode()})
    sitting = _sitting(program, journal, options, audience)
    return run_id, program, lambda: sitting.start(started), sitting


def _refuse_unready(ready: Ready, *, allow_dirty: bool) -> None:
    """Raise GitError when the repository is in no state to begin with: dirty, without commits, in a merge."""
    from weft.runtimes.gitstate import ready as standing

    _in_repository(ready, lambda repository: standing(repository, allow_dirty=allow_dirty))


def _refuse_other_branch(ready: Ready, branch: str | None) -> None:
    """Raise GitError when what was interrupted stands on another branch than the one that is checked out."""
    from weft.runtimes.failures import GitError
    from weft.runtimes.git import discover
    from weft.runtimes.worktrees import checked_out

    now = checked_out(Path(discover(ready.repo).gitdir))
    if branch is None or now == branch:
        return
    hint = f"`git switch {branch}`, and run again; or begin anew with `weft plan reset`"
    raise GitError(
        f"this run was interrupted on branch {branch}, and {now or 'no branch'} is checked out now",
        type="OtherBranch",
        hint=hint,
    )


def _put_back(ready: Ready, base: str, kept: Path) -> None:
    """Put the repository's tree back to the commit `base` (empty: to the one it is at); what was in it is kept."""
    from weft.runtimes.gitstate import head
    from weft.runtimes.worktrees import reset_worktree, save_patch

    async def work(repository: Repository) -> None:
        at = base or await head(repository)
        await save_patch(repository, repository.tree, at, kept)
        await reset_worktree(repository, repository.tree, at)

    _in_repository(ready, work)


def _in_repository(ready: Ready, work: Callable[[Repository], Coroutine[Any, Any, Any]]) -> None:
    """Do something with the repository before the run does."""
    import asyncio

    from weft.backends.children import Children
    from weft.runtimes.git import open_repository

    async def whole() -> None:
        children = Children()
        await children.start()
        try:
            repository = await open_repository(
                children, ready.repo, env=os.environ, state=ready.state, own=own_files(ready.config)
            )
            try:
                await work(repository)
            finally:
                repository.close()
        finally:
            await children.close()

    asyncio.run(whole())


def _setting(ready: Ready, request: PlanRequest, run_id: str) -> Setting:
    config = ready.config
    return Setting(
        str(ready.repo), str(ready.state), run_id, reviewer_of(config), request.allow_dirty, own_files(config)
    )


def _facts(ready: Ready) -> dict[str, str]:
    import weft

    return {"weft": weft.__version__, "pid": str(os.getpid()), "plan": str(ready.path), "repository": str(ready.repo)}


def _options(ready: Ready) -> Any:
    from weft.budget import Budget
    from weft.engine.sitting import Options

    said = ready.config["budget"]
    budget = None if said is None else Budget(tokens=said.tokens, cost_usd=said.cost_usd, wall=said.wall)
    return Options(folder=ready.repo, project=ready.repo, budget=budget)


def _sitting(program: Program, journal: Journal, options: Any, audience: Audience) -> Sitting:
    from weft.engine.sitting import Arguments, Sitting

    return Sitting(program, Arguments(), journal, options, on_log=audience.log, on_signal=audience.signal)


# -- going on ---------------------------------------------------------------------------------------------------------


def _resumed(
    ready: Ready, request: PlanRequest, store: Store, journal: Journal, audience: Audience
) -> tuple[str, Program, Callable[[], Any], Sitting | None] | None:
    """What goes on with a run; None when it was cancelled, so that a new one begins."""
    from weft.engine.facts import Facts

    run_id = journal.run_id
    history = history_of(journal)
    changed, lines = _edited(ready, history.digests)
    done = frozenset(number for number in history.done if f"task-{number}" not in changed)
    where = msgspec.structs.replace(_setting(ready, request, run_id), done=done)
    program = compile_plan(ready.plan, ready.tasks, ready.config, where)
    facts = Facts(program.graph, program.on_failure)
    facts.scan(journal.read())
    if facts.finished == "cancelled":
        return None
    if lines and not request.accept_changes:
        hint = "--accept-changes runs them again; or restore their text"
        raise ChangedError("tasks were edited since they ran", lines, hint=hint)
    if done.issuperset(task.number for task in ready.tasks) and facts.finished in ("succeeded", "issues"):
        journal.close()
        return run_id, program, lambda: None, None
    if facts.finished in ("", "waiting"):
        _refuse_other_branch(ready, history.branch)
    anew = begins_anew(history, parts_of(ready.tasks, ready.config), history.gone(_is_tree))
    changed |= {path: why for path, why in anew.paths.items() if path.partition("/")[0] not in changed}
    keeps = request.allow_dirty or not ready.config["commit"]
    if facts.finished not in ("", "waiting"):  # what waits has its work in the tree
        _refuse_unready(ready, allow_dirty=keeps)
    elif anew.base is not None and not keeps:
        _put_back(ready, anew.base, ready.state / PLANS / run_id / f"{history.owner}-{journal.epoch}-left.patch")
    resumed = _turned(ready, journal, facts, program, changed, edited=_paths_of(program) != history.ids)
    sitting = _sitting(program, journal, _options(ready), audience)
    return run_id, program, lambda: sitting.resume(facts, resumed), sitting


def _is_tree(path: str, gitdir: str) -> bool:
    """Whether a work tree is where it was made."""
    return Path(path).is_dir() and Path(gitdir, "HEAD").is_file()


def _paths_of(program: Program) -> set[str]:
    return {path for _, path, _ in walk_paths(program.graph)}


def _turned(
    ready: Ready, journal: Journal, facts: Facts, program: Program, changed: dict[str, str], *, edited: bool
) -> events.RunResumed:
    """The facts, seen from where the run goes on with `changed` put aside, and the event that says so."""
    from weft.engine.sitting import node_plan

    stamp = digest([program.digest, journal.epoch]) if changed else program.digest  # what is put aside is an edit
    edited = edited or stamp != facts.digest
    facts.turn()
    if edited:
        facts.edit(stamp, changed)
    if facts.edited:
        facts.number(journal.read())
    return events.RunResumed(
        at=time.time(),
        epoch=journal.epoch,
        changed=changed,
        document_digest=stamp,
        settings=_facts(ready),
        plan=node_plan(program.graph, digests=True) if edited else (),
    )


def _edited(ready: Ready, known: Mapping[int, str]) -> tuple[dict[str, str], list[str]]:
    """The nodes of tasks whose text is another than the one that ran, and a line for each task."""
    changed: dict[str, str] = {}
    lines: list[str] = []
    for task in ready.tasks:
        if known.get(task.number, task.digest) != task.digest:
            changed[f"task-{task.number}"] = "changed: its text"
            changed[f"review-{task.number}"] = f"upstream task-{task.number} ran again"
            lines.append(f"{task.name} has another text")
    return changed, lines


# -- looking and forgetting -------------------------------------------------------------------------------------------


def status(request: PlanRequest) -> dict[str, Any]:
    """How every task of a plan stands, as data."""
    ready = prepare(request, starts=False)
    store = store_of(ready.state)
    found = latest(store, ready.path)
    summary = standing_of(ready, store, found)
    if found is None:
        return summary
    reader = store.reader(found)
    try:
        known = history_of(reader).digests
    finally:
        reader.close()
    for task, told in zip(ready.tasks, summary["tasks"], strict=True):
        told["edited"] = known.get(task.number, task.digest) != task.digest
    return summary


def reset(request: PlanRequest) -> tuple[list[str], list[tuple[str, str | None]]]:
    """Forget the runs of a plan; returns their ids, and path and branch of the work trees that they leave behind.
    Raises OwnedError when one goes on. What the plan says now does not matter.
    """
    from weft.runtimes.worktrees import worktrees_at

    config = settings(request)
    place, state, path = places(config)
    store = store_of(Path(os.path.realpath(state)))
    removed: list[str] = []
    try:
        while (found := latest(store, path)) is not None:
            store.remove(found)
            removed.append(found)
    except OwnedError as error:
        raise OwnedError(error.message, error.owner, hint=TAKE_OVER) from None
    if not removed:
        plan_source(config)
    heads = tuple(f"weft/{run_id}/" for run_id in removed)
    trees = worktrees_at(place)
    return removed, [(tree.path, tree.branch) for tree in trees if (tree.branch or "").startswith(heads)]
