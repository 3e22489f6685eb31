"""Whether this machine has what Weft needs, and what it does not: each finding with what follows from it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from weft.app import project
from weft.errors import WeftError

WAL_RESET_FIXED = (3, 51, 3)
"""The first SQLite without the WAL-reset bug."""
_LAYERED = ("overlay", "aufs")
_VOLATILE = ("tmpfs", "ramfs")


class Finding(msgspec.Struct, frozen=True):
    """One finding: `fails` means that Weft does not work, `warns` that something is less than it could be."""

    name: str
    state: Literal["ok", "warns", "fails"]
    text: str


def examine() -> list[Finding]:
    """All findings about this machine and the working directory's project. Nothing is changed, no process is left."""
    out: list[Finding] = []
    for look in (_python, _platform, _sqlite, _journal, _processes, _git, _packages, _settings):
        out += look()
    return out


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    text = f"{version} ({sys.executable})" + ("" if fine else "; 3.11 is needed")
    yield Finding("python", "ok" if fine else "fails", text)


def _platform() -> Iterator[Finding]:
    match sys.platform:
        case "linux":
            yield Finding("platform", "ok", f"Linux {os.uname().release}")
        case "darwin":
            yield Finding("platform", "warns", "macOS: processes that leave their group may outlive the engine")
        case "win32":
            yield Finding("platform", "fails", "Windows is not supported yet")
        case other:
            yield Finding("platform", "warns", f"{other}: not tested")


def _sqlite() -> Iterator[Finding]:
    try:
        import sqlite3
    except ImportError:
        yield Finding("sqlite", "fails", "this Python has no sqlite3; runs cannot be kept")
        return
    text = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < WAL_RESET_FIXED:
        fixed = ".".join(map(str, WAL_RESET_FIXED))
        text += (
            f"; before {fixed} two writers of one file in WAL mode may lose commits (the WAL-reset bug):"
            " that cannot happen here, as each run has a file of its own with one writer"
        )
    yield Finding("sqlite", "ok" if sqlite3.sqlite_version_info >= (3, 37) else "warns", text)


def _journal() -> Iterator[Finding]:
    from weft.journal.folder import filesystem

    try:
        place = project.find(Path.cwd())
    except (WeftError, OSError):
        return  # the settings' own finding says why
    if place.journal is None:
        yield Finding("journal", "warns", "none: nothing is kept, no run can be resumed")
        return
    folder = place.journal
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("journal", "fails", f"{place.journal}: no permission to write in {folder}")
        return
    kind = filesystem(folder) or "unknown"
    yield _durability(place.journal, kind, place["durability"] or "power", shutil.disk_usage(folder).free)


def _durability(journal: Path, kind: str, durability: str, free: int) -> Finding:
    from weft.errors import CannotCreateError
    from weft.journal.folder import refuse_network

    text = f"{journal} on {kind}, {free / 2**30:.1f} GiB free, durability {durability}"
    existing = journal if journal.exists() else journal.parent
    try:
        refuse_network(existing)
    except CannotCreateError as error:
        return Finding("journal", "fails", error.message)
    if kind in _VOLATILE:
        return Finding("journal", "warns", f"{text}: kept in memory, lost when the machine stops")
    if kind in _LAYERED:
        text += ": inside a container, lost with it; fsync is what the host makes of it"
        return Finding("journal", "warns", text)
    if durability == "process":
        return Finding("journal", "warns", f"{text}: a power cut may take the last seconds")
    if free < 256 * 2**20:
        return Finding("journal", "warns", f"{text}: little room")
    return Finding("journal", "ok", text)


def _processes() -> Iterator[Finding]:
    """What keeps children from outliving the engine: a subreaper, death signals, process handles."""
    if sys.platform != "linux":
        yield Finding("processes", "warns", "process groups only: what leaves its group may outlive the engine")
        return
    missing = [name for name, there in _process_features() if not there]
    if missing:
        text = f"without {', '.join(missing)}: a child may outlive an engine that is killed"
        yield Finding("processes", "warns", text)
    else:
        yield Finding("processes", "ok", "keeper, subreaper, death signals and process handles are there: no orphans")


def _process_features() -> Iterator[tuple[str, bool]]:
    import ctypes

    get_subreaper = 37
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        flag = ctypes.c_int(0)
        subreaper = prctl(get_subreaper, ctypes.byref(flag), 0, 0, 0) == 0
    except (OSError, AttributeError):
        subreaper = False
    yield "a subreaper", subreaper
    yield "/proc", Path("/proc/self/stat").exists()
    handle = -1
    try:
        handle = os.pidfd_open(os.getpid())
    except (OSError, AttributeError):
        pass
    finally:
        if handle >= 0:
            os.close(handle)
    yield "process handles (pidfd)", handle >= 0
    yield "/bin/sh", os.access("/bin/sh", os.X_OK)


def _git() -> Iterator[Finding]:
    found = shutil.which("git")
    without = "not found; plans run by agents need it, documents do not"
    yield Finding("git", "ok" if found else "warns", found or without)


def _packages() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("click", "msgspec", "PyYAML", "httpx2", "rich"):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "fails", f"not installed: pip install {name}")


def _settings() -> Iterator[Finding]:
    from weft.runtimes import registry

    try:
        place = project.find(Path.cwd())
        given = [name for name, setting in place.settings.items() if setting.origin != "default"]
        text = f"{', '.join(given)} set" if given else "all at default"
        yield Finding("settings", "ok", f"project {place.folder}; {text}")
    except (WeftError, OSError) as error:
        yield Finding("settings", "fails", str(error))
    registry.all_specs()
    for kind, reason in registry.broken().items():
        yield Finding("node kind", "warns", f"{kind}: {reason}")
