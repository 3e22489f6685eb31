"""Names and patterns: what is refused, what they cover, and when two can mean one thing."""

from __future__ import annotations

import itertools
import os
import random
import time
from fnmatch import fnmatchcase

import pytest

from timing import within
from weft.errors import ValidationError
from weft.globs import MAX_PATTERN, exact, meet, parse

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))


def meets(one: str, other: str) -> bool:
    there, back = meet(parse(one), parse(other)), meet(parse(other), parse(one))
    assert there == back
    return there


def covers(pattern: str, path: str) -> bool:
    return meet(parse(pattern), exact(path))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("users", "users"),
        ("db:users", "db:users"),
        ("./a", "a"),
        ("a//b/./c", "a/b/c"),
        ("src/", "src/**"),
        ("src/**/", "src/**"),
        ("a/**/**/b", "a/**/b"),
        (".", "**"),
        ("./", "**"),
        ("two words", "two words"),
    ],
)
def test_a_name_is_cleaned_as_text(text: str, clean: str) -> None:
    assert parse(text).text == clean
    assert parse(clean).text == clean


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a name is empty"),
        ("  ", "a name is empty"),
        ("..", "the name '..' has '..' in it"),
        ("a/../b", "the name 'a/../b' has '..' in it"),
        ("/etc/passwd", "the name '/etc/passwd' is absolute"),
        ("a**b", "the name 'a**b' has '**' beside other text"),
        ("*" * 513, "the name '" + "*" * 59 + "…' has '**' beside other text"),
        ("?" * 513, "the name '" + "?" * 59 + "…' has 513 characters; 512 are allowed"),
        ("a" * 4097, "the name '" + "a" * 59 + "…' has 4,097 characters; 4,096 are allowed"),
    ],
)
def test_what_cannot_be_compared_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        parse(text)
    assert str(refusal.value) == message
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("src/**", "src/a/b.py"),
        ("src/**", "src"),
        ("src/", "src/.hidden/x"),
        ("src/*.py", "src/a.py"),
        ("**/test_*.py", "test_a.py"),
        ("**/test_*.py", "a/b/test_a.py"),
        ("a/**/z", "a/z"),
        ("a/**/z", "a/b/c/z"),
        ("file[0-9].txt", "file7.txt"),
        ("file[!0-9].txt", "filex.txt"),
        (".", "anything/at all"),
        ("*", ".env"),
    ],
)
def test_a_pattern_covers(pattern: str, path: str) -> None:
    assert covers(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("src/*", "src/a/b.py"),
        ("src/*.py", "src/a.md"),
        ("src", "src/a.py"),
        ("src/**", "srcs/a.py"),
        ("a/**/z", "a/z/b"),
        ("file[0-9].txt", "file10.txt"),
        ("A", "a"),
    ],
)
def test_a_pattern_does_not_cover(pattern: str, path: str) -> None:
    assert not covers(pattern, path)


def test_an_existing_file_is_no_pattern_whatever_its_name() -> None:
    assert not meet(parse("a*b"), exact("ab*"))
    assert not meet(exact("a*"), parse("ab"))
    assert covers("a?", "a*")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a*", "*b"),
        ("src/*.py", "src/test_*"),
        ("src/**", "**/x.py"),
        ("**/a/**", "b/**/c"),
        ("[a-c]x", "[c-e]?"),
        ("*a*b*", "*b*a*"),
        ("src/", "src"),
        ("**", "users"),
        ("[!a]", "[!b]"),
    ],
)
def test_two_patterns_meet_when_one_name_fits_both(one: str, other: str) -> None:
    assert meets(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("src/*.py", "src/*.md"),
        ("a/*", "a/*/b"),
        ("src/**", "docs/**"),
        ("a/**/x", "a/**/y"),
        ("[a-c]x", "[d-e]x"),
        ("[!a]", "[a]"),
        ("a*", "b*"),
        ("?", "??"),
        ("users", "user"),
    ],
)
def test_two_patterns_with_nothing_in_common_do_not_meet(one: str, other: str) -> None:
    assert not meets(one, other)


def test_inside_one_part_a_fuzz_of_patterns_fits_what_fnmatch_fits() -> None:
    """The walk by characters, which two patterns need, reads the same dialect as the library does."""
    draw = random.Random(11)
    for _ in range(3_000 * SCALE):
        pattern = "".join(draw.choices("ab-[]!*?^\\", k=draw.randint(1, 7)))
        text = "".join(draw.choices("ab-]!^[\\", k=draw.randint(1, 4)))
        if "**" in pattern:
            continue
        literal = "".join("[[]" if c == "[" else c for c in text)  # a pattern that only fits `text`
        wild = f"[{literal[0]}]{literal[1:]}" if literal[0] not in "[]!^" else literal
        assert fnmatchcase(text, pattern) == covers(pattern, text) == meets(pattern, wild), (pattern, text, wild)


def test_a_fuzz_of_patterns_meets_exactly_when_a_small_name_says_so() -> None:
    """Against every path of up to three parts over a tiny alphabet; patterns of so few characters need no longer ones."""
    words = ["a", "b", "ab", "ba", "aa", "bb"]
    paths = ["/".join(parts) for n in (1, 2, 3) for parts in itertools.product(words, repeat=n)]
    pieces = ["a", "b", "*", "?", "a*", "*b", "**", "[ab]", "[!a]"]
    draw = random.Random(5)
    kinds = set()
    for _ in range(300 * SCALE):
        one, other = ("/".join(draw.choices(pieces, k=draw.randint(1, 3))) for _ in range(2))
        common = next((p for p in paths if covers(one, p) and covers(other, p)), None)
        empty = parse(one).text == parse(other).text == "**"
        assert meets(one, other) == (common is not None or empty), (one, other, common)
        kinds.add(common is not None)
    assert kinds == {True, False}


def test_the_dearest_comparison_is_bounded() -> None:
    one, other = "/".join(["*a"] * (MAX_PATTERN // 3)), "/".join(["*b"] * (MAX_PATTERN // 3))
    stars, more = "*a" * (MAX_PATTERN // 2), "*b" * (MAX_PATTERN // 2)
    deep = "/".join(["**", "a"] * (MAX_PATTERN // 5)) + "/x"
    began = time.perf_counter()
    assert not meets(one, other)
    assert not meets(stars, more)
    assert not meets(deep, deep[:-1] + "y")
    within(5.0, began)
