"""Print the table. Exits 0 also when a gate is missed: the table says so."""

from __future__ import annotations

import sys

from bench import engine, pool, resume, scale, traces
from bench.table import Table

PARTS = {
    "memory": engine.in_memory,
    "journaled": engine.journaled,
    "building": engine.building,
    "planning": scale.planning,
    "schedules": scale.schedules,
    "startup": scale.startup,
    "cores": scale.cores,
    "million": scale.million,
    "pool": pool.pool,
    "resume": resume.resuming,
    "traces": traces.traces,
}


def main(wanted: list[str]) -> None:
    """Run the named parts, or all."""
    table = Table()
    for name in wanted or PARTS:
        PARTS[name](table)
    if table.missed:
        print(f"\n{len(table.missed)} missed: " + "; ".join(row.what for row in table.missed))


main(sys.argv[1:])
