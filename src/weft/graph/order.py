"""A topological order that is kept while edges are added, so that an edge that would close a cycle is refused at once.

(D. J. Pearce, P. H. J. Kelly, "A dynamic topological sort algorithm for directed acyclic graphs", 2006.) An edge that
agrees with the order costs nothing; one that does not is looked at only within the stretch of the order between its
ends. Who adds nodes after what they need never pays for more.
"""

from __future__ import annotations

from collections.abc import Sequence


class Order:
    """Nodes are numbers, counted from 0 as they are added."""

    __slots__ = ("_after", "_before", "_edges", "_place")

    def __init__(self) -> None:
        self._place: list[int] = []
        self._after: list[list[int]] = []
        self._before: list[list[int]] = []
        self._edges: set[tuple[int, int]] | None = None
        """Made when an edge is added between nodes that are there: who only adds nodes does not pay for it."""

    def add(self, needs: Sequence[int] = ()) -> int:
        """A new node, last in the order, that needs these nodes (each named once)."""
        node = len(self._place)
        self._place.append(node)
        self._after.append([])
        self._before.append(list(needs))
        after = self._after
        for other in needs:
            after[other].append(node)
        if self._edges is not None:
            self._edges.update([(other, node) for other in needs])
        return node

    def drop_last(self) -> None:
        """Take back the node that was added last, with its edges."""
        node = len(self._place) - 1
        for other in self._after[node]:
            self._before[other].remove(node)
        for other in self._before[node]:
            self._after[other].remove(node)
        self._edges = None
        gap = self._place.pop()
        self._after.pop()
        self._before.pop()
        if gap != node:
            self._place = [place - (place > gap) for place in self._place]

    def place(self, node: int) -> int:
        """Where the node stands: every node stands after all that it needs."""
        return self._place[node]

    def before(self, node: int) -> list[int]:
        """What the node needs directly."""
        return self._before[node]

    @property
    def edges(self) -> tuple[list[list[int]], list[list[int]]]:
        """For each node what it needs directly, and what needs it. To look at, not to change."""
        return self._before, self._after

    def connect(self, first: int, second: int) -> list[int]:
        """`second` needs `first`. Returns a cycle that this would close, from `second` to `first`, and then adds
        nothing; else an empty list.
        """
        if self._edges is None:
            self._edges = {(other, node) for node, needs in enumerate(self._before) for other in needs}
        if (first, second) in self._edges:
            return []
        if first == second:
            return [first]
        if self._place[first] > self._place[second]:
            forward = self._reach(second, self._after, self._place[first], up=True)
            if first in forward:
                return _way_back(forward, first)
            backward = self._reach(first, self._before, self._place[second], up=False)
            self._reorder(list(backward), list(forward))
        self._edges.add((first, second))
        self._after[first].append(second)
        self._before[second].append(first)
        return []

    def _reach(self, start: int, edges: list[list[int]], bound: int, *, up: bool) -> dict[int, int]:
        """What can be reached without leaving the stretch up (or down) to `bound`, each with where one came from."""
        found = {start: -1}
        stack = [start]
        while stack:
            node = stack.pop()
            for other in edges[node]:
                inside = self._place[other] <= bound if up else self._place[other] >= bound
                if inside and other not in found:
                    found[other] = node
                    stack.append(other)
        return found

    def _reorder(self, backward: list[int], forward: list[int]) -> None:
        """What leads to `first` moves in front of what follows from `second`, within the places they have."""
        nodes = sorted(backward, key=self._place.__getitem__) + sorted(forward, key=self._place.__getitem__)
        for node, place in zip(nodes, sorted([self._place[node] for node in nodes]), strict=True):
            self._place[node] = place


def _way_back(came_from: dict[int, int], node: int) -> list[int]:
    way = [node]
    while (node := came_from[node]) >= 0:
        way.append(node)
    return way[::-1]
