# mypy: ignore-errors
"""Prefect with its local default: a server that it starts beside itself, on SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect import flow, task

from bench.peers.cases import atimed, go


@task
async def nothing(i: int) -> int:
    return 1


@flow
async def fan(count: int) -> int:
    return sum(await asyncio.gather(*[nothing(i) for i in range(count)]))


@flow
async def chain(count: int) -> int:
    return sum([await nothing(i) for i in range(count)])


@flow
async def layered(side: int) -> int:
    """Layer by layer: what a task needs is said by the order of awaits."""
    return sum([sum(await asyncio.gather(*[nothing(i) for i in range(side)])) for _ in range(side)])


async def run(case: str, size: int, folder: Path) -> float:
    workflow = {"fan": fan, "chain": chain, "layered": layered}[case]
    await fan(1)  # the server is up from here on
    done = 0

    async def once() -> None:
        nonlocal done
        done = await workflow(size)

    seconds = await atimed(once)
    assert done == (size * size if case == "layered" else size), f"only {done} tasks ran"
    return seconds


go(run, "prefect")
