"""No acknowledged batch is lost in a power cut, whatever the disk had and had not written by then.

A real process writes a journal under strace; its writes are replayed on a model of a disk, the power fails
after every single operation, and every state the disk may then have is opened, read, and written on.
`durability="process"` must lose acknowledged batches in the same test: that shows that it would notice."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from journal.crashes import folder_in_memory
from torture.disks import Disk, Operation, record, why_no_trace
from weft.errors import JournalError
from weft.event_types import AttemptStarted, RunStarted
from weft.journal.contract import ended, told
from weft.journal.sqlite import SqliteStore

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(why_no_trace() is not None, reason=why_no_trace() or ""),
]

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))
WRITER = Path(__file__).with_name("journal_writer.py")
NOT_THERE = -1


class Proof:
    """What was found over all states. `rebooted`: without the witness, which counts until the machine is restarted."""

    def __init__(self, scratch: Path, *, rebooted: bool) -> None:
        self._scratch = scratch
        self._rebooted = rebooted
        self._known: dict[bytes, int | str] = {}
        self._count = 0
        self.states = 0
        self.lost: list[str] = []
        self.refused: list[str] = []

    def check(self, state: dict[str, bytes], acknowledged: int, place: str) -> None:
        """`acknowledged`: the number of the last event that was, -1 before the run was."""
        self.states += 1
        key = sha256(repr(sorted((path, sha256(data).digest()) for path, data in state.items())).encode()).digest()
        if key not in self._known:
            self._known[key] = self._open(state)
        found = self._known[key]
        if isinstance(found, str):
            self.refused.append(f"{place}: {found}")
        elif found < acknowledged:
            self.lost.append(f"{place}: {acknowledged} was acknowledged, {found} is there")

    @property
    def different(self) -> int:
        return len(self._known)

    def _open(self, state: dict[str, bytes]) -> int | str:
        """The number of the last event in the journal, after it was written on."""
        self._count += 1
        root = self._scratch / str(self._count) / ".weft"
        (root / "runs").mkdir(parents=True)
        for path, data in state.items():
            target = self._scratch / str(self._count) / path
            if path.rpartition("/")[2] not in ("blobs", "logs", "inbox", "runs", ".weft", "r1", ".tmp-r1"):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(b"" if self._rebooted and target.name == "journal.tail" else data)
        store = SqliteStore(root, durability="process")
        if store.runs() == []:
            return NOT_THERE
        try:
            return _go_on(store)
        except JournalError as error:
            return str(error)


def _go_on(store: SqliteStore) -> int:
    journal = store.open("r1")
    events = [event for batch in journal.read() for event in batch]
    journal.append([ended("more")])
    journal.close()
    reader = store.reader("r1")
    assert len(told(reader)) == len(events) + 1
    reader.close()
    assert isinstance(events[0], RunStarted)
    assert [event.path for event in events[1:] if isinstance(event, AttemptStarted)] == [
        str(number) for number in range(1, len(events))
    ]
    return len(events) - 1


def runs_of_the_writer(place: Path, durability: str) -> list[Operation]:
    """A run that is made and crashes, is resumed and closed, resumed again and crashes."""
    batches = 20 + 10 * min(SCALE, 10)
    command = [sys.executable, str(WRITER), str(place / ".weft"), durability]
    found = record([*command, str(batches), "create+crash"], place, place.parent)
    found += record([*command, str(batches), "open", str(batches)], place, place.parent)
    last = 2 * batches
    return found + record([*command, str(batches), "open+crash", str(last)], place, place.parent)


def prove(place: Path, durability: str) -> Proof:
    with folder_in_memory() as scratch:
        return _prove(place, durability, scratch)


def _prove(place: Path, durability: str, scratch: Path) -> Proof:
    place.mkdir()
    disk = Disk(place, random.Random(1), 3 * SCALE)
    proof = Proof(scratch, rebooted=durability == "process")
    acknowledged = NOT_THERE
    for number, operation in enumerate(runs_of_the_writer(place, durability)):
        if operation.name == "say":
            assert operation.data.startswith(b"ack "), operation
            acknowledged = int(operation.data.split()[1])
        else:
            disk.do(operation)
        for state in disk.states():
            proof.check(state, acknowledged, f"{number} {operation.name} {operation.path}")
    assert_same(place, disk)
    return proof


def assert_same(place: Path, disk: Disk) -> None:
    """The replay is a replay: with everything applied, the model holds what the real disk holds."""
    state = next(disk.states())
    for name in ("journal.db", "journal.tail"):
        assert state[f".weft/runs/r1/{name}"] == (place / ".weft/runs/r1" / name).read_bytes()


def test_no_acknowledged_batch_is_lost(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    proof = prove(tmp_path / "place", "power")
    record_property("states", proof.states)
    assert proof.lost == []
    assert proof.refused == []
    assert proof.different > 200


def test_the_same_proof_finds_the_losses_of_process_durability(tmp_path: Path) -> None:
    proof = prove(tmp_path / "place", "process")
    assert len(proof.lost) > 100
    assert proof.refused == []
