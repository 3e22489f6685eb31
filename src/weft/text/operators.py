"""What the arithmetic operators do, and how they refuse.

Types are never mixed: a text is not a number, and true is not 1. Numbers are integers of 64 bits and finite
fractions; what would not fit is an error, never a rounded or an infinite value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.errors import ExpressionError
from weft.text import syntax
from weft.text.data import INT_MAX, INT_MIN, is_list, is_object, show, type_name, weight
from weft.text.scope import Fault, Steps


def located(fault: Fault, node: syntax.Node | syntax.Step) -> ExpressionError:
    """The fault as an error with the place of `node`."""
    return ExpressionError(fault.message, node.start, node.end, code=fault.code, hint=fault.hint)


def take(fuel: Steps, steps: int, node: syntax.Node | syntax.Step) -> None:
    try:
        fuel.take(steps)
    except Fault as fault:
        raise located(fault, node) from None


def unfit(operator: str, value: object, node: syntax.Node) -> ExpressionError:
    return ExpressionError(
        f"`{operator}` needs a number, not {described(value)}", node.start, node.end, code="WEFT420",
        hint=number_hint(value),
    )  # fmt: skip


def described(value: object) -> str:
    return "null" if value is None else f"{type_name(value)} {show(value)}"


def number_hint(*values: object) -> str | None:
    if any(value is None for value in values):
        return "x ?? 0 stands in for a missing number"
    if any(isinstance(value, str) for value in values):
        return "to_number(x) reads a number from a text"
    return None


def fit(value: int | float, node: syntax.Node | syntax.Step) -> int | float:
    """A result that is a number of 64 bits."""
    if type(value) is int:
        if INT_MIN <= value <= INT_MAX:
            return value
        message, hint = "the result does not fit into 64 bits", "use a fraction: 1.0 * x"
    else:
        if value - value == 0:
            return value
        message, hint = "the result is too large for a number", None
    raise ExpressionError(message, node.start, node.end, code="WEFT422", hint=hint)


def _add(a: Any, b: Any, fuel: Steps, step: syntax.Step) -> object:
    if type(a) in _NUMERIC and type(b) in _NUMERIC:
        return fit(a + b, step)
    if isinstance(a, str) and isinstance(b, str):
        if len(a) + len(b) > 32:
            take(fuel, weight(a) + weight(b), step)
        return a + b
    if is_list(a) and is_list(b):
        take(fuel, (len(a) + len(b)) // 2, step)
        return [*a, *b]
    if a is None or b is None:
        hint = 'x ?? 0 or x ?? "" stands in for a missing value'
    elif isinstance(a, str) or isinstance(b, str):
        hint = "to_text(x) makes a text of it"
    else:
        hint = "+ joins numbers, texts, or lists"
        hint = "merge(a, b) joins objects" if is_object(a) and is_object(b) else hint
    raise ExpressionError(
        f"cannot add {described(a)} and {described(b)}", step.start, step.end, code="WEFT420", hint=hint
    )


def _subtract(a: Any, b: Any, fuel: Steps, step: syntax.Step) -> object:
    _numbers("-", a, b, step)
    return fit(a - b, step)


def _multiply(a: Any, b: Any, fuel: Steps, step: syntax.Step) -> object:
    _numbers("*", a, b, step)
    return fit(a * b, step)


def _divide(a: Any, b: Any, fuel: Steps, step: syntax.Step) -> object:
    _numbers("/", a, b, step)
    _not_zero(a, b, step)
    return fit(a / b, step)


def _remainder(a: Any, b: Any, fuel: Steps, step: syntax.Step) -> object:
    """With the sign of the divisor, as in Python: -1 % 7 is 6."""
    _numbers("%", a, b, step)
    _not_zero(a, b, step)
    return fit(a % b, step)


def _numbers(operator: str, a: object, b: object, step: syntax.Step) -> None:
    if type(a) in _NUMERIC and type(b) in _NUMERIC:
        return
    hint = number_hint(a, b)
    if operator == "*" and any(isinstance(x, str) or is_list(x) for x in (a, b)):
        hint = "repeat(text, times) repeats a text"
    raise ExpressionError(
        f"`{operator}` needs two numbers, not {described(a)} and {described(b)}",
        step.start,
        step.end,
        code="WEFT420",
        hint=hint,
    )


def _not_zero(a: object, b: object, step: syntax.Step) -> None:
    if b == 0:
        raise ExpressionError(
            f"{show(a)} is divided by zero",
            step.start,
            step.end,
            code="WEFT421",
            hint="b == 0 ? null : a / b",
        )


_NUMERIC = frozenset((int, float))

ARITHMETIC: dict[str, Callable[[Any, Any, Steps, syntax.Step], object]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "%": _remainder,
}
