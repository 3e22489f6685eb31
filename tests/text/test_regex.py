from __future__ import annotations

import os
import random
import re
import time
from contextlib import suppress

import pytest

from timing import within
from weft.errors import ExpressionError
from weft.text.expressions import MappingScope, parse
from weft.text.regex import search
from weft.text.scope import STEPS, Fault, Frame, Fuel

SCALE = float(os.environ.get("WEFT_FUZZ_SCALE", "1"))


def found(text: str, pattern: str, flags: str = "") -> list[str | None] | None:
    return search(text, pattern, flags, Frame(STEPS, MappingScope(), None, []))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 50 + "b"),
        ("(a|aa)+$", "a" * 50 + "b"),
        ("(.*)*x", "a" * 1_000),
        ("(a|a)*b", "a" * 1_000),
        ("(\\w+\\s?)*$", "word " * 1_000 + "!"),
        ("^(\\w+\\s?)*$", "word " * 1_000 + "!"),
        ("a*a*a*a*a*a*b", "a" * 5_000),
        ("(?:a?){30}a{30}", "a" * 29),
        ("((a*)*)*b", "a" * 3_000),
        ("(x+x+)+y", "x" * 3_000),
        ("(.+)+(.+)+(.+)+;", "z" * 2_000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 2_000),
        ("(\\d+,?)*!", "1," * 3_000),
        ("\\s+$", " " * 20_000 + "x"),
        (".*.*=.*", "x" * 3_000),
    ],
)
def test_patterns_that_backtrack_for_ever_elsewhere_end_here(pattern: str, text: str) -> None:
    begin = time.perf_counter()
    with suppress(Fault):
        found(text, pattern)
    within(1.5, begin)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(.*)*x", "a*a*a*a*a*a*b", "(a|a)*b", "(?:a|b|ab)*c"])
def test_on_a_text_too_long_for_the_pattern_the_error_comes_quickly(pattern: str) -> None:
    expression = parse(f"test(t, '{pattern}')")
    begin = time.perf_counter()
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(MappingScope(names={"t": "a" * 1_000_000 + "-"}))
    within(1.5, begin)
    assert caught.value.message == "the expression costs too much"


@pytest.mark.parametrize(
    ("pattern", "text"), [("needle", "hay " * 1_000_000 + "needle"), ("x\\d\\d$", "x12 " * 250_000 + "x34")]
)
def test_a_plain_pattern_searches_millions_of_characters(pattern: str, text: str) -> None:
    assert found(text, pattern) is not None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "a ( is not closed"), (")", "the ) at character 1 closes nothing"), ("[a", "a [ is not closed"),
        ("[", "a [ is not closed"),
        ("*", "there is nothing before the * at character 1"), ("a**", "two quantifiers stand side by side"),
        ("a++", "two quantifiers stand side by side"), ("a{2}{3}", "two quantifiers stand side by side"),
        ("^*", "an anchor cannot be repeated"),
        ("(a)\\1", "\\1 refers back to a group, which cannot be matched in bounded time"),
        ("(?=a)", "look-around is not supported, it cannot be matched in bounded time"),
        ("(?<!a)", "look-around is not supported, it cannot be matched in bounded time"),
        ("(?i)a", "only (?: ) and (?<name> ) are supported after (?"),
        ("(?P=n)", "only (?: ) and (?<name> ) are supported after (?"),
        ("a{9999}", "nothing is counted beyond 1,000"), ("a{3,2}", "{3,2} counts backwards"),
        ("\\q", "there is no \\q"), ("a\\", "it ends with a backslash"),
        ("[z-a]", "the range z-a is none"), ("[a\\", "it ends with a backslash"),
        ("(" * 50 + ")" * 50, "it is nested more than 40 levels deep"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_be_used_says_why(pattern: str, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        found("a", pattern)
    assert caught.value.code == "WEFT427"
    assert caught.value.message.endswith(f" cannot be used: {reason}")


def test_repetitions_of_repetitions_are_bounded() -> None:
    with pytest.raises(Fault, match="it counts too many repetitions"):
        found("a", "((a{100}){100}){100}")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("[]a]", "]"), ("[^]a]", "x]"), ("[a-]", "-"), ("[-a]", "-"), ("[\\]]", "]"), ("[\\d.]+", "x1.2"),
        ("[[]", "["), ("[a&&b]+", "&a"),
        ("[a||b~~-]+", "|~-"), ("a{,2}b", "aab"), ("a{x}", "a{x}"), ("x{", "x{"), ("{", "{"),
        ("\\x41\\u00fc", "Aü"), ("\\bfoo\\b", "a foo b"),
        ("\\Aa\\Z", "a"), ("a|", "b"), ("|a", "a"), ("()", "a"), ("(?:)", "a"), ("\\.\\*\\[", ".*["),
        ("\\t\\n", "\t\n"), ("é+", "éé"), ("[à-ü]", "ä"),
        ("a??b", "ab"), ("<.+?>", "<a><b>"), ("(a)|(b)", "b"), ("\\-\\/\\#", "-/#"), ("[\\b]", "\b"),
        ("(?P<n>a)b", "ab"),
    ],
)  # fmt: skip
def test_the_dialect_is_that_of_python(pattern: str, text: str) -> None:
    with_python = _quietly(pattern, text)
    assert found(text, pattern) == (None if with_python is None else [with_python.group(), *with_python.groups()])


def _quietly(pattern: str, text: str) -> re.Match[str] | None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.search(pattern, text)


def _pattern(chance: random.Random, depth: int = 0) -> str:
    kind = chance.randrange(12 if depth < 4 else 6)
    if kind < 4:
        return chance.choice(["a", "b", "c", ".", "[ab]", "[^a]", "\\w", "\\s", " "])
    if kind < 6:
        return chance.choice(["^", "$", "\\b", "\\B", "a", "b"])
    if kind < 8:
        return _pattern(chance, depth + 1) + _pattern(chance, depth + 1)
    if kind == 8:
        return f"({_pattern(chance, depth + 1)}|{_pattern(chance, depth + 1)})"
    body = f"({_pattern(chance, depth + 1)})" if chance.random() < 0.5 else f"(?:{_pattern(chance, depth + 1)})"
    return body + chance.choice(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?"])


def test_both_ways_of_matching_find_the_same() -> None:
    """The machine that remembers against `re`, on random patterns and short texts."""
    from weft.text import regex

    chance = random.Random(20240501)
    for _ in range(int(3_000 * SCALE)):
        pattern = _pattern(chance)
        text = "".join(chance.choice("ab c") for _ in range(chance.randrange(9)))
        flags = chance.choice(["", "", "m", "i", "s"])
        program = regex._program(pattern, flags)
        quick = program.quick.search(text)
        slow = program.remembering().search(text, Fuel())
        assert (quick is None) == (slow is None), (pattern, text)
        if quick is not None and slow is not None and not _loops_over_nothing(pattern):
            assert slow == [quick.group(), *quick.groups()], (pattern, text)


def test_many_patterns_pay_for_their_compilation() -> None:
    begin = time.perf_counter()
    with pytest.raises(ExpressionError, match="the expression costs too much"):
        parse("count(range(1000000), i => test('a', 'x(a|b)*' + to_text(i)))").evaluate(MappingScope())
    within(2, begin)


def _loops_over_nothing(pattern: str) -> bool:
    """Where a body may match nothing, `re` leaves a loop in its own way; such patterns never reach it."""
    from weft.text.patterns import ENDLESS, Reader, ways

    return ways(Reader(pattern, "").whole(), 8, False) == ENDLESS
