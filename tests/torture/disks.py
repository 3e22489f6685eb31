"""A model of a disk that loses power: what was written is certain only after it was synced.

`record` runs a program under strace and gives its writes as a list of operations. `Disk` replays them. At
any moment `states` gives what the disk may hold if the power fails then: everything synced, and of the rest
nothing, all, each prefix, only one file's part, a random part, or all with the last write torn. A name is
certain after its folder was synced, bytes after their file was."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

CALLS = "openat,close,write,pwrite64,ftruncate,fsync,fdatasync,unlink,rename,mkdir"
_LINE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_SECTOR = 512


class Operation(NamedTuple):
    """`name` is `make`, `folder`, `write`, `cut`, `sync`, `sync folder`, `unlink`, `rename` or `say`."""

    name: str
    path: str
    offset: int = 0
    data: bytes = b""
    to: str = ""


def why_no_trace() -> str | None:
    """Why programs cannot be traced here; None if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "strace is not allowed to trace here"


def record(command: list[str], root: Path, scratch: Path) -> list[Operation]:
    """Run a command that must succeed; what it did below `root`, and what it said."""
    log = scratch / "trace"
    traced = ["strace", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o", str(log), *command]
    subprocess.run(traced, check=True, capture_output=True)
    files: dict[int, list[object]] = {}
    found = []
    for line in log.read_text("ascii").splitlines():
        match = _LINE.match(line)
        if match and int(match[3]) >= 0:
            operation = _operation(match[1], match[2], int(match[3]), files)
            if operation and (operation.name == "say" or _counts(operation.path, root)):
                found.append(operation)
    return found


def _counts(path: str, root: Path) -> bool:
    """The index of SQLite's log is memory that processes share; whoever comes first makes it anew."""
    return path.startswith(str(root)) and not path.endswith("-shm")


def _operation(call: str, arguments: str, result: int, files: dict[int, list[object]]) -> Operation | None:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
    if call in ("unlink", "mkdir"):
        return Operation("folder" if call == "mkdir" else call, texts[0].decode())
    if call == "rename":
        old, new = (text.decode() for text in texts)
        for file in files.values():
            if str(file[0]).startswith(old + "/"):
                file[0] = new + str(file[0])[len(old) :]
        return Operation(call, old, to=new)
    if call == "openat":
        path = texts[0].decode()
        files[result] = [path, 0, "O_DIRECTORY" in arguments or Path(path).is_dir()]
        return Operation("make", path) if "O_CREAT" in arguments else None
    number = int(arguments.split(",")[0].rstrip(")"))
    if call == "write" and number == 1:
        return Operation("say", "", data=texts[0])
    if call == "close":
        files.pop(number, None)
    return _on_file(call, arguments, texts, files[number]) if number in files else None


def _on_file(call: str, arguments: str, texts: list[bytes], file: list[object]) -> Operation | None:
    path, offset, folder = str(file[0]), file[1], file[2]
    assert isinstance(offset, int)
    last = int(arguments.rsplit(",", 1)[-1]) if "," in arguments else 0
    if call == "pwrite64":
        return Operation("write", path, last, texts[0])
    if call == "write":
        file[1] = offset + len(texts[0])
        return Operation("write", path, offset, texts[0])
    if call == "ftruncate":
        return Operation("cut", path, last)
    if call in ("fsync", "fdatasync"):
        return Operation("sync folder" if folder else "sync", path)
    return None


class File:
    """The bytes of a file, or a folder, that are certain. Names come and go without it."""

    def __init__(self) -> None:
        self.data = b""


class Change(NamedTuple):
    """Something not certain yet: bytes of `file`, or (with `folder`) a name in a folder, of `file` if it was made."""

    operation: Operation
    file: File | None
    folder: str = ""


class Disk:
    """The names that the program sees, the names and bytes that are certain, and what is pending, in order."""

    def __init__(self, root: Path, chance: random.Random, samples: int) -> None:
        self._root = str(root)
        self._chance = chance
        self._samples = samples
        self._names: dict[str, File] = {}
        self._kept: dict[str, File] = {}
        self._pending: list[Change] = []

    def do(self, operation: Operation) -> None:
        """Replay one operation of the program."""
        name, path = operation.name, operation.path
        parent = path.rpartition("/")[0]
        if name == "sync":
            self._settle(lambda change: not change.folder and change.file is self._names[path])
        elif name == "sync folder":
            self._settle(lambda change: change.folder == path)
        elif name in ("write", "cut"):
            self._pending.append(Change(operation, self._names[path]))
        elif name in ("unlink", "rename") or path not in self._names:
            change = Change(operation, File() if name in ("make", "folder") else None, parent)
            self._pending.append(change)
            _rename(self._names, change)

    def states(self) -> Iterator[dict[str, bytes]]:
        """What the disk may hold if the power fails now: path below the root, and bytes."""
        pending = self._pending
        yield self._after(pending)
        if not pending:
            return
        yield self._after([])
        lengths = range(1, len(pending))
        for length in lengths if len(lengths) <= 12 else self._chance.sample(lengths, 12):
            yield self._after(pending[:length])
        files = {id(change.file): change.file for change in pending if not change.folder}
        for file in files.values():
            yield self._after([change for change in pending if change.file is file])
            yield self._after([change for change in pending if change.file is not file])
        for _ in range(self._samples):
            yield self._after([change for change in pending if self._chance.random() < 0.5])
        yield from self._torn(pending)

    def _torn(self, pending: list[Change]) -> Iterator[dict[str, bytes]]:
        """The last write reached the disk only in its first, or only in its last sectors."""
        last = pending[-1]
        if last.operation.name != "write":
            return
        data = last.operation.data
        sectors = len(data) // _SECTOR
        middle = self._chance.randint(0, sectors) * _SECTOR or len(data) // 2
        offset = last.operation.offset
        for start, part in ((offset, data[:middle]), (offset + middle, data[middle:])):
            torn = last._replace(operation=last.operation._replace(offset=start, data=part))
            yield self._after([*pending[:-1], torn])

    def _settle(self, certain: Callable[[Change], bool]) -> None:
        rest = []
        for change in self._pending:
            if not certain(change):
                rest.append(change)
            elif change.folder:
                _rename(self._kept, change)
            elif change.file is not None:
                change.file.data = _written(change.file.data, change.operation)
        self._pending = rest

    def _after(self, changes: list[Change]) -> dict[str, bytes]:
        names = dict(self._kept)
        data: dict[int, bytes] = {}
        for change in changes:
            if change.folder:
                _rename(names, change)
            elif change.file is not None:
                before = data.get(id(change.file), change.file.data)
                data[id(change.file)] = _written(before, change.operation)
        found = {}
        for path, file in names.items():
            inner = path[len(self._root) + 1 :]
            parts = inner.split("/")
            parents = ["/".join([self._root, *parts[:count]]) for count in range(1, len(parts))]
            if all(parent in names for parent in parents):
                found[inner] = data.get(id(file), file.data)
        return found


def _rename(names: dict[str, File], change: Change) -> None:
    name, path, _, _, to = change.operation
    if change.file is not None:
        names[path] = change.file
    elif name == "unlink":
        names.pop(path, None)
    else:
        for old in [old for old in names if old == path or old.startswith(path + "/")]:
            names[to + old[len(path) :]] = names.pop(old)


def _written(data: bytes, operation: Operation) -> bytes:
    end = operation.offset
    if operation.name == "cut":
        return data[:end].ljust(end, b"\0")
    return data[:end].ljust(end, b"\0") + operation.data + data[end + len(operation.data) :]
