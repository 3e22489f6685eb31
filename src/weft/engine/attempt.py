"""One attempt: from a start to exactly one outcome.

    settings and input are evaluated -> the runtime works, under its deadline -> the output is encoded -> an event

Whatever is raised on the way becomes an `AttemptFailed`; nothing is swallowed and nothing is retried here. A deadline
and a cancellation both cancel the task; which of them it was is written down before, so that the outcome can say so.

What was stopped may not obey: an `async` function can catch its CancelledError. If it ends all the same, a deadline
that has passed stays passed; but what was done in spite of a cancellation is done, and rollback should know what it
was. If it does not end, it gets `GRACE` seconds, and is then given up: it goes on in the loop, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from weft import values
from weft.backends.base import interrupted
from weft.core.state import Instance
from weft.engine.calls import Call, call_function
from weft.engine.failure import CANCELLED, describe, timed_out
from weft.engine.records import NOT_ENCODED, Record
from weft.engine.scope import View
from weft.errors import ErrorData, ExpressionError, TaskBlocked, said
from weft.event_types import NULL, AttemptFailed, AttemptSucceeded
from weft.graph.model import Node
from weft.graph.work import FunctionWork, LeafWork
from weft.runtimes.base import AttemptContext, Bound, Output
from weft.runtimes.failures import CommandFailed

if TYPE_CHECKING:
    from weft.engine.executor import Executor

GRACE = 5.0
"""Seconds that an `async` function has to end after it was stopped."""


class Attempt(msgspec.Struct, eq=False):
    """A running attempt of one leaf. `began` is a monotonic time in seconds."""

    engine: Executor
    instance: Instance
    number: int
    began: float
    stopped: ErrorData | None = None
    """Why the task was cancelled: by a request or by its deadline; None: by nobody."""
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    call: Call | None = None
    raised: Exception | None = None
    over: bool = False
    """It has its outcome."""

    def start(self) -> None:
        """Begin."""
        engine = self.engine
        timeout = self.instance.node.timeout
        if timeout is not None:
            self.timer = engine.loop.call_later(timeout, self._out_of_time, timeout)
        self.task = engine.loop.create_task(self._run())

    def cancel(self, reason: str) -> None:
        """Stop the work; its end arrives as an event."""
        if self.stopped is None:
            self._stop(ErrorData(CANCELLED, reason, unknown=self.instance.node.effect == "once"))
        elif self.task is not None:
            self.task.cancel()

    def _out_of_time(self, seconds: float) -> None:
        if self.stopped is None:
            self._stop(timed_out(seconds))

    def _stop(self, why: ErrorData) -> None:
        self.stopped = why
        if self.call is not None and self.call.context is not None:
            self.call.context.stopped(why.message)
        if self.task is None:
            return
        self.task.cancel()
        work = self.instance.node.work
        if isinstance(work, FunctionWork) and work.isolation == "loop":
            if self.timer is not None:
                self.timer.cancel()
            self.timer = self.engine.loop.call_later(GRACE, self._give_up)

    def _give_up(self) -> None:
        """It does not end: the run goes on without it."""
        if self.over or self.stopped is None or self.task is None:
            return
        asyncio._unregister_task(self.task)  # noqa: SLF001 - documented; else `asyncio.run` would wait for it at its end
        self.engine.abandoned += 1
        self._settle(None if self._is_left() else self._failed(self.stopped))

    def _is_left(self) -> bool:
        """The engine goes away, and what it interrupted has no outcome."""
        return self.engine.leaving and (self.stopped is None or self.stopped.type == CANCELLED)

    def _settle(self, event: AttemptSucceeded | AttemptFailed | None) -> None:
        if self.over:
            return
        self.over = True
        if self.timer is not None:
            self.timer.cancel()
        if event is None:
            self.engine.attempt_left(self)
        else:
            self.engine.attempt_ended(self, event)

    async def _run(self) -> None:
        try:
            event = await self._outcome()
        except (asyncio.CancelledError, GeneratorExit, SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # nobody should wait for an outcome that never comes
            self.engine.broken(error)
        else:
            self._settle(event)

    async def _outcome(self) -> AttemptSucceeded | AttemptFailed | None:
        """How it ended; None when it has no outcome."""
        try:
            result = await self._work()
            if self.stopped is None or self.stopped.type == CANCELLED:
                return self._succeeded(result)
            return self._failed(self.stopped)
        except asyncio.CancelledError:
            if self._is_left():
                return None
            return self._failed(self.stopped or ErrorData(CANCELLED, "the task was cancelled from outside"))
        except Exception as error:  # every failure of a step is an outcome of that step
            self.raised = error
            return self._failed(self._while_stopping(self._describe(error)), error)
        except GeneratorExit:
            raise
        except BaseException as error:  # asyncio would end the whole loop, or the task without a word
            return self._failed(describe(interrupted(error)))

    def _while_stopping(self, error: ErrorData) -> ErrorData:
        """What went wrong after it was stopped is how it stopped."""
        if self.stopped is None:
            return error
        return msgspec.structs.replace(self.stopped, cause=f"{error.type}: {error.message}")

    def _work(self) -> Awaitable[Any]:
        engine, instance = self.engine, self.instance
        work = instance.node.work
        if type(work) is FunctionWork:
            return self._call(work)
        assert isinstance(work, LeafWork)
        return run_leaf(
            engine,
            instance.node,
            work,
            engine.evaluator.view(instance, "settings"),
            path=instance.path,
            attempt=self.number,
            key=lambda: engine.key(instance),
            began=self.began,
            started_at=engine.first_start(instance),
        )

    def _call(self, work: FunctionWork) -> Awaitable[Any]:
        engine, instance = self.engine, self.instance
        timeout = instance.node.timeout
        scope = engine.evaluator.scope(instance.frame)
        self.call = Call(
            work,
            scope,
            instance.path,
            self.number,
            lambda: engine.key(instance),
            deadline=None if timeout is None else self.began + timeout,
            error=lambda: engine.evaluator.exception_for(scope),
        )
        return call_function(engine, self.call)

    def _succeeded(self, result: Any) -> AttemptSucceeded:
        engine = self.engine
        output = result if type(result) is Output else Output(result)
        duration = engine.clock.monotonic() - self.began
        outputs = engine.outputs
        if outputs.by_reference:
            encoded = NOT_ENCODED
            outputs.objects[self.instance.path] = output.value
            record = Record("succeeded", output.value, attempts=self.number, duration=duration)
        else:
            encoded = outputs.encode(output.value)
            record = Record(
                "succeeded",
                encoded=encoded,
                keeper=outputs,
                attempts=self.number,
                duration=duration,
                stderr=output.stderr,
                exit_code=output.exit_code,
            )
        engine.evaluator.keep(self.instance, record)
        return AttemptSucceeded(
            path=self.instance.path,
            attempt=self.number,
            duration=duration,
            output=encoded.output,
            blob=encoded.blob,
            secrets=encoded.secrets,
            reference=encoded.reference,
            exit_code=output.exit_code,
            stderr=output.stderr and engine.mask(output.stderr),
            issue=output.issue,
            undo=output.undo,
            used=output.used,
            at=engine.clock.now(),
        )

    def _failed(self, error: ErrorData, raised: Exception | None = None) -> AttemptFailed:
        engine = self.engine
        duration = engine.clock.monotonic() - self.began
        agreed, error = self._agreed(error, raised)
        output = NULL
        used = None if self.call is None else self.call.used
        if isinstance(raised, TaskBlocked):
            output, used = engine.outputs.inline(raised.result).output, raised.used
            if engine.outputs.by_reference:
                engine.outputs.objects[self.instance.path] = raised.result
        return AttemptFailed(
            path=self.instance.path,
            attempt=self.number,
            duration=duration,
            error=error,
            agreed=agreed,
            draw=engine.random() if self.instance.node.retry.max_attempts > 1 else 0.0,
            exit_code=raised.code if isinstance(raised, CommandFailed) else None,
            stderr=engine.mask(raised.stderr) if isinstance(raised, CommandFailed) and raised.stderr else None,
            output=output,
            used=used,
            at=engine.clock.now(),
        )

    def _agreed(self, error: ErrorData, raised: Exception | None) -> tuple[bool | None, ErrorData]:
        """What the retry's own condition says of this error; and the error, to which it adds when it fails itself."""
        work = self.instance.node.work
        if not isinstance(work, FunctionWork):
            return self._said_when(error), error
        if work.retry_on is None or raised is None or self.stopped is not None:
            return None, error
        try:
            return bool(work.retry_on(raised)), error
        except Exception as problem:  # of the user's condition
            message = f"{error.message} (and its retry_on raised {type(problem).__name__}: {said(problem)})"
            return False, msgspec.structs.replace(error, message=message)

    def _said_when(self, error: ErrorData) -> bool | None:
        """What the `when` of a document's retry says."""
        work = self.instance.node.work
        condition = work.retry_when if isinstance(work, LeafWork) else None
        if condition is None or error.type == CANCELLED:
            return None
        data = {
            "type": error.type,
            "message": error.message,
            "path": self.instance.path,
            "attempt": self.number,
            "status": error.status,
        }
        try:
            return bool(condition.evaluate(self.engine.evaluator.view(self.instance, "retry", error=data)))
        except ExpressionError:
            return False

    def _describe(self, error: Exception) -> ErrorData:
        work = self.instance.node.work
        return self.engine.masked(describe(error, work.place if isinstance(work, LeafWork) else None))


async def run_leaf(
    engine: Executor,
    node: Node,
    work: LeafWork,
    view: View,
    *,
    path: str,
    attempt: int,
    key: str | Callable[[], str],
    began: float,
    started_at: float | None = None,
) -> Any:
    """Evaluate the settings of a document's leaf and let its runtime work."""
    runtime = engine.runtime(work.kind)
    settings: dict[str, Any] = {}
    for name, setting in work.settings.items():
        settings[name] = Bound(setting, view) if name in work.bound else setting.evaluate(view)
    context = AttemptContext(
        engine.world,
        path,
        attempt=attempt,
        key=key,
        deadline=None if node.timeout is None else began + node.timeout,
        started_at=started_at,
        log=engine.log_for(path, attempt),
        scope=view,
        arguments={name: values.plain(source.evaluate(view)) for name, source in work.arguments.items()},
        lazy=work.lazy,
        place=work.code_place,
    )
    if engine.evaluator.drawn:  # what was drawn goes out into the world: a repetition must draw the same
        await engine.durable()
    return await runtime.run(context, settings, view.given())
