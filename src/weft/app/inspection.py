"""Looking at runs: where they are, how they stand, what they printed, why a node ran. Writes nothing.

Everything in here is a fold of the journal, so it tells the same of a run that goes on, that has ended, or that
died.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from weft import event_types as events
from weft.app import project
from weft.app.documents import SAVED, load_source
from weft.errors import (
    DeniedError,
    ErrorData,
    InputError,
    JournalError,
    NotFoundError,
    NotResumableError,
    UsageError,
    WeftError,
    nearest,
)
from weft.text.source import read_source

if TYPE_CHECKING:
    from weft.app.project import Project
    from weft.engine.report import Report
    from weft.event_types import Event
    from weft.graph.model import Graph
    from weft.graph.work import Program
    from weft.journal.base import Store


# -- finding runs ------------------------------------------------------------------------------------------------------


def store_of(place: Project, program: Program | None = None) -> Store:
    """Where a project keeps its runs. Raises InputError."""
    if place.journal is None:
        from weft.journal.memory import MemoryStore

        return MemoryStore()
    if "://" in str(place["journal"] or ""):
        origin = place.settings["journal"].origin
        raise InputError(f"{origin}: journals at an address are not supported yet", hint="name a folder, or none")
    import weft
    from weft.journal.sqlite import SqliteStore

    durability = place["durability"] or (program.durability if program is not None else None) or "power"
    if durability not in ("power", "process"):
        raise InputError(f"durability is {durability!r}; it must be power or process")
    return SqliteStore(
        place.journal, durability="process" if durability == "process" else "power", weft=weft.__version__
    )


def here(journal: str | None = None) -> tuple[Project, Store]:
    """The project of the working directory and its runs. Raises UsageError when none are kept."""
    place = project.find(Path.cwd(), {"journal": journal})
    if place.journal is None:
        raise UsageError("runs without a journal are not kept", hint="name the folder with --journal")
    return place, store_of(place)


def locate(run_id: str, journal: str | None = None) -> tuple[Project, Store, str]:
    """The project of the working directory, its runs, and the full id of a run named by a prefix or `last`."""
    place, store = here(journal)
    return place, store, store.resolve(run_id)


def first_event(store: Store, run_id: str) -> events.RunStarted:
    """How a run began. Raises NotResumableError when its journal does not say."""
    reader = store.reader(run_id)
    try:
        batch = next(iter(reader.read()), None)
    finally:
        reader.close()
    if not batch or not isinstance(batch[0], events.RunStarted):
        raise NotResumableError(f"run {run_id} has no beginning")
    return batch[0]


class Inspection:
    """A run seen from outside, also while it goes on: its report, brought up to date by `refresh`."""

    def __init__(self, store: Store, run_id: str) -> None:
        from weft.engine.records import Outputs
        from weft.engine.report import Report
        from weft.values import BlobRef

        def refuse(data: bytes) -> BlobRef:
            raise AssertionError("a reader writes nothing")

        self.run_id = run_id
        self._store = store
        self._reader = store.reader(run_id)
        self.folder = self._reader.folder
        self.report: Report = Report(Outputs(None, refuse, self._reader.get_blob))

    def refresh(self) -> None:
        """Read what has come since."""
        for _ in self.follow():
            pass

    def follow(self) -> Iterator[Event]:
        """The new events, one by one, each already in the report."""
        for batch in self._reader.read():
            for event in batch:
                self.report.add(event)
                yield event

    def standing(self) -> str:
        """The run's status; `running` while a process owns it, `interrupted` when it has no end and no owner."""
        return standing(self._store, self.run_id, self.report)

    def close(self) -> None:
        """Let go of the journal."""
        self._reader.close()


def inspect(run_id: str, journal: str | None = None) -> Inspection:
    """Look at a run by prefix or `last`. Raises NotFoundError, JournalError."""
    _, store, full = locate(run_id, journal)
    return Inspection(store, full)


def standing(store: Store, run_id: str, report: Report) -> str:
    """A run's status; one without an end is `running` while a process owns it, else `interrupted`."""
    if report.status != "running":
        return report.status
    owner = getattr(store, "owner", None)
    return "running" if owner is None or owner(run_id) is not None else "interrupted"


class RunSummary(msgspec.Struct, frozen=True):
    """A run in the list of runs. Times are Unix time in seconds; `errors` counts the failed paths."""

    run: str
    workflow: str
    status: str
    started_at: float | None
    completed_at: float | None
    errors: int = 0
    document: str | None = None


def runs(journal: str | None = None) -> Iterator[RunSummary]:
    """All runs of the working directory's project, newest first. One that cannot be read is listed as `damaged`."""
    place = project.find(Path.cwd(), {"journal": journal})
    if place.journal is None or not place.journal.exists():
        return
    store = store_of(place)
    for run_id in store.runs():
        try:
            yield _summary(store, run_id)
        except NotFoundError:
            continue  # removed meanwhile
        except (JournalError, DeniedError):
            yield RunSummary(run_id, "", "damaged", None, None)


def _summary(store: Store, run_id: str) -> RunSummary:
    seen = Inspection(store, run_id)
    try:
        seen.refresh()
        status = seen.standing()
    finally:
        seen.close()
    report = seen.report
    return RunSummary(
        run=run_id,
        workflow=report.workflow,
        status=status,
        started_at=report.started_at,
        completed_at=report.completed_at,
        errors=len(report.errors),
        document=report.document,
    )


# -- logs --------------------------------------------------------------------------------------------------------------


class LogFile(msgspec.Struct, frozen=True):
    """What one attempt printed."""

    path: str
    attempt: int
    file: Path


def log_files(folder: Path, path: str | None = None) -> list[LogFile]:
    """The logs of a run, the oldest first; with `path` those of that node and of everything inside it."""
    found = []
    try:
        entries = list((folder / "logs").iterdir())
    except OSError:
        return []
    for file in entries:
        name, _, number = file.name.removesuffix(".log").rpartition(".")
        if file.suffix != ".log" or not number.isdigit():
            continue
        log = LogFile(unquote(name), int(number), file)
        if path is None or log.path == path or log.path.startswith((path + "/", path + "[")):
            found.append((file.stat().st_mtime_ns, log))
    return [log for _, log in sorted(found, key=lambda pair: (pair[0], pair[1].path, pair[1].attempt))]


def log_of(folder: Path, path: str, attempt: int) -> Path | None:
    """What one attempt printed; None when that was nothing."""
    from weft.engine.logs import log_name

    file = folder / "logs" / log_name(path, attempt)
    return file if file.is_file() else None


def unknown_path(path: str, known: list[str], run_id: str) -> NotFoundError:
    """The error for a path that is not in a run."""
    close = nearest(path, known, count=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"`weft show {run_id}` lists all"
    return NotFoundError(f"there is no node {path!r} in run {run_id}", hint=hint)


# -- why ---------------------------------------------------------------------------------------------------------------


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
