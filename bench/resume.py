"""Going on with a run of 100,000 events: how long until the first new start."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.table import Table
from weft import app
from weft import event_types as events

EVENTS = 100_000
LONG = """
<workflow>
<foreach id="each" collection="range({count})" concurrency="64">
  <transform:value id="own">$item</transform:value>
</foreach>
<command id="next" needs="each">true</command>
</workflow>
"""
MANY = """
<workflow>
<foreach id="each" collection="range({count})" concurrency="64">
  <delay id="own" duration="0s"/>
</foreach>
<command id="next" needs="each">true</command>
</workflow>
"""


class Died(Exception):
    """The process is gone."""


def resuming(table: Table) -> None:
    """A run that died with so many events in its journal, resumed in this process."""
    for name, text, count in (("ends", LONG, EVENTS), ("starts and ends", MANY, EVENTS // 2)):
        with tempfile.TemporaryDirectory() as folder:
            took = _first_start(Path(folder), text.format(count=count), int(count * 0.99))
        what = f"resume of {EVENTS:,} events ({name}), first new start"
        table.add(what, f"{took:.2f} s", "<= 1.0 s", reached=took <= 1.0)


def _first_start(folder: Path, text: str, enough: int) -> float:
    path = folder / "long.flow.md"
    path.write_text(text)
    seen = 0

    def die(report: object, event: events.Event) -> None:
        nonlocal seen
        seen += type(event) is events.AttemptSucceeded
        if seen >= enough:
            raise Died

    with suppress(Died):
        app.run(path, app.Request(), audience=app.Audience(watch=die))
    began = time.perf_counter()
    took = 0.0

    def first(report: object, event: events.Event) -> None:
        nonlocal took
        if not took and type(event) in (events.AttemptStarted, events.AttemptSucceeded):
            took = time.perf_counter() - began
            raise Died

    before = Path.cwd()
    os.chdir(folder)
    try:
        with suppress(Died):
            app.resume("last", app.Request(), audience=app.Audience(watch=first))
    finally:
        os.chdir(before)
    return took
