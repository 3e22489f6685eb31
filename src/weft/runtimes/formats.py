"""Files and texts as data, and data as text: json, jsonl, csv, yaml, text, lines.

Reading is strict: what does not fit its format is an error that names the line, never a guess. Whatever has
rows can be read from an iterator of lines and written row by row, so that a file of any length needs no more
than a row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from weft.errors import UserError, ValidationError
from weft.runtimes.failures import bad_format
from weft.runtimes.strictjson import NotJson, read, strict_json
from weft.values import encode, type_name

FORMATS = ("json", "jsonl", "csv", "yaml", "text", "lines")
_SPECIAL = re.compile(r'[",\r\n]')

ROWS = ("jsonl", "csv", "lines")
"""Formats of one row after the other."""

_SUFFIXES = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".yaml": "yaml",
    ".yml": "yaml",
}


def format_of(path: str, given: str | None) -> str:
    """The format: as given, or (`auto`) by the path's suffix, else `text`."""
    if given and given != "auto":
        return given
    dot = path.rfind(".")
    return _SUFFIXES.get(path[dot:].lower(), "text") if dot > path.rfind("/") else "text"


# -- reading
# ------------------------------------------------------------------------------------------------------


def as_text(data: bytes, what: str, offset: int = 0) -> str:
    """UTF-8 as text, without a byte order mark. Raises AttemptError that names the first wrong byte."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        at, wrong = offset + error.start, data[error.start]
        hint = "it seems to be UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "save it as UTF-8"
        raise bad_format(f"{what}: not UTF-8 at byte {at:,} (0x{wrong:02x})", hint) from None
    return text.removeprefix("\ufeff") if offset == 0 else text


def parse(text: str, form: str, what: str) -> Any:
    """The data in `text`; `what` names it in errors. Raises AttemptError (`FormatError`)."""
    match form:
        case "text":
            return text
        case "json":
            return strict_json(text, what)
        case "yaml":
            return _yaml(text, what)
        case "lines":
            return split_lines(text)
        case "jsonl":
            return list(json_rows(enumerate(split_lines(text), 1), what))
        case "csv":
            return list(csv_rows(io.StringIO(text, newline=""), what))
    raise AssertionError(form)


def split_lines(text: str) -> list[str]:
    """The lines without their ends (LF or CRLF); a last line without an end counts, an empty one does not."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def json_rows(lines: Iterable[tuple[int, str]], what: str) -> Iterator[Any]:
    """The value of each numbered line; blank ones are left out."""
    for number, line in lines:
        if line and not line.isspace():
            yield json_row(line, number, what)


def json_row(line: str, number: int, what: str) -> Any:
    """The value of line `number`."""
    try:
        return read(line)
    except NotJson as error:
        column = "" if error.offset is None else f", column {error.offset + 1}"
        raise bad_format(f"{what}, line {number}{column}: not JSON: {error.reason}") from None


def csv_rows(lines: Iterable[str], what: str) -> Iterator[dict[str, str]]:
    """The rows under the header. `lines` keep their ends. Blank lines are left out."""
    reader = csv.reader(lines, strict=True)
    header = next(csv_records(reader, what), None)
    if header is None:
        return
    header = csv_header(header, what)
    for record in csv_records(reader, what):
        yield csv_row(header, record, reader.line_num, what)


def csv_records(reader: Any, what: str) -> Iterator[list[str]]:
    """The records of a `csv.reader` that are not blank."""
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise bad_format(f"{what}, line {reader.line_num}: not CSV: {error}") from None
        if record is None:
            return
        if record:
            yield record


def csv_header(names: list[str], what: str) -> list[str]:
    """The column names, each of which must occur once."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise bad_format(f"{what}, line 1: the column {name!r} occurs twice")
    return names


def csv_row(header: list[str], record: list[str], line: int, what: str) -> dict[str, str]:
    """One record by column name; it must have as many fields as the header."""
    if len(record) != len(header):
        fields = "1 field" if len(record) == 1 else f"{len(record)} fields"
        raise bad_format(
            f"{what}, line {line}: {fields}, but the header has {len(header)}",
            'a field with a comma or a line break in it stands in "quotes"',
        )
    return dict(zip(header, record, strict=True))


def _yaml(text: str, what: str) -> Any:
    from weft.text.yaml import loads

    try:
        return loads(text)
    except UserError as error:
        raise bad_format(f"{what}: {error.message}", error.hint) from None


# -- writing
# ------------------------------------------------------------------------------------------------------


def in_text(value: object) -> str:
    """A value inside a text, as templates write it: null is "", lists and objects are compact JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return _encoded(value).decode()


def render(value: object, form: str, *, pretty: bool = True) -> bytes:
    """A whole value in the format `form`; each but `text` ends with a newline. Raises AttemptError
    (`FormatError`).
    """
    match form:
        case "json":
            return pretty_json(value) + b"\n" if pretty else _encoded(value) + b"\n"
        case "yaml":
            return _to_yaml(value)
        case "text":
            if isinstance(value, dict | list) and pretty:
                return pretty_json(value) + b"\n"
            return in_text(value).encode()
    return b"".join(render_rows(as_rows(value), form))


def as_rows(value: object) -> list[Any]:
    """`value` as a list: null is none, a single value one row."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def render_rows(rows: Iterable[Any], form: str, header: list[str] | None = None) -> Iterator[bytes]:
    """The rows one by one. `csv` needs a list, or the columns as `header`, which then is not written again."""
    if form == "csv":
        yield from _csv_lines(rows, header)
        return
    for number, row in enumerate(rows):
        if form == "jsonl":
            yield _encoded(row) + b"\n"
            continue
        line = in_text(row)
        if "\n" in line:
            raise bad_format(f"row {number} has a line break in it", "write it as jsonl, or replace the break")
        yield line.encode() + b"\n"


def json_array(rows: Iterable[Any], *, pretty: bool) -> Iterator[bytes]:
    """The rows as one JSON list, one by one."""
    separator = b"[\n  " if pretty else b"["
    for row in rows:
        body = pretty_json(row).replace(b"\n", b"\n  ") if pretty else _encoded(row)
        yield separator + body
        separator = b",\n  " if pretty else b","
    if separator[:1] == b"[":
        yield b"[]\n"
    else:
        yield b"\n]\n" if pretty else b"]\n"


def columns_of(rows: Iterable[Any]) -> list[str]:
    """The names of all rows in order of their first appearance."""
    names: dict[str, None] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise bad_format(
                f"row {number} is a {type_name(row)}; csv rows are objects", "make objects of them with transform:map"
            )
        if row.keys() - names.keys():
            names.update(dict.fromkeys(row))
    return list(names)


def csv_line(fields: Iterable[object]) -> bytes:
    """One record, quoted where needed, ended with a newline."""
    texts = [in_text(field) for field in fields]
    if texts == [""]:
        return b'""\n'  # a bare line end would read as no record at all
    quoted = ('"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text for text in texts)
    return (",".join(quoted) + "\n").encode()


def pretty_json(value: object) -> bytes:
    """JSON with two spaces a level."""
    return msgspec.json.format(_encoded(value), indent=2)


def _csv_lines(rows: Iterable[Any], header: list[str] | None) -> Iterator[bytes]:
    names = header
    if names is None:
        rows = rows if isinstance(rows, list) else list(rows)
        names = columns_of(rows)
        if names:
            yield csv_line(names)
    known = set(names)
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise bad_format(f"row {number} is a {type_name(row)}; csv rows are objects")
        if not row.keys() <= known:
            extra = next(name for name in row if name not in known)
            raise bad_format(f"row {number} has {extra!r}, which is no column of the file")
        yield csv_line(row.get(name) for name in names)


def _to_yaml(value: object) -> bytes:
    from weft.runtimes.yamlwriter import dump

    return dump(msgspec.json.decode(_encoded(value)))


def _encoded(value: object) -> bytes:
    try:
        return encode(value)
    except ValidationError as error:
        raise bad_format(f"cannot be written: {error.message}", error.hint) from None
