"""The pool beside the worker loop that somebody would write by hand, and its memory for a million items."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable

from bench.engine import ratio
from bench.table import Table
from weft.pool import iter_concurrently, run_with_concurrency

ITEMS = 100_000
WORKERS = 64
Work = Callable[[int], Awaitable[int]]


async def once_around(item: int) -> int:
    """Work that waits once, as all real work does."""
    await asyncio.sleep(0)
    return item


async def instant(item: int) -> int:
    """Work that never waits: nothing but the loop's own cost."""
    return item


def bare(count: int, work: Work) -> float:
    """Seconds of workers that pull from one iterator and keep results and errors, and do nothing else."""

    async def go() -> float:
        items = iter(range(count))
        results: list[int] = []
        errors: list[Exception] = []

        async def worker() -> None:
            for item in items:
                try:
                    results.append(await work(item))
                except Exception as error:
                    errors.append(error)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(worker())
        return time.perf_counter() - began

    return asyncio.run(go())


def pooled(count: int, work: Work, *, ordered: bool = False, collect: bool = True) -> float:
    """Seconds of the pool, for the same."""

    async def go() -> float:
        began = time.perf_counter()
        await run_with_concurrency(range(count), work, WORKERS, ordered=ordered, collect=collect)
        return time.perf_counter() - began

    return asyncio.run(go())


def iterated(count: int, work: Work) -> float:
    """Seconds of reading the outcomes one by one."""

    async def go() -> float:
        began = time.perf_counter()
        async for _ in iter_concurrently(range(count), work, WORKERS):
            pass
        return time.perf_counter() - began

    return asyncio.run(go())


def peak(count: int) -> int:
    """Bytes that a pool that keeps no results holds at most."""
    tracemalloc.start()
    try:
        pooled(count, instant, collect=False)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def pool(table: Table) -> None:
    """Cost per item, and memory."""
    what = f"pool, {ITEMS} items, {WORKERS} at once"
    baseline = lambda: bare(ITEMS, once_around)  # noqa: E731
    ratio(table, f"{what}, to bare workers", lambda: pooled(ITEMS, once_around), baseline, ITEMS, 2)
    ratio(table, f"{what}, in order", lambda: pooled(ITEMS, once_around, ordered=True), baseline, ITEMS, 2)
    own, base = pooled(ITEMS, instant), bare(ITEMS, instant)
    table.add("  of it the pool's own, work that never waits", f"{(own - base) / ITEMS * 1e6:.2f} us")
    table.add("  one by one (iter_concurrently)", f"{iterated(ITEMS, once_around) / ITEMS * 1e6:.2f} us")
    small, large = peak(1_000), peak(1_000_000)
    grown = (large - small) / 1024
    table.add(
        "pool, 1,000,000 items: memory above that of 1,000", f"{grown:.0f} KiB", "<= 256 KiB", reached=grown <= 256
    )
