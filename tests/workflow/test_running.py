"""What a run does with functions: what they get, where they run, in which order, and what is left of it."""

from __future__ import annotations

import asyncio
import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.event_types import AttemptStarted, Event
from weft.testing import FakeClock
from workflow import elsewhere


def virtual(flow: weft.Workflow, **options: Any) -> weft.RunResult:
    """Run in a time of its own."""
    return FakeClock().run(flow.execute(**options))


# -- what a function gets ---------------------------------------------------------------------------------------------


def test_parameters_are_outputs_arguments_defaults_and_the_context() -> None:
    flow = weft.Workflow("test")
    seen: dict[str, Any] = {}

    @flow.task
    async def first() -> int:
        return 20

    @flow.task
    async def second(first: int, region: str, ctx: weft.TaskContext, limit: int = 5) -> str:
        seen.update(first=first, region=region, limit=limit, path=ctx.path)
        return f"{first} {region} {limit}"

    result = virtual(flow, arguments={"region": "eu"})
    assert result["second"].output == "20 eu 5"
    assert seen == {"first": 20, "region": "eu", "limit": 5, "path": "second"}
    assert virtual(flow, arguments={"region": "eu", "limit": 7})["second"].output == "20 eu 7"


def test_what_nobody_provides_is_an_error_before_anything_runs() -> None:
    flow = weft.Workflow("test")
    ran: list[str] = []

    @flow.task
    def first() -> None:
        ran.append("first")

    @flow.task
    def second(frist: None) -> None: ...

    with pytest.raises(weft.InputError) as raised:
        flow.run()
    assert str(raised.value) == "second: parameter 'frist' is neither a task, an argument, nor has a default"
    assert raised.value.hint == "did you mean 'first'?"
    with pytest.raises(weft.InputError, match="no task asks for the argument 'regoin'"):
        flow.run(arguments={"regoin": 1, "frist": 2})
    assert ran == []


def test_the_context_says_which_attempt_of_what_this_is_and_keeps_the_key() -> None:
    flow = weft.Workflow("test")
    seen: list[tuple[str, str, int, str, float | None]] = []

    @flow.task(retry=weft.Retry(max_attempts=3, base=10, jitter="none"), timeout=30)
    async def flaky(ctx: weft.TaskContext) -> str:
        seen.append((ctx.run_id, ctx.path, ctx.attempt, ctx.key, ctx.deadline))
        await asyncio.sleep(1)
        if ctx.attempt < 3:
            raise OSError("not yet")
        return ctx.key

    clock = FakeClock(start=1000.0)
    result = clock.run(flow.execute())
    key = result["flaky"].output
    assert len(key) == 32
    assert seen == [
        (result.run_id, "flaky", 1, key, 1030.0),
        (result.run_id, "flaky", 2, key, 1041.0),
        (result.run_id, "flaky", 3, key, 1062.0),
    ]
    assert result["flaky"].attempts == 3
    assert clock.monotonic() == pytest.approx(33.0)


def test_two_tasks_have_two_keys_and_two_runs_have_others() -> None:
    flow = weft.Workflow("test")
    for name in ("a", "b"):
        flow.add_task(lambda ctx: ctx.key, id=name)
    first, second = flow.run(), flow.run()
    assert len({*first.outputs.values(), *second.outputs.values()}) == 4


def test_a_context_without_a_timeout_has_no_deadline() -> None:
    flow = weft.Workflow("test")

    @flow.task
    def ask(ctx: weft.TaskContext) -> Any:
        return ctx.deadline

    assert flow.run()["ask"].output is None


def test_what_a_task_logs_and_reports_is_kept_beside_the_journal(tmp_path: Path) -> None:
    flow = weft.Workflow("test")

    @flow.task
    def talk(ctx: weft.TaskContext) -> None:
        ctx.log("hello", 7)
        ctx.log("again")
        ctx.report(progress=0.5, metrics={"rows": 3})

    result = flow.run(journal=tmp_path)
    (kept,) = [path.read_text() for path in tmp_path.rglob("logs/*") if path.is_file()]
    assert kept == 'hello 7\nagain\n{"progress":0.5,"metrics":{"rows":3}}\n'
    assert result.status == "succeeded"


# -- where a function runs --------------------------------------------------------------------------------------------


def test_async_functions_run_in_the_loop_and_others_in_threads() -> None:
    flow = weft.Workflow("test")

    @flow.task
    async def in_loop() -> int:
        return threading.get_ident()

    @flow.task
    def in_thread() -> int:
        return threading.get_ident()

    @flow.task
    async def in_loop_too(in_loop: int) -> bool:
        return threading.get_ident() == in_loop

    here = threading.get_ident()
    outputs = flow.run().outputs
    assert outputs["in_loop"] == here
    assert outputs["in_loop_too"] is True
    assert outputs["in_thread"] != here


def test_blocking_functions_run_at_the_same_time() -> None:
    flow = weft.Workflow("test")
    together = threading.Barrier(3, timeout=10)
    for i in range(3):
        flow.add_task(lambda: together.wait() >= 0, id=f"t{i}")
    assert flow.run(jobs=3).outputs == {"t0": True, "t1": True, "t2": True}


def test_isolation_loop_runs_a_plain_function_in_the_loop() -> None:
    flow = weft.Workflow("test")
    flow.add_task(threading.get_ident, id="here", isolation="loop")
    assert flow.run()["here"].output == threading.get_ident()


def test_isolation_process_runs_in_another_process(tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    flow.add_task(elsewhere.who, isolation="process")
    flow.add_task(elsewhere.double, isolation="process")
    flow.add_task(elsewhere.context, isolation="process")
    for journal in (None, tmp_path):
        result = flow.run(arguments={"number": 21}, journal=journal)
        assert result["who"].output not in (None, os.getpid())
        assert result["double"].output == 42
        told = result["context"].output
        assert told["run_id"] == result.run_id
        assert (told["path"], told["attempt"], len(told["key"])) == ("context", 1, 32)


def test_a_process_whose_time_is_up_is_gone(tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    sink = tmp_path / "pid"
    flow.add_task(elsewhere.hang, isolation="process", timeout=1.5)
    result = flow.run(arguments={"sink": str(sink)}, check=False)
    error = result["hang"].error
    assert error is not None
    assert (error.type, error.message) == ("Timeout", "took longer than 1.5 s and was stopped")
    with pytest.raises(ProcessLookupError):
        os.kill(int(sink.read_text()), 0)


def test_a_process_that_dies_is_told_from_a_function_that_raises() -> None:
    flow = weft.Workflow("test")
    flow.add_task(elsewhere.die, isolation="process")
    flow.add_task(elsewhere.fail, isolation="process")
    result = flow.run(check=False)
    died, raised = result["die"].error, result["fail"].error
    assert died is not None
    assert raised is not None
    assert (died.type, died.message) == ("WorkerDied", "the Python worker ended with exit code 7 during the call")
    assert (raised.type, raised.message) == ("LookupError", "nothing there")
    assert sorted(error.path for error in result.errors) == ["die", "fail"]


def test_isolation_process_refuses_what_no_process_could_find() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="hidden", isolation="process")
    with pytest.raises(weft.InputError) as raised:
        flow.run()
    assert str(raised.value) == 'hidden: isolation="process" needs a function that can be imported'


def test_in_a_process_the_context_is_called_ctx() -> None:
    flow = weft.Workflow("test")
    flow.add_task(elsewhere.other_name, isolation="process")
    with pytest.raises(weft.InputError) as raised:
        flow.check()
    assert str(raised.value) == "other_name: in a process the parameter for the context is called ctx, not context"


def test_what_cannot_go_to_another_process_is_named() -> None:
    flow = weft.Workflow("test")
    flow.add_task(elsewhere.double, isolation="process")
    result = flow.run(arguments={"number": {"rows": [1, object()]}}, check=False)
    error = result["double"].error
    assert error is not None
    assert error.type == "ValidationError"
    assert error.place == "number.rows[1]"
    assert "argument 'number': object is not JSON data at $.rows[1]" in error.message


# -- in which order ---------------------------------------------------------------------------------------------------


def two_chains(log: list[str]) -> weft.Workflow:
    """a -> b (a is slow) and c -> d, all virtual."""
    flow = weft.Workflow("test")

    def step(name: str, seconds: float) -> Callable[[], Any]:
        async def work() -> None:
            log.append(f"+{name}")
            await asyncio.sleep(seconds)
            log.append(f"-{name}")

        return work

    for name, seconds in (("a", 5), ("b", 1), ("c", 1), ("d", 1)):
        flow.add_task(step(name, seconds), id=name)
    flow.add_dependency("a", "b")
    flow.add_dependency("c", "d")
    return flow


@pytest.mark.parametrize(
    ("schedule", "order", "seconds"),
    [
        ("dataflow", "+a +c -c +d -d -a +b -b", 6),
        ("waves", "+a +c -c -a +b +d -b -d", 6),
        ("sequential", "+a -a +c -c +b -b +d -d", 8),
    ],
)
def test_a_schedule_decides_what_starts_when(schedule: str, order: str, seconds: float) -> None:
    log: list[str] = []
    clock = FakeClock()
    flow = two_chains(log)
    result = clock.run(flow.execute(schedule=schedule))  # type: ignore[arg-type]
    assert " ".join(log) == order
    assert clock.monotonic() == pytest.approx(seconds)
    assert result.duration == pytest.approx(seconds)
    if schedule == "sequential":
        assert [entry[1:] for entry in log if entry[0] == "+"] == flow.execution_order()


def test_execute_parallel_is_execute_in_waves() -> None:
    log: list[str] = []
    FakeClock().run(two_chains(log).execute_parallel())
    assert " ".join(log) == "+a +c -c -a +b +d -b -d"


def peak(jobs: int | None) -> int:
    """How many of five tasks run at once at most."""
    flow = weft.Workflow("test")
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    for i in range(5):
        flow.add_task(work, id=f"t{i}")
    assert virtual(flow, jobs=jobs).status == "succeeded"
    return most


def test_five_tasks_and_two_jobs_are_never_more_than_two_at_once() -> None:
    assert peak(2) == 2
    assert peak(5) == 5, "the same count sees more where there may be more"


def test_the_default_is_at_least_ten_at_once() -> None:
    assert peak(None) == 5


# -- where a run runs -------------------------------------------------------------------------------------------------


def test_run_works_inside_a_loop_that_runs() -> None:
    flow = weft.Workflow("test")

    @flow.task
    async def one() -> int:
        return 1

    async def notebook() -> Any:
        return flow.run()["one"].output

    assert asyncio.run(notebook()) == 1


def test_two_runs_of_one_workflow_at_once_do_not_mix() -> None:
    flow = weft.Workflow("test")

    @flow.task
    async def back(number: int) -> int:
        await asyncio.sleep(1)
        return number

    async def both() -> list[Any]:
        runs = await asyncio.gather(*[flow.execute(arguments={"number": n}) for n in range(5)])
        return [run["back"].output for run in runs]

    assert FakeClock().run(both()) == [0, 1, 2, 3, 4]


def test_a_callback_that_raises_never_touches_the_run(caplog: pytest.LogCaptureFixture) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="one")
    heard: list[str] = []

    def tell(event: Event) -> None:
        heard.append(type(event).__name__)
        raise RuntimeError("the listener is broken")

    result = flow.run(on_event=tell)
    assert result.status == "succeeded"
    assert heard == ["RunStarted", "AttemptStarted", "AttemptSucceeded", "RunFinished"]
    assert heard == [type(event).__name__ for event in result.events]
    assert "on_event failed at RunStarted" in caplog.text


# -- what is handed on ------------------------------------------------------------------------------------------------


def test_in_memory_objects_are_handed_on_as_they_are() -> None:
    flow = weft.Workflow("test")
    thing = object()
    got: list[object] = []

    @flow.task
    def make() -> object:
        return thing

    @flow.task
    def take(make: object, argument: object) -> None:
        got.extend([make, argument])

    result = flow.run(arguments={"argument": thing})
    assert got[0] is thing
    assert got[1] is thing
    assert result["make"].output is thing


@pytest.mark.parametrize("concerned", ["thread", "loop"])
def test_in_a_journal_nobody_shares_what_another_could_change(tmp_path: Path, concerned: str) -> None:
    flow = weft.Workflow("test")
    mine: list[int] = [1, 2]

    async def make() -> list[int]:
        return mine

    async def spoil(make: list[int]) -> str:
        make.append(99)
        mine.append(77)
        return "spoiled"

    async def look(make: list[int], spoil: str, given: list[int]) -> list[list[int]]:
        given.append(5)
        return [make, given]

    def plain(asynchronous: Callable[..., Any]) -> Callable[..., Any]:
        import functools

        @functools.wraps(asynchronous)
        def call(**arguments: Any) -> Any:
            return asyncio.run(asynchronous(**arguments))

        return call

    for function in (make, spoil, look):
        task = function if concerned == "loop" else plain(function)
        flow.add_task(task, id=function.__name__)
    given = [4]
    result = flow.run(journal=tmp_path, arguments={"given": given})
    assert result["make"].output == [1, 2]
    assert result["look"].output == [[1, 2], [4, 5]]
    assert given == [4]
    assert result["make"].output is not result["make"].output


def test_in_memory_what_is_changed_is_changed_for_all() -> None:
    """What the test above would see, were nothing copied."""
    flow = weft.Workflow("test")

    @flow.task
    async def make() -> list[int]:
        return [1]

    @flow.task
    async def spoil(make: list[int]) -> None:
        make.append(99)

    assert flow.run()["make"].output == [1, 99]


def test_what_no_journal_can_keep_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    flow = weft.Workflow("test")

    @flow.task
    def rows() -> Any:
        good = {"when": "today"}
        return {"rows": [good, good, good, {"when": datetime.date(2024, 1, 2)}, {"when": object()}]}

    result = flow.run(journal=tmp_path, check=False)
    error = result["rows"].error
    assert error is not None
    assert error.type == "ValidationError"
    assert error.place == "$.rows[4].when"
    assert "$.rows[4].when" in error.message
    assert "object" in error.message
    assert result["rows"].attempts == 1
    assert flow.run().status == "succeeded", "in memory it may be anything"


def test_an_argument_that_no_journal_can_keep_is_named_before_anything_runs(tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda given: None, id="one")
    with pytest.raises(weft.ValidationError) as raised:
        flow.run(journal=tmp_path, arguments={"given": {"rows": [1, {2, 3}, object()]}})
    assert raised.value.path.startswith("$.given.rows[")
    assert not list(tmp_path.rglob("*.db"))


# -- what is left of a run --------------------------------------------------------------------------------------------


def test_the_result_says_what_was_when_and_how() -> None:
    flow = weft.Workflow("etl")

    @flow.task
    async def first() -> str:
        await asyncio.sleep(2)
        return "one"

    @flow.task
    async def second(first: str) -> str:
        await asyncio.sleep(3)
        return first + " two"

    result = FakeClock(start=5000.0).run(flow.execute())
    assert (result.workflow, result.status, result.errors, result.rollback) == ("etl", "succeeded", [], None)
    assert result.outputs == {"first": "one", "second": "one two"}
    assert list(result.tasks) == ["first", "second"]
    assert (result.waves, result.current_wave) == (2, 1)
    assert (result.started_at, result.completed_at, result.duration) == (5000.0, 5005.0, 5.0)
    node = result["second"]
    assert (node.status, node.attempts, node.error, node.reason) == ("succeeded", 1, None, "new")
    assert (node.started_at, node.completed_at, node.duration) == (5002.0, 5005.0, 3.0)
    assert result.abandoned == 0
    assert result.exit_code == 0


def test_the_result_suggests_when_there_is_no_such_task() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="extract")
    result = flow.run()
    with pytest.raises(weft.UnknownTaskError) as raised:
        result["extrat"]
    assert (raised.value.id, raised.value.suggestions) == ("extrat", ["extract"])
    with pytest.raises(weft.UnknownTaskError) as raised:
        result["mail"]
    assert raised.value.hint == "result.nodes has every path"


def test_a_run_without_a_journal_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="one")
    result = flow.run()
    assert list(tmp_path.iterdir()) == []
    assert [type(event).__name__ for event in result.events][:1] == ["RunStarted"]
    assert flow.run(journal=".weft").status == "succeeded"
    assert [path.name for path in tmp_path.iterdir()] == [".weft"]


def test_events_come_after_their_commit_and_are_those_of_the_journal(tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="one")
    flow.add_task(lambda one: 2, id="two")
    heard: list[Event] = []
    result = flow.run(journal=tmp_path, on_event=heard.append)
    assert heard == result.events == weft.events(result.run_id, journal=tmp_path)
    assert [event.path for event in heard if isinstance(event, AttemptStarted)] == ["one", "two"]


def test_a_cancelled_thread_is_counted_as_abandoned() -> None:
    flow = weft.Workflow("test")
    free = threading.Event()
    flow.add_task(lambda: free.wait(10), id="stuck", timeout=0.05)
    began = time.monotonic()
    result = flow.run(check=False)
    free.set()
    assert time.monotonic() - began < 5
    assert result.abandoned == 1


def test_a_result_in_a_notebook_is_a_table_in_which_every_text_is_escaped() -> None:
    def fails() -> None:
        raise OSError("<b>disk</b>\x1b[31m")

    flow = weft.Workflow("<i>")
    flow.add_task(lambda: "<output>", id="a&b")
    flow.add_task(fails, id="fails", needs=["a&b"])
    shown = flow.run(check=False)._repr_html_()
    assert shown.startswith("<table><caption>&lt;i&gt;: failed in ")
    assert "<td>a&amp;b</td><td>succeeded</td><td>1</td>" in shown
    assert "<td>OSError: &lt;b&gt;disk&lt;/b&gt; [31m</td>" in shown
    assert "output" not in shown
    assert shown.count("<tr>") == 3


def test_a_table_of_very_many_tasks_stays_short() -> None:
    flow = weft.Workflow("many")
    for i in range(103):
        flow.add_task(lambda: None, id=f"t{i}")
    shown = virtual(flow)._repr_html_()
    assert (shown.count("<tr>"), "<td>and 3 more</td>" in shown) == (102, True)


@pytest.mark.filterwarnings("error")
def test_a_function_that_calls_an_async_one_gives_what_that_gives() -> None:
    async def fetch(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    flow = weft.Workflow("test")
    flow.add_task(lambda: fetch(1), id="first")
    flow.add_task(lambda first: fetch(first), id="second")
    assert flow.run().outputs == {"first": 2, "second": 3}


def test_a_script_that_runs_itself_again_in_its_child_is_told_how_not_to(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    run = "print(flow.run(check=False)['double'].error or 'done')"
    start = (
        "import weft\ndef double(): return 2\nflow = weft.Workflow('x')\nflow.add_task(double, isolation='process')\n"
    )

    def said(end: str) -> str:
        script.write_text(start + end + "\n")
        command = [sys.executable, str(script)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=30).stdout

    assert "runs the whole script, and so this workflow, again" in said(run)
    assert said(f"if __name__ == '__main__': {run}") == "done\n"
