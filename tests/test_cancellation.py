"""Tokens: who is cancelled by whom, who is told, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from weft.cancellation import CancellationToken
from weft.errors import Cancelled, InputError
from weft.testing import FakeClock


def test_a_parent_cancels_its_children_and_never_the_reverse() -> None:
    parent = CancellationToken()
    first, second = parent.child(), parent.child()
    grandchild = first.child()
    first.cancel("enough")
    assert [t.cancelled for t in (parent, first, grandchild, second)] == [False, True, True, False]
    parent.cancel("all of it")
    assert [t.reason for t in (parent, first, grandchild, second)] == ["all of it", "enough", "enough", "all of it"]


def test_the_first_reason_stays() -> None:
    token = CancellationToken()
    token.cancel("first")
    token.cancel("second")
    assert token.reason == "first"
    silent = CancellationToken()
    silent.cancel()
    silent.cancel("late")
    assert silent.reason is None


def test_a_child_of_a_cancelled_token_is_cancelled_for_the_same_reason() -> None:
    token = CancellationToken()
    token.cancel("over")
    assert (token.child().cancelled, token.child().reason) == (True, "over")


@pytest.mark.parametrize(
    ("reason", "message"), [("no longer needed", "cancelled: no longer needed"), (None, "cancelled")]
)
def test_raising_says_the_reason(reason: str | None, message: str) -> None:
    token = CancellationToken()
    token.raise_if_cancelled()
    token.cancel(reason)
    with pytest.raises(Cancelled) as caught:
        token.raise_if_cancelled()
    assert (str(caught.value), caught.value.reason) == (message, reason)


def test_it_says_what_it_is() -> None:
    token = CancellationToken()
    assert repr(token) == "CancellationToken(not cancelled)"
    token.child().cancel()
    silent = token.child()
    silent.cancel()
    assert repr(silent) == "CancellationToken(cancelled)"
    token.cancel("enough")
    assert repr(token) == "CancellationToken(cancelled: enough)"


# -- callbacks --------------------------------------------------------------------------------------------------------


def test_callbacks_are_called_once_in_order_a_parents_before_its_childrens() -> None:
    said: list[Any] = []
    parent = CancellationToken()
    children = [parent.child() for _ in range(3)]
    for index, child in reversed(list(enumerate(children))):
        child.on_cancel(lambda reason, index=index: said.append((index, reason)))
    parent.on_cancel(lambda reason: said.append(("a", reason)))
    parent.on_cancel(lambda reason: said.append(("b", reason)))
    parent.cancel("x")
    parent.cancel("y")
    assert said == [("a", "x"), ("b", "x"), (0, "x"), (1, "x"), (2, "x")]


def test_a_callback_of_a_cancelled_token_is_called_at_once() -> None:
    token, said = CancellationToken(), []
    token.cancel("x")
    token.on_cancel(said.append)()
    assert said == ["x"]


def test_a_callback_that_was_taken_back_is_not_called() -> None:
    token, said = CancellationToken(), []
    remove = token.on_cancel(said.append)
    token.on_cancel(said.append)  # the same once more: each is its own
    remove()
    remove()
    token.cancel("x")
    assert said == ["x"]


def test_a_callback_that_raises_keeps_no_other_from_being_called() -> None:
    parent, said = CancellationToken(), []
    child = parent.child()

    def fail(reason: str | None) -> None:
        raise KeyError(reason)

    parent.on_cancel(fail)
    parent.on_cancel(said.append)
    child.on_cancel(said.append)
    with pytest.raises(KeyError):
        parent.cancel("x")
    assert (said, child.cancelled) == (["x", "x"], True)


def test_the_errors_of_several_callbacks_are_raised_together() -> None:
    token = CancellationToken()

    def fail(reason: str | None) -> None:
        raise KeyError(reason)

    token.on_cancel(fail)
    token.on_cancel(fail)
    with pytest.raises(ExceptionGroup) as caught:
        token.cancel("x")
    assert caught.value.message == "callbacks of a cancelled token failed"
    assert [type(e) for e in caught.value.exceptions] == [KeyError, KeyError]


def test_a_callback_may_cancel_ask_and_make_children() -> None:
    token, seen = CancellationToken(), []

    def again(reason: str | None) -> None:
        token.cancel("again")
        seen.append((token.cancelled, token.child().cancelled, token.reason))

    token.on_cancel(again)
    token.cancel("x")
    assert seen == [(True, True, "x")]


# -- memory -----------------------------------------------------------------------------------------------------------


def test_a_child_that_nobody_holds_is_gone() -> None:
    parent = CancellationToken()
    kept = parent.child()
    known = [weakref.ref(parent.child()) for _ in range(1000)]
    assert [k() for k in known] == [None] * 1000
    assert len(parent._children or ()) == 1
    parent.cancel()
    assert kept.cancelled


def test_a_child_keeps_the_chain_above_it() -> None:
    top = CancellationToken()
    bottom = top.child().child().child()
    gc.collect()
    top.cancel("x")
    assert bottom.reason == "x"


def test_a_chain_may_be_longer_than_the_stack() -> None:
    top = CancellationToken()
    chain = [top]
    for _ in range(20_000):
        chain.append(chain[-1].child())
    top.cancel("x")
    assert chain[-1].reason == "x"


# -- waiting ----------------------------------------------------------------------------------------------------------


async def test_waiting_ends_with_the_reason_also_when_it_is_over_already() -> None:
    token = CancellationToken()
    waiting = [asyncio.ensure_future(token.child().wait_cancelled()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(w.done() for w in waiting)
    token.cancel("x")
    assert await asyncio.gather(*waiting) == ["x"] * 3
    assert await token.wait_cancelled() == "x"


async def test_who_stops_waiting_leaves_nothing_behind() -> None:
    token = CancellationToken()
    waiting = asyncio.ensure_future(token.wait_cancelled())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert token._callbacks == {}


def test_loops_in_several_threads_wait_for_one_token_cancelled_in_another() -> None:
    token = CancellationToken()
    said: list[str | None] = []
    ready = threading.Barrier(5)

    async def wait() -> None:
        waiting = asyncio.ensure_future(token.wait_cancelled())
        await asyncio.sleep(0)
        ready.wait(10)
        said.append(await waiting)

    threads = [threading.Thread(target=asyncio.run, args=(wait(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait(10)
    token.cancel("from outside")
    for thread in threads:
        thread.join(10)
    assert said == ["from outside"] * 4


def test_a_signal_handler_may_cancel_while_the_loop_sleeps() -> None:
    token = CancellationToken()
    before = signal.signal(signal.SIGUSR1, lambda *_: token.cancel("signal"))
    try:

        async def wait() -> str | None:
            loop = asyncio.get_running_loop()
            sender = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
            loop.call_soon(sender.start)
            return await asyncio.wait_for(token.wait_cancelled(), 10)

        began = time.monotonic()
        assert asyncio.run(wait()) == "signal"
        assert time.monotonic() - began < 5, "without a wake-up the loop sleeps until the 10 s are over"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_loop_that_is_closed_is_no_trouble() -> None:
    token = CancellationToken()

    async def leave() -> None:
        left.append(loop.create_task(token.wait_cancelled()))
        await asyncio.sleep(0)

    left: list[asyncio.Task[Any]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    pending = asyncio.all_tasks(loop)
    assert pending == set(left)
    loop.close()
    token.cancel("x")
    for task in pending:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.get_coro().close()


def test_cancelled_from_many_threads_at_once_there_is_one_reason_and_one_call() -> None:
    for _ in range(50):
        token = CancellationToken()
        children: list[CancellationToken] = []
        said: list[str | None] = []
        token.on_cancel(said.append)
        start = threading.Barrier(6)

        def cancel(name: str, token: CancellationToken = token, start: threading.Barrier = start) -> None:
            start.wait(10)
            token.cancel(name)

        def multiply(
            token: CancellationToken = token,
            start: threading.Barrier = start,
            children: list[CancellationToken] = children,
        ) -> None:
            start.wait(10)
            children.extend(token.child() for _ in range(50))

        threads = [threading.Thread(target=cancel, args=(str(i),)) for i in range(3)]
        threads += [threading.Thread(target=multiply) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert said == [token.reason]
        assert {child.reason for child in children} == {token.reason}


# -- deadlines --------------------------------------------------------------------------------------------------------


def in_fake_time(main: Callable[[FakeClock], Any]) -> Any:
    clock = FakeClock()
    return clock.run(main(clock))


def live_timers() -> list[asyncio.TimerHandle]:
    return [h for h in asyncio.get_running_loop()._scheduled if not h.cancelled()]  # type: ignore[attr-defined]


def test_a_deadline_cancels_when_its_time_has_come() -> None:
    async def main(clock: FakeClock) -> None:
        token = CancellationToken()
        assert token.deadline(30) is token
        assert await token.wait_cancelled() == "deadline"
        assert clock.monotonic() == 30
        assert live_timers() == []

    in_fake_time(main)


def test_a_second_deadline_replaces_the_first() -> None:
    async def main(clock: FakeClock) -> None:
        token = CancellationToken().deadline(5).deadline(60)
        assert len(live_timers()) == 1
        await token.wait_cancelled()
        assert clock.monotonic() == 60

    in_fake_time(main)


def test_a_childs_deadline_leaves_its_parent() -> None:
    async def main(clock: FakeClock) -> None:
        parent = CancellationToken()
        child = parent.child().deadline(5)
        await child.wait_cancelled()
        assert not parent.cancelled

    in_fake_time(main)


def test_cancelled_earlier_there_is_no_timer_left() -> None:
    async def main(clock: FakeClock) -> None:
        token = CancellationToken().deadline(60)
        child = token.child().deadline(30)
        token.cancel("earlier")
        assert live_timers() == []
        assert child.deadline(10).reason == "earlier"
        assert live_timers() == []

    in_fake_time(main)


def test_cancelled_from_another_thread_there_is_no_timer_left_either() -> None:
    async def main() -> None:
        token = CancellationToken().deadline(60)
        thread = threading.Thread(target=token.cancel)
        thread.start()
        thread.join()
        await token.wait_cancelled()
        await asyncio.sleep(0)
        assert live_timers() == []

    asyncio.run(main())


def test_a_token_that_nobody_holds_leaves_no_timer() -> None:
    async def main(clock: FakeClock) -> None:
        known = weakref.ref(CancellationToken().deadline(60))
        assert known() is None
        assert live_timers() == []

    in_fake_time(main)


def test_without_a_loop_a_thread_waits() -> None:
    token, told = CancellationToken(), threading.Event()
    token.on_cancel(lambda _: told.set())
    token.deadline(0.01)
    assert told.wait(10)
    assert token.reason == "deadline"


def test_without_a_loop_no_thread_is_left_when_it_was_cancelled_earlier() -> None:
    before = threading.active_count()
    token = CancellationToken().deadline(3600)
    assert threading.active_count() == before + 1
    [waiting] = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
    token.cancel()
    waiting.join(10)
    assert threading.active_count() == before


def test_a_timer_of_ones_own_may_be_used() -> None:
    class Timer:
        def __init__(self, seconds: float, act: Callable[[], None]) -> None:
            self.seconds, self.act, self.stopped = seconds, act, False
            made.append(self)

        def cancel(self) -> None:
            self.stopped = True

    made: list[Timer] = []
    token = CancellationToken().deadline(7, timer=Timer)
    assert made[0].seconds == 7
    made[0].act()
    assert (token.reason, made[0].stopped) == ("deadline", True)


def test_no_time_at_all_cancels_at_once() -> None:
    assert CancellationToken().deadline(0).reason == "deadline"


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, True, "3", None])
def test_a_deadline_that_is_no_time_is_refused(seconds: Any) -> None:
    token = CancellationToken()
    with pytest.raises(InputError) as caught:
        token.deadline(seconds)
    assert str(caught.value) == f"the deadline is {seconds!r}; it must be a number of seconds of 0 or more"
    assert not token.cancelled


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
