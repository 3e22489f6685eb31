# mypy: ignore-errors
"""Hamilton's asynchronous driver, in memory: a function per task, its parameters are what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

from hamilton import async_driver
from hamilton.ad_hoc_utils import module_from_source

from bench.peers.cases import atimed, go, needs


def functions(case: str, size: int) -> dict[str, list[str]]:
    """Names of functions to names of their parameters."""
    if case == "fan":
        return {f"n{i}": [] for i in range(size)}
    if case == "chain":
        return {f"n{i}": [f"n{i - 1}"] if i else [] for i in range(size)}
    return {
        f"n{layer}_{i}": [f"n{a}_{b}" for a, b in needs(layer, i, size)] for layer in range(size) for i in range(size)
    }


async def run(case: str, size: int, folder: Path) -> float:
    wanted = functions(case, size)
    text = [f"async def {n}({', '.join(f'{p}: int' for p in ps)}) -> int:\n    return 1\n" for n, ps in wanted.items()]
    sys.setrecursionlimit(100_000)  # it walks a chain by calling itself
    driver = await async_driver.Builder().with_modules(module_from_source("\n".join(text))).build()
    result: dict[str, int] = {}

    async def once() -> None:
        result.update(await driver.execute(list(wanted)))

    seconds = await atimed(once)
    assert sum(result.values()) == len(wanted)
    return seconds


go(run, "sf-hamilton")
