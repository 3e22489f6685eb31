from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import pytest

from weft.errors import ExpressionError
from weft.text.expressions import MappingScope, parse
from weft.text.functions import FUNCTIONS, suggestion

ROWS = [{"n": "b", "v": 2}, {"n": "a", "v": 3}, {"n": "b", "v": 1}]
SCOPE = MappingScope(names={"rows": ROWS, "o": {"a": 1, "b": None}, "e": [], "x": None, "s": "a1b22"})


def value(text: str) -> object:
    return parse(text, names=("rows", "o", "e", "x", "s")).evaluate(SCOPE)


def error(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    return caught.value


def test_the_functions_are_those_of_the_language() -> None:
    listed = """
        upper lower trim replace split join truncate starts_with ends_with includes substring pad_start pad_end
        repeat lines words slug length first last slice flatten unique reverse contains index_of sort sort_by count
        range zip product chunk take skip compact concat sum avg min max map filter reduce find some every group_by
        index_by round floor ceil abs sqrt pow clamp keys values entries from_entries get has merge pick omit type_of
        is_null is_list is_object is_text is_number is_boolean is_empty to_text to_number to_boolean to_list coalesce
        default now today parse_time format_time add_time diff_time timestamp json_encode json_decode base64_encode
        base64_decode url_encode url_decode hash uuid random match test
    """
    assert sorted(FUNCTIONS) == sorted(listed.split())


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_is_documented_in_one_line(name: str) -> None:
    function = FUNCTIONS[name]
    assert function.signature.startswith(f"{name}(")
    assert function.doc
    assert "\n" not in function.doc
    assert function.high is None or function.low <= function.high
    assert (function.lambda_at is not None) == ("=>" in function.signature)


def test_recorded_are_those_whose_answer_differs() -> None:
    assert {name for name, each in FUNCTIONS.items() if each.recorded} == {"now", "today", "uuid", "random"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("upper('aß')", "ASS"), ("upper(x)", ""), ("lower('ÄB')", "äb"), ("trim('  a \\n')", "a"),
        ("replace('aXbX', 'X', '--')", "a--b--"), ("replace('a.b', '.', '')", "ab"),
        ("replace(x, 'a', 'b')", ""),
        ("split('a,b,,c', ',')", ["a", "b", "", "c"]), ("split('abc', '')", ["a", "b", "c"]),
        ("split('', ',')", []),
        ("split(x, ',')", []), ("join(['a', 1, null, true, [2]], '-')", "a-1--true-[2]"),
        ("join(['a', 'b'])", "ab"),
        ("join(x, ',')", ""), ("truncate('abcdef', 4)", "abc…"), ("truncate('abcd', 4)", "abcd"),
        ("truncate('abcdef', 4, '')", "abcd"), ("truncate('abcdef', 1, '...')", "."), ("truncate(x, 3)", ""),
        ("starts_with('abc', 'ab')", True), ("ends_with('abc', 'bc')", True), ("starts_with(x, 'a')", False),
        ("includes('abc', 'b')", True), ("includes([1, 2], 2)", True), ("includes(x, 'a')", False),
        ("substring('abcdef', 2)", "cdef"), ("substring('abcdef', 1, 3)", "bc"),
        ("substring('abcdef', -2)", "ef"),
        ("substring('abc', 5, 9)", ""), ("pad_start('7', 3, '0')", "007"),
        ("pad_start('7', 4, 'ab')", "aba7"),
        ("pad_end('7', 3)", "7  "), ("pad_end('777', 2)", "777"), ("repeat('ab', 3)", "ababab"),
        ("repeat('ab', 0)", ""),
        ("lines('a\\nb\\r\\n\\nc\\n')", ["a", "b", "", "c"]), ("lines('')", []), ("lines(x)", []),
        ("lines('a')", ["a"]),
        ("words('  a b\\tc ')", ["a", "b", "c"]), ("slug('Größe & Näheres 2.0!')", "grosse-naheres-2-0"),
        ("slug('--')", ""),
        ("length('äöü')", 3), ("length([1, 2])", 2), ("length(o)", 2), ("length(x)", 0),
    ],
)  # fmt: skip
def test_text(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first([1, 2])", 1), ("last([1, 2])", 2), ("first(e)", None), ("last(x)", None),
        ("first('ab')", "a"),
        ("slice([1, 2, 3, 4], 1, 3)", [2, 3]), ("slice([1, 2, 3], -2)", [2, 3]), ("slice('abc', 1)", "bc"),
        ("flatten([1, [2, [3]], []])", [1, 2, [3]]), ("flatten([[[1]]], 2)", [1]),
        ("flatten([1, 2])", [1, 2]),
        ("flatten([[[1]]], 0)", [[[1]]]),
        ("unique([1, 1.0, true, '1', null, null, [1], [1.0]])", [1, True, "1", None, [1]]),
        ("unique(rows, r => r.n) | map(r => r.v)", [2, 3]),
        ("unique([{a: 1, b: 2}, {b: 2, a: 1}])", [{"a": 1, "b": 2}]),
        ("reverse([1, 2])", [2, 1]), ("reverse('abc')", "cba"), ("contains([1, [2]], [2])", True),
        ("contains(o, 'a')", True),
        ("contains('abc', 'bc')", True), ("contains(x, 1)", False), ("index_of(['a', 'b'], 'b')", 1),
        ("index_of(e, 1)", -1),
        ("index_of('abc', 'c')", 2), ("index_of([true, 1], 1)", 1), ("sort([3, 1.5, 2])", [1.5, 2, 3]),
        ("sort(['b', 'a', null, 'c'])", ["a", "b", "c", None]),
        ("sort([1, 3, null, 2], 'desc')", [3, 2, 1, None]),
        ("sort([[2, 'a'], [1, 'b'], [1, 'a']])", [[1, "a"], [1, "b"], [2, "a"]]), ("sort(x)", []),
        ("sort_by(rows, r => r.v) | map(r => r.v)", [1, 2, 3]),
        ("sort_by(rows, r => r.n) | map(r => r.v)", [3, 2, 1]),
        ("sort_by(rows, r => r.n, 'desc') | map(r => r.v)", [2, 1, 3]),
        ("sort_by(rows, r => [r.n, r.v]) | map(r => r.v)", [3, 1, 2]),
        ("sort_by(rows, (r, i) => -i) | map(r => r.v)", [1, 3, 2]),
        ("count(rows)", 3), ("count(rows, r => r.n == 'b')", 2), ("count(x)", 0), ("range(3)", [0, 1, 2]),
        ("range(1, 4)", [1, 2, 3]), ("range(5, 0, -2)", [5, 3, 1]), ("range(0)", []), ("range(3, 1)", []),
        ("range(0, 7, 3)", [0, 3, 6]),
        ("zip([1, 2, 3], ['a', 'b'])", [[1, "a"], [2, "b"]]), ("zip([1], x)", []),
        ("zip([1, 2])", [[1], [2]]),
        ("product([1, 2], ['a', 'b'])", [[1, "a"], [1, "b"], [2, "a"], [2, "b"]]), ("product([1], e)", []),
        ("product([1, 2])", [[1], [2]]),
        ("chunk([1, 2, 3], 2)", [[1, 2], [3]]), ("chunk(e, 2)", []), ("take([1, 2, 3], 2)", [1, 2]),
        ("take([1], 5)", [1]),
        ("take([1], -1)", []), ("skip([1, 2, 3], 2)", [3]), ("skip([1], -1)", [1]), ("take('abc', 2)", "ab"),
        ("skip(x, 1)", []),
        ("compact([0, null, '', false, 1])", [0, "", False, 1]), ("concat([1], x, [2])", [1, 2]),
        ("concat('a', 'b')", "ab"),
        ("sum([1, 2.5])", 3.5), ("sum(e)", 0), ("sum(x)", 0), ("sum(rows, r => r.v)", 6),
        ("avg([1, 2])", 1.5), ("avg(e)", None),
        ("avg(rows, r => r.v)", 2.0), ("min([3, 1, null])", 1), ("max(['a', 'b'])", "b"), ("min(e)", None),
        ("max(1, 2.5, x)", 2.5),
        ("map(x, v => v)", []), ("filter([0, 1, 2], v => v)", [1, 2]),
        ("filter([5, 6], (v, i) => i > 0)", [6]),
        ("reduce([1, 2, 3], (acc, v) => acc * v)", 6), ("reduce(e, (acc, v) => acc + v)", None),
        ("reduce(e, (acc, v) => acc, x)", None),
        ("reduce(['a', 'b'], (acc, v, i) => acc + v + to_text(i), '')", "a0b1"),
        ("find(rows, r => r.v > 2).n", "a"),
        ("find(rows, r => r.v > 9)", None), ("some(rows, r => r.v > 2)", True),
        ("every(rows, r => r.v > 2)", False),
        ("some([0, null])", False), ("every(e)", True), ("every([1, 'a'])", True), ("some(x, v => v)", False),
        ("group_by(rows, r => r.n) | values | map(g => length(g))", [2, 1]),
        ("keys(group_by([1, 2, 3], v => v % 2))", ["1", "0"]),
        ("index_by(rows, r => r.n).b.v", 1), ("map(rows, (r) => r.v)", [2, 3, 1]),
    ],
)  # fmt: skip
def test_lists(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("round(2.5)", 3), ("round(-2.5)", -3), ("round(2.4)", 2), ("round(2.675, 2)", 2.68),
        ("round(1234, -2)", 1200),
        ("round(7)", 7), ("round(7, 2)", 7.0), ("round(1e300, 2)", 1e300), ("round(0.1 + 0.2, 2)", 0.3),
        ("round(5e15)", 5 * 10**15),
        ("floor(2.9)", 2), ("floor(-2.1)", -3), ("ceil(2.1)", 3), ("ceil(-2.9)", -2), ("floor(5)", 5),
        ("abs(-2)", 2),
        ("abs(-2.5)", 2.5), ("sqrt(9)", 3.0), ("pow(2, 10)", 1024), ("pow(2, -1)", 0.5),
        ("pow(2.0, 0.5)", 2**0.5), ("pow(-1, 999999)", -1),
        ("pow(0, 0)", 1), ("pow(1, 9000000000)", 1), ("pow(0, 9000000000)", 0), ("pow(-2, 63)", -(2**63)),
        ("clamp(5, 1, 3)", 3), ("clamp(0, 1, 3)", 1), ("clamp(2.5, 1, 3)", 2.5),
        ("keys(o)", ["a", "b"]), ("values(o)", [1, None]), ("keys(x)", []),
        ("entries(o)", [{"key": "a", "value": 1}, {"key": "b", "value": None}]),
        ("from_entries(entries(o)) == o", True), ("from_entries([['k', 1], [2, 3]])", {"k": 1, "2": 3}),
        ("from_entries(x)", {}),
        ("get(o, 'a')", 1), ("get(o, 'z', 9)", 9), ("get(o, 'b', 9)", 9),
        ("get({a: [{b: 5}]}, ['a', 0, 'b'])", 5),
        ("get([1, 2], -1)", 2), ("get(x, ['a', 'b'], 'none')", "none"), ("get('text', 'a')", None),
        ("has(o, 'b')", True),
        ("has(o, 'z')", False), ("has([1], 0)", True), ("has([1], 1)", False), ("has(x, 'a')", False),
        ("merge({a: 1}, x, {a: 2, b: 3})", {"a": 2, "b": 3}), ("pick(o, 'a', 'z')", {"a": 1}),
        ("pick(o, ['a', 'b'])", {"a": 1, "b": None}),
        ("omit(o, 'a')", {"b": None}), ("omit(o, ['a', 'b'])", {}),
        (
            "map([x, true, 1, 1.5, 'a', [], {}], v => type_of(v))",
            ["null", "boolean", "number", "number", "text", "list", "object"],
        ),
        ("is_null(x)", True), ("is_list(e)", True), ("is_object(o)", True), ("is_text('')", True),
        ("is_number(1.5)", True),
        ("is_number(true)", False), ("is_boolean(false)", True), ("is_null(0)", False), ("is_empty(x)", True),
        ("is_empty('')", True),
        ("is_empty({})", True), ("is_empty(0)", False), ("is_empty([0])", False), ("to_text(1.0)", "1.0"),
        ("to_text([1, {a: null}])", '[1,{"a":null}]'),
        ("to_text(x)", ""), ("to_number(' -1.5e3 ')", -1500.0), ("to_number('42')", 42),
        ("to_number(x)", None), ("to_number(true)", 1),
        ("to_number(7)", 7), ("to_boolean('Yes')", True), ("to_boolean('off')", False),
        ("to_boolean('')", False), ("to_boolean(0)", False),
        ("to_boolean([0])", True), ("to_boolean(x)", False), ("to_list(x)", []), ("to_list([1])", [1]),
        ("to_list('a')", ["a"]),
        ("coalesce(x, null, 0, 1)", 0), ("coalesce(x)", None), ("default(x, 5)", 5), ("default('', 5)", ""),
        ("x | default('d')", "d"),
    ],
)  # fmt: skip
def test_numbers_objects_types(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("json_encode({a: [1, 1.0, null, 'ü']})", '{"a":[1,1.0,null,"ü"]}'),
        ("json_encode([1], 2)", "[\n  1\n]"), ("json_encode(x)", "null"),
        ("json_decode('{\"a\": [1, 2.0, true, null]}')", {"a": [1, 2.0, True, None]}),
        ("json_decode('\"\\\\u00fc\"')", "ü"),
        ("base64_encode('ü!')", "w7wh"), ("base64_decode('w7wh')", "ü!"),
        ("base64_decode(base64_encode('')) ", ""),
        ("url_encode('a b/ü&')", "a%20b%2F%C3%BC%26"),
        ("url_encode({a: 1, 'b c': 'x&y', d: null})", "a=1&b%20c=x%26y&d="),
        ("url_decode('a%20b+c%C3%BC')", "a b cü"), ("url_encode(5)", "5"),
        ("hash('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("hash('abc', 'md5')", "900150983cd24fb0d6963f7d28e17f72"),
        ("hash({a: 1}) == hash('{\"a\":1}')", True),
        ("parse_time('2024-05-01')", "2024-05-01T00:00:00Z"),
        ("parse_time('2024-05-01T12:00:00+02:00')", "2024-05-01T10:00:00Z"),
        ("parse_time('2024-05-01 12:00:00.250')", "2024-05-01T12:00:00.250Z"),
        ("parse_time('2024-05-01T12:00:00.123456Z')", "2024-05-01T12:00:00.123456Z"),
        ("parse_time(0)", "1970-01-01T00:00:00Z"), ("parse_time(1.5)", "1970-01-01T00:00:01.500Z"),
        ("parse_time('01.05.2024 07:08', '%d.%m.%Y %H:%M')", "2024-05-01T07:08:00Z"),
        ("parse_time('5%', '%S%%')", "1970-01-01T00:00:05Z"),
        ("format_time('2024-05-01T13:05:09Z', '%Y-%m-%d %H:%M:%S %I %p %j %a %A %b %B %y %u %V %F %T %s %z %Z %%')",
         "2024-05-01 13:05:09 01 PM 122 Wed Wednesday May May 24 3 18 2024-05-01 13:05:09 1714568709 +0000 UTC %"),
        ("format_time('2024-05-01', '')", ""), ("add_time('2024-05-01', '1h30m')", "2024-05-01T01:30:00Z"),
        ("add_time('2024-05-01', '-1d')", "2024-04-30T00:00:00Z"),
        ("add_time('2024-05-01', 90)", "2024-05-01T00:01:30Z"),
        ("add_time('2024-05-01', '500ms')", "2024-05-01T00:00:00.500Z"),
        ("diff_time('2024-05-02', '2024-05-01T23:59:00Z')", 60.0),
        ("diff_time('2024-05-01', '2024-05-02')", -86400.0),
        ("timestamp('1970-01-02')", 86400), ("timestamp('1970-01-01T00:00:00.5Z')", 0.5),
        ("parse_time('2024-02-29T23:59:59Z')", "2024-02-29T23:59:59Z"),
        ("match(s, '([a-z])([0-9]+)$')", ["b22", "b", "22"]), ("match(s, 'x')", None),
        ("match(s, '(x)?a')", ["a", None]), ("test(s, 'B2', 'i')", True),
        ("test(s, 'B2')", False), ("match('k: v', '(?<key>\\\\w+): (.*)')[1]", "k"), ("match(x, 'a')", None),
        ("match(x, '')", [""]),
        ("match('a\\nb', '^b$')", None), ("match('a\\nb', '^b$', 'm')", ["b"]),
        ("match('a\\nb', 'a.b', 's')", ["a\nb"]), ("test('a\\n', 'a$')", False),
    ],
)  # fmt: skip
def test_data_and_time(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("upper(1)", "upper: a text is needed here, not number 1"),
        ("split(['a'], ',')", 'split: a text is needed here, not list ["a"]'),
        ("join('a', ',')", 'join: a list is needed here, not text "a"'),
        ("map(o, v => v)", 'map: a list is needed here, not object {"a": 1, "b": null}'),
        ("keys([1])", "keys: an object is needed here, not list [1]"),
        ("sum([1, 'a'])", 'sum: a number is needed here, not text "a"'),
        ("sum([1, null])", "sum: a number is needed here, not null"),
        ("sum([9223372036854775807, 1])", "the result does not fit into 64 bits"),
        ("take([1], 1.5)", "take: a whole number is needed here, not 1.5"),
        ("repeat('a', -1)", "repeat: a text cannot be repeated -1 times"),
        ("replace('a', '', 'b')", "replace: an empty text cannot be replaced"),
        ("pad_start('a', 5, '')", "pad_start: an empty text cannot pad"),
        ("truncate('abc', -1)", "truncate: a length cannot be -1"),
        ("sort([1, 'a'])", "sort: only numbers, or only texts, can be sorted, not number and text"),
        ("sort([true, false])", "sort: only numbers, or only texts, can be sorted, not boolean"),
        ("sort([[1], ['a']])", "sort: only numbers, or only texts, can be sorted, not number and text"),
        ("sort([{}])", "sort: only numbers, or only texts, can be sorted, not object"),
        ("sort([1], 'down')", 'sort: an order is asc or desc, not "down"'),
        ("min([1, 'a'])", "min: only numbers, or only texts, can be sorted, not number and text"),
        ("range(0, 1, 0)", "range: a range cannot go in steps of 0"),
        ("chunk([1], 0)", "chunk: a chunk has at least 1 element, not 0"),
        ("length(5)", "length: a text, list or object is needed here, not number 5"),
        ("contains(5, 5)", "contains: a text, list or object is needed here, not number 5"),
        ("round(1.5, 99)", "round: a number is rounded to -20 to 20 digits, not 99"),
        ("floor(1e300)", "the result does not fit into 64 bits"),
        ("sqrt(-1)", "sqrt: a negative number has no square root: -1"),
        ("pow(9, 99)", "9 to the power of 99 does not fit into 64 bits"),
        ("pow(1e300, 2)", "the result is too large for a number"),
        ("pow(0, -1)", "0 cannot be raised to a negative power"),
        ("pow(-8, 0.5)", "pow: a negative number has no power of 0.5"),
        ("clamp(1, 3, 2)", "clamp: the lower bound 3 is above the upper bound 2"),
        ("from_entries([1])", "from_entries: an entry is {key, value} or [key, value], not 1"),
        ("get(o, 1.5)", "get: a step of a path is a key or a whole number, not 1.5"),
        ("to_number('0x10')", 'to_number: this text is not a number: "0x10"'),
        ("to_number('1e999')", "the result is too large for a number"),
        ("to_number('99999999999999999999')", "the result does not fit into 64 bits"),
        ("to_number([1])", "to_number: a text is needed here, not list [1]"),
        ("to_boolean('maybe')", 'to_boolean: this text is neither true nor false: "maybe"'),
        ("json_encode(1, 99)", "json_encode: JSON is indented by 0 to 8 spaces, not 99"),
        ("json_decode('[1,')", 'json_decode: this text is not JSON: Expecting value at character 3: "[1,"'),
        ("json_decode('NaN')", "json_decode: NaN is no JSON"),
        ("json_decode('1e999')", "the result is too large for a number"),
        ("json_decode('[99999999999999999999999]')", "the number 99999999999999999999999 does not fit into 64 bits"),
        ("json_decode('{\"a\": 1, \"a\": 2}')", 'json_decode: the JSON text has the key "a" twice in one object'),
        ("base64_decode('%')", 'base64_decode: this is not a text in base64: "%"'),
        ("base64_decode('/w==')", 'base64_decode: this is not a text in base64: "/w=="'),
        ("url_decode('%ff')", 'url_decode: this is no URL-encoded text: "%ff"'),
        ("hash('a', 'crc')", 'hash: there is no hash "crc"'),
        ("random(5, 1)", "random: there is no whole number from 5 to 1"),
        ("parse_time('yesterday')", 'parse_time: this is not a time: "yesterday"'),
        ("parse_time('2024-13-01')", 'parse_time: this is not a time: "2024-13-01"'),
        ("parse_time(1e300)", "parse_time: this is not a time: 1e+300"),
        ("parse_time('x', '%d')", 'parse_time: "x" does not have the form "%d"'),
        ("parse_time('32', '%d')", 'parse_time: "32" is no time: day is out of range for month'),
        ("parse_time('1', '%j')", "parse_time: %j cannot be read"),
        ("format_time('2024-05-01', '%99999d')", "format_time: there is no format %9"),
        ("format_time('2024-05-01', '%')", "format_time: there is no format %"),
        ("add_time('2024-05-01', '5 days')", "add_time: '5 days' is not a duration"),
        ("add_time('9999-12-31', '10d')", "add_time: the time lies outside the years 1 to 9999"),
        ("add_time('2024-05-01', 1e300)", "add_time: the time lies outside the years 1 to 9999"),
        ("test(s, '(')", 'the pattern "(" cannot be used: a ( is not closed'),
        ("test(s, 'a', 'g')", 'there are no flags "g"'),
        ("test(s, repeat('a', 1001))", "a pattern has at most 1,000 characters, this one has 1,001"),
    ],
)  # fmt: skip
def test_a_function_says_what_it_cannot_take(text: str, message: str) -> None:
    assert error(text).message == message


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("lenght", "length"), ("len", "length"), ("toUpperCase", "upper"), ("startsWith", "starts_with"),
        ("padStart", "pad_start"), ("groupBy", "group_by"), ("any", "some"), ("strip", "trim"),
        ("indexOf", "index_of"),
        ("zzzzzz", None),
    ],
)  # fmt: skip
def test_a_function_of_another_language_is_suggested(wrong: str, right: str | None) -> None:
    assert suggestion(wrong) == right


def test_the_recorded_functions_have_their_form() -> None:
    now, today, uuid, random, die = value("[now(), today(), uuid(), random(), random(1, 6)]")  # type: ignore[misc]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", today)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
    assert 0 <= random < 1
    assert 1 <= die <= 6


class _View(Sequence[object]):
    """A list as the engine hands it out: a view."""

    def __getitem__(self, index: object) -> object:
        return ROWS[index]  # type: ignore[index]

    def __len__(self) -> int:
        return len(ROWS)


class _Object(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        return ROWS[0][key]

    def __iter__(self) -> Iterator[str]:
        return iter(ROWS[0])

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    "text",
    [
        "length(v) == 3", "v[0].v == 2", "v[-1].v == 1", "v[5] == null", "v[1:] == rows[1:]", "v == rows",
        "rows[0] in v",
        "map(v, r => r.v) == [2, 3, 1]", "[...v] == rows", "v + [] == rows",
        "json_encode(v) == json_encode(rows)",
        "sort_by(v, r => r.v)[0].v == 1", "type_of(v) == 'list'", "reverse(v)[0].v == 1", "m.v == 2",
        "m['n'] == 'b'",
        "type_of(m) == 'object'", "{...m} == rows[0]", "m == rows[0]", "keys(m) == ['n', 'v']",
        "to_text(m) == to_text(rows[0])",
        "v ? true : false", "unique(v) == rows", "reduce(v, (acc, r) => acc + r.v, 0) == 6",
        "to_list(v) == rows",
    ],
)  # fmt: skip
def test_lazy_lists_and_objects_are_lists_and_objects(text: str) -> None:
    scope = MappingScope(names={"v": _View(), "m": _Object(), "rows": ROWS})
    assert parse(text).evaluate(scope) is True
