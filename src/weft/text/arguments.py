"""How functions take their arguments: each of these returns the value in the wanted type or raises a Fault.

Null is taken as the empty text, list or object where a function reads one; nothing else is converted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weft.text.data import INT_MAX, INT_MIN, is_list, is_number, is_object, show, type_name
from weft.text.scope import Fault

_HINTS = {
    ("text", "number"): "to_text(x) makes a text of a number",
    ("text", "boolean"): "to_text(x) makes a text of it",
    ("text", "list"): 'join(xs, ", ") makes a text of a list',
    ("number", "text"): "to_number(x) reads a number from a text",
    ("number", "null"): "x ?? 0 stands in for a missing number",
    ("list", "object"): "entries(x) makes a list of an object",
    ("list", "text"): "split(x, separator), lines(x) or words(x) make a list of a text",
}


def refused(wanted: str, value: object) -> Fault:
    """The fault of a value of the wrong type."""
    kind = type_name(value)
    shown = "null" if value is None else f"{kind} {show(value)}"
    return Fault("WEFT424", f"{wanted} is needed here, not {shown}", _HINTS.get((wanted.split()[-1], kind)))


def text(value: object) -> str:
    """A text; null is empty."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)
    raise refused("a text", value)


def items(value: object) -> Sequence[object]:
    """A list; null is empty."""
    if type(value) is list:
        return value
    if value is None:
        return ()
    if is_list(value):
        return value
    raise refused("a list", value)


def mapping(value: object) -> Mapping[str, object]:
    """An object; null is empty."""
    if type(value) is dict:
        return value
    if value is None:
        return {}
    if is_object(value):
        return value
    raise Fault(
        "WEFT424",
        f"an object is needed here, not {type_name(value)} {show(value)}",
        "from_entries(xs) makes an object of a list of pairs" if is_list(value) else None,
    )


def number(value: object) -> int | float:
    """A number; true, false and null are none."""
    if is_number(value):
        return value
    raise refused("a number", value)


def whole(value: object) -> int:
    """A whole number."""
    if type(value) is int:
        return value
    if type(value) is float:
        raise Fault("WEFT424", f"a whole number is needed here, not {show(value)}", "round(x) or floor(x) make one")
    raise refused("a whole number", value)


def fit(value: int | float) -> int | float:
    """A result, when it is a number of 64 bits."""
    if type(value) is int:
        if INT_MIN <= value <= INT_MAX:
            return value
        raise Fault("WEFT422", "the result does not fit into 64 bits", "use a fraction: 1.0 * x")
    if value - value != 0:
        raise Fault("WEFT422", "the result is too large for a number")
    return value
