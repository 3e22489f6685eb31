"""Rows read from their file one by one: what stands behind a `FileRows` or a `FileList`.

A reader keeps the file's place of every 1,024th row it has passed, so going on costs nothing, going back a
scan of at most that many rows, and a million rows 8 KB. The file is compared with what was promised (size and
time of change, else the whole digest) when it is opened, at every mark and at the end: rows of two versions
are never mixed in silence.
"""

from __future__ import annotations

import csv
import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from weft.errors import AttemptError
from weft.runtimes.base import FileList, FileRows, Reference, Rows, World
from weft.runtimes.failures import MAX_BYTES, file_error, too_large
from weft.runtimes.formats import as_text, csv_header, csv_records, csv_row, format_of, json_row, parse
from weft.runtimes.paths import open_file, relative_name
from weft.values import decode

STEP = 1024
_BOM = b"\xef\xbb\xbf"


class LineSource:
    """The rows of an open file as raw records, with the offset behind the one last taken.

    With `checked` every row is known to be right (the digest says so), and is read without asking again.
    A record is the line's bytes (`lines`, `jsonl`) or its fields (`csv`). `line` counts the lines passed
    since the last `seek`, plus what was passed before it.
    """

    __slots__ = ("_checked", "_file", "_format", "_header", "line", "offset", "what")

    def __init__(self, file: BinaryIO, form: str, what: str, *, checked: bool = False) -> None:
        self._checked = checked
        self._file = file
        self._format = form
        self.what = what
        self.offset = 0
        self.line = 0
        self._header: list[str] | None = None
        if file.read(3) == _BOM:
            self.offset = 3
        file.seek(self.offset)
        if form == "csv":
            first = next(self._csv_fields(), None)
            self._header = None if first is None else csv_header(first, what)

    def seek(self, offset: int, line: int) -> None:
        """Go on at a place where a record begins."""
        self._file.seek(offset)
        self.offset = offset
        self.line = line

    def records(self) -> Iterator[Any]:
        """The records from here on."""
        self._file.seek(self.offset)
        return self._csv_fields() if self._format == "csv" else self._lines()

    def value(self, record: Any) -> Any:
        """The row that a record stands for. Raises AttemptError (`FormatError`)."""
        if self._checked and self._format == "jsonl":
            return decode(record)
        if self._format == "csv":
            assert self._header is not None
            return csv_row(self._header, record, self.line, self.what)
        text = as_text(record, f"{self.what}, line {self.line}", self.offset - len(record))
        text = text.removesuffix("\n").removesuffix("\r")
        return text if self._format == "lines" else json_row(text, self.line, self.what)

    def _lines(self) -> Iterator[bytes]:
        blank_counts = self._format == "lines"
        for line in self._raw():
            if blank_counts or not line.isspace():
                yield line

    def _csv_fields(self) -> Iterator[list[str]]:
        pieces = (piece for line in self._raw() for piece in self._split(line))
        return csv_records(csv.reader(pieces, strict=True), self.what)

    def _split(self, line: bytes) -> Iterator[str]:
        if b"\r" not in line or line.find(b"\r") == len(line) - 2:
            yield as_text(line, f"{self.what}, line {self.line}", self.offset - len(line))
            return
        behind, first = self.offset, self.line
        self.offset -= len(line)
        for number, piece in enumerate(line.splitlines(keepends=True)):
            self.offset += len(piece)
            self.line = first + number
            yield as_text(piece, f"{self.what}, line {self.line}", self.offset - len(piece))
        self.offset = behind

    def _raw(self) -> Iterator[bytes]:
        while line := self._file.readline(MAX_BYTES + 1):
            if len(line) > MAX_BYTES:
                raise too_large(f"{self.what}, line {self.line + 1}")
            self.offset += len(line)
            self.line += 1
            yield line


class FileRowReader(Sequence[Any]):
    """The rows of a `FileRows`. Not for several threads at once."""

    __slots__ = ("_count", "_file", "_lines", "_marks", "_next", "_records", "_reference", "_source")

    def __init__(self, reference: FileRows, file: BinaryIO) -> None:
        self._reference = reference
        self._file = file
        self._count = reference.count
        self._source = LineSource(file, reference.format, repr(reference.path), checked=True)
        self._marks = array("Q", [self._source.offset])
        self._lines = array("Q", [self._source.line])
        self._next = 0
        self._records = self._source.records()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        if index < 0:
            index += self._count
        self._go_to(index)
        return self._source.value(self._take())

    def __iter__(self) -> Iterator[Any]:
        for index in range(self._count):
            self._go_to(index)  # nothing, unless somebody has looked elsewhere meanwhile
            yield self._source.value(self._take())
        self.check()

    def close(self) -> None:
        self._file.close()

    def _go_to(self, index: int) -> None:
        mark = min(index // STEP, len(self._marks) - 1)
        if index < self._next or mark * STEP > self._next:
            self._source.seek(self._marks[mark], self._lines[mark])
            self._records = self._source.records()
            self._next = mark * STEP
        while self._next < index:
            self._take()

    def _take(self) -> Any:
        if self._next % STEP == 0:
            self._mark()
        record = next(self._records, None)
        if record is None:
            raise changed(self._reference.path)
        self._next += 1
        return record

    def _mark(self) -> None:
        self.check()
        if self._next // STEP == len(self._marks):
            self._marks.append(self._source.offset)
            self._lines.append(self._source.line)

    def check(self) -> None:
        """Raise AttemptError (`ChangedFileError`) when the file is no longer the one that was promised."""
        status = os.fstat(self._file.fileno())
        if (status.st_size, status.st_mtime_ns) == (self._reference.size, self._reference.mtime_ns):
            return
        if status.st_size != self._reference.size or _digest_of(self._file) != self._reference.digest:
            raise changed(self._reference.path)
        self._reference = FileRows(
            self._reference.path,
            self._reference.size,
            self._reference.digest,
            self._reference.format,
            self._reference.count,
            status.st_mtime_ns,
        )


class FileListReader(Sequence[Any]):
    """The files of a `FileList` with their contents."""

    __slots__ = ("_list", "_world")

    def __init__(self, files: FileList, world: World) -> None:
        self._list = files
        self._world = world

    def __len__(self) -> int:
        return len(self._list.entries)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        entry = self._list.entries[index]
        where = os.path.join(self._list.folder, entry.path)  # noqa: PTH118 - text, cleaned where it is opened
        content = read_value(self._world, where, self._list.format, shown=entry.path, size=entry.size)
        return {"path": entry.path, "name": entry.name, "size": entry.size, "content": content}

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):
            yield self[index]

    def close(self) -> None:
        """Nothing is held open between two files."""


def open_rows(reference: Reference, world: World) -> Rows:
    """The list that a reference stands for, to be closed after use: the rows of a file, or the files of a list as
    `{path, name, size, content}`, each read when asked for.

    Raises AttemptError when a file cannot be opened or is no longer the one that was read.
    """
    return open_file_rows(reference, world) if isinstance(reference, FileRows) else FileListReader(reference, world)


def open_file_rows(reference: FileRows, world: World) -> FileRowReader:
    """The rows of `reference`. Raises AttemptError when the file cannot be opened or has changed."""
    where = os.path.join(world.project, reference.path)  # noqa: PTH118 - text, cleaned where it is opened
    descriptor, _ = open_file(world, where)
    file = os.fdopen(descriptor, "rb", buffering=1 << 16)
    try:
        reader = FileRowReader(reference, file)
        reader.check()
        return reader
    except BaseException:
        file.close()
        raise


def scan(world: World, text: str, form: str) -> FileRows:
    """The reference to the rows of the file `text`, every one of which was read and found right."""
    descriptor, path = open_file(world, text)
    try:
        with os.fdopen(descriptor, "rb", buffering=1 << 16) as file:
            before = os.fstat(descriptor)
            digest = _digest_of(file)
            file.seek(0)
            source = LineSource(file, form, repr(text))
            count = 0
            for record in source.records():
                source.value(record)
                count += 1
            after = os.fstat(descriptor)
    except OSError as error:
        raise file_error(error, text, "read") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed(text)
    name = relative_name(world, path, world.project)
    return FileRows(name, after.st_size, digest, form, count, after.st_mtime_ns)


def read_value(world: World, text: str, form: str, *, shown: str | None = None, size: int | None = None) -> Any:
    """The data of a whole file. `size`: what it must still have. Raises AttemptError."""
    shown = shown or text
    data = read_open(open_file(world, text)[0], shown)
    if size is not None and len(data) != size:
        raise changed(shown)
    return parse(as_text(data, repr(shown)), format_of(shown, form), repr(shown))


def read_open(descriptor: int, shown: str) -> bytes:
    """The bytes of a whole file, which is closed. Raises AttemptError, also for one that is too large."""
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if os.fstat(descriptor).st_size > MAX_BYTES:
                raise _too_large_file(shown)
            data = bytearray()
            while chunk := file.read(min(1 << 20, MAX_BYTES + 1 - len(data))):
                data += chunk
            if len(data) > MAX_BYTES:
                raise _too_large_file(shown)
            return bytes(data)
    except OSError as error:
        raise file_error(error, shown, "read") from None


def changed(shown: str) -> AttemptError:
    """The error for a file that is no longer what was read."""
    return AttemptError(
        f"the file {shown!r} has changed since it was read",
        type="ChangedFileError",
        hint="run the node that reads it again, with a file that nobody writes to meanwhile",
    )


def _too_large_file(text: str) -> AttemptError:
    return too_large(repr(text), hint="as lines, jsonl or csv, read by a foreach, it is streamed")


def _digest_of(file: BinaryIO) -> str:
    """The sha256 of the whole file; its position afterwards is where it was."""
    position = file.tell()
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    file.seek(position)
    return digest.hexdigest()
