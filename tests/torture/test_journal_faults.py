"""A disk that fails, fills up or becomes read-only at any single write, and a kill at any single write.

A real process writes a journal under strace, which makes its N-th call fail, or kills it there, for every
N. It must stop writing, exit with the code for it, and leave a journal that holds everything it
acknowledged and nothing it did not try."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from torture.disks import why_no_trace
from weft.errors import JournalError
from weft.event_types import AttemptStarted, RunStarted
from weft.journal.contract import begin, ended, refused, told
from weft.journal.sqlite import SqliteStore

pytestmark = pytest.mark.torture
traced = pytest.mark.skipif(why_no_trace() is not None, reason=why_no_trace() or "")

WRITER = Path(__file__).with_name("journal_writer.py")
BATCHES = 12
WRITES = "pwrite64,ftruncate,fsync,fdatasync"
CANNOT_CREATE, IO = 73, 74
FAULTS = {
    "full from then on": ("pwrite64", "error=ENOSPC", "+"),
    "one write fails": ("pwrite64", "error=EIO", ""),
    "one cut fails": ("ftruncate", "error=EIO", ""),
    "one sync of data fails": ("fdatasync", "error=EIO", ""),
    "one sync fails": ("fsync", "error=EIO", ""),
    "every sync of data fails from then on": ("fdatasync", "error=EIO", "+"),
    "read-only from then on": ("pwrite64", "error=EROFS", "+"),
}
"""The call that fails at its N-th time, how, and whether it goes on failing. strace counts each call by itself."""


def write_under(root: Path, inject: str | None, how: str, last: int = 0) -> tuple[int, int, str]:
    """Exit code, number of the last acknowledged event (-1: none), and all that was said."""
    options = ["-e", f"trace={WRITES}", "-o", f"{root}.trace"]
    if inject:
        options += ["-e", f"inject={inject}"]
    command = ["strace", *options, sys.executable, str(WRITER), str(root), "power", str(BATCHES), how, str(last)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    acknowledged = [int(number) for number in re.findall(r"^ack (\d+)$", done.stdout, re.MULTILINE)]
    return done.returncode, max(acknowledged, default=-1), done.stdout


def times(root: Path, call: str) -> range:
    """The numbers of this call while `root` was written."""
    trace = Path(f"{root}.trace").read_text(errors="replace")
    return range(1, trace.count(f"\n{call}(") + trace.startswith(f"{call}(") + 1)


def events_of(root: Path) -> int:
    """The number of the last event, after the run was resumed and written on; -1 if there is no run."""
    store = SqliteStore(root)
    store.sweep()
    if store.runs() == []:
        return -1
    journal = store.open("r1")
    events = [event for batch in journal.read() for event in batch]
    journal.append([ended("more")])
    assert len(told(journal)) == len(events) + 1
    journal.close()
    assert isinstance(events[0], RunStarted)
    paths = [event.path for event in events[1:] if isinstance(event, AttemptStarted)]
    assert paths == [str(number) for number in range(1, len(events))]
    return len(paths)


@traced
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("how", ["create", "create+crash"])
def test_a_disk_that_fails_at_any_write_loses_nothing_acknowledged(tmp_path: Path, fault: str, how: str) -> None:
    call, effect, onward = FAULTS[fault]
    assert write_under(tmp_path / "whole", None, how)[:2] == (0, BATCHES)
    for number in times(tmp_path / "whole", call):
        root = tmp_path / str(number)
        code, acknowledged, said = write_under(root, f"{call}:{effect}:when={number}{onward}", how)
        place = (number, code, said)
        found = events_of(root)
        assert acknowledged <= found <= acknowledged + 1, place
        assert ("refused" in said) == (code != 0), place
        assert code == (0 if acknowledged == BATCHES else CANNOT_CREATE if acknowledged < 0 else IO), place


@traced
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_while_a_crashed_run_is_resumed_loses_nothing(tmp_path: Path, fault: str) -> None:
    call, effect, onward = FAULTS[fault]
    code, _, _ = write_under(tmp_path / "whole", None, "create+crash")
    assert write_under(tmp_path / "whole", None, "open", BATCHES)[:2] == (0, 2 * BATCHES)
    for number in times(tmp_path / "whole", call):
        root = tmp_path / str(number)
        write_under(root, None, "create+crash")
        code, acknowledged, said = write_under(root, f"{call}:{effect}:when={number}{onward}", "open", BATCHES)
        acknowledged = max(acknowledged, BATCHES)
        assert acknowledged <= events_of(root) <= acknowledged + 1, (number, said)
        assert code == (0 if acknowledged == 2 * BATCHES else IO), (number, said)


@traced
@pytest.mark.parametrize("call", WRITES.split(","))
def test_a_kill_at_any_write_loses_nothing_acknowledged(tmp_path: Path, call: str) -> None:
    write_under(tmp_path / "whole", None, "create")
    for number in times(tmp_path / "whole", call):
        root = tmp_path / str(number)
        code, acknowledged, _ = write_under(root, f"{call}:signal=SIGKILL:when={number}", "create")
        assert code == -9, number
        assert acknowledged <= events_of(root) <= acknowledged + 1, number


@traced
@pytest.mark.parametrize("call", WRITES.split(","))
def test_a_kill_at_any_write_of_a_resume_loses_nothing_acknowledged(tmp_path: Path, call: str) -> None:
    write_under(tmp_path / "whole", None, "create+crash")
    write_under(tmp_path / "whole", None, "open", BATCHES)
    for number in times(tmp_path / "whole", call):
        root = tmp_path / str(number)
        write_under(root, None, "create+crash")
        _, acknowledged, _ = write_under(root, f"{call}:signal=SIGKILL:when={number}", "open", BATCHES)
        acknowledged = max(acknowledged, BATCHES)
        assert acknowledged <= events_of(root) <= acknowledged + 1, number


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk, where mounting is allowed at all")
    yield tmp_path
    open_files = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
    assert [path for path in open_files if path.startswith(str(tmp_path))] == []


def test_a_full_disk_ends_the_owner_and_room_lets_the_run_go_on(small_disk: Path) -> None:
    store = SqliteStore(small_disk / ".weft")
    journal = begin(store)
    error: JournalError | None = None
    written = 0
    while error is None:
        try:
            journal.append([ended("x" * 3000)])
            written += 1
        except JournalError as failure:
            error = failure
    assert error.exit_code == IO
    refused(JournalError, journal.append, [ended("y")])
    journal.close()
    refused(JournalError, store.open, "r1")
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    again = store.open("r1")
    assert len(told(again)) == written + 1
    again.append([ended("y")])
    again.close()
