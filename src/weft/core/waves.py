"""The schedule `waves`: all of layer N ends before any of layer N+1 starts.

Layers are those of the top level (the longest distance from a root); what is inside a block belongs to its layer.
"""

from __future__ import annotations

from weft.event_types import Event, WaveCompleted, WaveStarted
from weft.graph.analysis import layers
from weft.graph.model import Graph


class Waves:
    """Counts how much of the current layer is left."""

    __slots__ = ("_current", "_layer_of", "_layers", "_left")

    def __init__(self, graph: Graph) -> None:
        self._layers = layers(graph)
        self._layer_of = [0] * len(graph)
        for number, layer in enumerate(self._layers):
            for index in layer:
                self._layer_of[index] = number
        self._left = [len(layer) for layer in self._layers]
        self._current = 0

    def begin(self) -> list[Event]:
        """The facts of the first layer's start."""
        return [WaveStarted(wave=0, count=len(self._layers[0]))] if self._layers else []

    def holds_back(self, index: int) -> bool:
        """Whether the node must wait for an earlier layer. It is entered again when its layer starts."""
        return self._layer_of[index] > self._current

    def ended(self, index: int) -> tuple[list[int], list[Event]]:
        """A node has ended: the nodes whose layer starts now, and the facts to record."""
        self._left[self._layer_of[index]] -= 1
        released: list[int] = []
        facts: list[Event] = []
        while self._current < len(self._layers) and not self._left[self._current]:
            facts.append(WaveCompleted(wave=self._current, count=len(self._layers[self._current])))
            self._current += 1
            if self._current < len(self._layers):
                released += self._layers[self._current]
                facts.append(WaveStarted(wave=self._current, count=len(self._layers[self._current])))
        return released, facts
