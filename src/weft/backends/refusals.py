"""Why a process cannot be started: found before the system is asked where it can be, and in words where it cannot."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from weft.errors import AttemptError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_STRING = 128 * 1024 - 1
"""Bytes of one argument or `NAME=value` that Linux's execve takes (MAX_ARG_STRLEN less its NUL)."""


def as_bytes(field: object) -> bytes:
    return field if isinstance(field, bytes) else os.fsencode(str(field))


def refuse_nul(text: bytes, what: str) -> None:
    if b"\0" in text:
        raise AttemptError(f"{what} has a NUL byte in it", type="BadArgument", hint="no program can be given one")


def checked_arguments(argv: Sequence[str | bytes]) -> list[bytes]:
    """The arguments as bytes. Raises AttemptError for an empty list, a NUL, or one that is too large."""
    words = [as_bytes(word) for word in argv]
    if not words or not words[0]:
        raise AttemptError("there is no command to run: its first word is missing", type="BadArgument")
    for index, word in enumerate(words):
        refuse_nul(word, f"argument {index} of the command")
        if len(word) > MAX_STRING:
            raise AttemptError(
                f"argument {index} of the command has {len(word):,} bytes; the system takes {MAX_STRING:,}",
                type="TooBig",
                hint="give it on stdin, or write it to a file and pass the file's name",
            )
    return words


def checked_environment(env: Mapping[str, str]) -> list[bytes]:
    """The environment as `NAME=value`. Raises AttemptError for a name or value that execve cannot take."""
    pairs = []
    for name, value in env.items():
        if not name or "=" in name:
            raise AttemptError(f"{name!r} cannot be the name of an environment variable", type="BadArgument")
        pair = as_bytes(name) + b"=" + as_bytes(value)
        refuse_nul(pair, f"the environment variable {name}")
        if len(pair) > MAX_STRING:
            raise AttemptError(
                f"the environment variable {name} has {len(pair):,} bytes; the system takes {MAX_STRING:,}",
                type="TooBig",
                hint="give it on stdin, or write it to a file and pass the file's name",
            )
        pairs.append(pair)
    return pairs


class Refusal(AttemptError):
    """What the keeper said; `explain` turns it into words for the user."""

    def __init__(self, stage: str, number: int) -> None:
        super().__init__(f"{stage}: {os.strerror(number)}", type="Refused")
        self.stage = stage
        self.number = number


def no_resources(wish: str, error: OSError) -> AttemptError:
    """An AttemptError for a system that is out of descriptors, processes or memory."""
    return AttemptError(
        f"cannot {wish}: {(error.strerror or str(error)).lower()}",
        type="Resources",
        retryable=True,
        hint="lower `jobs`, or raise the limit (`ulimit -n` for open files, `ulimit -u` for processes)",
    )


def is_shortage(error: OSError) -> bool:
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS)


def explain(
    error: AttemptError, words: Sequence[bytes], environment: Sequence[bytes], cwd: Path | str, env: Mapping[str, str]
) -> AttemptError:
    """The refusal of the system in words: what, where, and what to do."""
    if not isinstance(error, Refusal):
        return error
    program, reason = os.fsdecode(words[0]), os.strerror(error.number).lower()
    system = OSError(error.number, os.strerror(error.number))
    if error.stage == "cwd":
        return AttemptError(f"cannot run in {os.fspath(cwd)!r}: {reason}", type="BadFolder")
    if is_shortage(system) or error.stage in ("fork", "descriptors"):
        return no_resources(f"start {program!r}", system)
    if error.number == errno.E2BIG:
        size = sum(len(word) + 1 for word in (*words, *environment))
        return AttemptError(
            f"the arguments and environment of {program!r} have {size:,} bytes together, more than the system takes",
            type="TooBig",
            hint="give large values on stdin or in a file",
        )
    if error.number == errno.ENOENT:
        return not_found(program, cwd, env)
    if error.number in (errno.EACCES, errno.ENOEXEC):
        hint = f"chmod +x {program}" if error.number == errno.EACCES else "does its first line begin with #!"
        return AttemptError(f"{program!r} cannot be executed: {reason}", type="NotExecutable", hint=hint)
    return AttemptError(f"cannot start {program!r}: {reason}", type="CannotStart")


def not_found(program: str, cwd: Path | str, env: Mapping[str, str]) -> AttemptError:
    """ENOENT has three causes: no such file, none in the PATH, or a `#!` line that names a program that is missing."""
    if "/" not in program:
        path = env.get("PATH", os.defpath)
        return AttemptError(
            f"there is no program {program!r}", type="CommandNotFound", hint=f"searched in PATH: {path}"
        )
    if (Path(cwd) / program).exists():
        return AttemptError(
            f"{program!r} cannot be executed: the interpreter in its first line does not exist", type="NotExecutable"
        )
    return AttemptError(f"there is no program {program!r}", type="CommandNotFound", hint=f"seen from {os.fspath(cwd)}")
