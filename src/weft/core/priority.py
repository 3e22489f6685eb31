"""Which ready leaf goes first: the one with the longest remaining path, over all nesting.

The weight of a node is what it took in earlier runs (the journal's history knows), else 1. A block weighs as much as
its heaviest body, as the bodies of one block run beside each other or once. A node inside a body has its own remaining
path plus what is left after the block, so that the inside of a long tail is preferred to a short independent node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from weft.graph.analysis import layers, remaining
from weft.graph.model import Graph, Node

Ranks = Mapping[Graph, Sequence[float]]


def plan(graph: Graph, weight: Callable[[Node], float | None] = lambda node: None) -> Ranks:
    """The remaining path of every node of every body, in the unit of `weight` (seconds, when learnt; None: 1)."""
    ranks: dict[Graph, Sequence[float]] = {}
    local: dict[Graph, list[float]] = {}
    _measure(graph, weight, local)
    _spread(graph, 0.0, local, ranks)
    return ranks


def in_order(graph: Graph) -> Ranks:
    """Ranks by which the top level runs layer by layer, in each in the order of addition; bodies as their block."""
    position = {i: n for n, i in enumerate([i for layer in layers(graph) for i in layer])}
    ranks: dict[Graph, Sequence[float]] = {graph: [float(-position[i]) for i in range(len(graph))]}
    stack = [(node, ranks[graph][i]) for i, node in enumerate(graph.nodes)]
    while stack:
        node, rank = stack.pop()
        for body in _inside(node):
            ranks[body] = [rank] * len(body)
            stack += [(inner, rank) for inner in body.nodes]
    return ranks


def _measure(graph: Graph, weight: Callable[[Node], float | None], local: dict[Graph, list[float]]) -> float:
    """Remaining paths inside each body alone; returns the length of the graph's own critical path."""
    weights = []
    for node in graph.nodes:
        inner = (
            [_measure(body, weight, local) for body in _inside(node)]
            if node.bodies or node.fallback is not None
            else ()
        )
        own = weight(node)
        if node.bodies:
            weights.append(max(inner, default=1.0) if own is None else own)
        else:
            weights.append(1.0 if own is None else own)
    local[graph] = rest = remaining(graph, weights)
    return max(rest, default=0.0)


def _spread(graph: Graph, tail: float, local: dict[Graph, list[float]], ranks: dict[Graph, Sequence[float]]) -> None:
    """Add what comes after the block to everything inside it."""
    own = local[graph]
    ranks[graph] = [value + tail for value in own] if tail else own
    for i, node in enumerate(graph.nodes):
        if node.bodies or node.fallback is not None:
            after = max([ranks[graph][j] for j in graph.dependents[i]], default=tail)
            for body in _inside(node):
                _spread(body, after, local, ranks)


def _inside(node: Node) -> Sequence[Graph]:
    return node.bodies if node.fallback is None else (*node.bodies, node.fallback)
