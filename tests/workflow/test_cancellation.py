"""A cancelled run ends soon, as cancelled, with nothing left running; so does one whose caller goes away."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.event_types import CancelRequested
from weft.testing import FakeClock
from workflow.stubborn import never_ending


def steps(log: list[str]) -> weft.Workflow:
    """first (1 s) -> second (100 s) -> third; each says when it begins and how it ends."""
    flow = weft.Workflow("test")

    def step(name: str, seconds: float) -> Any:
        async def work() -> str:
            log.append(f"+{name}")
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                log.append(f"!{name}")
                raise
            log.append(f"-{name}")
            return name

        return work

    flow.add_task(step("first", 1), id="first")
    flow.add_task(step("second", 100), id="second", needs=["first"])
    flow.add_task(step("third", 1), id="third", needs=["second"])
    return flow


def test_a_token_that_was_cancelled_before_lets_nothing_start() -> None:
    log: list[str] = []
    token = weft.CancellationToken()
    token.cancel("never mind")
    result = FakeClock().run(steps(log).execute(token=token))
    assert result.status == "cancelled"
    assert log == []
    assert [(e.by, e.reason) for e in result.events if isinstance(e, CancelRequested)] == [("token", "never mind")]
    result.raise_for_status()  # a cancelled run has not failed


def test_a_token_that_is_cancelled_stops_what_runs() -> None:
    log: list[str] = []

    async def main() -> weft.RunResult:
        token = weft.CancellationToken()
        asyncio.get_running_loop().call_later(5, token.cancel, "enough")
        return await steps(log).execute(token=token)

    result = FakeClock().run(main())
    assert log == ["+first", "-first", "+second", "!second"]
    assert {name: node.status for name, node in result.tasks.items()} == {
        "first": "succeeded",
        "second": "cancelled",
        "third": "skipped",
    }
    assert (result.status, result.errors, result.exit_code) == ("cancelled", [], 130)
    assert result.duration == pytest.approx(5.0)
    assert result["second"].error is not None
    assert result["second"].error.type == "Cancelled"
    assert "enough" in result["second"].error.message


def test_a_token_may_be_cancelled_from_another_thread() -> None:
    log: list[str] = []
    token = weft.CancellationToken()
    flow = weft.Workflow("test")
    running = threading.Event()

    @flow.task
    async def work() -> None:
        running.set()
        await asyncio.sleep(60)

    def cancel() -> None:
        assert running.wait(10)
        token.cancel("from afar")

    other = threading.Thread(target=cancel)
    other.start()
    began = time.monotonic()
    result = flow.run(token=token)
    other.join()
    assert time.monotonic() - began < 10
    assert result.status == "cancelled"
    assert log == []


def test_the_deadline_of_a_token_is_one_of_the_run() -> None:
    async def main() -> weft.RunResult:
        return await steps([]).execute(token=weft.CancellationToken().deadline(7))

    result = FakeClock().run(main())
    assert (result.status, result.duration) == ("cancelled", pytest.approx(7.0))


def test_a_run_whose_own_time_is_up_has_failed_and_says_so() -> None:
    result = FakeClock().run(steps([]).execute(timeout=7))
    assert (result.status, result.duration) == ("failed", pytest.approx(7.0))
    (error,) = result.errors
    assert (error.path, error.error.type, error.error.message) == ("test", "Timeout", "the run took longer than 7 s")
    with pytest.raises(weft.WorkflowFailed, match="the run took longer than 7 s"):
        result.raise_for_status()


def test_a_run_that_ends_in_time_leaves_no_callback_at_the_token() -> None:
    token = weft.CancellationToken()
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="one")
    result = flow.run(token=token, timeout=50)
    token.cancel("too late")
    assert result.status == "succeeded"


# -- the token of a context -------------------------------------------------------------------------------------------


def seen_by_a_thread(flow: weft.Workflow, seen: list[str | None], **settings: Any) -> None:
    """Add a blocking task that waits for its token, and notes why it was cancelled."""

    def blocking(ctx: weft.TaskContext) -> None:
        token = ctx.token
        deadline = time.monotonic() + 10
        while not token.cancelled and time.monotonic() < deadline:
            time.sleep(0.005)
        seen.append(token.reason)

    flow.add_task(blocking, **settings)


def wait_for(seen: list[Any]) -> None:
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        time.sleep(0.005)


def test_the_token_of_a_context_is_cancelled_by_the_timeout_of_its_task() -> None:
    flow = weft.Workflow("test")
    seen: list[str | None] = []
    seen_by_a_thread(flow, seen, timeout=0.1)
    flow.run(check=False)
    wait_for(seen)
    assert seen == ["took longer than 0.1 s and was stopped"]


def test_the_token_of_a_context_is_cancelled_when_a_sibling_fails() -> None:
    flow = weft.Workflow("test", on_failure="cancel")
    seen: list[str | None] = []
    seen_by_a_thread(flow, seen)

    @flow.task
    async def fails() -> None:
        await asyncio.sleep(0.05)
        raise OSError("no")

    flow.run(check=False)
    wait_for(seen)
    assert len(seen) == 1
    assert "fails" in str(seen[0])


def test_the_token_of_a_context_is_a_child_of_the_token_of_the_run() -> None:
    token = weft.CancellationToken()
    flow = weft.Workflow("test")
    inner: list[weft.CancellationToken] = []

    @flow.task
    async def cancels_its_own(ctx: weft.TaskContext) -> str:
        inner.append(ctx.token)
        ctx.token.cancel("mine")
        return "went on"

    @flow.task(needs=["cancels_its_own"])
    async def waits(ctx: weft.TaskContext) -> None:
        inner.append(ctx.token)
        asyncio.get_running_loop().call_later(1, token.cancel, "all of it")
        await ctx.token.wait_cancelled()

    result = FakeClock().run(flow.execute(token=token))
    assert result["cancels_its_own"].output == "went on", "a child never cancels its parent"
    assert result.status == "cancelled"
    assert [each.reason for each in inner] == ["mine", "all of it"]


# -- the caller goes away ---------------------------------------------------------------------------------------------


def left_over(before: set[threading.Thread]) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread not in before and thread.name.startswith("weft")]


@pytest.mark.parametrize("journaled", [False, True])
def test_a_caller_that_is_cancelled_leaves_nothing_running(journaled: bool, tmp_path: Path) -> None:
    log: list[str] = []
    others: list[Any] = []
    threads = set(threading.enumerate())  # a command that a test before this one ran in this process has its writers

    async def main() -> None:
        before = asyncio.all_tasks()
        journal = tmp_path if journaled else None
        run = asyncio.create_task(steps(log).execute(journal=journal))
        await asyncio.sleep(5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        others.extend(asyncio.all_tasks() - before)

    FakeClock(patience=0.002 if journaled else 0).run(main())
    assert log == ["+first", "-first", "+second", "!second"]
    assert others == []
    deadline = time.monotonic() + 5
    while left_over(threads) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left_over(threads) == []


def test_a_caller_that_is_cancelled_does_not_wait_for_ever_for_what_does_not_end() -> None:
    flow = weft.Workflow("test")
    free: list[bool] = []

    flow.add_task(never_ending(free))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flow.execute(), 5)
        free.append(True)
        await asyncio.sleep(2)

    clock = FakeClock()
    clock.run(main())
    assert clock.monotonic() < 30


def test_a_run_whose_caller_went_away_can_be_resumed(tmp_path: Path) -> None:
    log: list[str] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(steps(log).execute(journal=tmp_path), 5)

    FakeClock(patience=0.002).run(main())
    log.clear()
    result = FakeClock(patience=0.002).run(weft.resume("last", steps(log), journal=tmp_path))
    assert result.status == "succeeded"
    assert log == ["+second", "-second", "+third", "-third"]
    assert result["first"].output == "first"


def test_map_tasks_and_combinators_are_cancelled_inside() -> None:
    running: set[int] = set()
    flow = weft.Workflow("test")

    async def work(item: int) -> None:
        running.add(item)
        try:
            await asyncio.sleep(100)
        finally:
            running.discard(item)

    flow.map_task(weft.Sequence(weft.Timeout(work, 90)), [1, 2, 3, 4], id="it", concurrency=2)

    async def main() -> weft.RunResult:
        token = weft.CancellationToken()
        loop = asyncio.get_running_loop()
        most: list[int] = []
        loop.call_later(4, lambda: most.append(len(running)))
        loop.call_later(5, token.cancel)
        result = await flow.execute(token=token)
        assert most == [2]
        return result

    result = FakeClock().run(main())
    assert result.status == "cancelled"
    assert running == set()
    assert result.duration == pytest.approx(5.0)


# -- and is undone ----------------------------------------------------------------------------------------------------


def test_a_cancelled_run_is_rolled_back() -> None:
    undone: list[Any] = []
    flow = weft.Workflow("test")

    async def undo(value: Any) -> None:
        undone.append(value)

    @flow.task(compensate=undo)
    async def first() -> str:
        return "made"

    @flow.task(needs=["first"], compensate=undo)
    async def second() -> str:
        await asyncio.sleep(100)
        return "never"

    async def main() -> weft.RunResult:
        return await flow.execute(token=weft.CancellationToken().deadline(5))

    result = FakeClock().run(main())
    assert result.status == "cancelled"
    assert undone == [None, "made"], "what was started and not completed first, with nothing in its hand"
    assert result.rollback is not None
    assert result.rollback.rolled_back == ("second", "first")


def test_a_run_whose_time_is_up_is_rolled_back() -> None:
    undone: list[Any] = []
    flow = steps([])
    flow.add_task(lambda: "made", id="made", compensate=lambda made: undone.append(made))
    result = FakeClock(patience=0.05).run(flow.execute(timeout=5))
    assert result.status == "failed"
    assert undone == ["made"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("enough", "enough"), (ValueError("no more"), "no more"), ("\ud800", "\\ud800"), (7, "7")],
)
def test_whatever_is_said_as_a_reason_is_written_down(reason: Any, told: str, tmp_path: Path) -> None:
    token = weft.CancellationToken()
    flow = weft.Workflow("test")

    @flow.task
    async def task() -> None:
        token.cancel(reason)
        await asyncio.sleep(60)

    result = flow.run(token=token, journal=tmp_path)
    assert result.status == "cancelled"
    asked = [e for e in weft.events(result.run_id, journal=tmp_path) if isinstance(e, CancelRequested)]
    assert [e.reason for e in asked] == [told]
