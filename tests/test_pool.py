"""The pool: laziness, bounds, order, errors that are not lost, and ends that leave nothing running."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from weft.cancellation import CancellationToken
from weft.errors import AttemptError, AttemptTimeout, Cancelled, InputError
from weft.policy import Retry
from weft.pool import LOOK_AHEAD, Outcome, iter_concurrently, run_with_concurrency
from weft.testing import FakeClock


def drive(main: Any) -> Any:
    """Run it in time that jumps; nothing may be left running."""

    async def whole() -> Any:
        try:
            return await main
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

    return FakeClock().run(whole())


async def double(item: int) -> int:
    await asyncio.sleep(0)
    return 2 * item


async def uneven(item: int) -> int:
    """The first take longest."""
    await asyncio.sleep(10 - item)
    return item


class Watch:
    """Work that knows how much of it runs, and how much was pulled."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds, self.running, self.most, self.pulled, self.ended = seconds, 0, 0, 0, 0

    def items(self) -> Iterator[int]:
        for i in itertools.count():
            self.pulled += 1
            yield i

    async def run(self, item: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
            self.ended += 1
        return item


async def numbers(count: int) -> AsyncIterator[int]:
    for i in range(count):
        await asyncio.sleep(0)
        yield i


@pytest.mark.parametrize("items", [lambda: [0, 1, 2], lambda: (i for i in range(3)), lambda: numbers(3)])
@pytest.mark.parametrize("collect", [True, False])
def test_lists_generators_and_async_iterators(items: Callable[[], Any], collect: bool) -> None:
    want = [0, 2, 4] if collect else []
    assert sorted(drive(run_with_concurrency(items(), double, 2, collect=collect))) == want


def test_results_come_as_they_end_or_in_the_order_of_the_items() -> None:
    assert drive(run_with_concurrency(range(4), uneven, 4)) == [3, 2, 1, 0]
    assert drive(run_with_concurrency(range(4), uneven, 4, ordered=True)) == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [0, -1, 1.5, float("nan"), True, "3", None])
def test_concurrency_must_be_a_whole_number_of_1_or_more(value: Any) -> None:
    watch = Watch()
    message = f"concurrency is {value!r}; it must be a whole number of 1 or more"
    with pytest.raises(ValueError, match="concurrency") as caught:
        drive(run_with_concurrency(watch.items(), watch.run, value))
    assert str(caught.value) == message
    with pytest.raises(ValueError, match="concurrency") as caught:
        iter_concurrently(watch.items(), watch.run, value)
    assert str(caught.value) == message
    assert watch.pulled == 0


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "3"])
def test_a_timeout_must_be_seconds(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a number of seconds above 0"):
        iter_concurrently([1], double, 1, timeout=value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": 3}, "3 cannot be called"),
        ({"retry": 3}, "retry is 3; it must be a weft.Retry"),
        ({"token": 3}, "token is 3; it must be a weft.CancellationToken"),
        ({"on_result": 3}, "on_result is 3; it must be a function of an item and what came of it"),
        ({"on_error": 3}, "on_error is 3; it must be a function of an item and what came of it"),
    ],
)
def test_an_option_that_cannot_be_is_an_error_at_once(options: dict[str, Any], message: str) -> None:
    watch = Watch()
    with pytest.raises(InputError) as caught:
        drive(run_with_concurrency(watch.items(), **{"run": watch.run, "concurrency": 1, **options}))
    assert (str(caught.value), watch.pulled) == (message, 0)


def test_what_cannot_be_iterated_is_said() -> None:
    with pytest.raises(InputError) as caught:
        drive(run_with_concurrency(3, double, 1))  # type: ignore[call-overload]
    assert str(caught.value) == "the items are int, which cannot be iterated"
    assert caught.value.hint == "pass a list, a generator or an async iterator"


@pytest.mark.parametrize("items", [[], (), iter(()), numbers(0)])
def test_empty_input_gives_an_empty_list(items: Any) -> None:
    assert drive(run_with_concurrency(items, double, 3)) == []


def test_there_are_never_more_workers_than_items() -> None:
    seen = []

    async def run(item: int) -> None:
        await asyncio.sleep(1)
        seen.append(len(asyncio.all_tasks()))

    drive(run_with_concurrency(range(3), run, 10**9))
    assert max(seen) <= 3 + 2  # the test's own two, and a worker that found nothing has ended


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_no_more_is_pulled_than_runs(concurrency: int) -> None:
    watch = Watch()

    async def main() -> None:
        going = asyncio.create_task(run_with_concurrency(watch.items(), watch.run, concurrency))
        await asyncio.sleep(5.5)
        assert watch.running == concurrency
        assert watch.pulled == 6 * concurrency
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    drive(main())
    assert watch.most == concurrency
    assert watch.running == 0


def test_errors_are_raised_together_and_stop_nobody() -> None:
    async def run(item: int) -> int:
        await asyncio.sleep(0)
        if item % 2:
            raise ValueError(item)
        return item

    done: list[int] = []
    with pytest.raises(ExceptionGroup) as caught:
        drive(run_with_concurrency(range(6), run, 2, on_result=lambda item, result: done.append(result)))
    assert sorted(e.args[0] for e in caught.value.exceptions) == [1, 3, 5]
    assert str(caught.value) == "3 items failed (3 sub-exceptions)"
    assert done == [0, 2, 4]

    told: list[tuple[int, str]] = []
    results = drive(run_with_concurrency(range(6), run, 2, on_error=lambda item, e: told.append((item, repr(e)))))
    assert (results, told) == ([0, 2, 4], [(i, f"ValueError({i})") for i in (1, 3, 5)])


def test_callbacks_may_be_coroutine_functions() -> None:
    seen: list[int] = []

    async def note(item: int, result: int) -> None:
        await asyncio.sleep(1)
        seen.append(result)

    drive(run_with_concurrency(range(3), double, 3, on_result=note))
    assert sorted(seen) == [0, 2, 4]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_of_the_iterator_comes_with_those_of_the_items(asynchronous: bool) -> None:
    async def broken() -> AsyncIterator[int]:
        yield 0
        yield 1
        raise OSError("torn")

    def torn() -> Iterator[int]:
        yield 0
        yield 1
        raise OSError("torn")

    ended: list[int] = []

    async def run(item: int) -> None:
        await asyncio.sleep(1)
        ended.append(item)
        if item:
            raise ValueError(item)

    def items() -> Any:
        return broken() if asynchronous else torn()

    with pytest.raises(ExceptionGroup) as caught:
        drive(run_with_concurrency(items(), run, 5))
    assert [repr(e) for e in caught.value.exceptions] == ["ValueError(1)", "OSError('torn')"]
    assert ended == [0, 1]  # what ran was finished
    told: list[str] = []
    with pytest.raises(OSError, match="torn"):
        drive(run_with_concurrency(items(), run, 5, on_error=lambda item, e: told.append(repr(e))))
    assert told == ["ValueError(1)"]


@pytest.mark.parametrize("which", ["on_result", "on_error"])
def test_a_callback_that_raises_stops_the_pool_with_that_error(which: str) -> None:
    watch = Watch()
    calls: list[int] = []

    async def run(item: int) -> int:
        if item == 1:
            await asyncio.sleep(0.5)
            if which == "on_error":
                raise ValueError(item)
            return item
        return await watch.run(item)

    def refuse(item: int, what: Any) -> None:
        calls.append(item)
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        drive(run_with_concurrency(watch.items(), run, 4, **{which: refuse}))  # type: ignore[call-overload]
    assert calls == [1]
    assert watch.running == 0
    assert watch.pulled == 4


def test_errors_that_nobody_was_told_of_are_the_cause_of_what_a_callback_raises() -> None:
    async def run(item: int) -> int:
        await asyncio.sleep(item)
        if not item:
            raise ValueError("first")
        return item

    def refuse(item: int, what: int) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError) as caught:
        drive(run_with_concurrency(range(3), run, 3, on_result=refuse))
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert [repr(e) for e in caught.value.__cause__.exceptions] == ["ValueError('first')"]


def test_a_cancelled_caller_waits_for_its_workers() -> None:
    watch = Watch(100)
    cleaned: list[int] = []

    async def run(item: int) -> None:
        try:
            await watch.run(item)
        finally:
            await asyncio.sleep(3)
            cleaned.append(item)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await run_with_concurrency(watch.items(), run, 3)
        assert sorted(cleaned) == [0, 1, 2]

    drive(main())


def test_work_that_swallows_its_cancellation_does_not_go_on_with_the_next_item() -> None:
    started: list[int] = []

    async def stubborn(item: int) -> int:
        started.append(item)
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return item

    async def main() -> None:
        going = asyncio.create_task(run_with_concurrency(itertools.count(), stubborn, 2))
        await asyncio.sleep(1)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    drive(main())
    assert started == [0, 1]


def test_work_that_never_waits_can_be_cancelled() -> None:
    async def instant(item: int) -> int:
        return item

    async def main() -> None:
        going = asyncio.create_task(run_with_concurrency(itertools.count(), instant, 2, collect=False))
        for _ in range(10):
            await asyncio.sleep(0)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    drive(main())


def test_work_that_raises_cancelled_of_its_own_accord_has_failed() -> None:
    async def run(item: int) -> int:
        if item == 1:
            raise asyncio.CancelledError
        return item

    with pytest.raises(ExceptionGroup) as caught:
        drive(run_with_concurrency(range(3), run, 1))
    assert [str(e) for e in caught.value.exceptions] == ["cancelled: by itself"]


@pytest.mark.parametrize("iterated", [False, True])
@pytest.mark.parametrize("thread", [False, True])
def test_a_token_stops_everything_and_then_cancelled_is_raised(iterated: bool, thread: bool) -> None:
    watch, token = Watch(10), CancellationToken()

    def cancel() -> None:
        token.cancel("enough")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(25, lambda: threading.Thread(target=cancel).start() if thread else cancel())
        going = listed if iterated else run_with_concurrency
        with pytest.raises(Cancelled, match="cancelled: enough"):
            await going(watch.items(), watch.run, 3, token=token)
        assert watch.running == 0

    drive(main())


def test_with_a_token_that_is_cancelled_already_nothing_starts() -> None:
    watch, token = Watch(), CancellationToken()
    token.cancel()
    with pytest.raises(Cancelled, match=r"^cancelled$"):
        drive(run_with_concurrency(watch.items(), watch.run, 3, token=token))
    assert watch.pulled == 0


def test_a_timeout_is_of_one_attempt_and_retries_follow_the_policy() -> None:
    tries: dict[int, int] = {}

    async def run(item: int) -> int:
        tries[item] = tries.get(item, 0) + 1
        if item == 0:
            await asyncio.sleep(100)
        if item == 1 and tries[item] < 3:
            raise OSError("not yet")
        if item == 2:
            raise AttemptError("never")
        if item == 3:
            raise TypeError("our own fault")
        return item

    told: dict[int, Exception] = {}
    retry = Retry(max_attempts=3, jitter="none")
    results = drive(run_with_concurrency(range(4), run, 4, timeout=5, retry=retry, on_error=told.__setitem__))
    assert results == [1]
    assert tries == {0: 3, 1: 3, 2: 1, 3: 1}
    assert isinstance(told[0], AttemptTimeout)
    assert str(told[0]) == "took longer than 5 s and was stopped"
    assert [str(told[i]) for i in (2, 3)] == ["never", "our own fault"]


VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="none")


@pytest.mark.parametrize("iterated", [False, True])
def test_context_variables_do_not_leak_from_item_to_item(iterated: bool) -> None:
    seen: list[str] = []

    async def run(item: int) -> None:
        seen.append(VAR.get())
        VAR.set(f"of {item}")
        await asyncio.sleep(0)
        assert VAR.get() == f"of {item}"

    async def main() -> None:
        VAR.set("the caller's")
        if iterated:
            async for _ in iter_concurrently(range(9), run, 2):
                pass
        else:
            await run_with_concurrency(range(9), run, 2)

    drive(main())
    assert seen == ["the caller's"] * 9


def test_a_bare_worker_loop_does_leak_them() -> None:
    """The control of the test above."""
    seen: list[str] = []

    async def run(item: int) -> None:
        seen.append(VAR.get())
        VAR.set(f"of {item}")

    async def main() -> None:
        for item in range(3):
            await run(item)

    drive(main())
    assert seen == ["none", "of 0", "of 1"]


def test_blocking_functions_run_in_threads_as_many_as_asked_for() -> None:
    lock, names, running, most = threading.Lock(), set(), 0, 0
    gate = threading.Barrier(3, timeout=20)

    def block(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            names.add(threading.get_ident())
        gate.wait()
        with lock:
            running -= 1
        return item

    assert asyncio.run(run_with_concurrency(range(9), block, 3, ordered=True)) == list(range(9))
    assert most == 3
    assert len(names) == 3


def test_a_cancelled_wait_for_a_thread_does_not_hang() -> None:
    release, started = threading.Event(), threading.Event()

    def block(item: int) -> None:
        started.set()
        release.wait(60)

    async def main() -> None:
        going = asyncio.create_task(run_with_concurrency([1], block, 1))
        while not started.is_set():
            await asyncio.sleep(0.001)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert not release.is_set()

    try:
        asyncio.run(asyncio.wait_for(main(), 20))
    finally:
        release.set()


def test_errors_of_threads_and_what_they_may_return() -> None:
    def run(item: int) -> Awaitable[int]:
        if item == 1:
            raise StopIteration("odd")
        return double(item)

    told: dict[int, Exception] = {}
    assert asyncio.run(run_with_concurrency(range(3), run, 1, on_error=told.__setitem__)) == [0, 4]
    assert str(told[1]) == "the function raised StopIteration: odd"


async def listed(*args: Any, **more: Any) -> list[tuple[int, Any, Outcome[Any]]]:
    return [found async for found in iter_concurrently(*args, **more)]


@pytest.mark.parametrize("items", [lambda: "abcd", lambda: iter("abcd")])
def test_iterating_gives_number_item_and_outcome(items: Callable[[], Any]) -> None:
    async def run(item: str) -> str:
        await asyncio.sleep(9 - ord(item) % 8)
        if item == "b":
            raise ValueError(item)
        return item.upper()

    found = drive(listed(items(), run, 4))
    assert [(i, item) for i, item, _ in found] == [(3, "d"), (2, "c"), (1, "b"), (0, "a")]
    outcomes = {i: outcome for i, _, outcome in found}
    assert [outcomes[i].value for i in range(4)] == ["A", None, "C", "D"]
    assert [outcomes[i].ok for i in range(4)] == [True, False, True, True]
    assert repr(outcomes[1].error) == "ValueError('b')"
    assert [i for i, _, _ in drive(listed(items(), run, 4, ordered=True))] == [0, 1, 2, 3]


def test_in_order_a_slow_first_item_holds_the_others_back() -> None:
    watch = Watch()

    async def run(item: int) -> int:
        await asyncio.sleep(100 if item == 0 else 1)
        return item

    async def main() -> None:
        async with aclosing(iter_concurrently(watch.items(), run, 3, ordered=True)) as found:
            assert (await anext(found))[0] == 0
            assert watch.pulled == 3 * LOOK_AHEAD

    drive(main())


def test_a_slow_reader_holds_the_workers_back() -> None:
    watch = Watch()

    async def main() -> None:
        async with aclosing(iter_concurrently(watch.items(), watch.run, 3)) as found:
            await anext(found)
            await asyncio.sleep(100)
            assert watch.pulled <= 3 * LOOK_AHEAD + 1

    drive(main())


def test_closing_early_leaves_nothing_running() -> None:
    watch = Watch()

    async def main() -> None:
        async with aclosing(iter_concurrently(watch.items(), watch.run, 5)) as found:
            async for index, _, _ in found:
                if index == 12:
                    break
        assert watch.running == 0

    drive(main())


def test_what_had_ended_is_handed_out_before_an_error_of_the_iterator() -> None:
    def torn() -> Iterator[int]:
        yield from range(3)
        raise OSError("torn")

    got: list[int] = []

    async def main() -> None:
        async for _, _, outcome in iter_concurrently(torn(), uneven, 2, ordered=True):
            got.append(outcome.value or 0)

    with pytest.raises(OSError, match="torn"):
        drive(main())
    assert got == [0, 1, 2]


class Halt(BaseException):
    """What no `except Exception` sees, as pytest.fail raises it."""


def test_an_exception_that_is_no_exception_stops_the_pool_and_is_not_lost() -> None:
    async def run(item: int) -> None:
        if item == 1:
            raise Halt("enough")
        await asyncio.sleep(60)

    with pytest.raises(Halt, match="enough"):
        asyncio.run(run_with_concurrency(range(3), run, 3))
