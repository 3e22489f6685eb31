"""Graphs that read like the problem.

graph("a -> b c -> d", b={"retry": Retry(3)})        a diamond
graph("a -> each -> z", each=foreach("x y", concurrency=2))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from weft.graph.model import Graph, Node

Settings = Mapping[str, Any]


def graph(text: str = "", *, chain: bool = False, **settings: Settings) -> Graph:
    """A graph from a drawing: `->` separates layers, each of whose nodes needs all of the layer before; lines (or `;`)
    add up.

    `settings` are the fields of `Node`, by id. A body is drawn with `chain=True`: its nodes run in order, `graph("x
    y")`.
    """
    needs: dict[str, list[str]] = {}
    for line in text.replace(";", "\n").splitlines():
        before: list[str] = []
        for layer in line.split("->"):
            ids = layer.split()
            for name in ids:
                needs.setdefault(name, []).extend(before)
            before = ids
    nodes = [Node(**{"id": name, "needs": tuple(n), **settings.get(name, {})}) for name, n in needs.items()]
    return numbered(Graph(nodes, chain=chain))


def numbered(plain: Graph) -> Graph:
    """The same graph, its nodes counted in document order over all nesting, as the fronts do."""
    count = 0

    def renumber(old: Graph) -> Graph:
        nonlocal count
        nodes = []
        for node in old.nodes:
            order, count = count, count + 1
            fallback = None if node.fallback is None else renumber(node.fallback)
            bodies = tuple([renumber(body) for body in node.bodies])
            nodes.append(msgspec.structs.replace(node, order=order, bodies=bodies, fallback=fallback))
        return Graph(nodes, chain=old.chain)

    return renumber(plain)


def body(text: str | Graph, **settings: Settings) -> Graph:
    """A body: the nodes of the drawing, one after the other."""
    return text if isinstance(text, Graph) else graph(text, chain=True, **settings)


def block(kind: str, *bodies: str | Graph, **fields: Any) -> Settings:
    """Settings of a block node: `graph("p", p=block("parallel", "a", "b", wait=1))`."""
    return {"kind": kind, "bodies": tuple([body(b) for b in bodies]), **fields}


def foreach(inner: str | Graph, **fields: Any) -> Settings:
    """Settings of a foreach."""
    return block("foreach", inner, **fields)


def parallel(*branches: str | Graph, **fields: Any) -> Settings:
    """Settings of a parallel."""
    return block("parallel", *branches, **fields)
