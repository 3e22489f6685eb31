"""Functions for other processes, which must be able to import them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from weft import TaskContext


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


def who() -> int:
    """The process that runs this."""
    return os.getpid()


def context(ctx: Any) -> dict[str, Any]:
    """What the context says here."""
    ctx.log("from afar")
    ctx.token.raise_if_cancelled()
    return {"run_id": ctx.run_id, "path": ctx.path, "attempt": ctx.attempt, "key": ctx.key}


def other_name(context: TaskContext) -> None:
    """Takes its context under another name."""


def hang(sink: str) -> None:
    """Says who it is, and never ends."""
    Path(sink).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


def die() -> None:
    """Takes its process along."""
    os._exit(7)


def fail() -> None:
    """Raises."""
    raise LookupError("nothing there")


def report_nonsense(ctx: Any) -> None:
    """Reports a use that cannot be."""
    ctx.report(metrics={"tokens": -1})


class Ours(Exception):
    """An exception of one's own."""


class OursInside(Ours):
    """One below it."""


def raise_by_name(name: str, sink: str) -> None:
    """Notes that it was called, and raises."""
    with Path(sink).open("a") as file:
        file.write(".")
    raise {"ours": OursInside, "value": ValueError, "type": TypeError, "os": ConnectionResetError}[name]("no")
