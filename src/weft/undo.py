"""Ready-made ways to undo: what they need is data, so a run that was killed in the middle can be undone by another
process.

    @flow.task(compensate=weft.undo.restore_file("report.html"))       put back what stood there before the task
    @flow.task(compensate=weft.undo.delete_created("out.csv"))         delete it, if the task made it
    return weft.Compensated(process.pid, weft.undo.terminate(process)) end a process that the task started

The first two look at the file before the task acts, once, also if the task is tried again: what they restore is how
things were before the first attempt. All of them bear that there is nothing to undo.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from weft.errors import AttemptError, InputError

GRACE = 3.0
"""Seconds between TERM and KILL."""
Keep = Callable[[bytes], Any]
"""Keeps bytes beside the journal, and returns a reference as data."""
Load = Callable[[Any], bytes]


class Ready:
    """A way to undo. `as_data` names it, for `Compensated`; `prepare` looks before the task acts, for `compensate=`."""

    kind = ""

    def __init__(self, **data: Any) -> None:
        self._data = data

    def as_data(self) -> tuple[str, Mapping[str, Any]]:
        """Its name, and what it needs as JSON data."""
        return self.kind, self._data


class OfFile(Ready):
    """Undoes what a task does to one file. Paths are absolute from here on: the working folder may change."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path=str(Path(path).absolute()))

    def as_data(self) -> tuple[str, Mapping[str, Any]]:
        raise InputError(
            f"{self.kind} must look at the file before the task acts",
            hint=f"say so at the task: compensate=weft.undo.{self.kind}(path)",
        )


class RestoreFile(OfFile):
    """Puts a file back as it was, with its mode; one that was not there is deleted."""

    kind = "restore_file"

    def prepare(self, keep: Keep) -> Any:
        """How the file stands now. Raises OSError."""
        path = Path(self._data["path"])
        try:
            with path.open("rb") as file:
                content, mode = file.read(), os.fstat(file.fileno()).st_mode & 0o7777
        except FileNotFoundError:
            return {**self._data, "content": None}
        return {**self._data, "content": keep(content), "mode": mode}


class DeleteCreated(OfFile):
    """Deletes a file that was not there before the task; one that was stays as the task left it."""

    kind = "delete_created"

    def prepare(self, keep: Keep) -> Any:
        """Whether the file is there now."""
        return {**self._data, "existed": os.path.lexists(self._data["path"])}


class Terminate(Ready):
    """Ends a process with its group: TERM, and KILL after the grace. A process that is another by now is left alone."""

    kind = "terminate"


def restore_file(path: str | os.PathLike[str]) -> RestoreFile:
    """Put the file back as it was before the task."""
    return RestoreFile(path)


def delete_created(path: str | os.PathLike[str]) -> DeleteCreated:
    """Delete the file if the task made it."""
    return DeleteCreated(path)


def terminate(process: Any) -> Terminate:
    """End a process: a Popen, an asyncio process, or a pid. Raises InputError when it is none."""
    pid = getattr(process, "pid", process)
    if isinstance(pid, bool) or not isinstance(pid, int) or pid <= 1:
        raise InputError(f"{process!r} is no process", hint="pass what subprocess.Popen returned, or a pid")
    return Terminate(pid=pid, born=_born(pid), leader=_leads(pid))


# -- undoing ----------------------------------------------------------------------------------------------------------


def perform(kind: str, data: Any, load: Load) -> None:
    """Undo, in the way called `kind`. Blocking. Raises AttemptError, OSError."""
    way = _WAYS.get(kind)
    if way is None:
        raise AttemptError(f"there is no way to undo called {kind!r}", type="NoUndo", hint="a later version wrote it")
    if data is not None:  # nothing was prepared: the task never began to act
        way(data, load)


def _restore(data: Mapping[str, Any], load: Load) -> None:
    path = Path(data["path"])
    if data["content"] is None:
        path.unlink(missing_ok=True)
        return
    content = load(data["content"])
    beside = path.with_name(f".{path.name}.{os.getpid()}.undo")
    try:
        with beside.open("wb") as file:
            os.fchmod(file.fileno(), data["mode"])
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _delete(data: Mapping[str, Any], load: Load) -> None:
    if not data["existed"]:
        Path(data["path"]).unlink(missing_ok=True)


def _terminate(data: Mapping[str, Any], load: Load) -> None:
    pid = data["pid"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _gone(pid, data["born"]):
            return
        with suppress(ProcessLookupError):
            (os.killpg if data["leader"] else os.kill)(pid, number)
        until = time.monotonic() + GRACE
        while time.monotonic() < until and not _gone(pid, data["born"]):
            time.sleep(0.02)
    if not _gone(pid, data["born"]):
        raise AttemptError(f"process {pid} does not end", type="StillRunning", retryable=True)


_WAYS: Mapping[str, Callable[[Any, Load], None]] = {
    "restore_file": _restore,
    "delete_created": _delete,
    "terminate": _terminate,
}


def _born(pid: int) -> str:
    """When the process began, in ticks since the machine started; empty where that cannot be told."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _gone(pid: int, born: str) -> bool:
    """Not there, a zombie, or another process under the same number."""
    fields = _stat(pid)
    if fields:
        return fields[0] == "Z" or (bool(born) and fields[19] != born)
    if Path("/proc/self").exists():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name: the state first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _leads(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except OSError:
        return False
