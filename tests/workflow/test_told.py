"""What a user sees of a failure: their own code, the whole cause, the next step, and nothing of what is inside."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from workflow import elsewhere

Function = Callable[..., Any]


def one(function: Function, **settings: Any) -> weft.Workflow:
    """A workflow of this task, `task`."""
    flow = weft.Workflow("test")
    flow.add_task(function, id="task", **settings)
    return flow


def frames(error: BaseException) -> list[str]:
    """The functions in its traceback."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def deeper() -> None:
    raise LookupError("nothing there")


def blocking() -> None:
    deeper()


async def waiting() -> None:
    await asyncio.sleep(0)
    deeper()


@pytest.mark.parametrize("function", [blocking, waiting])
def test_the_traceback_of_a_task_begins_with_its_function(function: Function) -> None:
    with pytest.raises(weft.WorkflowFailed) as raised:
        one(function).run()
    cause = raised.value.exceptions[0].__cause__
    assert cause is not None
    assert frames(cause) == [function.__name__, "deeper"]


def test_the_traceback_of_a_task_in_a_process_is_told_by_the_error() -> None:
    result = one(elsewhere.fail, isolation="process").run(check=False)
    told = "".join(traceback.format_exception(result.errors[0]))
    assert "in the child process:\nTraceback (most recent call last):\n" in told
    assert 'elsewhere.py", line' in told
    assert ", in fail\n" in told
    assert "LookupError: nothing there" in told
    assert str(result.errors[0]) == "task: nothing there"


@pytest.mark.parametrize("inside", [False, True])
def test_a_mistake_in_the_input_is_raised_where_the_run_was_asked_for(inside: bool) -> None:
    flow = one(lambda extract: None)

    async def in_a_loop() -> None:
        flow.run()

    with pytest.raises(weft.InputError, match="parameter 'extract' is neither") as raised:
        asyncio.run(in_a_loop()) if inside else flow.run()
    assert frames(raised.value)[-2:] == ["run", "in_a_loop_of_its_own"]


def test_a_kept_run_that_failed_says_how_to_go_on(tmp_path: Path) -> None:
    place = str(tmp_path / "runs")
    with pytest.raises(weft.WorkflowFailed) as raised:
        one(blocking).run(journal=place)
    run_id = raised.value.result.run_id
    assert raised.value.hint == f"go on with weft.resume_sync({run_id!r}, workflow, journal={place!r})"
    assert weft.resume_sync(run_id, one(blocking), journal=place).hint == raised.value.hint


def test_a_kept_run_that_waits_says_who_settles_it(tmp_path: Path) -> None:
    async def pay() -> None:
        await asyncio.sleep(60)

    result = one(pay, effect="once", timeout=0.01).run(journal=tmp_path)
    assert result.status == "waiting"
    assert result.hint == f"settle it with `weft decide {result.run_id} task done|retry|fail`, then resume"


def test_a_run_that_cannot_go_on_does_not_say_how(tmp_path: Path) -> None:
    assert one(blocking).run(check=False).hint == ""
    assert one(lambda: 1).run(journal=tmp_path).hint == ""


class Mute(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Hollow(weft.AttemptError):
    """An error of ours that has nothing of ours in it."""

    def __init__(self) -> None:
        pass


def wrong_kinds() -> weft.AttemptError:
    """An error of ours whose fields are of other types."""
    error: Any = weft.AttemptError
    return error(5, type=6, status="500", retry_after="soon", place="\ud800")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Mute, ("Mute", "(its text could not be made)")),
        (lambda: ValueError("\ud800"), ("ValueError", "\\ud800")),
        (lambda: weft.Skip("\ud800"), None),
        (Hollow, ("Hollow", "(its text could not be made)")),
        (wrong_kinds, ("AttemptError", "(its text could not be made)")),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_whatever_an_exception_is_like_it_is_the_failure_of_its_task(
    make: Callable[[], Exception], told: tuple[str, str] | None, asynchronous: bool, tmp_path: Path
) -> None:
    def block() -> None:
        raise make()

    async def wait() -> None:
        raise make()

    for journal in (None, tmp_path):
        result = one(wait if asynchronous else block).run(check=False, journal=journal)
        error = result["task"].error
        assert (None if error is None else (error.type, error.message)) == told
        assert result.status == ("succeeded" if told is None else "failed")
        if journal is not None:
            assert weft.events(result.run_id, journal=journal) == result.events


def test_what_a_group_holds_is_the_cause() -> None:
    def several() -> None:
        raise ExceptionGroup("two of three", [ValueError("one"), KeyError("two")])

    error = one(several).run(check=False)["task"].error
    assert error is not None
    assert (error.type, error.message, error.cause) == (
        "ExceptionGroup",
        "two of three (2 sub-exceptions)",
        "ValueError: one; KeyError: 'two'",
    )


@pytest.mark.parametrize("name", ["tokens", "cost_usd"])
@pytest.mark.parametrize("used", [-1, float("inf"), float("nan"), "many", True])
def test_a_use_that_is_no_amount_is_the_failure_of_the_task_that_reports_it(name: str, used: Any) -> None:
    def report(ctx: weft.TaskContext) -> None:
        ctx.report(metrics={name: used})

    flow = one(report, estimate={"tokens": 1})
    error = flow.run(check=False, budget=weft.Budget(tokens=10)).errors[0].error
    assert (error.type, error.message) == (
        "InputError",
        f"a use of {used!r} {name} is no amount (a finite number of 0 or more)",
    )


def test_a_use_that_is_no_amount_is_refused_in_a_process_too() -> None:
    error = one(elsewhere.report_nonsense, isolation="process").run(check=False).errors[0].error
    assert (error.type, error.message) == ("ValueError", "a use of -1 tokens is no amount")


@pytest.mark.parametrize(
    ("run", "message", "hint"),
    [
        (None, "the run is None; it must be the id of a run", 'or "last", for the newest run'),
        (7, "the run is 7; it must be the id of a run", 'or "last", for the newest run'),
    ],
)
def test_what_is_no_id_of_a_run_is_refused(run: Any, message: str, hint: str, tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="task")
    for ask in (
        lambda: weft.resume_sync(run, flow, journal=tmp_path),
        lambda: weft.events(run, journal=tmp_path),
    ):
        with pytest.raises(weft.InputError) as raised:
            ask()
        assert (str(raised.value), raised.value.hint) == (message, hint)


def test_a_result_given_for_its_id_is_told_so(tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="task")
    result: Any = flow.run(journal=tmp_path)
    with pytest.raises(weft.InputError) as raised:
        weft.events(result, journal=tmp_path)
    assert raised.value.hint == "result.run_id is the id of a result"


def test_a_run_without_a_journal_is_not_resumed() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="task")
    with pytest.raises(weft.InputError) as raised:
        weft.resume_sync("last", flow, journal=None)
    assert (str(raised.value), raised.value.hint) == (
        "a run without a journal is kept nowhere",
        'name its folder: journal=".weft"',
    )


def test_an_argument_that_is_another_than_the_run_began_with_is_refused(tmp_path: Path) -> None:
    flow = one(lambda n: 1 / n)
    run_id = flow.run(arguments={"n": 0}, journal=tmp_path, check=False).run_id
    with pytest.raises(weft.InputError) as raised:
        weft.resume_sync(run_id, flow, arguments={"n": 5}, journal=tmp_path)
    assert (str(raised.value), raised.value.hint) == (
        "the run began with the argument 'n' as 0, not 5",
        "leave it out, or start a new run",
    )
    assert weft.resume_sync(run_id, flow, arguments={"n": 0}, journal=tmp_path).status == "failed"


def test_a_name_that_no_file_can_hold_is_written_all_the_same(tmp_path: Path) -> None:
    flow = weft.Workflow("caf\udce9")
    flow.add_task(lambda: 1, id="task")
    result = flow.run(journal=tmp_path)
    assert (result.status, result.workflow) == ("succeeded", "caf\\udce9")
