"""What the front matter says about how a document runs: limits, timeouts, where things are."""

from __future__ import annotations

from typing import Any

import msgspec

from weft.errors import ExpressionError, nearest
from weft.fronts.flow.ast import Document
from weft.policy import Limit, Retry
from weft.text.durations import parse_duration, parse_rate
from weft.text.notes import Notes
from weft.text.source import quoted
from weft.text.yaml import Items, Mapping, Marked, Scalar

DURABILITY = ("power", "process")
BACKENDS = ("local",)


class RunOptions(msgspec.Struct, frozen=True):
    """The front matter's `runtime` and `limits`, read."""

    timeout: float | None = None
    jobs: int | None = None
    retry: Retry | None = None
    durability: str | None = None
    env: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    interpreter: str | None = None
    limits: dict[str, Limit] = {}


def read_options(document: Document, notes: Notes) -> RunOptions:
    """Reads them. Reports what has the right shape and the wrong value."""
    front = document.front
    runtime = front.runtime
    fields: dict[str, Any] = {}
    if (value := runtime.get("timeout")) is not None:
        fields["timeout"] = _duration(value, notes)
    if (value := runtime.get("durability")) is not None:
        fields["durability"] = _word("runtime.durability", value, DURABILITY, notes)
    if (value := runtime.get("backend")) is not None:
        _word("runtime.backend", value, BACKENDS, notes)
    if (value := runtime.get("jobs")) is not None:
        fields["jobs"] = value.value
    if (value := runtime.get("retry")) is not None:
        fields["retry"] = Retry(max_attempts=int(value.value) + 1)  # type: ignore[arg-type]  # a whole number
    if isinstance(value := runtime.get("interpreter"), Scalar):
        fields["interpreter"] = value.text
    for name in ("env", "paths", "hosts"):
        if name in runtime:
            fields[name] = _texts(runtime[name])
    for key, advice in _UNUSED.items():
        if (place := front.keys.get(key)) is not None:
            message = f"`{key}` is not used by this version of Weft yet"
            notes.warn("WEFT342", message, place.start, place.end, hint=advice)
    fields["limits"] = {name: _limit(name, limit, notes) for name, limit in front.limits.items()}
    return RunOptions(**fields)


_UNUSED = {"budget": "the run is not stopped by it"}


def _texts(value: Marked) -> tuple[str, ...]:
    return tuple(i.text for i in value.items if isinstance(i, Scalar)) if isinstance(value, Items) else ()


def _duration(value: Marked, notes: Notes) -> float | None:
    assert isinstance(value, Scalar)
    try:
        return parse_duration(value.text)
    except ExpressionError as error:
        notes.error("WEFT505", f"`runtime.timeout`: {error.message}", value.start, value.end, hint=error.hint)
        return None


def _word(path: str, value: Marked, words: tuple[str, ...], notes: Notes) -> str | None:
    written = value.text if isinstance(value, Scalar) else ""
    if written in words:
        return written
    close = nearest(written, words)
    hint = f"did you mean `{close[0]}`?" if close else None
    message = f"`{path}` is {quoted(written, 40)}; it must be {' or '.join(words)}"
    notes.error("WEFT504", message, value.start, value.end, hint=hint)
    return None


def _limit(name: str, value: Marked, notes: Notes) -> Limit:
    """A limit: `5`, or an object with `concurrency` and `rate`."""
    if not isinstance(value, Mapping):
        return Limit(concurrency=int(value.value))  # type: ignore[arg-type]  # a whole number: its shape was checked
    if not value.entries.keys() & {"concurrency", "rate"}:
        hint = f"write {name}: 5, or {name}: {{ concurrency: 5, rate: 10/s }}"
        notes.error("WEFT503", f"the limit `{name}` limits nothing", value.start, value.end, hint=hint)
        return Limit()
    concurrency = value.entries.get("concurrency")
    most = concurrency.value if concurrency is not None and isinstance(concurrency.value, int) else None
    rate = value.entries.get("rate")
    if rate is None:
        return Limit(concurrency=most)
    written = rate.text.strip() if isinstance(rate, Scalar) else ""
    found = parse_rate(written)
    if found is None:
        hint = "write a number of starts per time: 10/s, 100/m, 5/h"
        notes.error("WEFT505", f"{quoted(written, 40)} is not a rate", rate.start, rate.end, hint=hint)
        return Limit(concurrency=most)
    return Limit(concurrency=most, rate=found[0], per=found[1])
