"""Runs that are kept: going on with one, reading what happened in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from weft.app import embedding
from weft.app.embedding import Place
from weft.errors import InputError
from weft.results import RunResult
from weft.workflow.documents import LoadedWorkflow
from weft.workflow.loops import in_a_loop_of_its_own
from weft.workflow.options import Options, how_of, named
from weft.workflow.tasks import Workflow

if TYPE_CHECKING:
    from weft.backends.base import Backend
    from weft.budget import Budget
    from weft.cancellation import CancellationToken
    from weft.event_types import Event


class ResumeOptions(Options, total=False):
    """What `resume` takes besides the run and its workflow."""

    arguments: Mapping[str, Any] | None
    accept_changes: bool
    take_over: bool


async def resume(
    run_id: str,
    workflow: Workflow,
    *,
    journal: Place = ".weft",
    arguments: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - it stops what runs, and is on record
    token: CancellationToken | None = None,
    on_event: Callable[[Event], object] | None = None,
    budget: Budget | None = None,
    backend: Backend | None = None,
    accept_changes: bool = False,
    take_over: bool = False,
) -> RunResult:
    """Go on with a journaled run, in this process or another: what is done stays done, exactly the rest runs.

    `run_id` may be shortened, or `last`. `arguments` are only those that no journal can keep (iterators). Raises
    ChangedError when the tasks are not those that ran, unless `accept_changes`; OwnedError when another process works
    on the run; NotFoundError; NotResumableError when there is nothing to go on with.
    """
    if not isinstance(workflow, Workflow):
        raise InputError(f"{workflow!r} is no workflow", hint="weft.resume(run_id, workflow, journal=...)")
    how = how_of(None, jobs, timeout, token, on_event, backend, budget)
    loaded = workflow.loaded if isinstance(workflow, LoadedWorkflow) else None
    return await embedding.resume(
        run_id,
        lambda given, journaled: workflow.program_for(given, journaled=journaled),
        how,
        journal,
        arguments=named(arguments),
        loaded=loaded,
        accept_changes=accept_changes,
        take_over=take_over,
    )


def resume_sync(run_id: str, workflow: Workflow, **options: Unpack[ResumeOptions]) -> RunResult:
    """`resume`, without `await`: also where a loop runs already."""
    return in_a_loop_of_its_own(resume(run_id, workflow, **options))


def events(run_id: str, *, journal: Place = ".weft") -> list[Event]:
    """The journal of a run: everything that happened, in order. Raises NotFoundError, JournalError."""
    return list(embedding.read_events(run_id, journal))
