"""What waits for what at the top level, and where that goes round in a circle."""

from __future__ import annotations

from collections.abc import Iterable

from weft.fronts.flow.outline import Body, Outline, Seat
from weft.fronts.flow.reading import Entry, Use
from weft.text.notes import Notes

Edges = dict[Seat, dict[Seat, tuple[Entry, Use]]]
"""For each top-level node those it waits for, each with one use that says why."""


def edges(made: Outline, entries: Iterable[Entry]) -> Edges:
    """The dependencies of the top-level nodes. What is inside a block counts as the block."""
    out: Edges = {seat: {} for seat in made.root.seats}
    tops: dict[Body, Seat | None] = {made.root: None}
    for entry in entries:
        seat = _top(entry.seat, tops)
        needed = out[seat]
        for use in entry.uses:
            target = _top(use.target, tops)
            if target is not seat and target not in needed:
                needed[target] = (entry, use)
    return out


def _top(seat: Seat, tops: dict[Body, Seat | None]) -> Seat:
    """The top-level node that holds a seat; known bodies are looked up."""
    body = seat.body
    if body not in tops:
        tops[body] = seat.top()
    return tops[body] or seat


def report_cycles(made: Outline, waits: Edges, notes: Notes) -> None:
    """One error per knot of nodes that wait for each other: a whole cycle, and every place that makes it."""
    for knot in _knots(made.root.seats, waits):
        cycle = _cycle(knot, waits)
        steps = []
        for need, seat in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            entry, use = waits[seat][need]
            steps.append((seat, need, entry, use))
        first = min(steps, key=lambda step: step[3].start)
        names = [seat.id for seat in cycle]
        shown = names if len(names) <= 12 else [*names[:6], "…", *names[-5:]]
        message = "these nodes wait for each other: " + " -> ".join([*shown, names[0]])
        parts = [_step(*step, notes) for step in steps[:4]]
        more = f" and {len(steps) - 4} more" if len(steps) > 4 else ""
        hint = f"{'; '.join(parts)}{more}: remove one of these"
        notes.error("WEFT310", message, first[3].start, first[3].end, hint=hint)


def _step(seat: Seat, need: Seat, entry: Entry, use: Use, notes: Notes) -> str:
    inside = f" (by {entry.seat.name} in it)" if entry.seat is not seat else ""
    whole = f" (for {use.target.name} in it)" if use.target is not need else ""
    return f"{seat.name} waits for {need.name}{whole} in line {notes.line(use.start)}{inside}"


def _knots(seats: list[Seat], waits: Edges) -> list[list[Seat]]:
    """The strongly connected components of more than one node (R. Tarjan, 1972), without recursion."""
    number: dict[Seat, int] = {}
    low: dict[Seat, int] = {}
    on_stack: set[Seat] = set()
    stack: list[Seat] = []
    out: list[list[Seat]] = []
    for root in seats:
        if root in number:
            continue
        path = [(root, iter(waits[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while path:
            seat, following = path[-1]
            step = next(following, None)
            if step is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[seat])
                if low[seat] == number[seat]:
                    knot = [stack.pop()]
                    while knot[-1] is not seat:
                        knot.append(stack.pop())
                    on_stack.difference_update(knot)
                    if len(knot) > 1:
                        out.append(sorted(knot, key=lambda s: s.order))
            elif step not in number:
                number[step] = low[step] = len(number)
                stack.append(step)
                on_stack.add(step)
                path.append((step, iter(waits[step])))
            elif step in on_stack:
                low[seat] = min(low[seat], number[step])
    return out


def _cycle(knot: list[Seat], waits: Edges) -> list[Seat]:
    """A shortest cycle through the first node of a knot, from prerequisite to dependent."""
    inside = set(knot)
    root = knot[0]
    came: dict[Seat, Seat] = {}
    level = [root]
    while level:
        following: list[Seat] = []
        for seat in level:
            for need in waits[seat]:
                if need is root:
                    cycle = [seat]
                    while cycle[-1] is not root:
                        cycle.append(came[cycle[-1]])
                    return [root, *cycle[:-1]] if len(cycle) > 1 else [root]
                if need in inside and need not in came:
                    came[need] = seat
                    following.append(need)
        level = following
    raise AssertionError("a knot has a cycle through each of its nodes")
