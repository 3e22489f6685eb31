"""`source:file`, `source:files`, `sink:file`: data from files and into files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

from weft.errors import AttemptError
from weft.kinds import KindSpec, Setting
from weft.runtimes.base import AttemptContext, FileList, FileRows
from weft.runtimes.failures import bad_setting, file_error
from weft.runtimes.formats import (
    FORMATS,
    ROWS,
    as_rows,
    as_text,
    columns_of,
    csv_header,
    csv_line,
    csv_records,
    format_of,
    json_array,
    parse,
    render,
    render_rows,
)
from weft.runtimes.paths import open_file
from weft.runtimes.rows import open_rows, read_open, read_value, scan
from weft.runtimes.writing import append, write

if TYPE_CHECKING:
    from weft.runtimes.base import World

SMALL = 16 * 1024
"""Bytes that are read on the event loop: less than a hop to a thread costs."""

_FORMAT_VALUES = ("auto", *FORMATS)
_AUTO = "`auto` goes by the suffix: .json, .jsonl, .csv, .yaml, else text"


class FileSource:
    """`source:file`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="source:file",
        doc="Reads a file.",
        output="its data; csv: a list of objects of text; lines: a list of texts",
        main="path",
        effect="pure",
        takes_input=False,
        settings=(
            Setting("path", "path", "the file, relative to the document's folder", required=True),
            Setting("format", "enum", f"how it is read; {_AUTO}", default="auto", values=_FORMAT_VALUES),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The file's data, or a `FileRows` where the context is lazy and the format has rows."""
        text = settings["path"]
        form = format_of(text, settings.get("format"))
        if ctx.lazy and form in ROWS:
            return await ctx.in_thread(scan, ctx.world, text, form)
        descriptor, _ = open_file(ctx.world, text)
        if os.fstat(descriptor).st_size <= SMALL:
            return _read(descriptor, text, form)
        os.close(descriptor)  # a thread that never starts would not close it
        return await ctx.in_thread(read_value, ctx.world, text, form)


class FilesSource:
    """`source:files`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="source:files",
        doc="Lists the files that a pattern names, with their contents when a format is given.",
        output="a list of {path, name, size}, sorted by path; with a format, content too",
        main="pattern",
        effect="pure",
        takes_input=False,
        settings=(
            Setting(
                "pattern",
                "path",
                "`*`, `?`, `[abc]` inside a name, `**` for any folders; names with a leading dot must be named",
                required=True,
            ),
            Setting("format", "enum", f"read the files, too; {_AUTO}", values=_FORMAT_VALUES),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The list, or a `FileList` where the context is lazy and a format is given."""
        return await ctx.in_thread(_list, ctx.world, settings["pattern"], settings.get("format"), ctx.lazy)


class FileSink:
    """`sink:file`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="sink:file",
        doc="Writes its input to a file: beside it first, then renamed, so that nobody sees half of it.",
        output="{path, bytes}",
        main="path",
        settings=(
            Setting("path", "path", "the file; missing folders are made", required=True),
            Setting("format", "enum", f"how it is written; {_AUTO}", default="auto", values=_FORMAT_VALUES),
            Setting("append", "boolean", "add to the file's end instead", default=False),
            Setting("pretty", "boolean", "json over several lines", default=True),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """Write `given`; a cancelled attempt changes nothing."""
        text = settings["path"]
        form = format_of(text, settings.get("format"))
        pretty = settings.get("pretty", True) is not False
        stop = threading.Event()
        work = _append if settings.get("append") else _write
        try:
            count = await ctx.in_thread(work, ctx.world, text, given, form, pretty, stop)
        except BaseException:
            stop.set()
            raise
        return {"path": text, "bytes": count}


def _read(descriptor: int, text: str, form: str) -> object:
    return parse(as_text(read_open(descriptor, text), repr(text)), form, repr(text))


def _list(world: World, pattern: str, form: str | None, lazy: bool) -> object:
    from weft.runtimes.globbing import find

    try:
        files = find(world, pattern)
    except OSError as error:
        raise file_error(error, pattern, "list") from None
    if form and lazy:
        return FileList(str(world.folder), form, tuple(files))
    found: list[dict[str, Any]] = [{"path": f.path, "name": f.name, "size": f.size} for f in files]
    if form:
        for entry in found:
            entry["content"] = read_value(world, entry["path"], form)
    return found


def _write(world: World, text: str, given: object, form: str, pretty: bool, stop: threading.Event) -> int:
    if not isinstance(given, FileRows | FileList):
        return write(world, text, [render(given, form, pretty=pretty)], stop)
    with closing(open_rows(given, world)) as rows:
        if form == "json":
            return write(world, text, json_array(rows, pretty=pretty), stop)
        if form == "csv":
            names = columns_of(rows)
            return write(world, text, _with_header(names, rows), stop)
        if form in ROWS:
            return write(world, text, render_rows(rows, form), stop)
        return write(world, text, [render(list(rows), form, pretty=pretty)], stop)


def _append(world: World, text: str, given: object, form: str, pretty: bool, stop: threading.Event) -> int:
    if form in ("json", "yaml"):
        raise bad_setting("append", f"a {form} file has one value and no end to add to", "use format jsonl")
    if not isinstance(given, FileRows | FileList):
        return append(world, text, lambda there: _more(there, given, form, text), stop)
    with closing(open_rows(given, world)) as rows:
        listed: Any = list(rows) if form == "text" else rows
        return append(world, text, lambda there: _more(there, listed, form, text), stop)


def _more(there: int, given: Any, form: str, text: str) -> Iterator[bytes]:
    """What is added to the open file `there`: whole lines, also when its last line has no end."""
    size = os.fstat(there).st_size
    if form == "text":
        yield render(given, "text", pretty=False)
        return
    if size and os.pread(there, 1, size - 1) != b"\n":
        yield b"\n"
    rows = given if isinstance(given, dict | str) is False and hasattr(given, "__len__") else as_rows(given)
    if form != "csv":
        yield from render_rows(rows, form)
    elif size:
        yield from render_rows(rows, "csv", _header_of(there, text))
    else:
        yield from _with_header(columns_of(rows), rows)


def _with_header(names: list[str], rows: Iterable[Any]) -> Iterator[bytes]:
    if names:
        yield csv_line(names)
    yield from render_rows(rows, "csv", names)


def _header_of(there: int, text: str) -> list[str]:
    """The columns of the csv file that is open as `there`."""
    import csv

    with os.fdopen(os.dup(there), encoding="utf-8-sig", newline="") as file:
        file.seek(0)
        try:
            header = next(csv_records(csv.reader(file, strict=True), repr(text)), [])
        except UnicodeDecodeError:
            raise AttemptError(f"{text!r} is not UTF-8", type="FormatError") from None
    return csv_header(header, repr(text))
