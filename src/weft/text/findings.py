"""What a reviewer has found, read from its exit code and its output; and which findings are dismissed.

The contract: exit 0, and the findings are in the output (none when it is empty); exit 1, and there are findings, as
with linters. Anything else is a reviewer that failed, which says nothing about the work: a crash that looked like a
review would let bad work pass or good work be torn up. So does exit 1 without a finding: that is how most programs
crash.

Output is JSON (an array, or an object with `findings` or `issues`, perhaps a `count`), alone, in a code fence or within
prose; or JSON lines; or text, of which lines that look like findings are one each. Text in which nothing looks like
one is one finding as a whole, unless each of its sentences says that there is nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, get_args

import msgspec

from weft.errors import ExpressionError
from weft.text.regex import search
from weft.text.scope import Fault, Frame, MappingScope
from weft.values import digest

Reason = Literal["false_positive", "already_correct", "wrong_suggestion", "out_of_scope"]
REASONS: tuple[Reason, ...] = get_args(Reason)

MAX_FINDINGS = 500
MAX_MESSAGE = 4_000
"""Characters of a finding's text; the rest is cut off."""

_MAX_TRIES = 20
"""Places in prose where JSON is looked for."""
_MAX_LINES = 10_000
"""Findings in prose that are counted."""
_FUEL = 200_000
"""What one pattern may cost on one finding."""
_LISTS = ("findings", "issues")
_MESSAGE = ("message", "text", "description", "title", "body", "summary", "msg")
_FILE = ("file", "path", "filename", "file_path")
_LINE = ("line", "line_number", "start_line", "row")
_SEVERITY = ("severity", "level", "priority")
_RULE = ("rule", "code", "rule_id", "check")
_SUGGESTION = ("suggestion", "fix", "recommendation")
_FENCE = re.compile(r"^[ \t]*+```[ \t]*+(?:json[a-z]*+)?[ \t]*+\n", re.MULTILINE | re.IGNORECASE)
_FENCE_END = re.compile(r"^[ \t]*+```[ \t]*+$", re.MULTILINE)
_START = re.compile(r"^[ \t]*([\[{])", re.MULTILINE)
_PLACED = re.compile(r"(?P<file>[^\s:()]{1,300}):(?P<line>\d{1,9})(?::\d{1,9})?:?[ \t]+(?P<text>\S.*)")
_ITEM = re.compile(r"(?:[-*+]|\d{1,4}[.)])[ \t]+(?P<text>\S.*)")
_CLEAN = re.compile(
    r"\b(?:no|0|zero)\s+(?:\w+\s+){0,2}(?:issues?|findings?|problems?|errors?|comments?)\b|\blgtm\b|\blooks\s+good\b"
    r"|\ball\s+(?:good|clear|checks\s+passed)\b|\bnothing\s+(?:found|to\s+(?:fix|report))\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!;]+(?:\s|$)|\n")


class Finding(msgspec.Struct, frozen=True):
    """One thing that a reviewer has found. `id` is the same in every round: lines that move do not change it."""

    id: str
    message: str
    file: str | None = None
    line: int | None = None
    severity: str | None = None
    rule: str | None = None
    suggestion: str | None = None

    @property
    def place(self) -> str:
        """`src/a.py:12`, `src/a.py`, or nothing."""
        return self.file + (f":{self.line}" if self.line is not None else "") if self.file else ""


class Review(msgspec.Struct, frozen=True):
    """What came of a review: findings, or why it failed. `unlisted` counts findings beyond `MAX_FINDINGS`."""

    findings: tuple[Finding, ...] = ()
    failed: str | None = None
    unlisted: int = 0

    @property
    def clean(self) -> bool:
        """There was a review, and it found nothing."""
        return self.failed is None and not self.findings and not self.unlisted


class Dismissal(msgspec.Struct, frozen=True):
    """A finding that is not to be worked on, why, and who says so (`pattern ...` or `agent`)."""

    finding: Finding
    reason: Reason
    by: str


class DismissPattern(msgspec.Struct, frozen=True):
    """A regular expression (`weft.text.regex`) for findings that are dismissed, and the reason."""

    pattern: str
    reason: Reason

    def __str__(self) -> str:
        return f"{self.reason}: {self.pattern}"


# -- reading a review ----------------------------------------------------------------------------


def read_review(exit_code: int | None, output: bytes | str) -> Review:
    """What a reviewer says that ended with `exit_code` (None: it was killed, or never started)."""
    if exit_code not in (0, 1):
        told = "did not end by itself" if exit_code is None else f"ended with exit code {exit_code}"
        return Review(failed=f"the reviewer {told}")
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
    raw, count = _raw_findings(text.removeprefix("\ufeff"))
    found = _numbered([_fields(item) for item in raw[:MAX_FINDINGS]])
    unlisted = max(len(raw) - len(found), count - len(found) if count > len(raw) else 0)
    if unlisted and not found:
        found = _numbered([{"message": f"the reviewer counts {count:,} findings and lists none of them"}])
        unlisted -= 1
    if exit_code == 1 and not found:
        return Review(failed="the reviewer ended with exit code 1 and told of no finding")
    return Review(tuple(found), unlisted=unlisted)


def _raw_findings(text: str) -> tuple[list[Any], int]:
    """The findings in an output as they are written, and how many it says there are."""
    if text.strip() in ("", "null"):  # as some languages write an empty list
        return [], 0
    for value in _json_values(text):
        read = _listed(value)
        if read is not None:
            return read
    lines = _json_lines(text)
    return (lines, len(lines)) if lines else (_in_text(text), 0)


def _json_values(text: str) -> Iterator[Any]:
    """The JSON values in a text: the whole of it, else those in fences, else what begins a line. Bounded."""
    whole = _decoded(text)
    if whole is not _NOTHING:
        yield whole
        return
    for found in islice(_FENCE.finditer(text), _MAX_TRIES):
        closed = _FENCE_END.search(text, found.end())
        value = _decoded(text[found.end() : closed.start()]) if closed is not None else _NOTHING
        if value is not _NOTHING:
            yield value
    at = 0
    for _ in range(_MAX_TRIES):
        begin = _START.search(text, at)
        if begin is None:
            return
        at = begin.end()
        try:
            value, at = _DECODER.raw_decode(text, begin.start(1))
        except (ValueError, RecursionError):
            continue
        yield value


_NOTHING = object()
_DECODER = json.JSONDecoder()


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return _NOTHING


def _listed(value: Any) -> tuple[list[Any], int] | None:
    """The findings that a JSON value lists, and its count; None when it is no such list."""
    if isinstance(value, list):
        return (value, len(value)) if all(isinstance(item, dict | str) for item in value) else None
    if not isinstance(value, dict):
        return None
    count = value.get("count")
    number = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
    lists = [value[key] or [] for key in _LISTS if key in value and isinstance(value[key], list | None)]
    if not lists and number is None:
        return None
    items = [item for items in lists for item in items]
    return items, number or 0


def _json_lines(text: str) -> list[Any]:
    """The objects of JSON lines; empty when any line is something else."""
    values = []
    for line in text.splitlines():
        value = _decoded(line) if line.strip() else None
        if isinstance(value, dict):
            values.append(value)
        elif value is not None:
            return []
    return values


def _in_text(text: str) -> list[Any]:
    """The findings in prose."""
    found: list[Any] = []
    for line in text.splitlines():
        if len(found) >= _MAX_LINES:
            break
        item = _ITEM.fullmatch(line.strip())
        bare = item["text"] if item else line.strip()
        placed = _PLACED.fullmatch(bare)
        if placed is not None:
            found.append({"file": placed["file"], "line": int(placed["line"]), "message": placed["text"]})
        elif item is not None:
            found.append(bare)
    if found:
        return found
    whole = text.strip()
    sentences = [part for part in _SENTENCE_END.split(whole[:1000]) if part.strip()]
    says_nothing = len(whole) <= 500 and all(_CLEAN.search(sentence) for sentence in sentences)
    return [] if says_nothing else [whole]


def _fields(item: Any) -> dict[str, Any]:
    """A finding's fields, whatever the reviewer calls them."""
    if not isinstance(item, Mapping):
        return {"message": _line(str(item), MAX_MESSAGE) or "(no text)"}
    place: Any = item.get("location")
    place = place if isinstance(place, Mapping) else {}
    line = _first(item, _LINE) or _first(place, _LINE)
    line = int(line) if isinstance(line, str) and line.isascii() and line.isdigit() and len(line) < 10 else line
    message = _first(item, _MESSAGE)
    fields: dict[str, Any] = {
        "message": _line(message if isinstance(message, str) else _written(item), MAX_MESSAGE),
        "line": line if isinstance(line, int) and not isinstance(line, bool) and 0 < line < 2**31 else None,
    }
    file = _first(item, _FILE) or _first(place, _FILE)
    named = (("file", file), ("severity", _first(item, _SEVERITY)), ("rule", _first(item, _RULE)))
    for name, value in (*named, ("suggestion", _first(item, _SUGGESTION))):
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            fields[name] = _line(str(value), MAX_MESSAGE if name == "suggestion" else 300)
    return fields


def _written(item: Any) -> str:
    """A finding without a text, as JSON."""
    try:
        return json.dumps(item, ensure_ascii=False)
    except RecursionError:
        return "(a finding that is nested too deeply)"


def _first(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of some fields that is there and not empty."""
    return next((item[name] for name in names if item.get(name) not in (None, "", [], {})), None)


def _line(text: str, most: int) -> str:
    """A text from outside, without what steers a terminal, cut to its length."""
    text = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text[: most + 1].strip()
    )
    return text if len(text) <= most else text[: most - 1] + "…"


def _numbered(fields: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Findings with ids: a digest of file, rule and text, and a number behind those that are told again."""
    seen: Counter[str] = Counter()
    found = []
    for each in fields:
        words = " ".join(each["message"].split())
        name = "f" + digest("finding", each.get("file"), each.get("rule"), words)[:10]
        seen[name] += 1
        found.append(Finding(name if seen[name] == 1 else f"{name}-{seen[name]}", **each))
    return found


# -- dismissing ----------------------------------------------------------------------------------


def check_pattern(pattern: str) -> None:
    """Raises ExpressionError for a pattern that cannot be used."""
    _matches("", pattern)


def dismiss_by_patterns(
    findings: Sequence[Finding], patterns: Sequence[DismissPattern]
) -> tuple[list[Finding], list[Dismissal]]:
    """The findings that stay, and those dismissed: by the first pattern that is found in `file:line: message`.

    A pattern that costs too much on a finding does not dismiss it.
    """
    kept: list[Finding] = []
    dismissed: list[Dismissal] = []
    for finding in findings:
        text = f"{finding.place}: {finding.message}" if finding.place else finding.message
        hit = next((p for p in patterns if _found(text, p.pattern)), None)
        if hit is None:
            kept.append(finding)
        else:
            dismissed.append(Dismissal(finding, hit.reason, f"pattern {hit.pattern}"))
    return kept, dismissed


def _found(text: str, pattern: str) -> bool:
    try:
        return _matches(text, pattern)
    except ExpressionError:
        return False


def _matches(text: str, pattern: str) -> bool:
    frame = Frame(_FUEL, MappingScope(), None, [])
    try:
        return search(text, pattern, "", frame) is not None
    except Fault as fault:
        raise ExpressionError(fault.message, code=fault.code, hint=fault.hint) from None


class Answer(msgspec.Struct, frozen=True):
    """What an agent's answer dismisses. `problem` says why it, or a part of it, dismisses nothing."""

    kept: tuple[Finding, ...]
    dismissed: tuple[Dismissal, ...]
    problem: str | None = None


def read_dismissal(answer: str, findings: Sequence[Finding]) -> Answer:
    """The findings that an agent's answer dismisses: `{"dismiss": [{"id": "...", "reason": "..."}]}`.

    An answer that does not end with the one such object that it has dismisses nothing: it may quote one that a
    finding's text has brought in. An entry with an unknown id or reason is ignored, and said.
    """
    lists = [value["dismiss"] for value in _json_values(answer) if _is_dismissal(value)]
    told = None
    if not lists:
        told = "has no object with `dismiss`"
    elif any(each != lists[0] for each in lists):
        told = f"has {len(lists)} objects with `dismiss`"
    elif not answer.rstrip(" \t\r\n`").endswith("}"):
        told = "does not end with its object"
    if told is not None:
        return Answer(tuple(findings), (), f"the answer {told}: nothing is dismissed")
    known = {finding.id: finding for finding in findings}
    chosen: dict[str, Dismissal] = {}
    ignored = 0
    for entry in lists[0]:
        name, reason = (entry.get("id"), entry.get("reason")) if isinstance(entry, dict) else (None, None)
        if isinstance(name, str) and name in known and reason in REASONS:
            chosen.setdefault(name, Dismissal(known[name], reason, "agent"))
        else:
            ignored += 1
    kept = tuple(finding for finding in findings if finding.id not in chosen)
    problem = f"{ignored} of {len(lists[0])} entries name no finding, or no known reason" if ignored else None
    return Answer(kept, tuple(chosen.values()), problem)


def _is_dismissal(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("dismiss"), list)
