"""At most one process can write to a run."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal.processes import Process, processes
from weft.errors import OwnedError
from weft.journal.contract import begin, ended, refused, told
from weft.journal.lock import CHILDREN, OWNER, Owner, own, owner_of, start_of, wait_children
from weft.journal.sqlite import SqliteStore

ROUNDS = 5 * int(os.environ.get("WEFT_FUZZ_SCALE", "1"))


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / ".weft", patience=0.2)


@pytest.fixture
def owner(store: SqliteStore) -> Iterator[Process]:
    """Another process that owns the run `r1`."""
    with processes(store.root) as (process,):
        assert process.ask("create r1") == "ok 1"
        yield process


def test_a_second_opener_is_told_who_owns_the_run(store: SqliteStore, owner: Process) -> None:
    error = refused(OwnedError, store.open, "r1")
    assert str(error).startswith(f"run r1 belongs to process {owner.pid} on {os.uname().nodename} since 20")
    assert error.owner.startswith(f"process {owner.pid} on ")
    assert error.hint == "wait until it ends, or end it (`--take-over`, take_over=True)"
    assert error.exit_code == 75
    assert store.owner("r1") == error.owner


def test_a_dead_owner_is_replaced_at_once_and_what_it_wrote_is_there(store: SqliteStore, owner: Process) -> None:
    assert owner.ask("append a") == "ok 1"
    owner.signal(signal.SIGKILL)
    owner.wait()
    assert store.owner("r1") is None
    journal = store.open("r1")
    assert journal.epoch == 2
    assert len(told(journal)) == 2
    journal.close()


def test_a_stopped_owner_is_refused_and_with_take_over_killed(store: SqliteStore, owner: Process) -> None:
    owner.signal(signal.SIGSTOP)
    refused(OwnedError, store.open, "r1")
    journal = store.open("r1", take_over=True)
    assert journal.epoch == 2
    assert owner.wait() == -signal.SIGKILL
    journal.append([ended("a")])
    journal.close()


def test_an_owner_that_closed_the_run_and_lives_on_is_no_owner(store: SqliteStore, owner: Process) -> None:
    assert owner.ask("close") == "ok 1"
    assert store.owner("r1") is None
    store.open("r1").close()


def test_a_process_cannot_take_a_run_over_from_itself(store: SqliteStore) -> None:
    journal = begin(store)
    error = refused(OwnedError, store.open, "r1", take_over=True)
    assert str(error).endswith(": that is this process itself")
    journal.append([ended("a")])
    journal.close()


def test_an_owner_of_another_machine_is_never_killed(store: SqliteStore, owner: Process) -> None:
    path = store.root / "runs" / "r1" / OWNER
    path.write_bytes(path.read_bytes().replace(os.uname().nodename.encode(), b"elsewhere", 1))
    error = refused(OwnedError, store.open, "r1", take_over=True)
    assert str(error).endswith(": it cannot be ended from this machine or container")
    assert owner.ask("append a") == "ok 1"


def test_a_number_that_was_given_to_another_process_is_never_killed(store: SqliteStore, owner: Process) -> None:
    """The lock is held by `owner`, the name in it is that of a process with our number that started at another time."""
    path = store.root / "runs" / "r1" / OWNER
    text = path.read_bytes().replace(b'"pid":%d' % owner.pid, b'"pid":%d' % os.getpid())
    path.write_bytes(text)
    error = refused(OwnedError, store.open, "r1", take_over=True)
    assert str(error) == "run r1 belongs to another process: it cannot be ended from here"


def test_a_forked_child_does_not_keep_the_lock_of_a_dead_owner(store: SqliteStore, owner: Process) -> None:
    child = int(owner.ask("fork"))
    try:
        owner.signal(signal.SIGKILL)
        owner.wait()
        store.open("r1").close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_of_many_openers_at_once_one_wins_and_the_others_name_it(store: SqliteStore) -> None:
    begin(store).close()
    with processes(store.root, 8) as openers:
        for _ in range(ROUNDS):
            for opener in openers:
                opener.send("open r1")
            answers = [opener.answer() for opener in openers]
            winners = [opener for opener, text in zip(openers, answers, strict=True) if text.startswith("ok")]
            assert len(winners) == 1, answers
            owned = f"OwnedError 75 run r1 belongs to process {winners[0].pid} on "
            assert sum(text.startswith(owned) for text in answers) == 7, answers
            winners[0].ask("close")


def test_of_many_that_take_over_at_once_one_is_left(store: SqliteStore) -> None:
    begin(store).close()
    with processes(store.root, 4) as takers:
        takers[0].ask("open r1")
        for taker in takers[1:]:
            taker.send("take r1")
        answers = [taker.answer() for taker in takers[1:]]
        alive = [taker for taker, text in zip(takers[1:], answers, strict=True) if text.startswith("ok")]
        assert alive, answers
        writers = [taker for taker in alive if start_of(taker.pid) and taker.ask("append a").startswith("ok")]
        assert len(writers) == 1


def test_a_run_is_not_given_out_while_children_of_its_old_owner_live(store: SqliteStore) -> None:
    begin(store).close()
    path = store.root / "runs" / "r1" / CHILDREN
    path.touch()
    with path.open("rb") as keeper:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        error = refused(OwnedError, store.open, "r1")
        assert str(error) == "processes that an earlier owner of run r1 started are still running"
        refused(OwnedError, store.open, "r1", kill_children=lambda lock: None)
        assert store.owner("r1") is None
        released = threading.Timer(0.05, fcntl.flock, (keeper, fcntl.LOCK_UN))
        released.start()
        store.open("r1").close()
        released.join()


def test_children_that_do_not_end_are_killed(store: SqliteStore) -> None:
    begin(store).close()
    path = store.root / "runs" / "r1" / CHILDREN
    path.touch()
    with path.open("rb") as keeper:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        asked = []

        def kill(lock: Path) -> None:
            asked.append(lock)
            fcntl.flock(keeper, fcntl.LOCK_UN)

        store.open("r1", kill_children=kill).close()
        assert asked == [path]


def test_a_keeper_that_was_killed_itself_leaves_children_to_kill(tmp_path: Path) -> None:
    (tmp_path / CHILDREN).write_text("123 token\n")
    asked: list[Path] = []
    wait_children(tmp_path, "r1", asked.append, patience=0.05)
    assert asked == [tmp_path / CHILDREN]


def test_the_name_in_a_lock_is_gone_when_it_was_released(tmp_path: Path) -> None:
    lock = own(tmp_path, "r1")
    found = owner_of(tmp_path)
    assert isinstance(found, Owner)
    assert found.pid == os.getpid()
    lock.release()
    lock.release()
    assert owner_of(tmp_path) is None
