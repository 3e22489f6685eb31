"""For tests of workflows, and for ours: time that does not pass, graphs that read like the problem, runs without a
world.

    graph("a -> b c -> d", b={"retry": Retry(3)})        a diamond
    clock = FakeClock(); clock.run(main())               an hour of sleeping takes no time
    simulate(g, {"a": 2.0, "b": 5.0}, jobs=2).makespan   the real scheduler in virtual time
"""

from weft.testing.clock import FakeClock
from weft.testing.graphs import block, body, foreach, graph, numbered, parallel
from weft.testing.script import Script, failed
from weft.testing.simulation import Hang, SimulatedRun, Simulation, load_trace, simulate

__all__ = [
    "FakeClock",
    "Hang",
    "Script",
    "SimulatedRun",
    "Simulation",
    "block",
    "body",
    "failed",
    "foreach",
    "graph",
    "load_trace",
    "numbered",
    "parallel",
    "simulate",
]
