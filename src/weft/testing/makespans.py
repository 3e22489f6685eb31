"""How good a schedule is: its makespan beside the least that any schedule could need.

The lower bound is the longer of the critical path and the work divided by the slots (R. L. Graham, "Bounds on
multiprocessing timing anomalies", 1969). Over several workflows the ratios are averaged geometrically, so that each
counts the same whatever its length.
"""

# ruff: noqa: S311 - seeded on purpose: the same draw every time

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from weft.graph.analysis import remaining
from weft.graph.model import Graph
from weft.testing.simulation import graph_of, simulate

if TYPE_CHECKING:
    from weft.workflow import Workflow

NOISE = 0.3
"""How far a duration that was learnt from one earlier run may be off, as a share of it."""


class Makespans(msgspec.Struct, frozen=True):
    """Geometric means of makespan / lower bound, by what the scheduler knew; 1.0 cannot be beaten."""

    perfect: float
    """Dataflow, every duration known."""
    learnt: float
    """Dataflow, durations known within 30 %."""
    none: float
    """Dataflow, no duration known."""
    waves: float
    """Layer by layer, no duration known."""


def lower_bound(workflow: Workflow | Graph, durations: Mapping[str, float], jobs: int) -> float:
    """Seconds that no schedule with `jobs` slots can beat."""
    graph = graph_of(workflow)
    weights = [durations[node.id] for node in graph.nodes]
    return max(max(remaining(graph, weights), default=0.0), sum(weights) / jobs)


def learnt(durations: Mapping[str, float], seed: int = 0) -> dict[str, float]:
    """What one earlier run would have taught: each duration times an even draw from 0.7 to 1.3."""
    draw = random.Random(seed)
    return {name: seconds * draw.uniform(1 - NOISE, 1 + NOISE) for name, seconds in durations.items()}


def measure(samples: Iterable[tuple[Workflow | Graph, Mapping[str, float]]], jobs: int, *, seed: int = 0) -> Makespans:
    """The figures over these workflows with `jobs` slots, in virtual time."""
    ratios: dict[str, list[float]] = {field: [] for field in Makespans.__struct_fields__}
    for number, (workflow, durations) in enumerate(samples):
        bound = lower_bound(workflow, durations, jobs)
        known = {"perfect": durations, "learnt": learnt(durations, seed + number), "none": {}}
        for field, estimates in known.items():
            ratios[field].append(simulate(workflow, durations, jobs=jobs, estimates=estimates).makespan / bound)
        layered = simulate(workflow, durations, jobs=jobs, schedule="waves", estimates={})
        ratios["waves"].append(layered.makespan / bound)
    return Makespans(**{field: geometric_mean(found) for field, found in ratios.items()})


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of ratios above 0."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
