"""Settings in layers: every value knows where it came from, and a wrong one says so.

Whoever has settings writes them down as one table of `Key`s. The layers (command line, environment, file) are gathered
as they are, and `settle` takes for each key the strongest that has it and reads only that: a flag gets past a file with
a mistake in it. Problems are collected, so that all of them are said at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from weft.errors import ExpressionError, InputError, SettingsError, UsageError, nearest
from weft.text.durations import parse_duration

Layer = Literal["flag", "environment", "file", "default"]
LAYERS: tuple[Layer, ...] = get_args(Layer)
"""The strongest first."""

_TRUE = ("true", "1", "yes")
_FALSE = ("false", "0", "no")


class Key(msgspec.Struct, frozen=True):
    """A setting. `kind` names the reader of its values; `words`, `least` and `most` are for those that have them.

    `flag` is its option of the command line ("" for none), `variable` its name in the environment.
    """

    name: str
    kind: str
    doc: str
    default: Any = None
    words: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None
    flag: str = ""
    variable: str = ""


class Given(msgspec.Struct, frozen=True):
    """A value as somebody wrote it, and where, in words: `--jobs`, `WEFT_JOBS`, `weft.toml:3`."""

    value: Any
    origin: str
    layer: Layer


class Setting(msgspec.Struct, frozen=True):
    """A value in its own type, and where it came from."""

    value: Any
    origin: str
    layer: Layer = "default"


class Problem(msgspec.Struct, frozen=True):
    """A value that cannot be: the message names where it was given."""

    message: str
    hint: str | None
    layer: Layer


class BadValue(Exception):
    """Why a reader refuses a value; `told` completes `NAME is VALUE`."""

    def __init__(self, told: str, hint: str | None = None) -> None:
        super().__init__(told)
        self.told = told
        self.hint = hint


Reader = Callable[[Key, Any], Any]


# -- layers --------------------------------------------------------------------------------------


def from_flags(keys: Iterable[Key], values: Mapping[str, Any]) -> dict[str, Given]:
    """What the command line gives, by the names of keys; None and an empty tuple are not given."""
    known = [key for key in keys if values.get(key.name) is not None and values[key.name] != ()]
    return {key.name: Given(values[key.name], key.flag or f"--{key.name}", "flag") for key in known}


def from_environment(
    keys: Sequence[Key], env: Mapping[str, str], prefix: str = ""
) -> tuple[dict[str, Given], list[Problem]]:
    """What the environment gives; an empty variable is one that is not set.

    With a `prefix`, every other variable that begins with it is a problem.
    """
    found = {key.name: Given(env[key.variable], key.variable, "environment") for key in keys if env.get(key.variable)}
    known = [key.variable for key in keys]
    strange = sorted(name for name in env if prefix and name.startswith(prefix) and name not in known and env[name])
    return found, [Problem(f"unknown variable {name!r}", did_you_mean(name, known), "environment") for name in strange]


def from_file(
    keys: Sequence[Key], table: Mapping[str, Any], origin: Callable[[str], str]
) -> tuple[dict[str, Given], list[Problem]]:
    """What a table of a file gives; `origin` says where a key of it stands."""
    known = [key.name for key in keys]
    found = {name: Given(value, origin(name), "file") for name, value in table.items() if name in known}
    strange = [name for name in table if name not in known]
    problems = [Problem(f"{origin(n)}: unknown setting {n!r}", did_you_mean(n, known), "file") for n in strange]
    return found, problems


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The hint for a name that nobody knows."""
    close = nearest(name.replace("-", "_"), known) or nearest(name, known)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


# -- settling ------------------------------------------------------------------------------------


def settle(
    keys: Iterable[Key], layers: Iterable[Mapping[str, Given]], readers: Mapping[str, Reader] | None = None
) -> tuple[dict[str, Setting], list[Problem]]:
    """The value of every key, and what is wrong. Layers come in order, the strongest first.

    `readers` are for kinds that are not in `READERS`. A key with a problem has its default.
    """
    readers = {**READERS, **(readers or {})}
    strongest: dict[str, Given] = {}
    for layer in layers:
        for name, given in layer.items():
            strongest.setdefault(name, given)
    settled: dict[str, Setting] = {}
    problems: list[Problem] = []
    for key in keys:
        settled[key.name] = Setting(key.default, "default")
        given_ = strongest.get(key.name)
        if given_ is None:
            continue
        try:
            settled[key.name] = Setting(readers[key.kind](key, given_.value), given_.origin, given_.layer)
        except BadValue as wrong:
            problems.append(_problem(key, given_, wrong))
    return settled, problems


def _problem(key: Key, given: Given, wrong: BadValue) -> Problem:
    shown = repr(given.value)
    shown = shown if len(shown) <= 80 else shown[:79] + "…"
    return Problem(f"{given.origin}: {key.name} is {shown}{wrong.told}", wrong.hint, given.layer)


def refuse(problems: Sequence[Problem]) -> None:
    """Raises for problems, if there are any: UsageError (64) when a flag is among them, else InputError (65).

    Several are one SettingsError with a line for each.
    """
    if not problems:
        return
    if len(problems) > 1:
        raise SettingsError([(p.message, p.hint) for p in problems], usage=any(p.layer == "flag" for p in problems))
    (only,) = problems
    error = UsageError if only.layer == "flag" else InputError
    raise error(only.message, hint=only.hint)


# -- readers of values ---------------------------------------------------------------------------


def read_text(key: Key, value: Any) -> str:
    """A text that is not empty and has no control characters."""
    if not isinstance(value, str):
        raise BadValue("; it must be a text")
    if not value.strip():
        raise BadValue("; it must not be empty")
    if "\0" in value:
        raise BadValue("; it has a NUL character")
    return value


def read_integer(key: Key, value: Any) -> int:
    """A whole number from `least` to `most`; a text of digits is one, too."""
    bound = f"of {key.least} or more" if key.most is None else f"from {key.least} to {key.most}"
    number = value
    if isinstance(value, str):
        digits = value.strip().removeprefix("+")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
    if isinstance(number, bool) or not isinstance(number, int) or number < key.least:
        raise BadValue(f"; it must be a whole number {bound}")
    if key.most is not None and number > key.most:
        raise BadValue(f"; it must be a whole number {bound}")
    return number


def read_boolean(key: Key, value: Any) -> bool:
    """True or false; also as 1, 0, yes, no, in any case."""
    word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise BadValue("; it must be true or false (or 1, 0, yes, no)")


def read_word(key: Key, value: Any) -> str:
    """One of the key's words."""
    if isinstance(value, str) and value in key.words:
        return value
    close = nearest(value, key.words) if isinstance(value, str) and len(key.words) > 2 else []
    words = f"{', '.join(key.words[:-1])} or {key.words[-1]}"
    raise BadValue(f"; it must be {words}", f"did you mean {close[0]!r}?" if close else None)


def read_duration(key: Key, value: Any) -> float:
    """Seconds of a duration."""
    try:
        return parse_duration(str(value))
    except ExpressionError as wrong:
        raise BadValue(", which is not a duration", wrong.hint) from None


def read_list(key: Key, value: Any) -> tuple[str, ...]:
    """Texts; from the environment with the separator of PATH between them."""
    several = value if isinstance(value, list | tuple) else str(value).split(os.pathsep)
    return tuple(str(each) for each in several)


READERS: dict[str, Reader] = {
    "text": read_text,
    "integer": read_integer,
    "boolean": read_boolean,
    "word": read_word,
    "duration": read_duration,
    "list": read_list,
}
