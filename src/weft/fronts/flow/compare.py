"""What an edit of a document changed, by node: what decides a value, not how it is run.

Two nodes are the same when their digests are (see digests.py). Where they differ, the reason is the first of the node's
own settings that differs, else the node it needs that runs again.
"""

from __future__ import annotations

from weft.fronts.flow.ast import Document, Element
from weft.graph.changes import compare as differences
from weft.graph.changes import label_of
from weft.graph.model import Graph, walk_paths

_HOW = frozenset({"timeout", "retry", "limit", "concurrency", "on-failure", "effect", "cache", "description", "needs"})
"""Attributes that say how a node is run: they change no value."""


def compare(old: tuple[Graph, Document], new: tuple[Graph, Document]) -> tuple[dict[str, str], list[str]]:
    """The node paths whose results no longer hold, each with its reason; and what to tell the user, a line per
    difference.
    """
    before = {path: (label_of(node), node.digest) for node, path, _ in walk_paths(old[0])}

    def own(path: str) -> str:
        name = path[path.rfind("/") + 1 :]
        return _own_difference(old[1].ids.get(name), new[1].ids.get(name))

    return differences(before, new[0], own)


def _own_difference(old: Element | None, new: Element | None) -> str:
    """The first of the node's own settings or attributes that differs, empty when none does."""
    if old is None or new is None:
        return "it"
    if old.kind != new.kind:
        return "kind"
    for mine, theirs in ((old.settings, new.settings), (old.attributes, new.attributes)):
        for name in [*mine, *(n for n in theirs if n not in mine)]:
            a, b = mine.get(name), theirs.get(name)
            if name not in _HOW and (None if a is None else a.value) != (None if b is None else b.value):
                return name
    return _parts_difference(old, new) or _needs_difference(old, new)


def _needs_difference(old: Element, new: Element) -> str:
    mine, theirs = (element.attributes.get("needs") for element in (old, new))
    same = sorted(mine.value.split() if mine else []) == sorted(theirs.value.split() if theirs else [])
    return "" if same else "needs"


def _parts_difference(old: Element, new: Element) -> str:
    """Conditions of cases and the like stand in parts without an id."""
    mine = [(part.kind, {k: v.value for k, v in part.attributes.items()}) for part in old.children if part.id is None]
    theirs = [(part.kind, {k: v.value for k, v in part.attributes.items()}) for part in new.children if part.id is None]
    return "" if mine == theirs else "its parts"
