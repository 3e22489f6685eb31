"""The lines at the top of a task's body that say how it is to be run: `reads:`, `writes:`, `needs:`, `verify:`.

    reads: src/auth/**, docs/login.md        paths of the repository, with globs; commas or blanks between them
    writes:                                  or one to a line, as a list
    - src/auth/**
    needs: 1, 2                              tasks that must be done before
    verify: make test                        a command that must succeed after it

Names are in lower case and stand first; the first other line ends them. `none` for paths or needs is an empty list,
which says something: a task that declares nothing may touch everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from weft.errors import nearest
from weft.text.notes import Notes
from weft.text.source import Source, quoted

NAMES = ("reads", "writes", "needs", "verify")
_OPTION = re.compile(
    r" {0,3}(?P<lead>(?:[-*+][ \t]++)?+)(?P<name>[A-Za-z]{3,12}+):"
    r"(?P<value>(?:[ \t][^\n]*+)?)(?=\n|\Z)"
)
_BLANK = re.compile(r"(?:[^\S\n]*+(?:\n|\Z))*+")
_ITEM = re.compile(r"[ \t]{0,7}[-*+][ \t]++(?P<value>[^\n]*+)(?=\n|\Z)")
_LATE = re.compile(r"^ {0,3}(?P<name>reads|writes|needs|verify):(?=[ \t]++[^\s])[^\n]*+", re.MULTILINE)
_QUOTES = {"`": "`", '"': '"', "'": "'"}
_HINTS = {
    "reads": "name paths: `reads: src/**, docs/`, or write `none`",
    "writes": "name paths: `writes: src/**, docs/`, or write `none`",
    "needs": "name tasks by number: `needs: 1, 2`, or write `none`",
    "verify": "write a command: `verify: make test`",
}


class Need(msgspec.Struct, frozen=True):
    """A task number in `needs:`, and where it stands."""

    number: int
    start: int
    end: int


class Options(msgspec.Struct, frozen=True):
    """What stood at the top of a body. None for paths: not declared. The text begins at offset `end`."""

    end: int
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None
    needs: tuple[Need, ...] = ()
    verify: str | None = None


class _Piece(msgspec.Struct, frozen=True):
    """A part of a value: its text without quotes, and where it stands with them."""

    text: str
    start: int
    end: int


def read_options(source: Source, start: int, end: int, notes: Notes) -> Options:
    """The options of the body from `start` to `end`. What is wrong goes to `notes`."""
    reader = _Reader(source, end, notes)
    reader.read(start)
    return msgspec.structs.replace(Options(reader.at), **reader.values)


def late_options(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """Start, end and name of what looks like an option in the text from `start` to `end`, where it is none."""
    return [(m.start("name"), m.end(), m["name"]) for m in _LATE.finditer(text, start, end)]


class _Reader:
    """Reads options until a line is none. `at` is the offset behind the last one."""

    def __init__(self, source: Source, end: int, notes: Notes) -> None:
        self.at = 0
        self.values: dict[str, object] = {}
        self._text = source.shadow
        self._end = end
        self._notes = notes
        self._first: dict[str, int] = {}
        self._readers: dict[str, Callable[[str, list[_Piece]], object]] = {
            "reads": self._paths,
            "writes": self._paths,
            "needs": self._needs,
        }

    def read(self, start: int) -> None:
        self.at = start
        while True:
            line = self._skip_blank(self.at)
            found = _OPTION.match(self._text, line, self._end)
            if found is None:
                return
            name = found["name"]
            if name not in NAMES or found["lead"]:
                self._doubt(found)
                return
            self._option(name, found)

    def _skip_blank(self, at: int) -> int:
        """The start of the first line that is not blank."""
        found = _BLANK.match(self._text, at, self._end)
        return at if found is None else found.end()

    def _option(self, name: str, found: re.Match[str]) -> None:
        at, end = found.span("name")
        self.at = min(found.end() + 1, self._end)
        first = self._first.setdefault(name, at)
        if first != at:
            message = f"{name}: is given twice in this task, first on line {self._notes.line(first)}"
            self._notes.error("WEFT620", message, at, end, hint=f"write one {name}: with all of it")
        if name == "verify":
            value: object = self._command(found)
        else:
            pieces = self._pieces(found.start("value"), found.end("value"))
            if not pieces:
                pieces = self._list()
            value = self._readers[name](name, pieces)
            if not pieces:
                self._notes.error("WEFT621", f"{name}: has no value", at, end + 1, hint=_HINTS[name])
        if first == at:
            self.values[name] = value

    def _command(self, found: re.Match[str]) -> str | None:
        text = found["value"].strip()
        if len(text) > 2 and text[0] == text[-1] == "`" and "`" not in text[1:-1]:
            text = text[1:-1].strip()
        if not text or text == "``":
            at, end = found.span("name")
            self._notes.error("WEFT621", "verify: has no value", at, end + 1, hint=_HINTS["verify"])
            return None
        return text

    # -- lists ---------------------------------------------------------------------------------

    def _list(self) -> list[_Piece]:
        """The pieces of the list that begins at `at`, one item or more to a line."""
        pieces: list[_Piece] = []
        while (found := _ITEM.match(self._text, self.at, self._end)) is not None:
            pieces += self._pieces(found.start("value"), found.end("value"))
            self.at = min(found.end() + 1, self._end)
        return pieces

    def _pieces(self, at: int, end: int) -> list[_Piece]:
        """The parts of a value: commas or blanks are between them, but not between quotes."""
        text, pieces = self._text, []
        while at < end:
            char = text[at]
            if char in ", \t\v\f\r":
                at += 1
                continue
            stop = text.find(_QUOTES[char], at + 1, end) if char in _QUOTES else -1
            if stop >= 0:
                pieces.append(_Piece(text[at + 1 : stop], at, stop + 1))
                at = stop + 1
                continue
            stop = at + 1
            while stop < end and text[stop] not in ", \t\v\f\r":
                stop += 1
            pieces.append(_Piece(text[at:stop], at, stop))
            at = stop
        return pieces

    def _paths(self, name: str, pieces: list[_Piece]) -> tuple[str, ...]:
        if [piece.text for piece in pieces] == ["none"]:
            return ()
        out = []
        for piece in pieces:
            reason = _unfit(piece.text)
            if reason is None:
                out.append(piece.text.removeprefix("./"))
                continue
            hint = "paths are relative to the repository: `src/auth/**`"
            self._notes.error("WEFT622", f"{quoted(piece.text)} {reason}", piece.start, piece.end, hint=hint)
        return tuple(dict.fromkeys(out))

    def _needs(self, name: str, pieces: list[_Piece]) -> tuple[Need, ...]:
        if [piece.text for piece in pieces] == ["none"]:
            return ()
        out: dict[int, Need] = {}
        for piece in pieces:
            digits = piece.text.lstrip("0")
            if digits.isascii() and digits.isdigit() and len(digits) <= 6:
                out.setdefault(int(digits), Need(int(digits), piece.start, piece.end))
            else:
                message = f"{quoted(piece.text)} is not the number of a task"
                self._notes.error("WEFT623", message, piece.start, piece.end, hint=_HINTS["needs"])
                break
        return tuple(out.values())

    # -- lines that are none -------------------------------------------------------------------

    def _doubt(self, found: re.Match[str]) -> None:
        """A warning for a line that is nearly an option."""
        name = found["name"]
        close = [name.lower()] if name.lower() in NAMES else nearest(name, NAMES) if name.islower() else []
        if close:
            message = f"`{name}:` is no option: the line is part of the text"
            hint = f"did you mean `{close[0]}:`?" if name != close[0] else "write it without the list's marker"
            self._notes.warn("WEFT627", message, *found.span("name"), hint=hint)


def _unfit(path: str) -> str | None:
    """Why a path cannot be one inside the repository; None when it can."""
    if not path or not path.isprintable():
        return "is not a path"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", path):
        return "is not relative"
    if "\\" in path:
        return "has a backslash"
    parts = path.split("/")
    if ".." in parts:
        return "leads out of the repository"
    if ".git" in parts:
        return "is git's own"
    if "{" in path or "}" in path:
        return "has braces, which are no wildcards here"
    if any("**" in part and part != "**" for part in parts):
        return "has a ** that does not stand alone between slashes"
    return None
