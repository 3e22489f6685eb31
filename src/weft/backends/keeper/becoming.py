# ruff: noqa: PTH118 - pathlib costs more than all the rest
"""From a fork of the keeper to the program that was asked for."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import os

from .processes import PR_SET_PDEATHSIG

TYPE_CHECKING = False  # `typing` is another import not worth its time
if TYPE_CHECKING:
    from typing import Any


class Order:
    """What a `spawn` asks for."""

    __slots__ = ("argv", "cwd", "environment", "targets")

    def __init__(self, fields: list[bytes]) -> None:
        count = int(fields[4])
        self.cwd = fields[2]
        self.targets = [int(target) for target in fields[3].split(b",")]
        self.argv = fields[5 : 5 + count]
        self.environment = dict(pair.split(b"=", 1) for pair in fields[5 + count :])


def become(order: Order, given: list[int], report: int, keeper: int, prctl: Any) -> None:
    """In the child: take on the job's session, signals, descriptors and folder, and run its program.

    `given` are the descriptors for the order's targets; every one of the keeper's is close-on-exec, so only 0, 1, 2
    and the targets are left. What goes wrong is written to `report` as a stage and an errno. Never returns.
    """
    stage = b"prepare"
    try:
        os.setsid()
        if prctl:
            prctl(PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
            if os.getppid() != keeper:
                os._exit(127)
        default_signals()
        top = max(order.targets) + 1
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, top)
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, top) for fd in given]
        for fd, target in zip(moved, order.targets):  # noqa: B905 - equal by construction
            os.dup2(fd, target)
        stage = b"cwd"
        os.chdir(order.cwd)
        stage = b"exec"
        execute(order.argv, order.environment)
    except OSError as error:
        os.write(report, b"%s %d" % (stage, error.errno or 0))
    except BaseException:  # a child of ours must never return into the keeper's loop
        os.write(report, b"%s 0" % stage)
    finally:
        os._exit(127)


def default_signals() -> None:
    for number in range(1, _signal.NSIG):
        if number in (_signal.SIGKILL, _signal.SIGSTOP):
            continue
        if _signal.getsignal(number) not in (None, _signal.SIG_DFL):
            _signal.signal(number, _signal.SIG_DFL)


def execute(argv: list[bytes], environment: dict[bytes, bytes]) -> None:
    """execve, with the search through the PATH that the program itself is given."""
    program = argv[0]
    if b"/" in program:
        os.execve(program, argv, environment)  # noqa: S606 - starting programs is what this is for
    denied = None
    for folder in environment.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        try:
            os.execve(os.path.join(folder or b".", program), argv, environment)  # noqa: S606 - as above
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            denied = error
    raise denied or FileNotFoundError(errno.ENOENT, "")
