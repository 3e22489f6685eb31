"""Performing compensations: each is journaled as started before it acts, and its end before the next one starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft import event_types as events
from weft import undo, values
from weft.backends.base import interrupted
from weft.commands import Compensate
from weft.engine.attempt import run_leaf
from weft.engine.calls import Call, call_function
from weft.engine.failure import CANCELLED, TIMEOUT, describe
from weft.engine.records import MISSING, Outputs, Record
from weft.engine.scope import Scope, View
from weft.errors import AttemptError, ErrorData
from weft.graph.model import Graph, Node
from weft.graph.work import FunctionWork, LeafWork, UndoWork
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
        self.functions: dict[str, tuple[Callable[[Any], Any], Any]] = {}
        """How to undo what was done at a path, where the task answered with a function; and the task's value."""
        self.said: dict[str, events.Undo] = {}
        """The same, where it answered with data; from this sitting or an earlier one."""

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
        ended: events.Event
        try:
            await self._undo(command)
        except asyncio.CancelledError:
            if engine.leaving:
                raise
            ended = self._failed(command, began, ErrorData(CANCELLED, "the compensation was cancelled from inside"))
        except Exception as error:  # reported, retried by the scheduler's rule, never in the way of the others
            ended = self._failed(command, began, engine.masked(describe(error)))
        except GeneratorExit:
            raise
        except BaseException as error:  # asyncio would end the whole loop, or the task without a word
            ended = self._failed(command, began, engine.masked(describe(interrupted(error))))
        else:
            duration = engine.clock.monotonic() - began
            ended = events.CompensationSucceeded(path=path, attempt=attempt, duration=duration, at=engine.clock.now())
        self.busy = False
        engine.post(ended)

    def _failed(self, command: Compensate, began: float, error: ErrorData) -> events.CompensationFailed:
        engine = self._engine
        return events.CompensationFailed(
            path=command.instance.path,
            attempt=command.attempt,
            error=error,
            duration=engine.clock.monotonic() - began,
            draw=engine.random(),
            at=engine.clock.now(),
        )

    async def _undo(self, command: Compensate) -> None:
        """First what the task itself said, then what its definition says."""
        path = command.instance.path
        own = self._output(command)
        if path in self.functions:
            await self._said_by_function(command, *self.functions[path])
        elif path in self.said:
            await self._ready(self.said[path].kind, values.decode(self.said[path].data))
        graph = command.instance.node.compensation
        if isinstance(graph, Graph):
            await self._body(command, graph, own)

    def _output(self, command: Compensate) -> Record:
        outer = self._engine.evaluator.scope(command.instance.frame)
        return outer.record(command.instance.node.id) if command.completed else MISSING

    async def _body(self, command: Compensate, graph: Graph, own: Record) -> None:
        """The nodes of the compensation, one after the other. `input` is the node's own output, `$key` its key."""
        engine, instance = self._engine, command.instance
        outer = engine.evaluator.scope(instance.frame)
        scope = Scope(outer, names={"input": own.copy()}, specials={"key": engine.key(instance)})
        for node in graph.nodes:
            try:
                async with asyncio.timeout(node.timeout) as limit:
                    output = await self._step(command, node, scope, own)
            except TimeoutError:
                if not limit.expired():  # it is the step's own
                    raise
                raise AttemptError(f"took longer than {node.timeout:g} s and was stopped", type=TIMEOUT) from None
            value = output.value if type(output) is Output else output
            scope.results[node.id] = kept(engine.outputs, value)

    async def _step(self, command: Compensate, node: Node, scope: Scope, own: Record) -> Any:
        engine, instance, work = self._engine, command.instance, node.work
        if isinstance(work, FunctionWork):
            await self._call(command, work, own)
            return None
        if isinstance(work, UndoWork):
            return await self._ready(work.kind, engine.evaluator.prepared(instance.path))
        assert isinstance(work, LeafWork)
        return await run_leaf(
            engine,
            node,
            work,
            View(scope, work),
            path=instance.frame.prefix + node.id,
            attempt=command.attempt,
            key=engine.key(instance),
            began=engine.clock.monotonic(),
        )

    async def _call(self, command: Compensate, work: FunctionWork, own: Record) -> None:
        """What the function gives is nobody's: it is not kept, so it may be anything."""
        value = own.output if self._engine.outputs.by_reference else own.copy()
        await self._called(command, work, value)

    async def _said_by_function(self, command: Compensate, function: Callable[[Any], Any], value: Any) -> None:
        """Call what a task answered with, whatever its parameter is called."""
        work = FunctionWork(function=lambda: function(value), isolation="thread")
        answer = await self._called(command, work, value)
        if hasattr(answer, "__await__"):
            await answer

    async def _called(self, command: Compensate, work: FunctionWork, value: Any) -> Any:
        engine, instance = self._engine, command.instance
        scope = engine.evaluator.scope(instance.frame)
        key = engine.key(instance)
        call = Call(work, scope, f"{instance.path}-undo", command.attempt, key, own=value)
        return await call_function(engine, call)

    async def _ready(self, kind: str, data: Any) -> None:
        engine = self._engine
        if not kind:
            raise AttemptError(
                "the undo was a function of the process that is gone",
                type="UndoLost",
                hint="undo it by hand, and say compensate= at the task",
            )
        assert engine.world.threads is not None
        await engine.world.threads.call(undo.perform, {"kind": kind, "data": data, "load": engine.outputs.load_bytes})


def kept(outputs: Outputs, value: Any) -> Record:
    """The record of a compensation's step: in memory only, as it is done again with the whole compensation."""
    if outputs.by_reference:
        return Record("succeeded", value=value, attempts=1)
    return Record("succeeded", encoded=outputs.inline(value), keeper=outputs, attempts=1)
