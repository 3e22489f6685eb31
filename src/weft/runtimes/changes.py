"""What changed in a folder while something ran, and what of that nobody had declared.

Files are not read: a file is the same while its size, times, inode and mode are. The time of the last change of the
inode is among them: it also moves when a program puts the time of modification back. The kernel stamps files by a
clock that ticks every few milliseconds, so a change right after a snapshot could bear the stamp that the snapshot saw;
`snapshot` therefore returns only when that tick is over.

Folders themselves are not compared, as a version control does not: an empty one is nothing. Links are not followed;
a link is a file of its own. The walk goes from descriptor to descriptor, so a folder swapped for a link while it runs
leads nowhere else.

This is bookkeeping, not a jail: what is changed outside the folder, or by somebody else at the same time, it cannot
tell. Where tasks share a folder, what is compared with the changes of one is what all that ran meanwhile declared.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import msgspec

from weft.errors import AttemptError
from weft.globs import Name, exact, fitting, meet, parse
from weft.runtimes.failures import file_error, shortened

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILES = 100_000
MAX_DEPTH = 64
IGNORED = (".git", ".weft", "__pycache__")
"""Names (patterns of one) that are not looked at, wherever they stand."""

_TICK = 20_000_000
"""Nanoseconds that the clock of a file system may stand still, with some reserve (10 ms on the slowest kernels)."""
_NAMED = 20
"""Files that a message names."""


class Stamp(msgspec.Struct, frozen=True):
    """How to tell that a file is still the same. Times are nanoseconds since 1970."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    mode: int


class Snapshot(msgspec.Struct, frozen=True):
    """What was in a folder: path relative to it -> stamp."""

    files: Mapping[str, Stamp]


def snapshot(folder: Path, ignore: Sequence[str] = IGNORED, *, most: int = MAX_FILES) -> Snapshot:
    """All that is below `folder` now but folders. Raises AttemptError when that is more than `most`, or unreadable.

    Takes some 10 us per file, and up to 20 ms more when something was changed just before.
    """
    ignored = [fitting(pattern) for pattern in ignore]

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # gone, or swapped, meanwhile: not there
            raise file_error(error, os.fsdecode(error.filename or folder), "read")

    files: dict[str, Stamp] = {}
    if not folder.is_dir():
        raise AttemptError(f"{str(folder)!r} is not a folder", type="NotFoundError")
    root = os.fspath(folder)
    for place, folders, names, descriptor in os.fwalk(root, onerror=refuse):
        here = place[len(root) :].strip("/")
        if here.count("/") >= MAX_DEPTH:
            raise AttemptError(f"{shortened(here)!r} is nested deeper than {MAX_DEPTH} folders", type="SizeError")
        inner = []
        for name in (*folders, *names):
            if any(fits(name) for fits in ignored):
                continue
            stamp = _stamp(name, descriptor)
            if stamp is None:
                continue
            if stat.S_ISDIR(stamp.mode):
                inner.append(name)
                continue
            files[f"{here}/{name}" if here else name] = stamp
            if len(files) > most:
                _too_many(folder, most)
        folders[:] = inner
    _wait_for_tick(max((stamp.ctime_ns for stamp in files.values()), default=0))
    return Snapshot(files)


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    """The paths that were added, modified or removed in between, sorted."""
    old, new = before.files, after.files
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def undeclared(changes: Sequence[str], writes: Sequence[str]) -> list[str]:
    """Those of the changed paths that no declared write (names as in `weft.globs`) covers, in their order.

    Raises ValidationError for a write that is no name.
    """
    names = [parse(text) for text in writes]
    plain = {name.text for name in names if not name.wild}
    wild = [name for name in names if name.wild]
    return [path for path in changes if path not in plain and not _covered(path, wild)]


def undeclared_error(strays: Sequence[str], writes: Sequence[str]) -> AttemptError:
    """The failure of an attempt that changed `strays`, which none of its declared `writes` covers."""
    named = ", ".join(_shown(path) for path in strays[:_NAMED])
    more = f" and {len(strays) - _NAMED:,} more" if len(strays) > _NAMED else ""
    declared = ", ".join(_shown(name) for name in writes[:_NAMED]) or "nothing"
    return AttemptError(
        f"changed outside of what it declared ({declared}): {named}{more}",
        type="UndeclaredWriteError",
        hint="add these to writes (a folder with a slash behind it: 'src/'), or keep the task from changing them",
    )


def _covered(path: str, wild: Sequence[Name]) -> bool:
    found = exact(path)
    return any(meet(name, found) for name in wild)


def _stamp(name: str, folder: int) -> Stamp | None:
    """None when it is gone again."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode)


def _too_many(folder: Path, most: int) -> NoReturn:
    raise AttemptError(
        f"there are more than {most:,} files in {shortened(str(folder))!r}: too many to compare",
        type="SizeError",
        hint="run in a smaller folder, or have the large ones ignored",
    )


def _wait_for_tick(newest: int) -> None:
    """Return when a change made from now on bears a later time than `newest`."""
    left = newest + _TICK - time.time_ns()
    if left > 0:
        time.sleep(min(left, _TICK) / 1e9)


def as_text(path: str) -> str:
    """A name of a file, which is text even where the name is none."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _shown(path: str) -> str:
    return repr(shortened(as_text(path)))
