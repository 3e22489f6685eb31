"""What an edit of a workflow changed, by node: what decides a value, not how it is run.

Two nodes are the same when their digests are. A node whose digest differs only because of what it needs is told apart
from one that was changed itself, so that the user sees the causes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weft.graph.model import Graph, Node, bodies_of, walk_paths

_NAMED = 12
"""Dependents that are named; of more only the number is said."""


def compare(
    before: Mapping[str, tuple[str, str]], graph: Graph, own_difference: Callable[[str], str]
) -> tuple[dict[str, str], list[str]]:
    """The node paths whose results no longer hold, each with its reason; and what to tell the user, a line for each.

    `before` has label and digest of every node that there was, by node path. `own_difference` says in a word what was
    changed in the node itself, empty when only what it needs was. A node that is new has no result to lose and is only
    told of; so is one that is gone.
    """
    after = {path: node for node, path, _ in walk_paths(graph)}
    different = [path for path, node in after.items() if path in before and before[path][1] != node.digest]
    changed: dict[str, str] = {}
    upstream: list[str] = []
    lines = [f"+ {shown(path, label_of(node))} is new" for path, node in after.items() if path not in before]
    for path in different:
        field = own_difference(path)
        if field:
            changed[path] = f"changed: {field}"
            lines.append(f"~ {shown(path, label_of(after[path]))}: {field} is different")
        else:
            upstream.append(path)
    gone = [path for path in before if path not in after]
    lines += [f"- {shown(path, before[path][0])} is gone" for path in gone]
    needs = needs_by_path(graph)
    other = next(iter([*changed, *gone]), "")
    for path in upstream:
        cause = next((need for need in needs[path] if need in changed), other)
        changed[path] = f"upstream {cause} ran again"
    if upstream:
        more = f" and {len(upstream) - _NAMED} more" if len(upstream) > _NAMED else ""
        lines.append(f"  and what depends on that: {', '.join(upstream[:_NAMED])}{more}")
    return changed, lines


def label_of(node: Node) -> str:
    """The user's word for what the node is."""
    return node.label or node.kind


def shown(path: str, label: str) -> str:
    """A node in a message."""
    return f"{path[path.rfind('/') + 1 :]} ({label})"


def needs_by_path(graph: Graph) -> dict[str, list[str]]:
    """For each node what it needs, the nearest first: in a body the node before it, then what its block needs."""
    found: dict[str, list[str]] = {}
    stack: list[tuple[Graph, str, list[str]]] = [(graph, "", [])]
    while stack:
        body, prefix, around = stack.pop()
        for node, needs in zip(body.nodes, body.needs, strict=True):
            own = found[prefix + node.id] = [prefix + body.nodes[i].id for i in needs] + around
            stack += [(inner, head, own) for inner, head in bodies_of(node, prefix)]
    return found
