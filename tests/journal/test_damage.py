"""Damage is detected, never guessed away: a journal is read as it was written, or refused."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal.crashes import contents, crashed, folder_in_memory, restore, verdict, verdict_of_owner
from weft.errors import CorruptJournalError
from weft.journal.contract import begin, ended, refused, told
from weft.journal.sqlite import SqliteStore

SAMPLE = 150 * int(os.environ.get("WEFT_FUZZ_SCALE", "1"))
FILES = ("journal.db", "journal.db-wal", "journal.tail")


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    with folder_in_memory() as place:
        yield SqliteStore(place / ".weft", busy=0.1)


def closed(store: SqliteStore, name: str = "r1", paths: str = "abc") -> Path:
    journal = begin(store, name)
    for path in paths:
        journal.append([ended(path)])
    journal.close()
    return journal.folder


def flips(sizes: dict[str, int], count: int | None) -> Iterator[tuple[str, int, int]]:
    """File, place and mask: a sample, or every byte."""
    if count is None:
        for name, size in sizes.items():
            yield from ((name, place, 1 << place % 8 if place % 3 else 0xFF) for place in range(size))
        return
    chance = random.Random(7)
    for _ in range(count):
        name = chance.choice(list(sizes))
        yield name, chance.randrange(sizes[name]), chance.choice((0x01, 0x80, 0xFF))


def check_flips(store: SqliteStore, folder: Path, count: int | None) -> None:
    """Every flip leads to the same events or to a refusal, for readers and owners alike."""
    whole = contents(folder)
    expected = verdict(store, folder.name)
    assert len(expected) == 4
    sizes = {name: len(data) for name, data in whole.items() if name in FILES}
    for name, place, mask in flips(sizes, count):
        data = bytearray(whole[name])
        data[place] ^= mask
        for judge in (verdict, verdict_of_owner):
            restore(folder, {**whole, name: bytes(data)})
            found = judge(store, folder.name)
            assert isinstance(found, str) or found == expected, (name, place, mask, judge)


def check_cuts(store: SqliteStore, folder: Path, step: int) -> None:
    """Every length of every file leads to the same events or to a refusal."""
    whole = contents(folder)
    expected = verdict(store, folder.name)
    for name in FILES:
        for length in range(0, len(whole.get(name, b"")), step):
            for judge in (verdict, verdict_of_owner):
                restore(folder, {**whole, name: whole[name][:length]})
                found = judge(store, folder.name)
                assert isinstance(found, str) or found == expected, (name, length, judge)


def test_a_flipped_byte_in_a_closed_run(store: SqliteStore) -> None:
    check_flips(store, closed(store), SAMPLE)


def test_a_flipped_byte_in_a_crashed_run(store: SqliteStore) -> None:
    check_flips(store, crashed(store, "r1"), SAMPLE)


def test_a_cut_file_in_a_closed_run(store: SqliteStore) -> None:
    check_cuts(store, closed(store), 509)


def test_a_cut_file_in_a_crashed_run(store: SqliteStore) -> None:
    check_cuts(store, crashed(store, "r1"), 509)


@pytest.mark.torture
def test_every_flipped_byte(store: SqliteStore) -> None:
    check_flips(store, crashed(store, "r1"), None)
    check_flips(store, closed(store, "r2"), None)


@pytest.mark.torture
def test_every_cut(store: SqliteStore) -> None:
    check_cuts(store, crashed(store, "r1"), 1)
    check_cuts(store, closed(store, "r2"), 1)


def test_a_missing_log_is_noticed_and_the_rest_left_as_it_is(store: SqliteStore) -> None:
    folder = crashed(store, "r1")
    (folder / "journal.db-wal").unlink()
    before = contents(folder)
    message = (
        "the journal of run r1 ends at batch 1, but batch 4 was written: "
        "its newest part (journal.db-wal) is missing or damaged"
    )
    error = refused(CorruptJournalError, store.open, "r1")
    assert str(error) == message
    assert error.hint == "restore the run's folder from a copy, or start a new run"
    assert verdict(store, "r1") == message
    assert contents(folder)["journal.db"] == before["journal.db"]


def test_a_log_from_another_run_is_refused_and_the_database_left_as_it_is(store: SqliteStore) -> None:
    folder, other = crashed(store, "r1"), crashed(store, "r2", "xyz")
    whole = contents(folder)
    foreign = (other / "journal.db-wal").read_bytes()
    for tail in (whole["journal.tail"], b""):
        restore(folder, {**whole, "journal.db-wal": foreign, "journal.tail": tail})
        refused(CorruptJournalError, store.open, "r1")
        assert isinstance(verdict(store, "r1"), str)
        assert (folder / "journal.db").read_bytes() == whole["journal.db"]
        assert (folder / "journal.db-wal").read_bytes() == foreign


def test_an_older_log_of_the_same_run_is_refused(store: SqliteStore) -> None:
    folder = crashed(store, "r1")
    older = contents(folder)
    journal = store.open("r1")
    for path in "defg":
        journal.append([ended(path)])
    journal.close()
    (folder / "journal.db-wal").write_bytes(older["journal.db-wal"])
    assert isinstance(verdict(store, "r1"), str)
    refused(CorruptJournalError, store.open, "r1")


def test_a_journal_in_the_folder_of_another_run_is_refused(store: SqliteStore) -> None:
    folder = closed(store)
    folder.rename(folder.with_name("r2"))
    for call in (store.open, store.reader):
        error = refused(CorruptJournalError, call, "r2")
        assert str(error) == "the folder of run r2 has the journal of run 'r1'"
        assert error.hint == "the folder's name must be the run's id, and its files must stay together"


def test_a_folder_without_a_journal_is_refused(store: SqliteStore) -> None:
    folder = closed(store)
    (folder / "journal.db").unlink()
    error = refused(CorruptJournalError, store.open, "r1")
    assert str(error) == f"run r1 has no journal.db in {folder}"


def test_a_missing_witness_says_nothing(store: SqliteStore) -> None:
    folder = crashed(store, "r1")
    (folder / "journal.tail").unlink()
    assert len(verdict_of_owner(store, "r1")) == 4


CHANGES = {
    "UPDATE batch SET events = replace(events, 'b', 'c') WHERE number = 3": 3,
    "UPDATE batch SET epoch = 2 WHERE number = 2": 2,
    "DELETE FROM batch WHERE number = 2": 2,
    "UPDATE batch SET number = -1 WHERE number = 1": 1,
    "UPDATE batch SET events = NULL WHERE number = 4": 4,
    "UPDATE batch SET epoch = 'x' WHERE number = 1": 1,
    "UPDATE batch SET epoch = -1 WHERE number = 1": 1,
    "UPDATE batch SET events = 5 WHERE number = 3": 3,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_hand_is_refused_at_its_batch_after_what_is_whole(store: SqliteStore, change: str) -> None:
    folder = closed(store)
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'batch'")
    connection.commit()
    connection.close()
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute(change)
    connection.commit()
    connection.close()
    reader = store.reader("r1")
    seen = []
    error = refused(CorruptJournalError, lambda: seen.extend(reader.read()))
    assert str(error).startswith(f"batch {CHANGES[change]} of run r1 is damaged: ")
    assert len(seen) == CHANGES[change] - 1
    assert reader.position == CHANGES[change] - 1
    reader.close()


def test_the_owner_refuses_damage_while_it_reads(store: SqliteStore) -> None:
    folder = closed(store)
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("UPDATE batch SET epoch = 9 WHERE number = 2")
    connection.commit()
    connection.close()
    journal = store.open("r1")
    error = refused(CorruptJournalError, told, journal)
    assert str(error) == "batch 2 of run r1 is damaged: its checksum does not match"
    journal.close()
