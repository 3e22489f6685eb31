"""Per-task cost of the engine, beside raw asyncio and beside bare commits of the same kind of file."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.table import Table, paired, seconds
from weft.engine.sitting import Arguments, Options, Sitting, run_started
from weft.graph.model import Graph, Node
from weft.graph.work import Program
from weft.journal.base import Store
from weft.journal.memory import MemoryStore
from weft.journal.sqlite import SqliteStore

TASKS = 10_000
CHAIN = 500
SIDE = 100


async def _nothing(engine: object, attempt: object) -> int:
    return 1


def fan(count: int) -> Graph:
    """Independent nodes."""
    return Graph([Node(id=f"n{i}", work=_nothing) for i in range(count)])


def chain(count: int) -> Graph:
    """One after the other."""
    return Graph([Node(id=f"n{i}", work=_nothing, needs=(f"n{i - 1}",) if i else ()) for i in range(count)])


def layered(side: int) -> Graph:
    """`side` layers of `side` nodes; each needs three of the layer before."""
    nodes = []
    for layer in range(side):
        for i in range(side):
            needs = [f"n{layer - 1}_{(i + k) % side}" for k in range(3)] if layer else []
            nodes.append(Node(id=f"n{layer}_{i}", work=_nothing, needs=tuple(needs)))
    return Graph(nodes)


def run_graph(graph: Graph, store: Store, jobs: int) -> float:
    """Seconds of the run itself, from its start to its end."""
    program = Program(name="bench", graph=graph, jobs=jobs)
    memory = isinstance(store, MemoryStore)
    options = Options(by_reference=memory)
    run_id = store.new_id()
    started = run_started(run_id, program, Arguments(), options, at=time.time(), settings={})
    journal = store.create(run_id, [started])
    sitting = Sitting(program, Arguments(), journal, options, instant=memory)

    async def go() -> float:
        began = time.perf_counter()
        report = await sitting.start(started)
        took = time.perf_counter() - began
        if report.status != "succeeded":
            raise SystemExit(f"the benchmark's run ended as {report.status}")
        return took

    try:
        return asyncio.run(go())
    finally:
        journal.close()


def raw_fan(count: int, jobs: int) -> float:
    """The same with a TaskGroup and a Semaphore and nothing else."""

    async def go() -> float:
        places = asyncio.Semaphore(jobs)

        async def one() -> None:
            async with places:
                await _nothing(None, None)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())
        return time.perf_counter() - began

    return asyncio.run(go())


def raw_layers(side: int, jobs: int) -> float:
    """A TaskGroup per layer, with the same Semaphore: what somebody would write by hand."""

    async def go() -> float:
        places = asyncio.Semaphore(jobs)

        async def one() -> None:
            async with places:
                await _nothing(None, None)

        began = time.perf_counter()
        for _ in range(side):
            async with asyncio.TaskGroup() as group:
                for _ in range(side):
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
    wide = fan(TASKS)
    ratio(
        table,
        f"fan-out {TASKS}, memory, 64 jobs, to raw asyncio",
        lambda: run_graph(wide, MemoryStore(), 64),
        lambda: raw_fan(TASKS, 64),
        TASKS,
        2.5,
    )
    deep = layered(SIDE)
    ratio(
        table,
        f"layered {SIDE} x {SIDE}, memory, to raw asyncio",
        lambda: run_graph(deep, MemoryStore(), 64),
        lambda: raw_layers(SIDE, 64),
        SIDE * SIDE,
        3,
    )
    line = chain(2000)
    took = seconds(lambda: run_graph(line, MemoryStore(), 64))
    table.add("chain 2000, memory", f"{took / 2000 * 1e6:.1f} us")


def journaled(table: Table) -> None:
    """The same with SQLite, synchronous FULL."""
    with tempfile.TemporaryDirectory(dir=_disk()) as name:
        folder = Path(name)
        store: Any = SqliteStore(folder / ".weft")
        wide, deep, line = fan(TASKS), layered(SIDE), chain(CHAIN)
        for jobs in (64, 10):
            ratio(
                table,
                f"fan-out {TASKS}, journaled, {jobs} jobs, to raw asyncio",
                lambda jobs=jobs: run_graph(wide, store, jobs),  # type: ignore[misc]
                lambda: raw_fan(TASKS, 64),
                TASKS,
                4,
            )
        ratio(
            table,
            f"layered {SIDE} x {SIDE}, journaled, to raw asyncio",
            lambda: run_graph(deep, store, 64),
            lambda: raw_layers(SIDE, 64),
            SIDE * SIDE,
            6,
        )
        ratio(
            table,
            f"chain {CHAIN}, journaled, to bare commits",
            lambda: run_graph(line, store, 10),
            lambda: raw_commits(folder, CHAIN),
            CHAIN,
            1.4,
        )


def _disk() -> Path:
    """Where the journals of the benchmark go: the working directory's disk, never a memory file system."""
    place = Path("build")
    place.mkdir(exist_ok=True)
    return place
