"""What a node may refer to: who has surely ended, or will never have, when it runs.

A body is a sequence (but for the document's top level, where references make the order), so what stands later has not
run. Branches run at once and of cases one runs, so neither sees into another. An iteration's results are its own:
outside there is only the foreach's list. What failed and what undoes it are nobody else's business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from weft.fronts.flow.outline import Body, Outline, Seat

MAX_SETS = 100
"""How many `set` nodes may have written the value that one node reads."""


class Refusal(NamedTuple):
    """Why a reference cannot be: a code, a message, what to do."""

    code: str
    message: str
    hint: str | None


def refusal(seat: Seat, target: Seat, *, after: bool = False) -> Refusal | None:
    """Why `seat` cannot refer to `target`; None when it can.

    `after`: what refers is evaluated when the seat's own bodies have run (the condition of a while, a merge).
    """
    if target.serves is not None and not _is_within(seat, target):
        hint = f"refer to `{target.serves.id}`: the output of its fallback is its output"
        return Refusal("WEFT306", f"`{target.id}` is a fallback and cannot be referred to", hint)
    if target is seat:
        return _to_itself(seat)
    places = _places(seat)
    left: list[Body] = []
    at = target
    while at.body not in places:
        left.append(at.body)
        owner = at.body.owner
        assert owner is not None
        at = owner
    place = places[at.body]
    if place is at:
        return _within(seat, target, at, left, after=after)
    hidden = _hidden(target, left)
    if hidden is not None:
        return hidden
    if at.body.kind != "document" and at.index > place.index:
        hint = f"write it before {place.name}" if not _shared_loop(seat, at) else _LOOP_HINT
        return Refusal("WEFT302", f"{target.name} comes later: nodes in here run one after the other", hint)
    return None


_LOOP_HINT = "to carry a value into the next round, keep it with `set` and read $context"


def _places(seat: Seat) -> dict[Body, Seat]:
    """The bodies around a seat, each with the node in it that is or holds the seat."""
    places = {seat.body: seat}
    for outer in seat.around():
        places[outer.body] = outer
    return places


def _is_within(seat: Seat, around: Seat) -> bool:
    return around.order <= seat.order <= around.last


def _shared_loop(seat: Seat, target: Seat) -> bool:
    return any(s.kind in ("loop", "while") and _is_within(target, s) for s in seat.around())


def _to_itself(seat: Seat) -> Refusal:
    return Refusal("WEFT305", f"{seat.name} refers to itself", "a node's own output is not there before it has run")


def _hidden(target: Seat, left: list[Body]) -> Refusal | None:
    """Whether a reference from outside to `target` crosses a border of the bodies `left`, the innermost first."""
    for body in reversed(left):
        owner = body.owner
        assert owner is not None
        if body.kind == "iteration":
            message = f"`{target.id}` is inside the foreach {owner.name}: it has a result per item"
            return Refusal("WEFT304", message, f"refer to {owner.name}, the list of the results of all items")
        if body.kind == "fallback":
            message = f"`{target.id}` belongs to the fallback of {owner.name}"
            return Refusal("WEFT306", message, f"refer to {owner.name}: the output of its fallback is its output")
        if body.kind == "compensation":
            message = f"`{target.id}` undoes {owner.name} and has no result for others"
            return Refusal("WEFT306", message, f"refer to {owner.name}")
    return None


def _within(seat: Seat, target: Seat, shared: Seat, left: list[Body], *, after: bool) -> Refusal | None:
    """Both are in `shared`, or are it."""
    own = _body_in(seat, shared)
    if target is shared:
        if own is not None and own.kind == "compensation":
            return None
        if own is not None and own.kind == "fallback":
            hint = "$error says what went wrong: $error.message, $error.status"
            return Refusal("WEFT305", f"{target.name} has failed when its fallback runs, and has no result", hint)
        message = f"{target.name} has not ended while what is inside it runs"
        return Refusal("WEFT305", message, "refer to a node before it, or beside it")
    if own is None:
        if after and left[-1].kind in ("round", "branch"):
            return _hidden(target, left[:-1])
        hidden = _hidden(target, left)
        if hidden is not None and hidden.code != "WEFT304":
            return hidden
        message = f"`{target.id}` is inside {seat.name} and runs only after this is known"
        return Refusal("WEFT305", message, "refer to a node before it")
    hidden = _hidden(target, left)
    if own.kind == "compensation" or (own.kind == "fallback" and left[-1].kind in ("branch", "case", "round")):
        return hidden
    if hidden is not None:
        return hidden
    if own.kind == "branch":
        message = f"`{target.id}` is in another branch of {shared.name}: branches run at once"
        hint = f"refer to it after the parallel, or put the two into one branch of {shared.name}"
        return Refusal("WEFT303", message, hint)
    message = f"`{target.id}` is in another part of {shared.name}: only one of them runs"
    return Refusal("WEFT303", message, f"refer to a node before {shared.name}")


def _body_in(seat: Seat, shared: Seat) -> Body | None:
    """The body of `shared` that `seat` is in; None for `shared` itself."""
    at = seat
    while at is not shared:
        body = at.body
        assert body.owner is not None
        if body.owner is shared:
            return body
        at = body.owner
    return None


# -- $context ----------------------------------------------------------------------------------------


class Sets:
    """The `set` nodes of a document, by the scope they write in and the name they write."""

    def __init__(self, made: Outline) -> None:
        self._by_scope: dict[Body, dict[str, list[Seat]]] = {}
        self.names: set[str] = set()
        for seat in made.seats:
            name = variable(seat)
            if name is not None:
                self.names.add(name)
                self._by_scope.setdefault(seat.body.scope, {}).setdefault(name, []).append(seat)

    def before(self, seat: Seat, name: str) -> list[Seat]:
        """Those whose value `seat` may read as `$context.name`: in each frame of the engine, the first that ran counts.

        Later ones of a loop around come first: while they have not run in this round, they have in the one before.
        At most `MAX_SETS` + 1.
        """
        later: list[Seat] = []
        earlier: list[Seat] = []
        places = _places(seat)
        for scope, within in _scopes(seat):
            known = self._by_scope.get(scope, {}).get(name)
            if not known:
                continue
            split = bisect_left(known, seat.order, key=lambda s: s.order)
            loop = _outermost_loop(seat, within)
            if loop is not None:
                later += _later(known, split, loop)
            if _earlier(known, split, places, loop, earlier):
                break
        later.sort(key=lambda s: -s.order)
        return (later + earlier)[: MAX_SETS + 1]

    def at_end(self, made: Outline, name: str) -> list[Seat]:
        """Those whose value the document's `output` may read."""
        known = self._by_scope.get(made.root, {}).get(name, [])
        out: list[Seat] = []
        for seat in reversed(known):
            out.append(seat)
            if (seat.body is made.root and is_sure(seat)) or len(out) > MAX_SETS:
                break
        return out


def _later(known: list[Seat], split: int, loop: Seat) -> list[Seat]:
    """Those from index `split` on that may have run in an earlier round."""
    out = []
    for other in known[split : split + MAX_SETS]:
        if other.order > loop.last:
            break
        if _may_have_run(other, loop):
            out.append(other)
    return out


def _earlier(known: list[Seat], split: int, places: dict[Body, Seat], loop: Seat | None, out: list[Seat]) -> bool:
    """Adds those before index `split`, the nearest first. True when one of them surely wrote."""
    for at in range(split - 1, max(split - 2 - MAX_SETS, -1), -1):
        other = known[at]
        if other.body in places:
            out.append(other)
            if is_sure(other):
                return True
        elif (loop is not None and other.order > loop.order) or not _is_excluded(places, other):
            out.append(other)
    return False


def variable(seat: Seat) -> str | None:
    """The name that a `set` writes."""
    text = seat.element.settings.get("var") if seat.kind == "set" else None
    return None if text is None else text.value.strip()


def is_sure(seat: Seat) -> bool:
    """Whether a `set` surely writes when it is reached."""
    attributes = seat.element.attributes
    return "when" not in attributes and "on-failure" not in attributes


def _scopes(seat: Seat) -> Iterator[tuple[Body, Seat]]:
    """The scopes a seat reads from, innermost first, each with the node directly in it that is or holds the seat."""
    at = seat
    while True:
        scope = at.body.scope
        while at.body is not scope:
            assert at.body.owner is not None
            at = at.body.owner
        yield scope, at
        if scope.owner is None:
            return
        at = scope.owner


def _outermost_loop(seat: Seat, within: Seat) -> Seat | None:
    """The outermost loop from `seat` up to `within`."""
    found = None
    at = seat
    while True:
        if at.kind in ("loop", "while"):
            found = at
        if at is within:
            return found
        assert at.body.owner is not None
        at = at.body.owner


def _may_have_run(other: Seat, loop: Seat) -> bool:
    """Whether `other` may have run in an earlier round of `loop`: not where it is its fallback."""
    own = _body_in(other, loop) if _is_within(other, loop) else None
    return own is not None and own.kind == "round"


def _is_excluded(places: dict[Body, Seat], other: Seat) -> bool:
    """Whether `other`, earlier in the document, can never have run in the same round: only one of two cases runs."""
    at = other
    own: Body | None = None
    while at.body not in places:
        own = at.body
        assert own.owner is not None
        at = own.owner
    if places[at.body] is not at or own is None or own.kind != "case":
        return False
    return any(body.owner is at and body.kind == "case" for body in places)
