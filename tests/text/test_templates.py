from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from weft.errors import ExpressionError
from weft.text.scope import Fuel, MappingScope
from weft.text.templates import parse_template, to_text

SCOPE = MappingScope(
    nodes={"scores": {"n": 3, "rows": [1, 2.0, None, "x"]}, "fetch-all": "all"},
    names={"title": "Weft", "sly": "{{ title }} \\{{ {% x %} ${title}"},
    specials={"config": {"threshold": 50}},
)
NODES = ("scores", "fetch-all")


def fill(text: str, **given: bool) -> object:
    return parse_template(text, nodes=NODES, names=("title", "sly")).evaluate(SCOPE, **given)


def error(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        fill(text)
    return caught.value


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("Hello {{ title }}!", "Hello Weft!"),
        ("{{title}}{{title}}", "WeftWeft"),
        ("n={{ scores.output.n }}", "n=3"),
        ("{{ null }}|{{ true }}|{{ false }}|{{ 1.0 }}|{{ 1 }}|{{ 1e100 }}|", "|true|false|1.0|1|1e100|"),
        ("rows: {{ scores.output.rows }}", 'rows: [1,2.0,null,"x"]'),
        ("{{ {a: {b: 1}} }} {{ {a:{b:1}}}}", '{"a":{"b":1}} {"a":{"b":1}}'),
        ("{{ '}}' }} {{ \"}}\" + '{{' }}.", "}} }}{{."),
        ("{{ 'it\\'s }}' }}.", "it's }}."),
        ("\\{{ title }} {{ title }}", "{{ title }} Weft"),
        ("a \\{{ b", "a {{ b"),
        ("}} { } {x}", "}} { } {x}"),
        ("{{ title\n| upper\n}}\n", "WEFT\n"),
        ("ü {{ 'ü€😀' }}", "ü ü€😀"),
        ("{{ fetch-all }}{{ fetch-all.output }}", "allall"),
    ],
)
def test_values_are_put_into_the_text(template: str, text: str) -> None:
    assert fill(template) == text


def test_a_value_is_never_evaluated_again() -> None:
    assert fill("> {{ sly }}") == "> {{ title }} \\{{ {% x %} ${title}"
    assert fill("{{ sly }}") == "{{ title }} \\{{ {% x %} ${title}"


def test_a_single_expression_keeps_the_type_of_its_value() -> None:
    assert parse_template("{{ scores }}", nodes=NODES).is_single
    assert fill("{{ scores.output.rows }}") == [1, 2.0, None, "x"]
    assert fill("{{ scores.output.rows }}", keep_type=False) == '[1,2.0,null,"x"]'
    assert fill("{{ null }}") is None
    assert fill("{{ null }}", keep_type=False) == ""


@pytest.mark.parametrize("template", ["", "x", " {{ title }}", "{{ title }}\n", "{{ title }}{{ title }}", "\\{{ x }}"])
def test_whatever_stands_around_an_expression_makes_it_text(template: str) -> None:
    parsed = parse_template(template)
    assert not parsed.is_single
    assert isinstance(parsed.evaluate(SCOPE), str)


def test_references_and_warnings_have_their_place_in_the_template() -> None:
    text = "Hello {{ title }} and {{ fetch-all.output }} {{ fetch-all }}"
    parsed = parse_template(text, nodes=("fetch", "fetch-all"))
    assert [(r.kind, r.name, r.field, text[r.start : r.end]) for r in parsed.references] == [
        ("name", "title", None, "title"),
        ("node", "fetch-all", "output", "fetch-all.output"),
        ("node", "fetch-all", None, "fetch-all"),
    ]
    assert [text[start:end] for start, end, _, _ in parsed.warnings] == ["fetch-all", "fetch-all"]
    assert [each.text.strip() for each in parsed.expressions] == ["title", "fetch-all.output", "fetch-all"]


def test_a_recorded_call_is_known_before_it_is_made() -> None:
    assert parse_template("it is {{ now() }}").calls_recorded
    assert not parse_template("now() {{ 1 }}").calls_recorded


@pytest.mark.parametrize(
    ("template", "message", "place", "hint"),
    [
        ("ab {{ title", "this {{ is not closed", (3, 5), "end it with }}; write \\{{ for the two braces themselves"),
        ("{{ title }", "this {{ is not closed", (0, 2), "end it with }}; write \\{{ for the two braces themselves"),
        (
            "{{ {a: 1 }} x",
            "this {{ is not closed",
            (0, 2),
            "a { or } inside it has no partner; write \\{{ for the two braces themselves",
        ),
        ("x {{  }}", "the expression is empty", (4, 6), "write a value"),
        (
            "{{ it's }} {{ title }}",
            "this text is not closed: 's ",
            (5, 8),
            "end it with ' on the same line; \\n stands for a new line",
        ),
        (
            "{{ title }} {{ a b }}",
            "two values stand side by side without an operator",
            (17, 18),
            "put an operator between them; texts are joined with +",
        ),
        ("..{{ f(1 }}", "there is no function `f`", (5, 6), "the page on expressions lists all functions"),
    ],
)
def test_a_wrong_template_says_where_in_its_text(
    template: str, message: str, place: tuple[int, int], hint: str
) -> None:
    caught = error(template)
    assert (caught.message, (caught.start, caught.end), caught.hint) == (message, place, hint)


def test_an_error_at_evaluation_has_its_place_in_the_template() -> None:
    caught = error("n: {{ title + 1 }}")
    assert (caught.message, caught.start) == ('cannot add text "Weft" and number 1', 12)


def test_the_length_of_the_text_is_bounded_over_all_expressions() -> None:
    big = MappingScope(names={"x": "y" * 10_000_000})
    parsed = parse_template("{{ x }} {{ x }} {{ x }} {{ x }}")
    with pytest.raises(ExpressionError) as caught:
        parsed.evaluate(big)
    assert (caught.value.message, caught.value.code) == ("the expression costs too much", "WEFT425")


def test_a_template_can_share_fuel_with_others() -> None:
    fuel = Fuel(1_000)
    parse_template("{{ length(range(1000)) }} ").evaluate(SCOPE, fuel=fuel)
    assert fuel.left < 600
    with pytest.raises(ExpressionError, match="the expression costs too much"):
        parse_template("{{ length(range(1000)) }} ").evaluate(SCOPE, fuel=Fuel(fuel.left - 100))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (False, "false"), (0, "0"), (-5, "-5"), (1.0, "1.0"), (0.1, "0.1"),
        ("a", "a"),
        ([], "[]"), ({}, "{}"), ([None, "ü"], '[null,"ü"]'), ({"a": [1, 2]}, '{"a":[1,2]}'),
        ((1, 2), "[1,2]"),
    ],
)  # fmt: skip
def test_the_text_of_a_value(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize("value", [object(), [object()], {"a": 1j}, ["\ud800"]])
def test_what_is_no_data_has_no_text(value: object) -> None:
    with pytest.raises(ExpressionError) as caught:
        to_text(value)
    assert caught.value.code == "WEFT424"


@pytest.mark.torture  # it measures time
@pytest.mark.parametrize(
    "make", [lambda n: "{" * n, lambda n: "{{ 1 }}" * n, lambda n: "\\{{" * n, lambda n: "{{'}}'" + " }}{{'a'" * n]
)
def test_reading_a_template_takes_linear_time(make: Callable[[int], str]) -> None:
    def seconds(n: int) -> float:
        text, begin = make(n), time.perf_counter()
        with suppress(ExpressionError):
            parse_template(text, nodes=("a-b",))
        return time.perf_counter() - begin

    small = min(seconds(4_000) for _ in range(3))
    large = min(seconds(16_000) for _ in range(3))
    assert large < 10 * small + 0.05
