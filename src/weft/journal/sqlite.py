"""Runs in folders, each with a SQLite database of its own: found, made, opened, deleted.

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
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from weft.errors import InternalError, MachineError, WeftError
from weft.event_types import Event, encode_batch
from weft.journal import database
from weft.journal.base import BusyJournalError, Durability, KillChildren
from weft.journal.chain import checksum, epoch_bytes, genesis, last_of
from weft.journal.database import ERRORS, failure
from weft.journal.folder import (
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
from weft.journal.reading import SqliteReader
from weft.journal.tail import Tail
from weft.journal.writing import CHECKPOINT_PAGES, Held, SqliteJournal


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
