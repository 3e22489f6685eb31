"""SQLite as a journal uses it: connections, settings, schema versions, and what its errors mean.

`synchronous=FULL` in WAL mode makes every commit an fsync. Checkpoints are asked for by name and not left
to SQLite, which swallows their errors; every transaction that writes is one statement or begins with BEGIN
IMMEDIATE, because an upgrade from reading to writing ignores the busy timeout. Never open a database file
by other means than SQLite while a connection is open in the same process: closing that file drops the locks
of the connection (POSIX)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from weft.errors import CorruptJournalError, JournalError
from weft.journal.base import BusyJournalError, Durability
from weft.journal.folder import TEMPORARY

BUSY_SECONDS = 10.0
VERSION = 1
"""The newest schema of a journal, and of a history, that this code knows."""
ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's module raises; the latter when damage is quoted in the message of an error."""
RESTORE = "restore the run's folder from a copy, or start a new run"
_SCHEMA = Path(__file__).with_name("schema")
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_WORLD = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH,
)


def scripts(kind: str = "journal") -> list[tuple[int, str]]:
    """The migrations of a kind of database: version reached, and SQL, in order."""
    found = sorted(_SCHEMA.glob(f"[0-9][0-9][0-9][0-9]_{kind}*.sql"))
    return [(int(path.name[:4]), path.read_text("utf-8")) for path in found]


def connect(path: Path, *, durability: Durability = "power", busy: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection of the one writer, in autocommit. Raises sqlite3.Error; never makes the file."""
    connection = _connect(path, "mode=rw", busy)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, busy: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection that cannot write, also where nothing can be written. Raises sqlite3.Error."""
    connection = _connect(path, "mode=ro", busy)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        connection.close()
        if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or has_log(path):
            raise
        connection = _connect(path, "mode=ro&immutable=1", busy)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_history(path: Path, *, busy: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection that writes the history, which is made when it is missing. Raises sqlite3.Error, OSError."""
    if not path.exists():
        empty = path.with_name(f"{TEMPORARY}{os.urandom(6).hex()}")
        os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            path.hardlink_to(empty)
        except FileExistsError:
            pass  # another run was faster
        finally:
            empty.unlink()
    connection = _connect(path, "mode=rw", busy)
    try:
        if not version_of(connection):
            for _, script in scripts("history"):
                connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def build(path: Path, run_id: str, nonce: bytes, made: str, first: tuple[bytes, bytes]) -> None:
    """Make the database of a new run with its first batch (events, checksum), durable when it returns.

    Nobody sees the file before that, so it is written without a log and synced once. Raises sqlite3.Error, OSError.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = _connect(path, "mode=rw", 0)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        for _, script in scripts():
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO run VALUES (1, ?, ?, ?, 1)", (run_id, nonce, made))
        connection.execute("INSERT INTO batch VALUES (1, 1, ?, ?)", first)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of a database. Raises sqlite3.Error."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_version(connection: sqlite3.Connection, what: str) -> None:
    """Raise JournalError for a schema that this version of Weft cannot use. Raises sqlite3.Error."""
    version = version_of(connection)
    if version > VERSION:
        raise JournalError(
            f"{what} was made by a newer version of weft (schema {version}; this one knows up to {VERSION})",
            hint="use that version, or upgrade this one",
        )
    if version < 1:
        raise CorruptJournalError(f"{what} is damaged: it has no schema version")


def migrate(connection: sqlite3.Connection, known: Sequence[tuple[int, str]], backup: Path) -> None:
    """Bring a database to the newest schema in one transaction, after a copy to `backup`. Raises sqlite3.Error."""
    version = version_of(connection)
    needed = [script for number, script in known if number > version]
    if not needed:
        return
    fd = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.close(fd)
    copy = sqlite3.connect(backup)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    try:
        connection.executescript("BEGIN IMMEDIATE;\n" + "\n".join(needed) + "\nCOMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def failure(error: sqlite3.Error | UnicodeDecodeError, doing: str, hint: str | None = None) -> JournalError:
    """What an error of SQLite means. `doing` reads like `cannot read the journal of run x`."""
    code = _code(error)
    name = getattr(error, "sqlite_errorname", "") or "no code"
    message = f"{doing}: {error} ({name})"
    short = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ
    if code in _BUSY:
        return BusyJournalError(message, hint="another program holds the file; try again when it has ended")
    if code in _WORLD and not short:
        return JournalError(message, hint=hint or "see to the disk, then resume")
    return CorruptJournalError(message, hint=RESTORE)


def _connect(path: Path, how: str, busy: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=busy,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def log_of(path: Path) -> Path:
    """The file with the newest commits."""
    return path.with_name(path.name + "-wal")


def has_log(path: Path) -> bool:
    """Whether there are commits that are not in the database file yet."""
    try:
        return log_of(path).stat().st_size > 0
    except OSError:
        return False
