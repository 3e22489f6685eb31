"""A small world for expressions, and what one of them gives in it."""

from __future__ import annotations

import pytest

from weft.errors import ExpressionError
from weft.text.expressions import CODES, Expression, MappingScope, parse

NODES = ("a", "b", "fetch", "fetch-all", "x-1")
NAMES = ("row", "n", "t", "xs", "o", "nothing")
SCOPE = MappingScope(
    nodes={"a": 1, "b": {"c": {"d": [10, 20]}}, "fetch": 7, "fetch-all": {"output": "inner"}, "x-1": "x-1"},
    records={"a": {"status": "succeeded", "attempts": 2, "exit_code": 3}},
    names={"row": {"score": 60}, "n": 4, "t": "text", "xs": [1, 2, 3, 4], "o": {"k": 1, "a b": 2}, "nothing": None},
    specials={"config": {"threshold": 50}, "item": "scope's", "run": {"id": "r1"}},
)


def read(text: str) -> Expression:
    """Parsed, with the names of the sample known."""
    return parse(text, nodes=NODES, names=NAMES)


def value(text: str) -> object:
    """What it evaluates to."""
    return read(text).evaluate(SCOPE)


def error(text: str) -> ExpressionError:
    """What it is refused with; a place and a code that is known are part of every error."""
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert caught.value.code in CODES
    assert 0 <= caught.value.start < caught.value.end
    return caught.value
