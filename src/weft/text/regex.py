r"""Regular expressions that end.

Python's `re` backtracks: `(a+)+$` on fifty letters takes longer than anybody lives, holds the interpreter lock
meanwhile, and cannot be interrupted by a thread or a signal handler. A helper process that can be killed was
rejected (an expression starts no processes, and costs microseconds, not 20 ms); so was refusing "dangerous"
patterns alone, because `(\w+\s?)*$` is what people write.

So a pattern is parsed here, into a dialect without the two things that cannot be matched in bounded time
(backreferences and look-around), and then matched in one of two ways with the same meaning:

- by `re`, when the number of ways in which it could possibly backtrack over *this* text, bounded beforehand by
  `patterns.ways`, is small. That is nearly always so, and as fast as ever.
- else by the machine below: it backtracks in the same order, and so finds the same match and groups, but remembers
  every choice it has made at a place and never makes it twice. That bounds the work by pattern x text, and each
  step takes fuel.

`^` and `$` are the ends of the text, of a line with the flag `m`; `.` is no line end without the flag `s`; `i`
ignores case.
"""

from __future__ import annotations

import re
from functools import lru_cache

from weft.text.arguments import text as text_argument
from weft.text.data import show
from weft.text.patterns import (
    Char,
    Either,
    Group,
    Part,
    Place,
    Reader,
    Repeat,
    Row,
    beginning,
    extent,
    ways,
    written,
)
from weft.text.scope import Fault, Frame, Steps, exhausted

MAX_PATTERN = 1_000
"""Characters of a pattern."""

_MAX_EXTENT = 10_000
_QUICK = 1 << 18
"""Steps of `re` that need no second thought: a few milliseconds."""

# ---- the machine

_IS, _SPLIT, _JUMP, _SAVE, _END = range(5)
"""Instructions: this set matches here, go on `b` characters later; try `a`, then `b`; go to `a`; note the place of
border `a` of a group; done."""


class _Machine:
    """A pattern as instructions. What `_IS` holds are patterns of a single character or place."""

    __slots__ = ("begins", "code", "flags", "groups", "heads")

    def __init__(self, part: Part, groups: int, flags: re.RegexFlag, heads: bool) -> None:
        self.groups = groups
        self.flags = flags
        self.heads = heads
        self.begins = re.compile(beginning(part), flags)
        self.code: list[tuple[int, re.Pattern[str] | int, int]] = []
        self._emit(part)
        self._add(_END)

    def _add(self, operation: int, a: re.Pattern[str] | int = 0, b: int = 0) -> int:
        self.code.append((operation, a, b))
        return len(self.code) - 1

    def _emit(self, part: Part) -> None:
        if isinstance(part, (Char, Place)):
            self._add(_IS, re.compile(part.piece, self.flags), int(isinstance(part, Char)))
        elif isinstance(part, Row):
            for each in part.parts:
                self._emit(each)
        elif isinstance(part, Group):
            self._add(_SAVE, 2 * part.number)
            self._emit(part.part)
            self._add(_SAVE, 2 * part.number + 1)
        elif isinstance(part, Either):
            self._emit_either(part)
        elif isinstance(part, Repeat):
            self._emit_repeat(part)

    def _emit_either(self, part: Either) -> None:
        jumps: list[int] = []
        for each in part.parts[:-1]:
            split = self._add(_SPLIT)
            self._emit(each)
            jumps.append(self._add(_JUMP))
            self.code[split] = (_SPLIT, split + 1, len(self.code))
        self._emit(part.parts[-1])
        for jump in jumps:
            self.code[jump] = (_JUMP, len(self.code), 0)

    def _emit_repeat(self, part: Repeat) -> None:
        for _ in range(part.low):
            self._emit(part.part)
        if part.high is None:
            split = self._add(_SPLIT)
            self._emit(part.part)
            self._add(_JUMP, split)
            self._split(split, part.greedy)
            return
        splits: list[int] = []
        for _ in range(part.high - part.low):
            splits.append(self._add(_SPLIT))
            self._emit(part.part)
        for split in splits:
            self._split(split, part.greedy)

    def _split(self, at: int, greedy: bool) -> None:
        into, past = at + 1, len(self.code)
        self.code[at] = (_SPLIT, into, past) if greedy else (_SPLIT, past, into)

    def search(self, text: str, fuel: Steps) -> list[str | None] | None:
        """The first match: the whole and the groups."""
        visited: set[int] = set()
        at = 0
        while at <= len(text):
            begin = self.begins.search(text, at)
            if begin is None:
                return None
            fuel.take(1 + ((begin.start() - at) >> 5))
            places = self._run(text, begin.start(), visited, fuel)
            if places is not None:
                return [
                    None if places[at] < 0 or places[at + 1] < 0 else text[places[at] : places[at + 1]]
                    for at in range(0, 2 * self.groups + 2, 2)
                ]
            if self.heads:
                return None
            at = begin.start() + 1
        return None

    def _run(self, text: str, start: int, visited: set[int], fuel: Steps) -> list[int] | None:
        """The places of the groups of a match that begins at `start`.

        `visited` has the choices (an instruction, a place) that were made: each either failed, or is still
        being tried further up, so making it again cannot help. It holds for all starts of one search.
        """
        code, size = self.code, len(self.code)
        places = [-1] * (2 * self.groups + 2)
        places[0] = start
        stack = [(0, start)]
        while stack:
            pc, at = stack.pop()
            if pc < 0:
                places[~pc] = at
                continue
            while True:
                fuel.left -= 1
                if fuel.left < 0:
                    raise exhausted()
                operation, a, b = code[pc]
                if operation == _IS:
                    if a.match(text, at) is None:  # type: ignore[union-attr]
                        break
                    at += b
                    pc += 1
                elif operation == _SPLIT:
                    choice = at * size + pc
                    if choice in visited:
                        break
                    visited.add(choice)
                    stack.append((b, at))
                    pc = a  # type: ignore[assignment]
                elif operation == _JUMP:
                    pc = a  # type: ignore[assignment]
                elif operation == _SAVE:
                    stack.append((~a, places[a]))  # type: ignore[operator, index]
                    places[a] = at  # type: ignore[index]
                    pc += 1
                else:
                    places[1] = at
                    return places
        return None


class _Program:
    """A compiled pattern."""

    __slots__ = ("flags", "groups", "heads", "machine", "part", "quick", "size", "tries")

    def __init__(self, pattern: str, flags: str) -> None:
        reader = Reader(pattern, flags)
        self.part = reader.whole()
        self.groups = reader.groups
        self.flags = re.IGNORECASE if "i" in flags else re.NOFLAG
        self.size = extent(self.part)
        if self.size > _MAX_EXTENT:
            reader.fail("it counts too many repetitions")
        try:
            self.quick = re.compile(written(self.part), self.flags)
        except (re.error, OverflowError) as error:
            reader.fail(str(error))
        first = self.part.parts[0] if isinstance(self.part, Row) and self.part.parts else self.part
        self.heads = isinstance(first, Place) and first.piece == r"\A"
        self.machine: _Machine | None = None
        self.tries: dict[int, float] = {}

    def search(self, text: str, fuel: Steps) -> list[str | None] | None:
        """The first match: the whole and the groups."""
        size = len(text)
        if size > 256:
            size = 1 << size.bit_length()
        tries = self.tries.get(size, 0.0)
        if not tries:
            tries = self.tries[size] = ways(self.part, size, True)
        starts = 1 if self.heads else len(text) + 1
        cost = tries * starts * self.size
        if cost <= _QUICK or tries <= 16:
            fuel.take(1 + (int(cost) >> 6))
            found = self.quick.search(text)
            return None if found is None else [found.group(), *found.groups()]
        return self.remembering().search(text, fuel)

    def remembering(self) -> _Machine:
        if self.machine is None:
            self.machine = _Machine(self.part, self.groups, self.flags, self.heads)
        return self.machine


@lru_cache(maxsize=256)
def _program(pattern: str, flags: str) -> _Program:
    return _Program(pattern, flags)


def search(text: str, pattern: str, flags: str, frame: Frame) -> list[str | None] | None:
    """The first match of `pattern` in `text` and its groups, or None. A Fault when the pattern cannot be used.

    The first use of a pattern in an evaluation pays for compiling it, whether that was done long ago or not: what
    an expression costs must not depend on what ran before.
    """
    if len(pattern) > MAX_PATTERN:
        raise Fault("WEFT427", f"a pattern has at most {MAX_PATTERN:,} characters, this one has {len(pattern):,}")
    if not set(flags) <= set("ims"):
        raise Fault("WEFT427", f"there are no flags {show(flags)}", "known are i, m and s")
    frame.take(4)
    patterns = frame.patterns
    if patterns is None:
        patterns = frame.patterns = {}
    program = patterns.get((pattern, flags))
    if not isinstance(program, _Program):
        frame.take(100 + 40 * len(pattern))
        program = patterns[pattern, flags] = _program(pattern, flags)
    return program.search(text, frame)


def match(frame: Frame, value: object, pattern: object, flags: object = "") -> list[str | None] | None:
    """`match(text, pattern, flags?)`."""
    return search(text_argument(value), text_argument(pattern), text_argument(flags), frame)
