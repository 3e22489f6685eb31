"""YAML as data: the 1.2 core schema, no surprises, and a place for every value.

The events come from libyaml (`parse`, not `compose`: what is refused must be refused before anything is built from
it), the meaning of scalars is ours: PyYAML follows YAML 1.1, in which `on` is true, `1:30` is 90 and `012` is 10.
Refused, each with its place: aliases and anchors (nine of them make 269 MB out of 308 bytes), tags (code), duplicate
keys (one would be lost), merge keys, several documents, numbers that JSON cannot carry, nesting beyond `MAX_DEPTH`
(libyaml is quadratic in it).

Keys are text: `1: a` has the key "1", as everything here is JSON data in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from weft.errors import DocumentError, ValidationError
from weft.text.source import Diagnostic, Source, Text, quoted

MAX_DEPTH = 100
MAX_VALUES = 400_000
_MAX_DIAGNOSTICS = 20

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# What YAML may hold, complemented. Compiled when needed: that takes longer than most documents.
_UNREADABLE = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
_STYLES = {"'": "single", '"': "double", "|": "literal", ">": "folded"}

# YAML 1.1 ends lines at these, 1.2 does not: libyaml gets stand-ins from a private use area that nobody writes.
_LINE_ENDS = {"\x85": "\U0010f185", "\u2028": "\U0010f128", "\u2029": "\U0010f129"}
_HIDE = str.maketrans(_LINE_ENDS)
_SHOW = str.maketrans({v: k for k, v in _LINE_ENDS.items()})


class Scalar(msgspec.Struct, frozen=True):
    """One value; `text` is what was written, without quotes and before it was read as a number or a word.

    `start` and `end` are offsets in the Source, quotes included. `style` is plain, single, double, literal or folded.
    """

    value: bool | int | float | str | None
    start: int
    end: int
    text: str = ""
    style: str = "plain"

    def within(self, source: Source) -> Text:
        """The text of this scalar, with the way back into the document (coarse where the writing has escapes)."""
        raw = source.text[self.start : self.end]
        for left in (0, 1):
            if raw[left : len(raw) - left] == self.text:
                return Text(self.text, self.start + left, self.end - left)
        starts, places = [], []
        length, at = 0, self.start
        for body in self.text.split("\n"):
            found = source.text.find(body, at, self.end) if body else at
            if found < 0:
                return Text(self.text, self.start, self.end, exact=False)
            starts.append(length)
            places.append(found)
            length += len(body) + 1
            at = found + len(body)
        return Text(self.text, self.start, self.end, tuple(starts), tuple(places))


class Items(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Marked, ...]
    start: int
    end: int

    @property
    def value(self) -> list[Any]:
        """The plain data."""
        return [item.value for item in self.items]


class Mapping(msgspec.Struct, frozen=True):
    """An object; `keys` has the place of each key."""

    entries: dict[str, Marked]
    keys: dict[str, Scalar]
    start: int
    end: int

    @property
    def value(self) -> dict[str, Any]:
        """The plain data."""
        return {key: entry.value for key, entry in self.entries.items()}


Marked = Scalar | Items | Mapping

Place = Callable[[int], int]


def load(text: str, *, source: Source, offset: int | Place = 0, templates: bool = False) -> Marked:
    """The value that `text` stands for, every part with its place in `source`.

    `offset` is where the text begins in the source, or a function from its characters to the source's (`Text.at`).
    With `templates`, a text with an unquoted `{{` is an error. Raises DocumentError with all that was found.
    """
    place = offset if callable(offset) else _shift(offset)
    reader = _Reader(text, source, place, templates)
    value = reader.read()
    if reader.diagnostics or value is None:
        raise DocumentError(reader.diagnostics)
    return value


def loads(text: str) -> Any:
    """The data in a YAML text. Raises ValidationError with line and column."""
    try:
        return load(text, source=Source("", text)).value
    except DocumentError as error:
        first = error.diagnostics[0]
        place = f"line {first.line}, column {first.column}"
        raise ValidationError(f"not valid YAML: {place}: {first.message}", hint=first.hint) from None


def _shift(offset: int) -> Place:
    return lambda index: index + offset


class _Frame:
    """A list or mapping being read."""

    __slots__ = ("entries", "items", "key", "keys", "start")

    def __init__(self, start: int, mapping: bool) -> None:
        self.start = start
        self.items: list[Marked] | None = None if mapping else []
        self.entries: dict[str, Marked] = {}
        self.keys: dict[str, Scalar] = {}
        self.key: Scalar | None = None


class _Stop(Exception):
    """The rest of the text is not looked at."""


class _Reader:
    """Folds libyaml's events into one marked value."""

    def __init__(self, text: str, source: Source, place: Place, templates: bool) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._original = text
        self._strange = any(c in text for c in _LINE_ENDS)
        self._text = text.translate(_HIDE) if self._strange else text
        self._source = source
        self._place = place
        self._templates = templates
        self._stack: list[_Frame] = []
        self._root: Marked | None = None
        self._values = 0
        self._documents = 0

    def read(self) -> Marked | None:
        import yaml

        handlers: dict[str, Callable[[Any], None]] = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": self._open_mapping,
            "SequenceStartEvent": self._open_items,
            "MappingEndEvent": self._close,
            "SequenceEndEvent": self._close,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
        }
        try:
            for event in _events(self._text):
                handler = handlers.get(type(event).__name__)
                if handler is not None:
                    handler(event)
        except _Stop:
            return self._root
        except yaml.reader.ReaderError as error:
            self._unreadable(error)
            return None
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
            return None
        except UnicodeEncodeError as error:
            self._refuse("WEFT111", "half of a surrogate pair is no character", error.start, error.start + 1)
            return None
        if self._root is None:
            end = self._place(len(self._text))
            return Scalar(None, end, end)
        return self._root

    # -- events --------------------------------------------------------------------------------

    def _scalar(self, event: Any) -> None:
        self._decorations(event)
        start, end = event.start_mark.index, event.end_mark.index
        style = _STYLES.get(event.style, "plain")
        text = event.value.translate(_SHOW) if self._strange else event.value
        if style in ("literal", "folded"):
            end = start + len(self._text[start:end].rstrip())
        is_key = bool(self._stack) and self._stack[-1].items is None and self._stack[-1].key is None
        value: bool | int | float | str | None = text
        if style == "plain" and not is_key:
            value = self._resolve(text, start, end)
        self._add(Scalar(value, self._place(start), self._end(start, end), text, style), start, end)

    def _resolve(self, text: str, start: int, end: int) -> bool | int | float | str | None:
        if text in _WORDS:
            return _WORDS[text]
        if self._templates and "{{" in text:
            self._refuse("WEFT124", "a template in YAML needs quotes", start, end, hint=_quote_hint(text))
            return text
        if text[0] not in "+-.0123456789":
            return text
        if _INT.fullmatch(text):
            return self._integer(text, start, end)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number not in (float("inf"), float("-inf")):
                return number
        elif not _NO_NUMBER.fullmatch(text):
            return text
        hint = "write it in quotes to have it as text"
        self._refuse("WEFT117", f"{quoted(text, 30)} is not a finite number", start, end, hint=hint)
        return None

    def _integer(self, text: str, start: int, end: int) -> int | None:
        if len(text) <= 400:
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            number = int(text[2:], base) if base != 10 else int(text)
            if -(2**63) <= number < 2**63:
                return number
        elif not text.lstrip("+-").strip("0"):
            return 0
        hint = "write it in quotes to have it as text"
        self._refuse("WEFT117", f"the integer {quoted(text, 30)} has more than 64 bits", start, end, hint=hint)
        return None

    def _open_mapping(self, event: Any) -> None:
        self._open(event, True)

    def _open_items(self, event: Any) -> None:
        self._open(event, False)

    def _open(self, event: Any, mapping: bool) -> None:
        self._decorations(event)
        start = event.start_mark.index
        if len(self._stack) >= MAX_DEPTH:
            self._refuse("WEFT118", f"lists and objects are nested more than {MAX_DEPTH} deep", start)
            raise _Stop
        self._count(start)
        self._stack.append(_Frame(start, mapping))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        end = max(event.end_mark.index, frame.start)
        if event.end_mark.index == event.start_mark.index:  # a block ends where the next thing begins
            end = frame.start + len(self._text[frame.start : end].rstrip())
        start = self._place(frame.start)
        stop = self._end(frame.start, end)
        if frame.items is not None:
            self._add(Items(tuple(frame.items), start, stop), frame.start, end)
        else:
            self._add(Mapping(frame.entries, frame.keys, start, stop), frame.start, end)

    def _alias(self, event: Any) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        self._refuse("WEFT112", "aliases are not allowed", start, end, hint="write the value out")
        self._add(Scalar(None, self._place(start), self._end(start, end)), start, end)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            start = event.start_mark.index
            self._refuse("WEFT116", "more than one YAML document", start, start + 3, hint="remove the `---`")
            raise _Stop

    # -- building ------------------------------------------------------------------------------

    def _add(self, value: Marked, start: int, end: int) -> None:
        if isinstance(value, Scalar):
            self._count(start)
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if frame.items is not None:
            frame.items.append(value)
        elif frame.key is None:
            frame.key = self._key(frame, value, start, end)
        else:
            frame.entries.setdefault(frame.key.text, value)
            frame.key = None

    def _key(self, frame: _Frame, value: Marked, start: int, end: int) -> Scalar:
        if not isinstance(value, Scalar):
            hint = "a key is text"
            if self._text.startswith("{", start) and self._text[start - 1 : start] == "{":
                hint = _quote_hint("{{ … }}")
                start -= 1
            self._refuse("WEFT119", "a list or an object cannot be a key", start, end, hint=hint)
            return Scalar("", self._place(start), self._place(start), f"\0{start}")
        if value.style == "plain" and value.text == "<<":
            self._refuse("WEFT115", "merge keys are not allowed", start, end, hint="write the keys out")
        elif value.text in frame.keys:
            first = self._source.line_of(frame.keys[value.text].start)
            message = f"the key {quoted(value.text)} is there twice (first in line {first})"
            self._refuse("WEFT114", message, start, end, hint="remove one of them")
        else:
            frame.keys[value.text] = value
        return value

    def _count(self, at: int) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            self._refuse("WEFT118", f"more than {MAX_VALUES:,} values", at)
            raise _Stop

    def _decorations(self, event: Any) -> None:
        start = event.start_mark.index
        if event.anchor is not None:
            self._refuse("WEFT112", "anchors are not allowed", start, start + 1 + len(event.anchor))
        if event.tag is not None:
            hint = "remove it; types are those of JSON"
            self._refuse("WEFT113", f"the tag {quoted(event.tag)} is not allowed", start, hint=hint)

    # -- messages ------------------------------------------------------------------------------

    def _end(self, start: int, end: int) -> int:
        return self._place(end - 1) + 1 if end > start else self._place(start)

    def _refuse(self, code: str, message: str, start: int, end: int | None = None, hint: str | None = None) -> None:
        stop = self._end(start, start + 1 if end is None else end)
        self.diagnostics.append(self._source.diagnostic(code, message, self._place(start), stop, hint=hint))
        if len(self.diagnostics) >= _MAX_DIAGNOSTICS:
            raise _Stop

    def _unreadable(self, error: Any) -> None:
        found = re.search(_UNREADABLE, self._text)
        at = found.start() if found else 0
        code = f"U+{ord(found[0]):04X}" if found else str(error.reason)
        self._refuse("WEFT111", f"the control character {code} is not allowed in YAML", at, at + 1)

    def _syntax(self, error: Any) -> None:
        mark = error.problem_mark or error.context_mark
        at = min(mark.index if mark is not None else 0, len(self._text))
        problem = error.problem or "not valid YAML"
        context = f" ({error.context})" if error.context else ""
        line = self._text[self._text.rfind("\n", 0, at) + 1 :].split("\n", 1)[0]
        hint = None
        if "{{" in line:
            hint = _quote_hint("{{ … }}")
        elif self._text.startswith("\t", at):
            hint = "indent with blanks; YAML allows no tabs there"
        elif "mapping values are not allowed" in problem:
            hint = "a text with `: ` in it needs quotes"
        self._refuse("WEFT111", f"not valid YAML: {problem}{context}", at, at + 1, hint=hint)


def _quote_hint(text: str) -> str:
    return f'write it in quotes: "{text if len(text) <= 40 else "{{ … }}"}"'


def _events(text: str) -> Iterator[Any]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    return events
