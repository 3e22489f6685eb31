"""What does not obey when it is stopped has ended all the same for its run, which waits for nobody for ever."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import weft
from weft.testing import FakeClock
from workflow.stubborn import never_ending
from workflow.test_failures import flow_of, raises, virtual


async def swallows() -> str:
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        await asyncio.sleep(0.5)
    return "as if nothing had happened"


def test_a_task_that_swallows_its_cancellation_has_timed_out_all_the_same() -> None:
    flow = weft.Workflow("test")
    flow.add_task(swallows, timeout=5)
    result = virtual(flow)
    node = result["swallows"]
    assert node.error is not None
    assert (node.status, node.error.type) == ("failed", "Timeout")
    assert node.output is None


async def raises_instead() -> str:
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        raise OSError("the connection was closed") from None
    return ""


def test_a_task_that_raises_something_else_when_its_time_is_up_has_timed_out_all_the_same() -> None:
    flow = weft.Workflow("test")
    flow.add_task(raises_instead, timeout=5)
    error = virtual(flow)["raises_instead"].error
    assert error is not None
    assert error.type == "Timeout"
    assert error.cause == "OSError: the connection was closed"


def test_what_was_done_in_spite_of_a_cancellation_is_done_and_is_undone_with_its_output() -> None:
    flow = flow_of(raises, on_failure="cancel")
    undone: list[str] = []

    async def undo(output: str) -> None:
        undone.append(output)

    flow.add_task(swallows, compensate=undo)
    result = virtual(flow)
    assert (result.status, result["swallows"].status) == ("failed", "succeeded")
    assert undone == ["as if nothing had happened"]


def test_a_task_that_never_ends_does_not_hold_the_cancellation_of_its_run() -> None:
    flow = flow_of(raises, on_failure="cancel")
    free: list[bool] = []

    flow.add_task(never_ending(free))

    async def main() -> weft.RunResult:
        result = await asyncio.wait_for(flow.execute(), 500)
        free.append(True)
        await asyncio.sleep(2)
        return result

    result = FakeClock().run(main())
    assert (result.status, result["stubborn"].status, result.abandoned) == ("failed", "cancelled", 1)
    assert result.duration == pytest.approx(7.0)


def test_a_run_in_a_loop_of_its_own_does_not_wait_for_what_it_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.engine.attempt.GRACE", 0.1)
    flow = weft.Workflow("test")
    began = time.monotonic()

    @flow.task(timeout=0.1)
    async def stubborn() -> None:
        while time.monotonic() < began + 20:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    result = flow.run(check=False)
    assert time.monotonic() - began < 10
    assert (result.status, result.abandoned) == ("failed", 1)


def test_a_task_that_never_ends_does_not_hold_the_run() -> None:
    flow = weft.Workflow("test")
    free = []

    flow.add_task(never_ending(free), timeout=5)

    @flow.task
    async def beside() -> str:
        return "done"

    clock = FakeClock()

    async def main() -> weft.RunResult:
        result = await asyncio.wait_for(flow.execute(), 500)
        free.append(True)
        await asyncio.sleep(2)
        return result

    result = clock.run(main())
    node = result["stubborn"]
    assert node.error is not None
    assert (node.status, node.error.type) == ("failed", "Timeout")
    assert result["beside"].output == "done"
    assert result.abandoned == 1
    assert result.duration is not None
    assert result.duration < 60


def test_a_blocking_function_that_never_ends_does_not_hold_the_run() -> None:
    flow = weft.Workflow("test")
    free = threading.Event()
    seen: list[str | None] = []

    @flow.task(timeout=0.1)
    def stubborn(ctx: weft.TaskContext) -> None:
        token = ctx.token
        free.wait(10)
        seen.append(token.reason)

    began = time.monotonic()
    result = flow.run(check=False)
    assert time.monotonic() - began < 5
    free.set()
    node = result["stubborn"]
    assert node.error is not None
    assert (node.status, node.error.type) == ("failed", "Timeout")
    deadline = time.monotonic() + 5
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == ["took longer than 0.1 s and was stopped"]
