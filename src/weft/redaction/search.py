"""Finds the forms of secrets in a text.

Every form of every secret is known beforehand; a regular expression looks for their first six characters, and
only where one is found are the forms that begin so compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from weft.redaction.forms import MIN_LENGTH, Form

Text = TypeVar("Text", str, bytes)


class Search(Generic[Text]):
    """Finds spellings in a text (or in bytes)."""

    __slots__ = ("_by_head", "_find", "_longest", "_starts")

    def __init__(self, spelled: list[tuple[Text, Form]]) -> None:
        by_head: dict[Text, list[tuple[Text, Form]]] = {}
        for text, form in spelled:
            by_head.setdefault(text[:MIN_LENGTH], []).append((text, form))
        for entries in by_head.values():
            entries.sort(key=lambda entry: -len(entry[0]))
        self._by_head: dict[Text, list[tuple[Text, Form]]] = by_head
        self._find: Callable[[Text, int], re.Match[Text] | None] = _alternation(list(by_head)).search
        self._longest = max(len(text) for text, _ in spelled)
        self._starts: set[Text] = {head[:size] for head in by_head for size in range(1, MIN_LENGTH)}

    def spans(self, text: Text) -> Iterator[tuple[int, int, Form]]:
        """The occurrences from left to right, the longest where several begin, none overlapping."""
        at = 0
        while found := self._find(text, at):
            start = found.start()
            at = start + 1
            for spelling, form in self._by_head[text[start : start + MIN_LENGTH]]:
                if text.startswith(spelling, start):
                    at = start + len(spelling)
                    yield start, at, form
                    break

    def replaced(self, text: Text, by: Text) -> Text:
        """`text` with `by` in place of each occurrence; itself when there is none."""
        out: list[Text] = []
        at = 0
        for start, end, _ in self.spans(text):
            out += (text[at:start], by)
            at = end
        return text[:0].join(out) + text[at:] if out else text

    def occurs(self, text: Text) -> bool:
        """Whether there is one."""
        return next(self.spans(text), None) is not None

    def undecided(self, text: Text, start: int) -> int:
        """Where, from `start` on, the end begins that more text could turn into an occurrence; else the length."""
        for at in range(max(start, len(text) - self._longest + 1), len(text)):
            head = text[at : at + MIN_LENGTH]
            if len(head) < MIN_LENGTH:
                if head in self._starts:
                    return at
            elif head in self._by_head:
                rest = text[at:]
                if any(len(s) > len(rest) and s.startswith(rest) for s, _ in self._by_head[head]):
                    return at
        return len(text)


def _alternation(heads: list[Text]) -> re.Pattern[Text]:
    """A pattern of all heads, those with the same first character together."""
    empty = heads[0][:0]
    by_first: dict[Text, list[Text]] = {}
    for head in heads:
        by_first.setdefault(head[:1], []).append(re.escape(head[1:]))
    if isinstance(empty, str):
        groups = [re.escape(first) + "(?:" + "|".join(rest) + ")" for first, rest in by_first.items()]
        return re.compile("|".join(groups))
    parts = [re.escape(first) + b"(?:" + b"|".join(rest) + b")" for first, rest in by_first.items()]
    return re.compile(b"|".join(parts))
