"""Patterns: the dialect of regular expressions that can be matched in bounded time, as a tree.

It is that of `re` without backreferences, look-around, conditionals, possessive and atomic groups. What a
backtracking search could cost is bounded here, too (`ways`), and a part can be written for `re` again
(`written`): both engines in `regex.py` see this tree and nothing else of the user's text.
"""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from weft.text.data import show
from weft.text.scope import Fault

_MAX_NESTING = 40
_MAX_COUNT = 1_000
ENDLESS = float("inf")


# ---- what a pattern is made of


class Part(msgspec.Struct, frozen=True):
    """Anything in a pattern."""


class Char(Part, frozen=True):
    """One character out of a set, written for `re`."""

    piece: str


class Place(Part, frozen=True):
    """A condition on a place, written for `re`: an anchor or a word border."""

    piece: str


class Row(Part, frozen=True):
    parts: tuple[Part, ...]


class Either(Part, frozen=True):
    parts: tuple[Part, ...]


class Group(Part, frozen=True):
    number: int
    part: Part


class Repeat(Part, frozen=True):
    part: Part
    low: int
    high: int | None
    greedy: bool


_CLASSES = frozenset("dDwWsS")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_COUNT = re.compile(r"\{([0-9]{0,6})(?:(,)([0-9]{0,6}))?\}")
_GROUP_NAME = re.compile(r"\?P?<[^\W\d]\w*>")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")


class Reader:
    """The parser of patterns."""

    def __init__(self, pattern: str, flags: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.groups = 0
        self.depth = 0
        self.many_lines = "m" in flags
        self.dot = r"(?s:.)" if "s" in flags else "."

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        raise Fault("WEFT427", f"the pattern {show(self.pattern, 40)} cannot be used: {message}", hint)

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        c = self.peek()
        self.at += 1
        return c

    def whole(self) -> Part:
        part = self.either()
        if self.peek():
            self.fail(f"the ) at character {self.at + 1} closes nothing", "write \\\\) for the character")
        return part

    def either(self) -> Part:
        self.depth += 1
        if self.depth > _MAX_NESTING:
            self.fail(f"it is nested more than {_MAX_NESTING} levels deep")
        branches = [self.row()]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.row())
        self.depth -= 1
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def row(self) -> Part:
        parts: list[Part] = []
        while self.peek() not in ("", "|", ")"):
            anchor = self.peek() != "("
            part = self.single()
            parts.append(self.repeated(part, anchor and isinstance(part, Place)))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def repeated(self, part: Part, anchor: bool) -> Part:
        found = self.count()
        if found is None:
            return part
        low, high = found
        if anchor:
            self.fail("an anchor cannot be repeated")
        if max(low, high or 0) > _MAX_COUNT:
            self.fail(f"nothing is counted beyond {_MAX_COUNT:,}")
        if high is not None and high < low:
            self.fail(f"{{{low},{high}}} counts backwards")
        greedy = self.peek() != "?"
        if not greedy:
            self.at += 1
        elif self.peek() == "+" or self.count() is not None:
            self.fail("two quantifiers stand side by side", "put the first part in (?: )")
        return Repeat(part, low, high, greedy)

    def count(self) -> tuple[int, int | None] | None:
        """A quantifier, consumed; an ill-formed `{` is a character, as in `re`."""
        c = self.peek()
        if c in ("*", "+", "?"):
            self.at += 1
            return (1 if c == "+" else 0), (1 if c == "?" else None)
        match = _COUNT.match(self.pattern, self.at) if c == "{" else None
        if match is None or not (match.group(1) or match.group(3)):
            return None
        self.at = match.end()
        low = int(match.group(1) or 0)
        if match.group(2) is None:
            return low, low
        return low, int(match.group(3)) if match.group(3) else None

    def single(self) -> Part:
        c = self.take()
        if c == "(":
            return self.group()
        if c == "[":
            return Char(self.class_())
        if c == "\\":
            return self.escape()
        if c == ".":
            return Char(self.dot)
        if c == "^":
            return Place("(?m:^)" if self.many_lines else r"\A")
        if c == "$":
            return Place("(?m:$)" if self.many_lines else r"\Z")
        if c in ("*", "+", "?"):
            self.fail(f"there is nothing before the {c} at character {self.at}", f"write \\\\{c} for the character")
        return Char(re.escape(c))

    def group(self) -> Part:
        name = _GROUP_NAME.match(self.pattern, self.at)
        if self.pattern.startswith("?:", self.at):
            self.at += 2
            part = self.either()
        elif self.peek() == "?" and name is None:
            what = "look-around" if self.pattern[self.at + 1 : self.at + 2] in ("=", "!", "<") else "(?"
            self.fail(
                f"{what} is not supported, it cannot be matched in bounded time"
                if what == "look-around"
                else "only (?: ) and (?<name> ) are supported after (?",
                "flags are the third argument: i, m, s" if what == "(?" else None,
            )
        else:
            self.at = name.end() if name is not None else self.at
            self.groups += 1
            number = self.groups
            part = Group(number, self.either())
        if self.take() != ")":
            self.fail("a ( is not closed", "write \\\\( for the character")
        return part

    def escape(self) -> Part:
        c = self.take()
        if c in ("b", "B", "A", "Z", "z"):
            return Place("\\" + ("Z" if c == "z" else c)) if c else self.fail("it ends with a backslash")
        if c in _CLASSES and c:
            return Char("\\" + c)
        return Char(re.escape(self.escaped(c)))

    def escaped(self, c: str) -> str:
        """The character that an escape stands for; `c` is already consumed."""
        if not c:
            self.fail("it ends with a backslash")
        if c in _CONTROLS:
            return _CONTROLS[c]
        found = _HEX.match(self.pattern, self.at - 1)
        if found is not None:
            self.at = found.end()
            return chr(int(found.group(1) or found.group(2), 16))
        if c.isdigit():
            self.fail(f"\\{c} refers back to a group, which cannot be matched in bounded time")
        if c.isalpha():
            self.fail(f"there is no \\{c}")
        return c

    def class_(self) -> str:
        """`[...]`, written out again with every character escaped."""
        pieces: list[str] = []
        negated = self.peek() == "^"
        self.at += negated
        while self.peek() != "]" or not pieces:
            low = self.class_item()
            if self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", "") and len(low) == 1:
                self.at += 1
                high = self.class_item()
                if len(high) != 1 or high < low:
                    self.fail(f"the range {low}-{high} is none")
                pieces.append(f"{re.escape(low)}-{re.escape(high)}")
            else:
                pieces.append(low if len(low) > 1 else re.escape(low))
        self.at += 1
        return f"[{'^' if negated else ''}{''.join(pieces)}]"

    def class_item(self) -> str:
        """One character, or a class like `\\d` (of two characters)."""
        c = self.take()
        if not c:
            self.fail("a [ is not closed", "write \\\\[ for the character")
        if c != "\\":
            return c
        c = self.take()
        if c in _CLASSES and c:
            return "\\" + c
        return "\b" if c == "b" else self.escaped(c)


# ---- what it may cost


def ways(part: Part, size: int, last: bool) -> float:
    """How many ways through `part` a backtracking search over `size` characters can try, at most.

    `last`: nothing follows that could fail, so that the first way is the only one.
    """
    if isinstance(part, Row):
        product = 1.0
        for at, each in enumerate(part.parts):
            product *= ways(each, size, last and at == len(part.parts) - 1)
        return product
    if isinstance(part, Either):
        return sum(ways(each, size, last) for each in part.parts)
    if isinstance(part, Group):
        return ways(part.part, size, last)
    if isinstance(part, Repeat):
        return _ways_of_repeat(part, size, last)
    return 1.0


def _ways_of_repeat(part: Repeat, size: int, last: bool) -> float:
    inside = ways(part.part, size, False)
    high = size + 1 if part.high is None else part.high
    if inside == 1.0 and not (_may_be_empty(part.part) and high != part.low):
        return 1.0 if last else float(max(high - part.low, 0) + 1)
    if _may_be_empty(part.part) or high > 32 or inside > 1e6:
        return ENDLESS
    return float(sum(inside**times for times in range(part.low, max(high, part.low) + 1)))


def extent(part: Part) -> int:
    """How long the part is with its repetitions written out."""
    if isinstance(part, Row):
        return max(1, sum(map(extent, part.parts)))
    if isinstance(part, Either):
        return sum(2 + extent(each) for each in part.parts)
    if isinstance(part, Group):
        return 2 + extent(part.part)
    if isinstance(part, Repeat):
        return 2 + (extent(part.part) + 1) * (part.low + 1 if part.high is None else part.high)
    return 1


def _may_be_empty(part: Part) -> bool:
    if isinstance(part, Row):
        return all(map(_may_be_empty, part.parts))
    if isinstance(part, Either):
        return any(map(_may_be_empty, part.parts))
    if isinstance(part, Group):
        return _may_be_empty(part.part)
    if isinstance(part, Repeat):
        return part.low == 0 or _may_be_empty(part.part)
    return isinstance(part, Place)


def written(part: Part) -> str:
    """The part in the syntax of `re`."""
    if isinstance(part, (Char, Place)):
        return part.piece
    if isinstance(part, Row):
        return "".join(map(written, part.parts))
    if isinstance(part, Either):
        return f"(?:{'|'.join(map(written, part.parts))})"
    if isinstance(part, Group):
        return f"({written(part.part)})"
    assert isinstance(part, Repeat)
    body = written(part.part)
    if not isinstance(part.part, Char):
        body = f"(?:{body})"
    high = "" if part.high is None else part.high
    return f"{body}{{{part.low},{high}}}{'' if part.greedy else '?'}"


def beginning(part: Part) -> str:
    """What every match begins with, as far as it is a row of single characters: finds places to start at."""
    begins = ""
    for each in part.parts if isinstance(part, Row) else (part,):
        if isinstance(each, (Char, Place)):
            begins += each.piece
            continue
        if isinstance(each, Repeat) and isinstance(each.part, Char) and each.low:
            begins += each.part.piece
        break
    return begins
