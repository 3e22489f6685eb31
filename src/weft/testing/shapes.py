"""Workflows of the shapes that real ones have: their fan-out, fan-in and the skew of their durations, drawn anew.

The shapes are those of recorded scientific workflows (the WfCommons collection: searches of sequences, a gather of
waveforms, searches in archives, small chains and forks). Each function returns a graph and its durations in seconds by
id, and draws the same ones for the same seed. Nodes stand in the order in which a program would write them down.
"""

# ruff: noqa: S311 - seeded on purpose: the same draw every time

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from weft.graph.model import Graph, Node


class Sample(NamedTuple):
    """A workflow and what its tasks take."""

    workflow: Graph
    durations: Mapping[str, float]


def chain(length: int = 5, *, seed: int = 0) -> Sample:
    """One after the other, of about equal length."""
    draw = random.Random(seed)
    return _sample([(f"step{i}", draw.uniform(99, 101), [f"step{i - 1}"] if i else []) for i in range(length)])


def fork_join(width: int = 8, *, seed: int = 0) -> Sample:
    """One, then `width` at once of about equal length, then one."""
    draw = random.Random(seed)
    branches = [f"branch{i}" for i in range(width)]
    return _sample(
        [
            ("fork", draw.uniform(99, 101), []),
            *[(name, draw.uniform(102, 108), ["fork"]) for name in branches],
            ("join", draw.uniform(99, 101), branches),
        ]
    )


def split_search(width: int, seconds: float, spread: float, *, seed: int = 0) -> Sample:
    """A short split, `width` long searches of a normal length (`spread` is its standard deviation, as a share of
    `seconds`), and two short ends that each need all of them.
    """
    draw = random.Random(seed)
    parts = [f"search{i}" for i in range(width)]
    return _sample(
        [
            ("split", seconds * draw.uniform(0.002, 0.01), []),
            *[(name, max(seconds / 2, draw.gauss(seconds, seconds * spread)), ["split"]) for name in parts],
            ("merge", seconds * draw.uniform(0.005, 0.05), parts),
            ("tidy", 0.01, parts),
        ]
    )


def gather(width: int, *, seed: int = 0) -> Sample:
    """`width` tasks of lognormal length (median 0.4 s; the longest take ten times as long), and one that needs all."""
    draw = random.Random(seed)
    parts = [f"pair{i}" for i in range(width)]
    return _sample(
        [
            *[(name, min(5.6, max(0.09, draw.lognormvariate(-0.9, 0.8))), []) for name in parts],
            ("all", width * draw.uniform(0.0003, 0.0012), parts),
        ]
    )


def fetch_and_search(width: int, *, seed: int = 0) -> Sample:
    """`width` long fetches of very uneven length; behind each a short search that also needs one shared first task;
    the results are merged, by 25 at most, and these again.
    """
    draw = random.Random(seed)
    mean = draw.uniform(500, 2200)
    tasks: list[_Task] = [("index", draw.uniform(2, 33), [])]
    for i in range(width):
        tasks.append((f"fetch{i}", max(draw.uniform(3, 30), draw.gauss(mean, mean * 0.55)), []))
        tasks.append((f"search{i}", max(2.4, draw.gauss(50, 20)), ["index", f"fetch{i}"]))
    ends = [f"search{i}" for i in range(width)]
    merges = [ends[at : at + 25] for at in range(0, width, 25)]
    tasks += [(f"merge{n}", draw.uniform(0.08, 0.3), part) for n, part in enumerate(merges)]
    if len(merges) > 1:
        tasks.append(("all", 0.05, [f"merge{n}" for n in range(len(merges))]))
    return _sample(tasks)


def recorded_shapes(seed: int = 0) -> dict[str, Sample]:
    """As many of each shape and size as the recorded collection has: 53 workflows of 5 to 1,101 tasks, by name."""
    out = {"chain-5": chain(seed=seed), "fork-join-8": fork_join(seed=seed)}
    for n in range(5):
        for width, seconds, spread in ((40, 9.5, 0.045), (300, 105.0, 0.04), (100, 1470.0, 0.125)):
            out[f"split-search-{width}-{n}"] = split_search(width, seconds, spread, seed=seed + n)
        for width in (10, 20, 30, 40, 50):
            out[f"fetch-and-search-{width}-{n}"] = fetch_and_search(width, seed=seed + n)
    for width in range(100, 1200, 100):
        out[f"gather-{width}"] = gather(width, seed=seed)
    return out


_Task = tuple[str, float, Sequence[str]]
"""Id, seconds, needs."""


def _sample(tasks: Sequence[_Task]) -> Sample:
    nodes = [Node(id=name, needs=tuple(needs), order=i) for i, (name, _, needs) in enumerate(tasks)]
    return Sample(Graph(nodes), {name: seconds for name, seconds, _ in tasks})
