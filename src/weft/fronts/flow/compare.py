"""What an edit of a document changed, by node: what decides a value, not how it is run.

Two nodes are the same when their digests are (see digests.py). Where they differ, the reason is the first of the node's
own settings that differs, else the node it needs that runs again.
"""

from __future__ import annotations

from weft.fronts.flow.ast import Document, Element
from weft.graph.model import Graph, Node, walk

_HOW = frozenset({"timeout", "retry", "limit", "concurrency", "on-failure", "effect", "cache", "description", "needs"})
"""Attributes that say how a node is run: they change no value."""


_NAMED = 12
"""Dependents that are named; of more only the number is said."""


def compare(old: tuple[Graph, Document], new: tuple[Graph, Document]) -> tuple[dict[str, str], list[str]]:
    """The ids whose results no longer hold, each with its reason; and what to tell the user, a line per difference.

    A node that is new has no result to lose and is only told of; so is one that is gone.
    """
    before = {node.id: node for node in walk(old[0])}
    after = {node.id: node for node in walk(new[0])}
    changed: dict[str, str] = {}
    lines: list[str] = []
    upstream: list[str] = []
    for node in after.values():
        earlier = before.get(node.id)
        if earlier is None:
            lines.append(f"+ {_shown(node)} is new")
        elif earlier.digest != node.digest:
            field = _own_difference(old[1].ids.get(node.id), new[1].ids.get(node.id))
            if field:
                changed[node.id] = f"changed: {field}"
                lines.append(f"~ {_shown(node)}: {field} is different")
            else:
                upstream.append(node.id)
    gone = [node for node in before.values() if node.id not in after]
    lines += [f"- {_shown(node)} is gone" for node in gone]
    needs = _needs(new[0])
    other = next(iter([*changed, *(node.id for node in gone)]), "")
    for name in upstream:
        cause = next((need for need in needs[name] if need in changed), other)
        changed[name] = f"upstream {cause} ran again"
    if upstream:
        more = f" and {len(upstream) - _NAMED} more" if len(upstream) > _NAMED else ""
        lines.append(f"  and what depends on that: {', '.join(upstream[:_NAMED])}{more}")
    return changed, lines


def _shown(node: Node) -> str:
    return f"{node.id} ({node.label or node.kind})"


def _needs(graph: Graph) -> dict[str, list[str]]:
    """For each node what it needs, the nearest first: in a body the node before it, then what its block needs."""
    found: dict[str, list[str]] = {}
    stack: list[tuple[Graph, list[str]]] = [(graph, [])]
    while stack:
        body, around = stack.pop()
        for node, needs in zip(body.nodes, body.needs, strict=True):
            own = found[node.id] = [body.nodes[i].id for i in needs] + around
            inner = (*node.bodies, *(b for b in (node.fallback, node.compensation) if b is not None))
            stack += [(b, own) for b in inner]
    return found


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
