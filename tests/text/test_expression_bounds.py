"""What an expression can reach, and what it may cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from text.sample import SCOPE, error, read, value
from timing import within
from weft.errors import ExpressionError
from weft.text.expressions import Fuel, MappingScope, parse

# ---- data only


@pytest.mark.parametrize(
    "text",
    [
        "t.__class__", "t['__class__']", "xs.__class__.__mro__[1].__subclasses__()", "t.__class__.__mro__",
        "n.real",
        "{{7*7}}", "${7*7}", "#{7*7}", "''.__class__.mro()[2].__subclasses__()",
        "__import__('os').system('id')",
        "eval('1')", "exec('1')", "open('/etc/passwd').read()", "getattr(t, 'upper')", "globals()",
        "self.__init__",
        "constructor.constructor('return process')()", "this.constructor", "(() => {}).constructor",
        "import('os')",
        "t.format(t)", "'{0.__class__}'.format(t)", "'%s' % t", "f'{t}'", "lambda: 1", "xs.sort()",
        "o.get('k')",
        "t|attr('__class__')", "t|format('x')", "request.application.__globals__",
        "cycler.__init__.__globals__.os",
        "$items.constructor.constructor", "$node['x'].json", "{{constructor.constructor('alert(1)')()}}",
        "%ADgroovy", "T(java.lang.Runtime).getRuntime().exec('id')", "@(1+2)", "#set($x=1)", "<%= 7 * 7 %>",
        "x := 1",
        "upper.__globals__", "map.constructor", "o.__proto__.polluted = 1", "xs[t]", "upper('x').__class__",
    ],
)  # fmt: skip
def test_nothing_but_data_can_be_reached(text: str) -> None:
    try:
        found = value(text)
    except (ExpressionError, KeyError):
        return
    assert found is None


def test_an_object_of_python_has_no_members() -> None:
    scope = MappingScope(names={"x": object(), "y": parse})
    for text in (
        "x.__class__",
        "x['__class__']",
        "y.__globals__",
        "x + 1",
        "x < 1",
        "length(x)",
        "to_text(x)",
        "[...x]",
    ):
        with pytest.raises(ExpressionError):
            parse(text).evaluate(scope)


def test_dunder_keys_of_data_are_plain_keys() -> None:
    assert parse("x.__class__").evaluate(MappingScope(names={"x": {"__class__": 1}})) == 1


# ---- bounds


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000, "(" * 30_000 + "1" + ")" * 30_000, "-" * 60_000 + "1", "!" * 60_000 + "1",
        "not " * 16_000 + "1",
        "[" * 60_000, "{a:" * 20_000, "1 ? " * 10_000, "1 if " * 10_000, "upper(" * 10_000, "xs[" * 20_000,
        "1" + "[0]" * 20_000, "t" + " | upper" * 8_000, "1 ? 2 : " * 5_000 + "3", "map(xs, x => " * 5_000,
        "1 + (" * 10_000, "- ( " * 10_000, "a if b else " * 5_000 + "c", "?" * 60_000, "..." * 20_000,
    ],
)  # fmt: skip
def test_deep_nesting_is_an_error_and_quick(text: str) -> None:
    begin = time.perf_counter()
    caught = error(text)
    within(1, begin)
    assert caught.code in ("WEFT400", "WEFT402", "WEFT403", "WEFT407")


def test_64_levels_are_allowed_and_65_are_not() -> None:
    assert value("(" * 63 + "1" + ")" * 63) == 1
    caught = error("(" * 64 + "1" + ")" * 64)
    assert (caught.message, caught.code) == ("the expression is nested more than 64 levels deep", "WEFT403")
    assert caught.hint == "compute a part of it in a node of its own"


def test_operators_in_a_row_are_not_deep() -> None:
    assert value(" + ".join(["1"] * 10_000)) == 10_000
    assert value(" and ".join(["1"] * 10_000)) == 1
    assert value("o" + ".k" * 1) == 1
    assert value("{}" + ".a" * 20_000) is None


def test_a_long_expression_is_refused() -> None:
    caught = error("1 + " * 20_000 + "1")
    assert (caught.code, caught.message) == ("WEFT403", "the expression has 80,001 characters, more than 65,536")


@pytest.mark.parametrize(
    "text",
    [
        "range(1000000000000)", "range(0, -1000000000000, -1)", "repeat('a', 1000000000)",
        "pad_start('', 1000000000)",
        "product(range(10000), range(10000))", "map(range(10000), x => range(10000))", "zip(range(9e9))",
        "reduce(range(1000), (acc, x) => acc + acc, 'x')", "reduce(range(1000), (acc, x) => acc + acc, [1])",
        "reduce(range(100), (acc, x) => [acc, acc], 1)",
        "reduce(range(100), (acc, x) => {a: acc, b: acc}, 1)",
        "json_encode(reduce(range(100), (acc, x) => [acc, acc], 1))",
        "reduce(range(100), (acc, x) => zip(acc, acc), [1])", "reduce(range(99999), (acc, x) => [acc], 1)",
        "map(range(999999), x => repeat('a', 99999))", "join(range(900000), repeat('a', 1000))",
        "replace(repeat('a', 99999), 'a', repeat('b', 99999))", "pow(9, pow(9, 9))",
        "split(repeat('a', 9999999), '')",
        "map(range(1000), x => map(range(1000), y => map(range(1000), z => 1)))",
        "json_decode(repeat('[', 999999))",
        "reduce(range(99), (acc, x) => merge(acc, {a: acc, b: acc}), {a: 1})", "sqrt(pow(10, 400))",
        "reduce(range(50), (acc, x) => {a: [acc, acc]}, 1) == reduce(range(50), (acc, x) => {a: [acc, acc]}, 1)",
        "unique([reduce(range(50), (acc, x) => [acc, acc], 1)])",
        "chunk(range(1000000), 1) | map(x => chunk(x, 1))",
        "some(range(1000), x => every(range(1000), y => some(range(1000), z => false)) or false)",
    ],
)  # fmt: skip
def test_what_would_not_end_is_refused_quickly(text: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(ExpressionError):
        value(text)
    within(2, begin)


def test_too_expensive_says_so() -> None:
    caught = error("1 + length(range(10000000))")
    assert (caught.code, caught.message) == ("WEFT425", "the expression costs too much")
    assert (
        caught.hint
        == "it may take 1,000,000 steps: work on a smaller list or text, or do this in a python or command node"
    )
    assert (caught.start, caught.end) == (11, 16)


def test_a_million_items_can_be_listed() -> None:
    found = value("range(1000000)")
    assert isinstance(found, list)
    assert len(found) == 1_000_000


def test_fuel_can_be_shared() -> None:
    fuel = Fuel(9_000)
    expression = parse("length(range(10000))")
    assert expression.evaluate(SCOPE, fuel=fuel) == 10_000
    with pytest.raises(ExpressionError, match="the expression costs too much"):
        expression.evaluate(SCOPE, fuel=fuel)


@pytest.mark.torture  # it measures time
def test_a_simple_expression_takes_about_a_microsecond() -> None:
    expression = parse("$item.score > $config.threshold")
    rounds = 20_000
    item = {"item": {"score": 60}}
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(rounds):
            expression.evaluate(SCOPE, item)
        best = min(best, time.perf_counter() - begin)
    assert best / rounds < 5e-6


@pytest.mark.torture  # it measures time
@pytest.mark.parametrize(
    "make",
    [
        lambda n: "a-" * n, lambda n: "x-1" * n, lambda n: "1 + " * n, lambda n: "'" + "\\'" * n,
        lambda n: " " * 4 * n,
        lambda n: "[" + "1," * n, lambda n: "a." * n, lambda n: "{" + "a:1," * n, lambda n: "t|" * n,
        lambda n: "$" * n,
    ],
)  # fmt: skip
def test_parsing_takes_linear_time(make: Callable[[int], str]) -> None:
    def seconds(n: int) -> float:
        text, begin = make(n), time.perf_counter()
        with pytest.raises(ExpressionError):
            read(text)
        return time.perf_counter() - begin

    small = min(seconds(2_000) for _ in range(3))
    large = min(seconds(8_000) for _ in range(3))
    assert large < 10 * small + 0.05
