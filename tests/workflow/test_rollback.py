"""What a failed run did is undone: in reverse order of completion, one after the other, and the report is exact."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.event_types import CompensationFailed, CompensationStarted, CompensationSucceeded
from weft.testing import FakeClock


def virtual(flow: weft.Workflow, *, patience: float = 0.0, **options: Any) -> weft.RunResult:
    """Run in a time of its own."""
    return FakeClock(patience=patience).run(flow.execute(**options))


class Saga:
    """Steps that take their time, and remember what was undone with what."""

    def __init__(self, **settings: Any) -> None:
        self.flow = weft.Workflow("saga", **settings)
        self.undone: list[tuple[str, Any]] = []

    def undo(self, name: str) -> Callable[..., Any]:
        async def undo(output: Any) -> None:
            self.undone.append((name, output))

        return undo

    def step(self, name: str, seconds: float, *needs: str, fails: bool = False, **settings: Any) -> None:
        async def work() -> str:
            await asyncio.sleep(seconds)
            if fails:
                raise OSError(f"{name} fails")
            return f"{name} done"

        settings = {"compensate": self.undo(name), **settings}
        self.flow.add_task(work, id=name, needs=list(needs), **settings)

    def run(self, **options: Any) -> weft.RunResult:
        return virtual(self.flow, **options)

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.undone]


def test_a_chain_is_undone_backwards_with_its_outputs() -> None:
    saga = Saga()
    saga.step("a", 1)
    saga.step("b", 1, "a")
    saga.step("c", 1, "b")
    saga.step("d", 1, "c", fails=True, compensate=None)
    result = saga.run()
    assert result.status == "failed"
    assert saga.undone == [("c", "c done"), ("b", "b done"), ("a", "a done")]
    assert result.rollback == weft.RollbackReport(rolled_back=("c", "b", "a"))
    assert [error.path for error in result.errors] == ["d"]


def test_a_run_that_succeeds_undoes_nothing() -> None:
    saga = Saga()
    saga.step("a", 1)
    saga.step("b", 1, "a")
    result = saga.run()
    assert (result.status, result.rollback, saga.undone) == ("succeeded", None, [])


def diamond(**settings: Any) -> Saga:
    saga = Saga(**settings)
    saga.step("top", 1)
    saga.step("left", 5, "top")
    saga.step("right", 2, "top")
    saga.step("bottom", 1, "left", "right")
    saga.step("last", 1, "bottom", fails=True, compensate=None)
    return saga


@pytest.mark.parametrize("schedule", ["dataflow", "waves"])
def test_a_diamond_is_undone_in_reverse_order_of_completion(schedule: str) -> None:
    saga = diamond()
    result = saga.run(schedule=schedule)
    assert saga.order == ["bottom", "left", "right", "top"]
    assert result.rollback == weft.RollbackReport(rolled_back=("bottom", "left", "right", "top"))


def test_in_sequence_the_order_of_completion_is_another() -> None:
    saga = diamond()
    saga.run(schedule="sequential")
    assert saga.order == ["bottom", "right", "left", "top"]


def test_compensations_run_one_after_the_other() -> None:
    running = most = 0
    flow = weft.Workflow("test")

    async def undo(_: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async def fine() -> None: ...

    async def bad() -> None:
        raise OSError("no")

    for i in range(5):
        flow.add_task(fine, id=f"t{i}", compensate=undo)
    flow.add_task(bad, needs=[f"t{i}" for i in range(5)])
    result = virtual(flow)
    assert most == 1
    assert result.duration == pytest.approx(5.0)


def test_what_has_no_compensation_is_told_as_skipped() -> None:
    saga = Saga()
    saga.step("a", 1)
    saga.step("b", 1, "a", compensate=None)
    saga.step("c", 1, "b", fails=True, compensate=None)
    result = saga.run()
    assert result.rollback == weft.RollbackReport(rolled_back=("a",), skipped=("b",))
    assert saga.flow.compensation_coverage() == {"a": True, "b": False, "c": False}


# -- what was started and not completed -------------------------------------------------------------------------------


def test_what_failed_itself_is_undone_first_with_nothing_in_its_hand() -> None:
    saga = Saga()
    saga.step("a", 1)
    saga.step("b", 1, "a", fails=True)
    result = saga.run()
    assert saga.undone == [("b", None), ("a", "a done")]
    assert result.rollback == weft.RollbackReport(rolled_back=("b", "a"))


def test_what_was_cancelled_in_the_middle_is_undone_first() -> None:
    saga = Saga(on_failure="cancel")
    saga.step("a", 1)
    saga.step("slow", 50, "a")
    saga.step("bad", 1, "a", fails=True, compensate=None)
    saga.step("never", 1, "slow")
    saga.run()
    assert saga.undone == [("slow", None), ("a", "a done")]


# -- compensations that fail ------------------------------------------------------------------------------------------


def broken_saga(times: int, **settings: Any) -> tuple[weft.RunResult, list[str]]:
    """a -> b -> c fails, and undoing b fails so many times."""
    saga = Saga()
    calls = 0

    async def undo_b(output: Any) -> None:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise OSError(f"cannot undo: {calls}")
        saga.undone.append(("b", output))

    saga.step("a", 1)
    saga.step("b", 1, "a", compensate=weft.task(undo_b, **settings) if settings else undo_b)
    saga.step("c", 1, "b", fails=True, compensate=None)
    return saga.run(), saga.order


def test_a_compensation_that_fails_is_tried_again() -> None:
    result, order = broken_saga(2)
    assert order == ["b", "a"]
    assert result.rollback == weft.RollbackReport(rolled_back=("b", "a"))
    assert [e.error.message for e in result.events if isinstance(e, CompensationFailed)] == [
        "cannot undo: 1",
        "cannot undo: 2",
    ]


def test_a_compensation_that_fails_for_good_is_reported_and_stops_no_other() -> None:
    result, order = broken_saga(99)
    assert order == ["a"]
    assert result.rollback == weft.RollbackReport(rolled_back=("a",), failed=("b",))
    assert result.status == "failed"
    assert [error.path for error in result.errors] == ["c"], "the run failed of what made it fail"
    assert len([e for e in result.events if isinstance(e, CompensationFailed)]) == 3


def test_a_compensation_has_the_retries_it_was_given() -> None:
    result, _ = broken_saga(99, retry=weft.Retry(max_attempts=5, base=0.1))
    assert len([e for e in result.events if isinstance(e, CompensationFailed)]) == 5
    result, _ = broken_saga(99, retry=0)
    assert len([e for e in result.events if isinstance(e, CompensationFailed)]) == 1


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_a_compensation_cannot_end_the_program(error: BaseException) -> None:
    saga = Saga()

    async def leaves(output: Any) -> None:
        raise error

    saga.step("a", 1)
    saga.step("b", 1, "a", compensate=leaves)
    saga.step("c", 1, "b", fails=True, compensate=None)
    result = saga.run()
    assert result.rollback == weft.RollbackReport(rolled_back=("a",), failed=("b",))


def test_a_compensation_that_hangs_is_stopped_by_its_timeout() -> None:
    saga = Saga()

    async def hangs(output: Any) -> None:
        await asyncio.sleep(10_000)

    saga.step("a", 1)
    saga.step("b", 1, "a", compensate=weft.task(hangs, timeout=5, retry=0))
    saga.step("c", 1, "b", fails=True, compensate=None)
    result = saga.run()
    assert result.rollback == weft.RollbackReport(rolled_back=("a",), failed=("b",))
    (failed,) = [e for e in result.events if isinstance(e, CompensationFailed)]
    assert (failed.error.type, failed.error.message) == ("Timeout", "took longer than 5 s and was stopped")


def test_a_compensation_whose_own_wait_times_out_is_not_said_to_have_hung() -> None:
    saga = Saga()

    async def gives_up(output: Any) -> None:
        raise TimeoutError("no answer from the bank")

    saga.step("a", 1, compensate=weft.task(gives_up, timeout=500, retry=0))
    saga.step("b", 1, "a", fails=True, compensate=None)
    (failed,) = [e for e in saga.run().events if isinstance(e, CompensationFailed)]
    assert (failed.error.type, failed.error.message) == ("TimeoutError", "no answer from the bank")


@pytest.mark.parametrize("journaled", [False, True])
def test_what_a_compensation_gives_may_be_anything(journaled: bool, tmp_path: Path) -> None:
    calls: list[int] = []

    def undo(output: int) -> object:
        calls.append(output)
        return object()

    flow = weft.Workflow("test")
    flow.add_task(lambda: 7, id="a", compensate=undo)
    flow.add_task(lambda a: 1 / 0, id="b")
    result = flow.run(check=False, journal=tmp_path if journaled else None)
    assert (calls, result.rollback) == ([7], weft.RollbackReport(rolled_back=("a",)))


def test_a_compensation_may_take_the_output_by_position_only() -> None:
    undone: list[Any] = []

    async def waits(output: Any, /) -> None:
        undone.append(output)

    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="a", compensate=undone.append)
    flow.add_task(lambda a: 2, id="b", compensate=lambda *outputs: undone.extend(outputs))
    flow.add_task(lambda b: 3, id="c", compensate=waits)
    flow.add_task(lambda c: 1 / 0, id="d")
    assert (flow.run(check=False).rollback, undone) == (
        weft.RollbackReport(rolled_back=("c", "b", "a"), skipped=()),
        [3, 2, 1],
    )


# -- which are run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollback", "order"),
    [("all", ["beside", "b", "a"]), ("dependencies", ["b", "a"]), ("none", [])],
)
def test_the_policy_says_which_are_undone(rollback: Any, order: list[str]) -> None:
    saga = Saga(rollback=rollback)
    saga.step("a", 1)
    saga.step("b", 1, "a")
    saga.step("beside", 3)
    saga.step("bad", 10, "b", fails=True, compensate=None)
    result = saga.run()
    assert saga.order == order
    if rollback == "none":
        assert result.rollback is None or result.rollback.rolled_back == ()


def test_an_issue_is_not_rolled_back() -> None:
    saga = Saga(on_failure="continue")
    saga.step("a", 1)
    saga.step("bad", 1, "a", fails=True, compensate=None)
    assert saga.run().status == "issues"
    assert saga.undone == []


# -- what a compensation gets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("journaled", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_compensation_gets_output_context_tasks_and_arguments(
    journaled: bool, asynchronous: bool, tmp_path: Path
) -> None:
    flow = weft.Workflow("test")
    got: list[Any] = []
    keys: list[str] = []

    @flow.task
    async def before() -> int:
        return 1

    def undo(made: Any, ctx: weft.TaskContext, before: int, region: str) -> None:
        got.append((made, ctx.path, ctx.attempt, before, region))
        keys.append(ctx.key)

    async def undo_too(made: Any, ctx: weft.TaskContext, before: int, region: str) -> None:
        undo(made, ctx, before, region)

    @flow.task(compensate=undo_too if asynchronous else undo)
    async def work(before: int, ctx: weft.TaskContext) -> dict[str, int]:
        keys.append(ctx.key)
        return {"made": 7}

    @flow.task
    async def bad(work: Any) -> None:
        raise OSError("no")

    result = flow.run(arguments={"region": "eu"}, check=False, journal=tmp_path if journaled else None)
    assert result.rollback == weft.RollbackReport(rolled_back=("work",), skipped=("before",))
    assert got == [({"made": 7}, "work-undo", 1, 1, "eu")]
    assert keys[0] == keys[1], "it is the same deed"


@pytest.mark.parametrize("journaled", [False, True])
def test_each_item_of_a_map_and_each_part_of_a_combinator_is_undone(journaled: bool, tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    undone: list[Any] = []

    async def work(item: int) -> int:
        await asyncio.sleep(item / 10)
        return 10 * item

    async def undo(output: Any) -> None:
        undone.append(output)

    flow.map_task(weft.task(work, compensate=undo), [3, 1, 2], id="each")
    flow.add_task(weft.Sequence(weft.task(lambda: "s", id="s", compensate=undo)), id="seq", needs=["each"])

    async def says_itself(item: int) -> weft.Compensated:
        return weft.Compensated(item, lambda value: undone.append(-value))

    flow.map_task(says_itself, [8, 9], id="itself", concurrency=1)
    flow.add_dependency("itself", "each")

    @flow.task(needs=["seq"])
    async def bad() -> None:
        raise OSError("no")

    result = flow.run(check=False, journal=tmp_path if journaled else None)
    assert undone == ["s", 30, 20, 10, -9, -8]
    assert result.rollback is not None
    assert result.rollback.rolled_back == (
        "seq/s",
        "each[0]/work",
        "each[2]/work",
        "each[1]/work",
        "itself[1]/says_itself",
        "itself[0]/says_itself",
    )


# -- said by the task itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journaled", [False, True])
def test_a_task_may_say_itself_how_to_undo_what_it_did(journaled: bool, tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    undone: list[Any] = []

    async def later(value: Any) -> None:
        undone.append(("later", value))

    @flow.task
    async def first() -> weft.Compensated:
        return weft.Compensated({"n": 1}, lambda value: undone.append(("first", value)))

    @flow.task
    async def second(first: Any) -> weft.Compensated:
        assert first == {"n": 1}, "dependents get the value"
        return weft.Compensated(2, later)

    @flow.task
    async def bad(second: int) -> None:
        raise OSError("no")

    result = flow.run(check=False, journal=tmp_path if journaled else None)
    assert undone == [("later", 2), ("first", {"n": 1})]
    assert result.rollback == weft.RollbackReport(rolled_back=("second", "first"))
    assert result["second"].output == 2


def failing_after(flow: weft.Workflow, *needs: str) -> None:
    def bad() -> None:
        raise OSError("no")

    flow.add_task(bad, id="bad", needs=list(needs))


@pytest.mark.parametrize("journaled", [False, True])
def test_a_file_is_restored_with_its_mode(journaled: bool, tmp_path: Path) -> None:
    file, new = tmp_path / "report.html", tmp_path / "new.html"
    file.write_bytes(b"before \xff")
    file.chmod(0o640)
    flow = weft.Workflow("test")

    @flow.task(compensate=weft.undo.restore_file(file))
    def rewrite() -> None:
        file.write_text("after")
        file.chmod(0o600)

    @flow.task(compensate=weft.undo.restore_file(new))
    def make() -> None:
        new.write_text("after")

    failing_after(flow, "rewrite", "make")
    result = flow.run(check=False, journal=tmp_path / "journal" if journaled else None)
    assert file.read_bytes() == b"before \xff"
    assert file.stat().st_mode & 0o777 == 0o640
    assert not new.exists()
    assert result.rollback is not None
    assert sorted(result.rollback.rolled_back) == ["make", "rewrite"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "journal"] == ["report.html"]


def test_a_file_is_restored_to_what_it_was_before_the_first_attempt(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("before")
    flow = weft.Workflow("test")

    @flow.task(compensate=weft.undo.restore_file(file), retry=weft.Retry(max_attempts=3, base=0.01))
    def rewrite(ctx: weft.TaskContext) -> None:
        file.write_text(f"attempt {ctx.attempt}")
        raise OSError("no")

    result = flow.run(check=False)
    assert result["rewrite"].attempts == 3
    assert file.read_text() == "before"


def test_a_file_that_was_made_is_deleted_and_one_that_was_there_is_left(tmp_path: Path) -> None:
    made, there = tmp_path / "made", tmp_path / "there"
    there.write_text("mine")
    flow = weft.Workflow("test")
    flow.add_task(lambda: made.write_text("x"), id="make", compensate=weft.undo.delete_created(made))
    flow.add_task(lambda: there.write_text("y"), id="touch", compensate=weft.undo.delete_created(there))
    failing_after(flow, "make", "touch")
    flow.run(check=False)
    assert not made.exists()
    assert there.read_text() == "y"


@pytest.mark.parametrize("journaled", [False, True])
def test_a_process_that_was_started_is_ended_with_its_group(journaled: bool, tmp_path: Path) -> None:
    processes: list[subprocess.Popen[bytes]] = []
    flow = weft.Workflow("test")

    @flow.task
    def serve() -> weft.Compensated:
        code = "import time; time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        processes.append(process)
        return weft.Compensated(process.pid, weft.undo.terminate(process))

    failing_after(flow, "serve")
    result = flow.run(check=False, journal=tmp_path if journaled else None)
    assert result.rollback == weft.RollbackReport(rolled_back=("serve",))
    assert processes[0].wait(5) == -15


def test_terminating_a_process_that_is_gone_is_no_failure() -> None:
    flow = weft.Workflow("test")

    @flow.task
    def serve() -> weft.Compensated:
        process = subprocess.Popen([sys.executable, "-c", ""])
        undo = weft.undo.terminate(process)
        process.wait()
        return weft.Compensated(process.pid, undo)

    failing_after(flow, "serve")
    assert flow.run(check=False).rollback == weft.RollbackReport(rolled_back=("serve",))


def test_what_is_no_undo_is_refused_where_it_is_said() -> None:
    with pytest.raises(weft.InputError, match="7 is no undo"):
        weft.Compensated(1, 7)
    with pytest.raises(weft.InputError, match="restore_file must look at the file before the task acts"):
        weft.Compensated(1, weft.undo.restore_file("x")).undo.as_data()
    with pytest.raises(weft.InputError, match="is no process"):
        weft.undo.terminate("x")
    with pytest.raises(weft.InputError, match="is no process"):
        weft.undo.terminate(os.environ)


# -- on record --------------------------------------------------------------------------------------------------------


def test_every_compensation_is_on_record_before_and_after(tmp_path: Path) -> None:
    saga = Saga()
    saga.step("a", 0.01)
    saga.step("b", 0.01, "a")
    saga.step("c", 0.01, "b", fails=True, compensate=None)
    result = saga.flow.run(journal=tmp_path, check=False)
    told = [
        (type(e).__name__, e.path)
        for e in weft.events(result.run_id, journal=tmp_path)
        if isinstance(e, CompensationStarted | CompensationSucceeded)
    ]
    assert told == [
        ("CompensationStarted", "b"),
        ("CompensationSucceeded", "b"),
        ("CompensationStarted", "a"),
        ("CompensationSucceeded", "a"),
    ]
