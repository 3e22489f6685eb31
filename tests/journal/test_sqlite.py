"""What the SQLite journal does beyond the contract: files, errors, versions."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import weft.journal
from journal.crashes import contents, crashed
from weft.errors import CannotCreateError, CorruptJournalError, InternalError, JournalError
from weft.event_types import AttemptStarted
from weft.journal import database
from weft.journal.base import BusyJournalError
from weft.journal.contract import as_json, begin, ended, refused, told
from weft.journal.folder import TEMPORARY, filesystem, refuse_network
from weft.journal.lock import own
from weft.journal.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / ".weft", busy=0.1)


def test_nothing_is_made_before_the_first_run_is(store: SqliteStore) -> None:
    assert store.runs() == []
    assert store.history.durations(["a"]) == {}
    assert store.history.cached("a") is None
    assert not store.root.exists()


def test_folders_and_files_are_private_whatever_the_umask(store: SqliteStore) -> None:
    before = os.umask(0)
    try:
        journal = store.create("r1", [AttemptStarted(path="a")], {"document.flow.md": b"# x"})
        journal.put_blob(b"x")
        store.history.put_blob(b"y")
        journal.append([ended("a")])
        journal.close()
        store.open("r1").close()
    finally:
        os.umask(before)
    for path in [store.root, *store.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert (store.root / ".gitignore").read_text() == "*\n"
    assert (store.root / "runs" / "r1" / "document.flow.md").read_bytes() == b"# x"


def test_a_closed_run_is_one_database_without_a_log(store: SqliteStore) -> None:
    journal = begin(store)
    journal.append([ended("a")])
    journal.close()
    names = {path.name for path in (store.root / "runs" / "r1").iterdir()}
    assert names == {"journal.db", "journal.tail", "owner.lock", "blobs", "logs", "inbox"}


def test_the_log_stays_small(store: SqliteStore) -> None:
    journal = begin(store)
    for _ in range(600):
        journal.append([ended("a" * 500)])
    assert database.log_of(journal.folder / "journal.db").stat().st_size < 400 * 4096
    journal.close()


def test_a_run_that_cannot_be_made_says_where_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(CannotCreateError, begin, SqliteStore(tmp_path / "file" / ".weft"))
    assert str(error) == f"cannot make {tmp_path}/file: file exists"
    assert (
        error.hint
        == "keep runs elsewhere (`--journal FOLDER`, journal=FOLDER), or in memory (`--journal none`, journal=None)"
    )
    store = SqliteStore(tmp_path / ".weft")
    begin(store).close()
    error = refused(CannotCreateError, begin, store)
    assert str(error) == f"cannot make {tmp_path}/.weft/runs/r1: there is a run with this id already"
    refused(CannotCreateError, store.create, "r2", [AttemptStarted(path="a")], {"a/b": b""})
    assert [path.name for path in (store.root / "runs").iterdir()] == ["r1"]


def test_a_run_begins_with_an_event_and_has_a_plain_name(store: SqliteStore) -> None:
    refused(InternalError, store.create, "r1", [])
    refused(InternalError, begin, store, "../r1")
    assert not store.root.exists()


def test_what_killed_creations_left_is_not_a_run_and_is_swept(store: SqliteStore) -> None:
    begin(store).close()
    dead = store.root / "runs" / f"{TEMPORARY}r2"
    busy = store.root / "runs" / f"{TEMPORARY}r3"
    for folder in (dead, busy):
        folder.mkdir()
    lock = own(busy, "r3")
    assert store.runs() == ["r1"]
    assert store.sweep() == 1
    assert busy.exists()
    lock.release()
    assert store.sweep() == 1
    assert store.sweep() == 0


def test_an_event_that_cannot_be_written_is_refused_and_nothing_is_latched(store: SqliteStore) -> None:
    journal = begin(store)
    error = refused(InternalError, journal.append, [AttemptStarted(path="\ud800")])
    assert str(error).startswith("an event of run r1 cannot be written as JSON: ")
    journal.append([ended("a")])
    assert len(told(journal)) == 2
    journal.close()


def test_the_first_error_while_writing_is_latched(store: SqliteStore) -> None:
    journal = begin(store)
    journal.append([ended("a")])
    journal._connection.execute("PRAGMA max_page_count = 1")
    large = [ended("b", b'"' + b"x" * 100_000 + b'"')]
    first = refused(JournalError, journal.append, large)
    assert str(first) == "cannot write the journal of run r1: database or disk is full (SQLITE_FULL)"
    assert (first.exit_code, first.hint) == (74, "see to the disk, then `weft resume r1`")
    journal._connection.execute("PRAGMA max_page_count = 100000")
    later = refused(JournalError, journal.append, [ended("c")])
    assert str(later) == f"{first}; nothing was written since"
    refused(JournalError, journal.put_blob, b"x")
    refused(JournalError, lambda: list(journal.read()))
    journal.close()
    assert open_files(journal.folder) == []
    again = store.open("r1")
    assert told(again)[1:] == as_json(ended("a"))
    again.close()


def test_a_blob_that_cannot_be_written_fails_alone(store: SqliteStore) -> None:
    journal = begin(store)
    (journal.folder / "blobs").rmdir()
    error = refused(JournalError, journal.put_blob, b"xyz")
    folder = journal.folder / "blobs"
    assert str(error) == f"cannot keep an output of 3 bytes in {folder}: no such file or directory"
    journal.append([ended("a")])
    journal.close()


def test_a_damaged_blob_is_noticed_and_written_again(store: SqliteStore) -> None:
    journal = begin(store)
    ref = journal.put_blob(b"xyz")
    path = journal.folder / "blobs" / ref.sha256
    for wrong in (b"xya", b"xy", b""):
        path.write_bytes(wrong)
        error = refused(CorruptJournalError, journal.get_blob, ref)
        assert str(error) == f"blob {ref.sha256[:12]} of run r1 is damaged: other bytes were kept"
        journal.put_blob(b"xyz")
        assert journal.get_blob(ref) == b"xyz"
    path.unlink()
    error = refused(CorruptJournalError, journal.get_blob, ref)
    assert str(error) == f"blob {ref.sha256[:12]} of run r1 is missing"
    assert [p.name for p in path.parent.iterdir()] == []
    journal.close()


def test_a_file_that_another_program_holds_ends_the_owner_with_try_later(store: SqliteStore) -> None:
    journal = begin(store)
    journal.append([ended("a")])
    other = sqlite3.connect(journal.folder / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    error = refused(BusyJournalError, journal.append, [ended("b")])
    assert str(error) == "cannot write the journal of run r1: database is locked (SQLITE_BUSY)"
    assert error.exit_code == 75
    journal.close()
    refused(BusyJournalError, store.open, "r1")
    other.execute("ROLLBACK")
    other.close()
    again = store.open("r1")
    assert told(again)[1:] == as_json(ended("a"))
    again.close()


def test_a_reader_that_stays_does_not_stop_the_writer(store: SqliteStore) -> None:
    journal = begin(store)
    reader = store.reader("r1")
    following = reader.read()
    next(following)
    for number in range(500):
        journal.append([ended(f"n[{number}]")])
    assert len([*following]) == 500
    journal.close()
    reader.close()


def test_reading_a_crashed_run_changes_none_of_its_files(store: SqliteStore) -> None:
    folder = crashed(store, "r1")
    before = contents(folder)
    reader = store.reader("r1")
    assert len(told(reader)) == 4
    reader.examine(deep=True)
    reader.close()
    assert contents(folder) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_run_can_be_read_where_nothing_can_be_written() -> None:
    script = """
import os, sys
from pathlib import Path
from weft.journal.sqlite import SqliteStore
def count():
    reader = SqliteStore(Path(sys.argv[1])).reader("r1")
    print(sum(len(batch) for batch in reader.read()))
    reader.close()
count()
for path in Path(sys.argv[1]).rglob("journal.db-*"): path.unlink()
os.setgid(65534); os.setuid(65534)
count()
"""
    with tempfile.TemporaryDirectory() as place:
        store = SqliteStore(Path(place) / ".weft")
        begin(store).close()
        for path in [Path(place), store.root, *store.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        command = [sys.executable, "-c", script, str(store.root)]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        assert shown.stdout == "1\n1\n", shown.stderr
        assert not database.log_of(store.root / "runs" / "r1" / "journal.db").exists()


def test_a_journal_of_a_newer_version_is_refused(store: SqliteStore) -> None:
    journal = begin(store)
    journal.close()
    connection = sqlite3.connect(journal.folder / "journal.db")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    for call in (store.open, store.reader):
        error = refused(JournalError, call, "r1")
        assert str(error) == (
            "the journal of run r1 was made by a newer version of weft (schema 2; this one knows up to 1)"
        )
        assert error.hint == "use that version, or upgrade this one"


def test_the_newest_schema_is_the_one_the_code_knows() -> None:
    for kind in ("journal", "history"):
        assert [number for number, _ in database.scripts(kind)] == list(range(1, database.VERSION + 1))


def test_an_older_journal_is_brought_forward_in_one_transaction_after_a_copy(store: SqliteStore) -> None:
    journal = begin(store)
    journal.close()
    path, backup = journal.folder / "journal.db", journal.folder / "journal.db.old"
    newer = [
        *database.scripts(),
        (2, "ALTER TABLE run ADD COLUMN x INTEGER DEFAULT 7; PRAGMA user_version = 2;"),
        (3, "PRAGMA user_version = 3;"),
    ]
    connection = database.connect(path)
    broken = [*newer, (4, "ALTER TABLE nothing ADD COLUMN y;")]
    with pytest.raises(sqlite3.OperationalError):
        database.migrate(connection, broken, backup)
    assert database.version_of(connection) == 1
    database.migrate(connection, newer, backup)
    assert database.version_of(connection) == 3
    assert connection.execute("SELECT x FROM run").fetchone() == (7,)
    connection.close()
    copy = sqlite3.connect(backup)
    assert database.version_of(copy) == 1
    copy.close()


def test_no_transaction_begins_as_a_reader_and_becomes_a_writer(store: SqliteStore) -> None:
    for source in Path(weft.journal.__file__).parent.glob("*.py"):
        assert not re.search(r'"BEGIN(?! IMMEDIATE)', source.read_text()), source
    journal = begin(store)
    seen: list[str] = []
    journal._connection.set_trace_callback(seen.append)
    journal.append([ended("a")])
    assert len(seen) == 1
    assert seen[0].startswith("INSERT INTO batch SELECT ")
    journal.close()


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nhost:/x {tmp_path}/far\\040away nfs4 rw 0 0\n")
    (tmp_path / "far away" / "x").mkdir(parents=True)
    assert filesystem(tmp_path, str(mounts)) == "ext4"
    assert filesystem(tmp_path / "far away", str(mounts)) == "nfs4"
    assert filesystem(tmp_path, str(tmp_path / "none")) is None
    refuse_network(tmp_path, str(mounts))
    error = refused(CannotCreateError, refuse_network, tmp_path / "far away" / "x", str(mounts))
    assert str(error) == (
        f"cannot keep runs in {tmp_path}/far away/x: it is on a network file system (nfs4), "
        "whose locks cannot be relied on"
    )


def test_importing_the_protocol_and_the_memory_imports_no_database() -> None:
    script = "import sys, weft.journal.memory, weft.journal.contract; print('sqlite3' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


def open_files(folder: Path) -> list[str]:
    """The files below a folder that this process has open, where that can be told."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        return []
    found = [str(link.readlink()) for link in links.iterdir() if link.is_symlink() and link.exists()]
    return [path for path in found if path.startswith(str(folder))]
