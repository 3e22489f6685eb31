"""From a stretch of the document to the value it stands for, with the way back.

Two ways, and each is the whole truth about its kind of text: an attribute's value is kept as it is but for the four
entities; an element's text loses its first and last blank line and its common indentation, and a fence that is all
of it is taken off. Both give a `Text` that maps its characters back to the document.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from weft.text.fences import Fences
from weft.text.source import Source, Text

_ENTITY = re.compile(r"&(lt|gt|amp|quot);")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_BLANKS = re.compile(r"[ \t]*+")

_Line = tuple[int, int, int]
"""Where a line starts, where its content ends, where its line end ends."""


def attribute_text(source: Source, start: int, end: int, key: int) -> Text:
    """The value of an attribute whose characters between the quotes are `start` to `end`."""
    raw = source.text[start:end]
    if "&" not in raw:
        return Text(raw, start, end, key=key)
    out: list[str] = []
    starts: list[int] = []
    places: list[int] = []
    length = at = 0
    for found in _ENTITY.finditer(raw):
        for piece, place in ((raw[at : found.start()], at), (_ENTITIES[found[1]], found.start())):
            if piece:
                starts.append(length)
                places.append(start + place)
                out.append(piece)
                length += len(piece)
        at = found.end()
    starts.append(length)
    places.append(start + at)
    out.append(raw[at:])
    return Text("".join(out), start, end, tuple(starts), tuple(places), key)


def element_text(source: Source, fences: Fences, spans: Sequence[tuple[int, int]], key: int = -1) -> Text:
    """The text of an element: what stands in `spans`, joined by newlines, trimmed, unwrapped and dedented."""
    groups = [lines for span in spans if (lines := _trimmed(source, span))]
    if not groups:
        start, end = spans[0] if spans else (max(key, 0), max(key, 0))
        return Text("", start, end, key=key)
    lines = [line for group in groups for line in group]
    language = None
    fenced = _unfenced(source, fences, lines)
    if fenced is not None:
        lines, language = fenced
    start, end = groups[0][0][0], groups[-1][-1][1]
    return _dedented(source, lines, start, end, key, language)


def _trimmed(source: Source, span: tuple[int, int]) -> list[_Line]:
    """The lines of a span without the first and the last if they are blank; none if all of them are."""
    lines = _lines(source, *span)
    if len(lines) > 1 and _is_blank(source, lines[0]):
        del lines[0]
    if len(lines) > 1 and _is_blank(source, lines[-1]):
        del lines[-1]
    return [] if all(_is_blank(source, line) for line in lines) else lines


def _lines(source: Source, start: int, end: int) -> list[_Line]:
    shadow, text = source.shadow, source.text
    lines: list[_Line] = []
    while True:
        feed = shadow.find("\n", start, end)
        if feed < 0:
            lines.append((start, end, end))
            return lines
        content = feed - 1 if feed > start and text[feed - 1] == "\r" and text[feed] == "\n" else feed
        lines.append((start, content, feed + 1))
        start = feed + 1


def _is_blank(source: Source, line: _Line) -> bool:
    return not source.text[line[0] : line[1]].strip(" \t\r")


def _unfenced(source: Source, fences: Fences, lines: list[_Line]) -> tuple[list[_Line], str] | None:
    """The lines between, and the language, if one fence is all there is."""
    full = [index for index, line in enumerate(lines) if not _is_blank(source, line)]
    first, last = full[0], full[-1]
    fence = fences.opening(lines[first][0])
    if fence is None or first == last or fence.lead.strip():
        return None
    limit = lines[last][1]
    closed = fences.end(fence, limit=limit)
    if closed is None or closed[0] != lines[last][0]:
        return None
    return lines[first + 1 : last], fence.language


def _dedented(source: Source, lines: list[_Line], start: int, end: int, key: int, language: str | None) -> Text:
    margin = _margin(source, lines)
    text = source.text
    out: list[str] = []
    starts: list[int] = []
    places: list[int] = []
    length = 0
    final = len(lines) - 1
    for index, (line_start, content, behind) in enumerate(lines):
        left = line_start + margin
        if left > content or (margin and text[line_start:left].strip(" \t")):
            left = content  # a blank line that is shorter than the margin, or indented otherwise
        piece = text[left : content if index == final else behind]
        if index != final and behind == content:
            piece += "\n"
        if not places or left - places[-1] != length - starts[-1]:
            starts.append(length)
            places.append(left)
        out.append(piece)
        length += len(piece)
    value = "".join(out)
    if len(places) == 1:
        return Text(value, places[0], max(end, places[0]), key=key, language=language)
    return Text(value, start, end, tuple(starts), tuple(places), key, language)


def _margin(source: Source, lines: list[_Line]) -> int:
    """How many characters of white space all lines that are not blank begin with."""
    leads: set[str] = set()
    for line in lines:
        if not _is_blank(source, line):
            found = _BLANKS.match(source.text, line[0], line[1])
            leads.add("" if found is None else found[0])
    if not leads:
        return 0
    low, high = min(leads), max(leads)
    same = 0
    while same < len(low) and low[same] == high[same]:
        same += 1
    return same
