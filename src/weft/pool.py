"""The pool: many items, few at once, with results in a list or one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import msgspec

from weft.errors import InputError
from weft.workers import BREATH, Workers, breathe, failures

if TYPE_CHECKING:
    from weft.cancellation import CancellationToken
    from weft.policy import Retry

T = TypeVar("T")
R = TypeVar("R")
Items = Iterable[T] | AsyncIterable[T]
Run = Callable[[T], Awaitable[R]] | Callable[[T], R]

LOOK_AHEAD = 2
"""`iter_concurrently`: items pulled and not yet handed out, in multiples of `concurrency`."""


class Outcome(msgspec.Struct, Generic[R], frozen=True):
    """What came of one item: a value, or the error that was raised."""

    value: R | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None


@overload
async def run_with_concurrency(
    items: Items[T],
    run: Callable[[T], Awaitable[R]],
    concurrency: int,
    *,
    on_result: Callable[[T, R], object] | None = None,
    on_error: Callable[[T, Exception], object] | None = None,
    ordered: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    token: CancellationToken | None = None,
    collect: bool = True,
) -> list[R]: ...


@overload
async def run_with_concurrency(
    items: Items[T],
    run: Callable[[T], R],
    concurrency: int,
    *,
    on_result: Callable[[T, R], object] | None = None,
    on_error: Callable[[T, Exception], object] | None = None,
    ordered: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    token: CancellationToken | None = None,
    collect: bool = True,
) -> list[R]: ...


async def run_with_concurrency(
    items: Items[T],
    run: Run[T, R],
    concurrency: int,
    *,
    on_result: Callable[[T, R], object] | None = None,
    on_error: Callable[[T, Exception], object] | None = None,
    ordered: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    token: CancellationToken | None = None,
    collect: bool = True,
) -> list[R]:
    """The results of `run(item)`, at most `concurrency` at once, in the order they came; `ordered`: that of the items.

    `items` is read lazily, in the event loop. `run` is a coroutine function, or a blocking one: that runs in a thread.
    `timeout` is in seconds, of one attempt; what fails is tried again as `retry` says, except an AttemptError that is
    not retryable and errors that say that the code is wrong (TypeError and the like). The callbacks are called as
    results come, and may be coroutine functions. `collect=False` keeps no results and returns `[]`.

    Without `on_error` the errors are raised together at the end, as an ExceptionGroup; so is an error of the iterator,
    after which what runs is finished. With `on_error` that one is raised as it is. What a callback raises stops the
    pool and is raised as it is; errors nobody was told of are its cause. Raises ValueError for a `concurrency` that is
    no whole number of 1 or more, InputError when `items` cannot be iterated, Cancelled when the token was cancelled.
    """
    for name, callback in (("on_result", on_result), ("on_error", on_error)):
        if callback is not None and not callable(callback):
            raise InputError(f"{name} is {callback!r}; it must be a function of an item and what came of it")
    pool = _Collecting(
        items,
        run,
        concurrency,
        timeout,
        retry,
        token,
        on_result=on_result,
        on_error=on_error,
        ordered=ordered,
        collect=collect,
    )
    return await pool.results()


@overload
def iter_concurrently(
    items: Items[T],
    run: Callable[[T], Awaitable[R]],
    concurrency: int,
    *,
    ordered: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    token: CancellationToken | None = None,
) -> AsyncGenerator[tuple[int, T, Outcome[R]], None]: ...


@overload
def iter_concurrently(
    items: Items[T],
    run: Callable[[T], R],
    concurrency: int,
    *,
    ordered: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    token: CancellationToken | None = None,
) -> AsyncGenerator[tuple[int, T, Outcome[R]], None]: ...


def iter_concurrently(
    items: Items[T],
    run: Run[T, R],
    concurrency: int,
    *,
    ordered: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    token: CancellationToken | None = None,
) -> AsyncGenerator[tuple[int, T, Outcome[R]], None]:
    """`(index, item, outcome)` of every item as it comes; `ordered`: in the order of the items.

    At most 2 x `concurrency` items are pulled and not yet handed out: a slow reader, or with `ordered` a slow first
    item, holds the others back. Close it (`contextlib.aclosing`) and nothing is left running. The rest is as with
    `run_with_concurrency`; an error of the iterator, or Cancelled, is raised after what had ended was handed out.
    """
    return _Iterated(items, run, concurrency, timeout, retry, token, ordered=ordered).read()


class _Collecting(Workers):
    """Tells callbacks, and keeps results and errors."""

    def __init__(
        self,
        *args: Any,
        on_result: Callable[[Any, Any], object] | None,
        on_error: Callable[[Any, Exception], object] | None,
        ordered: bool,
        collect: bool,
    ) -> None:
        super().__init__(*args)
        self.on_result = on_result
        self.on_error = on_error
        self.ordered = ordered
        self.collect = collect
        self.kept: list[Any] = []

    async def results(self) -> list[Any]:
        """All of it, from the start to the end."""
        from asyncio import CancelledError

        self.start()
        try:
            await self.finished
        except CancelledError as error:
            raise self.with_cause(error)  # noqa: B904 - it is the same error
        finally:
            await self.stop()
        self.ended()
        self._raise_errors()
        if not self.ordered:
            return self.kept
        self.kept.sort(key=lambda pair: pair[0])
        return [value for _, value in self.kept]

    def _raise_errors(self) -> None:
        if self.broken is not None:
            if self.on_error is not None:
                raise self.broken
            self.errors.append(self.broken)
        if self.errors:
            raise ExceptionGroup(failures(len(self.errors)), self.errors)

    async def work(self) -> None:
        """The same as of any pool, for the common case: nothing in it but what one item costs."""
        if self.waits:
            return await super().work()
        call, base, keep, ordered = self.call, self.base, self.kept.append, self.ordered
        collect, on_result = self.collect, self.on_result
        for item in self.source:
            index = self.pulled
            self.pulled = index + 1
            if self.spare:
                self.spawn()
            try:
                value = await call(item)
            except BaseException as error:
                await self.raised(index, item, error)
            else:
                if collect:
                    keep((index, value) if ordered else value)
                if on_result is not None:
                    await self._tell(on_result, item, value)
            if self.over:
                return None
            try:
                changed = copy_context() != base
            except Exception:  # values that cannot be compared
                changed = True
            if changed:
                return self.replace()
            if index % BREATH == BREATH - 1:
                await breathe()
        self.over = True
        return None

    async def succeeded(self, index: int, item: Any, value: Any) -> None:
        if self.collect:
            self.kept.append((index, value) if self.ordered else value)
        if self.on_result is not None:
            await self._tell(self.on_result, item, value)

    async def failed(self, index: int, item: Any, error: Exception) -> None:
        if self.on_error is None or self.stopping:
            self.errors.append(error)
        else:
            await self._tell(self.on_error, item, error)

    async def _tell(self, callback: Callable[[Any, Any], object], item: Any, what: Any) -> None:
        if self.stopping:
            return
        try:
            answer = callback(item, what)
            if answer is not None and isinstance(answer, Awaitable):
                await answer
        except Exception as error:
            if self.stopping and error is not what:
                self.errors.append(error)
            self.halt(error)


class _Iterated(Workers):
    """Hands outcomes to a reader."""

    def __init__(self, *args: Any, ordered: bool) -> None:
        super().__init__(*args)
        self.ordered = ordered
        self.handed = 0
        self.ready: dict[int, tuple[int, Any, Outcome[Any]]] = {}
        self.queue: deque[int] = deque()
        """Numbers of those in `ready`, in the order they came."""

    async def read(self) -> AsyncGenerator[tuple[int, Any, Outcome[Any]], None]:
        """The outcomes."""
        import asyncio

        self.news, self.space = asyncio.Event(), asyncio.Event()
        self.start()
        self.finished.add_done_callback(lambda _: self.news.set())
        try:
            while not self.finished.done() or self.ready:
                found = self._next()
                if found is not None:
                    yield found
                    continue
                self.news.clear()
                await self.news.wait()
        finally:
            await self.stop()
        self.ended()
        if self.broken is not None:
            raise self.broken

    def _next(self) -> tuple[int, Any, Outcome[Any]] | None:
        if not self.ready:
            return None
        index = self.handed if self.ordered else self.queue.popleft()
        if index not in self.ready:
            if not self.finished.done():
                return None
            index = min(self.ready)  # it was stopped: some never ended
        self.handed += 1
        self.space.set()
        return self.ready.pop(index)

    async def room(self) -> None:
        while self.pulled - self.handed >= LOOK_AHEAD * self.concurrency and not self.over:
            self.space.clear()
            await self.space.wait()

    async def succeeded(self, index: int, item: Any, value: Any) -> None:
        self._put(index, (index, item, Outcome(value)))

    async def failed(self, index: int, item: Any, error: Exception) -> None:
        self._put(index, (index, item, Outcome(None, error)))

    def _put(self, index: int, found: tuple[int, Any, Outcome[Any]]) -> None:
        self.ready[index] = found
        if not self.ordered:
            self.queue.append(index)
        self.news.set()
