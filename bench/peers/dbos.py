# mypy: ignore-errors
"""DBOS on SQLite: one durable workflow, each task a step of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dbos import DBOS

from bench.peers.cases import asked, atimed, tell

case, size, folder = asked()
DBOS(
    config={
        "name": "bench",
        "system_database_url": f"sqlite:///{folder / 'dbos.db'}",
        "run_admin_server": False,
        "enable_otlp": False,
        "log_level": "ERROR",
    }
)


@DBOS.step()
async def nothing(i: int) -> int:
    return 1


@DBOS.workflow()
async def fan(count: int) -> int:
    return sum(await asyncio.gather(*[nothing(i) for i in range(count)]))


@DBOS.workflow()
async def chain(count: int) -> int:
    return sum([await nothing(i) for i in range(count)])


@DBOS.workflow()
async def layered(side: int) -> int:
    """Layer by layer: what a step needs is said by the order of awaits."""
    return sum([sum(await asyncio.gather(*[nothing(i) for i in range(side)])) for _ in range(side)])


async def run(case: str, size: int, folder: Path) -> float:
    workflow = {"fan": fan, "chain": chain, "layered": layered}[case]
    DBOS.launch()
    done = 0

    async def once() -> None:
        nonlocal done
        done = await workflow(size)

    seconds = await atimed(once)
    assert done == (size * size if case == "layered" else size), f"only {done} tasks ran"
    return seconds


seconds = asyncio.run(run(case, size, folder))
DBOS.destroy()
tell(seconds, "dbos")
