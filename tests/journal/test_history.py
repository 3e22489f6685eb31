"""What outlives a run may be lost at any time, costs no result, and is built again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from weft.errors import JournalError
from weft.event_types import AttemptSucceeded, Journaled
from weft.journal.base import BusyJournalError, Cached, Contribution
from weft.journal.contract import begin, ended, refused
from weft.journal.history import rebuild
from weft.journal.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / ".weft", busy=0.1)


def leave(run_id: str, batches: Iterator[list[Journaled]]) -> Contribution:
    """A run's durations by path, and its outputs, blobs included."""
    durations: dict[str, list[float]] = {}
    outputs = {}
    for event in (event for batch in batches for event in batch):
        if isinstance(event, AttemptSucceeded):
            durations.setdefault(event.path, []).append(event.duration)
            outputs[event.path] = Cached(event.at, run_id, event.output, event.blob)
    return Contribution(durations, outputs)


def test_a_lost_history_is_built_again_from_the_journals(store: SqliteStore) -> None:
    for name in ("r1", "r2"):
        journal = begin(store, name)
        ref = journal.put_blob(b"large")
        journal.append([ended("a", b'"%s"' % name.encode()), AttemptSucceeded(path="b", blob=ref, at=1.0)])
        journal.close()
    damaged = begin(store, "r3")
    damaged.close()
    (damaged.folder / "journal.db").write_bytes(b"x" * 4096)
    assert rebuild(store.history, store, leave) == ["r3"]
    assert store.history.durations(["a", "b"]) == {"a": 0.25, "b": 0.0}
    newest = store.history.cached("a")
    assert newest is not None
    assert (newest.run, bytes(newest.output)) == ("r2", b'"r2"')
    large = store.history.cached("b")
    assert large is not None
    assert large.blob is not None
    assert store.history.get_blob(large.blob) == b"large"


def test_a_damaged_history_is_put_aside_and_begun_anew(store: SqliteStore) -> None:
    store.history.record("r1", Contribution({"a": [1.0]}))
    path = store.root / "history.db"
    for damage in (b"", b"not a database" * 100, path.read_bytes()[:5000]):
        path.write_bytes(damage)
        store.history.record("r2", Contribution({"a": [2.0]}))
        assert store.history.durations(["a"]) == {"a": 2.0}
    assert (store.root / "history.db.damaged").exists()


def test_reading_a_damaged_history_says_so(store: SqliteStore) -> None:
    store.history.record("r1", Contribution({"a": [1.0]}))
    (store.root / "history.db").write_bytes(b"not a database" * 100)
    error = refused(JournalError, store.history.durations, ["a"])
    assert str(error) == f"cannot read {store.root}/history.db: file is not a database (SQLITE_NOTADB)"


def test_a_history_of_a_newer_version_is_left_alone(store: SqliteStore) -> None:
    store.history.record("r1", Contribution({"a": [1.0]}))
    connection = sqlite3.connect(store.root / "history.db")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = (store.root / "history.db").read_bytes()
    error = refused(JournalError, store.history.record, "r2", Contribution({"a": [2.0]}))
    assert "was made by a newer version of weft (schema 2; this one knows up to 1)" in str(error)
    assert (store.root / "history.db").read_bytes() == before


def test_many_runs_that_end_at_once_are_all_recorded(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / ".weft", busy=10)

    def end(number: int) -> None:
        output = Cached(1.0, f"r{number}", msgspec.Raw(b"%d" % number))
        store.history.record(f"r{number}", Contribution({f"k{number}": [1.0 + number]}, {f"k{number}": output}))

    threads = [threading.Thread(target=end, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = [f"k{number}" for number in range(12)]
    assert store.history.durations(keys) == {f"k{number}": 1.0 + number for number in range(12)}
    assert all(store.history.cached(key) is not None for key in keys)
    assert [path.name for path in store.root.iterdir() if path.name.startswith(".tmp-")] == []


def test_a_history_that_another_program_holds_is_waited_for_and_then_given_up(store: SqliteStore) -> None:
    store.history.record("r1", Contribution({"a": [1.0]}))
    other = sqlite3.connect(store.root / "history.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    refused(BusyJournalError, store.history.record, "r2", Contribution({"a": [2.0]}))
    refused(BusyJournalError, store.history.durations, ["a"])
    other.execute("ROLLBACK")
    other.close()
    assert store.history.durations(["a"]) == {"a": 1.0}


def test_strange_keys_are_only_keys(store: SqliteStore) -> None:
    keys = ["'); DROP TABLE duration; --", "%", "_", "\u0000x", "é\U0001f9f5", '"]', ""]
    store.history.record("r1", Contribution({key: [float(number)] for number, key in enumerate(keys)}))
    for number, key in enumerate(keys):
        assert store.history.durations([key]) == {key: float(number)}
