"""What an edit of a document changed, by node: what decides a value, not how it is run.

Two nodes are the same when their digests are (see digests.py). Where they differ, the reason is the first of the node's own
settings that differs, else the node it needs that differs.
"""

from __future__ import annotations

from weft.fronts.flow.ast import Document, Element
from weft.graph.model import Graph, Node, walk

_HOW = frozenset({"timeout", "retry", "limit", "concurrency", "on-failure", "description", "needs"})
"""Attributes that say how a node is run: they change no value."""


def compare(
    old: tuple[Graph, Document], new: tuple[Graph, Document]
) -> tuple[dict[str, str], list[str]]:
    """The ids whose results no longer hold, each with its reason; and what to tell the user, a line for each difference.

    A node that is new has no result to lose and is only told of; so is one that is gone.
    """
    before = {node.id: node for node in walk(old[0])}
    after = {node.id: node for node in walk(new[0])}
    changed: dict[str, str] = {}
    lines: list[str] = []
    upstream: list[Node] = []
    for node in after.values():
        earlier = before.get(node.id)
        if earlier is None:
            lines.append(f"+ {node.id} ({node.label or node.kind}) is new")
        elif earlier.digest != node.digest:
            field = _own_difference(old[1].ids.get(node.id), new[1].ids.get(node.id))
            if field:
                changed[node.id] = f"changed: {field}"
                lines.append(f"~ {node.id} ({node.label or node.kind}): {field} is different")
            else:
                upstream.append(node)
    lines += [f"- {node.id} ({node.label or node.kind}) is gone" for id, node in before.items() if id not in after]
    gone = [id for id in before if id not in after]
    for node in upstream:
        cause = next(iter([*changed, *gone]), "")
        changed[node.id] = f"upstream {_cause(node, changed) or cause} ran again"
    return changed, lines


def _cause(node: Node, changed: dict[str, str]) -> str:
    """A node it needs that has changed."""
    return next((need for need in node.needs if need in changed), "")


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
    return _parts_difference(old, new)


def _parts_difference(old: Element, new: Element) -> str:
    """Conditions of cases and the like stand in parts without an id."""
    mine = [(part.kind, {k: v.value for k, v in part.attributes.items()}) for part in old.children if part.id is None]
    theirs = [(part.kind, {k: v.value for k, v in part.attributes.items()}) for part in new.children if part.id is None]
    return "" if mine == theirs else "its parts"
