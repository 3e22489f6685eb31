"""Requests from other terminals: files that appear in the run's `inbox/`, journaled by whoever owns the run.

A request is one JSON file, written beside and renamed. It is removed after its event is durable; a request that is met
twice (a crash came between) changes nothing the second time.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from weft import event_types as events
from weft.errors import IllegalEvent
from weft.event_types import Event

if TYPE_CHECKING:
    from weft.engine.executor import Executor

EVERY = 0.2
"""Seconds between two looks. A look at an empty folder costs microseconds; no watcher of files works everywhere."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody wants of a run."""

    type: Literal["cancel", "decide"]
    by: str = ""
    reason: str = ""
    path: str = ""
    answer: str = ""
    value: msgspec.Raw = events.NULL

    def event(self, at: float) -> Event:
        """The fact it becomes."""
        if self.type == "cancel":
            return events.CancelRequested(by=self.by, reason=self.reason, at=at)
        return events.DecisionMade(path=self.path, answer=self.answer, value=self.value, by=self.by, at=at)


def leave(folder: Path, request: Request, name: str) -> Path:
    """Put a request into the inbox of the run in `folder`. `name` must be new (a random id)."""
    inbox = folder / "inbox"
    inbox.mkdir(exist_ok=True, mode=0o700)
    temporary = inbox / f".{name}"
    temporary.write_bytes(msgspec.json.encode(request))
    return temporary.rename(inbox / f"{name}.json")


class Inbox:
    """Watches the inbox of the run this process owns."""

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder = folder / "inbox"
        self._executor = executor
        self._timer: asyncio.TimerHandle | None = None
        self._taking: set[Path] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def watch(self) -> None:
        """Look now and then."""
        for path in self._waiting():
            if path not in self._taking:
                self._taking.add(path)
                task = self._executor.loop.create_task(self._take(path))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._timer = self._executor.loop.call_later(EVERY, self.watch)

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _waiting(self) -> list[Path]:
        try:
            return sorted(p for p in self._folder.iterdir() if p.suffix == ".json")
        except OSError:
            return []

    async def _take(self, path: Path) -> None:
        request = _read(path)
        if request is None:
            return
        with contextlib.suppress(IllegalEvent):  # nothing to decide there any more
            self._executor.ask(request.event(self._executor.clock.now()))
            await self._executor.durable()
        _remove(path)


def _read(path: Path) -> Request | None:
    """The request; what is none is put aside."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Request)
    except (msgspec.DecodeError, OSError):
        with contextlib.suppress(OSError):
            path.rename(path.with_suffix(".rejected"))
        return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # met again, it changes nothing
        path.unlink()
