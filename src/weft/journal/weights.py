"""Path weights: the median of the last few durations of a node definition."""

from __future__ import annotations

from collections.abc import Sequence

REMEMBERED = 5
"""Durations kept per key: few enough to follow a change of the work, enough that one slow run changes nothing."""


def remember(earlier: Sequence[float], new: Sequence[float]) -> list[float]:
    """The last durations, oldest first."""
    return [*earlier, *new][-REMEMBERED:]


def median(durations: Sequence[float]) -> float:
    """The middle duration (of an even number, the mean of the two). `statistics` would cost 10 ms at the start."""
    ordered = sorted(durations)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
