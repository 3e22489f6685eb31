"""A text with a name and lines, how it is read from the world, and the messages that point into it.

Everything that reads a document speaks of *offsets*: characters of `Source.text`. Whoever cuts a piece out of the
document and changes it on the way (dedents it, decodes an entity, unwraps a fence) hands on a `Text`, which can say
for each of its own characters where it stood. So an expression inside a template inside an attribute still gets its
caret under the right column, and none of the layers in between has to know of any other.

A document whose lines all end with CRLF, or all with a lone CR, is read as if they ended with LF: a shell script in
a checkout made on Windows must not end its words with a CR. Lines and columns stay those of the file, as a line's end
has no column. A document with mixed line ends is kept as it is, byte for byte: there the CR may be meant.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import Literal

import msgspec

from weft.errors import DeniedError, DocumentError, MachineError, NotFoundError, nearest

MAX_DOCUMENT = 2 * 1024 * 1024
"""Bytes a document may have."""

Severity = Literal["error", "warning"]


class Diagnostic(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message about one place. Lines and columns count from 1; the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    severity: Severity
    message: str
    hint: str | None = None


class Source:
    """A document's text, decoded and with its line starts.

    Offsets are in characters of `text`. A line ends with LF, CRLF or a lone CR (U+2028 and NEL do not end one).
    `shadow` is the text with every line end written as LF, of the same length: what scanners search, so that
    none of them has to think of CR. Values are cut from `text`.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.shadow = text if "\r" not in text else text.replace("\r\n", " \n").replace("\r", "\n")
        self._starts = _line_starts(self.shadow)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of a character offset."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of line `number` (from 1), without its end."""
        start = self._starts[number - 1]
        stop = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:stop].rstrip("\r\n")

    def line_of(self, offset: int) -> int:
        """The line number, from 1, of a character offset."""
        return self.position(offset)[0]

    def diagnostic(
        self,
        code: str,
        message: str,
        start: int,
        end: int | None = None,
        *,
        hint: str | None = None,
        severity: Severity = "error",
    ) -> Diagnostic:
        """A diagnostic for the characters from `start` to `end` (one character when `end` is not given)."""
        line, column = self.position(start)
        end_line, end_column = self.position(start + 1 if end is None else max(end, start))
        hint = None if hint is None else harmless(hint)
        return Diagnostic(self.name, line, column, end_line, end_column, code, severity, harmless(message), hint)


def harmless(text: str) -> str:
    """The text for a message: what a document says must not steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class Text(msgspec.Struct, frozen=True):
    """A value that was cut out of a Source, and where each of its characters stood.

    `start` and `end` are the offsets of what was cut, before anything was taken off. `starts` and `places` are
    pieces, in order: from character `starts[k]` of the value on, the characters stand at `places[k]` and after.
    Without pieces the value stands at `start` unchanged. When `exact` is false (a folded YAML text, say) every
    character is said to stand at `start`. `key` is where its name stands (the attribute, the child tag), or -1;
    `language` is the info word of the fence that was taken off, "" for a fence without one, None without a fence.
    """

    value: str
    start: int
    end: int
    starts: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    key: int = -1
    language: str | None = None
    exact: bool = True

    def at(self, index: int) -> int:
        """The offset in the Source of character `index` of the value."""
        if not self.exact:
            return self.start
        if not self.starts:
            return self.start + index
        piece = max(bisect_right(self.starts, index) - 1, 0)
        return self.places[piece] + index - self.starts[piece]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The offsets in the Source of the value's characters from `start` to `end`."""
        if not self.exact:
            return self.start, self.end
        at = self.at(start)
        return at, max(self.at(end - 1) + 1, at) if end > start else at + 1


def _line_starts(shadow: str) -> array[int]:
    """The offset of each line, 8 bytes for one: data of many short lines is read through here, too."""
    starts = array("q", [0])
    find = shadow.find
    at = find("\n")
    while at >= 0:
        starts.append(at + 1)
        at = find("\n", at + 1)
    return starts


# -- reading -------------------------------------------------------------------------------------


def read_source(path: str | Path, limit: int = MAX_DOCUMENT) -> Source:
    """The document at `path`.

    Only a regular file of at most `limit` bytes is read; a larger one is refused before anything of it is. Raises
    NotFoundError (missing, or a folder), DeniedError, MachineError (the disk), DocumentError (everything about its
    content, with one diagnostic).
    """
    name = os.fspath(path)
    try:
        # O_NONBLOCK: opening a fifo that nobody writes to must not wait.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check_kind(name, os.fstat(handle), limit)
            data = _read(handle, limit + 1)
        finally:
            os.close(handle)
    except PermissionError as error:
        raise DeniedError(f"no permission to read {quoted(name)}", hint="check the file's permissions") from error
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFoundError(f"there is no file {quoted(name)}", hint=_neighbour(Path(name))) from error
    except OSError as error:
        raise MachineError(f"cannot read {quoted(name)}: {error.strerror or error}") from error
    return decode(name, data, limit)


def _read(handle: int, most: int) -> bytes:
    """At most `most` bytes: a file may have grown since its size was looked at, and some have none."""
    pieces = []
    while most > 0 and (piece := os.read(handle, most)):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _check_kind(name: str, status: os.stat_result, limit: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise NotFoundError(f"{quoted(name)} is a folder, not a document", hint="name a file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(name, "WEFT105", "this is a device, a pipe or a socket, not a regular file", "", None)
    if status.st_size > limit:
        raise _too_large(name, status.st_size, limit)


def _neighbour(path: Path) -> str | None:
    try:
        close = nearest(path.name, sorted(entry.name for entry in path.parent.iterdir())[:1000])
    except (OSError, ValueError):
        return None
    return f"did you mean {quoted(str(path.with_name(close[0])))}?" if close else None


def decode(name: str, data: bytes, limit: int = MAX_DOCUMENT) -> Source:
    """The Source of a document's bytes. Raises DocumentError, with the byte offset of what cannot be read."""
    if len(data) > limit:
        raise _too_large(name, len(data), limit)
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        hint = "save the document as UTF-8"
        raise _refusal(name, "WEFT102", "the document is UTF-16 or UTF-32 (byte order mark at byte 0)", "", hint)
    mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        text = data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = mark + error.start
        message = f"the document is not UTF-8: byte 0x{data[at]:02x} at byte offset {at}"
        before = data[mark:at].decode("utf-8")
        raise _refusal(name, "WEFT101", message, before, "save the document as UTF-8") from None
    nul = text.find("\0")
    if nul >= 0:
        offset = data.find(b"\0")
        message = f"the document has a NUL byte at byte offset {offset}"
        raise _refusal(name, "WEFT103", message, text[:nul], "is this a text file?")
    return Source(name, _one_line_end(text))


def _one_line_end(text: str) -> str:
    """The text with LF as its line ends if all of its line ends are the same, else the text itself."""
    returns = text.count("\r")
    if not returns:
        return text
    feeds = text.count("\n")
    if not feeds:
        return text.replace("\r", "\n")
    if feeds == returns == text.count("\r\n"):
        return text.replace("\r\n", "\n")
    return text


def _too_large(name: str, size: int, limit: int) -> DocumentError:
    message = f"the document has {size:,} bytes; the limit is {limit:,}"
    return _refusal(name, "WEFT104", message, "", "put data into files of its own and read them with a node")


def _refusal(name: str, code: str, message: str, before: str, hint: str | None) -> DocumentError:
    source = Source(name, before + " ")
    return DocumentError([source.diagnostic(code, message, len(before), hint=hint)])


# -- showing -------------------------------------------------------------------------------------


def quoted(text: str, width: int = 60) -> str:
    """Text from outside as a message shows it: in quotes, shortened, without control and bidi characters."""
    shown = text if len(text) <= width else text[: width - 1] + "…"
    return "'" + "".join(c if c.isprintable() else "\ufffd" for c in shown) + "'"


def render(diagnostic: Diagnostic, source: Source | None) -> str:
    """The message as people read it: `file:line:col: error CODE: message`, the line, a caret, the hint."""
    d = diagnostic
    out = [f"{d.file}:{d.line}:{d.column}: {d.severity} {d.code}: {d.message}"]
    if source is not None:
        shown, caret = _caret(source.line(d.line), d)
        out += [f"    {shown}", f"    {caret}"]
    if d.hint:
        out.append(f"    hint: {d.hint}")
    return "\n".join(out)


def _caret(line: str, d: Diagnostic, width: int = 96) -> tuple[str, str]:
    """The part of the line around the place, with control characters made harmless, and its underline."""
    column = d.column - 1
    stop = d.end_column - 1 if d.end_line == d.line else len(line)
    left = 0 if column < width - 16 else column - width // 2
    shown = line[left : left + width]
    shown = "".join(c if c.isprintable() else " " for c in shown)
    length = max(1, min(stop, left + width) - column)
    return shown.rstrip(), " " * (column - left) + "^" + "~" * (length - 1)
