"""Files written whole or not at all.

A new content goes to a temporary file in the same folder, is synced, and takes the name by `rename`, which is
atomic: a reader sees the old file or the new one, and a crash leaves the old one (and at worst a
`.weft-*.tmp` beside it). What is appended is synced as well, and cut off again when it could not be written
to its end.

Whoever waits may go away (a timeout): the thread that writes looks at `stop` before each piece and before the
rename, so that an attempt that is over changes no file.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from weft.errors import AttemptError
from weft.runtimes.failures import file_error
from weft.runtimes.paths import PRIVATE, Place, locate

if TYPE_CHECKING:
    from weft.runtimes.base import World

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BUFFER = 1 << 18
_appending = tuple(threading.Lock() for _ in range(16))
"""Who appends to a file holds one of these, chosen by the file, so that a failed write can be cut off."""


class Stopped(Exception):
    """Nobody waits for the file any more."""


def write(world: World, text: str, pieces: Iterable[bytes], stop: threading.Event) -> int:
    """Make `pieces` the content of the file `text`; returns their bytes. Raises AttemptError, or Stopped."""
    with _failures(text), locate(world, text, create=True) as place:
        _refuse_private(world, place)
        old = place.status()
        _refuse_read_only(place, old)
        name = f".weft-{secrets.token_hex(8)}.tmp"
        descriptor = os.open(name, _NEW, 0o666, dir_fd=place.folder)
        try:
            try:
                if old is not None:
                    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
                count = _write_all(descriptor, pieces, stop)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if stop.is_set():
                raise Stopped
            os.rename(name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=place.folder)
            raise
        os.fsync(place.folder)
        return count


def append(world: World, text: str, pieces: Callable[[int], Iterable[bytes]], stop: threading.Event) -> int:
    """Add to the end of the file `text`; `pieces` is given a descriptor to read what is there (0 bytes: new).

    Returns the bytes added. Raises AttemptError, or Stopped; the file is then as long as it was.
    """
    with _failures(text), locate(world, text, create=True) as place:
        _refuse_private(world, place)
        place.status()
        descriptor = os.open(place.name, _APPEND, 0o666, dir_fd=place.folder)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise AttemptError(f"{text!r} is not a file", type="PathError")
            with _appending[hash((found.st_dev, found.st_ino)) % len(_appending)]:
                return _append(descriptor, pieces, stop)
        finally:
            os.close(descriptor)


def _append(descriptor: int, pieces: Callable[[int], Iterable[bytes]], stop: threading.Event) -> int:
    before = os.fstat(descriptor).st_size
    try:
        count = _write_all(descriptor, pieces(descriptor), stop)
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(descriptor, before)
        raise
    return count


def _write_all(descriptor: int, pieces: Iterable[bytes], stop: threading.Event) -> int:
    count = 0
    for block in _blocks(pieces):
        if stop.is_set():
            raise Stopped
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]
        count += len(block)
    return count


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces gathered into blocks worth a system call."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _BUFFER:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


@contextmanager
def _failures(text: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise file_error(error, text, "write") from None


def _refuse_private(world: World, place: Place) -> None:
    for part in place.path.split("/"):
        if part in PRIVATE and f"/{part}/" not in f"{world.project}/":
            raise AttemptError(
                f"the path {place.shown!r} leads into {part}, which no node writes to",
                type="PathError",
                hint="choose another folder",
            )


def _refuse_read_only(place: Place, old: os.stat_result | None) -> None:
    """A file that may not be written is not replaced either, although the system would allow it."""
    if old is not None and not os.access(place.name, os.W_OK, dir_fd=place.folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
