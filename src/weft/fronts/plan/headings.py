"""The heading of a task, and the lines that were nearly one.

`## Task 12: Title (parallel)` is the whole grammar. Everything that a hurried person or a model writes instead must not
become text of the task before, in silence: then one task would be missing, and the one before would be told to do both.
So a line that names a task by a number, however badly, is an error, and one that only might is a warning.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from weft.errors import nearest
from weft.text.source import quoted

MAX_NUMBER = 999_999
_EXAMPLE = "write it like `## Task 2` or `## Task 2: a title (parallel)`"
_NUMBER_WORDS = frozenset((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "first", "second", "third", "fourth", "fifth",
))  # fmt: skip
_TASK = re.compile(r" {0,3}##[ \t]++Task[ \t]++(?P<number>\d++)(?P<rest>.*)")
_TITLE = re.compile(r"[ \t]*+[:\-\u2013\u2014](?P<title>.*)")
_MARK = re.compile(r"\([ \t]*+parallel[ \t]*+\)", re.IGNORECASE)
_LAST_BRACKETS = re.compile(r"[(\[{<][^()\[\]{}<>]{0,40}[)\]}>]?$")
_CLOSING_HASHES = re.compile(r"[ \t]#+$")
_NEAR = re.compile(
    r"(?P<blanks>[ \t]*+)(?P<marks>(?:>[ \t]?|[-*+][ \t]|\d{1,9}+[.)][ \t])*+[ \t]*+)"
    r"(?:(?P<hashes>#++)|(?P<bold>\*\*|__))?(?P<gap>[ \t]*+)(?P<word>tasks?+)(?![A-Za-z_])(?P<behind>.*)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"[ \t]*+(?:(?:#|no\.?|nr\.?|number)[ \t]*+)?[-+]?\d", re.IGNORECASE)
_NEXT_WORD = re.compile(r"[ \t]++([A-Za-z]++)(?=[ \t]*+(?:$|[:(.\u2013\u2014])|[ \t]++-)")


class Heading(msgspec.Struct, frozen=True):
    """A task heading. `number` and `title` are what is written; a mark that is nearly `(parallel)` is in `slip`."""

    number: int
    title: str | None
    parallel: bool
    slip: str | None = None


class Wrong(msgspec.Struct, frozen=True):
    """A line that is nearly a heading. `start` and `end` are columns of the line, from 0."""

    code: str
    message: str
    start: int
    end: int
    hint: str
    severity: Literal["error", "warning"] = "error"


def read_heading(line: str) -> Heading | Wrong | None:
    """What a line (without its end) says about a task; None when it says nothing."""
    found = _TASK.fullmatch(line)
    return _near(line) if found is None else _exact(line, found)


def _exact(line: str, found: re.Match[str]) -> Heading | Wrong | None:
    digits = found["number"]
    start, end = found.span("number")
    if not digits.isascii():
        message = f"the task number {quoted(digits)} has other digits than 0 to 9"
        return Wrong("WEFT604", message, start, end, f"write it like `## Task {_plain(digits)}`")
    number = int(digits.lstrip("0") or "0") if len(digits.lstrip("0")) <= 6 else MAX_NUMBER + 1
    rest = _CLOSING_HASHES.sub("", found["rest"].rstrip(" \t")).rstrip(" \t")
    wrong = _misplaced(line, digits, rest, found.start("rest"))
    if wrong is not None:
        return wrong
    if number == 0:
        return Wrong("WEFT603", "there is no task 0", start, end, "tasks are numbered from 1 on")
    if number > MAX_NUMBER:
        return Wrong("WEFT603", f"the task number is over {MAX_NUMBER:,}", start, end, "number tasks from 1 on")
    title, parallel = _split_mark(rest)
    titled = _TITLE.fullmatch(title)
    text = titled["title"].strip() if titled else ""
    return Heading(number, text or None, parallel, None if parallel else _slip(text))


def _split_mark(rest: str) -> tuple[str, bool]:
    """The rest of a heading without `(parallel)` at its end, and whether it was there."""
    if not rest.endswith(")"):
        return rest, False
    at = rest.rfind("(")
    if at < 0 or not _MARK.fullmatch(rest, at):
        return rest, False
    return rest[:at].rstrip(" \t"), True


def _misplaced(line: str, digits: str, rest: str, at: int) -> Wrong | None:
    """What is wrong behind the number of `## Task N`."""
    title, _ = _split_mark(rest)
    begin = at + len(rest) - len(rest.lstrip(" \t"))
    end = max(at + len(rest), begin + 1)
    if not title or (_TITLE.fullmatch(title) and not re.match(r"-\d", title)):
        return None
    if mark := _MARK.match(rest.lstrip(" \t")):
        message = "`(parallel)` is not at the end of the heading"
        after = rest.lstrip(" \t")[mark.end() :].lstrip(" \t:-\u2013\u2014")
        return Wrong("WEFT606", message, begin, end, f"write `## Task {digits}: {_short(after)} (parallel)`")
    if re.match(r"[-.,/&]\d|[ \t]*+(?:,|and|&|\.\.)[ \t]*+\d", rest):
        message = "a heading names one task by one whole number"
        return Wrong("WEFT606", message, at, end, "give each task a heading and a number of its own")
    if re.match(r"[^\s:(\-]", rest) and not re.match(r"[.)]", rest):
        message = f"{quoted(digits + rest.split()[0])} is not a task number"
        return Wrong("WEFT606", message, at - len(digits), end, _EXAMPLE)
    if _slip(rest.strip()) or re.fullmatch(r"parallel", rest.strip(), re.IGNORECASE):
        message = f"{quoted(rest.strip())} behind the number is not `(parallel)`"
        return Wrong("WEFT606", message, begin, end, f"write `## Task {digits} (parallel)`")
    wanted = _short(title.lstrip(" \t.)"))
    return Wrong("WEFT606", "a title needs a colon before it", begin, end, f"write `## Task {digits}: {wanted}`")


def _slip(text: str) -> str | None:
    """What a text has at its end, or in its midst, that is nearly `(parallel)`."""
    if found := _MARK.search(text):
        return found.group()
    found = _LAST_BRACKETS.search(text)
    if found is None:
        return None
    word = re.sub(r"[^a-z]", "", found.group().lower().removeprefix("(in ").removeprefix("(run "))
    return found.group() if word and nearest(word, ["parallel", "parallelizable", "parallelisable"]) else None


# -- nearly --------------------------------------------------------------------------------------


def _near(line: str) -> Wrong | None:
    found = _NEAR.fullmatch(line)
    if found is None or not (found["hashes"] or found["bold"]):
        return None
    start = found.start("hashes") if found["hashes"] else found.start("bold")
    end = len(line.rstrip())
    numbered = _NUMBERED.match(found["behind"]) is not None
    outside = bool(found["marks"].strip()) or "\t" in found["blanks"] or len(found["blanks"]) > 3
    if found["bold"] or outside:
        if not numbered:
            return None
        where = "this is not a heading" if found["bold"] else "this heading stands in a list, a quote or indented code"
        message = f"{where}: it is text, not a task"
        return Wrong("WEFT607", message, start, end, f"for a task, {_EXAMPLE}, at the start of its line", "warning")
    return _numbered(found, start, end) if numbered else _unnumbered(found, start, end)


def _numbered(found: re.Match[str], start: int, end: int) -> Wrong:
    """A heading with `task` and a number."""
    hashes, behind = found["hashes"], found["behind"].rstrip()
    if len(hashes) != 2:
        message = f"a task's heading has two #, this one has {len(hashes)}"
        hint = f"write `## Task{behind[:40]}`; if it is no task, call it something else"
        return Wrong("WEFT606", message, start, start + len(hashes), hint)
    if not found["gap"]:
        return Wrong("WEFT606", "a blank is missing behind ##", start, start + 2, f"write `## Task{behind[:40]}`")
    word = found["word"]
    if word != "Task":
        at = found.start("word")
        message = f"a task's heading says `Task`, this one says {quoted(word)}"
        return Wrong("WEFT606", message, at, at + len(word), f"write `## Task{behind[:40]}`")
    at = found.start("behind")
    if not behind[:1].isspace():
        return Wrong("WEFT606", "a blank is missing between `Task` and its number", at - 4, end, _EXAMPLE)
    return Wrong("WEFT606", "behind `Task` stands no whole number", at + 1, end, _EXAMPLE)


def _unnumbered(found: re.Match[str], start: int, end: int) -> Wrong | None:
    """A heading with `task` and no number: `## Tasks` is common and harmless, `## Task two` is not."""
    word = _NEXT_WORD.match(found["behind"])
    if word is not None and word[1].lower() in _NUMBER_WORDS:
        at = found.start("behind") + word.start(1)
        message = f"the number of a task is written in digits, not {quoted(word[1])}"
        return Wrong("WEFT606", message, at, at + len(word[1]), _EXAMPLE)
    if len(found["hashes"]) != 2:
        return None
    message = "this heading has no number: it is text, not a task"
    return Wrong("WEFT607", message, start, end, f"for a task, {_EXAMPLE}", "warning")


def _plain(digits: str) -> str:
    """Digits of any script in those from 0 to 9."""
    import unicodedata

    return "".join(str(unicodedata.digit(digit)) for digit in digits[:6])


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
