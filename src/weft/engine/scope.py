"""What a node sees: a chain of scopes instead of copies.

Each frame has a scope with the results of its own nodes; what is not there is looked for in the frame around it. A
branch therefore sees its ancestors' results and its own, never a sibling's, at no cost per iteration but the scope
itself. When a body that runs once has ended, its results move up to the frame around it; a foreach keeps only its
list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft.engine.records import MISSING, Record
from weft.graph.work import Work
from weft.runtimes.base import FileList, FileRows


class Scope:
    """The results and names of one frame."""

    __slots__ = ("names", "parent", "results", "specials")

    def __init__(
        self,
        parent: Scope | None,
        names: dict[str, Any] | None = None,
        specials: dict[str, Any] | None = None,
    ) -> None:
        self.parent = parent
        self.results: dict[str, Record] = {}
        self.names = names
        self.specials = specials

    def record(self, id: str) -> Record:  # noqa: A002 - the language's word
        """The record of a node; one full of nulls when it has not run."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.results.get(id)
            if found is not None:
                return found
            scope = scope.parent
        return MISSING

    def name(self, name: str) -> Any:
        """An item or index name, or a document input. Asked of the scope around, which may know it in its own way."""
        if self.names is not None and name in self.names:
            return self.names[name]
        if self.parent is None:
            raise KeyError(name)
        return self.parent.name(name)

    def special(self, name: str) -> Any:
        """A `$` name; null where it has no meaning."""
        if self.specials is not None and name in self.specials:
            return self.specials[name]
        return None if self.parent is None else self.parent.special(name)


class View:
    """A scope as one evaluation of one node sees it: with its `input`, its `$context`, its recorded draws.

    Implements the `Scope` protocol of expressions. `more` holds what only this evaluation sees (`$branches`, `$error`).
    """

    __slots__ = ("_draw", "_load", "_more", "_scope", "_work")

    def __init__(
        self,
        scope: Scope,
        work: Work | None,
        draw: Callable[[str, Callable[[], object]], object] | None = None,
        *,
        more: Mapping[str, Any] | None = None,
        load: Callable[[Any], Any] | None = None,
    ) -> None:
        self._scope = scope
        self._work = work
        self._draw = draw
        self._more = more
        self._load = load

    def node(self, id: str, field: str) -> Any:  # noqa: A002 - the language's word
        """A field of a node's record; rows that stay in their file are read."""
        value = self._scope.record(id).field(field)
        if self._load is not None and isinstance(value, FileRows | FileList):
            return self._load(value)
        return value

    def name(self, name: str) -> Any:
        """A bare name; `input` is the node's own."""
        if name == "input" and self._work is not None and self._work.input is not None:
            return self.node(self._work.input, "output")
        return self._scope.name(name)

    def given(self) -> Any:
        """The node's input as runtimes get it: rows that stay in their file are handed on."""
        if self._work is not None and self._work.input is not None:
            return self._scope.record(self._work.input).output
        return self._scope.name("input")

    def special(self, name: str) -> Any:
        """A `$` name."""
        if self._more is not None and name in self._more:
            return self._more[name]
        if name == "context":
            return self._context()
        return self._scope.special(name)

    def draw(self, function: str, make: Callable[[], object]) -> object:
        """The recorded answer, else a new one."""
        return make() if self._draw is None else self._draw(function, make)

    def _context(self) -> dict[str, Any]:
        """The `$context` names this node reads. Of the `set` nodes that may have written one, the nearest that ran
        counts: innermost frame first, in each frame the last in the document.
        """
        if self._work is None:
            return {}
        return {name: self._last_set(ids) for name, ids in self._work.context.items()}

    def _last_set(self, ids: tuple[str, ...]) -> Any:
        scope: Scope | None = self._scope
        while scope is not None:
            for id in ids:  # noqa: A001 - the language's word
                if (found := scope.results.get(id)) is not None and found.status == "succeeded":
                    return found.output
            scope = scope.parent
        return None
