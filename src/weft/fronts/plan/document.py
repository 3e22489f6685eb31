"""A plan: a Markdown file of tasks, read.

Only lines matter here: those that are a task's heading, and the fences that make a line no heading. Everything else
is text for the agents and is handed on as it stands, whatever it looks like: a plan may speak of tags, shells, fences
and of plans. What is taken off a body is blanks at both ends and the options at its top.

All that is wrong is said at once, and nothing is repaired: a plan that could be read in two ways starts no agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from weft.errors import DocumentError
from weft.fronts.plan.headings import Heading, Wrong, read_heading
from weft.fronts.plan.needs import check_needs, warn_of_cut_blocks
from weft.fronts.plan.options import Options, late_options, read_options
from weft.text.fences import OPENING, Fence, Fences
from weft.text.notes import Notes
from weft.text.source import Diagnostic, Source
from weft.values import digest

_INTERESTING = re.compile(
    rf"^(?:{OPENING}|(?P<line>[ \t]*+(?:(?:>[ \t]?|[-*+][ \t]|\d{{1,9}}+[.)][ \t])[ \t]*+)*+(?:\#|\*\*|__)[^\n]*+)"
    r"|(?P<under> {0,3}[Tt]ask[ \t]++\d[^\n]*+)\n {0,3}(?:=++|-{2,}+)[ \t]*+$)",
    re.MULTILINE,
)
_QUOTE = re.compile(r" {0,3}>")
_EDGE = " \t\n\v\f\r"


class Task(msgspec.Struct, frozen=True):
    """One task of a plan.

    `text` is the body without its options, trimmed, line ends as LF. `line` is that of the heading, `body_line` that of
    the text's first line, both from 1. `reads` and `writes` are None when they are not declared, `needs` are numbers of
    earlier tasks. `digest` (sha256, hex) is over title, text and `verify`: what says what is to be done and when it is
    done. The number, `(parallel)`, paths and needs say when it runs, and are not in it.
    """

    number: int
    title: str | None
    parallel: bool
    text: str
    line: int
    body_line: int
    reads: tuple[str, ...] | None
    writes: tuple[str, ...] | None
    needs: tuple[int, ...]
    verify: str | None
    digest: str

    @property
    def name(self) -> str:
        """`task 3: Add CI`, or `task 3`."""
        return f"task {self.number}: {self.title}" if self.title else f"task {self.number}"


class Plan(msgspec.Struct, frozen=True):
    """A plan without errors: its tasks by rising number, and the text before the first of them, trimmed."""

    name: str
    preamble: str
    tasks: tuple[Task, ...]

    def task(self, number: int) -> Task | None:
        """The task with that number."""
        return next((task for task in self.tasks if task.number == number), None)


class Read(msgspec.Struct, frozen=True):
    """What came of reading a plan: the plan, unless there were errors, and all diagnostics in document order."""

    source: Source
    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]


def read_plan(source: Source) -> Read:
    """Reads a plan. Never raises; linear in the size of the text."""
    reader = _Reader(source)
    plan = reader.read()
    notes = reader.notes
    return Read(source, plan, tuple(notes.sorted()))


def require_plan(source: Source) -> Plan:
    """The plan of a text. Raises DocumentError with all its diagnostics."""
    read = read_plan(source)
    if read.plan is None:
        raise DocumentError(read.diagnostics, source)
    return read.plan


class _Place(msgspec.Struct, frozen=True):
    """A task's heading: its line spans `start` to `end`."""

    heading: Heading
    start: int
    end: int


class _Reader:
    """Reads one plan."""

    def __init__(self, source: Source) -> None:
        self.notes = Notes(source)
        self._source = source
        self._text = source.shadow
        self._fences = Fences(self._text)
        self._quote_end = 0
        self._code: list[tuple[int, int]] = []
        self._unclosed: Fence | None = None

    def read(self) -> Plan | None:
        places = list(self._headings())
        whole = not self.notes.failed
        self._report_fence()
        self._report_hidden({place.heading.number for place in places})
        self._report_doubles(places)
        if not places and not self.notes.failed:
            hint = "a task begins with a line like `## Task 1`; `weft plan prompt` helps to write a plan"
            self.notes.error("WEFT601", "there is no task in this plan", 0, 1, hint=hint)
        ends = [*[place.start for place in places], len(self._text)][1:]
        bodies = [(place, *self._body(place, end)) for place, end in zip(places, ends, strict=False)]
        self._report_comments(places)
        needs = {place.heading.number: options.needs for place, options, _, _ in bodies}
        check_needs(needs, self.notes, whole=whole)
        bodies.sort(key=lambda body: body[0].heading.number)
        marks = ((place.heading.number, place.heading.parallel, options.needs) for place, options, _, _ in bodies)
        warn_of_cut_blocks(marks, self.notes)
        if self.notes.failed:
            return None
        preamble = self._source.text[: places[0].start].strip(_EDGE)
        return Plan(self._source.name, _lf(preamble), tuple(self._task(*body) for body in bodies))

    # -- headings --------------------------------------------------------------------------------

    def _headings(self) -> Iterator[_Place]:
        """The task headings outside of fenced code. What is nearly one goes to the notes."""
        at, text = 0, self._text
        while not self.notes.full and (found := _INTERESTING.search(text, at)) is not None:
            at = max(found.end(), found.start() + 1)
            if found["run"] is not None:
                fence = self._fences.of_match(found)
                at = found.end() if fence is None else self._behind(fence, found.start())
                continue
            if found["under"] is not None:
                self._underlined(found)
                continue
            line, start = found["line"], found.start("line")
            said = read_heading(line.rstrip("\r"))
            if isinstance(said, Wrong):
                self._wrong(said, start)
            elif said is not None:
                yield self._place(said, start, start + len(line.rstrip()))

    def _place(self, heading: Heading, start: int, end: int) -> _Place:
        if heading.slip is not None:
            at = self._text.rindex(heading.slip, start, end)
            message = "this is part of the title: the task is not parallel"
            hint = "end the heading with (parallel), or leave the brackets out"
            self.notes.warn("WEFT611", message, at, at + len(heading.slip), hint=hint)
        return _Place(heading, start, end)

    def _wrong(self, wrong: Wrong, start: int) -> None:
        say = self.notes.error if wrong.severity == "error" else self.notes.warn
        say(wrong.code, wrong.message, start + wrong.start, start + wrong.end, hint=wrong.hint)

    def _underlined(self, found: re.Match[str]) -> None:
        start, end = found.span("under")
        start += len(found["under"]) - len(found["under"].lstrip(" "))
        hint = f"write `## Task{found['under'].strip()[4:44]}`"
        self.notes.error("WEFT606", "a task's heading begins with ##", start, end, hint=hint)

    # -- code ------------------------------------------------------------------------------------

    def _behind(self, fence: Fence, line: int) -> int:
        """The offset behind a fenced block. One that is never closed ends with its quote, or with the text."""
        limit = self._end_of_quote(line) if _QUOTE.match(self._text, line) else None
        closed = self._fences.end(fence, limit=limit)
        if closed is not None:
            self._code.append((fence.line_end, closed[0]))
            return closed[1]
        if limit is None:
            self._unclosed = fence
            self._code.append((fence.line_end, len(self._text)))
            return len(self._text)
        return max(limit, fence.line_end)

    def _end_of_quote(self, line: int) -> int:
        """The end of the quote that the line stands in. Remembered, as a quote may have many fences."""
        if line < self._quote_end:
            return self._quote_end
        while _QUOTE.match(self._text, line):
            stop = self._text.find("\n", line)
            line = len(self._text) if stop < 0 else stop + 1
        self._quote_end = line
        return line

    def _hidden(self) -> Iterator[tuple[Heading, int, int]]:
        """The task headings in fenced code."""
        for start, end in self._code:
            for found in _INTERESTING.finditer(self._text, start, end):
                said = read_heading(found["line"].rstrip()) if found["line"] is not None else None
                if isinstance(said, Heading):
                    yield said, found.start(), found.start() + len(found["line"].rstrip())

    def _report_fence(self) -> None:
        fence = self._unclosed
        if fence is None:
            return
        run = fence.char * min(fence.length, 20)
        start, end = fence.start, fence.start + fence.length
        lost = sum(at > fence.start for _, at, _ in self._hidden())
        hint = f"close it with a line that is just {run}"
        if lost:
            word = "1 task heading" if lost == 1 else f"{lost:,} task headings"
            message = f"this code fence is never closed: {word} behind it would be code"
            self.notes.error("WEFT608", message, start, end, hint=hint)
        else:
            self.notes.warn("WEFT609", "this code fence is never closed", start, end, hint=hint)

    def _report_hidden(self, known: set[int]) -> None:
        """A task in a fence is text; one whose number no other has may have got there by a fence out of step."""
        if self._unclosed is not None:
            return
        for heading, start, end in self._hidden():
            if heading.number not in known:
                message = f"this is fenced code: there is no task {heading.number}"
                hint = "look whether the fences before it are closed; nothing is to be done if it is meant as text"
                self.notes.warn("WEFT610", message, start, end, hint=hint)

    def _report_comments(self, places: list[_Place]) -> None:
        """A heading in a comment is a task all the same: only fenced code hides one."""
        at, opened, last = 0, -1, self._text.rfind("-->")
        for place in places:
            begin = self._text.rfind("<!--", at, place.start)
            end = self._text.rfind("-->", at, place.start)
            opened = begin if begin > end else -1 if end >= 0 else opened
            at = place.start
            if opened >= 0 and last > place.end:
                message = f"task {place.heading.number} stands in a comment, and is a task all the same"
                hint = "delete it, or put it into fenced code"
                self.notes.warn("WEFT610", message, place.start, place.end, hint=hint)

    # -- bodies ----------------------------------------------------------------------------------

    def _report_doubles(self, places: list[_Place]) -> None:
        first: dict[int, _Place] = {}
        for place in places:
            known = first.setdefault(place.heading.number, place)
            if known is not place:
                line = self.notes.line(known.start)
                message = f"there are two tasks {place.heading.number}; the first is on line {line}"
                self.notes.error("WEFT602", message, place.start, place.end, hint="give one of them another number")

    def _body(self, place: _Place, end: int) -> tuple[Options, int, int]:
        """The options of a task, and the start and end of its text."""
        options = read_options(self._source, place.end, end, self.notes)
        text = self._source.text[options.end : end]
        start = options.end + len(text) - len(text.lstrip(_EDGE))
        stop = max(start, options.end + len(text.rstrip(_EDGE)))
        if start >= end:
            name = f"task {place.heading.number}"
            message = f"{name} has no text" if options.end == place.end else f"{name} has options but no text"
            hint = "write below the heading what is to be done"
            self.notes.error("WEFT605", message, place.start, place.end, hint=hint)
        for at, till, name in late_options(self._text, start, stop):
            if not self._is_code(at):
                message = f"`{name}:` is part of the text here, not an option"
                self.notes.warn("WEFT627", message, at, till, hint="options stand first below the heading")
        return options, start, stop

    def _is_code(self, offset: int) -> bool:
        from bisect import bisect_right

        index = bisect_right(self._code, (offset, len(self._text))) - 1
        return index >= 0 and offset < self._code[index][1]

    def _task(self, place: _Place, options: Options, start: int, end: int) -> Task:
        heading = place.heading
        text = _lf(self._source.text[start:end])
        return Task(
            number=heading.number,
            title=heading.title,
            parallel=heading.parallel,
            text=text,
            line=self.notes.line(place.start),
            body_line=self.notes.line(start),
            reads=options.reads,
            writes=options.writes,
            needs=tuple(need.number for need in options.needs),
            verify=options.verify,
            digest=digest("task", heading.title, text, options.verify),
        )


def _lf(text: str) -> str:
    return text if "\r" not in text else text.replace("\r\n", "\n").replace("\r", "\n")
