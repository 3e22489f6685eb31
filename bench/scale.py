"""Large things: planning, a million items, start-up, real cores."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.table import Table, seconds
from weft.app import Request, run
from weft.core.priority import plan
from weft.graph.analysis import layers
from weft.graph.model import Graph, Node

MILLION = """
<workflow>
<foreach id="each" collection="range({count})" concurrency="64">
  <transform:value id="own">$item</transform:value>
</foreach>
<transform:value id="done">'done'</transform:value>
</workflow>
"""

HELLO = """
<workflow>
<transform:template id="hello">Hello, world</transform:template>
</workflow>
"""

SPIN = """
<workflow>
<foreach id="each" collection="range(8)" concurrency="{width}" item="times">
  <python id="spin">
```python
def main(times):
    n = 0
    for i in range(15_000_000):
        n += i
    return n + times
```
  </python>
</foreach>
</workflow>
"""


def planning(table: Table) -> None:
    """Names to indexes, layers and remaining paths of 100,000 nodes with 300,000 edges."""
    draw = random.Random(7)
    nodes = []
    for i in range(100_000):
        needs = tuple({f"n{draw.randrange(max(0, i - 1000), i)}" for _ in range(3)}) if i > 3 else ()
        nodes.append(Node(id=f"n{i}", needs=needs))

    def once() -> None:
        graph = Graph(nodes)
        layers(graph)
        plan(graph)

    took = median(seconds(once) for _ in range(3))
    table.add("plan of 100,000 nodes / 300,000 edges", f"{took:.2f} s", "<= 1.0 s", reached=took <= 1.0)


def startup(table: Table) -> None:
    """Whole processes, from the outside."""
    bare = _process([sys.executable, "-c", "pass"], 9)
    imported = _process([sys.executable, "-c", "import weft"], 9)
    table.add(
        "import weft, over python -c pass",
        f"{(imported - bare) * 1e3:.0f} ms",
        "<= 60 ms",
        reached=imported - bare <= 0.060,
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "hello.flow.md"
        path.write_text(HELLO)
        took = _process([str(Path(sys.executable).with_name("weft")), "run", str(path)], 9)
    table.add("weft run hello.flow.md, wall", f"{took * 1e3:.0f} ms", "<= 150 ms", reached=took <= 0.150)


CHAINS = """
---
schedule: {schedule}
---
<workflow>
<delay id="a" duration="20ms"/><delay id="a2" needs="a" duration="200ms"/>
<delay id="b" duration="200ms"/><delay id="b2" needs="b" duration="20ms"/>
</workflow>
"""


def schedules(table: Table) -> None:
    """Two uneven chains: dataflow ends after the longer one (220 ms), waves wait for each layer (400 ms)."""
    with tempfile.TemporaryDirectory() as name:
        took = {}
        for schedule in ("dataflow", "waves"):
            path = Path(name) / f"{schedule}.flow.md"
            path.write_text(CHAINS.format(schedule=schedule).lstrip())
            took[schedule] = median(run(path, Request(journal="none")).result.duration or 0 for _ in range(3))
    figure = f"{took['dataflow'] * 1e3:.0f} ms  waves {took['waves'] * 1e3:.0f}"
    table.add("chains 20+200 and 200+20 ms, dataflow", figure, "220 ms", reached=took["dataflow"] < 0.3)


def _process(argv: list[str], times: int) -> float:
    def once() -> None:
        subprocess.run(argv, check=True, capture_output=True)

    once()
    return median(seconds(once) for _ in range(times))


MEASURE = """
import os, sys, time
began = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - began, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Seconds and MB of a command. In a small process of its own: the peak of a child begins with that of its parent."""


def million(table: Table) -> None:
    """A foreach of a million items, journaled: peak memory and time per item."""
    for count in (100_000, 1_000_000):
        with tempfile.TemporaryDirectory(dir="build") as name:
            path = Path(name) / "many.flow.md"
            path.write_text(MILLION.format(count=count))
            weft = str(Path(sys.executable).with_name("weft"))
            told = subprocess.run([sys.executable, "-c", MEASURE, weft, "run", str(path), "--no-progress"],
                                  check=True, capture_output=True, text=True).stdout  # fmt: skip
        took, memory = (float(word) for word in told.split()[-2:])
        each = took / count * 1e6
        table.add(
            f"foreach of {count:,} items, journaled",
            f"{each:.0f} us  {memory:.0f} MB",
            "40 us 100 MB",
            reached=each <= 40 and memory <= 100,
        )


def cores(table: Table) -> None:
    """CPU-bound python nodes, one at a time and two at a time."""
    with tempfile.TemporaryDirectory() as name:
        took = {}
        for width in (1, 2):
            path = Path(name) / f"spin{width}.flow.md"
            path.write_text(SPIN.format(width=width))
            took[width] = _process([str(Path(sys.executable).with_name("weft")), "run", str(path)], 3)
    factor = took[2] / took[1]
    what = "8 CPU-bound python nodes, 2 at a time to 1 at a time"
    table.add(what, f"{factor:.2f} x", "<= 0.7 x", reached=factor <= 0.7)
