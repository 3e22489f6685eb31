"""How a function is called for one item: awaited or in a thread, within its time, and again when it failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from weft.errors import AttemptError, AttemptTimeout, ErrorData, WeftError, said

if TYPE_CHECKING:
    import asyncio

    from weft.policy import Retry

Call = Callable[[Any], Awaitable[Any]]
_WRONG = (TypeError, AttributeError, NameError, ImportError, SyntaxError, AssertionError, NotImplementedError)
"""Errors that say that the code is wrong: another try would repeat them."""


def calling(run: Callable[[Any], Any], idle: list[Thread], timeout: float | None, retry: Retry | None) -> Call:
    """A coroutine function of one item: `run` itself where nothing is asked for.

    A blocking `run` is called in one of the `idle` threads, or in a new one that is put there afterwards: there are as
    many as there are calls at once, and those that were left to themselves.
    """
    call: Call = run if _is_async(run) else _in_threads(run, idle)
    if timeout is not None:
        call = _timed(call, timeout)
    if retry is not None and retry.max_attempts > 1:
        call = _retried(call, retry)
    return call


class Thread:
    """A daemon thread for the blocking calls of one worker at a time. One whose caller went away is not used again."""

    def __init__(self) -> None:
        import threading
        from queue import SimpleQueue

        self._calls: SimpleQueue[tuple[Context, Callable[[Any], Any], Any, asyncio.Future[Any]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name="weft-pool", daemon=True).start()

    async def call(self, function: Callable[[Any], Any], item: Any) -> Any:
        """`function(item)`, with a copy of our context variables."""
        import asyncio

        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.put((copy_context(), function, item, future))
        return await future

    def leave(self) -> None:
        """End after what it does now."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            context, function, item, future = call
            value: Any = None
            error: Exception | None = None
            try:
                value = context.run(function, item)
            except StopIteration as problem:  # a future refuses it
                error = RuntimeError(f"the function raised StopIteration: {problem}")
            except Exception as problem:
                error = problem
            except BaseException as problem:
                error = RuntimeError(f"the function raised {type(problem).__name__} in a thread: {said(problem)}")
            try:
                future.get_loop().call_soon_threadsafe(_deliver, future, value, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del call, context, function, item, future, value, error


def _deliver(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def _is_async(run: Any) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(run) or iscoroutinefunction(getattr(run, "__call__", None))  # noqa: B004 - its kind


def _in_threads(run: Callable[[Any], Any], idle: list[Thread]) -> Call:
    async def call(item: Any) -> Any:
        thread = idle.pop() if idle else Thread()
        try:
            value = await thread.call(run, item)
        except Exception:
            idle.append(thread)
            raise
        except BaseException:
            thread.leave()
            raise
        idle.append(thread)
        return await value if isinstance(value, Awaitable) else value

    return call


def _timed(run: Call, seconds: float) -> Call:
    import asyncio

    async def call(item: Any) -> Any:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await run(item)
        except TimeoutError as error:
            if limit.expired() and not isinstance(error, AttemptTimeout):
                raise AttemptTimeout(f"took longer than {seconds:g} s and was stopped") from None
            raise

    return call


def _retried(run: Call, retry: Retry) -> Call:
    import asyncio
    from random import random

    async def call(item: Any) -> Any:
        attempt = 1
        while True:
            try:
                return await run(item)
            except Exception as error:
                data = _as_data(error)
                if not retry.allows(attempt, data):
                    raise
            await asyncio.sleep(retry.delay(attempt, data, random()))  # noqa: S311 - spreads load, keeps no secret
            attempt += 1

    return call


def _as_data(error: Exception) -> ErrorData:
    if isinstance(error, AttemptError):
        return ErrorData(error.type, said(error), retryable=error.retryable, retry_after=error.retry_after)
    return ErrorData(type(error).__name__, said(error), retryable=not isinstance(error, (*_WRONG, WeftError)))
