"""JSON as strict as it is written down: no NaN, no Infinity, no name twice, no bottomless nesting.

Python's reader takes all of these in silence; the last of two equal names wins, and what one program signs
another reads differently. The reader below is the standard one with hooks; when it refuses, the text is
scanned once more, slowly, for the place.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from weft.errors import ValidationError
from weft.runtimes.failures import bad_format
from weft.values import MAX_DEPTH, encode

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|-?Infinity|NaN|[^\s"{}\[\]:,]+', re.DOTALL)
_SUSPECT = re.compile(r"\\u[dD][89a-fA-F]|[0-9]{19}|[eE]\+?[0-9]{3}")


_UNSURE = object()


class NotJson(Exception):
    """Why a text is not JSON; `offset` in characters, None when the place is in the reason or unknown."""

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


class _Refused(Exception):
    """One of the hooks said no."""


def strict_json(text: str, what: str) -> Any:
    """The value of `text`. Raises AttemptError (`FormatError`) with line and column in `what`."""
    try:
        return read(text)
    except NotJson as error:
        if error.offset is None:
            raise bad_format(f"{what}: not JSON: {error.reason}") from None
        line = text.count("\n", 0, error.offset) + 1
        column = error.offset - text.rfind("\n", 0, error.offset)
        raise bad_format(f"{what}, line {line}, column {column}: not JSON: {error.reason}") from None


def read(text: str) -> Any:
    """The value of `text`. Raises NotJson."""
    if "\\\\" not in text:
        value = _read_fast(text)
        if value is not _UNSURE:
            return value
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise NotJson(error.msg[:1].lower() + error.msg[1:], error.pos) from None
    except (_Refused, RecursionError):
        raise _offence(text) from None
    except ValueError:
        raise NotJson("an integer has too many digits") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _too_deep(value):
        raise _offence(text)
    if _SUSPECT.search(text):
        _refuse_unwritable(text, value)
    return value


def _read_fast(text: str) -> Any:
    """The value of a text without `\\\\` where a quick reader and a count leave no doubt, else `_UNSURE`.

    Between two quotes stands a name or a text, and each is in the value: unless a name was lost because it
    occurs twice.
    """
    if _SUSPECT.search(text):
        return _UNSURE
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _UNSURE
    strings = _count_strings(value)
    return value if 2 * strings == text.count('"') - text.count('\\"') else _UNSURE


def _count_strings(value: Any) -> int:
    """How many names and texts there are in a value; -1 when it is nested too deep. Level by level: what is held
    beside the value is small, however large it is.
    """
    strings = int(type(value) is str)
    level = [value] if type(value) in (dict, list) else []
    for depth in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if type(item) is dict:
                strings += len(item)
                item = item.values()
            for each in item:
                kind = type(each)
                if kind is str:
                    strings += 1
                elif (kind is dict or kind is list) and (each or depth == MAX_DEPTH):
                    inner.append(each)
        level = inner
        if not level:
            return strings
    return -1


def _refuse_unwritable(text: str, value: Any) -> None:
    """What the standard reader takes and no writer writes: an integer beyond 64 bits, 1e999, half a
    character.
    """
    json.loads(text, parse_int=_integer)
    try:
        encode(value)
    except ValidationError as error:
        raise NotJson(error.message) from None


def _integer(digits: str) -> int:
    number = int(digits)
    if not -(2**63) <= number < 2**64:
        raise NotJson(f"the integer {digits[:30]} has more than 64 bits")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused
    return found


def _constant(word: str) -> float:
    raise _Refused


def _too_deep(value: Any) -> bool:
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > MAX_DEPTH:
            return True
        inner = item.values() if isinstance(item, dict) else item
        stack.extend([(x, depth + 1) for x in inner if isinstance(x, dict | list)])
    return False


def _offence(text: str) -> NotJson:
    """The first thing that is not JSON although the reader would take it, and its place."""
    names: list[set[str] | None] = []
    key = False
    for match in _WORD.finditer(text):
        word = match[0]
        if word in "{[":
            names.append(set() if word == "{" else None)
            key = word == "{"
            if len(names) > MAX_DEPTH:
                break
        elif word in "}]":
            names.pop()
        elif word in ",:":
            key = word == "," and bool(names) and names[-1] is not None
        elif word in ("NaN", "Infinity", "-Infinity"):
            return NotJson(f"{word} is not a number of JSON", match.start())
        elif key and names[-1] is not None:
            name = json.loads(word)
            if name in names[-1]:
                return NotJson(f"the name {name!r} occurs twice in one object", match.start())
            names[-1].add(name)
    return NotJson(f"nested deeper than {MAX_DEPTH} levels", match.start())
