"""The graph: what every front produces and the core runs.

A `Graph` is an ordered list of nodes with `needs` edges. A *leaf* does work; a *block* holds other graphs (its
bodies). The core reads structure and policies; what a node does (`Node.work`) is opaque to it and belongs to the
engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from weft.errors import DuplicateTaskError, UnknownTaskError, nearest
from weft.event_types import Usage
from weft.kinds import Effect
from weft.policy import NO_RETRY, FailurePolicy, Retry

Kind = Literal["leaf", "group", "choice", "parallel", "foreach", "loop", "retry", "break"]


class Node(msgspec.Struct, frozen=True, kw_only=True, eq=False, omit_defaults=True):
    """A vertex. Everything but `id` has a default, so that tests read like the problem.

    kind      leaf: attempts. group: one body, once. choice: one of several bodies. parallel: all bodies at once.
              foreach: a body per item. loop: a body again and again. retry: a body again while it fails.
              break: ends an iteration or a block.
    needs     ids of nodes of the same graph that must have ended before this one starts.
    wait      parallel: how many branches must succeed (None: all).
    work      what the engine does for it; the core never looks inside.
    digest    names what decides the node's value, with what it needs; empty where nothing is compared.
    weight_key  names the node's definition in the history of durations; empty: weight 1.
    """

    id: str
    kind: Kind = "leaf"
    needs: tuple[str, ...] = ()
    bodies: tuple[Graph, ...] = ()
    conditional: bool = False
    """It has a `when`: asked before it starts."""
    on_failure: FailurePolicy | None = None
    retry: Retry = NO_RETRY
    timeout: float | None = None
    effect: Effect = "idempotent"
    holds_slot: bool = True
    limits: tuple[str, ...] = ()
    concurrency: int | None = None
    """Live iterations or branches at most; None: 1 for a foreach, all for a parallel."""
    wait: int | None = None
    merges: bool = False
    """A parallel whose output is an expression over its branches."""
    everything: bool = False
    """A break that ends the whole block (`all`)."""
    fallback: Graph | None = None
    prefixes: bool = False
    """Its path stands in front of those inside it, whose ids are its own: a combinator, another document's graph."""
    named_fallback: bool = False
    """The fallback is one node with a name of its own: skipped as "not needed" when its node succeeds."""
    compensation: Graph | None = None
    compensation_retry: Retry = Retry(max_attempts=3)
    reopens: bool = False
    """What failed in it is missing work: a resume tries it again, also where a policy has swallowed the failure."""
    estimate: Usage | None = None
    """What an attempt will use of the run's budget, as far as one knows."""
    label: str = ""
    """The user's word for what it is: `source:file`, `foreach`."""
    digest: str = ""
    weight_key: str = ""
    order: int = 0
    """Place in the document, counted over all nesting; breaks ties."""
    work: object = None

    @property
    def is_block(self) -> bool:
        """Whether it holds other nodes."""
        return bool(self.bodies)


class Graph:
    """Ordered nodes and the edges between them, by index. Immutable once made.

    Raises DuplicateTaskError and UnknownTaskError; cycles are found by `analysis.layers`.
    """

    __slots__ = (
        "_silent",
        "chain",
        "dependents",
        "indegree",
        "index",
        "known_layers",
        "known_paths",
        "last",
        "needs",
        "nodes",
        "roots",
    )

    def __init__(self, nodes: Iterable[Node] = (), *, chain: bool = False) -> None:
        self.nodes: Sequence[Node] = tuple(nodes)
        self.chain = chain
        self.index = _index(self.nodes)
        if chain:
            count = len(self.nodes)
            self.needs: list[Sequence[int]] = [() if i == 0 else (i - 1,) for i in range(count)]
        else:
            self.needs = [self._resolve(node) if node.needs else () for node in self.nodes]
        self.dependents: list[list[int]] = [[] for _ in self.nodes]
        self.indegree: list[int] = [len(needs) for needs in self.needs]
        for i, needs in enumerate(self.needs):
            for j in needs:
                self.dependents[j].append(i)
        self.roots: tuple[int, ...] = tuple([i for i, count in enumerate(self.indegree) if not count])
        """The nodes that need nothing."""
        self.last: int = next((i for i in range(len(self.nodes) - 1, -1, -1) if self.nodes[i].kind != "break"), -1)
        """The node whose output is the value of this body; a break has none. -1: there is no such node."""
        self.known_layers: list[list[int]] | None = None
        self.known_paths: list[tuple[Node, str, str]] | None = None
        """What `analysis.layers` and `walk_paths` have found, for whoever asks again: a workflow keeps its graph."""
        self._silent: bool | None = None

    @property
    def silent(self) -> bool:
        """Nothing in here can ever happen: it runs without leaving a fact."""
        if self._silent is None:
            self._silent = all(_silent(node) for node in self.nodes)
        return self._silent

    def __len__(self) -> int:
        return len(self.nodes)

    def _resolve(self, node: Node) -> tuple[int, ...]:
        index = self.index
        try:
            return tuple(dict.fromkeys([index[need] for need in node.needs]))
        except KeyError as error:
            missing = str(error.args[0])
            raise UnknownTaskError(missing, nearest(missing, list(index), count=3)) from None


def _silent(node: Node) -> bool:
    if node.kind not in ("group", "parallel", "retry") or node.conditional or node.merges:
        return False
    quiet = sum(body.silent for body in node.bodies)
    return quiet >= (len(node.bodies) if node.wait is None else min(node.wait, len(node.bodies)))


def _index(nodes: Sequence[Node]) -> dict[str, int]:
    index = {node.id: i for i, node in enumerate(nodes)}
    if len(index) != len(nodes):
        seen: set[str] = set()
        for node in nodes:
            if node.id in seen:
                raise DuplicateTaskError(node.id)
            seen.add(node.id)
    return index


def walk(graph: Graph) -> Iterable[Node]:
    """Every node of the graph and of all bodies inside, outer first, in document order."""
    return [node for node, _, _ in walk_paths(graph)]


def walk_paths(graph: Graph) -> Sequence[tuple[Node, str, str]]:
    """As `walk`, each with its node path and that of the node it stands in (empty at the top level).

    A node path is what is left of the paths of a node's instances without their indexes: `classify/score` of
    `classify[3]/score`. It names one node of a graph, also where ids are unique only within their block.
    """
    if graph.known_paths is None:
        graph.known_paths = list(_walk(graph))
    return graph.known_paths


def _walk(graph: Graph) -> Iterable[tuple[Node, str, str]]:
    stack = [(node, "", "") for node in reversed(graph.nodes)]
    while stack:
        node, prefix, block = stack.pop()
        path = prefix + node.id
        yield node, path, block
        for body, head in reversed(bodies_of(node, prefix)):
            stack += [(n, head, path) for n in reversed(body.nodes)]


def bodies_of(node: Node, prefix: str) -> list[tuple[Graph, str]]:
    """The graphs inside a node (bodies, fallback, compensation), each with what its node paths begin with.

    `prefix` is what the node's own path begins with.
    """
    if not node.bodies and node.fallback is None and node.compensation is None:
        return []
    beside = f"{prefix}{node.id}/" if node.prefixes else prefix
    inside = f"{prefix}{node.id}/" if node.kind in _INDEXED else beside
    others = [body for body in (node.fallback, node.compensation) if body is not None]
    return [*((body, inside) for body in node.bodies), *((body, beside) for body in others)]


_INDEXED = ("foreach", "loop", "retry")
"""Kinds whose bodies run many times, each under an index."""
_INDEX = re.compile(r"\[\d+\]")


def node_path(path: str) -> str:
    """The node path of an instance's path: `classify/score` of `classify[3]/score`."""
    return _INDEX.sub("", path) if "[" in path else path


def node_paths(path: str) -> list[str]:
    """The node paths along a path, outermost first: `classify`, `classify/score`."""
    parts = node_path(path).split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))] if len(parts) > 1 else parts
