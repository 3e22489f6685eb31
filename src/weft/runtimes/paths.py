"""Files inside the folders that a document may use, and nowhere else.

A path in a document may come from data: a name in a response, an issue's title. So it is never handed to the
system whole. It is made absolute and cleaned as *text* first (`a/../b` is `b`, whatever `a` is), must then
lie in an allowed folder, and is walked from that folder's descriptor, one component at a time, with `openat`
and `O_NOFOLLOW`. A symbolic link met on the way is read, and the walk begins anew with its target: a link may
lead anywhere inside the allowed folders and nowhere else. What was checked is what is opened, because nothing
is looked up twice: somebody who swaps a folder for a link between two steps makes the next `openat` fail, and
never makes it escape.

Rejected: `realpath` and then `open` (the gap between them is the hole), `openat2(RESOLVE_BENEATH)` (not in
the standard library, Linux only, and it refuses absolute links that stay inside).

Only regular files are opened: what is found is looked at before it is opened (opening a fifo may block,
opening a device may do things) and again after it (it may have been swapped).
"""

# ruff: noqa: PTH100, PTH118, PTH120 - paths are handled as text here, on purpose

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from weft.errors import AttemptError
from weft.runtimes.failures import file_error, shortened

if TYPE_CHECKING:
    from pathlib import Path

    from weft.runtimes.base import World

MAX_PATH = 4096
MAX_LINKS = 40
MAX_MADE = 64
"""Levels below an allowed folder that are made: what is nested deeper, few programs can delete again."""
PRIVATE = frozenset({".git", ".weft"})
"""Folders that nothing is written into: hooks of the repository are code, the journal is ours."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
INSIDE = ".weft-inside"
"""A name that nothing has: what is looked for where only the folder matters."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


class Place:
    """A name in an open folder: where a file is or will be. Close it after use.

    `path` is its absolute path without links, for people and for references; only `folder` and `name` are
    used to open.
    """

    __slots__ = ("folder", "name", "path", "shown")

    def __init__(self, folder: int, name: str, path: str, shown: str) -> None:
        self.folder = folder
        self.name = name
        self.path = path
        self.shown = shown

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.folder)

    def status(self) -> os.stat_result | None:
        """What is there now, None when nothing is. Raises for what is there and is no regular file."""
        try:
            found = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise not_regular(self.shown, found.st_mode)
        return found

    def open(self) -> int:
        """A descriptor of the file, for reading. The caller closes it."""
        if self.status() is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.shown)
        descriptor = os.open(self.name, _FILE, dir_fd=self.folder)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise not_regular(self.shown, mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def open_file(world: World, text: str) -> tuple[int, str]:
    """A descriptor of the regular file at `text`, for reading, and its absolute path. Raises AttemptError."""
    try:
        with locate(world, text) as place:
            return place.open(), place.path
    except OSError as error:
        raise file_error(error, text, "read") from None


def locate(world: World, text: str, *, create: bool = False) -> Place:
    """Where `text` leads: an absolute path, or one relative to the document's folder.

    The last component need not exist and is no link; with `create` missing folders are made. Raises
    AttemptError (`PathError`) for what is malformed or not allowed, OSError for the rest.
    """
    target = absolute(world, text)
    links: list[str] = []
    while True:
        found = _walk(world, target, text, links, create)
        if isinstance(found, Place):
            return found
        target = found


def folder_path(world: World, text: str) -> str:
    """The absolute path, without links, of the folder `text`, which exists. Raises AttemptError."""
    try:
        with locate(world, f"{text.rstrip('/') or '/'}/{INSIDE}") as place:
            return os.path.dirname(place.path)
    except OSError as error:
        raise file_error(error, text, "use") from None


def absolute(world: World, text: str) -> str:
    """`text` as an absolute path without `.` and `..`. Raises AttemptError (`PathError`) when it is
    malformed.
    """
    if problem := _malformed(text):
        raise AttemptError(f"the path {_short(text)} {problem}", type="PathError")
    return _normal(os.path.join(_real(world.folder), text))


def folder_of(world: World, target: str, text: str, via: list[str] | None = None) -> tuple[str, list[str]]:
    """The allowed folder (without links) that holds the absolute path `target`, and what is below it."""
    for spelled, real in _roots(world):
        for prefix in (real, spelled):
            if target == prefix:
                return real, []
            stem = prefix.rstrip("/") + "/"
            if target.startswith(stem):
                return real, target[len(stem) :].split("/")
    through = f" through the symbolic link {via[-1]!r}" if via else ""
    raise AttemptError(
        f"the path {_short(text)} leads outside the project folder{through}",
        type="PathError",
        hint=f"allow its folder: --allow-path {_short(os.path.dirname(target) or '/')}",
    )


def relative_name(world: World, path: str, folder: Path) -> str:
    """The absolute `path` relative to `folder` when it lies below it, else unchanged."""
    stem = _real(folder).rstrip("/") + "/"
    return path.removeprefix(stem)


def not_regular(shown: str, mode: int) -> AttemptError:
    """The error for something that is no regular file."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a symbolic link that just appeared"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    kind = next((word for test, word in kinds if test(mode)), "a device")
    return AttemptError(f"{_short(shown)} is {kind}, not a file", type="PathError")


def open_folder(name: str, parent: int, *, create: bool = False) -> int:
    """A descriptor of the folder `name` in the open folder `parent`; a link raises OSError (ELOOP or
    ENOTDIR).
    """
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
        os.fsync(parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _walk(world: World, target: str, text: str, links: list[str], create: bool) -> Place | str:
    """The place of `target`, or the path that a link on the way leads to."""
    root, parts = folder_of(world, target, text, links)
    if not parts:
        raise AttemptError(f"{_short(text)} is a folder, not a file", type="PathError")
    if create and len(parts) > MAX_MADE:
        raise AttemptError(f"the path {_short(text)} is nested deeper than {MAX_MADE} folders", type="PathError")
    here = root
    folder = os.open(root, _FOLDER)
    try:
        for number, name in enumerate(parts):
            link = _link(name, folder)
            if link is not None:
                rest = parts[number + 1 :]
                return _follow(os.path.join(here, name), link, rest, text, links)
            if number == len(parts) - 1:
                place = Place(folder, name, os.path.join(here, name), text)
                folder = -1
                return place
            inner = open_folder(name, folder, create=create)
            os.close(folder)
            folder = inner
            here = os.path.join(here, name)
        raise AssertionError("unreachable: the last component returns")
    finally:
        if folder != -1:
            os.close(folder)


def _link(name: str, folder: int) -> str | None:
    """What the link `name` points to, None when it is no link or nothing at all."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _follow(link: str, leads_to: str, rest: list[str], text: str, links: list[str]) -> str:
    links.append(link)
    if len(links) > MAX_LINKS:
        raise AttemptError(f"the path {_short(text)} has too many symbolic links", type="PathError")
    return _normal(os.path.join(os.path.dirname(link), leads_to, *rest))


def _roots(world: World) -> list[tuple[str, str]]:
    """The allowed folders: as spelled, and without links."""
    return [(_normal(os.path.abspath(folder)), _real(folder)) for folder in (world.project, *world.allowed_paths)]


@lru_cache(maxsize=64)
def _real(folder: Path) -> str:
    """Looked up once: what the user named does not change under a run."""
    return os.path.realpath(folder)


def _normal(path: str) -> str:
    normal = os.path.normpath(path)
    return normal[1:] if normal.startswith("//") else normal


def _malformed(text: str) -> str | None:
    """Why `text` cannot be a path, None when it can."""
    if not text or not text.strip():
        return "is empty"
    if len(text) > MAX_PATH:
        return f"is longer than {MAX_PATH} characters"
    if _CONTROL.search(text):
        return "has a control character in it"
    if text != text.strip():
        return "begins or ends with a space"
    if text.startswith("~"):
        return "begins with '~', which is not expanded: write the folder out"
    if _DRIVE.match(text):
        return "is a Windows path"
    if _climbs(unquote(text)) > _climbs(text):
        return "has an encoded '..' in it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not text"
    return None


def _climbs(text: str) -> int:
    return text.split("/").count("..")


def _short(text: str) -> str:
    return repr(shortened(text))
