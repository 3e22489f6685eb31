"""Why a node ran, or did not: what the journal says of it, told in order. Writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from weft import event_types as events
from weft.app.documents import SAVED, load_source
from weft.app.inspection import inspect, unknown_path
from weft.errors import ErrorData, WeftError
from weft.text.source import read_source

if TYPE_CHECKING:
    from weft.event_types import Event
    from weft.graph.model import Graph


class AttemptStory(msgspec.Struct, frozen=True):
    """One attempt. Times are Unix time in seconds; `ended_at` and `outcome` are None while it runs, or when it was lost
    with its process."""

    number: int
    started_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    duration: float | None = None
    error: ErrorData | None = None
    reason: str = ""
    retry_after: float | None = None


class Story(msgspec.Struct, frozen=True):
    """Why a node ran, or did not. `needs` are the paths it waited for, with their status; `waited` the limits, with
    seconds; `notes` what else happened to it; `cause` the path inside it that made it fail."""

    run: str
    path: str
    kind: str
    status: str
    reason: str
    needs: tuple[tuple[str, str], ...] = ()
    attempts: tuple[AttemptStory, ...] = ()
    waited: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    cause: str | None = None


def why(run_id: str, path: str, journal: str | None = None) -> Story:
    """The story of one node. Raises NotFoundError, with near paths, when it is not in the run."""
    seen = inspect(run_id, journal)
    try:
        own = [event for event in seen.follow() if getattr(event, "path", None) == path]
        nodes = seen.report.result().nodes if seen.report.status != "running" else seen.report.nodes
    finally:
        seen.close()
    node = nodes.get(path)
    planned = seen.report.kind_of(path) if "/" not in path and "[" not in path else ""
    if node is None and not planned and not own:
        raise unknown_path(path, list(nodes), seen.run_id)
    told = _Telling()
    for event in own:
        told.add(event)
    return Story(
        run=seen.run_id,
        path=path,
        kind=seen.report.kind_of(path),
        status=node.status if node is not None else "pending",
        reason=node.reason if node is not None else "not started yet",
        needs=tuple((need, nodes[need].status if need in nodes else "") for need in _needs(seen.folder, path)),
        attempts=tuple(told.attempts.values()),
        waited=tuple(told.waited),
        notes=tuple(told.notes),
        cause=told.cause,
    )


class _Telling:
    """Collects what happened to one node, in order."""

    def __init__(self) -> None:
        self.attempts: dict[int, AttemptStory] = {}
        self.waited: list[tuple[str, float]] = []
        self.notes: list[str] = []
        self.cause: str | None = None

    def add(self, event: Event) -> None:
        match event:
            case events.AttemptStarted():
                self._attempt(event.attempt, started_at=event.at, reason=event.reason)
            case events.AttemptSucceeded():
                outcome = event.reason or "succeeded"
                self._attempt(event.attempt, outcome=outcome, ended_at=event.at, duration=event.duration)
            case events.AttemptFailed():
                self._failed(event)
            case events.RetryScheduled():
                self._attempt(event.attempt - 1, retry_after=event.delay)
            case events.LimitWaited():
                self.waited.append((event.limit, event.waited))
            case events.BlockFailed():
                self.cause = event.cause
            case _:
                note = _note(event)
                if note:
                    self.notes.append(note)

    def _failed(self, event: events.AttemptFailed) -> None:
        outcome = {"Cancelled": "cancelled", "Skipped": "skipped"}.get(event.error.type, "failed")
        self._attempt(event.attempt, outcome=outcome, ended_at=event.at, duration=event.duration, error=event.error)

    def _attempt(self, number: int, **known: object) -> None:
        before = self.attempts.get(number) or AttemptStory(number)
        self.attempts[number] = msgspec.structs.replace(before, **known)


def _note(event: Event) -> str:
    match event:
        case events.ChoiceMade(when=True):
            return "its `when` was " + ("true" if event.taken >= 0 else "false")
        case events.ChoiceMade():
            return "no branch was taken" if event.taken < 0 else f"branch {event.taken} was taken"
        case events.ForeachExpanded():
            return f"the collection had {event.count:,} items"
        case events.EvaluationFailed():
            return f"could not be evaluated: {event.error.message}"
        case events.BlockTimedOut():
            return event.error.message
        case events.DecisionNeeded():
            return f"waits for a decision: {event.question}"
        case events.DecisionMade():
            return f"decided as {event.answer}" + (f" by {event.by}" if event.by else "")
        case events.CompensationStarted():
            return f"its undo began (attempt {event.attempt})"
        case events.CompensationSucceeded():
            return "it was undone"
        case events.CompensationFailed():
            return f"its undo failed: {event.error.message}"
        case _:
            return ""


def _needs(folder: Path | None, path: str) -> list[str]:
    """The paths that a path waited for, as the run's own copy of the document says; none when it cannot be read."""
    if folder is None or not (folder / SAVED).exists():
        return []
    try:
        program = load_source(read_source(folder / SAVED)).program
    except WeftError:
        return []
    if program is None:
        return []
    head, slash, last = path.rpartition("/")
    wanted = last.partition("[")[0]
    found = _graph_with(program.graph, wanted)
    if found is None:
        return []
    index = found.index[wanted]
    return [head + slash + found.nodes[need].id for need in found.needs[index]]


def _graph_with(graph: Graph, wanted: str) -> Graph | None:
    """The graph, or the body inside it, that has a node of that id."""
    waiting = [graph]
    while waiting:
        one = waiting.pop()
        if wanted in one.index:
            return one
        for node in one.nodes:
            waiting += [*node.bodies, *(body for body in (node.fallback, node.compensation) if body is not None)]
    return None
