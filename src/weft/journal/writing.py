"""One run, opened for writing.

An append is one statement in one implicit transaction: the row is inserted where the epoch still is the
owner's, so the number of rows changed is the fence. Group commit is the caller's: whatever has gathered
goes in as one batch.

Checkpoints come every `checkpoint_pages` pages, estimated from what was appended: commits into a log that
is reused cost half of commits into one that grows. They are part of `append`, so that an error of the disk
during one stops the owner, too (SQLite's automatic ones swallow it)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from weft.errors import CorruptJournalError, FencedError, InternalError, JournalError
from weft.event_types import Event, Journaled, encode_batch
from weft.journal.base import Durability
from weft.journal.blobs import Blobs
from weft.journal.chain import Chain, checksum, epoch_bytes, genesis
from weft.journal.database import ERRORS, RESTORE, failure
from weft.journal.folder import BLOBS
from weft.journal.lock import OwnerLock
from weft.journal.tail import Tail
from weft.values import BlobRef

CHECKPOINT_PAGES = 150
_APPEND = "INSERT INTO batch SELECT ?1, ?2, ?3, ?4 WHERE (SELECT epoch FROM run) = ?2"
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


class Held(NamedTuple):
    """What the owner of a run holds open, and where the run stands (`last`: its last batch's number and checksum)."""

    run_id: str
    folder: Path
    connection: sqlite3.Connection
    lock: OwnerLock
    tail: Tail
    epoch: int
    nonce: bytes
    last: tuple[int, bytes]


class SqliteJournal:
    """One run, opened for writing. Made by `SqliteStore.create` and `open`."""

    def __init__(self, held: Held, durability: Durability, checkpoint_pages: int) -> None:
        self.run_id = held.run_id
        self.folder: Path | None = held.folder
        self.epoch = held.epoch
        self._epoch = epoch_bytes(held.epoch)
        self._number, self._checksum = held.last
        self._nonce = held.nonce
        self._connection = held.connection
        self._cursor = held.connection.cursor()
        self._execute = self._cursor.execute
        self._lock = held.lock
        self._tail = held.tail
        self._pages = 0
        self._checkpoint_pages = checkpoint_pages
        self._blobs = Blobs(held.folder / BLOBS, f"run {held.run_id}", durable=durability == "power")
        self._refusal: JournalError | None = None
        self._closed = False

    def append(self, events: list[Event]) -> None:
        if self._refusal is not None:
            raise self._refused()
        if not events:
            return
        try:
            data = encode_batch(events)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InternalError(f"an event of run {self.run_id} cannot be written as JSON: {error}") from error
        number = self._number + 1
        link = checksum(self._checksum, self._epoch, data)
        try:
            if self._execute(_APPEND, (number, self.epoch, data, link)).rowcount != 1:
                self._fence()
            self._tail.set(number, link)
            self._number = number
            self._checksum = link
            self._pages += 2 + len(data) // 4000
            if self._pages >= self._checkpoint_pages:
                self._pages = 0
                self._execute(_CHECKPOINT).fetchall()
        except (*ERRORS, OSError, MemoryError) as error:
            self._latch(error)

    def read(self) -> Iterator[list[Journaled]]:
        if self._refusal is not None:
            raise self._refused()
        chain = Chain(self.run_id, 0, genesis(self.run_id, self._nonce))
        yield from chain.read(self._connection, self._number)
        if (chain.number, chain.checksum) != (self._number, self._checksum):
            raise CorruptJournalError(
                f"batch {chain.number + 1} of run {self.run_id} is damaged: it is missing",
                hint=RESTORE,
            )

    def put_blob(self, data: bytes) -> BlobRef:
        if self._refusal is not None:
            raise self._refused()
        return self._blobs.put(data)

    def get_blob(self, ref: BlobRef) -> bytes:
        return self._blobs.get(ref)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._refusal is None:
            self._refusal = JournalError(f"the journal of run {self.run_id} is closed")
        try:
            self._cursor.close()  # a statement that failed would keep the files open
            self._connection.close()
        except sqlite3.Error:
            pass  # every batch is durable in the log; the next opening looks at it
        finally:
            self._tail.close()
            self._lock.release()

    def _fence(self) -> None:
        self._refusal = FencedError(
            f"run {self.run_id} was taken over by another process; nothing more can be written to it from here",
            hint=f"look at it with `weft show {self.run_id}`",
        )
        raise self._refusal

    def _latch(self, error: sqlite3.Error | UnicodeDecodeError | OSError | MemoryError) -> None:
        doing = f"cannot write the journal of run {self.run_id}"
        hint = f"see to the disk, then `weft resume {self.run_id}`"
        if isinstance(error, OSError):
            self._refusal = JournalError(f"{doing}: {(error.strerror or str(error)).lower()}", hint=hint)
        elif isinstance(error, MemoryError):
            self._refusal = JournalError(f"{doing}: out of memory", hint=hint)
        else:
            self._refusal = failure(error, doing, hint)
        raise self._refusal from error

    def _refused(self) -> JournalError:
        first = self._refusal
        assert first is not None
        if self._closed or isinstance(first, FencedError):
            return first
        return type(first)(f"{first.message}; nothing was written since", hint=first.hint)
