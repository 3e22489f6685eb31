"""What tasks need of each other: only earlier ones, so that the order of their numbers is always one that works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from weft.fronts.plan.options import Need
from weft.text.notes import Notes


def check_needs(needs: Mapping[int, Sequence[Need]], notes: Notes, *, whole: bool = True) -> None:
    """Reports needs of unknown tasks, of the task itself, of later ones, and circles.

    `needs` has every task that was understood; without `whole` there may be more, and an unknown number means nothing.
    """
    circles = _circles(needs)
    for number, wanted in needs.items():
        for need in wanted:
            if whole or need.number in needs:
                _check(number, need, needs, circles, notes)


def _check(
    number: int, need: Need, needs: Mapping[int, Sequence[Need]], circles: Mapping[int, int], notes: Notes
) -> None:
    other = need.number
    if other not in needs:
        message = f"task {number} needs task {other}, and there is none"
        notes.error("WEFT624", message, need.start, need.end, hint=f"there are {listed(sorted(needs))}")
    elif other == number:
        message, hint = f"task {number} needs itself", "leave the number out"
        notes.error("WEFT625", message, need.start, need.end, hint=hint)
    elif circles[number] == circles[other]:
        members = sorted(n for n in needs if circles[n] == circles[number])
        message = f"tasks {listed(members)} need each other"
        notes.error("WEFT626", message, need.start, need.end, hint="remove one of these needs")
    elif other > number:
        message = f"task {number} needs task {other}, which comes later"
        hint = "tasks run in the order of their numbers: give it a smaller one"
        notes.error("WEFT625", message, need.start, need.end, hint=hint)


def warn_of_cut_blocks(marked: Iterable[tuple[int, bool, Sequence[Need]]], notes: Notes) -> None:
    """A warning for each need of a task that is marked to run side by side with what it needs.

    `marked` has number, mark and needs of all tasks by rising number.
    """
    members: set[int] = set()
    for number, parallel, needs in marked:
        inside = [need for need in needs if parallel and need.number in members]
        if inside:
            need = inside[0]
            message = f"task {number} is marked (parallel), but needs task {need.number}: it does not run beside it"
            notes.warn("WEFT628", message, need.start, need.end, hint="leave one of them out if that is not meant")
        if inside or not parallel:
            members = set()
        if parallel:
            members.add(number)


def _circles(needs: Mapping[int, Sequence[Need]]) -> dict[int, int]:
    """For each task a number that is the same for those that can reach each other (R. Tarjan, 1972; iterative)."""
    low: dict[int, int] = {}
    order: dict[int, int] = {}
    home: dict[int, int] = {}
    stack: list[int] = []
    for root in needs:
        if root in order:
            continue
        trail = [(root, iter(needs[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        while trail:
            here, rest = trail[-1]
            following = next(rest, None)
            if following is None:
                trail.pop()
                if trail:
                    low[trail[-1][0]] = min(low[trail[-1][0]], low[here])
                if low[here] == order[here]:
                    while stack[-1] != here:
                        home[stack.pop()] = here
                    home[stack.pop()] = here
                continue
            other = following.number
            if other not in needs:
                continue
            if other not in order:
                order[other] = low[other] = len(order)
                stack.append(other)
                trail.append((other, iter(needs[other])))
            elif other not in home:
                low[here] = min(low[here], order[other])
    return home


def listed(numbers: Sequence[int], most: int = 12) -> str:
    """Rising numbers for a message: `1, 2, 5-9`; at most `most` pieces."""
    pieces: list[list[int]] = []
    for number in numbers:
        if pieces and number == pieces[-1][1] + 1:
            pieces[-1][1] = number
        else:
            pieces.append([number, number])
    words = []
    for first, last in pieces:
        words += [f"{first}-{last}"] if last > first + 1 else [str(number) for number in range(first, last + 1)]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
