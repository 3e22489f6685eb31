"""A process that writes a journal and says on standard output what was acknowledged. Run as a script, under
strace.

    journal_writer.py ROOT DURABILITY BATCHES HOW [LAST]

HOW is `create` (the run `r1`) or `open` (go on with it), with `+crash` to just end instead of closing it.
Events are `AttemptStarted(path=n)`, counted on from LAST. After a refused append it tries once more, which
must be refused, too, and exits with the error's code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from weft.errors import WeftError
from weft.event_types import AttemptStarted, Event, RunStarted
from weft.journal.base import Journal
from weft.journal.sqlite import SqliteStore

PAGES = 14
"""Pages between checkpoints: few, so that a short run has some."""

LET_THROUGH = 99
"""The exit code when an append succeeded after one that had failed."""


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def write(journal: Journal, numbers: range) -> int:
    for number in numbers:
        size = 3000 if number % 7 == 0 else 10
        batch: list[Event] = [AttemptStarted(path=str(number), reason="x" * size)]
        error = refusal(journal, batch)
        if error is None:
            say(f"ack {number}")
            continue
        say(f"refused {error}")
        again = refusal(journal, batch)
        return error.exit_code if again is not None and str(again).startswith(str(error)) else LET_THROUGH
    return 0


def refusal(journal: Journal, batch: list[Event]) -> WeftError | None:
    try:
        journal.append(batch)
    except WeftError as error:
        return error
    return None


def main(root: str, durability: str, batches: str, how: str, last: str = "0") -> int:
    store = SqliteStore(Path(root), durability=durability, checkpoint_pages=PAGES)
    first = int(last) + 1
    try:
        if how.startswith("open"):
            journal = store.open("r1")
            assert sum(len(batch) for batch in journal.read()) >= first
        else:
            journal = store.create("r1", [RunStarted(run="r1", workflow="w")])
            say("ack 0")
    except WeftError as error:
        say(f"refused {error}")
        return error.exit_code
    code = write(journal, range(first, first + int(batches)))
    if how.endswith("+crash"):
        os._exit(code)
    journal.close()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
