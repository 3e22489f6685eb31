"""What every peer runs and how it tells. Imported by the peers, in their environment: the standard library only.

Three workflows of tasks that do nothing: `fan` (independent ones), `chain` (one after the other), `layered` (a square:
as many layers as each has tasks, each of which needs three of the layer before). Timed is the run alone, from its
start to its end; building the workflow and starting the engine are not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from importlib.metadata import version
from pathlib import Path

NEEDS = 3


def needs(layer: int, place: int, side: int) -> list[tuple[int, int]]:
    """The tasks, as (layer, place), that one of a layered workflow needs."""
    return [(layer - 1, (place + k) % side) for k in range(NEEDS)] if layer else []


def asked() -> tuple[str, int, Path]:
    """The case, its size (tasks; of `layered`, the side) and a folder for what is durable, from the command line."""
    case, size, folder = sys.argv[1:4]
    return case, int(size), Path(folder)


def timed(run: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


async def atimed(run: Callable[[], Awaitable[object]]) -> float:
    """As `timed`, inside a loop."""
    began = time.perf_counter()
    await run()
    return time.perf_counter() - began


def tell(seconds: float, *packages: str) -> None:
    """Report the run, and the versions of these packages. The last line that a peer writes."""
    versions = {package: version(package) for package in packages}
    print(json.dumps({"seconds": seconds, "versions": versions}), flush=True)


def go(run: Callable[[str, int, Path], Coroutine[object, object, float]], *packages: str) -> None:
    """Run the case that is asked for in a loop of its own, and report it."""
    tell(asyncio.run(run(*asked())), *packages)
