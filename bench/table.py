"""Rows of figures, printed as they come."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One figure: what, measured, what it should reach, and whether it does (None: nothing to reach)."""

    what: str
    figure: str
    reach: str = ""
    reached: bool | None = None


class Table:
    """Prints rows and remembers whether all gates were reached."""

    def __init__(self) -> None:
        self.missed: list[Row] = []
        print(f"{'what':58} {'measured':>26} {'reach':>12}  ")
        print("-" * 102)

    def add(self, what: str, figure: str, reach: str = "", *, reached: bool | None = None) -> None:
        """Print one row."""
        mark = {None: "", True: "ok", False: "MISSED"}[reached]
        print(f"{what:58} {figure:>26} {reach:>12}  {mark}", flush=True)
        if reached is False:
            self.missed.append(Row(what, figure, reach, reached))


def seconds(run: Callable[[], object]) -> float:
    """How long it takes, with the garbage of others out of the way."""
    gc.collect()
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def paired(run: Callable[[], float], baseline: Callable[[], float], times: int = 5) -> tuple[float, float, float]:
    """Median ratio of the pairs, and both medians in seconds. The two are measured in turn: the machine drifts."""
    pairs = [(run(), baseline()) for _ in range(times)]
    return median(a / b for a, b in pairs), median(a for a, _ in pairs), median(b for _, b in pairs)
