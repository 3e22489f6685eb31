"""Each way in which a task can fail is told from the others, blamed on the right id, and keeps message and cause."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import weft
from weft.event_types import AttemptFailed, RetryScheduled
from weft.testing import FakeClock
from workflow import elsewhere

SCHEDULES = ("dataflow", "waves", "sequential")
Function = Callable[..., Any]


def virtual(flow: weft.Workflow, **options: Any) -> weft.RunResult:
    """Run in a time of its own."""
    return FakeClock().run(flow.execute(**options))


def flow_of(*functions: Function, **settings: Any) -> weft.Workflow:
    flow = weft.Workflow("test", **settings)
    for function in functions:
        flow.add_task(function)
    return flow


async def fine() -> str:
    await asyncio.sleep(1)
    return "fine"


async def later() -> str:
    await asyncio.sleep(60)
    return "later"


async def raises() -> None:
    await asyncio.sleep(2)
    try:
        {}["gone"]
    except KeyError as error:
        raise RuntimeError("it broke") from error


async def blocked() -> weft.TaskResult:
    await asyncio.sleep(2)
    return weft.TaskResult("BLOCKED", observations=["no key"], error="no access")


async def replan() -> weft.TaskResult:
    await asyncio.sleep(2)
    return weft.TaskResult("NEEDS_REPLAN", error="the plan is wrong")


async def partial() -> weft.TaskResult:
    await asyncio.sleep(2)
    return weft.TaskResult("PARTIAL", files_modified=["a.py"], error="half of it")


async def slow() -> None:
    await asyncio.sleep(1000)


# -- told apart -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_way_to_fail_is_told_apart_under_every_schedule(schedule: str) -> None:
    flow = flow_of(fine, raises, blocked, replan, partial, on_failure="continue")
    flow.add_task(slow, timeout=5)

    @flow.task(needs=["raises"])
    async def after() -> None: ...

    result = virtual(flow, schedule=schedule)
    told = {
        name: (node.status, node.error and (node.error.type, node.error.message)) for name, node in result.tasks.items()
    }
    assert told == {
        "fine": ("succeeded", None),
        "raises": ("failed", ("RuntimeError", "it broke")),
        "blocked": ("failed", ("Blocked", "no access")),
        "replan": ("failed", ("NeedsReplan", "the plan is wrong")),
        "partial": ("succeeded", None),
        "slow": ("failed", ("Timeout", "took longer than 5 s and was stopped")),
        "after": ("skipped", None),
    }
    assert result.status == "issues"
    assert sorted(error.path for error in result.errors) == ["blocked", "raises", "replan", "slow"]
    assert {node.attempts for name, node in result.tasks.items() if name != "after"} == {1}
    assert result["after"].reason == "raises failed"
    assert result["raises"].error is not None
    assert result["raises"].error.cause == "KeyError: 'gone'"


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("function", [raises, blocked, replan])
def test_a_failure_fails_the_run_under_every_schedule(schedule: str, function: Function) -> None:
    flow = flow_of(fine, function)
    flow.add_task(fine, id="after", needs=[function])
    result = virtual(flow, schedule=schedule)
    assert result.status == "failed"
    assert [error.path for error in result.errors] == [function.__name__]
    assert {name: node.status for name, node in result.tasks.items()} == {
        "fine": "succeeded",
        function.__name__: "failed",
        "after": "skipped",
    }
    assert result["after"].reason == f"never started: {function.__name__} failed"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_killed_process_is_blamed_under_every_schedule(schedule: str) -> None:
    flow = weft.Workflow("test", on_failure="continue")
    flow.add_task(elsewhere.die, isolation="process")
    flow.add_task(fine)
    result = FakeClock(patience=0.3).run(flow.execute(schedule=schedule))  # type: ignore[arg-type]
    assert {name: node.status for name, node in result.tasks.items()} == {"die": "failed", "fine": "succeeded"}
    assert [(error.path, error.error.type) for error in result.errors] == [("die", "WorkerDied")]


@pytest.mark.parametrize("schedule", ["dataflow", "waves"])
def test_a_cancelled_sibling_is_no_failure(schedule: str) -> None:
    flow = flow_of(raises, later, on_failure="cancel")
    result = virtual(flow, schedule=schedule)
    assert result.status == "failed"
    assert [error.path for error in result.errors] == ["raises"]
    assert result["later"].status == "cancelled"
    assert result["later"].error is not None
    assert result["later"].error.type == "Cancelled"
    assert "raises" in result["later"].error.message


def test_the_cause_of_a_failure_is_the_exception_itself() -> None:
    result = virtual(flow_of(raises))
    (error,) = result.errors
    assert isinstance(error, weft.NodeFailed)
    assert isinstance(error.__cause__, RuntimeError)
    assert str(error) == "raises: it broke"
    assert isinstance(error.__cause__.__cause__, KeyError)
    assert error.__cause__.__traceback__ is not None


def test_workflow_failed_has_every_error_and_the_result() -> None:
    flow = flow_of(raises, blocked, fine)
    with pytest.raises(weft.WorkflowFailed) as raised:
        virtual(flow).raise_for_status()
    failed = raised.value
    assert sorted(error.path for error in failed.exceptions if isinstance(error, weft.NodeFailed)) == [
        "blocked",
        "raises",
    ]
    assert failed.result["fine"].output == "fine"
    assert "2 nodes failed; first: " in str(failed)
    assert failed.subgroup(lambda error: isinstance(error.__cause__, RuntimeError)) is not None


def test_one_error_reads_as_that_error() -> None:
    with pytest.raises(weft.WorkflowFailed, match=r"raises: it broke") as raised:
        virtual(flow_of(raises)).raise_for_status()
    assert len(raised.value.exceptions) == 1


@pytest.mark.parametrize("function", [blocked, replan])
@pytest.mark.parametrize("journaled", [False, True])
def test_a_task_that_says_no_is_not_retried_and_its_result_is_on_record(
    function: Function, journaled: bool, tmp_path: Any
) -> None:
    flow = weft.Workflow("test")
    calls: list[int] = []

    @flow.task(retry=5, id="task")
    async def task(ctx: weft.TaskContext) -> weft.TaskResult:
        calls.append(ctx.attempt)
        return await function()

    result = FakeClock(patience=0.02 if journaled else 0).run(flow.execute(journal=tmp_path if journaled else None))
    assert calls == [1]
    assert result["task"].status == "failed"
    output = result["task"].output
    expected = FakeClock().run(function())
    assert output == (json.loads(expected.to_json()) if journaled else expected)
    (error,) = result.errors
    assert isinstance(error.__cause__, weft.TaskBlocked)
    assert error.__cause__.result == expected


def test_what_is_done_in_part_is_done_with_an_issue() -> None:
    flow = flow_of(partial)

    @flow.task
    async def after(partial: weft.TaskResult) -> list[str]:
        return partial.files_modified

    result = virtual(flow)
    assert result.status == "issues"
    assert result["partial"].status == "succeeded"
    assert result["after"].output == ["a.py"]
    assert result.exit_code == 2
    assert "half of it" in result["partial"].reason


def test_a_complete_task_result_is_an_output() -> None:
    flow = weft.Workflow("test")
    done = weft.TaskResult("COMPLETE", metrics=weft.TaskResultMetrics(tokens_used=10))
    flow.add_task(lambda: done, id="one")
    result = flow.run()
    assert result.status == "succeeded"
    assert result["one"].output is done


# -- what a failure does to the others --------------------------------------------------------------------------------


def diamond(on_failure: str) -> weft.RunResult:
    """left fails after 2 s; right takes 10 s; join needs both; beside is free and needs a slow one."""
    flow = weft.Workflow("test", on_failure=on_failure)  # type: ignore[arg-type]

    @flow.task
    async def left() -> None:
        await asyncio.sleep(2)
        raise OSError("left")

    @flow.task
    async def right() -> int:
        await asyncio.sleep(10)
        return 1

    @flow.task
    async def join(left: int, right: int) -> None: ...

    @flow.task
    async def beside(right: int) -> int:
        return right + 1

    return virtual(flow)


@pytest.mark.parametrize(
    ("on_failure", "right", "beside", "seconds"),
    [
        ("finish", "succeeded", "skipped", 10),
        ("cancel", "cancelled", "skipped", 2),
        ("continue", "succeeded", "succeeded", 10),
    ],
)
def test_the_policy_decides_what_the_others_do(on_failure: str, right: str, beside: str, seconds: float) -> None:
    result = diamond(on_failure)
    assert result.status == ("issues" if on_failure == "continue" else "failed")
    assert [error.path for error in result.errors] == ["left"]
    assert result["right"].status == right
    assert result["beside"].status == beside
    assert result["join"].status == "skipped"
    assert "left failed" in result["join"].reason
    assert result.duration == pytest.approx(seconds)


# -- skipping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raised", "returned"])
def test_a_skipped_task_is_done_and_gives_nothing(how: str) -> None:
    flow = weft.Workflow("test")

    @flow.task(retry=3)
    async def maybe() -> Any:
        if how == "raised":
            raise weft.Skip("nothing new")
        return weft.Skip("nothing new")

    @flow.task
    async def after(maybe: Any) -> list[Any]:
        return [maybe]

    result = virtual(flow)
    assert result.status == "succeeded"
    assert (result["maybe"].status, result["maybe"].reason) == ("skipped", "nothing new")
    assert result["after"].output == [None]
    assert result.errors == []


@pytest.mark.parametrize("how", ["raised", "returned"])
def test_a_skip_may_take_along_what_depends_on_it(how: str) -> None:
    flow = weft.Workflow("test")
    ran: list[str] = []

    @flow.task
    async def maybe() -> Any:
        skip = weft.Skip("nothing new", skip_dependents=True)
        if how == "raised":
            raise skip
        return skip

    for name, need in (("after", "maybe"), ("last", "after")):
        flow.add_task(lambda name=name: ran.append(name), id=name, needs=[need])
    flow.add_task(lambda: ran.append("beside"), id="beside")
    result = flow.run()
    assert {name: node.status for name, node in result.tasks.items()} == {
        "maybe": "skipped",
        "after": "skipped",
        "last": "skipped",
        "beside": "succeeded",
    }
    assert ran == ["beside"]
    assert result.status == "succeeded"


# -- retries ----------------------------------------------------------------------------------------------------------


def attempts(error: Callable[[], BaseException], **settings: Any) -> int:
    """How often a function that raises this is called."""
    flow = weft.Workflow("test")

    async def task() -> None:
        raise error()

    flow.add_task(task, **settings)
    result = virtual(flow)
    assert result.status == "failed"
    return result["task"].attempts


class Odd(Exception):
    pass


class OwnOdd(Odd):
    pass


def validation() -> weft.ValidationError:
    return weft.ValidationError("the data is wrong")


@pytest.mark.parametrize(
    ("error", "settings", "expected"),
    [
        (OSError, {}, 1),
        (OSError, {"retry": 2}, 3),
        (OSError, {"retry": 0}, 1),
        (OSError, {"retry": weft.Retry(max_attempts=4)}, 4),
        (RuntimeError, {"retry": 2}, 3),
        (ValueError, {"retry": 2}, 3),
        (TypeError, {"retry": 2}, 1),
        (AttributeError, {"retry": 2}, 1),
        (AssertionError, {"retry": 2}, 1),
        (validation, {"retry": 2}, 1),
        (TypeError, {"retry": 2, "retry_on": TypeError}, 3),
        (OwnOdd, {"retry": 2, "retry_on": Odd}, 3),
        (OSError, {"retry": 2, "retry_on": Odd}, 1),
        (OSError, {"retry": 2, "retry_on": (Odd, OSError)}, 3),
        (lambda: Odd("busy"), {"retry": 2, "retry_on": lambda e: "busy" in str(e)}, 3),
        (lambda: Odd("broken"), {"retry": 2, "retry_on": lambda e: "busy" in str(e)}, 1),
        (lambda: weft.AttemptError("no", retryable=False), {"retry": 2}, 1),
        (lambda: weft.AttemptError("maybe", retryable=True), {"retry": 2}, 3),
    ],
)
def test_what_is_tried_again(error: Callable[[], BaseException], settings: dict[str, Any], expected: int) -> None:
    assert attempts(error, **settings) == expected


def test_a_timeout_counts_as_worth_another_try() -> None:
    flow = weft.Workflow("test")
    flow.add_task(slow, timeout=5, retry=weft.Retry(max_attempts=3, base=10, backoff="fixed", jitter="none"))
    result = virtual(flow)
    assert result["slow"].attempts == 3
    assert result.duration == pytest.approx(35.0)


@pytest.mark.parametrize(
    ("backoff", "delays"), [("fixed", [2, 2, 2]), ("linear", [2, 4, 5]), ("exponential", [2, 4, 5])]
)
def test_the_wait_between_attempts_is_that_of_the_policy(backoff: Any, delays: list[float]) -> None:
    flow = weft.Workflow("test")
    starts: list[float] = []
    clock = FakeClock()

    @flow.task(retry=weft.Retry(max_attempts=4, backoff=backoff, base=2, cap=5, jitter="none"))
    async def task() -> None:
        starts.append(clock.monotonic())
        raise OSError("again")

    result = clock.run(flow.execute())
    assert [b - a for a, b in itertools.pairwise(starts)] == pytest.approx(delays)
    assert [e.delay for e in result.events if isinstance(e, RetryScheduled)] == pytest.approx(delays)
    assert len([e for e in result.events if isinstance(e, AttemptFailed)]) == 4


def test_a_condition_of_a_retry_that_fails_itself_does_not_hang_the_run() -> None:
    flow = weft.Workflow("test")

    def broken(error: BaseException) -> bool:
        raise LookupError("the condition is broken")

    @flow.task(retry=2, retry_on=broken)
    async def task() -> None:
        raise OSError("again")

    result = virtual(flow)
    assert result.status == "failed"
    assert result["task"].attempts == 1
    assert result["task"].error is not None
    assert result["task"].error.message == "again (and its retry_on raised LookupError: the condition is broken)"


# -- what would end the program ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_task_cannot_end_the_program(error: BaseException, asynchronous: bool) -> None:
    flow = flow_of(fine)

    async def leaves() -> None:
        raise error

    def leaves_its_thread() -> None:
        raise error

    flow.add_task(leaves if asynchronous else leaves_its_thread, id="leaves", retry=3)
    result = virtual(flow)
    assert result["fine"].status == "succeeded"
    told = result["leaves"].error
    assert told is not None
    assert told.type == type(error).__name__
    assert result["leaves"].attempts == 1


def test_a_task_that_cancels_itself_has_failed_and_does_not_cancel_the_run() -> None:
    flow = flow_of(fine)

    @flow.task
    async def odd() -> None:
        raise asyncio.CancelledError

    result = virtual(flow)
    assert result["fine"].status == "succeeded"
    assert result["odd"].status in ("failed", "cancelled")
    assert result.status == "failed"


class Halt(BaseException):
    """What no `except Exception` sees, as pytest.fail raises it."""


@pytest.mark.parametrize("asynchronous", [True, False])
def test_whatever_a_function_raises_ends_its_task_and_the_run(asynchronous: bool) -> None:
    async def waits() -> None:
        raise Halt("enough")

    def blocks() -> None:
        raise Halt("enough")

    flow = weft.Workflow("test")
    flow.add_task(waits if asynchronous else blocks, id="a")
    result = flow.run(check=False, timeout=20)
    assert result["a"].error is not None
    assert result["a"].error.message == "the function tried to end the program (Halt: enough)"


def test_whatever_an_undo_raises_ends_it_and_the_rollback() -> None:
    async def undo(value: int) -> None:
        raise Halt("enough")

    def fails(a: int, b: int) -> None:
        raise ValueError

    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="a", compensate=undo)
    flow.add_task(lambda a: weft.Compensated(2, undo), id="b")
    flow.add_task(fails)
    result = virtual(flow)
    assert result.rollback is not None
    assert result.rollback.failed == ("b", "a")


def test_whatever_an_async_generator_raises_ends_its_map() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise Halt("enough")

    flow = weft.Workflow("test")
    flow.map_task(lambda item: item, over=items(), id="m")
    result = flow.run(check=False)
    assert result["m"].error is not None
    assert result["m"].error.message == "the function tried to end the program (Halt: enough)"


def test_whatever_a_condition_of_a_retry_raises_ends_the_run() -> None:
    def worth(error: BaseException) -> bool:
        raise Halt("enough")

    def fails() -> None:
        raise OSError

    flow = weft.Workflow("test")
    flow.add_task(fails, retry=2, retry_on=worth)
    with pytest.raises(Halt):
        flow.run()
