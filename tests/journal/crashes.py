"""Runs as a crash leaves them, and what may be said of them after damage."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from weft.errors import JournalError
from weft.journal.contract import begin, ended, told
from weft.journal.sqlite import SqliteStore


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder whose syncs cost nothing, where the system has one; for proofs that open thousands of journals."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def crashed(store: SqliteStore, name: str, paths: str = "abc") -> Path:
    """The folder of a run whose owner died; all but its first event are only in the log.

    What a crash leaves is what a copy of the files of a living owner is.
    """
    journal = begin(store, name)
    for path in paths:
        journal.append([ended(path)])
    copy = journal.folder.with_name(f"copy-{name}")
    shutil.copytree(journal.folder, copy, ignore=shutil.ignore_patterns("*-shm", "owner.lock"))
    journal.close()
    shutil.rmtree(journal.folder)
    return copy.rename(journal.folder)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of the files that hold a run; not the index of the log, which SQLite makes anew."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and "-shm" not in path.name}


def restore(folder: Path, files: dict[str, bytes]) -> None:
    """Put the files back, and nothing else."""
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def verdict(store: SqliteStore, name: str) -> list[bytes] | str:
    """What a reader is told of a run: its events, or the refusal. Anything else is an error of ours."""
    try:
        reader = store.reader(name)
        try:
            return told(reader)
        finally:
            reader.close()
    except JournalError as error:
        return str(error)


def verdict_of_owner(store: SqliteStore, name: str) -> list[bytes] | str:
    """What an owner is told that opens the run, reads it, and goes on."""
    try:
        journal = store.open(name)
        try:
            before = told(journal)
            journal.append([ended("more")])
            assert told(journal)[:-1] == before
            return before
        finally:
            journal.close()
    except JournalError as error:
        return str(error)
