"""Fenced code: where a fence opens, and which line closes it.

A fence opens with three or more backticks or tildes that stand first on their line, behind nothing but blanks and the
markers of lists and quotes. It is closed by a line with nothing but a run of the same character, at least as long,
indented at most three columns deeper than the opening. These are CommonMark's rules, but for the indentation of the
opening, which callers judge: nodes are nested, and so are the fences in them.

All lines that could close a fence are found once, in one pass; an opening then only looks through the list. An opening
that is never closed costs a walk to the end of it, so whoever asks must give up after a few of those.
"""

from __future__ import annotations

import re
from bisect import bisect_left

import msgspec

# Behind a line's start: list and quote markers, blanks, the run.
OPENING = r"(?P<lead>(?:[ \t]*+(?:>[ \t]?|(?:[-*+]|\d{1,9}+[.)])[ \t]))*+[ \t]*+)(?P<run>`{3,}+|~{3,}+)"
_OPENING = re.compile(OPENING)
_CLOSING = re.compile(r"^([ \t>]*+)(`{3,}+|~{3,}+)[ \t]*+(?=\n|\Z|</)", re.MULTILINE)


class Fence(msgspec.Struct, frozen=True):
    """An opening fence: its run of `char` is `length` long and stands `column` characters into its line."""

    start: int
    char: str
    length: int
    column: int
    line_end: int
    language: str
    lead: str


class Fences:
    """The fences of one text (a Source's shadow)."""

    __slots__ = ("_closings", "_offsets", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._closings: list[tuple[int, int, str, int, int, int]] | None = None
        self._offsets: list[int] = []

    def opening(self, at: int) -> Fence | None:
        """The fence that opens on the line, or the content, that begins at `at`."""
        found = _OPENING.match(self._text, at)
        return None if found is None else self.of_match(found)

    def of_match(self, found: re.Match[str]) -> Fence | None:
        """The fence of a match that has the groups of `OPENING`, or None if it is inline code after all."""
        text = self._text
        start, behind = found.span("run")
        line_end = text.find("\n", behind)
        if line_end < 0:
            line_end = len(text)
        info = text[behind:line_end]
        if text[start] == "`" and "`" in info:
            return None
        words = info.split(None, 1)
        column = start - (text.rfind("\n", 0, start) + 1)
        return Fence(start, text[start], behind - start, column, line_end, words[0] if words else "", found["lead"])

    def end(self, fence: Fence, owner: str = "", limit: int | None = None) -> tuple[int, int] | None:
        """Where the code ends and where the closing run ends, or None for a fence that is never closed.

        The end tag of the element around it may follow on the closing line: that of the element `owner`, or the
        one that stands at `limit`, behind which nothing is looked at.
        """
        if self._closings is None:
            self._find()
        closings = self._closings
        assert closings is not None
        for index in range(bisect_left(self._offsets, fence.line_end), len(closings)):
            line, run, char, length, run_end, tail = closings[index]
            if limit is not None and run_end > limit:
                return None
            if char != fence.char or length < fence.length or run - line > fence.column + 3:
                continue
            own_end = tail == limit or (owner and self._text.startswith(owner, tail + 2))
            if not own_end and self._text.startswith("</", tail):
                continue
            return line, run_end
        return None

    def _find(self) -> None:
        closings = []
        for found in _CLOSING.finditer(self._text):
            run = found.start(2)
            run_end = found.end(2)
            closings.append((found.start(), run, self._text[run], run_end - run, run_end, found.end()))
        self._closings = closings
        self._offsets = [c[0] for c in closings]
