"""Times, counts and events in words, for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from weft import event_types as events
from weft.cli.terminal import one_line
from weft.errors import ErrorData
from weft.event_types import Event

_MESSAGE = 400
"""Characters of a message on one line."""


def seconds(duration: float | None) -> str:
    """`0.012 s`, `3.4 s`, `2m05s`, `1h02m`; empty for None."""
    if duration is None:
        return ""
    duration = max(0.0, duration)
    if duration < 9.9995:
        return f"{duration:.3f} s" if duration < 0.9995 else f"{duration:.2f} s"
    if duration < 59.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def instant(at: float | None) -> str | None:
    """A Unix time as ISO-8601 with milliseconds and Z; None for None."""
    if at is None:
        return None
    whole, fraction = divmod(round(at * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{fraction:03}Z"


def counted(number: int, word: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def error_words(error: ErrorData) -> str:
    """An error on one line: `HttpError: 503 Service Unavailable`."""
    return one_line(f"{error.type}: {error.message}", _MESSAGE)


# -- events ------------------------------------------------------------------------------------------------------------


def _run_started(e: events.RunStarted) -> str:
    return f"run {e.run} started"


def _run_resumed(e: events.RunResumed) -> str:
    changed = f", {counted(len(e.changed), 'changed node')}" if e.changed else ""
    return f"resumed{changed}"


def _attempt_started(e: events.AttemptStarted) -> str:
    again = f" attempt {e.attempt}" if e.attempt > 1 else ""
    why = f" ({one_line(e.reason)})" if e.reason not in ("", "new") else ""
    return f"started{again}{why}"


def _attempt_succeeded(e: events.AttemptSucceeded) -> str:
    return f"succeeded{f' ({e.reason})' if e.reason else ''}  {seconds(e.duration)}"


def _attempt_failed(e: events.AttemptFailed) -> str:
    if e.error.type == "Cancelled":
        return f"cancelled: {one_line(e.error.message, _MESSAGE)}  {seconds(e.duration)}"
    if e.error.type == "Skipped":
        return f"skipped: {one_line(e.error.message, _MESSAGE)}"
    number = f" attempt {e.attempt}" if e.attempt > 1 else ""
    return f"failed{number}: {error_words(e.error)}  {seconds(e.duration)}"


def _choice_made(e: events.ChoiceMade) -> str:
    if e.when:
        return f"when is {'true' if e.taken >= 0 else 'false'}"
    return "takes no branch" if e.taken < 0 else f"takes branch {e.taken}"


def _block_failed(e: events.BlockFailed) -> str:
    if e.error is not None:
        return f"failed: {error_words(e.error)}"
    return f"failed: {one_line(e.cause)} failed"


def _loop_checked(e: events.LoopChecked) -> str:
    if e.error is not None:
        return f"cannot go on: {error_words(e.error)}"
    return f"begins round {e.round}" if e.go_on else f"ends before round {e.round}"


def _cancel_requested(e: events.CancelRequested) -> str:
    by = f" by {one_line(e.by)}" if e.by else ""
    why = f": {one_line(e.reason, _MESSAGE)}" if e.reason else ""
    return f"is to be cancelled{by}{why}"


_WORDS: dict[type[Event], Callable[[Any], str]] = {
    events.RunStarted: _run_started,
    events.RunResumed: _run_resumed,
    events.RunFinished: lambda e: e.status + (f": {error_words(e.error)}" if e.error else ""),
    events.WaveStarted: lambda e: f"wave {e.wave} started ({counted(e.count, 'node')})",
    events.WaveCompleted: lambda e: f"wave {e.wave} completed",
    events.CancelRequested: _cancel_requested,
    events.AttemptStarted: _attempt_started,
    events.AttemptSucceeded: _attempt_succeeded,
    events.AttemptFailed: _attempt_failed,
    events.RetryScheduled: lambda e: f"attempt {e.attempt} in {seconds(e.delay)}",
    events.NodeSkipped: lambda e: f"skipped: {one_line(e.reason)}",
    events.LimitWaited: lambda e: f"waited for the limit {one_line(e.limit)}  {seconds(e.waited)}",
    events.BudgetExhausted: lambda e: f"does not fit into the budget: {one_line(e.lacking, _MESSAGE)}",
    events.ChoiceMade: _choice_made,
    events.ForeachExpanded: lambda e: counted(e.count, "item"),
    events.IterationBroken: lambda e: "break" + (" of all" if e.everything else ""),
    events.LoopChecked: _loop_checked,
    events.EvaluationFailed: lambda e: f"failed: {error_words(e.error)}",
    events.ValueDrawn: lambda e: f"recorded {e.function}()",
    events.BlockSucceeded: lambda e: "succeeded",
    events.BlockFailed: _block_failed,
    events.BlockTimedOut: lambda e: f"timed out: {error_words(e.error)}",
    events.FellBack: lambda e: "falls back",
    events.DecisionNeeded: lambda e: f"waits for a decision: {one_line(e.question, _MESSAGE)}",
    events.DecisionMade: lambda e: f"decided: {one_line(e.answer)}" + (f" by {one_line(e.by)}" if e.by else ""),
    events.CompensationStarted: lambda e: "undo started" + (f" attempt {e.attempt}" if e.attempt > 1 else ""),
    events.CompensationSucceeded: lambda e: f"undone  {seconds(e.duration)}",
    events.CompensationFailed: lambda e: f"undo failed: {error_words(e.error)}  {seconds(e.duration)}",
}


def event_words(event: Event) -> str:
    """What happened."""
    words = _WORDS.get(type(event))
    return type(event).__name__ if words is None else words(event)


def event_line(event: Event, workflow: str, began: float) -> str:
    """Seconds since `began` (Unix time), path (the workflow's name for the run itself), what, how long it took."""
    path = getattr(event, "path", None) or workflow
    return f"{max(0.0, event.at - began):9.3f}  {one_line(path)}  {event_words(event)}"
