"""TOML with the line of every key: the standard reader says what a file means, and not where."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from weft.errors import InputError
from weft.text.source import Source

_KEY = r"(?:[A-Za-z0-9_-]+|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*')"
_STATEMENT = re.compile(rf"[ \t]*(?P<open>\[\[?)?[ \t]*(?P<key>{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*)[ \t]*(?:\]\]?|=)")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*|[\[\]{}]|\n",
    re.DOTALL,
)
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}


class Toml(msgspec.Struct, frozen=True):
    """A file's data, and for each key its line from 1; a key inside an inline table has none."""

    data: dict[str, Any]
    lines: dict[tuple[str, ...], int]


def read_toml(source: Source) -> Toml:
    """The data of a TOML text. Raises InputError, which names the text and the place."""
    import tomllib  # 2 ms, for those who have a file

    try:
        data = tomllib.loads(source.text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{source.name}: {reason}", hint="correct the file, or move it away") from None
    return Toml(data, _lines(source))


def _lines(source: Source) -> dict[tuple[str, ...], int]:
    """The line of every key of a text that is known to be TOML."""
    text = source.shadow
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    at = 0
    while at < len(text):
        found = _STATEMENT.match(text, at)
        if found is not None:
            key = _split(found["key"])
            if found["open"]:
                table, path = key, key
            else:
                path = (*table, *key)
            lines.setdefault(path, source.line_of(found.start("key")))
            at = found.end()
        at = _behind(text, at)
    return lines


def _behind(text: str, at: int) -> int:
    """The start of the statement behind the one that `at` stands in: a value may have many lines."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        word = token.group()
        depth += _DEPTH.get(word, 0)
        if word == "\n" and depth <= 0:
            return token.end()
    return len(text)


def _split(key: str) -> tuple[str, ...]:
    """The names of a dotted key."""
    if '"' not in key and "'" not in key:
        return tuple(part.strip() for part in key.split("."))
    import tomllib

    names: list[str] = []
    inner: Any = tomllib.loads(f"{key} = 0")
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return tuple(names)
