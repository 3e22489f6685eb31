"""Blocking functions in a bounded pool of daemon threads.

Why not `ThreadPoolExecutor`: its threads are joined when the interpreter ends, so one function that hangs keeps the
process alive for ever, and a hung thread takes a slot of the pool for ever. Here a thread whose caller was cancelled is
*abandoned*: it no longer counts, another may be started in its place, its result is dropped, and it ends after the
function has. Python cannot do better: a thread cannot be stopped.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from weft.backends.base import end_fork, interrupted
from weft.errors import AttemptError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Call:
    """One call. Its future belongs to the loop, `running` and `abandoned` to whoever holds the pool's lock."""

    __slots__ = ("abandoned", "arguments", "context", "function", "future", "running")

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self.function = function
        self.arguments = arguments
        self.context = contextvars.copy_context()
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.running = False
        self.abandoned = False


class ThreadPool:
    """At most `size` threads that count, started when needed and kept."""

    def __init__(self, size: int, *, name: str = "weft") -> None:
        self._size = size
        self._name = name
        self._queue: deque[Call] = deque()
        self._ready = threading.Condition(threading.Lock())
        self._threads = 0
        self._idle = 0  # threads that are started and run no call
        self._closed = False
        self._process = os.getpid()
        self.abandoned = 0
        """Calls whose caller went away while they ran; their results were or will be dropped."""

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """The function's result, called in a thread with a copy of our context variables.

        Cancelled, it raises at once: what has not started never will, what runs is abandoned. Raises what the function
        raises; AttemptError(Resources) when no thread can be started.
        """
        call = Call(function, arguments)
        with self._ready:
            self._queue.append(call)
            self._grow()
            self._ready.notify()
        try:
            return await call.future
        except asyncio.CancelledError:
            self._abandon(call)
            raise

    def close(self) -> None:
        """Let idle threads end. Those that are busy end after their function; nobody waits for them."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def _grow(self) -> None:
        """One more thread if one is needed and there may be one. The lock is held."""
        if len(self._queue) <= self._idle or self._threads >= self._size:
            return
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if self._threads:
                return  # one of the others will take it
            self._queue.pop()
            raise AttemptError(
                f"cannot start a thread: {error}",
                type="Resources",
                retryable=True,
                hint="lower `jobs`, or raise the limit of processes (`ulimit -u`)",
            ) from None
        self._threads += 1
        self._idle += 1

    def _abandon(self, call: Call) -> None:
        with self._ready:
            if not call.running:
                if call in self._queue:
                    self._queue.remove(call)
                return
            call.abandoned = True
            self.abandoned += 1
            self._threads -= 1
            with suppress(AttemptError):  # those that wait go on waiting for the others
                self._grow()

    def _work(self) -> None:
        """A thread: calls, until it was abandoned or the pool is closed."""
        while (call := self._next()) is not None:
            result, error = None, None
            try:
                result = call.context.run(call.function, **call.arguments)
            except Exception as problem:
                error = problem
            except BaseException as problem:
                error = interrupted(problem)
            end_fork(self._process)
            with self._ready:
                call.running = False
                leave = call.abandoned
                self._idle += not leave  # before the result is delivered: the next call finds us
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                call.future.get_loop().call_soon_threadsafe(deliver, call, result, error)
            if leave:
                return
            del call, result, error

    def _next(self) -> Call | None:
        with self._ready:
            while not self._queue:
                if self._closed:
                    return None
                self._ready.wait()
            call = self._queue.popleft()
            self._idle -= 1
            call.running = True
            return call


def deliver(call: Call, result: Any, error: Exception | None) -> None:
    """On the loop: hand over what came out, unless nobody wants it."""
    if call.future.done():
        return
    if error is None:
        call.future.set_result(result)
        return
    if isinstance(error, StopIteration):  # a future refuses it
        error = RuntimeError(f"the function raised StopIteration: {error}")
    call.future.set_exception(error)
