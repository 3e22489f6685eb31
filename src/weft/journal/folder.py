"""Folders and files of runs: how they come into being whole, durable and private.

A name that is seen stands for a thing that is complete: files and folders are made under a temporary name
beside their place, made durable, and renamed. A rename is durable when the folder that holds the name is
(`sync_folder`). Folders are 0700 and files 0600 whatever the umask; nothing is made outside the place.

    .weft/
      .gitignore                    *
      history.db  blobs/            what outlives a run
      runs/<run id>/
        journal.db (-wal, -shm)     the events
        journal.tail                a witness of the last batch (tail.py)
        owner.lock  children.lock   who writes; whether children of a run's processes live (lock.py)
        blobs/ logs/ inbox/         large outputs, captured output, requests to the owner
        document.*                  what was run
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from weft.errors import CannotCreateError, DeniedError, JournalError, MachineError

JOURNAL = "journal.db"
TAIL = "journal.tail"
BLOBS = "blobs"
LOGS = "logs"
INBOX = "inbox"
TEMPORARY = ".tmp-"
_NETWORK = ("nfs", "cifs", "smb", "afs", "fuse.sshfs", "ncpfs", "beegfs", "lustre")
_DENIED = (errno.EACCES, errno.EPERM)


def make_place(root: Path) -> Path:
    """Make `root` (`.weft`) with its `.gitignore`; gives `root/runs`. Raises CannotCreateError or DeniedError."""
    runs = root / "runs"
    if runs.is_dir():
        return runs
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        if not root.is_dir():
            _mkdir(root)
            sync_folder(root.parent)
        if not (root / ".gitignore").exists():
            write_file(root / ".gitignore", b"*\n")
        if not runs.is_dir():
            _mkdir(runs)
            sync_folder(root)
    except OSError as error:
        raise cannot_create(root, error) from error
    refuse_network(root)
    return runs


def make_run(runs: Path, run_id: str, files: Mapping[str, bytes]) -> Path:
    """Make the folder of a new run under a temporary name, with its plain files. Raises OSError."""
    folder = runs / (TEMPORARY + run_id)
    folder.mkdir(mode=0o700)
    try:
        for name in (BLOBS, LOGS, INBOX):
            (folder / name).mkdir(mode=0o700)
        for name, data in files.items():
            write_file(folder / name, data)
    except BaseException:
        discard(folder)
        raise
    return folder


def publish(folder: Path, name: str) -> Path:
    """Give a finished folder its real name, durably. Raises OSError; FileExistsError when the name is taken."""
    final = folder.parent / name
    sync_folder(folder)
    if final.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    folder.rename(final)
    sync_folder(final.parent)
    return final


def write_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Make or replace a file as a whole: readers see the old bytes or the new ones. Raises OSError."""
    temporary = path.with_name(f"{TEMPORARY}{os.urandom(6).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(fd, data)
            if durable:
                sync(fd)
        finally:
            os.close(fd)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_all(fd: int, data: bytes) -> None:
    """`os.write` until nothing is left."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync(fd: int) -> None:
    """Make what was written durable. macOS needs another call for it, which not every file system has."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError:
            os.fsync(fd)
    else:
        os.fsync(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


def delete_tree(folder: Path) -> None:
    """Delete a folder of ours with all it holds. Raises OSError."""
    import shutil

    shutil.rmtree(folder)


def discard(folder: Path) -> None:
    """Delete a folder that came to nothing, as far as that goes: `sweep` comes by later."""
    with suppress(OSError):
        delete_tree(folder)


def cannot_create(path: Path, error: OSError) -> MachineError:
    """The error for a file or folder that could not be made."""
    kind = DeniedError if error.errno in _DENIED else CannotCreateError
    reason = error.strerror or str(error)
    return kind(
        f"cannot make {error.filename or path}: {reason.lower()}",
        hint="keep runs elsewhere (`--journal FOLDER`, journal=FOLDER), or in memory (`--journal none`, journal=None)",
    )


def cannot_use(path: Path, error: OSError) -> JournalError | DeniedError:
    """The error for a file of a run that could not be read or written."""
    kind = DeniedError if error.errno in _DENIED else JournalError
    return kind(f"cannot use {error.filename or path}: {(error.strerror or str(error)).lower()}")


def filesystem(path: Path, mounts: str = "/proc/self/mounts") -> str | None:
    """The type of the file system that holds `path` (`ext4`, `nfs4`); None where it cannot be told."""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - given as text
            lines = [line.split(" ") for line in file]
    except OSError:
        return None
    place = os.fspath(path.resolve())
    best: tuple[int, str] | None = None
    for line in lines:
        mount = line[1].replace("\\040", " ")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and (best is None or len(mount) >= best[0]):
            best = (len(mount), line[2])
    return best[1] if best else None


def refuse_network(path: Path, mounts: str = "/proc/self/mounts") -> None:
    """Raise CannotCreateError on a network file system: neither SQLite's WAL nor the owner's lock holds there."""
    kind = filesystem(path, mounts)
    if kind is not None and kind.startswith(_NETWORK):
        raise CannotCreateError(
            f"cannot keep runs in {path}: it is on a network file system ({kind}), whose locks cannot be relied on",
            hint="keep runs on a local disk with `--journal FOLDER`",
        )


def _mkdir(path: Path) -> None:
    """Another process may be making the same folder at this moment."""
    path.mkdir(mode=0o700, exist_ok=True)
