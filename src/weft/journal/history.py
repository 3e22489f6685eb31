"""What outlives a run: durations for the scheduler and outputs for `cache`, in `.weft/history.db` and
`.weft/blobs`.

Nothing here is needed for a result to be right. The file has no log and is written in one transaction at a
run's end, so many runs may end at once and each waits its turn. A damaged file is put aside and begun anew;
`rebuild` fills a new one from the journals of the runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from weft.errors import CorruptJournalError, WeftError
from weft.event_types import Journaled
from weft.journal import database
from weft.journal.base import Cached, Contribution, History, Store
from weft.journal.blobs import Blobs
from weft.journal.folder import BLOBS, cannot_use, make_place
from weft.journal.weights import median, remember
from weft.values import BlobRef

HISTORY = "history.db"
_DAMAGED = ".damaged"
_KEYS = 500
"""Keys asked for in one statement."""
_DURATION = "INSERT OR REPLACE INTO duration VALUES (?, ?, ?)"
_OUTPUT = "INSERT OR REPLACE INTO output VALUES (?, ?)"
Row = tuple[Any, ...]
Fold = Callable[[str, Iterator[list[Journaled]]], Contribution]
"""What a run leaves, told from its id and its batches."""
_recent = msgspec.json.Decoder(list[float])
_cached = msgspec.json.Decoder(Cached)


class SqliteHistory:
    """The history beside the runs in a folder. The file is opened for each call and never kept open."""

    def __init__(self, root: Path, *, busy: float = database.BUSY_SECONDS) -> None:
        self._root = root
        self._path = root / HISTORY
        self._busy = busy
        self._blobs = Blobs(root / BLOBS, "the history")

    def durations(self, keys: Iterable[str]) -> dict[str, float]:
        rows = self._ask(lambda connection: _by_key(connection, "median", list(keys)))
        return {key: seconds for key, seconds in rows if isinstance(seconds, float)}

    def cached(self, key: str) -> Cached | None:
        query = "SELECT entry FROM output WHERE key = ?"
        for (entry,) in self._ask(lambda connection: connection.execute(query, (key,)).fetchall()):
            try:
                return _cached.decode(entry)
            except (msgspec.DecodeError, TypeError):
                return None
        return None

    def put_blob(self, data: bytes) -> BlobRef:
        make_place(self._root)
        try:
            self._blobs.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise cannot_use(self._blobs.folder, error) from error
        return self._blobs.put(data)

    def get_blob(self, ref: BlobRef) -> bytes:
        return self._blobs.get(ref)

    def record(self, run_id: str, contribution: Contribution) -> None:
        if not contribution.durations and not contribution.outputs:
            return
        make_place(self._root)
        try:
            self._write(contribution)
        except CorruptJournalError:
            self._put_aside()
            self._write(contribution)

    def _ask(self, question: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        if not self._path.exists():
            return []
        try:
            connection = database.connect_reader(self._path, busy=self._busy)
            try:
                database.check_version(connection, str(self._path))
                return question(connection)
            finally:
                connection.close()
        except database.ERRORS as error:
            raise database.failure(error, f"cannot read {self._path}") from error

    def _write(self, contribution: Contribution) -> None:
        try:
            connection = database.connect_history(self._path, busy=self._busy)
            try:
                database.check_version(connection, str(self._path))
                connection.execute("BEGIN IMMEDIATE")
                self._add(connection, contribution)
                connection.execute("COMMIT")
            finally:
                connection.close()
        except database.ERRORS as error:
            raise database.failure(error, f"cannot write {self._path}") from error
        except OSError as error:
            raise cannot_use(self._path, error) from error

    def _add(self, connection: sqlite3.Connection, contribution: Contribution) -> None:
        durations = contribution.durations
        kept = _by_key(connection, "recent", list(durations))
        earlier = {key: _durations(text) for key, text in kept}
        rows = []
        for key, new in durations.items():
            recent = remember(earlier.get(key, ()), new)
            if recent:
                rows.append((key, median(recent), msgspec.json.encode(recent).decode()))
        connection.executemany(_DURATION, rows)
        entries = [(key, msgspec.json.encode(entry)) for key, entry in contribution.outputs.items()]
        connection.executemany(_OUTPUT, entries)

    def _put_aside(self) -> None:
        try:
            self._path.with_name(HISTORY + "-journal").unlink(missing_ok=True)
            self._path.replace(self._path.with_name(HISTORY + _DAMAGED))
        except FileNotFoundError:
            return
        except OSError as error:
            raise cannot_use(self._path, error) from error


def _durations(text: str) -> list[float]:
    """What was kept for a key; nothing where it is damaged."""
    try:
        return _recent.decode(text)
    except (msgspec.DecodeError, TypeError):
        return []


def _by_key(connection: sqlite3.Connection, column: Literal["median", "recent"], keys: list[str]) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(keys), _KEYS):
        part = keys[start : start + _KEYS]
        marks = ",".join("?" * len(part))
        query = f"SELECT key, {column} FROM duration WHERE key IN ({marks})"  # noqa: S608 - constants and marks
        rows += connection.execute(query, part)
    return rows


def rebuild(history: History, store: Store, fold: Fold) -> list[str]:
    """Record what all runs leave, oldest first; gives the ids of those that could not be read."""
    unread = []
    for run_id in reversed(store.runs()):
        try:
            reader = store.reader(run_id)
            try:
                contribution = fold(run_id, reader.read())
                for entry in contribution.outputs.values():
                    if entry.blob is not None:
                        history.put_blob(reader.get_blob(entry.blob))
            finally:
                reader.close()
        except WeftError:
            unread.append(run_id)
        else:
            history.record(run_id, contribution)
    return unread
