"""Who owns a run: a lock of the operating system on `owner.lock`, and in the file who holds it.

The lock decides, the text only names. `flock` belongs to the open file, not to a number: when the holder
dies, by whatever cause, the kernel drops it, and no reuse of process numbers can fake it. It survives
SIGSTOP, so a stopped owner is an owner. The file is opened close-on-exec and closed in forked children, so
no child keeps a dead owner's lock.

The text is written after the lock is taken, so for a moment it names the owner before; whoever loses looks
again until it names a living process. It is emptied on a clean close, so a process that goes on living
after it closed a run is not taken for its owner.

To take over, the recorded process is sent SIGKILL, if and only if it is certain which process that is: same
machine, same start of the machine, same space of process numbers, and the same start time of the process,
checked on a handle (pidfd) so that no other process can take the number in between. The lock is then waited
for; it is never broken or deleted.

The children of the dead owner are another matter: its process keeper holds `children.lock` until they are
gone, and empties the file. A file that is free and not empty says that the keeper itself was killed."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from weft.errors import OwnedError
from weft.journal.base import KillChildren

OWNER = "owner.lock"
CHILDREN = "children.lock"
_NAMING = 0.5
"""Seconds to wait until a new owner has written its name."""
_DYING = 10.0
"""Seconds to wait until a killed owner is gone."""
_CHILDREN = 5.0
"""Seconds to wait for the old owner's children before they are killed, and once more after that."""


class Owner(msgspec.Struct, frozen=True):
    """A process that has, or had, a run open for writing. `since` is Unix time in seconds.

    `boot` names the start of the machine, `space` the namespace of process numbers, `started` the process's start
    in units of its system: together they say whether a number still means the same process.
    """

    pid: int
    host: str
    boot: str
    space: str
    started: str
    since: float

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} on {self.host} since {when}"

    @property
    def here(self) -> bool:
        """Whether its number can be understood by this process."""
        return (self.host, self.boot, self.space) == (_host(), boot_id(), number_space())

    @property
    def alive(self) -> bool:
        """Whether the process lives. Of another machine: whether it may."""
        if not self.here:
            return self.host != _host() or self.boot == boot_id()
        return self.started != "" and start_of(self.pid) == self.started


class OwnerLock:
    """The lock of a run's owner, held until `release` or the end of the process."""

    __slots__ = ("__weakref__", "_fd")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        _held.add(self)

    def release(self) -> None:
        """Let go and leave no name. Releasing twice is nothing."""
        if self._fd >= 0:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
            self.forget()

    def forget(self) -> None:
        """Close without a word: in a forked child, where the lock is the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_held: weakref.WeakSet[OwnerLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)


def own(folder: Path, run_id: str, *, take_over: bool = False) -> OwnerLock:
    """Become the owner of the run in `folder`.

    Raises OwnedError that names the owner; with `take_over` only if the owner cannot be ended. Raises OSError.
    """
    fd = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not _lock(fd):
            owner = _name_of(fd)
            if not _lock(fd):
                if not take_over:
                    raise _owned(run_id, owner)
                _end(fd, run_id, owner)
        _sign(fd)
    except BaseException:
        os.close(fd)
        raise
    return OwnerLock(fd)


def owner_of(folder: Path) -> Owner | None:
    """Who has the run in `folder` open for writing, as far as that can be told without touching the lock."""
    try:
        data = (folder / OWNER).read_bytes()
    except OSError:
        return None
    owner = _read(data)
    return owner if owner is not None and owner.alive else None


def wait_children(folder: Path, run_id: str, kill: KillChildren | None = None, *, patience: float = _CHILDREN) -> None:
    """Wait until no child of an earlier owner lives; after `patience` seconds, `kill` is called once.

    Raises OwnedError when some are left all the same.
    """
    path = folder / CHILDREN
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        gone = _lock_within(fd, patience) and os.fstat(fd).st_size == 0
    finally:
        os.close(fd)
    if gone:
        return
    if kill is not None:
        kill(path)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if not _lock_within(fd, patience if kill is not None else 0):
            raise OwnedError(
                f"processes that an earlier owner of run {run_id} started are still running",
                owner="processes of an earlier owner",
                hint=f"end them (`fuser {path}` names their keeper), then resume",
            )
    finally:
        os.close(fd)


def _host() -> str:
    return os.uname().nodename


@cache
def boot_id() -> str:
    """Names this start of the machine; empty where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


@cache
def number_space() -> str:
    """Names the space of process numbers (a container has its own); empty where there is only one."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path
    except OSError:
        return ""


def start_of(pid: int) -> str:
    """When the process started, in units of its system; empty if there is none or it is dead already."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    return _start_by_ps(pid)


def _start_by_ps(pid: int) -> str:
    import subprocess

    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - constant, and a number
    return shown.stdout.strip()


def _sign(fd: int) -> None:
    pid = os.getpid()
    owner = Owner(pid, _host(), boot_id(), number_space(), start_of(pid), time.time())
    os.ftruncate(fd, 0)
    os.pwrite(fd, msgspec.json.encode(owner), 0)


def _read(data: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(data, type=Owner)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _name_of(fd: int) -> Owner | None:
    """The owner, once it has signed."""
    for _ in _until(_NAMING):
        owner = _read(os.pread(fd, 4096, 0))
        if owner is not None and owner.alive:
            return owner
    return None


def _end(fd: int, run_id: str, owner: Owner | None) -> None:
    """Kill the owner and wait for its lock. Raises OwnedError."""
    if owner is None:
        raise _owned(run_id, owner, "it cannot be ended from here")
    if owner.pid == os.getpid() and owner.here:
        raise _owned(run_id, owner, "that is this process itself")
    if not owner.here:
        raise _owned(run_id, owner, "it cannot be ended from this machine or container")
    _kill(run_id, owner)
    for _ in _until(_DYING):
        if _lock(fd):
            return
        now = _read(os.pread(fd, 4096, 0))
        if now is not None and now != owner and now.alive:
            raise _owned(run_id, now)
    raise _owned(run_id, owner, f"it did not end within {_DYING:.0f} s")


def _kill(run_id: str, owner: Owner) -> None:
    try:
        if hasattr(os, "pidfd_open"):
            handle = os.pidfd_open(owner.pid)
            try:
                if start_of(owner.pid) == owner.started:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)
        elif start_of(owner.pid) == owner.started:
            os.kill(owner.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError:
        raise _owned(run_id, owner, "it belongs to another user and cannot be ended") from None


def _owned(run_id: str, owner: Owner | None, why: str = "") -> OwnedError:
    who = str(owner) if owner is not None else "another process"
    message = f"run {run_id} belongs to {who}" + (f": {why}" if why else "")
    hint = "end it there, then resume" if why else "wait until it ends, or end it (`--take-over`, take_over=True)"
    return OwnedError(message, who, hint=hint)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_within(fd: int, seconds: float) -> bool:
    return any(_lock(fd) for _ in _until(seconds))


def _until(seconds: float) -> Iterator[None]:
    """Turns of waiting: the first at once, the last after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        yield
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.02)
