"""The JSON border: what goes through, what is refused, and where."""

from __future__ import annotations

import enum
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import values
from weft.errors import ValidationError


class Level(enum.IntEnum):
    LOW = 1


class Point(msgspec.Struct):
    x: float
    tags: list[str]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_json_data_comes_back_as_it_was(value: Any) -> None:
    assert values.decode(values.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"when": math.nan}], "nan is not JSON at $[0].when"),
        (math.inf, "inf is not JSON at $"),
        ({"rows": [1, {"x": object()}]}, "object is not JSON data at $.rows[1].x"),
        ({"a": {1: 2}}, "the key 1 is not text at $.a"),
        ([2**63], "an integer beyond 64 bits at $[0]"),
        (["\ud800"], "a lone surrogate is not text at $[0]"),
        (Point(math.nan, []), "nan is not JSON at $.x"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        values.encode(value)
    assert str(caught.value) == message


def test_depth_is_bounded_and_a_deep_value_is_no_crash() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValidationError, match="nested deeper than 100 levels"):
        values.encode(deep)


def test_structs_enums_and_sets_become_json() -> None:
    assert values.plain(Point(1.5, ["a"])) == {"x": 1.5, "tags": ["a"]}
    assert values.plain([Level.LOW, {"s": {7}}]) == [1, {"s": [7]}]


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert values.digest({"a": 1, "b": 2}) == values.digest({"b": 2, "a": 1}) != values.digest({"a": 1, "b": 3})
