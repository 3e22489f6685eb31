"""Who reads what: outputs that nobody reads, and those that are only ever read row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weft.fronts.flow.outline import Seat
from weft.fronts.flow.reading import Entry
from weft.text.notes import Notes

_STREAMING = frozenset({"transform:map", "transform:filter", "transform:reduce", "sink:file", "sink:http"})
"""Leaves that take their input row by row."""
_SENDING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def report_unused(entries: Mapping[Seat, Entry], output: Entry, notes: Notes, *, has_input: bool) -> None:
    """Warns of outputs that nobody reads, sinks that get nothing, and loops that only a default ends."""
    read = {use.target for entry in (*entries.values(), output) for use in entry.uses}
    for entry in entries.values():
        given = entry.given
        if given is not None and entry.reads_given:
            read.add(given)
    for seat, entry in entries.items():
        element = seat.element
        start, end = element.start, element.head
        if seat.kind in ("loop", "while"):
            _check_loop(seat, entry, notes)
        elif _is_hungry(entry) and entry.given is None and not has_input and seat.body.kind != "compensation":
            hint = 'give it one: input="id"'
            notes.warn("WEFT350", f"{seat.name} has no input to work on", start, end, hint=hint)
        elif seat not in read and _is_for_others(entry) and not seat.is_last and seat.serves is None:
            hint = f'remove it; or read it: input="{seat.id}"'
            notes.warn("WEFT351", f"nobody reads the output of {seat.name}", start, end, hint=hint)


def _is_hungry(entry: Entry) -> bool:
    """Whether it can do nothing sensible without an input."""
    kind, settings = entry.seat.kind, entry.seat.element.settings
    if kind in ("transform:map", "transform:filter", "transform:reduce"):
        return True
    return kind.startswith("sink:") and not settings.keys() & {"body", "json"}


def _is_for_others(entry: Entry) -> bool:
    """Whether its output is all that it is there for."""
    seat, spec = entry.seat, entry.spec
    if spec is None or seat.element.compensate is not None or seat.kind in ("set", "context", "delay"):
        return False
    settings = seat.element.settings
    method = settings.get("method")
    if "save" in settings or (method is not None and method.value.strip() in _SENDING):
        return False
    return spec.effect == "pure" or seat.kind.startswith(("source:", "transform:"))


def _check_loop(seat: Seat, entry: Entry, notes: Notes) -> None:
    if seat.kind == "while" or "max" in seat.element.settings or entry.after is not None:
        return
    body = seat.bodies[0]
    stack = list(body.seats)
    while stack:
        inner = stack.pop()
        if inner.kind == "break":
            return
        if inner.kind not in ("foreach", "loop", "while", "parallel"):
            stack += [s for b in inner.inside() for s in b.seats]
    message = f"nothing ends {seat.name} before its 1,000 rounds"
    hint = 'give it max="10", a `break`, or a `<break when="…"/>` inside'
    notes.warn("WEFT352", message, seat.element.start, seat.element.head, hint=hint)


# -- streaming ---------------------------------------------------------------------------------------


def streamed(entries: Mapping[Seat, Entry], output: Entry) -> set[Seat]:
    """The nodes all of whose readers take their output row by row, so that it need never be held as a whole."""
    wanted: set[Seat] = set()
    held: set[Seat] = {seat for seat in entries if seat.is_last}
    for entry in (*entries.values(), output):
        for use in entry.uses:
            if use.how == "collection":
                wanted.add(use.target)
            elif use.how in ("reads", "parameter"):
                held.add(use.target)
        given = entry.given
        if given is None:
            continue
        if entry.reads_input or entry.reads_items:
            held.add(given)
        elif entry.seat.kind in _STREAMING or entry.collects_input:
            wanted.add(given)
        elif entry.reads_given:
            held.add(given)
    return wanted - held


def lists_read(entries: Mapping[Seat, Entry], output: Entry) -> set[Seat]:
    """The nodes whose output somebody may read: by name, as input, as the value of a body or of the document."""
    out = {seat for seat in entries if seat.is_last}
    for entry in _all(entries, output):
        out.update(use.target for use in entry.uses if use.how not in ("needs", "record"))
        if entry.given is not None:
            out.add(entry.given)
    return out


def _all(entries: Mapping[Seat, Entry], output: Entry) -> Iterable[Entry]:
    return (*entries.values(), output)
