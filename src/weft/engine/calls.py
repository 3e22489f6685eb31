"""A call of a user's function: its arguments, the place where it runs, and what its answer means.

Arguments are taken from the scope of the task, each a copy of its own where results are kept as data. What the function
returns is a plain value, a `TaskResult` (which may say that nothing was done), a `Compensated` (a value and how to undo
it), or `Skip`. A cancellation is raised inside an `async` function; one that blocks in a thread is abandoned, and its
context's token tells it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import msgspec

from weft import values
from weft.backends.base import Reference, end_fork, interrupted
from weft.engine.context import TaskContext
from weft.engine.scope import Scope
from weft.errors import InternalError, Skip, TaskBlocked, ValidationError
from weft.event_types import NULL, Undo, Usage
from weft.graph.work import FunctionWork, Parameter
from weft.results import Compensated, TaskResult
from weft.runtimes.base import Output

if TYPE_CHECKING:
    from weft.engine.executor import Executor

_PLAIN = (str, int, float, bool, type(None))


class Call(msgspec.Struct, eq=False):
    """One call that is about to be made. `own` is what a compensation gets of its node; `deadline` is monotonic."""

    work: FunctionWork
    scope: Scope
    path: str
    attempt: int
    key: str | Callable[[], str]
    deadline: float | None = None
    own: Any = None
    error: Callable[[], BaseException | None] | None = None
    context: TaskContext | None = None

    @property
    def used(self) -> Usage | None:
        """What the function has reported of its use of a budget."""
        return None if self.context is None else self.context.used


async def call_function(engine: Executor, call: Call) -> Any:
    """The function's answer, as an attempt has it. Raises what the function raises."""
    work = call.work
    if work.prepares is not None:
        await _prepare(engine, call)
    try:
        if work.writes or work.verified:
            watch = engine.writers.watch
            answer = await watch(
                engine.world, call.path, work.writes, verified=work.verified, call=lambda: _answer(engine, call)
            )
        else:
            answer = _called(engine, call)
            if hasattr(answer, "__await__"):
                answer = await answer
            if type(answer) is CoroutineType:
                answer = await answer
    except asyncio.CancelledError:
        if call.context is not None:
            call.context.stopped("the attempt was stopped")
        raise
    except Exception:
        raise
    except BaseException as error:  # asyncio would end the whole loop, or the task without a word (pytest.fail)
        raise interrupted(error) from error
    finally:
        end_fork(engine.process)
    if type(answer) in _PLAIN and call.used is None:
        return answer
    return _meaning(engine, call, answer)


async def _answer(engine: Executor, call: Call) -> Any:
    answer = _called(engine, call)
    if hasattr(answer, "__await__"):
        answer = await answer
    if type(answer) is CoroutineType:  # of a function that calls an async one: lambda x: fetch(x)
        answer = await answer
    return answer


def _called(engine: Executor, call: Call) -> Any:
    """The call itself, in the place that is meant for it; most answers have to be awaited."""
    work = call.work
    arguments = {p.name: _argument(engine, call, p) for p in work.parameters} if work.parameters else {}
    if engine.world.backend is not None:
        return engine.world.backend.call(call.path, call.attempt, work.function, arguments)
    if work.isolation == "loop":
        return work.function(**arguments)
    if work.isolation == "thread":
        assert engine.world.threads is not None
        return engine.world.threads.call(work.function, arguments)
    return _in_a_process(engine, call, arguments)


async def _in_a_process(engine: Executor, call: Call, arguments: dict[str, Any]) -> Any:
    work, workers = call.work, engine.world.workers
    if work.reference is None or workers is None:
        raise InternalError(f"{call.path} was to be called in a process without one")
    wants_context = [p.name for p in work.parameters if p.source == "context"]
    context = _context(engine, call)
    facts = {name: getattr(context, name) for name in ("run_id", "path", "attempt", "key", "deadline")}
    given = {name: _to_send(name, value) for name, value in arguments.items() if name not in wants_context}
    tell = engine.log_for(call.path, call.attempt)

    def hear(stream: str, chunk: bytes) -> None:
        if stream == "report":
            context.note(values.decode(chunk).get("metrics") or {})
        tell(stream, chunk)

    reference = Reference(*work.reference, path=tuple([entry or str(Path.cwd()) for entry in sys.path]))
    return values.decode(await workers.call(reference, given, context=facts, on_output=hear))


def _to_send(name: str, value: Any) -> Any:
    """An argument as another process gets it: JSON data. Raises ValidationError."""
    try:
        return values.plain(value)
    except ValidationError as error:
        place = f"{name}{error.path[1:]}"
        hint = "what goes to another process is JSON data"
        raise ValidationError(f"argument {name!r}: {error.message}", path=place, hint=hint) from None


# -- arguments --------------------------------------------------------------------------------------------------------


def _argument(engine: Executor, call: Call, parameter: Parameter) -> Any:
    match parameter.source:
        case "node":
            record = call.scope.record(parameter.key)
            return record.output if engine.outputs.by_reference else record.copy()
        case "context":
            return _context(engine, call)
        case "own":
            return call.own
        case "error":
            return None if call.error is None else call.error()
        case "argument":
            found = call.scope.name(parameter.key)
        case _:
            found = call.scope.special(parameter.source)
    if engine.outputs.by_reference or type(found) in _PLAIN:
        return found
    return values.plain(found)


def _context(engine: Executor, call: Call) -> TaskContext:
    if call.context is None:
        left = None if call.deadline is None else call.deadline - engine.clock.monotonic()
        call.context = TaskContext(
            run_id=engine.world.run_id,
            path=call.path,
            attempt=call.attempt,
            key=call.key,
            deadline=None if left is None else engine.clock.now() + left,
            log=engine.log_for(call.path, call.attempt),
            parent=engine.world.token,
        )
    return call.context


async def _prepare(engine: Executor, call: Call) -> None:
    """Look at the world before the first attempt acts; what was seen is durable before it does."""
    prepares, evaluator = call.work.prepares, engine.evaluator
    if prepares is None or evaluator.prepared(call.path) is not None:
        return
    assert engine.world.threads is not None
    keep = engine.outputs.keep_bytes
    seen = await engine.world.threads.call(prepares.prepare, {"keep": keep})
    evaluator.remember_prepared(call.path, seen)
    await engine.durable()


# -- what an answer means ---------------------------------------------------------------------------------------------


def _meaning(engine: Executor, call: Call, answer: Any) -> Any:
    if isinstance(answer, Skip):
        raise answer
    undo = None
    if isinstance(answer, Compensated):
        undo = _undo_of(engine, call.path, answer)
        answer = answer.value
    if isinstance(answer, TaskResult):
        return _task_result(call, answer, undo)
    used = call.used
    return answer if undo is None and used is None else Output(answer, undo=undo, used=used)


def _task_result(call: Call, result: TaskResult, undo: Undo | None) -> Output:
    used = call.used
    if result.metrics is not None:
        tokens, cost = result.metrics.tokens_used or 0, result.metrics.cost_usd or 0.0
        used = Usage(float(tokens), float(cost)) if tokens or cost else used
    if result.status in ("BLOCKED", "NEEDS_REPLAN"):
        raise TaskBlocked(result, used)
    issue = (result.error or "it is done in part") if result.status == "PARTIAL" else ""
    return Output(result, issue=issue, undo=undo, used=used)


def _undo_of(engine: Executor, path: str, answer: Compensated) -> Undo:
    """How the engine remembers it: as data where it is one of the ready-made ways, else for as long as it lives."""
    ready = getattr(answer.undo, "as_data", None)
    if ready is not None:
        kind, data = ready()
        return Undo(kind, msgspec.Raw(values.encode(data)))
    value = answer.value if engine.outputs.by_reference else values.plain(answer.value)
    engine.undoing.functions[path] = (answer.undo, value)
    return Undo("", NULL)
