"""What went wrong, in words on standard error, and the exit code it means: one place for all commands."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weft.cli.terminal import Out, harmless, one_line
from weft.errors import (
    ChangedError,
    DocumentError,
    InternalError,
    WeftError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_USAGE = 64
EXIT_MISSING = 66
EXIT_INTERNAL = 70
EXIT_IO = 74
EXIT_DENIED = 77
EXIT_INTERRUPTED = 130
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def report(error: BaseException, err: Out) -> int:
    """Say what is wrong; the exit code. Nothing is raised, and no traceback is shown."""
    whole = error
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, click.UsageError):
        return _usage(error, err)
    if isinstance(error, WeftError) and not isinstance(error, InternalError):
        return _ours(error, err)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        say(err, "interrupted")
        return EXIT_INTERRUPTED
    if isinstance(error, click.ClickException):
        say(err, error.format_message())
        return EXIT_USAGE
    if isinstance(error, BrokenPipeError):
        return 0
    if isinstance(error, MemoryError):
        say(err, "out of memory", "give it less at once: fewer jobs, smaller outputs")
        return EXIT_IO
    if isinstance(error, OSError) and (error.errno in _MACHINE or isinstance(error, PermissionError)):
        where = f": {error.filename}" if error.filename else ""
        say(err, f"{(error.strerror or str(error)).lower()}{where}")
        return EXIT_DENIED if isinstance(error, PermissionError) else EXIT_IO
    if isinstance(error, FileNotFoundError) and _is_nowhere():
        say(err, "the working directory has been removed", "go to another one")
        return EXIT_MISSING
    return _bug(error, err, getattr(whole, "mask", str))


def _is_nowhere() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def say(err: Out, message: str, hint: str | None = None) -> None:
    """`weft: message`, and the next step."""
    err.line(f"weft: {harmless(message)}")
    if hint:
        err.line(f"hint: {harmless(hint)}")


def _ours(error: WeftError, err: Out) -> int:
    if isinstance(error, DocumentError):
        return _document(error, err)
    say(err, error.message)
    if isinstance(error, ChangedError):
        for change in error.changes:
            err.line(f"  {harmless(change)}")
    if error.hint:
        err.line(f"hint: {harmless(error.hint)}")
    return error.exit_code


def _document(error: DocumentError, err: Out) -> int:
    from weft.cli.diagnostics import show, summary

    show(error.diagnostics, getattr(error, "source", None), err)
    names = sorted({d.file for d in error.diagnostics})
    say(err, f"{', '.join(map(one_line, names))}: {summary(error.diagnostics)}")
    return error.exit_code


def _usage(error: click.UsageError, err: Out) -> int:
    if error.message.startswith("Usage:"):  # no command at all: its message is the help
        err.line(error.message)
        return EXIT_USAGE
    possible = list(getattr(error, "possibilities", None) or ())
    message = error.message if possible else error.format_message()
    hint = f"did you mean {' or '.join(possible)}?" if possible else None
    if hint is None and error.ctx is not None:
        hint = f"see `{error.ctx.command_path} --help`"
    say(err, message[:1].lower() + message[1:].rstrip("."), hint)
    return EXIT_USAGE


def _bug(error: BaseException, err: Out, mask: Callable[[str], str]) -> int:
    """A fault of ours. Its traceback goes to a file, with the run's secrets hidden: a message may quote data."""
    import traceback

    number = os.urandom(4).hex()
    text = mask("".join(traceback.format_exception(error)))
    what = error.message if isinstance(error, InternalError) else type(error).__name__
    try:
        where = _keep(number, text)
    except OSError:
        where = None
    message = f"internal error {number}, a bug of Weft's: {mask(what)}"
    say(err, message, f"please report it with {where}" if where else "please report it")
    return EXIT_INTERNAL


def _keep(number: str, text: str) -> str:
    """Write the traceback where only the user can read it; gives the file's name. Raises OSError."""
    import tempfile

    fd, name = tempfile.mkstemp(prefix=f"weft-{number}-", suffix=".txt")
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return name
