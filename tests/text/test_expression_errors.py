from __future__ import annotations

import pytest

from text.sample import error
from weft.errors import ExpressionError
from weft.text.expressions import MappingScope, parse

# ---- syntax errors


@pytest.mark.parametrize(
    ("text", "code", "place", "message", "hint"),
    [
        ("", "WEFT401", (0, 1), "the expression is empty", "write a value"),
        ("  ", "WEFT401", (0, 2), "the expression is empty", "write a value"),
        ("1 +", "WEFT400", (3, 4), "the expression ends too early", "a value is missing at the end"),
        ("(1 + 2", "WEFT402", (0, 1), "this ( is not closed", "write )"),
        ("[1, (2]", "WEFT400", (6, 7), "`]` does not fit here: expected an operator or the closing )", None),
        ("1)", "WEFT400", (1, 2), "this `)` closes nothing", "remove it"),
        (
            "'abc",
            "WEFT402",
            (0, 4),
            "this text is not closed: 'abc",
            "end it with ' on the same line; \\n stands for a new line",
        ),
        (
            "t n",
            "WEFT404",
            (2, 3),
            "two values stand side by side without an operator",
            "put an operator between them; texts are joined with +",
        ),
        (
            "'a' 'b'",
            "WEFT404",
            (4, 7),
            "two values stand side by side without an operator",
            "put an operator between them; texts are joined with +",
        ),
        ("n AND t", "WEFT404", (2, 5), "there is no `AND` in expressions", "write `and` or &&"),
        ("typeof n", "WEFT404", (0, 6), "there is no `typeof` in expressions", "write type_of(x)"),
        ("typeof(n)", "WEFT404", (0, 6), "there is no `typeof` in expressions", "write type_of(x)"),
        (
            "new Date",
            "WEFT404",
            (0, 3),
            "there is no `new` in expressions",
            "nothing is constructed here; write the value",
        ),
        ("n is null", "WEFT404", (2, 4), "there is no `is` in expressions", "write == or !="),
        ("n == undefined", "WEFT404", (5, 14), "there is no `undefined` in expressions", "write null"),
        ("[x for x in xs]", "WEFT404", (3, 6), "there are no comprehensions", "write map(list, x => …)"),
        ("n = 1", "WEFT400", (2, 3), "`=` does not compare", "write == (nothing can be assigned here)"),
        ("n <> 1", "WEFT400", (2, 3), "there is no operator `<>`", "write !="),
        ("2 ** 3", "WEFT400", (2, 3), "there is no operator `**`", "write pow(a, b)"),
        ("7 // 2", "WEFT400", (2, 3), "there is no operator `//`", "write floor(a / b)"),
        ("1 & 2", "WEFT400", (2, 3), "there is no operator `&`", "write `and` or &&"),
        ("`x`", "WEFT400", (0, 1), "a text stands in ' or \"", 'join texts with +: "Hello " + name'),
        ("1 < n < 5", "WEFT400", (6, 7), "comparisons cannot be chained", "write a < b and b < c, or use parentheses"),
        ("+1", "WEFT400", (0, 1), "there is no unary `+`", "to_number(x) reads a number from a text"),
        ("5m", "WEFT405", (0, 2), "5m is not a number", 'numbers are 1, 2.5 or 1e3; a duration is a text: "5m"'),
        ("012", "WEFT405", (0, 3), "a number has no leading zero", "write 12"),
        ("0x1F", "WEFT405", (0, 4), "0x1F is not a number", 'numbers are 1, 2.5 or 1e3; a duration is a text: "5m"'),
        (".5", "WEFT400", (0, 1), "a value is missing before `.`", "a number is written 0.5"),
        (
            "9223372036854775808",
            "WEFT405",
            (0, 19),
            "9223372036854775808 does not fit into 64 bits",
            "write it as a text",
        ),
        ("1e999", "WEFT405", (0, 5), "the number is too large", "at most about 1.8e308"),
        ("'\\d'", "WEFT405", (1, 3), "there is no escape \\d", "write \\\\d for a backslash"),
        ("'\\ud800'", "WEFT405", (1, 7), "half of a surrogate pair is no character", None),
        ("lenght(t)", "WEFT406", (0, 6), "there is no function `lenght`", "did you mean length(value)?"),
        ("len(t)", "WEFT406", (0, 3), "there is no function `len`", "did you mean length(value)?"),
        ("t | uper", "WEFT406", (4, 8), "there is no function `uper`", "did you mean upper(text)?"),
        ("t | 'x'", "WEFT406", (4, 7), "after `|` comes a function", "write x | upper"),
        (
            "t.upper()",
            "WEFT406",
            (2, 7),
            "values have no methods: `upper` is called like one",
            "write upper(x) or x | upper",
        ),
        (
            "t.toUpperCase()",
            "WEFT406",
            (2, 13),
            "values have no methods: `toUpperCase` is called like one",
            "write upper(x) or x | upper",
        ),
        ("n(1)", "WEFT406", (0, 1), "`n` is a value and cannot be called", None),
        ("xs[0](1)", "WEFT406", (5, 6), "only functions can be called", "write f(x) or x | f"),
        ("upper()", "WEFT407", (0, 5), "upper cannot take 0 arguments", "it is upper(text)"),
        ("upper(t, 1)", "WEFT407", (0, 5), "upper cannot take 2 arguments", "it is upper(text)"),
        (
            "map(xs, upper)",
            "WEFT407",
            (0, 3),
            "argument 2 of map must be a lambda",
            "it is map(list, (item, index) => value); write x => …",
        ),
        ("upper(x => x)", "WEFT407", (6, 7), "argument 1 of upper is a value, not a lambda", "it is upper(text)"),
        (
            "map(xs, (p, q, r) => 1)",
            "WEFT407",
            (8, 9),
            "a lambda with 3 parameters does not fit here",
            "it is map(list, (item, index) => value)",
        ),
        (
            "x => x",
            "WEFT400",
            (2, 4),
            "`=>` does not fit here: expected an operator or the end",
            "a lambda stands only as an argument: map(xs, x => x.a)",
        ),
        ("$itme", "WEFT409", (0, 5), "there is no $itme", "did you mean $item?"),
        ("$run.name", "WEFT409", (0, 4), "there is no $run.name", "known are $run.id $run.status $run.started_at"),
        ("{a: 1, a: 2}", "WEFT410", (7, 8), 'the key "a" stands twice in one object', None),
        (
            "{fetch-all: 1}",
            "WEFT400",
            (1, 10),
            "`fetch-all` cannot be a key here",
            'write {"a-b": 1} for a key that is no plain name',
        ),
        (
            "{my-key: 1}",
            "WEFT400",
            (1, 3),
            "`my` cannot be a key here",
            'write {"a-b": 1} for a key that is no plain name',
        ),
        (
            "{[t]: 1}",
            "WEFT400",
            (1, 2),
            "`[` cannot be a key here",
            "from_entries([[key, value]]) makes an object with computed keys",
        ),
        ("{'a'}", "WEFT400", (1, 4), "a value is missing after the key", "write {key: value}"),
        ("xs[]", "WEFT400", (3, 4), "an index is missing", "write x[0], x[-1] or x[1:3]"),
        ("xs[::2]", "WEFT400", (4, 5), "a slice has no step", "reverse(xs) turns a list around"),
        ("o.1", "WEFT400", (2, 3), "after a dot comes a name", 'other keys are written x["key"] or x[0]'),
        ("o?.[0]", "WEFT400", (1, 3), "after ?. comes a name", "x[0] of null is null already"),
        ("n ? 1", "WEFT400", (5, 6), "the expression ends too early", "a value is missing at the end"),
        ("1 if n", "WEFT400", (6, 7), "the expression ends too early", "a value is missing at the end"),
        ("n ; t", "WEFT400", (2, 3), "an expression is a single value", "remove the `;`"),
        ("“x”", "WEFT400", (0, 1), "a text stands in straight quotes", "write ' or \""),
        ("and", "WEFT400", (0, 3), "a value is missing before `and`", None),
        ("upper(...xs)", "WEFT400", (6, 9), "... stands only in lists and objects", "write concat(a, b)"),
        ("\x00", "WEFT400", (0, 1), '"\\u0000" means nothing in an expression', None),
    ],
)
def test_a_syntax_error_says_what_where_and_what_to_write(
    text: str, code: str, place: tuple[int, int], message: str, hint: str | None
) -> None:
    caught = error(text)
    assert (caught.code, (caught.start, caught.end), caught.message, caught.hint) == (code, place, message, hint)


# ---- errors of evaluation


@pytest.mark.parametrize(
    ("text", "code", "operator", "message", "hint"),
    [
        ("t + 1", "WEFT420", "+", 'cannot add text "text" and number 1', "to_text(x) makes a text of it"),
        ("1 + 2 + t", "WEFT420", "+", 'cannot add number 3 and text "text"', "to_text(x) makes a text of it"),
        (
            "n + nothing",
            "WEFT420",
            "+",
            "cannot add number 4 and null",
            'x ?? 0 or x ?? "" stands in for a missing value',
        ),
        (
            "o + o",
            "WEFT420",
            "+",
            'cannot add object {"k": 1, "a b": 2} and object {"k": 1, "a b": 2}',
            "merge(a, b) joins objects",
        ),
        ("true + 1", "WEFT420", "+", "cannot add boolean true and number 1", "+ joins numbers, texts, or lists"),
        (
            "t * 3",
            "WEFT420",
            "*",
            '`*` needs two numbers, not text "text" and number 3',
            "repeat(text, times) repeats a text",
        ),
        (
            "n - t",
            "WEFT420",
            "-",
            '`-` needs two numbers, not number 4 and text "text"',
            "to_number(x) reads a number from a text",
        ),
        ("-t", "WEFT420", "-", '`-` needs a number, not text "text"', "to_number(x) reads a number from a text"),
        (
            "t < 1",
            "WEFT420",
            "<",
            'cannot compare text "text" with number 1',
            "to_number(x) reads a number from a text",
        ),
        ("nothing > 1", "WEFT420", ">", "cannot compare null with number 1", "x ?? 0 stands in for a missing number"),
        ("n / 0", "WEFT421", "/", "4 is divided by zero", "b == 0 ? null : a / b"),
        ("n % 0.0", "WEFT421", "%", "4 is divided by zero", "b == 0 ? null : a / b"),
        ("9223372036854775807 + 1", "WEFT422", "+", "the result does not fit into 64 bits", "use a fraction: 1.0 * x"),
        ("3037000500 * 3037000500", "WEFT422", "*", "the result does not fit into 64 bits", "use a fraction: 1.0 * x"),
        ("1e308 * 10", "WEFT422", "*", "the result is too large for a number", None),
        (
            "-(-9223372036854775807 - 1)",
            "WEFT422",
            "-",
            "the result does not fit into 64 bits",
            "use a fraction: 1.0 * x",
        ),
        ("t.length", "WEFT423", ".length", 'text "text" has no member "length"', "write length(x)"),
        (
            "xs.name",
            "WEFT423",
            ".name",
            'list [1, 2, 3, 4] has no member "name"',
            'map(xs, x => x["name"]) reads it from every element, xs[0] is one of them',
        ),
        ("n.x", "WEFT423", ".x", 'number 4 has no member "x"', None),
        (
            "xs[1.0]",
            "WEFT423",
            "[1.0]",
            "the index of a list is a whole number, not number 1.0",
            "floor(x) or round(x) make a whole number",
        ),
        ("xs[true]", "WEFT423", "[true]", "the index of a list is a whole number, not boolean true", None),
        ("o[1]", "WEFT423", "[1]", "an object has texts as keys, not number 1", "x[to_text(key)]"),
        ("n[0]", "WEFT423", "[0]", "number 4 has no members", None),
        ("o[1:2]", "WEFT423", "[1:2]", 'only lists and texts can be cut, not object {"k": 1, "a b": 2}', None),
        ("[...t]", "WEFT420", "...", '`...` needs a list here, not text "text"', None),
        ("{...xs}", "WEFT420", "...", "`...` needs an object here, not list [1, 2, 3, 4]", None),
        ("1 in t", "WEFT424", "in", "a text is needed here, not number 1", "to_text(x) makes a text of a number"),
        (
            "upper(n)",
            "WEFT424",
            "upper",
            "upper: a text is needed here, not number 4",
            "to_text(x) makes a text of a number",
        ),
        ("xs | map(x => x.a)", "WEFT423", ".a", 'number 1 has no member "a"', None),
    ],
)
def test_an_error_of_evaluation_points_at_the_operator_and_shows_the_values(
    text: str, code: str, operator: str, message: str, hint: str | None
) -> None:
    caught = error(text)
    assert (caught.code, caught.message, caught.hint) == (code, message, hint)
    assert text[caught.start : caught.end] == operator


def test_values_in_messages_are_short_and_harmless() -> None:
    scope = MappingScope(names={"x": "\x1b[31m" + "y" * 500 + "\u202e"})
    with pytest.raises(ExpressionError) as caught:
        parse("x + 1").evaluate(scope)
    assert caught.value.message.isprintable()
    assert caught.value.message.startswith('cannot add text "\\u001b[31myyy')
    assert len(caught.value.message) < 100
