"""The live view: what runs now, how long, how far, what failed, what was printed last.

Drawn by a thread of its own, so that neither rich (110 ms to import) nor a terminal that stands still holds up
the run. It begins after `PATIENCE`: a run that is over before that is not worth a picture, and rich is never
imported.

It is drawn in place, not on the alternate screen: a process that is killed leaves a readable picture and no
terminal to repair. The price is knowing where the last picture is. Its lines are always shorter than the
terminal is wide, and fewer than it is high, so nothing wraps or scrolls; when the width has changed since,
terminals wrap the old lines anew, and how many rows that makes can be computed. `rich.live` was rejected
because it counts lines, not rows: it leaves pieces behind when a terminal is made narrower.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Event as Signal
from threading import Thread
from typing import TYPE_CHECKING

from weft import event_types as events
from weft.cli.terminal import Out, log_text, one_line
from weft.cli.words import counted, error_words, seconds

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from weft.engine.report import Report
    from weft.event_types import Event

PATIENCE = 0.4
EVERY = 0.125
"""Seconds between two pictures."""
SHARE = 20
"""Drawing takes one part in so many of the processor's time, however slow the machine is."""
ROWS = 18
"""Lines of a picture, however high the terminal is."""
_FAILURES = 3
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class State:
    """What the view knows. Written by the engine's thread, read by the drawing one; every read is of a copy."""

    def __init__(self) -> None:
        self.report: Report | None = None
        self.began: float | None = None
        self.running: dict[str, float] = {}
        self.items: dict[str, int] = {}
        self.failures: deque[tuple[str, str]] = deque(maxlen=_FAILURES)
        self.failed = 0
        self.last: tuple[str, bytes] | None = None
        self.cancelled = False
        self.notice = ""

    def add(self, report: Report, event: Event) -> None:
        """Take in one event."""
        self.report = report
        if self.began is None:
            self.began = event.at
        match event:
            case events.AttemptStarted():
                self.running[event.path] = event.at
            case events.AttemptSucceeded():
                self.running.pop(event.path, None)
            case events.AttemptFailed():
                self.running.pop(event.path, None)
                if event.error.type not in ("Cancelled", "Skipped"):
                    self.failed += 1
                    self.failures.append((event.path, error_words(event.error)))
            case events.EvaluationFailed():
                self.failed += 1
                self.failures.append((event.path, error_words(event.error)))
            case events.ForeachExpanded():
                self.items[event.path] = event.count
            case events.BlockSucceeded() | events.BlockFailed():
                self.items.pop(event.path, None)
            case events.CompensationStarted():
                self.running[f"{event.path} (undo)"] = event.at
            case events.CompensationSucceeded() | events.CompensationFailed():
                self.running.pop(f"{event.path} (undo)", None)
            case events.CancelRequested():
                self.cancelled = True
            case _:
                pass

    def heard(self, path: str, chunk: bytes) -> None:
        """Keep the end of what was printed last."""
        self.last = (path, chunk[-2000:])

    def words(self, path: str) -> str:
        """What stands behind something that runs."""
        return ""

    def ended(self) -> tuple[int, int]:
        """How many have ended well, and how many have failed."""
        if self.report is None:
            return 0, 0
        counts = self.report.counts
        done = counts.get("succeeded", 0) + counts.get("skipped", 0)
        return done, max(counts.get("failed", 0), len(self.report.errors))

    def place(self, path: str) -> str:
        """A path, with the number of items where it stands in a list: `each[3]/score of 1,000`."""
        block = path.rpartition("[")[0]
        count = self.items.get(block) if block else None
        return one_line(path) + (f" of {count:,}" if count is not None else "")


class Live:
    """Draws the state of a run, again and again, until it is closed."""

    def __init__(self, out: Out, state: State | None = None) -> None:
        self._out = out
        self._state = state or State()
        self._stop = Signal()
        self._thread: Thread | None = None
        self._rows: list[int] = []
        self._turn = 0

    def event(self, report: Report, event: Event, /) -> None:
        self._state.add(report, event)
        if self._thread is None:
            self._thread = Thread(target=self._draw_until_stopped, name="weft-live", daemon=True)
            self._thread.start()

    def notice(self, text: str, /) -> bool:
        """Show it behind the head."""
        self._state.notice = text
        return True

    def close(self) -> None:
        """Take the picture away. A terminal that stands still is given a second."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def log(self, path: str, stream: str, chunk: bytes, /) -> None:
        """Keep the end of what was printed last."""
        if chunk.strip():
            self._state.heard(path, chunk)

    def _draw_until_stopped(self) -> None:
        if self._stop.wait(PATIENCE):
            return
        from rich.console import Console

        console = Console(
            force_terminal=True,
            color_system="standard" if self._out.colours else None,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        while not self._out.gone:
            began = time.thread_time()
            if self._out.ready():
                self._draw(console)
            if self._stop.wait(max(EVERY, (time.thread_time() - began) * SHARE)):
                break
        self._out.write(self._erasure(self._out.width()))

    def _draw(self, console: Console) -> None:
        from rich.text import Text

        width, height = self._out.size()
        self._turn += 1
        try:
            lines = picture(self._state, time.time(), width, height, _SPINNER[self._turn % len(_SPINNER)])
        except RuntimeError:
            return  # the state changed under our hands; the next picture will do
        text = self._erasure(width)
        if lines:
            with console.capture() as captured:
                console.print(Text("\n").join(lines), no_wrap=True, crop=False, width=width)
            text += captured.get()
        self._rows = [line.cell_len for line in lines]
        self._out.write(text)

    def _erasure(self, width: int) -> str:
        """What takes the last picture away, given how wide the terminal is now."""
        if not self._rows:
            return ""
        rows = sum(max(1, -(-cells // max(1, width))) for cells in self._rows)
        self._rows = []
        return f"\r\x1b[{rows}A\x1b[J"


def picture(state: State, now: float, width: int, height: int, spinner: str = "·") -> list[Text]:
    """The lines to show at Unix time `now`: fewer than `height`, each shorter than `width` cells.

    What matters most stays longest when there is little room: the head, a failure, what runs, the last words.
    """
    from rich.text import Text

    room = min(height - 1, ROWS)
    if room < 1 or width < 2:
        return []
    lines = [_head(state, now, spinner)]
    failures = [Text(f"  ✗ {one_line(path)}: {message}", "red") for path, message in list(state.failures)]
    last = _last_words(state)
    running = sorted(dict(state.running).items(), key=lambda pair: pair[1])
    left = room - 1
    shown_failures = failures[-max(0, min(len(failures), left // 3 or left)) :] if failures and left else []
    left -= len(shown_failures)
    shown_last = [last] if last is not None and left > 1 else []
    left -= len(shown_last)
    fit = len(running) if len(running) <= left else max(0, left - 1)
    lines += [_running(state, path, at, now) for path, at in running[:fit]]
    if fit < len(running) and left:
        lines.append(Text(f"  … and {counted(len(running) - fit, 'more step')}", "dim"))
    lines += shown_failures + shown_last
    for line in lines:
        line.truncate(width - 1, overflow="ellipsis")
    return lines[:room]


def _head(state: State, now: float, spinner: str) -> Text:
    from rich.text import Text

    report = state.report
    head = Text()
    head.append(f"{spinner} ", "cyan")
    head.append(one_line(report.workflow) if report is not None else "", "bold")
    head.append(f"  {seconds(now - (state.began if state.began is not None else now))}")
    if report is None:
        return head
    if report.waves > 1:
        head.append(f"  wave {report.current_wave + 1} of {report.waves}")
    head.append(f"  {len(state.running)} running", "cyan")
    done, failed = state.ended()
    head.append(f"  {done:,} done", "green")
    if failed:
        head.append(f"  {failed:,} failed", "red")
    if report.questions:
        head.append(f"  {len(report.questions)} waiting", "yellow")
    if state.cancelled:
        head.append("  is being cancelled", "yellow")
    if state.notice:
        head.append(f"  {state.notice}", "yellow")
    return head


def _running(state: State, path: str, at: float, now: float) -> Text:
    from rich.text import Text

    line = Text("  ▸ ", "cyan")
    line.append(state.place(path), "default")
    line.append(f"  {seconds(now - at)}", "dim")
    words = state.words(path)
    if words:
        line.append(f"  {words}", "dim")
    return line


def _last_words(state: State) -> Text | None:
    from rich.text import Text

    last = state.last
    if last is None:
        return None
    lines = [line for line in log_text(last[1].decode("utf-8", "replace")).split("\n") if line.strip()]
    return Text(f"  │ {one_line(last[0])}: {one_line(lines[-1][-500:])}", "dim") if lines else None
