"""Who stands where: the nodes of a document as they will run, and what is known at each place.

The parser's elements say what was written. Here every node gets a `Seat` in a `Body`; bodies belong to seats, and so on
up to the document. Three things differ from the text: a node that another one names as its fallback sits inside that
one, as it runs there and nowhere else; a `context` holds a `set` for each of its values and a node that puts them
together; and nodes without an id get one (`kind#n`).

That n counts over the whole document and not, as one might expect, over the body: a branch or an `if` adds nothing to a
path, so two of its nodes called `set#0` would be one and the same to the journal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from msgspec import structs

from weft.errors import nearest
from weft.fronts.flow.ast import Document, Element
from weft.fronts.flow.tags import MAX_NESTING, RESERVED_IDS
from weft.text.notes import Notes
from weft.text.source import Text, quoted

BodyKind = Literal["document", "branch", "iteration", "round", "case", "fallback", "compensation"]

ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
EVERYWHERE = frozenset({"config", "context", "secrets", "env", "run"})
"""`$` names that have a meaning everywhere."""
_ADDS: dict[str, frozenset[str]] = {
    "branch": frozenset({"branch"}),
    "iteration": frozenset({"item", "index"}),
    "round": frozenset({"iteration"}),
    "fallback": frozenset({"error"}),
    "compensation": frozenset({"key"}),
}
_OWN_SCOPE = frozenset({"document", "branch", "iteration", "compensation"})
"""The bodies that a `set` does not write out of."""
_SAME: dict[str, BodyKind] = {"foreach": "iteration", "loop": "round", "while": "round"}


class Body:
    """Nodes that stand beside each other: those of the document, a branch, an iteration, ..."""

    __slots__ = ("depth", "kind", "names", "owner", "part", "scope", "seats", "specials")

    def __init__(self, kind: BodyKind, owner: Seat | None, part: Element | None = None) -> None:
        self.kind = kind
        self.owner = owner
        self.part = part
        """The `<branch>`, `<case>`, `<then>`, ... that it was written as."""
        self.seats: list[Seat] = []
        self.depth = 0
        self.names: frozenset[str] = frozenset()
        """The bare names known here: items, indexes, the document's arguments."""
        self.specials: frozenset[str] = EVERYWHERE
        self.scope: Body = self
        """The body around which a `set` in here is not seen."""


class Seat:
    """One node and its place."""

    __slots__ = (
        "bodies", "body", "compensation", "element", "fallback", "has_id", "id", "index", "last", "named_fallback",
        "order", "serves",
    )  # fmt: skip

    def __init__(self, element: Element, body: Body) -> None:
        self.element = element
        self.body = body
        written = element.id.value if element.id is not None else ""
        self.id = written if ID.fullmatch(written) else ""
        self.has_id = bool(self.id)
        """It can be named by others. One that cannot is given an id of its own (`kind#n`)."""
        self.index = 0
        """Its place in its body."""
        self.order = 0
        """Its place in the document, counted over all nesting; `last` is that of the last node inside it."""
        self.last = 0
        self.bodies: list[Body] = []
        self.fallback: Body | None = None
        self.compensation: Body | None = None
        self.named_fallback = False
        self.serves: Seat | None = None
        """The node whose named fallback it is."""

    @property
    def kind(self) -> str:
        """The kind of its element: `source:file`, `foreach`, ..."""
        return self.element.kind

    @property
    def name(self) -> str:
        """What messages call it: its id, or its tag for a node that has none."""
        return f"`{self.id}`" if self.has_id else f"`<{self.element.tag}>`"

    def inside(self) -> Iterator[Body]:
        """All bodies in it."""
        yield from self.bodies
        if self.fallback is not None:
            yield self.fallback
        if self.compensation is not None:
            yield self.compensation

    @property
    def is_context(self) -> bool:
        """It is a `context`, as a whole."""
        return self.kind == "context" and bool(self.bodies)

    @property
    def is_last(self) -> bool:
        """It gives its body its value."""
        return self is self.body.seats[-1]

    def top(self) -> Seat:
        """The top-level node that it is, or is inside of."""
        seat = self
        while seat.body.owner is not None:
            seat = seat.body.owner
        return seat

    def around(self) -> Iterator[Seat]:
        """The nodes it is inside of, the innermost first."""
        owner = self.body.owner
        while owner is not None:
            yield owner
            owner = owner.body.owner


class Outline:
    """All seats of a document. `seats` is in order; `ids` has those that can be named, `parts` other elements' ids."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.root = Body("document", None)
        self.seats: list[Seat] = []
        self.ids: dict[str, Seat] = {}
        self.parts: dict[str, Element] = {}
        self.item_names: dict[str, Seat] = {}
        """The item and index names of all foreachs."""

    @property
    def names(self) -> frozenset[str]:
        """Every id: what an expression may have to tell from a subtraction."""
        return frozenset(self.ids)


def outline(document: Document, notes: Notes) -> Outline:
    """The outline of a document. Reports named fallbacks that cannot be what they are named for."""
    made = Outline(document)
    named = _seat_all(made)
    for seat, text in named:
        _name_fallback(made, seat, text, notes)
    if any(seat.serves is not None for seat in made.ids.values()):
        _take_out(made)
    _number(made, notes)
    return made


# -- seating -----------------------------------------------------------------------------------------


def _seat_all(made: Outline) -> list[tuple[Seat, Text]]:
    """Seats every node; returns those that name another as their fallback."""
    named: list[tuple[Seat, Text]] = []
    stack: list[tuple[Element, Body]] = [(e, made.root) for e in reversed(made.document.nodes)]
    while stack:
        element, body = stack.pop()
        seat = Seat(element, body)
        body.seats.append(seat)
        if seat.id and seat.id not in made.ids:
            made.ids[seat.id] = seat
        inner: list[tuple[Element, Body]] = []
        for part, child in _bodies(seat, named):
            if part.id is not None and part is not element and ID.fullmatch(part.id.value):
                made.parts.setdefault(part.id.value, part)
            inner += [(e, child) for e in part.children]
        stack.extend(reversed(inner))
    return named


def _bodies(seat: Seat, named: list[tuple[Seat, Text]]) -> Iterator[tuple[Element, Body]]:
    """Gives a seat its bodies: each with the element whose children stand in it."""
    element = seat.element
    kind = element.kind
    if kind == "context" and element.children:
        seat.bodies.append(Body("case", seat, element))
        yield structs.replace(element, children=_values(element)), seat.bodies[-1]
    elif kind in ("parallel", "if", "switch"):
        parts = [p for p in element.children if p.kind not in ("else", "default")]
        parts += [p for p in element.children if p.kind in ("else", "default")]
        for part in parts:
            seat.bodies.append(Body("branch" if kind == "parallel" else "case", seat, part))
            yield part, seat.bodies[-1]
    elif not element.leaf and kind != "break":
        seat.bodies.append(Body(_SAME.get(kind, "case"), seat, element))
        yield element, seat.bodies[-1]
    fallback = element.on_error.part("fallback") if element.on_error is not None else None
    if fallback is not None and "node" in fallback.attributes:
        named.append((seat, fallback.attributes["node"]))
    elif fallback is not None:
        seat.fallback = Body("fallback", seat, fallback)
        yield fallback, seat.fallback
    if element.compensate is not None:
        seat.compensation = Body("compensation", seat, element.compensate)
        yield element.compensate, seat.compensation


def _values(element: Element) -> tuple[Element, ...]:
    """The nodes that a `context` stands for: a `set` for each value, and one that puts them together."""
    sets = []
    for child in element.children:
        given = {**child.attributes, **child.settings}
        renamed = {"var" if name == "key" else name: text for name, text in given.items()}
        settings = {name: text for name, text in renamed.items() if name in ("var", "value", "expression")}
        sets.append(Element("set", child.tag, child.start, child.head, child.end, settings=settings, leaf=True))
    return (*sets, Element("context", element.tag, element.start, element.head, element.end, leaf=True))


# -- named fallbacks ---------------------------------------------------------------------------------


def _name_fallback(made: Outline, seat: Seat, text: Text, notes: Notes) -> None:
    """Seats the node that `seat` names as its fallback inside it, or says why that cannot be."""
    start, end = text.span(0, len(text.value))
    target = made.ids.get(text.value)
    if target is None:
        if text.value not in written_ids(made.document):
            close = nearest(text.value, [s.id for s in seat.body.seats if s.has_id and s is not seat])
            hint = f"did you mean `{close[0]}`?" if close else "a fallback is a node beside the one it is for"
            notes.error("WEFT301", f"there is no node {quoted(text.value)}", start, end, hint=hint)
        return
    problem = _why_no_fallback(seat, target)
    if problem is not None:
        notes.error("WEFT320", problem[0], start, end, hint=problem[1])
        return
    target.serves = seat
    seat.named_fallback = True


def _why_no_fallback(seat: Seat, target: Seat) -> tuple[str, str] | None:
    if target is seat:
        return f"{seat.name} cannot be its own fallback", "name another node, or put nodes into the `<fallback>`"
    if target.body is not seat.body:
        hint = "put it beside the node, or its nodes into the `<fallback>`"
        return f"`{target.id}` does not stand beside {seat.name}, whose fallback it is to be", hint
    if target.serves is not None:
        hint = "a fallback serves one node; give the other one a node of its own"
        return f"`{target.id}` is already the fallback of {target.serves.name}", hint
    if target.element.kind == "break":
        return "a `<break>` cannot be a fallback", "put it into the `<fallback>`"
    server, length = seat, 0
    while server.serves is not None:
        server, length = server.serves, length + 1
        if server is target:
            return f"{seat.name} and `{target.id}` would be each other's fallback", "remove one of the two"
    if length >= MAX_NESTING:
        return f"this is the fallback of a fallback more than {MAX_NESTING} times over", "leave some of them out"
    if target.is_last:
        hint = f"write it before {seat.name}"
        return f"`{target.id}` is the last node here, which gives the value, and so cannot be a fallback", hint
    return None


def _take_out(made: Outline) -> None:
    """Moves the named fallbacks from their bodies into the nodes they serve."""
    for body in {id(s.body): s.body for s in made.ids.values() if s.serves is not None}.values():
        stay = [s for s in body.seats if s.serves is None]
        for seat in body.seats:
            if seat.serves is not None:
                seat.body = seat.serves.fallback = Body("fallback", seat.serves)
                seat.body.seats.append(seat)
        body.seats = stay


# -- numbering ---------------------------------------------------------------------------------------


def _number(made: Outline, notes: Notes) -> None:
    """Gives every seat its order and index, and an id where it has none; and every body what is known in it."""
    inputs = made.document.front.input
    made.root.names = frozenset((*inputs, "input"))
    counts: Counter[str] = Counter()
    too_deep = False
    stack: list[Body | Seat] = [made.root]
    while stack:
        at = stack.pop()
        if isinstance(at, Body):
            _know(made, at)
            if at.depth > MAX_NESTING and not too_deep and at.owner is not None:
                too_deep = True
                head = at.owner.element
                message = f"nodes and their fallbacks are nested more than {MAX_NESTING} deep"
                notes.error("WEFT209", message, head.start, head.head)
            for index, seat in enumerate(at.seats):
                seat.index = index
            stack.extend(reversed(at.seats))
            continue
        at.order = at.last = len(made.seats)
        made.seats.append(at)
        if not at.id:
            at.id = f"{at.kind}#{counts[at.kind]}"
            counts[at.kind] += 1
        stack.extend(reversed(list(at.inside())))
    for seat in reversed(made.seats):
        if seat.body.owner is not None:
            seat.body.owner.last = max(seat.body.owner.last, seat.last)


def _know(made: Outline, body: Body) -> None:
    """What is known in a body is what is known around it, and what its kind adds."""
    owner = body.owner
    if owner is None:
        return
    outer = owner.body
    body.depth = outer.depth + 1
    body.names = outer.names
    body.specials = outer.specials | _ADDS.get(body.kind, frozenset())
    body.scope = body if body.kind in _OWN_SCOPE else outer.scope
    if body.kind == "iteration":
        given = [owner.element.settings.get(word) for word in ("item", "index")]
        names = [text.value for text in given if text is not None and is_name(text.value)]
        for name in names:
            made.item_names.setdefault(name, owner)
        body.names = outer.names.union(names, default_names(made, owner))


def default_names(made: Outline, foreach: Seat) -> list[str]:
    """`item` and `index`, where the foreach gives no name of its own and the word means nothing else here."""
    given = foreach.element.settings
    taken = {**made.ids, **made.item_names, **made.document.front.input}
    return [word for word in ("item", "index") if word not in given and word not in taken]


def is_name(word: str) -> bool:
    """Whether a word can be the name of an item, an argument or a `$context` value."""
    return PLAIN_NAME.fullmatch(word) is not None and word not in RESERVED_IDS


_WRITTEN_ID = re.compile(r"""\bid\s*=\s*["']([^"'<>]*)["']""")


def written_ids(document: Document) -> frozenset[str]:
    """What looks like an id in a document that could not be read to its end: no reason to call it unknown."""
    return frozenset() if document.complete else frozenset(_WRITTEN_ID.findall(document.source.text))
