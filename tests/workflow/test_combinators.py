"""Combinators do what they say, nest in each other, and are journaled inside."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.event_types import AttemptStarted, AttemptSucceeded
from weft.testing import FakeClock

Function = Callable[..., Any]
TENTH = 0.1


def virtual(flow: weft.Workflow, *, patience: float = 0.0, **options: Any) -> weft.RunResult:
    """Run in a time of its own."""
    return FakeClock(patience=patience).run(flow.execute(**options))


def run(combinator: weft.Task, **options: Any) -> weft.RunResult:
    """Run a combinator alone, as `it`."""
    flow = weft.Workflow("test")
    flow.add_task(combinator, id="it")
    return virtual(flow, **options)


async def one() -> int:
    await asyncio.sleep(TENTH)
    return 1


async def two() -> int:
    await asyncio.sleep(TENTH)
    return 2


async def yes() -> bool:
    return True


async def no() -> list[int]:
    return []


async def bad() -> None:
    await asyncio.sleep(TENTH)
    raise OSError("bad")


async def worse() -> None:
    await asyncio.sleep(TENTH)
    raise LookupError("worse")


async def long() -> str:
    await asyncio.sleep(100)
    return "long"


def failing(times: int, log: list[Any] | None = None) -> Function:
    """A function that fails so many times."""
    calls = 0

    async def flaky(ctx: weft.TaskContext) -> int:
        nonlocal calls
        calls += 1
        if log is not None:
            log.append((ctx.path, ctx.attempt, ctx.key))
        if calls <= times:
            raise OSError(f"call {calls}")
        return calls

    return flaky


# -- Sequence ---------------------------------------------------------------------------------------------------------


def test_a_sequence_is_one_after_the_other_and_gives_the_last() -> None:
    async def add(one: int) -> int:
        await asyncio.sleep(TENTH)
        return one + 10

    result = run(weft.Sequence(one, add))
    assert result["it"].output == 11
    assert result.duration == pytest.approx(2 * TENTH)
    assert {path: result[path].output for path in ("it/one", "it/add")} == {"it/one": 1, "it/add": 11}
    assert list(result.tasks) == ["it"]


def test_what_fails_in_a_sequence_ends_it_and_is_blamed_by_its_path() -> None:
    result = run(weft.Sequence(one, bad, two))
    assert result.status == "failed"
    assert [error.path for error in result.errors] == ["it/bad"]
    assert isinstance(result.errors[0].__cause__, OSError)
    assert result["it"].status == "failed"
    assert "it/two" not in result.nodes or result["it/two"].status == "skipped"


def test_names_inside_a_combinator_stay_inside() -> None:
    flow = weft.Workflow("test")
    flow.add_task(weft.Sequence(one, two), id="it")
    flow.add_task(lambda two: None, id="outside")
    with pytest.raises(weft.InputError, match="outside: parameter 'two' is neither a task"):
        flow.check()


def test_the_nearest_task_of_a_name_is_meant() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: "outer", id="one")

    async def take(one: Any) -> Any:
        return one

    flow.add_task(weft.Sequence(one, take), id="inner")
    flow.add_task(weft.Sequence(two, take), id="outer")
    result = virtual(flow)
    assert result["inner"].output == 1
    assert result["outer"].output == "outer"


# -- ParallelTasks ----------------------------------------------------------------------------------------------------


def test_two_parallel_tasks_of_a_tenth_of_a_second_take_a_tenth() -> None:
    clock = FakeClock()
    flow = weft.Workflow("test")
    flow.add_task(weft.ParallelTasks(one, two), id="it")
    result = clock.run(flow.execute())
    assert result["it"].output == [1, 2]
    assert clock.monotonic() == pytest.approx(TENTH)
    assert run(weft.Sequence(one, two)).duration == pytest.approx(2 * TENTH), "one after the other takes twice that"


@pytest.mark.parametrize("journaled", [False, True])
def test_two_parallel_tasks_overlap_in_real_time(tmp_path: Path, journaled: bool) -> None:
    def first() -> None:
        time.sleep(TENTH)

    def second() -> None:
        time.sleep(TENTH)

    def overlap(combinator: weft.Task) -> bool:
        flow = weft.Workflow("test")
        flow.add_task(combinator, id="it")
        result = flow.run(journal=tmp_path if journaled else None)
        a, b = result["it/first"], result["it/second"]
        assert None not in (a.started_at, a.completed_at, b.started_at, b.completed_at)
        return max(a.started_at or 0, b.started_at or 0) < min(a.completed_at or 0, b.completed_at or 0)

    assert overlap(weft.ParallelTasks(first, second))
    assert not overlap(weft.Sequence(first, second))


def test_no_more_run_at_once_than_was_said() -> None:
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    assert run(weft.ParallelTasks(*[work] * 6, concurrency=2)).duration == pytest.approx(3.0)
    assert most == 2
    assert run(weft.ParallelTasks(*[work] * 6)).duration == pytest.approx(1.0)
    assert most == 6


def test_the_first_error_cancels_the_siblings() -> None:
    result = run(weft.ParallelTasks(long, bad))
    assert result.status == "failed"
    assert result.duration == pytest.approx(TENTH)
    assert [error.path for error in result.errors] == ["it/bad"]
    assert result["it/long"].status == "cancelled"


def test_all_errors_that_happened_are_kept() -> None:
    result = run(weft.ParallelTasks(bad, worse, long))
    assert sorted(error.path for error in result.errors) == ["it/bad", "it/worse"]
    causes = sorted(type(error.__cause__).__name__ for error in result.errors)
    assert causes == ["LookupError", "OSError"]
    assert result["it/long"].status == "cancelled"


def test_with_continue_the_others_go_on_and_a_failed_one_gives_nothing() -> None:
    result = run(weft.ParallelTasks(one, bad, two, on_failure="continue"))
    assert result.status == "issues"
    assert result["it"].output == [1, None, 2]
    assert [error.path for error in result.errors] == ["it/bad"]


# -- Conditional ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "otherwise", "output", "ran"),
    [(yes, None, 1, "one"), (yes, two, 1, "one"), (no, two, 2, "two"), (no, None, None, "")],
)
def test_a_conditional_takes_one_way(condition: Function, otherwise: Any, output: Any, ran: str) -> None:
    result = run(weft.Conditional(condition, one, otherwise))
    assert result["it"].output == output
    started = [e.path for e in result.events if isinstance(e, AttemptStarted)]
    assert started == [f"it/{condition.__name__}", *([f"it/{ran}"] if ran else [])]


def test_a_condition_that_fails_fails_the_conditional() -> None:
    result = run(weft.Conditional(bad, one, two))
    assert [error.path for error in result.errors] == ["it/bad"]


def test_a_condition_sees_what_is_around_it() -> None:
    flow = weft.Workflow("test")
    flow.add_task(one)
    flow.add_task(weft.Conditional(lambda one: one > 0, lambda condition: ["then", condition]), id="it")
    assert virtual(flow, patience=0.01)["it"].output == ["then", True]


# -- TryCatch ---------------------------------------------------------------------------------------------------------


def test_a_handler_gets_the_exception_itself_and_its_output_stands_in() -> None:
    seen: list[BaseException] = []

    async def handler(error: BaseException) -> str:
        seen.append(error)
        return "saved"

    result = run(weft.TryCatch(weft.Sequence(one, bad), handler))
    assert result["it"].output == "saved"
    assert isinstance(seen[0], OSError)
    assert str(seen[0]) == "bad"
    assert (result.status, result.errors) == ("succeeded", [])
    result.raise_for_status()


def test_a_handler_is_not_called_when_there_is_no_error() -> None:
    result = run(weft.TryCatch(one, bad))
    assert result["it"].output == 1
    assert "it/bad" not in result.nodes or result["it/bad"].status == "skipped"


def test_a_handler_that_fails_fails_all_of_it() -> None:
    async def handler(error: BaseException) -> None:
        raise LookupError("the handler too")

    result = run(weft.TryCatch(bad, handler))
    assert result.status == "failed"
    assert "it/handler" in [error.path for error in result.errors]


def test_a_handler_gets_a_timeout_as_a_timeout_error() -> None:
    async def handler(error: BaseException) -> bool:
        return isinstance(error, TimeoutError)

    assert run(weft.TryCatch(weft.task(long, timeout=5), handler))["it"].output is True
    assert run(weft.TryCatch(weft.Timeout(long, 5), handler))["it"].output is True
    assert run(weft.TryCatch(bad, handler))["it"].output is False


def test_a_handler_gets_the_first_error_of_parallel_tasks() -> None:
    async def handler(error: BaseException) -> str:
        return str(error)

    assert run(weft.TryCatch(weft.ParallelTasks(long, bad), handler))["it"].output == "bad"


# -- Retrying ---------------------------------------------------------------------------------------------------------

TWICE = weft.Retry(max_attempts=3, base=10, backoff="fixed", jitter="none")


def test_a_function_is_tried_again_under_its_path_and_key() -> None:
    log: list[Any] = []
    result = run(weft.Retrying(failing(2, log), TWICE))
    assert result["it"].output == 3
    assert [(path, attempt) for path, attempt, _ in log] == [("it/flaky", n) for n in (1, 2, 3)]
    assert len({key for *_, key in log}) == 1
    assert result.duration == pytest.approx(20.0)


def test_a_sequence_is_tried_again_from_its_beginning() -> None:
    log: list[Any] = []
    result = run(weft.Retrying(weft.Sequence(one, failing(2, log)), TWICE))
    assert result["it"].output == 3
    assert result.status == "succeeded"
    assert result.errors == []
    started = [e.path for e in result.events if isinstance(e, AttemptStarted)]
    assert len([path for path in started if path.endswith("/one")]) == 3
    assert len({key for *_, key in log}) == 3, "another round is another instance"
    assert result.duration == pytest.approx(20 + 3 * TENTH)


def test_retrying_ends_with_the_last_error() -> None:
    for body in (failing(9), weft.Sequence(failing(9))):
        result = run(weft.Retrying(body, 2))
        assert result.status == "failed"
        (error,) = result.errors
        assert error.error.message == "call 3"
        assert isinstance(error.__cause__, OSError)


def test_retrying_asks_which_errors_are_worth_it() -> None:
    for body in (failing(1), weft.Sequence(failing(1))):
        assert run(weft.Retrying(body, 2, on=LookupError)).status == "failed"
    for body in (failing(1), weft.Sequence(failing(1))):
        assert run(weft.Retrying(body, 2, on=OSError)).status == "succeeded"


def test_a_condition_of_retrying_that_fails_ends_it() -> None:
    def broken(error: BaseException) -> bool:
        raise ValueError("the condition is broken")

    for body in (failing(1), weft.Sequence(failing(1))):
        assert run(weft.Retrying(body, 2, on=broken)).status == "failed"


# -- Timeout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [long, weft.Sequence(one, long), weft.ParallelTasks(long, one)])
def test_a_timeout_stops_what_is_inside(body: Any) -> None:
    result = run(weft.Timeout(body, 5))
    assert result.status == "failed"
    assert result.duration == pytest.approx(5.0)
    assert [(error.path, error.error.type) for error in result.errors] == [("it", "Timeout")]
    assert result.errors[0].error.message == "took longer than 5 s and was stopped"
    inside = next(path for path in result.nodes if path.endswith("/long"))
    assert result[inside].status == "cancelled"


def test_a_timeout_that_is_long_enough_changes_nothing() -> None:
    result = run(weft.Timeout(one, 5))
    assert (result["it"].output, result.duration) == (1, pytest.approx(TENTH))


# -- nesting ----------------------------------------------------------------------------------------------------------


def wrapped(kind: str, body: Any) -> weft.Task:
    """The body in a combinator that leaves its output as it is."""

    async def as_it_is(**_: Any) -> bool:
        return True

    match kind:
        case "sequence":
            return weft.Sequence(body, id="sequence")
        case "parallel":
            return weft.ParallelTasks(body, id="parallel")
        case "conditional":
            return weft.Conditional(as_it_is, body, id="conditional")
        case "try":
            return weft.TryCatch(body, as_it_is, id="try")
        case "retrying":
            return weft.Retrying(body, 1, id="retrying")
        case _:
            return weft.Timeout(body, 50, id="timeout")


KINDS = ("sequence", "parallel", "conditional", "try", "retrying", "timeout")


def bare(output: Any) -> Any:
    while isinstance(output, list):
        (output,) = output
    return output


@pytest.mark.parametrize(("outer", "inner"), [*itertools.product(KINDS, KINDS)])
def test_every_combinator_nests_in_every_other_and_is_journaled_inside(outer: str, inner: str, tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    flow.add_task(wrapped(outer, wrapped(inner, one)), id="it")
    result = flow.run(journal=tmp_path)
    assert bare(result["it"].output) == 1
    (path,) = [e.path for e in result.events if isinstance(e, AttemptSucceeded) and e.path.endswith("/one")]
    assert path.startswith("it")
    assert f"/{inner}" in path
    again = weft.events(result.run_id, journal=tmp_path)
    assert again == result.events


@pytest.mark.parametrize(("outer", "inner"), [*itertools.product(KINDS, KINDS)])
def test_a_failure_comes_out_of_every_nesting(outer: str, inner: str) -> None:
    result = run(wrapped(outer, wrapped(inner, bad)))
    caught = "try" in (outer, inner)
    assert result.status == ("succeeded" if caught else "failed")
    assert len(result.errors) == (0 if caught else 1)
    if not caught:
        assert result.errors[0].path.endswith("/bad")
        assert isinstance(result.errors[0].__cause__, OSError)
