"""An agent's answer to `--normalize`: it must be a plan, or it is nothing."""

from __future__ import annotations

import msgspec

from weft.errors import AttemptError
from weft.fronts.plan.document import Plan, Read, read_plan
from weft.text.source import MAX_DOCUMENT, Diagnostic, Source

_LISTED = 5


class Normalised(msgspec.Struct, frozen=True):
    """A plan that an agent has written: the text to keep, what it says, and warnings about it."""

    text: str
    plan: Plan
    warnings: tuple[Diagnostic, ...]


def read_normalised(answer: str, name: str = "normalized plan") -> Normalised:
    """The plan in an agent's answer, with or without a fence around the whole of it.

    Raises AttemptError (`NormalizeError`; another try may help) with the first problems and their lines.
    """
    if len(answer) > MAX_DOCUMENT or len(answer.encode("utf-8", "replace")) > MAX_DOCUMENT:
        raise _refusal(f"it has more than {MAX_DOCUMENT:,} bytes")
    if not answer.strip():
        raise _refusal("it is empty")
    if "\0" in answer:
        raise _refusal("it has a NUL character")
    texts = [text.strip() + "\n" for text in (unwrapped(answer), answer) if text is not None]
    reads = [read_plan(Source(name, text)) for text in texts]
    for text, read in zip(texts, reads, strict=True):
        if read.plan is not None:
            return Normalised(text, read.plan, read.diagnostics)
    raise _refusal(_problems(reads[0]))


def unwrapped(answer: str) -> str | None:
    """What is inside a fence around the whole answer; None when there is none.

    The first line opens it and the last one closes it: fences inside, which would end it for a reader of Markdown, are
    those of the plan.
    """
    first, _, rest = answer.strip().partition("\n")
    body, _, last = rest.rstrip().rpartition("\n")
    mark = first[:3]
    if mark not in ("```", "~~~") or "`" in first.lstrip("`"):
        return None
    run = first[: len(first) - len(first.lstrip(mark[0]))]
    closing = last.strip()
    return body if closing.strip(mark[0]) == "" and len(closing) >= len(run) else None


def _problems(read: Read) -> str:
    errors = [d for d in read.diagnostics if d.severity == "error"]
    told = "; ".join(f"line {d.line}: {d.message}" for d in errors[:_LISTED])
    return told + (f" (and {len(errors) - _LISTED} more)" if len(errors) > _LISTED else "")


def _refusal(reason: str) -> AttemptError:
    hint = "write the plan in its form by hand, or start with `weft plan prompt`"
    return AttemptError(f"the agent's answer is not a plan: {reason}", type="NormalizeError", retryable=True, hint=hint)
