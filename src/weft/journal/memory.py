"""Runs in memory: nothing is encoded, so any object passes by reference, and an append is `list.extend`.

A batch's borders are not kept: nothing here can tear. An owner that was taken over finds its `append`
replaced by one that refuses, which costs the owner that was not nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from weft.errors import CannotCreateError, CorruptJournalError, FencedError, JournalError, OwnedError
from weft.event_types import Event, Journaled
from weft.journal.base import Cached, Contribution, KillChildren
from weft.journal.ids import ID, new_id, resolve, unknown
from weft.journal.weights import median, remember
from weft.values import BlobRef, blob_digest

_PLACE = "memory"
_OWNER = "this process"


class _Run:
    """What the journals and readers of one run share."""

    __slots__ = ("blobs", "epoch", "events", "files", "owner")

    def __init__(self, events: list[Event], files: Mapping[str, bytes]) -> None:
        self.events = events
        self.blobs: dict[str, bytes] = {}
        self.files = dict(files)
        self.epoch = 0
        self.owner: MemoryJournal | None = None


class MemoryJournal:
    """One run in memory, opened for writing."""

    __slots__ = ("_run", "append", "epoch", "folder", "run_id")

    append: Callable[[list[Event]], None]

    def __init__(self, run_id: str, run: _Run) -> None:
        run.epoch += 1
        run.owner = self
        self._run = run
        self.run_id = run_id
        self.epoch = run.epoch
        self.folder: Path | None = None
        self.append = run.events.extend

    def read(self) -> Iterator[list[Journaled]]:
        if self._run.events:
            yield cast("list[Journaled]", self._run.events[:])

    def put_blob(self, data: bytes) -> BlobRef:
        return _put(self._run.blobs, data)

    def get_blob(self, ref: BlobRef) -> bytes:
        return _get(self._run.blobs, ref, self.run_id)

    def close(self) -> None:
        if self._run.owner is self:
            self._run.owner = None
            self.append = self._refuse_closed

    def fence(self) -> None:
        """Another owner has the run from here on."""
        self.append = self._refuse_fenced

    def _refuse_closed(self, events: list[Event]) -> None:
        raise JournalError(f"the journal of run {self.run_id} is closed")

    def _refuse_fenced(self, events: list[Event]) -> None:
        raise FencedError(f"run {self.run_id} was taken over; nothing more can be written to it from here")


class MemoryReader:
    """One run in memory, read-only. Positions count events."""

    __slots__ = ("_run", "folder", "position", "run_id")

    def __init__(self, run_id: str, run: _Run) -> None:
        self._run = run
        self.run_id = run_id
        self.folder: Path | None = None
        self.position = 0

    def read(self, after: int | None = None) -> Iterator[list[Journaled]]:
        start = self.position if after is None else after
        events = self._run.events[start:]
        self.position = start + len(events)
        if events:
            yield cast("list[Journaled]", events)

    def get_blob(self, ref: BlobRef) -> bytes:
        return _get(self._run.blobs, ref, self.run_id)

    def close(self) -> None:
        """Nothing is held."""


class MemoryHistory:
    """What outlives a run, for as long as the process lives."""

    __slots__ = ("_blobs", "_durations", "_outputs")

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._durations: dict[str, list[float]] = {}
        self._outputs: dict[str, Cached] = {}

    def durations(self, keys: Iterable[str]) -> dict[str, float]:
        return {key: median(self._durations[key]) for key in keys if key in self._durations}

    def cached(self, key: str) -> Cached | None:
        return self._outputs.get(key)

    def put_blob(self, data: bytes) -> BlobRef:
        return _put(self._blobs, data)

    def get_blob(self, ref: BlobRef) -> bytes:
        return _get(self._blobs, ref, "the history")

    def record(self, run_id: str, contribution: Contribution) -> None:
        for key, durations in contribution.durations.items():
            if durations:
                self._durations[key] = remember(self._durations.get(key, ()), durations)
        self._outputs.update(contribution.outputs)


class MemoryStore:
    """A place with runs that ends with the process."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self.history = MemoryHistory()

    def new_id(self) -> str:
        return new_id(time.time())

    def create(self, run_id: str, events: list[Event], files: Mapping[str, bytes] | None = None) -> MemoryJournal:
        if run_id in self._runs or not ID.match(run_id):
            reason = "there is one already" if run_id in self._runs else "that is not a run id"
            raise CannotCreateError(f"cannot make run {run_id!r} in {_PLACE}: {reason}")
        run = self._runs[run_id] = _Run(list(events), files or {})
        return MemoryJournal(run_id, run)

    def open(self, run_id: str, *, take_over: bool = False, kill_children: KillChildren | None = None) -> MemoryJournal:
        run = self._find(run_id)
        if run.owner is not None and not take_over:
            raise OwnedError(
                f"run {run_id} is open in this process already",
                owner=_OWNER,
                hint="close it first, or take it over",
            )
        if run.owner is not None:
            run.owner.fence()
        return MemoryJournal(run_id, run)

    def reader(self, run_id: str) -> MemoryReader:
        return MemoryReader(run_id, self._find(run_id))

    def owner(self, run_id: str) -> str | None:
        return _OWNER if self._find(run_id).owner is not None else None

    def runs(self) -> list[str]:
        return sorted(self._runs, reverse=True)

    def resolve(self, prefix: str) -> str:
        return resolve(self.runs(), prefix, _PLACE)

    def remove(self, run_id: str) -> None:
        if self._find(run_id).owner is not None:
            raise OwnedError(f"run {run_id} is open in this process", owner=_OWNER, hint="close it first")
        del self._runs[run_id]

    def _find(self, run_id: str) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            raise unknown(run_id, _PLACE)
        return run


def _put(blobs: dict[str, bytes], data: bytes) -> BlobRef:
    name = blob_digest(data)
    blobs[name] = bytes(data)
    return BlobRef(name, len(data))


def _get(blobs: dict[str, bytes], ref: BlobRef, owner: str) -> bytes:
    data = blobs.get(ref.sha256)
    if data is None or len(data) != ref.size:
        raise CorruptJournalError(f"blob {ref.sha256[:12]} of {owner} is missing")
    return data
