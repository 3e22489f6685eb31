"""What an agent left outside of its work tree: in the shared `.git`, in the repository's own files, in other branches.

Our own calls of git run nothing of what is planted (git.py). The user's next `git status` would. So what decides what
git runs is read before an agent starts and compared when it has ended; what has changed is named and can be put back.

An agent may rightly write to the configuration: `git switch --track` notes a branch's upstream, `git config user.name`
a name. These settings are left alone; any other change is a plant.

Agents that run at the same time share all this: a plant is found, but not always whose it was.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from weft.errors import AttemptError
from weft.runtimes.git import Place, Repository
from weft.runtimes.gitstate import changes, contents

if TYPE_CHECKING:
    import asyncio

MAX_KEPT = 1 << 20
"""Bytes of a file that can be put back; a larger one is only seen to have changed."""

_FIXED = ("config", "config.worktree", "commondir", "info/attributes", "info/exclude", "info/grafts")
_PER_TREE = ("commondir", "config.worktree")
_FREE = re.compile(r"branch\..+\.(remote|merge|rebase|description|pushremote|vscode-merge-base)\Z|user\.(name|email)\Z")


class Kept(msgspec.Struct, frozen=True):
    """A file as it was: `data` is None where it is too large to hold, `link` is where a symbolic link leads."""

    digest: str
    mode: int
    data: bytes | None = None
    link: str | None = None


class Guarded(msgspec.Struct, frozen=True):
    """What decides what git runs, by path relative to the shared `.git`."""

    common: str
    files: dict[str, Kept]


class Plant(msgspec.Struct, frozen=True):
    """A file that has changed: `how` is `added`, `changed` or `removed`, `settings` names those of a configuration."""

    file: str
    how: str
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f" ({', '.join(self.settings)})" if self.settings else ""
        return f".git/{self.file} was {self.how}{what}"


class Footprint(msgspec.Struct, frozen=True):
    """What an agent in a work tree of its own must leave as it is."""

    tree: str
    """The files of the repository's own work tree, as a git tree."""
    head: str
    refs: dict[str, str]
    guarded: Guarded


class Outside(msgspec.Struct, frozen=True):
    """What was changed outside of a task's work tree. False when nothing was."""

    files: tuple[str, ...] = ()
    """In the repository's own work tree."""
    refs: tuple[str, ...] = ()
    """Branches and tags that were moved, made or deleted, and `HEAD`."""
    plants: tuple[Plant, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.refs or self.plants)


def guard(place: Place) -> Guarded:
    """Read it. Blocking. Runs no program and waits for no pipe that somebody put there."""
    common = Path(place.common)
    kept = {}
    for name in _guarded_names(common):
        file = keep(common / name)
        if file is not None:
            kept[name] = file
    return Guarded(place.common, kept)


class Watch:
    """What git runs, as it was when no agent was at work: what is planted is taken back to that.

    Were each agent compared with how things were when *it* began, one that begins after another has planted something
    would put the plant back, once the first has ended and the plant was removed.
    """

    def __init__(self) -> None:
        self._running = 0
        self._before: asyncio.Future[Guarded] | None = None

    @contextmanager
    def begin(self, repository: Repository) -> Iterator[asyncio.Future[Guarded]]:
        """An agent is at work."""
        import asyncio

        if self._running == 0 or self._before is None:
            self._before = asyncio.ensure_future(asyncio.to_thread(guard, repository.place))
        self._running += 1
        try:
            yield self._before
        finally:
            self._running -= 1

    async def close(self) -> None:
        """Nothing is held."""


async def planted(repository: Repository, before: Guarded) -> tuple[Plant, ...]:
    """What has changed since, without what an agent may write (see above), by file."""
    now = guard(repository.place).files
    found = []
    for name in sorted(before.files.keys() | now.keys()):
        old, new = before.files.get(name), now.get(name)
        if old == new or (name.startswith("worktrees/") and old is None and name.endswith("/commondir")):
            continue
        how = "added" if old is None else "removed" if new is None else "changed"
        if not _is_config(name):
            found.append(Plant(name, how))
            continue
        settings = await _changed_settings(repository, old, new)
        if settings is None or settings:
            found.append(Plant(name, how, settings or ()))
    return tuple(found)


def restore(before: Guarded, plants: tuple[Plant, ...]) -> tuple[Plant, ...]:
    """Put the files back, each whole or not at all; those that could not be. Blocking."""
    common = Path(before.common)
    left = []
    for plant in plants:
        try:
            put_back(common / plant.file, before.files.get(plant.file))
        except OSError:
            left.append(plant)
    return tuple(left)


async def footprint(repository: Repository) -> Footprint:
    """How everything is that an agent in a work tree of its own must leave as it is."""
    tree = await contents(repository)
    return Footprint(tree, _head_of(repository), await _refs(repository), guard(repository.place))


async def changed_outside(repository: Repository, before: Footprint, *, own: tuple[str, ...] = ()) -> Outside:
    """What has changed since; refs that begin with one of `own` (`refs/heads/weft/`) may."""
    files = {change.path for change in await changes(repository, before.tree, await contents(repository))}
    now = await _refs(repository)
    moved = {ref for ref in before.refs.keys() | now.keys() if before.refs.get(ref) != now.get(ref)}
    refs = {ref for ref in moved if not ref.startswith(own)} if own else moved
    if _head_of(repository) != before.head:
        refs.add("HEAD")
    return Outside(tuple(sorted(files)), tuple(sorted(refs)), await planted(repository, before.guarded))


def _guarded_names(common: Path) -> Iterator[str]:
    yield from _FIXED
    for folder in ("hooks", "modules"):
        for path in sorted((common / folder).rglob("*")):
            inside = folder == "hooks" or path.name == "config" or path.parent.name == "hooks"
            if inside and not (path.is_dir() and not path.is_symlink()):
                yield path.relative_to(common).as_posix()
    with suppress(OSError):
        for admin in sorted((common / "worktrees").iterdir()):
            yield from (f"worktrees/{admin.name}/{name}" for name in _PER_TREE)


def keep(path: Path) -> Kept | None:
    """A file as it is; None where there is none. Waits for no pipe. Blocking."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            link = os.fsdecode(path.readlink())
            return Kept(sha256(os.fsencode(link)).hexdigest(), 0, link=link)
        if not stat.S_ISREG(found.st_mode):
            return Kept("", stat.S_IFMT(found.st_mode))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return Kept("", 0)
    with os.fdopen(descriptor, "rb") as file:
        head = file.read(MAX_KEPT + 1)
        digest = sha256(head)
        whole = len(head) <= MAX_KEPT
        while piece := file.read(MAX_KEPT):
            digest.update(piece)
    return Kept(digest.hexdigest(), stat.S_IMODE(found.st_mode), head if whole else None)


def put_back(path: Path, old: Kept | None) -> None:
    """Make it what it was, whole or not at all. Raises OSError. Blocking."""
    if old is None:
        path.unlink(missing_ok=True)
        return
    if old.data is None and old.link is None:
        raise OSError("it was too large to be held")
    part = path.with_name(f".weft-{secrets.token_hex(8)}.tmp")
    part.parent.mkdir(parents=True, exist_ok=True)
    if old.link is not None:
        part.symlink_to(old.link)
    else:
        part.write_bytes(old.data or b"")
        part.chmod(old.mode)
    part.replace(path)


def _is_config(name: str) -> bool:
    return name.rpartition("/")[2] in ("config", "config.worktree")


async def _changed_settings(repository: Repository, old: Kept | None, new: Kept | None) -> tuple[str, ...] | None:
    """The settings that differ and may not; None where that cannot be told."""
    sides = []
    for kept in (old, new):
        if kept is not None and kept.data is None:
            return None
        try:
            data = b"" if kept is None else kept.data
            out = await repository.call(
                "config", "--file", "-", "--list", "--null", "--no-includes", stdin=data or b"\n"
            )
        except AttemptError:
            return None
        sides.append(set(out.decode("utf-8", "surrogateescape").split("\0")[:-1]))
    names = {entry.partition("\n")[0] for entry in sides[0] ^ sides[1]}
    return tuple(sorted(name for name in names if not _FREE.match(name)))


def _head_of(repository: Repository) -> str:
    with suppress(OSError):
        return (Path(repository.tree.gitdir) / "HEAD").read_text("utf-8", "surrogateescape")
    return ""


async def _refs(repository: Repository) -> dict[str, str]:
    out = await repository.ask("for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.rsplit(" ", 1) for line in out.splitlines())
