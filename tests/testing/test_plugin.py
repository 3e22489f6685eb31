"""`weft_run`: what it runs and returns, what it says of a run that failed, and that pytest starts as fast with it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.testing import Fail, FakeClock, ScriptedBackend
from weft.testing.plugin import WeftRun

DOCUMENT = """---
input:
  name: {type: string, default: you}
---
<workflow>
<transform:template id="greet">Hello {{ input.name }}</transform:template>
<delay id="pause">2h</delay>
</workflow>
"""


def adding() -> weft.Workflow:
    flow = weft.Workflow("adding")
    flow.add_task(lambda n=1: n + 1, id="one")
    flow.add_task(lambda one: one + 1, id="two")
    return flow


# -- what it runs -------------------------------------------------------------------------------------------------------


def test_a_workflow_runs_in_memory(weft_run: WeftRun) -> None:
    assert weft_run(adding()).outputs == {"one": 2, "two": 3}
    assert weft_run(adding(), arguments={"n": 5}, jobs=1, schedule="sequential").outputs == {"one": 6, "two": 7}
    assert list(weft_run.folder.iterdir()) == []


def test_a_run_may_leave_a_journal_in_the_tests_folder(weft_run: WeftRun, tmp_path: Path) -> None:
    result = weft_run(adding(), journal=True)
    assert weft_run.journal == tmp_path / ".weft"
    kept = weft.events(result.run_id, journal=weft_run.journal)
    assert [event.path for event in kept if type(event).__name__ == "AttemptSucceeded"] == ["one", "two"]  # type: ignore[union-attr]
    other = weft_run(adding(), journal=tmp_path / "other")
    assert weft.events(other.run_id, journal=tmp_path / "other")


def test_a_failed_run_is_resumed_from_that_journal(weft_run: WeftRun) -> None:
    broken = ScriptedBackend({"two": Fail("down", retryable=False)})
    result = weft_run(adding(), journal=True, backend=broken, expect="failed")
    again = weft.resume_sync(result.run_id, adding(), journal=weft_run.journal)
    assert (again.status, again.outputs, again["one"].attempts) == ("succeeded", {"one": 2, "two": 3}, 1)


def test_in_a_fake_clock_no_time_passes_and_blocking_functions_are_called_in_the_loop(weft_run: WeftRun) -> None:
    flow = weft.Workflow("slow")

    @flow.task(retry=weft.Retry(max_attempts=3, backoff="fixed", base=3600, cap=3600, jitter="none"), timeout=5)
    def flaky(ctx: weft.TaskContext) -> bool:
        if ctx.attempt < 3:
            raise ConnectionError("503")
        return threading.current_thread() is threading.main_thread()

    began, clock = time.monotonic(), FakeClock()
    result = weft_run(flow, clock=clock)
    assert result.outputs == {"flaky": True}
    assert result.duration == clock.monotonic() == 2 * 3600
    assert time.monotonic() - began < 30


def test_a_document_runs_by_its_path(weft_run: WeftRun, tmp_path: Path) -> None:
    path = tmp_path / "hello.flow.md"
    path.write_text(DOCUMENT)
    result = weft_run(path, clock=FakeClock(), arguments={"name": "Ada"})
    assert (result["greet"].output, result.duration) == ("Hello Ada", 7200.0)
    assert weft_run(str(path), clock=FakeClock())["greet"].output == "Hello you"


async def in_a_loop(weft_run: WeftRun) -> Any:
    return weft_run(adding()).outputs


def test_it_runs_also_where_a_loop_runs_already(weft_run: WeftRun) -> None:
    import asyncio

    assert asyncio.run(in_a_loop(weft_run)) == {"one": 2, "two": 3}


# -- what it says -------------------------------------------------------------------------------------------------------


def failing() -> weft.Workflow:
    flow = weft.Workflow("failing")

    @flow.task(retry=2)
    def load() -> None:
        raise ConnectionError("503")

    @flow.task
    def parse() -> None:
        raise ValueError("no number: 'x'")

    flow.add_task(lambda load: load, id="after")
    return flow


def refused(call: Any) -> tuple[str, BaseException | None]:
    with pytest.raises(AssertionError) as raised:
        call()
    return re.sub(r"run \d{8}-[^)]*", "run R", str(raised.value)), raised.value.__cause__


def test_a_run_that_failed_fails_the_test_with_every_error(weft_run: WeftRun) -> None:
    said, cause = refused(lambda: weft_run(failing(), clock=FakeClock()))
    assert said.splitlines() == [
        "failing ended with status 'failed', expected was 'succeeded' (run R)",
        "  parse: ValueError: no number: 'x'",
        "  load: ConnectionError: 503, after 3 attempts",
        "  nodes: 2 failed, 1 skipped",
    ]
    assert isinstance(cause, ValueError)


def test_a_run_that_did_not_fail_is_told_too_and_any_end_may_be_right(weft_run: WeftRun) -> None:
    said, _ = refused(lambda: weft_run(adding(), expect="failed"))
    assert said == (
        "adding ended with status 'succeeded', expected was 'failed' (run R)\n  nodes: 2 succeeded"
    )  # fmt: skip
    assert weft_run(failing(), clock=FakeClock(), expect=None).status == "failed"
    assert weft_run(failing(), clock=FakeClock(), expect="failed")["after"].status == "skipped"


def test_an_end_that_no_run_has_is_refused(weft_run: WeftRun) -> None:
    with pytest.raises(weft.InputError) as raised:
        weft_run(weft.Workflow("test"), expect="succeded")
    assert raised.value.hint == "did you mean 'succeeded'?"


def test_what_is_done_in_part_is_told(weft_run: WeftRun) -> None:
    flow = weft.Workflow("partly")
    flow.add_task(lambda: weft.TaskResult("PARTIAL", error="two of three"), id="a")
    said, _ = refused(lambda: weft_run(flow))
    assert said.splitlines()[:2] == [
        "partly ended with status 'issues', expected was 'succeeded' (run R)",
        "  a: two of three",
    ]


def test_a_long_list_of_errors_is_cut(weft_run: WeftRun) -> None:
    flow = weft.Workflow("many", on_failure="continue")
    for i in range(25):
        flow.add_task(lambda: 1 / 0, id=f"t{i}")
    said, _ = refused(lambda: weft_run(flow))
    assert said.splitlines()[-2:] == ["  and 5 more", "  nodes: 25 failed"]


# -- in a pytest of its own ---------------------------------------------------------------------------------------------


def test_the_plugin_is_there_in_any_project_and_shows_where_the_task_failed(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import weft\n\n"
        "def test_well(weft_run):\n    flow = weft.Workflow('w')\n    flow.add_task(lambda: 7, id='a')\n"
        "    assert weft_run(flow).outputs == {'a': 7}\n\n"
        "def test_badly(weft_run):\n    flow = weft.Workflow('w')\n"
        "    @flow.task\n    def a():\n        raise KeyError('the cause')\n"
        "    weft_run(flow)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert "1 failed, 1 passed" in said
    lines = [" ".join(line.split()) for line in said.splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("E AssertionError"))
    assert lines[at].startswith("E AssertionError: w ended with status 'failed', expected was 'succeeded' (run ")
    assert lines[at + 1 : at + 3] == ["E a: KeyError: 'the cause'", "E nodes: 1 failed"]
    assert lines[at - 1] == "> weft_run(flow)"
    assert "> raise KeyError('the cause')" in lines
    assert "plugin.py" not in said


def test_pytest_starts_with_the_plugin_and_nothing_behind_it() -> None:
    code = "import sys, pytest; b = set(sys.modules); import weft.testing.plugin; print(*sorted(set(sys.modules) - b))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["weft", "weft.testing", "weft.testing.plugin"]
