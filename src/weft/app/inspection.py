"""Looking at runs from outside: how they stand, one and all. Writes nothing.

Everything in here is a fold of the journal, so it tells the same of a run that goes on, that has ended, or that
died.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from weft.app import project
from weft.app.stores import locate, store_of
from weft.errors import DeniedError, JournalError, NotFoundError, nearest

if TYPE_CHECKING:
    from weft.engine.report import Report
    from weft.event_types import Event
    from weft.journal.base import Store


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
    return "running" if store.owner(run_id) is not None else "interrupted"


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


def unknown_path(path: str, known: list[str], run_id: str) -> NotFoundError:
    """The error for a path that is not in a run."""
    close = nearest(path, known, count=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"`weft show {run_id}` lists all"
    return NotFoundError(f"there is no node {path!r} in run {run_id}", hint=hint)
