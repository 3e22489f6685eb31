"""Runs in folders, each with a SQLite database of its own.

An append is one statement in one implicit transaction: the row is inserted where the epoch still is the
owner's, so the number of rows changed is the fence. Group commit is the caller's: whatever has gathered
goes in as one batch.

Checkpoints come every `checkpoint_pages` pages, estimated from what was appended: commits into a log that
is reused cost half of commits into one that grows. They are part of `append`, so that an error of the disk
during one stops the owner, too (SQLite's automatic ones swallow it).

Opening for writing looks before it touches: schema, integrity, run id, witness and, if the last owner
crashed, the whole chain are checked over a read-only connection. SQLite would merge a damaged or foreign
log into the database with the first writing connection; this way what is refused is left as it was found.
Then the log of a crashed owner is emptied into the database. That is not tidiness: after a failed fsync a
commit may be readable and not be on the disk, and whatever followed it in the same log would be lost with
it in a power cut."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from weft.errors import (
    CorruptJournalError,
    FencedError,
    InternalError,
    JournalError,
    MachineError,
    WeftError,
)
from weft.event_types import Event, Journaled, encode_batch
from weft.journal import database
from weft.journal.base import BusyJournalError, Durability, KillChildren
from weft.journal.blobs import Blobs
from weft.journal.chain import (
    Chain,
    check_witness,
    checksum,
    checksum_at,
    epoch_bytes,
    genesis,
    last_of,
)
from weft.journal.database import ERRORS, RESTORE, failure
from weft.journal.folder import (
    BLOBS,
    JOURNAL,
    TAIL,
    TEMPORARY,
    cannot_create,
    cannot_use,
    delete_tree,
    discard,
    make_place,
    make_run,
    publish,
)
from weft.journal.history import SqliteHistory
from weft.journal.ids import ID, new_id, resolve, unknown
from weft.journal.lock import OwnerLock, boot_id, own, owner_of, wait_children
from weft.journal.tail import Tail, witness
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


class SqliteStore:
    """The runs in a folder (`.weft`). Nothing is made before the first run is."""

    def __init__(
        self,
        root: Path,
        *,
        durability: Durability = "power",
        weft: str = "",
        busy: float = database.BUSY_SECONDS,
        patience: float = 5.0,
        checkpoint_pages: int = CHECKPOINT_PAGES,
    ) -> None:
        """`weft`: the version that writes. `busy`: seconds to wait for a file that another program holds. `patience`:
        seconds that the children of an earlier owner are given."""
        self.root = root.absolute()
        self.durability: Durability = durability
        self._weft = weft
        self._busy = busy
        self._patience = patience
        self._checkpoint_pages = checkpoint_pages

    @cached_property
    def history(self) -> SqliteHistory:
        return SqliteHistory(self.root, busy=self._busy)

    def new_id(self) -> str:
        return new_id(time.time())

    def create(self, run_id: str, events: list[Event], files: Mapping[str, bytes] | None = None) -> SqliteJournal:
        if not ID.match(run_id):
            raise InternalError(f"{run_id!r} cannot be the id of a run")
        if not events:
            raise InternalError(f"run {run_id} cannot begin without an event")
        data = encode_batch(events)
        runs = make_place(self.root)
        temporary = runs / (TEMPORARY + run_id)
        try:
            if (runs / run_id).exists():
                raise FileExistsError(17, "there is a run with this id already", str(runs / run_id))
            make_run(runs, run_id, files or {})
        except OSError as error:
            raise cannot_create(temporary, error) from error
        return self._first(temporary, run_id, data)

    def open(self, run_id: str, *, take_over: bool = False, kill_children: KillChildren | None = None) -> SqliteJournal:
        folder = self._find(run_id)
        try:
            lock = own(folder, run_id, take_over=take_over)
        except OSError as error:
            raise cannot_use(folder, error) from error
        try:
            self._examine(folder, run_id)
            journal = self._owned(folder, run_id, lock)
        except BaseException:
            lock.release()
            raise
        try:
            wait_children(folder, run_id, kill_children, patience=self._patience)
        except OSError as error:
            journal.close()
            raise cannot_use(folder, error) from error
        except BaseException:
            journal.close()
            raise
        return journal

    def reader(self, run_id: str) -> SqliteReader:
        return SqliteReader(run_id, self._find(run_id), self._busy)

    def runs(self) -> list[str]:
        try:
            with os.scandir(self.root / "runs") as entries:
                names = [entry.name for entry in entries if ID.match(entry.name) and entry.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise cannot_use(self.root, error) from error
        names.sort(reverse=True)
        return names

    def resolve(self, prefix: str) -> str:
        return resolve(self.runs(), prefix, str(self.root))

    def owner(self, run_id: str) -> str | None:
        owner = owner_of(self._find(run_id))
        return str(owner) if owner is not None else None

    def remove(self, run_id: str) -> None:
        folder = self._find(run_id)
        try:
            lock = own(folder, run_id)
            try:
                wait_children(folder, run_id, patience=0)
                doomed = folder.with_name(f"{TEMPORARY}{run_id}.{os.urandom(3).hex()}")
                folder.rename(doomed)
                delete_tree(doomed)
            finally:
                lock.release()
        except OSError as error:
            raise cannot_use(folder, error) from error

    def sweep(self) -> int:
        """Delete what creations and removals that were killed have left; how many there were. Raises JournalError."""
        count = 0
        for folder in (self.root / "runs").glob(f"{TEMPORARY}*"):
            try:
                lock = own(folder, folder.name)
            except MachineError:
                continue  # somebody is at work in it
            except OSError as error:
                raise cannot_use(folder, error) from error
            try:
                delete_tree(folder)
            except OSError as error:
                raise cannot_use(folder, error) from error
            finally:
                lock.release()
            count += 1
        return count

    def _find(self, run_id: str) -> Path:
        folder = self.root / "runs" / run_id
        if not ID.match(run_id) or not folder.is_dir():
            raise unknown(run_id, str(self.root))
        return folder

    def _first(self, temporary: Path, run_id: str, data: bytes) -> SqliteJournal:
        """Finish the folder of a new run, give it its name, and open it."""
        nonce = os.urandom(16)
        first = (1, checksum(genesis(run_id, nonce), epoch_bytes(1), data))
        lock: OwnerLock | None = None
        tail: Tail | None = None
        folder = temporary
        try:
            lock = own(temporary, run_id)
            database.build(temporary / JOURNAL, run_id, nonce, self._weft, (data, first[1]))
            tail = Tail(temporary / TAIL, self.durability, boot_id())
            tail.set(*first)
            tail.sync()
            folder = publish(temporary, run_id)
            connection = self._connect(folder)
        except (OSError, sqlite3.Error, WeftError) as error:
            if tail is not None:
                tail.close()
            if lock is not None:
                lock.release()
            discard(temporary)
            raise self._not_created(folder, error) from error
        return self._journal(Held(run_id, folder, connection, lock, tail, 1, nonce, first))

    def _not_created(self, folder: Path, error: OSError | sqlite3.Error | WeftError) -> WeftError:
        if isinstance(error, OSError):
            return cannot_create(folder, error)
        if isinstance(error, sqlite3.Error):
            return cannot_create(folder, OSError(0, str(error)))
        return error

    def _examine(self, folder: Path, run_id: str) -> None:
        crashed = database.has_log(folder / JOURNAL)
        reader = SqliteReader(run_id, folder, self._busy)
        try:
            reader.examine(deep=crashed)
        finally:
            reader.close()

    def _owned(self, folder: Path, run_id: str, lock: OwnerLock) -> SqliteJournal:
        """Open a run that we own and that was found whole, at the next epoch."""
        try:
            connection = self._connect(folder)
            try:
                database.migrate(connection, database.scripts(), folder / (JOURNAL + ".old"))
                if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    raise BusyJournalError(f"the journal of run {run_id} is held by another program that reads it")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE run SET epoch = epoch + 1")
                nonce, epoch = connection.execute("SELECT nonce, epoch FROM run").fetchone()
                last = last_of(connection)
                connection.execute("COMMIT")
                tail = Tail(folder / TAIL, self.durability, boot_id())
            except BaseException:
                connection.close()
                raise
        except ERRORS as error:
            raise failure(error, f"cannot open the journal of run {run_id}") from error
        except OSError as error:
            raise cannot_use(folder, error) from error
        return self._journal(Held(run_id, folder, connection, lock, tail, epoch, nonce, last))

    def _connect(self, folder: Path) -> sqlite3.Connection:
        return database.connect(folder / JOURNAL, durability=self.durability, busy=self._busy)

    def _journal(self, held: Held) -> SqliteJournal:
        return SqliteJournal(held, self.durability, self._checkpoint_pages)
