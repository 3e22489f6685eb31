"""Many items, few at once: workers that pull from one iterator.

Why workers and not a task per item: a million items would be a million tasks before the first one ran, and a generator
could not be read lazily. Here a worker takes an item when it is free to run it, so never more is pulled than is run.
A worker starts the next one when it has got an item: there are never more workers than items, whatever was asked for.

Context variables: every item starts with those of the caller. A worker whose item changed one would hand the change to
its next item; it leaves instead, and a fresh one takes its place. (A task per item would do that at a price for all.)

What ends a pool early (a callback that raises, a token, the caller's own cancellation) cancels the workers and waits
for them before anything is raised. A thread cannot be cancelled: one that is in the middle of a blocking function is
left to itself, its result dropped.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from weft.calls import Call, Thread, calling
from weft.errors import Cancelled, InputError
from weft.policy import Retry

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from weft.cancellation import CancellationToken

BREATH = 256
"""After so many items a worker lets the loop go on, also when its work never waits: else nobody could cancel it."""
_END = object()


class Workers:
    """The workers, and what they share."""

    def __init__(
        self,
        items: Any,
        run: Callable[[Any], Any],
        concurrency: int,
        timeout: float | None,
        retry: Retry | None,
        token: CancellationToken | None,
    ) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency is {concurrency!r}; it must be a whole number of 1 or more")
        if timeout is not None and not (type(timeout) in (int, float) and 0 < timeout < float("inf")):
            raise ValueError(f"timeout is {timeout!r}; it must be a number of seconds above 0")
        if not callable(run):
            raise InputError(f"{run!r} cannot be called", hint="pass the function that is to run for each item")
        if retry is not None and not isinstance(retry, Retry):
            raise InputError(f"retry is {retry!r}; it must be a weft.Retry", hint="weft.Retry(max_attempts=3)")
        if token is not None and not hasattr(token, "raise_if_cancelled"):
            raise InputError(f"token is {token!r}; it must be a weft.CancellationToken")
        self.waits, self.source = source_of(items)
        self.run = run
        self.concurrency = concurrency
        self.spare = concurrency
        self.timeout = timeout
        self.retry = retry
        self.token = token
        self.pulled = 0
        self.over = False
        """Nobody pulls any more."""
        self.stopping = False
        """The workers are being cancelled; no callback is called any more."""
        self.fatal: BaseException | None = None
        """What stopped the pool."""
        self.broken: Exception | None = None
        """What the iterator raised."""
        self.errors: list[Exception] = []
        """Errors that nobody was told of."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.idle_threads: list[Thread] = []

    def start(self) -> None:
        """The first worker. Raises Cancelled when the token is already."""
        import asyncio

        if self.token is not None:
            self.token.raise_if_cancelled()
        self.loop = asyncio.get_running_loop()
        self.lock = asyncio.Lock()
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.base: Context = copy_context()
        self.call: Call = calling(self.run, self.idle_threads, self.timeout, self.retry)
        self._forget = self.token.on_cancel(self._token_cancelled) if self.token is not None else lambda: None
        self.spawn()

    def spawn(self) -> None:
        self.spare -= 1
        self.replace()

    def replace(self) -> None:
        task = self.loop.create_task(self._worker(), context=self.base.copy())
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not self.tasks:
            self.over = True
            if not self.finished.done():
                self.finished.set_result(None)

    async def _worker(self) -> None:
        from asyncio import CancelledError

        try:
            await self.work()
        except CancelledError:
            self.halt(Cancelled("somebody cancelled a worker of the pool"))
        except Exception as error:
            self.over, self.broken = True, error
        except (SystemExit, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # asyncio would end the worker without a word (pytest.fail)
            self.halt(error)

    async def work(self) -> None:
        while (pulled := await self.pull()) is not None:
            await self.one(*pulled)
            if self.stopping:
                return
            if self.changed():
                self.replace()
                return

    def changed(self) -> bool:
        try:
            return copy_context() != self.base
        except Exception:  # values that cannot be compared
            return True

    async def pull(self) -> tuple[int, Any] | None:
        """The next item and its number; None at the end."""
        if self.waits:
            async with self.lock:  # an async generator cannot be asked twice at once
                index, item = await self._asked()
        else:
            await self.room()
            item = _END if self.over else next(self.source, _END)
            index = self.pulled
        if item is _END:
            self.over = True
            return None
        if not self.waits:
            self.pulled = index + 1
        if self.spare:
            self.spawn()
        if index % BREATH == BREATH - 1:
            await breathe()
        return index, item

    async def _asked(self) -> tuple[int, Any]:
        await self.room()
        item = _END if self.over else await anext(self.source, _END)
        index = self.pulled
        self.pulled = index + 1
        self.over = self.over or item is _END
        return index, item

    async def room(self) -> None:
        """Wait until another item may be pulled."""

    async def one(self, index: int, item: Any) -> None:
        """Run an item and say what came of it."""
        try:
            value = await self.call(item)
        except BaseException as error:
            await self.raised(index, item, error)
        else:
            await self.succeeded(index, item, value)

    async def raised(self, index: int, item: Any, error: BaseException) -> None:
        """An item has raised: it failed, or its worker is being cancelled, or the process is ending."""
        from asyncio import CancelledError

        if isinstance(error, Exception):
            await self.failed(index, item, error)
        elif isinstance(error, CancelledError):
            await self.cancelled(index, item)
        else:
            raise error

    async def cancelled(self, index: int, item: Any) -> None:
        """A worker that was cancelled ends; a function that raises CancelledError of its own accord has failed."""
        import asyncio

        task = asyncio.current_task()
        if self.stopping or (task is not None and task.cancelling()):
            self.halt(Cancelled("somebody cancelled a worker of the pool"))
            return
        await self.failed(index, item, Cancelled("by itself"))

    async def succeeded(self, index: int, item: Any, value: Any) -> None:
        """An item has its value."""
        raise NotImplementedError

    async def failed(self, index: int, item: Any, error: Exception) -> None:
        """An item has failed."""
        raise NotImplementedError

    def halt(self, error: BaseException | None) -> None:
        """Stop because of `error`, unless it is being stopped: every worker is cancelled but the one that says so."""
        import asyncio

        if self.stopping:  # cancelled twice, a worker would leave what it cleans up
            return
        self.over = self.stopping = True
        self.fatal = error
        for task in list(self.tasks):
            if task is not asyncio.current_task():
                task.cancel()

    def _token_cancelled(self, reason: str | None) -> None:
        """In the thread that cancels."""
        self.over = True
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.halt, Cancelled(reason))

    async def stop(self) -> None:
        """Cancel what runs and wait for it, however often we are cancelled meanwhile."""
        import asyncio

        self._forget()
        self.over = self.stopping = True
        again: asyncio.CancelledError | None = None
        for task in self.tasks:
            task.cancel()
        while self.tasks:
            try:
                await asyncio.wait(list(self.tasks))
            except asyncio.CancelledError as error:
                again = error
                for task in self.tasks:
                    task.cancel()
        for thread in self.idle_threads:
            thread.leave()
        if again is not None:
            raise again

    def ended(self) -> None:
        """After all has stopped: raise what stopped it."""
        if self.fatal is None and self.token is not None and self.token.cancelled:
            self.fatal = Cancelled(self.token.reason)
        if self.fatal is not None:
            raise self.with_cause(self.fatal)

    def with_cause(self, error: BaseException) -> BaseException:
        """An error that takes the place of others names them as its cause."""
        untold = [e for e in (*self.errors, self.broken) if e is not None and e is not error]
        if untold and error.__cause__ is None:
            error.__cause__ = ExceptionGroup(failures(len(untold)), untold)
        return error


def source_of(items: Any) -> tuple[bool, Any]:
    """Whether it must be awaited, and the iterator."""
    if isinstance(items, AsyncIterable):
        source: AsyncIterator[Any] | Iterator[Any] = aiter(items)
        return True, source
    try:
        return False, iter(items)
    except TypeError:
        message = f"the items are {type(items).__name__}, which cannot be iterated"
        raise InputError(message, hint="pass a list, a generator or an async iterator") from None


async def breathe() -> None:
    from asyncio import sleep

    await sleep(0)


def failures(count: int) -> str:
    return f"{count} item{'s' * (count != 1)} failed"
