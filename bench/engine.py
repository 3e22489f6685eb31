"""Per-task cost of the engine, beside raw asyncio and beside bare commits of the same kind of file.

What is timed is `Workflow.execute` alone, from the call to the status of its result: ordering the tasks by their
remaining paths, making the run's place, running. The compiled graph is kept by the workflow and was made by a run
before that is not timed. Building a workflow has a row of its own, and so has what is put together only when somebody
looks at more than the status: the outputs of all tasks.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import weft
from bench.table import Table, paired, seconds

TASKS = 10_000
LINE = 2000
CHAIN = 500
SIDE = 100
LARGE = 100_000


async def nothing() -> int:
    """What every task does."""
    return 1


def workflow(tasks: Iterable[tuple[str, list[str]]]) -> weft.Workflow:
    """Tasks that do nothing, each an id and the ids it needs."""
    flow = weft.Workflow("bench")
    for name, needs in tasks:
        flow.add_task(nothing, id=name, needs=needs)
    return flow


def fan(count: int) -> weft.Workflow:
    """Independent tasks."""
    return workflow((f"n{i}", []) for i in range(count))


def chain(count: int) -> weft.Workflow:
    """One after the other."""
    return workflow((f"n{i}", [f"n{i - 1}"] if i else []) for i in range(count))


def layered(side: int) -> weft.Workflow:
    """`side` layers of `side` tasks; each needs three of the layer before."""
    return workflow(
        (f"n{layer}_{i}", [f"n{layer - 1}_{(i + k) % side}" for k in range(3)] if layer else [])
        for layer in range(side)
        for i in range(side)
    )


def execution(flow: weft.Workflow, jobs: int, journal: Path | None = None) -> float:
    """Seconds of `execute`, in a loop of its own."""

    async def go() -> float:
        began = time.perf_counter()
        result = await flow.execute(jobs=jobs, journal=journal)
        took = time.perf_counter() - began
        if result.status != "succeeded":
            raise SystemExit(f"the benchmark's run ended as {result.status}")
        return took

    return asyncio.run(go())


def warm(flow: weft.Workflow, journal: Path | None = None) -> weft.Workflow:
    """The same, run once: its graph is compiled from here on (one for memory, one for journals)."""
    execution(flow, 64, journal)
    return flow


def raw_fan(count: int, jobs: int) -> float:
    """The same with a TaskGroup and a Semaphore and nothing else."""
    return raw_layers(1, count, jobs)


def raw_layers(layers: int, width: int, jobs: int) -> float:
    """A TaskGroup per layer, with the same Semaphore: what somebody would write by hand."""

    async def go() -> float:
        places = asyncio.Semaphore(jobs)

        async def one() -> None:
            async with places:
                await nothing()

        began = time.perf_counter()
        for _ in range(layers):
            async with asyncio.TaskGroup() as group:
                for _ in range(width):
                    group.create_task(one())
        return time.perf_counter() - began

    return asyncio.run(go())


def raw_commits(folder: Path, count: int) -> float:
    """Seconds of `count` commits of one small row each, in a file like the journal's."""
    path = folder / "raw.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=150")
    connection.execute("CREATE TABLE batch (seq INTEGER PRIMARY KEY, events BLOB)")
    began = time.perf_counter()
    for i in range(count):
        connection.execute("INSERT INTO batch VALUES (?, ?)", (i + 1, b"x" * 160))
    took = time.perf_counter() - began
    connection.close()
    return took


def ratio(
    table: Table, what: str, run: Callable[[], float], baseline: Callable[[], float], count: int, most: float
) -> None:
    """One row: the ratio, and microseconds per task."""
    factor, took, _ = paired(run, baseline)
    table.add(what, f"{factor:.2f} x  {took / count * 1e6:7.1f} us", f"<= {most} x", reached=factor <= most)


def in_memory(table: Table) -> None:
    """Fan-out, layers and chain without a journal."""
    wide = warm(fan(TASKS))
    ratio(
        table,
        f"fan-out {TASKS}, memory, 64 jobs, to raw asyncio",
        lambda: execution(wide, 64),
        lambda: raw_fan(TASKS, 64),
        TASKS,
        2.5,
    )
    deep = warm(layered(SIDE))
    ratio(
        table,
        f"layered {SIDE} x {SIDE}, memory, to raw asyncio",
        lambda: execution(deep, 64),
        lambda: raw_layers(SIDE, SIDE, 64),
        SIDE * SIDE,
        3,
    )
    line = warm(chain(LINE))
    took = median(execution(line, 64) for _ in range(5))
    table.add(f"chain {LINE}, memory", f"{took / LINE * 1e6:.1f} us")
    result = wide.run(jobs=64)
    took = seconds(lambda: result.outputs)
    table.add(f"reading {TASKS} outputs, memory", f"{took / TASKS * 1e6:.1f} us")


def journaled(table: Table) -> None:
    """The same with SQLite, synchronous FULL."""
    with tempfile.TemporaryDirectory(dir=_disk()) as name:
        folder = Path(name)
        kept = folder / ".weft"
        wide, deep, line = warm(fan(TASKS), kept), warm(layered(SIDE), kept), warm(chain(CHAIN), kept)
        for jobs in (64, 10):
            ratio(
                table,
                f"fan-out {TASKS}, journaled, {jobs} jobs, to raw asyncio",
                lambda jobs=jobs: execution(wide, jobs, kept),  # type: ignore[misc]
                lambda: raw_fan(TASKS, 64),
                TASKS,
                4,
            )
        ratio(
            table,
            f"layered {SIDE} x {SIDE}, journaled, to raw asyncio",
            lambda: execution(deep, 64, kept),
            lambda: raw_layers(SIDE, SIDE, 64),
            SIDE * SIDE,
            6,
        )
        ratio(
            table,
            f"chain {CHAIN}, journaled, to bare commits",
            lambda: execution(line, 10, kept),
            lambda: raw_commits(folder, CHAIN),
            CHAIN,
            1.4,
        )


def building(table: Table) -> None:
    """Adding tasks that need three others each, and laying them in layers: linear in their number."""
    small, large = (median(seconds(lambda n=n: _build(n)) for _ in range(3)) / n for n in (LARGE // 10, LARGE))  # type: ignore[misc]
    table.add(f"building and layering {LARGE:,} tasks", f"{large * LARGE:.2f} s  {large * 1e6:7.1f} us")
    table.add(f"one task of {LARGE:,} to one of {LARGE // 10:,}", f"{large / small:.2f} x")


def _build(count: int) -> None:
    flow = workflow((f"n{i}", [f"n{i - k}" for k in (1, 7, 100) if i >= k]) for i in range(count))
    flow.execution_layers()


def _disk() -> Path:
    """Where the journals of the benchmark go: the working directory's disk, never a memory file system."""
    place = Path("build")
    place.mkdir(exist_ok=True)
    return place
