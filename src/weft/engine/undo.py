"""Performing compensations: each is journaled as started before it acts, and its end before the next one starts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from weft import events
from weft.commands import Compensate
from weft.engine.attempt import run_leaf
from weft.engine.failure import TIMEOUT, describe
from weft.engine.records import MISSING, Outputs, Record
from weft.engine.scope import Scope, View
from weft.errors import AttemptError
from weft.graph.model import Graph
from weft.graph.work import LeafWork
from weft.runtimes.base import Output

if TYPE_CHECKING:
    from weft.engine.executor import Executor


class Undoing:
    """Runs the compensation that the scheduler wants next. There is one at a time."""

    def __init__(self, engine: Executor) -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None
        self.busy = False
        """One runs; one that waits for its next attempt does not."""

    def start(self, command: Compensate) -> None:
        """Begin one. Its start record is in the next commit, which is awaited before it acts."""
        self._task = self._engine.loop.create_task(self._run(command))

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """What is to be cancelled and waited for at the end."""
        return [] if self._task is None else [self._task]

    def leave(self) -> None:
        """The engine goes away at once: a resume undoes it again."""
        self.busy = False
        if self._task is not None:
            self._task.cancel()

    async def _run(self, command: Compensate) -> None:
        engine = self._engine
        if command.delay:
            await asyncio.sleep(command.delay)
        if engine.leaving:
            return
        self.busy = True
        path, attempt = command.instance.path, command.attempt
        engine.post(events.CompensationStarted(path=path, attempt=attempt, at=engine.clock.now()))
        await engine.durable()
        began = engine.clock.monotonic()
        try:
            await self._body(command)
        except Exception as error:  # reported, retried by the scheduler's rule, never in the way of the others
            data = engine.masked(describe(error))
            ended: events.Event = events.CompensationFailed(
                path=path,
                attempt=attempt,
                error=data,
                duration=engine.clock.monotonic() - began,
                draw=engine.random(),
                at=engine.clock.now(),
            )
        else:
            duration = engine.clock.monotonic() - began
            ended = events.CompensationSucceeded(path=path, attempt=attempt, duration=duration, at=engine.clock.now())
        self.busy = False
        engine.post(ended)

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
            step = run_leaf(
                engine,
                node,
                work,
                View(scope, work),
                path=instance.frame.prefix + node.id,
                attempt=command.attempt,
                key=engine.key(instance),
                began=engine.clock.monotonic(),
            )
            try:
                output = await asyncio.wait_for(step, node.timeout)
            except TimeoutError:
                if node.timeout is None:
                    raise
                raise AttemptError(f"took longer than {node.timeout:g} s and was stopped", type=TIMEOUT) from None
            value = output.value if type(output) is Output else output
            scope.results[node.id] = kept(engine.outputs, value)


def kept(outputs: Outputs, value: Any) -> Record:
    """The record of a compensation's step: in memory only, as it is done again with the whole compensation."""
    if outputs.by_reference:
        return Record("succeeded", value=value, attempts=1)
    return Record("succeeded", encoded=outputs.inline(value), keeper=outputs, attempts=1)
