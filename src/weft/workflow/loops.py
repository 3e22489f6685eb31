"""A coroutine run to its end for somebody who does not await it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from weft.errors import UserError

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

T = TypeVar("T")


def in_a_loop_of_its_own(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, in a new event loop: here, or in a thread where one runs already.

    What is wrong with the input is raised as from here: where that was found out is of no use to anybody.
    """
    import asyncio

    try:
        return _in_a_thread(work) if _runs_a_loop() else asyncio.run(work)
    except UserError as error:
        raise error.with_traceback(None)  # noqa: B904 - it is the same error


def _in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    """Ctrl-C reaches only the thread that waits, the main one: what runs in the other is cancelled and waited for."""
    import asyncio
    import contextvars
    from concurrent.futures import Future, ThreadPoolExecutor

    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    async def told() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(1, thread_name_prefix="weft-run") as threads:
        running = threads.submit(contextvars.copy_context().run, asyncio.run, told())
        try:
            return running.result()
        except BaseException:
            if not running.done():
                _cancel(begun)
            raise


def _cancel(begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]]) -> None:
    from contextlib import suppress

    loop, task = begun.result()
    with suppress(RuntimeError):  # the loop has ended just now
        loop.call_soon_threadsafe(task.cancel)


def _runs_a_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
