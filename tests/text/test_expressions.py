from __future__ import annotations

from collections.abc import Callable

import pytest

from text.sample import SCOPE, error, read, value
from weft.text.expressions import MappingScope, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("2 * 3 % 4", 2),
        ("-2 * -3", 6),
        ("- -2", 2),
        ("--2", 2),
        ("1--2", 3),
        ("8 / 4 / 2", 1.0),
        ("-7 % 3", 2),
        ("1 < 2 and 2 < 3", True),
        ("1 + 1 == 2", True),
        ("not 1 == 2", True),
        ("not not 1", True),
        ("!(1 == 2)", True),
        ("true or false and false", True),
        ("false || true && false", False),
        ("null ?? 0 or 5", 5),
        ("0 ?? 5", 0),
        ("nothing ?? nothing ?? 3", 3),
        ("1 or 2", 1),
        ("0 or ''", ""),
        ("1 and 2", 2),
        ("true ? 1 : false ? 2 : 3", 1),
        ("false ? 1 : false ? 2 : 3", 3),
        ("1 if false else 2 if true else 3", 2),
        ("1 if n > 3 else 2", 1),
        ("n > 3 ? 'big' : 'small'", "big"),
        ("'a' + 'b' + 'c'", "abc"),
        ("[1] + [2] + [3]", [1, 2, 3]),
        ("[1, ...[2, 3], ...null, 4,]", [1, 2, 3, 4]),
        ("{a: 1, 'b c': 2, ...{a: 3}, n,}", {"a": 3, "b c": 2, "n": 4}),
        ("{...null}", {}),
        ("{if: 1}.if", 1),
        ("[]", []),
        ("t | upper", "TEXT"),
        ("t | pad_end(6, '.') | upper", "TEXT.."),
        ("1 + xs | length", 5),
        ("xs | length == 4", True),
        ("-xs | length", -4),
        ("xs | first | to_text", "1"),
        ("map(xs, x => x * 2)", [2, 4, 6, 8]),
        ("map(xs, (x, i) => x * i)", [0, 2, 6, 12]),
        ("xs | map((x) => x + 1) | filter(y => y > 2)", [3, 4, 5]),
        ("map(xs, x => map([x], x => x + 1))", [[2], [3], [4], [5]]),
        ("map(xs, x => map([1, 2], z => x * z)) | flatten | sum", 30),
        ("reduce(xs, (acc, x) => acc + x, 100)", 110),
        ("JSON.stringify({a: [1, null]})", '{"a":[1,null]}'),
        ('JSON.parse("[1, 2.5]")', [1, 2.5]),
        ("JSON.parse('{\"a\": 1}').a", 1),
        ("True and not False and None == null", True),
        ("1e3", 1000.0),
        ("'\\u00fc\\n\\\\\\'\\ud83d\\ude00'", "ü\n\\'😀"),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_an_expression_has_its_value(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("o.k", 1), ("o?.k", 1), ("o['k']", 1), ('o["a b"]', 2), ("o.missing", None), ("o['missing']", None),
        ("o.missing.deeper.still", None), ("nothing.x", None), ("nothing?.x.y", None), ("nothing[0]", None),
        ("nothing['x'][1:2]", None), ("xs[0]", 1), ("xs[-1]", 4), ("xs[4]", None), ("xs[-5]", None),
        ("xs[1:3]", [2, 3]), ("xs[:2]", [1, 2]), ("xs[2:]", [3, 4]), ("xs[-2:]", [3, 4]),
        ("xs[:]", [1, 2, 3, 4]),
        ("xs[9:]", []), ("xs[true ? 1 : 2]", 2), ("t[0]", "t"), ("t[9]", None), ("t[1:3]", "ex"),
        ("xs[n - 1]", 4),
        ("b.output.c.d[-1]", 20), ("b['c'].d[0]", 10), ("{a: {b: [5]}}.a.b[0]", 5), ("[1, 2][1]", 2),
    ],
)  # fmt: skip
def test_what_is_missing_is_null(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 == 1.0", True), ("1 === 1.0", True), ("1 == '1'", False), ("1 == true", False),
        ("0 == false", False),
        ("null == 0", False), ("null == null", True), ("'' == null", False), ("1 != '1'", True),
        ("1 !== 1", False),
        ("[1, [true]] == [1.0, [true]]", True), ("[1] == [true]", False),
        ("{a: 1, b: 2} == {b: 2, a: 1.0}", True),
        ("{a: 1} == {a: null}", False), ("{a: null} == {}", False), ("[] == {}", False), ("'a' == 'a'", True),
        ("9007199254740993 == 9007199254740992.0", False),
        ("2 in xs", True), ("2.0 in xs", True), ("'2' in xs", False), ("true in [1]", False),
        ("5 not in xs", True),
        ("'ex' in t", True), ("'k' in o", True), ("'z' in o", False), ("1 in o", False),
        ("1 in nothing", False),
        ("[1] in [[1], 2]", True), ("'a' < 'b'", True), ("1 < 1.5", True), ("2 >= 2", True),
    ],
)  # fmt: skip
def test_comparing_never_mixes_types(text: str, expected: object) -> None:
    assert value(text) is expected


@pytest.mark.parametrize("text", ["null", "false", "0", "0.0", "''", "[]", "{}"])
def test_these_are_false(text: str) -> None:
    assert value(f"{text} ? 1 : 2") == 2


@pytest.mark.parametrize("text", ["true", "1", "-1", "'0'", "'false'", "[0]", "{a: null}"])
def test_everything_else_is_true(text: str) -> None:
    assert value(f"{text} ? 1 : 2") == 1


# ---- nodes, names, hyphens


def test_a_node_is_its_output_and_has_a_record() -> None:
    assert value("a") == 1
    assert value("a.output") == 1
    assert value("a.status + '/' + to_text(a.attempts)") == "succeeded/2"
    assert value("[a.error, a.duration, a.stderr, a.exit_code]") == [None, None, None, 3]
    assert value("fetch-all.output.output") == "inner"
    assert value("fetch-all['output']") == "inner"


def test_any_other_field_of_a_node_is_an_error() -> None:
    caught = error("1 + a.title")
    assert (caught.message, caught.code) == ("the record of `a` has no field `title`", "WEFT408")
    assert (caught.start, caught.end) == (6, 11)
    assert caught.hint == (
        "write a.output.title; the fields are output, error, status, attempts, duration, stderr, exit_code"
    )


def test_items_and_parameters_have_no_record() -> None:
    scope = MappingScope(names={"row": {"output": 1, "status": 2}})
    assert parse("row.output + row.status", names=("row",)).evaluate(scope) == 3
    assert parse("map([row], x => x.output)").evaluate(scope) == [1]


def references(text: str) -> list[tuple[str, str, str | None, str]]:
    return [(r.kind, r.name, r.field, text[r.start : r.end]) for r in read(text).references]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [("node", "a", None, "a")]),
        ("a.error.message", [("node", "a", "error", "a.error")]),
        ("a.output.x[b]", [("node", "a", "output", "a.output"), ("node", "b", None, "b")]),
        ("input.title", [("name", "input", None, "input")]),
        ("row.score > unknown", [("name", "row", None, "row"), ("name", "unknown", None, "unknown")]),
        ("$item.score", [("special", "item", None, "$item")]),
        ("$config.threshold", [("special", "config", "threshold", "$config.threshold")]),
        ("$config['threshold']", [("special", "config", "threshold", "$config['threshold']")]),
        ("$config[t]", [("special", "config", None, "$config"), ("name", "t", None, "t")]),
        (
            "$secrets.KEY + $env?.HOME",
            [("special", "secrets", "KEY", "$secrets.KEY"), ("special", "env", "HOME", "$env?.HOME")],
        ),
        ("$context.k.deep", [("special", "context", "k", "$context.k")]),
        ("$run.id", [("special", "run", "id", "$run.id")]),
        ("map(xs, x => x + n)", [("name", "xs", None, "xs"), ("name", "n", None, "n")]),
        ("upper(t)", [("name", "t", None, "t")]),
        ("{n, k: a}", [("name", "n", None, "n"), ("node", "a", None, "a")]),
        ("'a' + \"b\" + o.a", [("name", "o", None, "o")]),
    ],
)
def test_references_are_all_found_with_their_places(
    text: str, expected: list[tuple[str, str, str | None, str]]
) -> None:
    assert references(text) == expected


def test_an_item_comes_before_a_node_of_its_name() -> None:
    assert parse("a.x", nodes=("a",), names=("a",)).references[0].kind == "name"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("fetch-all", ["fetch-all"]),
        ("fetch-all.output", ["fetch-all"]),
        ("fetch-all-1", ["fetch-all"]),
        ("fetch-other", ["fetch", "other"]),
        ("fetch -all", ["fetch", "all"]),
        ("fetch - all", ["fetch", "all"]),
        ("fetch-allx", ["fetch", "allx"]),
        ("a-b", ["a", "b"]),
        ("a-1", ["a"]),
        ("x-1", ["x-1"]),
        ("x-1-1", ["x-1"]),
        ("x-10", ["x"]),
        ("o.fetch-all", ["o", "all"]),
        ("$item-n", ["item", "n"]),
        ("n-fetch-all", ["n", "fetch-all"]),
        ("2-fetch-all", ["fetch-all"]),
    ],
)
def test_the_longest_id_wins_at_token_borders(text: str, names: list[str]) -> None:
    assert [r.name for r in read(text).references] == names


def test_a_hyphen_with_two_readings_warns() -> None:
    (warning,) = read("1 + fetch-all").warnings
    assert warning == (
        4,
        13,
        "`fetch-all` is read as the node of that name, though `fetch` is a name, too",
        "write fetch - … with spaces to subtract",
    )
    assert not read("x-1").warnings
    assert len(parse("map([1], fetch => fetch-all)", nodes=("fetch-all",)).warnings) == 1


def test_a_parameter_may_not_hide_a_node_or_an_item() -> None:
    caught = error("map(xs, a => a)")
    assert (caught.message, caught.code) == ("the parameter `a` has the name of a node", "WEFT410")
    assert error("map(xs, n => n)").message == "the parameter `n` has the name of an item or an input"
    assert error("map(xs, (x, x) => x)").message == "the parameter `x` has the name of another parameter"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!t == 'x'", "`!` takes the whole comparison after it: !a == b is !(a == b)"),
        ("1 + xs | length", "the pipe takes only the value right before it, not the whole operation"),
        ("-n | abs", "the pipe takes only the value right before it, not the whole operation"),
        ("nothing ?? xs | length", "the pipe takes only the value right before it, not the whole operation"),
    ],
)
def test_what_is_easily_misread_warns(text: str, message: str) -> None:
    assert [warning[2] for warning in read(text).warnings] == [message]


@pytest.mark.parametrize(
    "text", ["!(t == 'x')", "(!t) == 'x'", "1 + (xs | length)", "xs | length + 1", "n == xs | length", "not t == 'x'"]
)
def test_what_is_clear_does_not_warn(text: str) -> None:
    assert not read(text).warnings


# ---- what evaluation reads


def test_locals_come_before_the_scope() -> None:
    expression = parse("$item")
    assert expression.evaluate(SCOPE) == "scope's"
    assert expression.evaluate(SCOPE, {"item": "mine"}) == "mine"
    assert expression.evaluate(SCOPE, {"index": 1}) == "scope's"
    assert expression.evaluate(SCOPE, {"item": None}) is None


def test_a_bare_name_is_never_a_local() -> None:
    assert parse("row.score").evaluate(SCOPE, {"row": {"score": 0}}) == 60


def test_only_what_is_needed_is_evaluated() -> None:
    for text in ("true or gone", "false and gone", "1 ?? gone", "true ? 1 : gone", "1 if true else gone"):
        parse(text).evaluate(SCOPE)


class _Recorder(MappingScope):
    __slots__ = ("drawn",)

    def draw(self, function: str, make: Callable[[], object]) -> object:
        self.drawn.append(function)
        return f"<{function}>"


def test_what_differs_from_run_to_run_is_drawn_from_the_scope() -> None:
    scope = _Recorder()
    scope.drawn = []
    expression = parse("[now(), today(), uuid(), random(), random(1, 6)]")
    assert expression.calls_recorded
    assert expression.evaluate(scope) == ["<now>", "<today>", "<uuid>", "<random>", "<random>"]
    assert scope.drawn == ["now", "today", "uuid", "random", "random"]
    assert not parse("upper('now()')").calls_recorded


def test_evaluating_changes_nothing_that_was_read() -> None:
    data = {"xs": [3, 1, 2], "o": {"k": [1]}}
    scope = MappingScope(names=data)
    for text in (
        "sort(xs)",
        "reverse(xs)",
        "[...xs, 4]",
        "{...o, k: 2}",
        "merge(o, {k: 3})",
        "xs + [1]",
        "concat(xs, xs)",
    ):
        parse(text).evaluate(scope)
    assert data == {"xs": [3, 1, 2], "o": {"k": [1]}}


def test_an_expression_can_be_evaluated_again_and_makes_new_values() -> None:
    expression = parse("[{a: []}]")
    first, second = expression.evaluate(SCOPE), expression.evaluate(SCOPE)
    assert first == second
    assert first is not second
