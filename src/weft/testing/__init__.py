"""For tests of workflows, and for ours: time that does not pass, a world that follows a script, graphs that read like
the problem, runs without a world.

    clock = FakeClock(); clock.run(flow.execute())       an hour of sleeping takes no time
    flow.run(backend=ScriptedBackend({"load": [Fail("503"), 7]}))
    run_deterministic(flow, seed=7)                      one order of many, and the same one again
    simulate(flow, {"a": 2.0, "b": 5.0}, jobs=2).makespan   the real scheduler in virtual time
    graph("a -> b c -> d", b={"retry": Retry(3)})        a diamond

The fixture `weft_run` of the pytest plugin is in plugin.py. Each name is imported when it is first used: pytest loads
the plugin whenever it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.backends.contract import BackendContract as BackendContract
    from weft.journal.contract import JournalContract as JournalContract
    from weft.testing.clock import FakeClock as FakeClock
    from weft.testing.deterministic import Drawn as Drawn
    from weft.testing.deterministic import log_digest as log_digest
    from weft.testing.deterministic import run_deterministic as run_deterministic
    from weft.testing.graphs import block as block
    from weft.testing.graphs import body as body
    from weft.testing.graphs import foreach as foreach
    from weft.testing.graphs import graph as graph
    from weft.testing.graphs import numbered as numbered
    from weft.testing.graphs import parallel as parallel
    from weft.testing.script import Script as Script
    from weft.testing.script import failed as failed
    from weft.testing.scripted import Called as Called
    from weft.testing.scripted import Fail as Fail
    from weft.testing.scripted import ScriptedBackend as ScriptedBackend
    from weft.testing.scripted import Takes as Takes
    from weft.testing.simulation import Hang as Hang
    from weft.testing.simulation import SimulatedRun as SimulatedRun
    from weft.testing.simulation import Simulation as Simulation
    from weft.testing.simulation import load_trace as load_trace
    from weft.testing.simulation import simulate as simulate

_PLACES = {
    "backends.contract": "BackendContract",
    "journal.contract": "JournalContract",
    "testing.clock": "FakeClock",
    "testing.deterministic": "Drawn log_digest run_deterministic",
    "testing.graphs": "block body foreach graph numbered parallel",
    "testing.script": "Script failed",
    "testing.scripted": "Called Fail ScriptedBackend Takes",
    "testing.simulation": "Hang SimulatedRun Simulation load_trace simulate",
}
_WHERE = {name: module for module, names in _PLACES.items() for name in names.split()}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'weft.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"weft.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
