"""Names of things that tasks share: any text (`users`, `db:users`), a path, or a path with wildcards.

    src/a.py     that file
    src/         the folder and all below it; `.` is everything
    src/*.py     `*`, `?` and `[...]` match inside one part of the path, as in `fnmatch`
    src/**       `**` is any number of parts, none included: `src` itself is covered, too

A name with a leading dot is nothing special here, unlike in a search for files: what a task may touch includes what
a listing hides. Names are compared as they are written, without a look at the disk: `./a//b` is `a/b`, and what
cannot be compared like that (`..`, an absolute path) is refused.

Whether two patterns can name one thing is decided exactly, by walking both at once: part by part, and inside a part
character by character. Rejected: trying one as the text of the other (`a*` and `*b` name `ab`, and neither fits the
other), and comparing only what stands before the first wildcard (`src/*.py` and `src/*.md` have nothing in common).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import NoReturn, TypeVar

import msgspec

from weft.errors import ValidationError

MAX_NAME = 4_096
MAX_PATTERN = 512
"""Characters of a name with wildcards: two are compared in at most the product of their lengths."""

_WILD = re.compile(r"[*?\[]")
_LAST = 0x10FFFF
_T = TypeVar("_T")

Ranges = tuple[tuple[int, int], ...]
"""The code points that one character may have: first and last of each range, ascending."""
_ANY: Ranges = ((0, _LAST),)


class Part(msgspec.Struct, frozen=True):
    """What stands between two slashes."""

    text: str
    wild: bool = False

    @property
    def deep(self) -> bool:
        """It is `**`."""
        return self.wild and self.text == "**"


class Name(msgspec.Struct, frozen=True):
    """A name, taken apart. Two with the same `text` are the same."""

    text: str
    parts: tuple[Part, ...]

    @property
    def wild(self) -> bool:
        """It may name more than one thing."""
        return any(part.wild for part in self.parts)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The parts before the first wildcard."""
        count = next((n for n, part in enumerate(self.parts) if part.wild), len(self.parts))
        return tuple([part.text for part in self.parts[:count]])


_DEEP = Part("**", True)


def is_wild(text: str) -> bool:
    """Whether it has a wildcard."""
    return _WILD.search(text) is not None


def parse(text: str) -> Name:
    """A declared name. Raises ValidationError when it is empty, absolute, too long, or has `..` in it."""
    if not text.strip():
        raise ValidationError("a name is empty", hint="leave it out, or name what is meant")
    if text.startswith("/"):
        _refuse(text, "is absolute", "names are compared as they are written: write it without the leading slash")
    pieces = [piece for piece in text.split("/") if piece not in ("", ".")]
    if ".." in pieces:
        _refuse(text, "has '..' in it", "name it from the folder in which the tasks run")
    if any("**" in piece and piece != "**" for piece in pieces):
        _refuse(text, "has '**' beside other text", "'**' stands alone between slashes")
    most = MAX_PATTERN if is_wild(text) else MAX_NAME
    if len(text) > most:
        _refuse(text, f"has {len(text):,} characters; {most:,} are allowed", "name a folder that holds it")
    parts = [Part(piece, is_wild(piece)) for piece in pieces]
    if not pieces or text.endswith("/"):
        parts.append(_DEEP)
    kept = [part for n, part in enumerate(parts) if not (part.deep and n and parts[n - 1].deep)]
    return Name("/".join([part.text for part in kept]), tuple(kept))


def exact(path: str) -> Name:
    """The name of one existing thing, whatever characters it has: a `*` in it is a star."""
    return Name(path, tuple([Part(piece) for piece in path.split("/")]))


def meet(one: Name, other: Name) -> bool:
    """Whether something can be named by both."""
    if one.text == other.text or not (one.wild or other.wild):
        return one.text == other.text
    return _walk(one.parts, other.parts, lambda part: part.deep, _parts_meet)


@lru_cache(maxsize=4096)
def fitting(part: str) -> Callable[[str], object]:
    """The test whether a text fits one part of a path with wildcards (not `**`): something true when it does."""
    return re.compile(translate(part)).match


def _refuse(text: str, problem: str, hint: str) -> NoReturn:
    shown = text if len(text) <= 60 else text[:59] + "…"
    raise ValidationError(f"the name {shown!r} {problem}", hint=hint)


def _walk(one: Sequence[_T], other: Sequence[_T], skips: Callable[[_T], bool], fit: Callable[[_T, _T], bool]) -> bool:
    """Whether both sequences can be spelled alike: an element that `skips` stands for any number of others."""
    stack = [(0, 0)]
    seen = {(0, 0)}
    while stack:
        i, j = stack.pop()
        if i == len(one) and j == len(other):
            return True
        following = []
        if i < len(one) and skips(one[i]):
            following = [(i + 1, j), (i, j + 1)]
        elif j < len(other) and skips(other[j]):
            following = [(i, j + 1), (i + 1, j)]
        elif i < len(one) and j < len(other) and fit(one[i], other[j]):
            following = [(i + 1, j + 1)]
        for place in following:
            if place not in seen and place[0] <= len(one) and place[1] <= len(other):
                seen.add(place)
                stack.append(place)
    return False


def _parts_meet(one: Part, other: Part) -> bool:
    if not one.wild and not other.wild:
        return one.text == other.text
    if not one.wild:
        return fitting(other.text)(one.text) is not None
    if not other.wild:
        return fitting(one.text)(other.text) is not None
    return _walk(_characters(one.text), _characters(other.text), lambda c: c is None, _ranges_meet)


def _ranges_meet(one: Ranges | None, other: Ranges | None) -> bool:
    return any(a <= d and c <= b for a, b in one or () for c, d in other or ())


@lru_cache(maxsize=4096)
def _characters(text: str) -> tuple[Ranges | None, ...]:
    """What each character of a part may be, in the dialect of `fnmatch`; None is a star."""
    out: list[Ranges | None] = []
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        end = _end_of_class(text, at) if letter == "[" else -1
        if letter == "*":
            out.append(None)
        elif letter == "?":
            out.append(_ANY)
        elif end >= 0:
            out.append(_class(text[at:end]))
            at = end + 1
        else:
            out.append(((ord(letter), ord(letter)),))
    return tuple(out)


def _end_of_class(text: str, start: int) -> int:
    """Where the `]` stands that closes the class; one that comes first belongs to it. -1: it is not closed."""
    first = start + 1 if text.startswith("!", start) else start
    return text.find("]", first + 1)


def _class(inside: str) -> Ranges:
    """The ranges of `[inside]`; one that runs backwards is empty."""
    negated = inside.startswith("!")
    letters = inside[1:] if negated else inside
    ranges = []
    at = 0
    while at < len(letters):
        span = 3 if letters[at + 1 : at + 2] == "-" and at + 2 < len(letters) else 1
        ranges.append((ord(letters[at]), ord(letters[at + span - 1])))
        at += span
    found = tuple(sorted([(first, last) for first, last in ranges if first <= last]))
    return _complement(found) if negated else found


def _complement(ranges: Ranges) -> Ranges:
    out = []
    free = 0
    for first, last in ranges:
        if first > free:
            out.append((free, first - 1))
        free = max(free, last + 1)
    if free <= _LAST:
        out.append((free, _LAST))
    return tuple(out)
