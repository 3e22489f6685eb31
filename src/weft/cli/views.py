"""Watching a run: nothing, a line per event, or an object per event. (live.py has the fourth.)

A view is told of every event after its commit. What goes wrong in a view never touches the run: `guarded` turns
it off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from weft.cli.terminal import Out, Streams
from weft.cli.words import event_line

if TYPE_CHECKING:
    from weft.engine.report import Report
    from weft.event_types import Event


Log = Callable[[str, str, bytes], None]


class View(Protocol):
    """Shows a run while it goes on."""

    @property
    def log(self) -> Log | None:
        """Takes what steps print: path, stream, bytes. None when nobody cares."""
        ...

    def event(self, report: Report, event: Event, /) -> None:
        """Something happened; the report has it already."""
        ...

    def notice(self, text: str, /) -> bool:
        """Show a word to whoever sits there; false when this view has no place for it."""
        ...

    def close(self) -> None:
        """The run has ended, or the process leaves: take everything away that is not to stay."""
        ...


class Quiet:
    """Shows nothing."""

    log: Log | None = None

    def event(self, report: Report, event: Event, /) -> None:
        pass

    def notice(self, text: str, /) -> bool:
        return False

    def close(self) -> None:
        pass


class Plain:
    """A line per event. Times count from the first event that is shown."""

    log: Log | None = None

    def __init__(self, out: Out) -> None:
        self._out = out
        self._began: float | None = None

    def event(self, report: Report, event: Event, /) -> None:
        if self._began is None:
            self._began = event.at
        if not _told_already(event):
            self._out.line(event_line(event, report.workflow, self._began))

    def notice(self, text: str, /) -> bool:
        return False

    def close(self) -> None:
        pass


def _told_already(event: Event) -> bool:
    """A block that failed by itself has just said why."""
    from weft.event_types import BlockFailed

    return isinstance(event, BlockFailed) and event.cause == event.path and event.error is None


class Lines:
    """A JSON object per event."""

    log: Log | None = None

    def __init__(self, out: Out) -> None:
        self._out = out

    def event(self, report: Report, event: Event, /) -> None:
        from weft.cli.json import event_line

        self._out.write_bytes(event_line(event))

    def notice(self, text: str, /) -> bool:
        return False

    def close(self) -> None:
        pass


class Guarded:
    """A view whose faults end itself and nothing else. `fault` is the first."""

    def __init__(self, view: View) -> None:
        self._view: View = view
        self.fault: BaseException | None = None
        self.log: Log | None = None if view.log is None else self._log

    def event(self, report: Report, event: Event, /) -> None:
        if self.fault is None:
            try:
                self._view.event(report, event)
            except Exception as error:
                self._end(error)

    def notice(self, text: str, /) -> bool:
        """Show a word; false when it must be shown elsewhere."""
        return self.fault is None and self._view.notice(text)

    def _log(self, path: str, stream: str, chunk: bytes) -> None:
        if self.fault is None and self._view.log is not None:
            try:
                self._view.log(path, stream, chunk)
            except Exception as error:
                self._end(error)

    def close(self) -> None:
        """Close the view."""
        try:
            self._view.close()
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception) -> None:
        if self.fault is None:
            self.fault = error


def view_for(streams: Streams, *, as_json: bool, events: bool, progress: bool) -> Guarded:
    """The view that fits: for machines, for a terminal that can be drawn on, else lines."""
    if as_json:
        return Guarded(Lines(streams.out) if events else Quiet())
    if events:
        return Guarded(Plain(streams.out))
    if not progress:
        return Guarded(Quiet())
    if streams.out.moves:
        from weft.cli.live import Live

        return Guarded(Live(streams.out))
    return Guarded(Plain(streams.out))
