"""Every implementation of a journal, through the one contract."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from weft.errors import FencedError, OwnedError
from weft.event_types import AttemptStarted
from weft.journal.contract import JournalContract, begin, refused
from weft.journal.memory import MemoryStore
from weft.journal.sqlite import SqliteStore


class TestMemory(JournalContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def raise_epoch(self, store: MemoryStore, run_id: str) -> None:
        store.open(run_id, take_over=True).close()

    def test_objects_pass_by_reference(self, store: MemoryStore) -> None:
        journal = begin(store)
        event = AttemptStarted(path="a")
        journal.append([event])
        assert [batch[-1] for batch in journal.read()][-1] is event

    def test_taking_over_fences_the_owner_before(self, store: MemoryStore) -> None:
        journal = begin(store)
        other = store.open("r1", take_over=True)
        error = refused(FencedError, journal.append, [AttemptStarted(path="a")])
        assert str(error) == "run r1 was taken over; nothing more can be written to it from here"
        journal.close()
        refused(OwnedError, store.open, "r1")
        other.append([AttemptStarted(path="a")])


@pytest.mark.parametrize("durability", ["power", "process"])
class TestSqlite(JournalContract):
    @pytest.fixture
    def store(self, tmp_path: Path, durability: str) -> SqliteStore:
        return SqliteStore(tmp_path / ".weft", durability=durability, busy=1.0)

    def raise_epoch(self, store: SqliteStore, run_id: str) -> None:
        connection = sqlite3.connect(store.root / "runs" / run_id / "journal.db")
        connection.execute("UPDATE run SET epoch = epoch + 1")
        connection.commit()
        connection.close()
