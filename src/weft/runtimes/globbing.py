"""The files that a pattern names, found without leaving the allowed folders.

`*`, `?` and `[...]` match inside one name, `**` any number of folders. As in a shell, a name with a leading
dot is only matched by a pattern with one. `**` does not follow links to folders (it could run in circles);
everything else follows a link where it leads to an allowed folder.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from weft.errors import AttemptError
from weft.globs import fitting, is_wild
from weft.runtimes.base import FileEntry
from weft.runtimes.failures import bad_setting
from weft.runtimes.paths import INSIDE, absolute, locate, relative_name

if TYPE_CHECKING:
    from weft.runtimes.base import World

MAX_FILES = 100_000
MAX_DEPTH = 64


def find(world: World, pattern: str) -> list[FileEntry]:
    """The regular files that `pattern` names, sorted by path. Raises AttemptError, OSError."""
    target = absolute(world, pattern)
    parts = target.split("/")[1:]
    if any(part in ("..", ".") for part in pattern.split("/")[_first_wild(pattern) :]):
        raise bad_setting("pattern", f"{pattern!r} has '..' behind a wildcard", "write the folder out")
    if any("**" in part and part != "**" for part in parts):
        raise bad_setting("pattern", f"{pattern!r}: '**' stands alone between slashes")
    fixed = next((n for n, part in enumerate(parts) if is_wild(part)), len(parts) - 1)
    start = "/" + "/".join(parts[:fixed])
    found: dict[str, int] = {}
    for path in _match(world, start, parts[fixed:], 0):
        size = _size(world, path)
        if size is not None:
            found[relative_name(world, path, world.folder)] = size
            if len(found) > MAX_FILES:
                raise AttemptError(f"{pattern!r} names more than {MAX_FILES:,} files", type="SizeError")
    return [FileEntry(path, path.rpartition("/")[2], found[path]) for path in sorted(found)]


def _first_wild(pattern: str) -> int:
    parts = pattern.split("/")
    return next((n for n, part in enumerate(parts) if is_wild(part)), len(parts))


def _match(world: World, folder: str, parts: list[str], depth: int) -> Iterator[str]:
    """The absolute paths below `folder` that match."""
    if depth > MAX_DEPTH:
        raise AttemptError(f"{folder!r} is nested deeper than {MAX_DEPTH} folders", type="SizeError")
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _match_anywhere(world, folder, parts, depth)
        return
    if not is_wild(first):
        where = f"{folder}/{first}"
        yield from _match(world, where, rest, depth + 1) if rest else (where,)
        return
    fits = fitting(first)
    for name, is_folder in _entries(world, folder, follow=bool(rest)):
        if not fits(name) or (name.startswith(".") and not first.startswith(".")):
            continue
        if not rest:
            yield f"{folder}/{name}"
        elif is_folder:
            yield from _match(world, f"{folder}/{name}", rest, depth + 1)


def _match_anywhere(world: World, folder: str, parts: list[str], depth: int) -> Iterator[str]:
    """As `_match`, with `**` as the first of `parts`: in this folder and in all below it."""
    rest = parts[1:]
    if rest:
        yield from _match(world, folder, rest, depth)
    for name, is_folder in _entries(world, folder):
        if name.startswith("."):
            continue
        if is_folder:
            yield from _match(world, f"{folder}/{name}", parts, depth + 1)
        elif not rest:
            yield f"{folder}/{name}"


def _entries(world: World, folder: str, *, follow: bool = False) -> list[tuple[str, bool]]:
    """The names in a folder, and which are folders; nothing when it is none itself.

    Links to folders are folders where they are followed, and left out elsewhere.
    """
    try:
        with locate(world, f"{folder}/{INSIDE}") as place, os.scandir(place.folder) as found:
            return [
                (entry.name, entry.is_dir()) for entry in found if follow or not (entry.is_symlink() and entry.is_dir())
            ]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return []
        raise


def _size(world: World, path: str) -> int | None:
    """The size of the regular file at `path`; None for anything else, or nothing."""
    try:
        with locate(world, path) as place:
            status = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None
