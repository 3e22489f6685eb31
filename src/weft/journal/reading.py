"""One run, read-only, without a lock: its owner may be writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from weft.errors import CorruptJournalError, JournalError
from weft.event_types import Journaled
from weft.journal import database
from weft.journal.blobs import Blobs
from weft.journal.chain import Chain, check_witness, checksum_at, genesis
from weft.journal.database import ERRORS, RESTORE, failure
from weft.journal.folder import BLOBS, JOURNAL, TAIL
from weft.journal.lock import boot_id
from weft.journal.tail import witness
from weft.values import BlobRef


class SqliteReader:
    """One run, read-only; its owner may be writing. Positions are numbers of batches."""

    def __init__(self, run_id: str, folder: Path, busy: float = database.BUSY_SECONDS) -> None:
        self.run_id = run_id
        self.folder: Path | None = folder
        self._place = folder
        self.position = 0
        self._blobs = Blobs(folder / BLOBS, f"run {run_id}")
        if not (folder / JOURNAL).exists():
            raise CorruptJournalError(f"run {run_id} has no {JOURNAL} in {folder}", hint=RESTORE)
        try:
            self._connection = database.connect_reader(folder / JOURNAL, busy=busy)
        except ERRORS as error:
            raise self._failure(error) from error
        try:
            self._nonce, self.epoch = self._identity()
        except ERRORS as error:
            self._connection.close()
            raise self._failure(error) from error
        except BaseException:
            self._connection.close()
            raise
        self._checksum = genesis(run_id, self._nonce)

    def read(self, after: int | None = None) -> Iterator[list[Journaled]]:
        chain = self._start(after)
        for batch in chain.read(self._connection):
            self.position, self._checksum = chain.number, chain.checksum
            yield batch

    def get_blob(self, ref: BlobRef) -> bytes:
        return self._blobs.get(ref)

    def close(self) -> None:
        self._connection.close()

    def examine(self, *, deep: bool) -> None:
        """Check the file as a whole; `deep`: the chain, too. Raises JournalError."""
        try:
            problems = [row[0] for row in self._connection.execute("PRAGMA integrity_check(3)")]
            if problems != ["ok"]:
                found = "; ".join(str(problem).replace("\n", " ") for problem in problems)
                raise CorruptJournalError(
                    f"the journal of run {self.run_id} is damaged: {found}",
                    hint=RESTORE,
                )
            chain = self._start(0)
        except ERRORS as error:
            raise self._failure(error) from error
        if deep:
            chain.verify(self._connection)

    def _start(self, after: int | None) -> Chain:
        """The chain at batch `after`, once the end of the journal is known to be there."""
        try:
            check_witness(self._connection, self.run_id, witness(self._place / TAIL, boot_id()))
            if after is None or after == self.position:
                return Chain(self.run_id, self.position, self._checksum)
            if after == 0:
                return Chain(self.run_id, 0, genesis(self.run_id, self._nonce))
            kept = checksum_at(self._connection, after)
        except ERRORS as error:
            raise self._failure(error) from error
        if type(kept) is not bytes:
            raise JournalError(f"the journal of run {self.run_id} has no batch {after}")
        return Chain(self.run_id, after, kept)

    def _identity(self) -> tuple[bytes, int]:
        what = f"the journal of run {self.run_id}"
        database.check_version(self._connection, what)
        row = self._connection.execute("SELECT id, nonce, epoch FROM run").fetchone()
        if row is None or not (isinstance(row[0], str) and isinstance(row[1], bytes) and isinstance(row[2], int)):
            raise CorruptJournalError(f"{what} is damaged: it does not say whose it is")
        if row[0] != self.run_id:
            raise CorruptJournalError(
                f"the folder of run {self.run_id} has the journal of run {row[0][:64]!r}",
                hint="the folder's name must be the run's id, and its files must stay together",
            )
        return row[1], row[2]

    def _failure(self, error: sqlite3.Error | UnicodeDecodeError) -> JournalError:
        return failure(error, f"cannot read the journal of run {self.run_id}")
