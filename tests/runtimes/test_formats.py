from __future__ import annotations

import csv
import io
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.errors import AttemptError
from weft.runtimes.formats import as_text, format_of, json_array, parse, render, render_rows

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))


def refusal(text: str, form: str) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        parse(text, form, "'f'")
    assert caught.value.type == "FormatError"
    return caught.value


@pytest.mark.parametrize(
    ("path", "given_", "form"),
    [
        ("a.json", None, "json"),
        ("a.JSON", "auto", "json"),
        ("a.jsonl", None, "jsonl"),
        ("a.ndjson", None, "jsonl"),
        ("a.csv", None, "csv"),
        ("a.yml", None, "yaml"),
        ("a.yaml", None, "yaml"),
        ("a.md", None, "text"),
        ("a.json/b", None, "text"),
        ("a.json", "text", "text"),
        ("a", "lines", "lines"),
    ],
)
def test_the_format_goes_by_the_suffix_unless_given(path: str, given_: str | None, form: str) -> None:
    assert format_of(path, given_) == form


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "'f', line 1, column 2: not JSON: expecting property name enclosed in double quotes"),
        ('{"a": 1,\n "a": 2}', "'f', line 2, column 2: not JSON: the name 'a' occurs twice in one object"),
        (
            '[{"a": {"b": 1, "\\u0062": 2}}]',
            "'f', line 1, column 17: not JSON: the name 'b' occurs twice in one object",
        ),
        (
            '{"x": ":", "y": ["x", {"z": 1, "z": 1}]}',
            "'f', line 1, column 32: not JSON: the name 'z' occurs twice in one object",
        ),
        ("[1,\n NaN]", "'f', line 2, column 2: not JSON: NaN is not a number of JSON"),
        ('{"a": -Infinity}', "'f', line 1, column 7: not JSON: -Infinity is not a number of JSON"),
        ("[1e999]", "'f': not JSON: inf is not JSON at $[0]"),
        ("9" * 5000, "'f': not JSON: an integer has too many digits"),
        ("[9223372036854775808000]", "'f': not JSON: the integer 9223372036854775808000 has more than 64 bits"),
        ('["\\ud800"]', "'f': not JSON: a lone surrogate is not text at $[0]"),
        ("[" * 5000 + "]" * 5000, "'f', line 1, column 101: not JSON: nested deeper than 100 levels"),
        ('{"a":' * 200 + "1" + "}" * 200, "'f', line 1, column 501: not JSON: nested deeper than 100 levels"),
        ("", "'f', line 1, column 1: not JSON: expecting value"),
    ],
)
def test_json_is_read_strictly(text: str, message: str) -> None:
    assert refusal(text, "json").message == message


def test_json_that_is_fine_is_read() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    for value in (deep, {"a": {"a": 1}, "b": {"a": 1}}, "\U0001f600", -(2**63), 1e300, [{}] * 500):
        assert parse(json.dumps(value), "json", "'f'") == value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=150 * SCALE, deadline=None)
@given(json_values)
def test_what_is_written_reads_the_same(value: Any) -> None:
    for pretty in (True, False):
        assert parse(as_text(render(value, "json", pretty=pretty), "f"), "json", "f") == value
    assert parse(as_text(render([value], "jsonl"), "f"), "jsonl", "f") == [value]
    written = as_text(render(value, "yaml"), "f")
    assert parse(written, "yaml", "f") == value, written


@settings(max_examples=150 * SCALE, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b c", 'q"', "", "ä"]), st.text(), min_size=1), max_size=5))
def test_csv_that_is_written_reads_the_same(rows: list[dict[str, str]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    expected = [{name: row.get(name, "") for name in names} for row in rows]
    if any("\0" in text for row in rows for text in row.values()):
        return
    assert parse(as_text(render(rows, "csv"), "f"), "csv", "f") == expected


def refusal_of(text: str, form: str) -> str | None:
    try:
        parse(text, form, "f")
    except AttemptError as error:
        return error.type
    return None


@settings(max_examples=200 * SCALE, deadline=None)
@given(st.text(), st.sampled_from(["json", "jsonl", "csv", "yaml", "text", "lines"]))
def test_any_text_is_read_or_refused_with_an_attempt_error(text: str, form: str) -> None:
    assert refusal_of(text, form) in (None, "FormatError")


@settings(max_examples=200 * SCALE, deadline=None)
@given(st.text(alphabet='{}[]:,"a1 \\n-NI', max_size=30))
def test_near_json_is_read_or_refused(text: str) -> None:
    assert refusal_of(text, "json") in (None, "FormatError")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1\n", "'f', line 2: 1 field, but the header has 2"),
        ('a,b\n"x\ny",1\n1,2,3\n', "'f', line 4: 3 fields, but the header has 2"),
        ('a\n"x', "'f', line 2: not CSV: unexpected end of data"),
        ('a\n"x"y\n', "'f', line 2: not CSV: ',' expected after '\"'"),
        ("a,b,a\n", "'f', line 1: the column 'a' occurs twice"),
        ("a\n" + "x" * 200_000, "'f', line 2: not CSV: field larger than field limit (131072)"),
    ],
)
def test_bad_csv_names_its_line(text: str, message: str) -> None:
    assert refusal(text, "csv").message == message


def test_csv_is_a_list_of_objects_of_text() -> None:
    text = 'id,"full ""name"""\r\n1,"a,b"\r\n\r\n2,"two\r\nlines"\r\n'
    assert parse(text, "csv", "f") == [{"id": "1", 'full "name"': "a,b"}, {"id": "2", 'full "name"': "two\r\nlines"}]
    assert parse("", "csv", "f") == []
    assert parse("a,b\n", "csv", "f") == []
    assert parse("a\rb\rc\r", "csv", "f") == [{"a": "b"}, {"a": "c"}]


def test_lines_end_with_lf_or_crlf_only() -> None:
    assert parse("a\r\nb\u2028c\x0bd\n\ne", "lines", "f") == ["a", "b\u2028c\x0bd", "", "e"]
    assert parse("", "lines", "f") == []
    assert parse("\n", "lines", "f") == [""]


def test_jsonl_errors_name_their_line() -> None:
    assert parse('1\n\n{"a": 2}\r\n  \n', "jsonl", "f") == [1, {"a": 2}]
    assert refusal("1\n\n{\n", "jsonl").message == (
        "'f', line 3, column 2: not JSON: expecting property name enclosed in double quotes"
    )
    assert refusal('1\n{"a": 1, "a": 1}', "jsonl").message == (
        "'f', line 2, column 10: not JSON: the name 'a' occurs twice in one object"
    )


def test_bytes_that_are_not_utf8_are_named() -> None:
    with pytest.raises(AttemptError) as caught:
        as_text(b"abc\xff", "'f'")
    assert caught.value.message == "'f': not UTF-8 at byte 3 (0xff)"
    assert caught.value.hint == "save it as UTF-8"
    with pytest.raises(AttemptError) as caught:
        as_text("a".encode("utf-16"), "'f'")
    assert caught.value.hint == "it seems to be UTF-16"
    assert as_text(b"\xef\xbb\xbfa", "f") == "a"


def test_yaml_errors_name_their_place() -> None:
    assert refusal("a: 1\nb: [", "yaml").message.startswith("'f': not valid YAML: line ")
    assert refusal("a: &x 1\nb: *x", "yaml").message.startswith("'f': not valid YAML: line 1, column 4: ")


def test_text_in_a_file_is_exactly_the_text() -> None:
    assert render("a\r\n", "text") == b"a\r\n"
    assert render(None, "text") == b""
    assert render(5, "text") == b"5"
    assert render(True, "text") == b"true"
    assert render({"a": [1]}, "text") == b'{\n  "a": [\n    1\n  ]\n}\n'
    assert render({"a": [1]}, "text", pretty=False) == b'{"a":[1]}'


def test_rows_are_written_one_by_one() -> None:
    assert render(["a", 1, None], "lines") == b"a\n1\n\n"
    assert render("one", "lines") == b"one\n"
    assert render(None, "jsonl") == b""
    assert render([{"b": 1}, {"a": None, "b": [1, 2]}], "csv") == b'b,a\n1,\n"[1,2]",\n'
    assert render([], "csv") == b""
    assert b"".join(json_array([], pretty=True)) == b"[]\n"
    for pretty in (True, False):
        for rows in ([1], [{"a": [1, {}]}, "x\ny", []]):
            assert b"".join(json_array(rows, pretty=pretty)) == render(rows, "json", pretty=pretty)


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        ([1], "csv", "row 0 is a number; csv rows are objects"),
        (["a", "b\nc"], "lines", "row 1 has a line break in it"),
        ([object()], "json", "cannot be written: object is not JSON data at $[0]"),
        ([float("nan")], "jsonl", "cannot be written: nan is not JSON at $"),
    ],
)
def test_what_cannot_be_written_is_refused(value: Any, form: str, message: str) -> None:
    with pytest.raises(AttemptError) as caught:
        render(value, form)
    assert caught.value.message == message


def test_a_column_that_the_file_does_not_have_is_refused() -> None:
    with pytest.raises(AttemptError, match="row 1 has 'c', which is no column of the file"):
        list(render_rows([{"a": 1}, {"c": 2}], "csv", ["a", "b"]))


def test_csv_reads_in_other_programs() -> None:
    written = render([{"a": "x,y", "b": 'q"'}, {"a": "", "b": "l\nm"}], "csv").decode()
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["a", "b"], ["x,y", 'q"'], ["", "l\nm"]]


class _Twice(Exception):
    """A name occurs twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _Twice
    return dict(pairs)


names = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"\\""', '"a\\"b"', '"\\\\"', '""'])
texts = st.recursive(
    st.sampled_from(["1", "-0", "1.5e3", "null", "true", "[]", "{}"]) | names,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(names, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name} : {value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=12,
)


@settings(max_examples=500 * SCALE, deadline=None)
@given(texts)
def test_the_quick_way_reads_as_the_slow_one(text: str) -> None:
    try:
        expected = json.loads(text, object_pairs_hook=_pairs)
    except _Twice:
        assert refusal(text, "json").message.endswith("occurs twice in one object")
        return
    assert json.dumps(parse(text, "json", "f")) == json.dumps(expected)
