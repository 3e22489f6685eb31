# ruff: noqa: PTH123, PTH208, SIM105 - neither pathlib nor contextlib: each costs more than all the rest
"""What the kernel says of processes, and signals to them.

Imports next to nothing: it is part of the keeper's start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False  # `typing` is another import not worth its time
if TYPE_CHECKING:
    from typing import Any

MARKER = b"WEFT_JOB"
"""In every child's environment: `token.job`, after the inherited value and a slash when runs are nested."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LINUX = sys.platform == "linux"


def load_prctl() -> Any:
    """The C function, or None where there is none."""
    if not LINUX:
        return None
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None


# -- who is there ------------------------------------------------------------------------------------------------------


def direct_children(pid: int) -> list[int]:
    """Children of a single-threaded process, zombies included; empty where there is no /proc."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return [other for other in processes() if (stat_of(other) or (0,))[0] == pid]


def all_children(pid: int) -> list[int]:
    """Children of all threads of a process."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except OSError:
            continue
    return found


def processes() -> list[int]:
    """All that there are; none where there is no /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def stat_fields(pid: int) -> list[bytes]:
    """The fields of a process from its state on, none when it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def stat_of(pid: int) -> tuple[int, int, int, bytes] | None:
    """Parent, group, session and start time of a process."""
    fields = stat_fields(pid)
    return (int(fields[1]), int(fields[2]), int(fields[3]), fields[19]) if fields else None


# -- whose it is -------------------------------------------------------------------------------------------------------


def marks(pid: int) -> list[bytes] | None:
    """The jobs, outermost first, that a process says it belongs to; None when it has no environment at the moment.

    That is so in the middle of an exec and of an exit, when the kernel has taken one memory away and not yet given
    another. `env -i` is something else: an environment that is there and empty.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except PermissionError:
        return []
    except OSError:
        return None
    if not environment and stat_fields(pid)[47:48] in ([], [b"0"]):
        return None
    parts = marks_in(environment)
    return [b"/".join(parts[: end + 1]) for end in range(len(parts))]


def marks_in(environment: bytes) -> list[bytes]:
    """The marks that an environment carries, outermost first: `a.1` and `b.2` of `WEFT_JOB=a.1/b.2`."""
    for pair in environment.split(b"\0"):
        if pair.startswith(MARKER + b"="):
            return pair[len(MARKER) + 1 :].split(b"/")
    return []


# -- ending it ---------------------------------------------------------------------------------------------------------


def reaped(pid: int) -> bool:
    """Whether a child is dead; it is reaped by this."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def kill_group(pid: int, number: int) -> None:
    """Send a signal to the group that the process leads, if it is there and ours to signal."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill(pid: int) -> bool:
    """Send SIGKILL; whether that was possible."""
    try:
        os.kill(pid, _signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True
