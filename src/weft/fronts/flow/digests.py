"""What names a node's definition: the digest by which a resumed run tells what has changed.

A digest covers what decides a node's value: its kind, settings, code, conditions, and the digests of what it needs. It
does not cover how it is run (timeout, retry, limits, concurrency, policy, effect, description), nor where it stands.
Inside a body a node needs the one before it. A block's own digest leaves out what is inside: when one node of a foreach
is changed, that node and those after it run again, not everything in every iteration. Whoever needs the block needs all
of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from weft.fronts.flow.order import Edges
from weft.fronts.flow.outline import Body, Outline, Seat
from weft.fronts.flow.reading import Entry
from weft.values import digest

_NOT_DECIDING = frozenset(
    {"timeout", "retry", "limit", "concurrency", "on-failure", "effect", "cache", "description", "needs", "input"}
)


class Digests:
    """The digests of all nodes. `own` covers only what is written in a node, `node` also what it needs."""

    def __init__(self, made: Outline, entries: Mapping[Seat, Entry], waits: Edges) -> None:
        self.own = {seat: digest(_definition(entry)) for seat, entry in entries.items()}
        self.node: dict[Seat, str] = {}
        self._entries = entries
        self._seats = made.seats
        self._whole: dict[Seat, str] = {}
        self._needed: dict[Seat, list[tuple[str, str]]] = {}
        for top in _in_order(made.root, waits):
            for seat in made.seats[top.order : top.last + 1]:
                self._add(seat)

    def _add(self, seat: Seat) -> None:
        entry = self._entries[seat]
        needed = self._needed[seat] = self._needs(seat, entry)
        self.node[seat] = digest(self.own[seat], needed)

    def _needs(self, seat: Seat, entry: Entry) -> list[tuple[str, str]]:
        """Ids and digests of what a node needs, its own references first, then what its place implies."""
        targets = {use.target for use in entry.uses if not seat.order <= use.target.order <= seat.last}
        if entry.given is not None and entry.reads_given:
            targets.add(entry.given)
        later = {t for t in targets if t.order > seat.order and t not in self.node}  # of an earlier round of a loop
        targets -= later
        around = seat.body.owner
        inside_of = {seat, *seat.around()}
        found = sorted((t.id, self._whole_of(t)) for t in targets if t not in inside_of)
        found += sorted((t.id, self.own[t]) for t in later)
        if around is not None:
            found += self._needed[around]
            if seat.index > 0:
                before = seat.body.seats[seat.index - 1]
                found.append(("", self._whole_of(before)))
            return [("", digest(found))] if found else []
        return found

    def _whole_of(self, seat: Seat) -> str:
        """A node with everything inside it that decides its value."""
        if seat not in self._whole:
            if seat.last == seat.order:
                self._whole[seat] = self.node[seat]
            else:
                self._whole[seat] = digest(self.node[seat], [self.node[s] for s in _deciding(seat, self._seats)])
        return self._whole[seat]


def _deciding(seat: Seat, seats: list[Seat]) -> Iterator[Seat]:
    """The nodes inside a node, but for those that undo it (or something in it)."""
    skip = -1
    for inner in seats[seat.order + 1 : seat.last + 1]:
        if inner.order <= skip:
            continue
        if inner.body.kind == "compensation":
            skip = inner.last
            continue
        yield inner


def _definition(entry: Entry) -> list[object]:
    """What is written in a node and decides its value."""
    seat = entry.seat
    element = seat.element
    written = {name: text.value for name, text in element.attributes.items() if name not in _NOT_DECIDING}
    written |= {name: text.value for name, text in element.settings.items() if name != "concurrency" or entry.spec}
    parts = [
        [body.kind, body.part.kind, {n: t.value for n, t in body.part.attributes.items()}]
        for body in seat.bodies
        if body.part is not None and body.part is not element
    ]
    return [element.kind, written, parts, entry.input.id if entry.input is not None else None]


def _in_order(root: Body, waits: Edges) -> Iterator[Seat]:
    """The top-level nodes, each after those it waits for. There is no cycle."""
    done: set[Seat] = set()
    for start in root.seats:
        stack = [start]
        while stack:
            seat = stack[-1]
            left = [need for need in waits[seat] if need not in done] if seat not in done else []
            if left:
                stack.extend(left)
                continue
            stack.pop()
            if seat not in done:
                done.add(seat)
                yield seat
