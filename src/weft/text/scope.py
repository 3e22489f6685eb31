"""What an evaluation reads and what it may spend.

An expression sees the world only through a `Scope`: values by name, and the few functions whose answer differs
from run to run (`now`, `uuid`, ...) through `draw`, so that a resumed run can be given the same answers again.

Fuel is the promise that every expression ends, soon and in bounded memory. A step is at most about a
microsecond of work and 32 bytes of text or two list places made; it is taken *before* the work is done, so
`range(10**12)` costs a subtraction and not a terabyte. An expression has no loops and no recursion of its
own: only functions over lists repeat anything, so steps are counted where a function is called, and the
plain operators around it (bounded by the expression's length) are counted once, up front.

Steps live in the frame itself while an expression runs: one object fewer for a million evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

STEPS = 1_000_000
"""What one evaluation may cost unless it is given fuel of its own."""


class Fault(Exception):
    """An evaluation went wrong, place still unknown: the nearest operator or call turns it into ExpressionError."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Steps(msgspec.Struct):
    """Steps that are left."""

    left: int

    def take(self, steps: int) -> None:
        """Pay for work about to be done; a Fault when it cannot be paid (and none of the rest can, then)."""
        self.left -= steps
        if self.left < 0:
            raise exhausted()


class Fuel(Steps):
    """Steps for one evaluation, or for several that are to be bounded together."""

    left: int = STEPS


def exhausted() -> Fault:
    """The fault of an expression that would cost more than its fuel."""
    return Fault(
        "WEFT425",
        "the expression costs too much",
        f"it may take {STEPS:,} steps: work on a smaller list or text, or do this in a python or command node",
    )


class Scope(Protocol):
    """What an evaluation reads; the engine implements it."""

    def node(self, id: str, field: str) -> object:  # noqa: A002 - the language's word
        """A field of a node's record: `output` for a bare reference, `error`, `status`, ..."""

    def name(self, name: str) -> object:
        """A bare name: item and index names, document inputs, `input`."""

    def special(self, name: str) -> object:
        """A `$` name, without the `$`: `item`, `config` (an object), `run`, ..."""

    def draw(self, function: str, make: Callable[[], object]) -> object:
        """The recorded answer of `now`, `today`, `uuid` or `random`, else a new one by `make`."""


class MappingScope:
    """A scope over plain dicts, for tests and for expressions outside a run.

    `nodes` maps an id to its output; other fields of a record are read from `records[id]` (null when missing).
    A name that is not given raises KeyError.
    """

    __slots__ = ("_names", "_nodes", "_records", "_specials")

    def __init__(
        self,
        nodes: Mapping[str, object] | None = None,
        names: Mapping[str, object] | None = None,
        specials: Mapping[str, object] | None = None,
        records: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self._nodes = nodes or {}
        self._names = names or {}
        self._specials = specials or {}
        self._records = records or {}

    def node(self, id: str, field: str) -> object:  # noqa: A002 - the language's word
        if field == "output" and id in self._nodes:
            return self._nodes[id]
        return self._records[id].get(field) if id in self._records or id not in self._nodes else None

    def name(self, name: str) -> object:
        return self._names[name]

    def special(self, name: str) -> object:
        return self._specials[name]

    def draw(self, function: str, make: Callable[[], object]) -> object:
        return make()


class Frame(Steps):
    """One evaluation under way: its steps, the scope, the `$` names of the moment, lambda parameters by slot."""

    scope: Scope
    locals: Mapping[str, object] | None
    slots: list[object]
    patterns: dict[tuple[str, str], object] | None = None
    """Regular expressions that this evaluation has paid for."""
