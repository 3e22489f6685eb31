"""YAML as strict data with places."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import DocumentError, ValidationError
from weft.text.source import Source
from weft.text.yaml import Items, Mapping, Marked, Scalar, load, loads


def marked(text: str, **options: Any) -> Marked:
    return load(text, source=Source("t", text), **options)


def refusals(text: str, **options: Any) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        marked(text, **options)
    return [f"{d.line}:{d.column} {d.code} {d.message}" for d in caught.value.diagnostics]


YAML_ORG = "tag:yaml.org,2002:"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("# nothing", None),
        ("true", True),
        ("FALSE", False),
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("1:30", "1:30"),
        ("012", 12),
        ("0o17", 15),
        ("0x1f", 31),
        ("+1", 1),
        ("-0", 0),
        ("1_000", "1_000"),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        ("0b11", "0b11"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("=", "="),
        ("-", [None]),
        ("'1'", "1"),
        ('"true"', "true"),
        ("'<<'", "<<"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0" * 5000, 0),
        ("[]", []),
        ("{}", {}),
        ("- 1\n- [a, {b: c}]", [1, ["a", {"b": "c"}]]),
        ("1: a\ntrue: b\nnull: c", {"1": "a", "true": "b", "null": "c"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ("--- 1", 1),
        ("a: x\u2028y\x85z", {"a": "x\u2028y\x85z"}),
        ("a:\r\n  - 1\r\n", {"a": [1]}),
        ("'{{ x }}'", "{{ x }}"),
        ("x {{ y }}", "x {{ y }}"),
    ],
)
def test_scalars_follow_the_core_schema_of_1_2(text: str, value: object) -> None:
    found = loads(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("a: *x", ["1:4 WEFT112 aliases are not allowed"]),
        ("&a [*a]", ["1:1 WEFT112 anchors are not allowed", "1:5 WEFT112 aliases are not allowed"]),
        (
            "a: !!python/object/apply:os.system [x]",
            [f"1:4 WEFT113 the tag '{YAML_ORG}python/object/apply:os.system' is not allowed"],
        ),
        ("!x a", ["1:1 WEFT113 the tag '!x' is not allowed"]),
        (
            "a: 1\nb: 2\na: 3\nb: 4",
            [
                "3:1 WEFT114 the key 'a' is there twice (first in line 1)",
                "4:1 WEFT114 the key 'b' is there twice (first in line 2)",
            ],
        ),
        ("1: a\n'1': b", ["2:1 WEFT114 the key '1' is there twice (first in line 1)"]),
        ("<<: {a: 1}", ["1:1 WEFT115 merge keys are not allowed"]),
        ("a\n---\nb", ["2:1 WEFT116 more than one YAML document"]),
        ("9223372036854775808", ["1:1 WEFT117 the integer '9223372036854775808' has more than 64 bits"]),
        ("9" * 5000, ["1:1 WEFT117 the integer '99999999999999999999999999999…' has more than 64 bits"]),
        (
            "[.inf, -.INF, .nan, 1e999]",
            [
                "1:2 WEFT117 '.inf' is not a finite number",
                "1:8 WEFT117 '-.INF' is not a finite number",
                "1:15 WEFT117 '.nan' is not a finite number",
                "1:21 WEFT117 '1e999' is not a finite number",
            ],
        ),
        ("[" * 101 + "]" * 101, ["1:101 WEFT118 lists and objects are nested more than 100 deep"]),
        ("? [a]\n: b", ["1:3 WEFT119 a list or an object cannot be a key"]),
        ("a: {{ x }}", ["1:4 WEFT119 a list or an object cannot be a key"]),
        ("a: [1", ["1:6 WEFT111 not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence)"]),
        ("a: b: c", ["1:5 WEFT111 not valid YAML: mapping values are not allowed in this context"]),
        (
            "\ta: b",
            [
                "1:1 WEFT111 not valid YAML: found character that cannot start any token "
                "(while scanning for the next token)"
            ],
        ),
        ("a: \x07", ["1:4 WEFT111 the control character U+0007 is not allowed in YAML"]),
        ("a: \ud800", ["1:4 WEFT111 half of a surrogate pair is no character"]),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_place(text: str, messages: list[str]) -> None:
    assert refusals(text) == messages


def test_an_unquoted_template_is_refused_where_templates_are_read() -> None:
    assert refusals("a: x {{ y }}", templates=True) == ["1:4 WEFT124 a template in YAML needs quotes"]
    assert marked('a: "x {{ y }}"\nb: |\n  {{ z }}', templates=True).value == {"a": "x {{ y }}", "b": "{{ z }}"}


def test_a_billion_laughs_is_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi"))
    assert refusals(bomb)[0] == "1:4 WEFT112 anchors are not allowed"


def test_every_value_and_key_has_its_place() -> None:
    text = "name: '😀'\nlist:\n  - 1\n  - {a: b}\nlast: |\n  x\n\nend: 1\n"
    root = marked(text)
    assert isinstance(root, Mapping)

    def cut(value: Marked) -> str:
        return text[value.start : value.end]

    assert {key: cut(place) for key, place in root.keys.items()} == {k: k for k in ("name", "list", "last", "end")}
    assert {key: cut(value) for key, value in root.entries.items()} == {
        "name": "'😀'", "list": "- 1\n  - {a: b}", "last": "|\n  x", "end": "1",
    }  # fmt: skip
    items = root.entries["list"]
    assert isinstance(items, Items)
    assert [cut(item) for item in items.items] == ["1", "{a: b}"]


def test_places_are_those_of_the_document_around() -> None:
    source = Source("t", "12345a: *x")
    with pytest.raises(DocumentError) as caught:
        load("a: *x", source=source, offset=5)
    assert caught.value.diagnostics[0].column == 9
    value = load("a: b", source=Source("t", "_" * 20), offset=lambda index: index * 2)
    assert isinstance(value, Mapping)
    assert (value.entries["a"].start, value.entries["a"].end) == (6, 7)


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("a + b", True),
        ("'a + b'", True),
        ('"a + b"', True),
        ("|\n  a + b\n\n  c\n", True),
        ('"a\\tb"', False),
        (">\n  a\n  b", False),
    ],
)
def test_a_scalar_leads_back_to_its_characters(text: str, exact: bool) -> None:
    value = marked(text)
    assert isinstance(value, Scalar)
    inner = value.within(Source("t", text))
    assert inner.value == value.text
    if exact:
        assert all(text[inner.at(i)] == c or c == "\n" for i, c in enumerate(inner.value))
    else:
        assert {inner.at(i) for i in range(len(inner.value))} == {0}


def test_loads_says_line_and_column() -> None:
    with pytest.raises(ValidationError) as caught:
        loads("a: 1\na: 2")
    assert caught.value.message == "not valid YAML: line 2, column 1: the key 'a' is there twice (first in line 1)"


@given(st.text(alphabet="ab01:-[]{},'\"#&*!|>%@` \n\t.~?<\u2028\x85é😀\\\x00\ud800", max_size=60))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        value = load(text, source=Source("t", text), templates=True)
    except DocumentError:
        return
    assert 0 <= value.start <= value.end <= len(text)


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()


@given(st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=10))
def test_json_is_yaml(value: object) -> None:
    text = json.dumps(value)
    if "\\ud" not in text and "\\u0000" not in text:
        assert loads(text) == value


@pytest.mark.torture  # it measures time
@pytest.mark.parametrize(
    "unit", ["[", "{", "- ", "? ", "[a,", "x: [\n", "a: b\n", "- x\n", "a, ", "'", "\n", "#", "{a: b}, "]
)
def test_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        began = time.process_time()
        with suppress(ValidationError):
            loads(text)
        return time.process_time() - began

    double, four = (min(seconds(n) for _ in range(3)) for n in (50_000, 100_000))
    assert four < 3.2 * max(double, 0.01)
