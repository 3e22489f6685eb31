"""Run the peers and ourselves, and print what a task costs. Exits 0 also when a gate is missed: the table says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec

from bench import engine
from bench.table import Table

PYTHON = Path("build/peers/.venv/bin/python")
FACTOR = 30
GATED = 10_000
"""A task of the fastest durable peer has to cost so many times as much as ours, in a fan-out of this size."""
SMALL = 2_000
"""The size of the other fan-out that is compared: what a peer costs per task grows with their number."""
FOREVER = float("inf")
PATIENCE = 90.0
"""Seconds after which a case of a peer is given up."""


class Case(msgspec.Struct, frozen=True):
    """One workflow in one peer. `size` is the number of tasks; of `layered`, the side."""

    peer: str
    name: str
    size: int
    durable: bool = False
    times: int = 1
    """How often it is run, for a median."""

    @property
    def tasks(self) -> int:
        return self.size**2 if self.name.startswith("layered") else self.size

    @property
    def what(self) -> str:
        size = f"{self.size} x {self.size}" if self.name.startswith("layered") else f"{self.size:,}"
        kept = "durable" if self.durable else "in memory"
        return f"{self.peer}: {self.name} {size}, {kept}"


CASES = [
    Case("langgraph", "fan", 10_000, True, times=3),
    Case("langgraph", "fan", 2_000, True, times=3),
    Case("langgraph", "fan-functional", 10_000, True),
    Case("langgraph", "chain", 2_000, True),
    Case("langgraph", "layered", 20, True),
    Case("dbos", "fan", 2_000, True),
    Case("dbos", "chain", 2_000, True),
    Case("dbos", "layered", 30, True),
    Case("prefect", "fan", 500, True),
    Case("prefect", "chain", 200, True),
    Case("prefect", "layered", 10, True),
    Case("dask", "fan", 2_000),
    Case("dask", "chain", 500),
    Case("dask", "layered", 30),
    Case("dask", "fan-threads", 10_000),
    Case("dask", "chain-threads", 2_000),
    Case("dask", "layered-threads", 100),
    Case("hamilton", "fan", 10_000),
    Case("hamilton", "chain", 2_000),
    Case("hamilton", "layered", 100),
]
"""Sizes that each ends within the patience for it: a slower peer gets fewer tasks, and is compared by task."""

JOURNALED = "weft, journaled"
OURS: dict[str, Callable[[str, int, Path], float]] = {
    JOURNALED: lambda name, size, folder: _ours(name, size, folder / ".weft"),
    "weft, in memory": lambda name, size, folder: _ours(name, size, None),
}
"""Our own rows: seconds of a run of the workflow of that name and size."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "HAMILTON_TELEMETRY_ENABLED": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "60",
    # Whoever looks for the net all the same finds a closed door.
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}


def main(wanted: list[str]) -> None:
    """Run the named peers, or all."""
    table = Table()
    Path("build").mkdir(exist_ok=True)
    _show_ours(table)
    factors: dict[int, dict[str, float]] = {}
    versions: dict[str, str] = {}
    for case in CASES:
        if wanted and case.peer not in wanted:
            continue
        each, ratios = [], []
        for _ in range(case.times):
            answer = measured(case)
            if isinstance(answer, str):
                table.add(case.what, answer)
                break
            versions |= answer.versions
            each.append(answer.seconds / case.tasks * 1e6)
            if case.durable and case.name.startswith("fan") and case.size >= SMALL:
                ratios.append(each[-1] / _ours_each(JOURNALED, "fan", case.size))  # measured now: the machine drifts
        if each:
            table.add(case.what, f"{median(each):.1f} us per task")
        if ratios:
            known = factors.setdefault(case.size, {})
            known[case.peer] = min(median(ratios), known.get(case.peer, FOREVER))
    for size, found in sorted(factors.items()):
        peer, factor = min(found.items(), key=lambda item: item[1])
        what = f"journaled fan-out of {size:,}, {peer} to weft"
        if size == GATED:
            table.add(what, f"{factor:.1f} x", f">= {FACTOR} x", reached=factor >= FACTOR)
        else:
            table.add(what, f"{factor:.1f} x")
    print("\n" + ", ".join(f"{package} {number}" for package, number in sorted(versions.items())))


class Answer(msgspec.Struct, frozen=True):
    """What a peer told."""

    seconds: float
    versions: dict[str, str]


def measured(case: Case, python: Path = PYTHON, patience: float = PATIENCE) -> Answer | str:
    """Run the case in a process group of its own. A text is the reason why there is no figure."""
    if not python.exists():
        return "not installed (make bench-peers)"
    with tempfile.TemporaryDirectory(dir="build", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        home = {"HOME": str(folder), "PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(Path.cwd())}
        argv = [str(python.absolute()), "-m", f"bench.peers.{case.peer}", case.name, str(case.size), str(folder)]
        process = subprocess.Popen(
            argv,
            env={"PATH": os.environ["PATH"], **QUIET, **home},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            told, problems = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            return f"given up after {patience:.0f} s"
        finally:
            with suppress(ProcessLookupError):  # what it started goes with it
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return _answer(process.returncode, told, problems)


def _answer(code: int, told: str, problems: str) -> Answer | str:
    if code:
        last = (problems.strip().splitlines() or [f"exit {code}"])[-1]
        if last.startswith("ModuleNotFoundError"):
            return f"not installed: {last.partition(': ')[2]}"
        return f"failed: {last[:200]}"
    return msgspec.convert(json.loads(told.strip().splitlines()[-1]), Answer)


def _show_ours(table: Table) -> None:
    for who in OURS:
        for name, size in (("fan", GATED), ("fan", SMALL), ("chain", 2_000), ("layered", 100)):
            each = _ours_each(who, name, size)
            table.add(Case(who, name, size).what.rpartition(",")[0], f"{each:.1f} us per task")


def _ours_each(who: str, name: str, size: int) -> float:
    """Microseconds per task, the median of three runs."""
    with tempfile.TemporaryDirectory(dir="build") as folder:
        return median(OURS[who](name, size, Path(folder)) for _ in range(3)) / Case(who, name, size).tasks * 1e6


def _ours(name: str, size: int, journal: Path | None) -> float:
    make = {"fan": engine.fan, "chain": engine.chain, "layered": engine.layered}[name]
    return engine.execution(engine.warm(make(size), journal), 64, journal)


main(sys.argv[1:])
