"""The chain of checksums over the batches of a run, and reading along it.

    checksum(0) = sha256("weft journal", run id, nonce)
    checksum(n) = sha256(checksum(n-1), epoch as 8 bytes, events)

One flipped bit, a missing, added, doubled or exchanged batch, or a batch of another run breaks it at that
place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha256

import msgspec

from weft.errors import CorruptJournalError, JournalError
from weft.event_types import Journaled, decode_batch
from weft.journal.database import ERRORS, RESTORE, failure
from weft.journal.tail import Witness

_CHUNK = 1 << 20
"""Bytes read in one transaction, about: bounds memory and how long a reader keeps the log from being reused."""
_ROWS = 2000
_AFTER = "SELECT number, epoch, events, checksum FROM batch WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"
_END = 1 << 62


def genesis(run_id: str, nonce: bytes) -> bytes:
    """The checksum before the first batch."""
    return sha256(b"weft journal\n" + run_id.encode() + b"\n" + nonce).digest()


def epoch_bytes(epoch: int) -> bytes:
    return epoch.to_bytes(8, "big")


def checksum(before: bytes, epoch: bytes, events: bytes) -> bytes:
    """The checksum of a batch."""
    return sha256(before + epoch + events).digest()


class Chain:
    """A place in the chain of a run: the last batch that was verified, and its checksum."""

    __slots__ = ("_rows", "checksum", "number", "run_id")

    def __init__(self, run_id: str, number: int, checksum: bytes) -> None:
        self.run_id = run_id
        self.number = number
        self.checksum = checksum
        self._rows = 16

    def read(self, connection: sqlite3.Connection, end: int = _END) -> Iterator[list[Journaled]]:
        """The batches behind this place, decoded, each after it was verified. Raises JournalError."""
        for data in self._verified(connection, end):
            try:
                yield decode_batch(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise JournalError(
                    f"batch {self.number} of run {self.run_id} has an event that this weft cannot read: {error}",
                    hint="use the version that wrote it, or a newer one",
                ) from error

    def verify(self, connection: sqlite3.Connection) -> None:
        """Verify all that is behind this place. Raises JournalError."""
        for _ in self._verified(connection, _END):
            pass

    def _verified(self, connection: sqlite3.Connection, end: int) -> Iterator[bytes]:
        seen = -1
        packed = b""
        while rows := self._fetch(connection, end):
            for number, epoch, data, kept in rows:
                if number != self.number + 1:
                    raise self._damaged(self.number + 1, "it is missing")
                if type(data) is not bytes or type(epoch) is not int or epoch < 1:
                    raise self._damaged(number, "it is not a batch")
                if epoch != seen:
                    seen, packed = epoch, epoch_bytes(epoch)
                link = sha256(self.checksum + packed + data).digest()
                if link != kept:
                    raise self._damaged(number, "its checksum does not match")
                self.number = number
                self.checksum = link
                yield data

    def _fetch(self, connection: sqlite3.Connection, end: int) -> list[tuple[int, int, bytes, bytes]]:
        """The next rows, in one short transaction."""
        try:
            rows = connection.execute(_AFTER, (self.number, end, self._rows)).fetchall()
            size = sum([len(row[2]) for row in rows]) + 1
        except (*ERRORS, TypeError, MemoryError) as error:
            if self._rows > 1:  # first what is whole
                self._rows = 1
                return self._fetch(connection, end)
            if not isinstance(error, ERRORS):
                raise self._damaged(self.number + 1, "it is not a batch") from None
            raise failure(error, f"cannot read the journal of run {self.run_id} after batch {self.number}") from error
        self._rows = max(1, min(_ROWS, len(rows) * _CHUNK // size))
        return rows

    def _damaged(self, number: int, why: str) -> CorruptJournalError:
        return CorruptJournalError(f"batch {number} of run {self.run_id} is damaged: {why}", hint=RESTORE)


def checksum_at(connection: sqlite3.Connection, number: int) -> bytes | None:
    """The kept checksum of a batch; None if there is no such batch. Raises sqlite3.Error."""
    row = connection.execute("SELECT checksum FROM batch WHERE number = ?", (number,)).fetchone()
    return row[0] if row is not None else None


def last_of(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Number and kept checksum of the last batch; (0, b"") if there is none. Raises sqlite3.Error."""
    row = connection.execute("SELECT number, checksum FROM batch ORDER BY number DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row is not None else (0, b"")


def check_witness(connection: sqlite3.Connection, run_id: str, seen: Witness | None) -> None:
    """Raise CorruptJournalError if the journal lacks a batch that was committed. Raises sqlite3.Error.

    `seen` must have been read before this transaction: the witness lags behind the journal, never the other way round.
    """
    if seen is None:
        return
    kept = checksum_at(connection, seen.number)
    if kept is None:
        raise CorruptJournalError(
            f"the journal of run {run_id} ends at batch {last_of(connection)[0]}, but batch {seen.number} was written: "
            "its newest part (journal.db-wal) is missing or damaged",
            hint=RESTORE,
        )
    if kept != seen.checksum:
        raise CorruptJournalError(
            f"batch {seen.number} of run {run_id} is not the one that was written: "
            "journal.db or journal.db-wal comes from elsewhere",
            hint=RESTORE,
        )
