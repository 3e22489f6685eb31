"""Tags inside Markdown, with exact places, in one pass.

A flow document is Markdown first: what stands in fenced code, in inline code or in an HTML comment is text. The
scanner walks over the text once, skips those, and hands out what looks like a tag. Which tags mean something is the
parser's business; so is the choice between the two ways to read on:

- *among nodes* (`next_tag`): prose, in which code and comments hide tags;
- *raw* (`next_raw`, `find_end`): the text of a leaf or of a setting, in which only a fence hides anything, so that
  shell, Python and templates need no escapes.

Why not a library: expat and lxml refuse prose and fences, html.parser has no columns, Markdown parsers lose offsets.
Why not one regular expression for it all: it was wrong, and quadratic. Here every loop moves forward, and the searches
that could be repeated in vain are remembered:

- a paragraph's backtick runs are listed once, an opening finds its closing in the list;
- a comment, an end tag or a fence that is never closed is looked for once;
- a tag's attributes are read up to the next `<` outside quotes. A stretch can then be read at most three times: how
  quotes toggle between "outside", "in double" and "in single" is a permutation of three states, and of four tags that
  start in one stretch two must agree in it, where the later one's `<` has stopped the earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from weft.text.fences import OPENING, Fences
from weft.text.source import Source, quoted

NAME = r"[A-Za-z][A-Za-z0-9_-]*+(?::[A-Za-z0-9_-]++)*+"

_NAME = re.compile(NAME)
_AMONG = re.compile(
    rf"^{OPENING}|(?P<code>`++)|\\[\\`<]|(?P<comment><!--)|(?P<declaration><![A-Za-z]++)|(?P<tag></?+[A-Za-z])",
    re.MULTILINE,
)
_RAW = re.compile(rf"^{OPENING}|(?P<comment><!--)|<(?P<close>/?+)(?P<name>{NAME})", re.MULTILINE)
_ATTRIBUTE = re.compile(
    r"[ \t\n]++([A-Za-z_@:][A-Za-z0-9_.:@-]*+)"
    r"(?:[ \t\n]*+=[ \t\n]*+(?:\"([^\"]*+)\"|'([^']*+)'|((?:[^ \t\n\"'=<>`/]|/(?!>))++)))?+"
)
_TAG_END = re.compile(r"[ \t\n]*+(/?+)>")
_STOP = re.compile(r"[<>\n]")
_VALUE_STOP = re.compile(r"[<>\n \t\"']|\Z")
_RUNS = re.compile(r"`+")
_BLANK_BEFORE_EQUALS = re.compile(r"[ \t\n]*+=[ \t\n]*+")

MAX_OPEN_FENCES = 8
"""After so many fences that are never closed the rest of the document counts as code."""

Report = Callable[..., None]
"""Called as report(code, message, start, end, hint=...)."""


class Attribute(msgspec.Struct, frozen=True):
    """`name` at `start` to `end`; its value's characters, without the quotes, or -1 where it has none."""

    name: str
    start: int
    end: int
    value_start: int = -1
    value_end: int = -1
    quoted: bool = True


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with the writing of a tag."""

    message: str
    start: int
    end: int
    hint: str | None = None


class Tag(msgspec.Struct, frozen=True):
    """Something of the form `<name ...>`, `<name .../>` or `</name>`.

    It spans `start` to `end`; its name ends at `name_end`. `flaw` says why it is no proper tag (the `>` is missing);
    then `end` is where to read on.
    """

    name: str
    start: int
    name_end: int
    end: int
    closing: bool = False
    empty: bool = False
    attributes: tuple[Attribute, ...] = ()
    flaw: Flaw | None = None


class RawName(msgspec.Struct, frozen=True):
    """A `<name` or `</name` inside raw text."""

    name: str
    start: int
    closing: bool


class Scanner:
    """Reads one Source. `names` are the tags whose lines end a paragraph (and with it inline code)."""

    def __init__(self, source: Source, names: Iterable[str], report: Report) -> None:
        self.source = source
        self.fences = Fences(source.shadow)
        self._text = source.shadow
        self._report = report
        listed = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
        self._paragraph_end = re.compile(rf"\n[ \t]*+(?:\n|\Z|`{{3}}|~{{3}}|#|</?+(?:{listed})[ \t\n/>])")
        self._paragraph = (0, 0)
        self._runs: dict[int, list[int]] = {}
        self._open_fences: set[int] = set()
        self._no_comment_end = len(self._text) + 1
        self._ends: dict[str, tuple[int, tuple[int, int] | None]] = {}

    # -- among nodes ---------------------------------------------------------------------------

    def next_tag(self, pos: int, *, nested: bool) -> Tag | None:
        """The next thing from `pos` on that looks like a tag, outside code and comments.

        `nested` is false before the `<workflow>`: there a fence is indented by at most three blanks.
        """
        while (found := _AMONG.search(self._text, pos)) is not None:
            kind = found.lastgroup
            if kind == "tag":
                tag = self.tag(found.start())
                if tag is not None:
                    return tag
                pos = found.end()
            elif kind == "run":
                pos = self._behind_fence(found, nested)
                if pos < 0:
                    return None
            elif kind == "code":
                pos = self._behind_code(found.start(), found.end())
            elif kind == "comment":
                pos = self._behind_comment(found.start())
            else:
                if kind == "declaration":
                    self._declaration(found)
                pos = found.end()
        return None

    def _behind_fence(self, found: re.Match[str], nested: bool) -> int:
        """Where to read on behind a fence; -1 when all the rest is code."""
        deep = not nested and not found["lead"].strip() and len(found["lead"]) > 3
        fence = None if deep else self.fences.of_match(found)
        if fence is None:
            return self._behind_code(found.start("run"), found.end("run"))
        end = self.fences.end(fence)
        if end is not None:
            return end[1]
        if not self._never_closed(fence.start, fence.length):
            return -1
        return fence.line_end

    def _never_closed(self, start: int, length: int) -> bool:
        """Reports an open fence, once. False when there have been too many to go on."""
        if start not in self._open_fences:
            if len(self._open_fences) >= MAX_OPEN_FENCES:
                return False
            self._open_fences.add(start)
            run = self._text[start : start + min(length, 10)]
            hint = f"end it with a line that is just {run}"
            self._report("WEFT202", "this code fence is never closed", start, start + length, hint=hint)
        return True

    def _behind_code(self, start: int, end: int) -> int:
        """Behind the inline code that opens with the run of backticks `start` to `end`, or behind the run."""
        if not self._paragraph[0] <= start < self._paragraph[1]:
            self._read_paragraph(start)
        runs = self._runs.get(end - start)
        # Runs are asked for in order: what stands before an opening is never needed again.
        while runs and runs[-1] <= start:
            runs.pop()
        if not runs:
            return end
        return runs.pop() + end - start

    def _read_paragraph(self, start: int) -> None:
        found = self._paragraph_end.search(self._text, start)
        end = len(self._text) if found is None else found.start()
        runs: dict[int, list[int]] = {}
        for run in _RUNS.finditer(self._text, start, end):
            runs.setdefault(run.end() - run.start(), []).append(run.start())
        for places in runs.values():
            places.reverse()
        self._runs = runs
        self._paragraph = (start, end)

    def _behind_comment(self, start: int) -> int:
        end = self._comment_end(start)
        if end is not None:
            return end
        if self._no_comment_end == start:  # the first of its kind; the others have the same cause
            hint = "end it with -->"
            self._report("WEFT203", "this comment is never closed", start, start + 4, hint=hint)
        return start + 4

    def _comment_end(self, start: int) -> int | None:
        text = self._text
        if text.startswith("<!-->", start):
            return start + 5
        if start >= self._no_comment_end:
            return None
        end = text.find("-->", start + 4)
        if end < 0:
            self._no_comment_end = start
            return None
        return end + 3

    def _declaration(self, found: re.Match[str]) -> None:
        name = found[0][2:]
        if name.upper() in ("DOCTYPE", "ENTITY", "ELEMENT", "ATTLIST", "NOTATION"):
            hint = "remove it, or write it as code: `<!…>`; entities are never expanded"
            message = f"`<!{name}` is not allowed in a flow document"
            self._report("WEFT204", message, found.start(), found.end(), hint=hint)

    # -- one tag -------------------------------------------------------------------------------

    def tag(self, start: int) -> Tag | None:
        """The tag at `start`, or None where the `<` begins no tag at all (`<https://...>`, `<5`)."""
        text = self._text
        closing = text.startswith("/", start + 1)
        found = _NAME.match(text, start + 1 + closing)
        if found is None:
            return None
        name, name_end = found[0], found.end()
        if name_end < len(text) and text[name_end] not in " \t\n/>":
            return None
        if closing:
            return self._closing_tag(name, start, name_end)
        attributes: list[Attribute] = []
        at = name_end
        while (found := _ATTRIBUTE.match(text, at)) is not None:
            at = found.end()
            group = found.lastindex
            if group is None or group == 1:
                attributes.append(Attribute(found[1], found.start(1), found.end(1)))
            else:
                attributes.append(Attribute(found[1], *found.span(1), *found.span(group), group != 4))
        end = _TAG_END.match(text, at)
        if end is None:
            return self._flawed(name, start, name_end, at, attributes)
        return Tag(name, start, name_end, end.end(), False, bool(end[1]), tuple(attributes))

    def _closing_tag(self, name: str, start: int, name_end: int) -> Tag:
        end = _TAG_END.match(self._text, name_end)
        if end is not None:
            return Tag(name, start, name_end, end.end(), closing=True)
        flaw = Flaw(f"`</{name}` is not ended", start, name_end, f"write `</{name}>`")
        return Tag(name, start, name_end, self._resync(name_end), closing=True, flaw=flaw)

    def _resync(self, at: int) -> int:
        """Where to read on behind a flaw: behind the next `>`, or before the next `<`, of the same line."""
        found = _STOP.search(self._text, at)
        if found is None:
            return len(self._text)
        return found.end() if found[0] == ">" else found.start()

    def _flawed(self, name: str, start: int, name_end: int, at: int, attributes: list[Attribute]) -> Tag:
        text = self._text
        if attributes and attributes[-1].value_end >= 0:
            last = attributes[-1]
            value = text[last.value_start : last.value_end]
            if last.quoted and ("\n" in value or "<" in value or value.rstrip().endswith("=")):
                return self._open_quote(name, start, name_end, attributes)
        equals = _BLANK_BEFORE_EQUALS.match(text, at)
        if attributes and attributes[-1].end == at and equals is not None:
            last = attributes[-1]
            opened = text.startswith(('"', "'"), equals.end())
            message = f"the value of `{last.name}` has an opening quote and no closing one"
            if not opened:
                message = f"`{last.name}=` has no value"
            flaw = Flaw(message, equals.end() if opened else last.start, equals.end() + 1, 'write name="value"')
            return Tag(name, start, name_end, self._resync(equals.end()), attributes=tuple(attributes), flaw=flaw)
        while at < len(text) and text[at] in " \t\n":
            at += 1
        if at >= len(text) or text[at] == "<":
            flaw = Flaw(f"`<{name}` is not ended", start, name_end, "end the tag with `>` or `/>`")
            return Tag(name, start, name_end, at, attributes=tuple(attributes), flaw=flaw)
        hint = 'attributes are written name="value", with blanks between them'
        flaw = Flaw(f"unexpected {quoted(text[at])} in the tag `<{name}>`", at, at + 1, hint)
        end = self._resync(at)
        empty = text.startswith("/>", end - 2)
        return Tag(name, start, name_end, end, empty=empty, attributes=tuple(attributes), flaw=flaw)

    def _open_quote(self, name: str, start: int, name_end: int, attributes: list[Attribute]) -> Tag:
        """A tag whose last value ran on to the next quote, which opens another value: its own quote is missing."""
        last = attributes[-1]
        end = self._resync(last.value_start)
        empty = self._text.startswith("/>", end - 2)
        stop = _VALUE_STOP.search(self._text, last.value_start)
        value_end = last.value_start if stop is None else stop.start()
        attributes[-1] = Attribute(last.name, last.start, last.end, last.value_start, value_end)
        place = last.value_start - 1
        message = f"the value of `{last.name}` has an opening quote and no closing one"
        flaw = Flaw(message, place, place + 1, 'write name="value"')
        return Tag(name, start, name_end, max(end, name_end), False, empty, tuple(attributes), flaw)

    # -- raw text ------------------------------------------------------------------------------

    def next_raw(self, pos: int, begin: int, owner: str) -> RawName | None:
        """The next `<name` or `</name` from `pos` on in the text of `owner`, which begins at `begin`.

        Fences hide what is in them, and comments what is in them as long as that is not the owner's end tag.
        """
        text = self._text
        if pos == begin:
            pos = self._behind_raw_fence(pos, owner)
        while (found := _RAW.search(text, pos)) is not None:
            if found["name"] is not None:
                return RawName(found["name"], found.start(), bool(found["close"]))
            if found["comment"] is not None:
                pos = self._behind_raw_comment(found.start(), owner)
            else:
                pos = self._behind_raw_fence(found.start(), owner, found.end())
        return None

    def _behind_raw_comment(self, start: int, owner: str) -> int:
        close = self._comment_end(start)
        own = self.find_end(owner, start + 4)
        if close is None or (own is not None and own[0] < close):
            return start + 4
        return close

    def _behind_raw_fence(self, line: int, owner: str, otherwise: int | None = None) -> int:
        """Behind the fence that opens on the line beginning at `line`; `otherwise` (or `line`) if none does."""
        stay = line if otherwise is None else otherwise
        fence = self.fences.opening(line)
        if fence is None:
            return stay
        if len(self._open_fences) >= MAX_OPEN_FENCES:
            return fence.line_end  # looking for an end in vain again and again would be quadratic
        end = self.fences.end(fence, owner)
        if end is not None:
            return end[1]
        self._never_closed(fence.start, fence.length)
        return fence.line_end

    def find_end(self, owner: str, begin: int) -> tuple[int, int] | None:
        """Where the first end tag of `owner` from `begin` on stands that no fence hides, or None.

        What was found, or not found, is remembered: asking again from further on costs nothing.
        """
        known = self._ends.get(owner)
        if known is not None and known[0] <= begin and (known[1] is None or begin <= known[1][0]):
            return known[1]
        found = self._find_end(owner, begin)
        self._ends[owner] = (begin, found)
        return found

    def _find_end(self, owner: str, begin: int) -> tuple[int, int] | None:
        text = self._text
        if text.find(f"</{owner}", begin) < 0:
            return None
        pattern = re.compile(rf"^{OPENING}|</{re.escape(owner)}[ \t\n]*+>", re.MULTILINE)
        pos = self._behind_raw_fence(begin, owner)
        while (found := pattern.search(text, pos)) is not None:
            if found["run"] is None:
                return found.span()
            pos = self._behind_raw_fence(found.start(), owner, found.end())
        return None
