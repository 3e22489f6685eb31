"""Threads: bounded, abandoned at the deadline, never waited for."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from weft.backends.thread import ThreadPool
from weft.errors import AttemptError

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool():
    pool = ThreadPool(2)
    yield pool
    pool.close()


def ident() -> int:
    return threading.get_ident()


async def test_a_function_gets_its_arguments_by_reference(pool):
    thing = object()
    assert await pool.call(lambda a, *, b: (a, b), {"a": thing, "b": 2}) == (thing, 2)


async def test_an_exception_is_the_functions_own(pool):
    error = KeyError("k")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await pool.call(fail, {})
    assert caught.value is error


@pytest.mark.parametrize(
    ("left_by", "message"),
    [
        (SystemExit(3), "the function tried to end the program (SystemExit: 3)"),
        (KeyboardInterrupt(), "the function tried to end the program (KeyboardInterrupt)"),
    ],
)
async def test_a_function_cannot_end_the_engine(pool, left_by, message):
    def leave() -> None:
        raise left_by

    with pytest.raises(AttemptError) as caught:
        await pool.call(leave, {})
    assert (caught.value.message, caught.value.retryable) == (message, False)


async def test_a_stop_iteration_arrives(pool):
    def stop() -> None:
        raise StopIteration("x")

    with pytest.raises(RuntimeError, match="the function raised StopIteration: x"):
        await pool.call(stop, {})


async def test_context_variables_go_in_and_do_not_come_back(pool):
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)

    def change() -> int:
        seen = variable.get()
        variable.set(6)
        return seen

    assert await pool.call(change, {}) == 5
    assert await pool.call(variable.get, {}) == 5


async def test_threads_are_started_on_demand_and_kept():
    pool = ThreadPool(2, name="of this test")
    idents = {await pool.call(ident, {}) for _ in range(20)}
    assert len(idents) == 1
    assert [thread.name for thread in threading.enumerate()].count("of this test") == 1
    pool.close()


async def test_no_more_than_its_size_run_at_once(pool):
    gate, running, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 2:
                gate.set()
        gate.wait(5)
        with lock:
            running -= 1

    await asyncio.gather(*(pool.call(work, {}) for _ in range(10)))
    assert most == 2


async def test_cancelled_a_call_fails_at_once_and_its_late_result_is_dropped_and_counted(pool):
    inside, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def hang() -> str:
        inside.set()
        gate.wait(10)
        ended.set()
        return "late"

    task = asyncio.create_task(pool.call(hang, {}))
    await asyncio.to_thread(inside.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (pool.abandoned, ended.is_set()) == (1, False)
    gate.set()
    assert await asyncio.to_thread(ended.wait, 5)


async def test_abandoned_threads_hold_no_place(pool):
    gate = threading.Event()
    inside = threading.Semaphore(0)

    def hang() -> None:
        inside.release()
        gate.wait(10)

    for _ in range(3):
        tasks = [asyncio.create_task(pool.call(hang, {})) for _ in range(2)]
        waiting = asyncio.create_task(pool.call(ident, {}))  # behind them: there is no thread for it yet
        for _ in tasks:
            await asyncio.to_thread(inside.acquire)
        assert not waiting.done()
        for task in tasks:
            task.cancel()
        assert isinstance(await waiting, int)
    assert pool.abandoned == 6
    gate.set()


async def test_cancelled_before_it_started_a_function_never_runs(pool):
    gate, ran = threading.Event(), []
    blockers = [asyncio.create_task(pool.call(gate.wait, {})) for _ in range(2)]
    await asyncio.sleep(0)
    task = asyncio.create_task(pool.call(lambda: ran.append(1), {}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await asyncio.gather(*blockers)
    await pool.call(ident, {})
    assert (ran, pool.abandoned) == ([], 0)


async def test_a_system_without_threads_is_a_retryable_failure(pool, monkeypatch):
    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(AttemptError) as caught:
            await pool.call(ident, {})
    assert (caught.value.type, caught.value.retryable) == ("Resources", True)
    assert caught.value.message == "cannot start a thread: can't start new thread"
    assert await pool.call(ident, {})


def test_the_interpreter_does_not_wait_for_a_function_that_hangs(engine):
    program = """
import asyncio, threading
from weft.backends.thread import ThreadPool

async def main():
    pool, inside = ThreadPool(2), threading.Event()
    def hang():
        inside.set()
        threading.Event().wait()
    task = asyncio.create_task(pool.call(hang, {}))
    while not inside.is_set():
        await asyncio.sleep(0)
    task.cancel()
    print("done", flush=True)
asyncio.run(main())
"""
    process = engine(program)
    assert process.communicate(timeout=5)[0] == "done\n"
    assert process.returncode == 0
