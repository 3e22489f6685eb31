"""What names the definitions of a workflow's tasks: the digests by which a resumed run tells what has changed.

A digest covers what decides a task's value: its code, what it is made of and what it needs; not how it is run (timeout,
retry, limits, policy). What is inside a combinator has digests of its own, so that a change there runs that part again
and what comes after it; whoever needs the combinator needs all of it.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from weft.fronts.python.building import Building
from weft.fronts.python.combinators import MapTask
from weft.fronts.python.signature import definition_of
from weft.fronts.python.task import Task
from weft.graph.model import Graph, Node
from weft.graph.work import FunctionWork


class Digests:
    """Collects the definitions of nodes while they are made, then gives a graph its digests."""

    def __init__(self) -> None:
        self._own: dict[int, str] = {}
        self._keys: dict[int, str] = {}

    def define(self, node: Node, task: Task | None) -> None:
        """The node as it was stated, without what is around it and inside it."""
        function = "" if task is None or task.function is None else definition_of(task.function)
        parts: list[object] = [node.kind, function]
        if isinstance(node.work, FunctionWork):
            parts.append([(p.name, p.source, p.key) for p in node.work.parameters])
        if isinstance(task, MapTask):
            parts += [task.over if isinstance(task.over, str) else "given", task.ordered]
        self._own[id(node)] = _digest(parts)
        if function:
            self._keys[id(node)] = function

    def sealed(self, graph: Graph, building: Building) -> Graph:
        """The same graph with digests, each over its own definition and those of all it needs."""
        whole: dict[str, str] = {}
        sealed: dict[str, Node] = {}
        for node in sorted(graph.nodes, key=lambda node: building.place(node.id)):
            needed = sorted((need, whole[need]) for need in node.needs)
            sealed[node.id], whole[node.id] = self._seal(node, needed)
        return Graph([sealed[node.id] for node in graph.nodes])

    def _seal(self, node: Node, needed: object) -> tuple[Node, str]:
        """The node with its digest, and the digest of it with everything inside that decides its value."""
        own = _digest([self._own[id(node)], needed])
        inner: list[str] = []
        bodies = tuple([self._body(body, needed, inner) for body in node.bodies])
        fallback = None if node.fallback is None else self._body(node.fallback, needed, inner)
        whole = _digest([own, inner]) if inner else own
        key = self._keys.get(id(node), "")
        return msgspec.structs.replace(node, bodies=bodies, fallback=fallback, digest=own, weight_key=key), whole

    def _body(self, body: Graph, needed: object, into: list[str]) -> Graph:
        before: object = None
        nodes = []
        for node in body.nodes:
            sealed, whole = self._seal(node, [needed, before])
            nodes.append(sealed)
            into.append(whole)
            before = whole
        return Graph(nodes, chain=body.chain)


def _digest(parts: object) -> str:
    return sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()
