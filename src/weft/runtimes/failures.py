"""What the operating system and the data say, in the words of an `AttemptError`.

Types: `NotFoundError`, `PathError` (not allowed), `PermissionError`, `StorageFullError`, `FileError`,
`SizeError`, `FormatError`, `ChangedFileError`, `ValidationError`. Only running out of descriptors or
processes is worth another try: the rest would fail again in the same way.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from weft.errors import AttemptError

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of a file, a response or a row that are held in memory at once."""

_MISSING = {errno.ENOENT, errno.ENOTDIR}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BUSY = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}


class CommandFailed(AttemptError):
    """A command ended otherwise than expected; `code` (None: killed) and `stderr` belong on the node's
    record.
    """

    def __init__(self, message: str, *, status: int, code: int | None, stderr: str) -> None:
        super().__init__(message, type="CommandError", status=status, retryable=True)
        self.code = code
        self.stderr = stderr


class GitError(AttemptError):
    """Git, or the state of a repository, refuses. `files` are relative to the top of the work tree.

    Types: `GitError`, `NotARepository`, `NoCommits`, `Detached`, `Unfinished`, `DirtyTree`, `Conflict`, `Locked`,
    `Missing`, `Unsupported`, `Nested`, `NoIdentity`.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str = "GitError",  # noqa: A002 - the field's name in ErrorData
        files: Sequence[str] = (),
        hint: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message, type=type, hint=hint, retryable=retryable)
        self.files = tuple(files)


def file_error(error: OSError, shown: str, doing: str) -> AttemptError:
    """`error`, met while `doing` (`read`, `write`) the file the user knows as `shown`."""
    code = error.errno
    reason = error.strerror or str(error)
    message = f"cannot {doing} {shortened(shown)!r}: {reason[:1].lower()}{reason[1:]}"
    if code in _MISSING:
        return AttemptError(message, type="NotFoundError", hint="paths are relative to the document's folder")
    if code in _DENIED:
        return AttemptError(message, type="PermissionError")
    if code in _FULL:
        return AttemptError(message, type="StorageFullError", hint="make room, then resume the run")
    return AttemptError(message, type="FileError", retryable=code in _BUSY)


def too_large(what: str, limit: int = MAX_BYTES, hint: str | None = None) -> AttemptError:
    """`what` is larger than what is held in memory."""
    return AttemptError(f"{what} is larger than {size_text(limit)}", type="SizeError", hint=hint)


def bad_format(message: str, hint: str | None = None) -> AttemptError:
    """Data is not what its format says."""
    return AttemptError(message, type="FormatError", hint=hint)


def bad_setting(name: str, message: str, hint: str | None = None) -> AttemptError:
    """The value that a setting got at run time does not fit."""
    return AttemptError(f"setting {name!r}: {message}", type="ValidationError", hint=hint)


def shortened(text: str) -> str:
    """A path for messages: its beginning and its end when it is long."""
    return text if len(text) <= 120 else text[:60] + "…" + text[-50:]


def size_text(count: int) -> str:
    """A number of bytes for people."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            number = count / size
            return f"{number:.0f} {unit}" if number == int(number) else f"{number:.1f} {unit}"
    return f"{count} bytes"
