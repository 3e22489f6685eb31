"""What expressions know about values: their types, equality, text form, size, and how they are shown.

A value is JSON data: null, boolean, number, text, list, object. Lists and objects may also be given as
any `Sequence` and `Mapping` (the engine hands out lazy views), never as anything else: an object of
another type has no members here, so no expression can reach an attribute.

Two traps shape this file. Values can be *deep* (a `reduce` can nest a list 100,000 times), so nothing here
recurses without a bound. And values can *share* (`[x, x]` forty times over is 40 small lists and 2**40
leaves once written out), so whatever walks a value as a tree pays fuel for every visit: see `measure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from weft.errors import ExpressionError
from weft.text.scope import Fault, Fuel, Steps

MAX_DEPTH = 100
"""Lists and objects inside each other in one value."""

INT_MAX = 2**63 - 1
INT_MIN = -(2**63)

_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


def type_name(value: object) -> str:
    """`null`, `boolean`, `number`, `text`, `list` or `object`; for anything else `no data`."""
    known = _NAMES.get(type(value))
    if known is not None:
        return known
    for kind, name in ((bool, "boolean"), ((int, float), "number"), (str, "text")):
        if isinstance(value, kind):
            return name
    if is_list(value):
        return "list"
    return "object" if isinstance(value, Mapping) else "no data"


def is_number(value: object) -> TypeGuard[int | float]:
    """A number; true and false are none."""
    return type(value) is int or type(value) is float


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """A list, or a sequence that is neither text nor bytes."""
    kind = type(value)
    if kind is list:
        return True
    return kind not in _NO_LISTS and isinstance(value, Sequence) and not isinstance(value, _BYTES)


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """An object: a dict or another mapping."""
    kind = type(value)
    if kind is dict:
        return True
    return kind not in _NO_OBJECTS and isinstance(value, Mapping)


_SCALARS = frozenset((type(None), bool, int, float, str))
_NO_LISTS = _SCALARS | {dict}
_NO_OBJECTS = _SCALARS | {list}
_BYTES = (str, bytes, bytearray, memoryview)


def equal(left: object, right: object, fuel: Steps) -> bool:
    """Whether two values are the same data: `1` is `1.0`, but never `true` or `"1"`. Takes fuel for what it visits."""
    if type(left) is type(right) and type(left) in _SCALARS:
        if type(left) is str and len(left) > 1024:
            fuel.take(len(left) >> 10)
        return left == right
    pairs = [(left, right)]
    while pairs:
        a, b = pairs.pop()
        if a is b:
            continue
        kind = type_name(a)
        if kind != type_name(b):
            return False
        if kind == "list":
            assert isinstance(a, Sequence)
            assert isinstance(b, Sequence)
            if len(a) != len(b):
                return False
            fuel.take(1 + len(a) // 2)
            pairs.extend(zip(a, b, strict=True))
        elif kind == "object":
            assert isinstance(a, Mapping)
            assert isinstance(b, Mapping)
            if len(a) != len(b) or any(key not in b for key in a):
                return False
            fuel.take(1 + len(a))
            pairs.extend((a[key], b[key]) for key in a)
        elif a != b:
            return False
    return True


def measure(value: object, fuel: Steps) -> None:
    """Pay for writing `value` out, shared parts as often as they would be written: a step per four values or
    32 characters. A Fault when that is too much, or lists and objects are nested more than `MAX_DEPTH`.

    Shared parts are visited once for each level they stand on, however often they are shared.
    """
    if type(value) in _SCALARS or not (is_list(value) or is_object(value)):
        return
    level: dict[int, tuple[Any, int]] = {id(value): (value, 1)}
    for _ in range(MAX_DEPTH):
        below: dict[int, tuple[Any, int]] = {}
        for each, times in level.values():
            children: Any = each.values() if is_object(each) else each
            long = sum([len(c) for c in children if type(c) is str])
            fuel.take(times * (1 + len(children) // 4 + (long >> 5)))
            for child in [c for c in children if type(c) not in _SCALARS and (is_list(c) or is_object(c))]:
                known = below.get(id(child))
                below[id(child)] = (child, times if known is None else times + known[1])
        if not below:
            return
        level = below
    raise Fault("WEFT426", f"the value is nested more than {MAX_DEPTH} levels deep")


def identity(value: object) -> object:
    """Something hashable that is equal exactly when the values are. Call `measure` first: this recurses."""
    kind = type_name(value)
    if kind in ("text", "null"):
        return value
    if kind == "list":
        return ("list", tuple([identity(each) for each in value]))  # type: ignore[attr-defined]
    if kind == "object":
        items = value.items()  # type: ignore[attr-defined]
        return ("object", frozenset([(key, identity(each)) for key, each in items]))
    return (kind, value)


def to_json(value: object, fuel: Steps, indent: int = 0) -> str:
    """Compact JSON, keys in their order. A Fault when it is no data or too deep."""
    measure(value, fuel)
    try:
        encoded = msgspec.json.encode(value, enc_hook=_plain)
        if indent:
            encoded = msgspec.json.format(encoded, indent=indent)
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault("WEFT424", f"the value cannot be written as JSON: {error}") from None
    return encoded.decode()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if is_list(value):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no data")


def to_text(value: object, fuel: Fuel | None = None) -> str:
    """The text form of a value: null is empty, lists and objects are compact JSON, the rest as JSON writes it.

    Raises ExpressionError (place: the whole text) when the value is no data or costs more than the fuel.
    """
    try:
        return text_of(value, Fuel() if fuel is None else fuel)
    except Fault as fault:
        raise ExpressionError(fault.message, code=fault.code, hint=fault.hint) from None


def text_of(value: object, fuel: Steps) -> str:
    """As `to_text`, for callers that give errors their place: raises Fault."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if value is None:
        return ""
    if kind is int:
        return _digits(value)  # type: ignore[arg-type]
    if kind is bool:
        return "true" if value else "false"
    text = to_json(value, fuel)
    fuel.take(weight(text))
    return text


def _digits(value: int) -> str:
    """An integer in decimal; those of Python can be longer than anybody would print."""
    if value.bit_length() > 64:
        raise Fault("WEFT422", "the number does not fit into 64 bits")
    return str(value)


def weight(text: str) -> int:
    """The steps that making this text costs: one per 32 bytes."""
    return len(text) >> 5 if text.isascii() else len(text) >> 3


def show(value: object, room: int = 60) -> str:
    """A value for an error message: at most `room` characters, nothing in it that could move a cursor."""
    shown = _shown(value, room, 3)
    return shown if len(shown) <= room else shown[: room - 1] + "…"


def _shown(value: object, room: int, depth: int) -> str:
    kind = type_name(value)
    if kind == "text":
        return _quoted(str(value), room)
    if kind == "no data":
        return f"<{type(value).__name__}>"
    if kind not in ("list", "object"):
        if isinstance(value, int) and value.bit_length() > 64:
            return "…"
        return "null" if value is None else str(value).lower()
    opening, closing = "[]" if kind == "list" else "{}"
    if not len(value):  # type: ignore[arg-type]
        return opening + closing
    if depth == 0:
        return f"{opening}…{closing}"
    return opening + _shown_items(value, kind, room - 2, depth) + closing


def _shown_items(value: object, kind: str, room: int, depth: int) -> str:
    parts: list[str] = []
    items = value.items() if kind == "object" else ((None, each) for each in value)  # type: ignore[attr-defined]
    for key, each in items:
        if room < 4:
            parts.append("…")
            break
        label = "" if kind == "list" else f"{_quoted(str(key), room)}: "
        part = label + _shown(each, room - len(label), depth - 1)
        parts.append(part)
        room -= len(part) + 2
    return ", ".join(parts)


def _quoted(text: str, room: int) -> str:
    cut = text[: max(room, 4)]
    out = "".join(_escaped(c) for c in cut)
    return f'"{out}"' if len(cut) == len(text) and len(out) + 2 <= room else f'"{out[: max(room - 3, 1)]}…"'


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def _escaped(c: str) -> str:
    if c in _ESCAPES:
        return _ESCAPES[c]
    return c if c.isprintable() else f"\\u{ord(c):04x}"
