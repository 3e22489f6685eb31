"""Random graphs: everything the core knows, nested."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from weft.event_types import Usage
from weft.graph.model import Graph, Node
from weft.policy import Retry
from weft.testing import numbered


class Drawing:
    """Draws graphs. `tame` ones end the same way whatever the order of things is."""

    def __init__(self, rng: random.Random, *, tame: bool = False, depth: int = 3) -> None:
        self.rng = rng
        self.tame = tame
        self.depth = depth
        self.count = 0

    def graph(self) -> Graph:
        nodes: list[Node] = []
        for _ in range(self.rng.randint(1, 5)):
            ids = [n.id for n in nodes]
            needs = tuple(self.rng.sample(ids, min(len(ids), self.rng.choice([0, 1, 1, 2]))))
            nodes.append(self.node(self.depth, loops=False, needs=needs))
        return numbered(Graph(nodes))

    def body(self, depth: int, *, loops: bool) -> Graph:
        size = self.rng.choice([0, 1, 1, 1, 2, 2, 3])
        return Graph([self.node(depth, loops=loops) for _ in range(size)], chain=True)

    def node(self, depth: int, *, loops: bool, needs: tuple[str, ...] = ()) -> Node:
        rng = self.rng
        kinds = ["leaf"] * (4 if depth else 1)
        if depth:
            kinds += ["group", "choice", "parallel", "foreach", "foreach", "loop", "retry"]
        if loops:
            kinds.append("break")
        kind = rng.choice(kinds)
        self.count += 1
        fields: dict[str, Any] = {"id": f"{kind[0]}{self.count}", "kind": kind, "needs": needs}
        fields["conditional"] = rng.random() < (0.5 if kind == "break" else 0.15)
        if kind == "leaf":
            self._leaf(fields)
        elif kind == "break":
            fields["everything"] = not self.tame and rng.random() < 0.5
        else:
            self._block(fields, depth, loops=loops)
        if kind != "break":
            if not self.tame and rng.random() < 0.3:
                fields["on_failure"] = rng.choice(["finish", "cancel", "continue"])
            if rng.random() < 0.3:
                fields["compensation"] = Graph([Node(id="undo")])
                fields["compensation_retry"] = Retry(2)
            if depth and rng.random() < 0.15:
                fields["fallback"] = self.body(depth - 1, loops=False)
        return Node(**fields)

    def _leaf(self, fields: dict[str, Any]) -> None:
        rng = self.rng
        fields["effect"] = rng.choice(["pure", "idempotent", "idempotent", "once"])
        fields["holds_slot"] = rng.random() < 0.9
        if fields["effect"] != "pure" and fields["holds_slot"] and rng.random() < 0.3:
            fields["estimate"] = Usage(tokens=rng.choice([1.0, 2.0, 5.0]))
        if rng.random() < 0.3:
            fields["limits"] = tuple(rng.sample(["x", "y"], rng.randint(1, 2)))
        if fields["effect"] != "once" and rng.random() < 0.3:
            fields["retry"] = Retry(rng.randint(2, 3))

    def _block(self, fields: dict[str, Any], depth: int, *, loops: bool) -> None:
        rng = self.rng
        kind = fields["kind"]
        inside = loops if kind in ("group", "choice", "retry") else kind in ("foreach", "loop")
        bodies = rng.randint(1, 3) if kind in ("choice", "parallel") else 1
        fields["bodies"] = tuple([self.body(depth - 1, loops=inside) for _ in range(bodies)])
        if kind in ("parallel", "foreach"):
            fields["concurrency"] = rng.choice([None, 1, 2, 5])
        if kind == "parallel":
            if not self.tame:
                fields["wait"] = rng.choice([None, None, 1, 2])
            fields["merges"] = rng.random() < 0.2
        fields["prefixes"] = rng.random() < 0.3
        if not self.tame and rng.random() < 0.2:
            fields["timeout"] = 5.0


def rewindowed(graph: Graph, rng: random.Random) -> Graph:
    """The same graph with other windows."""
    nodes = []
    for node in graph.nodes:
        changed: dict[str, Any] = {"bodies": tuple([rewindowed(b, rng) for b in node.bodies])}
        if node.fallback is not None:
            changed["fallback"] = rewindowed(node.fallback, rng)
        if node.concurrency:
            changed["concurrency"] = rng.choice([1, 2, 9])
        nodes.append(msgspec.structs.replace(node, **changed))
    return Graph(nodes, chain=graph.chain)
