"""Watching a plan: what happens to its tasks. The steps between (places, folds that had nothing to do, gates) are not
told; `--events` and `--json` have everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from weft import event_types as events
from weft.cli.live import State
from weft.cli.terminal import Out, log_text, one_line
from weft.cli.words import counted, error_words, event_line, event_words, instant, seconds
from weft.errors import InputError

if TYPE_CHECKING:
    from weft.cli.views import Guarded, Log
    from weft.engine.report import Report
    from weft.event_types import Event

LEVELS = ("debug", "info", "warning", "error")
_STEP = re.compile(r"(?P<group>task|review)-(?P<task>\d+)(?:/(?P<rest>.+))?\Z")
_ROUND = re.compile(r"rounds\[(\d+)\]")
_DOING = {
    "plan": "plan",
    "execute": "execute",
    "review": "review",
    "ask": "dismissal",
    "address": "address",
}
"""What runs for a while, by the last part of its path."""
_UNTOLD = (events.ValueDrawn, events.ChoiceMade, events.LoopChecked, events.NodeSkipped, events.IterationBroken)


def task_and_phase(path: str) -> tuple[str, str] | None:
    """`task 2` and `address, round 1` of the path of something that runs for a while; None of anything else."""
    found = _STEP.match(path)
    phase = _DOING.get(path.rpartition("/")[2]) if found else None
    if found is None or phase is None:
        return None
    round_ = _ROUND.search(path)
    return f"task {found['task']}", phase + (f", round {int(round_[1]) + 1}" if round_ else "")


def told(event: Event) -> tuple[str, str] | None:
    """Of whom and what to tell, of an event; None for what is between the lines."""
    path = getattr(event, "path", None)
    if path is None or isinstance(event, _UNTOLD):
        return None
    found = _STEP.match(path)
    if found is None:
        failed = isinstance(event, events.AttemptFailed) and event.error.type not in ("Cancelled", "Skipped")
        return ("plan", error_words(event.error)) if failed and isinstance(event, events.AttemptFailed) else None
    words = _of_task(event, path, found["group"], found["rest"] or "")
    return None if words is None else (f"task {found['task']}", words)


def _of_task(event: Event, path: str, group: str, rest: str) -> str | None:
    step = rest.rpartition("/")[2]
    doing = task_and_phase(path)
    match event:
        case events.AttemptStarted() if doing is not None:
            return f"{doing[1]} {event_words(event)}"
        case events.AttemptSucceeded() if doing is not None:
            kept = _output(event).get("patch")
            told = f" (what was there and not the task's is kept in {kept})" if kept else ""
            return f"{doing[1]} ended  {seconds(event.duration)}{told}"
        case events.AttemptSucceeded():
            return _came_of(step, _output(event))
        case events.AttemptFailed() if event.error.type != "Skipped":
            return f"{doing[1] if doing else _DONE.get(step, step)} {event_words(event)}"
        case events.RetryScheduled() if doing is not None or step == "phase":
            return f"{doing[1] if doing else 'phase 3'}: {event_words(event)}"
        case events.BlockSucceeded() if group == "review" and not rest:
            return "done"
        case events.BlockFailed() if not rest:
            return "failed"
        case events.BudgetExhausted():
            return event_words(event)
        case _:
            return None


_DONE = {"fold": "folding", "findings": "review", "verdict": "review", "phase": "phase 3", "place": "its place"}


def _came_of(step: str, output: Mapping[str, Any]) -> str | None:
    """What a step between two phases came to, where that is worth a line."""
    if step == "commit":
        if output.get("tip") in (None, output.get("base")):
            return "changed nothing"
        return f"committed {output['tip'][:12]}"
    if step == "fold" and output.get("how") not in (None, "nothing"):
        return f"folded ({output['how']}): now at {output['tip'][:12]}"
    if step == "fold" and output.get("how") is None and output.get("tip") not in (None, output.get("base")):
        return f"committed {output['tip'][:12]}"
    if step == "left":
        count = len(output.get("findings", ())) + output.get("unlisted", 0)
        dismissed = f" ({len(output['dismissed'])} dismissed)" if output.get("dismissed") else ""
        if output.get("failed") is not None:
            return f"was not reviewed: {one_line(output['failed'], 400)}"
        return (counted(count, "finding") if count else "the reviewer is content") + dismissed
    return None


def _output(event: events.AttemptSucceeded) -> Mapping[str, Any]:
    """What an event carries itself; a large output is not looked up."""
    import msgspec

    try:
        found = msgspec.json.decode(event.output)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


class PlanLines:
    """A line for each phase of each task, and for what came of it."""

    log: Log | None = None

    def __init__(self, out: Out) -> None:
        self._out = out
        self._began: float | None = None
        self._heard: set[str] = set()

    def event(self, report: Report, event: Event, /) -> None:
        if self._began is None:
            self._began = event.at
        if getattr(event, "path", None) is None:
            if isinstance(event, events.RunResumed):  # what begins anew is told when it does
                event = structs.replace(event, changed={})
            self._out.line(event_line(event, report.workflow, self._began))
            return
        line = told(event)
        if line is None or (line[1] == "done" and line[0] not in self._heard):  # it was done before this sitting
            return
        self._heard.add(line[0])
        self._out.line(f"{max(0.0, event.at - self._began):9.3f}  {line[0]}  {one_line(line[1], 600)}")

    def notice(self, text: str, /) -> bool:
        return False

    def close(self) -> None:
        pass


class PlanState(State):
    """What the live view knows of a plan: a line per running task, with the last line that its agent printed."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, bytes] = {}
        self._done: set[str] = set()
        self._failed: set[str] = set()

    def add(self, report: Report, event: Event) -> None:
        """Take in one event."""
        path = getattr(event, "path", None)
        if path is None or (isinstance(event, events.AttemptStarted) and task_and_phase(path) is not None):
            super().add(report, event)
        elif isinstance(event, events.AttemptSucceeded | events.AttemptFailed):
            super().add(report, event)
            self._said.pop(path, None)
        found = _STEP.match(path or "")
        if found is not None and found["rest"] is None:
            if isinstance(event, events.BlockSucceeded) and found["group"] == "review":
                self._done.add(found["task"])
            elif isinstance(event, events.BlockFailed):
                self._failed.add(found["task"])

    def heard(self, path: str, chunk: bytes) -> None:
        """Keep the last line of each task."""
        self._said[path] = chunk[-2000:]

    def place(self, path: str) -> str:
        """`task 2: execute`."""
        found = task_and_phase(path)
        return one_line(path) if found is None else f"{found[0]}: {found[1]}"

    def words(self, path: str) -> str:
        """The last line that the agent printed."""
        lines = [
            line for line in log_text(self._said.get(path, b"").decode("utf-8", "replace")).split("\n") if line.strip()
        ]
        return one_line(lines[-1][-300:]) if lines else ""

    def ended(self) -> tuple[int, int]:
        """Tasks that are done, and that have failed."""
        return len(self._done), len(self._failed - self._done)


class LoggedView:
    """A view that keeps a file besides: a line per event with its time and level, from `level` on. Raises InputError
    when the file cannot be opened.
    """

    def __init__(self, view: Guarded, file: str, level: str) -> None:
        self._view = view
        self._least = LEVELS.index(level)
        try:
            self._file = Path(file).open("a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        except OSError as error:
            raise InputError(f"log_file: cannot write {file}: {(error.strerror or str(error)).lower()}") from None
        self.log = view.log

    def event(self, report: Report, event: Event, /) -> None:
        level, who, words = _logged(report, event)
        if LEVELS.index(level) >= self._least:
            self._file.write(f"{instant(event.at)} {level:<7} {one_line(who)}: {one_line(words, 1000)}\n")
        self._view.event(report, event)

    def notice(self, text: str, /) -> bool:
        return self._view.notice(text)

    def close(self) -> None:
        self._file.close()
        self._view.close()


def _logged(report: Report, event: Event) -> tuple[str, str, str]:
    """Level, of whom, and what, of an event."""
    path = getattr(event, "path", None)
    line = (report.workflow, event_words(event)) if path is None else told(event)
    if isinstance(event, events.RunFinished) and event.status == "failed":
        level = "error"
    elif isinstance(event, events.AttemptFailed) and line is not None:
        level = "warning"
    else:
        level = "debug" if line is None else "info"
    return (level, *(line or (path or "", event_words(event))))
