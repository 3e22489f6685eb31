"""Finding and ending what a dead keeper left behind: by the token in the environment, and by the lock on the run.

Only for the case that the keeper itself was killed; else the keeper leaves nothing. A process is opened (pidfd) before
its environment is read, so that a number that was given away meanwhile is not hit.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from weft.backends.keeper.processes import marks_in
from weft.errors import OwnedError

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE = 0.01
PATIENCE = 5.0
"""Seconds that a take-over waits before it kills what is left."""


def end_marked(token: str) -> int:
    """Send SIGKILL to every living process whose `WEFT_JOB` names the token; how many there were.

    Only two passes in a row that find none prove that there is none: one may be in the middle of an exec, and one may
    have forked behind our back.
    """
    try:
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return 0
    return sum(_end_if_marked(pid, token.encode()) for pid in numbers if pid != os.getpid())


def wait_children_gone(lock_path: Path, *, patience: float = PATIENCE) -> None:
    """Block until no child of the run's old owner lives; what lives after `patience` seconds is killed.

    The run's keeper holds a lock on `lock_path` while children may live; a keeper that was killed left its token in the
    file. Raises OwnedError when processes remain that cannot be killed.
    """
    try:
        fd = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        free = _locked_within(fd, patience)
        words = os.pread(fd, 4096, 0).split()
        if not words:
            return
        token = words[1].decode("ascii", "replace")
        if not free:
            _end_keeper(int(words[0]), token)
        _end_until_none(token, patience, lock_path)
        if not free and not _locked_within(fd, patience):
            raise _owned(lock_path, f"process {int(words[0])}")
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _locked_within(fd: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _end_until_none(token: str, patience: float, lock_path: Path) -> None:
    deadline = time.monotonic() + patience
    empty = 0
    while empty < 2:
        count = end_marked(token)
        empty = 0 if count else empty + 1
        if count and time.monotonic() > deadline:
            raise _owned(lock_path, f"{count} processes")
        time.sleep(PAUSE)


def _owned(lock_path: Path, who: str) -> OwnedError:
    return OwnedError(
        f"{who} of the run's last owner cannot be ended ({lock_path.name} is held)",
        owner=who,
        hint="end them by hand, then resume",
    )


def _end_keeper(pid: int, token: str) -> None:
    """A keeper that does not end by itself is stopped or stuck. It is named by its arguments."""
    _end_if(pid, "cmdline", lambda words: token.encode() in words.split(b"\0"))


def _end_if_marked(pid: int, token: bytes) -> bool:
    return _end_if(pid, "environ", lambda environment: _carries(environment, token))


def _end_if(pid: int, file_name: str, condition: Callable[[bytes], bool]) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return False
    try:
        with open(f"/proc/{pid}/{file_name}", "rb") as file:  # noqa: PTH123 - hundreds of these in a row
            if not condition(file.read()):
                return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (OSError, AttributeError):
        return False
    else:
        return True
    finally:
        os.close(handle)


def _carries(environment: bytes, token: bytes) -> bool:
    return any(mark.partition(b".")[0] == token for mark in marks_in(environment))
