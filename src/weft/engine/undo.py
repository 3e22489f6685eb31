"""Performing compensations: each is journaled as started before it acts, and its end before the next one starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft import events
from weft.commands import Compensate
from weft.engine.attempt import run_leaf
from weft.engine.failure import describe
from weft.engine.records import MISSING, Outputs, Record
from weft.engine.scope import Scope, View
from weft.graph.model import Graph
from weft.graph.work import LeafWork
from weft.runtimes.base import Output

if TYPE_CHECKING:
    from weft.engine.executor import Executor


class Undoing:
    """Runs the compensation that the scheduler wants next."""

    def __init__(self, engine: Executor) -> None:
        self._engine = engine
        self._task: Any = None

    def start(self, command: Compensate) -> None:
        """Begin one. Its start record is in the next commit, which is awaited before it acts."""
        self._task = self._engine.loop.create_task(self._run(command))

    async def _run(self, command: Compensate) -> None:
        engine = self._engine
        path = command.instance.path
        began = engine.clock.monotonic()
        engine.post(events.CompensationStarted(path=path, attempt=command.attempt, at=engine.clock.now()))
        await engine.durable()
        event: events.Event
        try:
            await self._body(command)
        except Exception as error:  # reported, retried by the scheduler's rule, never in the way of the others
            event = events.CompensationFailed(
                path=path,
                attempt=command.attempt,
                error=engine.masked(describe(error)),
                duration=engine.clock.monotonic() - began,
                at=engine.clock.now(),
            )
        else:
            duration = engine.clock.monotonic() - began
            event = events.CompensationSucceeded(
                path=path, attempt=command.attempt, duration=duration, at=engine.clock.now()
            )
        engine.post(event)

    async def _body(self, command: Compensate) -> None:
        """The nodes of the compensation, one after the other. `input` is the node's own output, `$key` its key."""
        engine = self._engine
        instance = command.instance
        graph = instance.node.compensation
        assert isinstance(graph, Graph)
        outer = engine.evaluator.scope(instance.frame)
        own = outer.record(instance.node.id) if command.completed else MISSING
        scope = Scope(outer, names={"input": own.copy()}, specials={"key": engine.key(instance)})
        for node in graph.nodes:
            work = node.work
            assert isinstance(work, LeafWork)
            output = await run_leaf(
                engine,
                node,
                work,
                View(scope, work),
                path=instance.frame.prefix + node.id,
                attempt=command.attempt,
                key=engine.key(instance),
                began=engine.clock.monotonic(),
            )
            value = output.value if type(output) is Output else output
            scope.results[node.id] = kept(engine.outputs, value)


def kept(outputs: Outputs, value: Any) -> Record:
    """The record of a compensation's step: in memory only, as it is done again with the whole compensation."""
    if outputs.by_reference:
        return Record("succeeded", value=value, attempts=1)
    return Record("succeeded", encoded=outputs.inline(value), keeper=outputs, attempts=1)
