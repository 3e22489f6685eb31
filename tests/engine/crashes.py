"""A run whose process "dies" in the middle: right after the commit of an event that is waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.conftest import Flows
from weft import app
from weft.event_types import AttemptSucceeded, Event


class Died(Exception):
    """The process is gone."""


def dies(at: Callable[[Event], bool]) -> app.Watcher:
    """A watcher that ends the process at the first event that is `at`."""

    def watch(report: object, event: Event) -> None:
        if at(event):
            raise Died

    return watch


def done(path: str) -> Callable[[Event], bool]:
    """The success of a node is durable."""
    return lambda event: isinstance(event, AttemptSucceeded) and event.path == path


def crash(flows: Flows, body: str, at: Callable[[Event], bool], front: str = "", **request: object) -> None:
    """Run a document up to an event, and no further."""
    document = flows.write(body, front)
    with pytest.raises(Died):
        app.run(document, app.Request(**request), audience=app.Audience(watch=dies(at)))  # type: ignore[arg-type]


def crash_again(flows: Flows, at: Callable[[Event], bool], **options: object) -> None:
    """Resume the run up to an event, and no further."""
    with pytest.raises(Died):
        flows.resume(audience=app.Audience(watch=dies(at)), **options)


def edit(flows: Flows, old: str, new: str, name: str = "doc") -> Path:
    """Change the document."""
    path = flows.folder / f"{name}.flow.md"
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is in it {text.count(old)} times"
    path.write_text(text.replace(old, new))
    return path
