"""A scripted run: what tasks answer, when, and what they were asked."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.testing import Fail, FakeClock, ScriptedBackend, Takes


def etl(**load: Any) -> weft.Workflow:
    flow = weft.Workflow("etl")

    @flow.task
    def extract() -> int:
        raise AssertionError("the real function was called")

    @flow.task(retry=weft.Retry(max_attempts=3, base=10, jitter="none"), **load)
    async def load(extract: int) -> int:
        return extract + 1

    return flow


def run(flow: weft.Workflow, backend: ScriptedBackend, **options: Any) -> weft.RunResult:
    return FakeClock().run(flow.execute(backend=backend, **options))


# -- outcomes -----------------------------------------------------------------------------------------------------------


def test_a_list_has_one_outcome_per_call_and_calls_are_on_record() -> None:
    backend = ScriptedBackend({"extract": 5, "load": [Fail("503"), TimeoutError("slow"), 7]})
    result = run(etl(), backend)
    assert (result.status, result.outputs) == ("succeeded", {"extract": 5, "load": 7})
    assert backend.calls == [
        ("extract", 1, {}),
        ("load", 1, {"extract": 5}),
        ("load", 2, {"extract": 5}),
        ("load", 3, {"extract": 5}),
    ]
    assert result.duration == pytest.approx(30.0)  # 10 s, then 20 s


def test_the_last_outcome_of_a_list_goes_on_for_ever() -> None:
    backend = ScriptedBackend({"extract": 5, "load": [Fail("503", type="Busy")]})
    result = run(etl(), backend)
    assert (result.status, result["load"].attempts) == ("failed", 3)
    error = result["load"].error
    assert error is not None
    assert (error.type, error.message, error.retryable) == ("Busy", "503", True)


def test_a_failure_that_is_not_retryable_is_not_retried() -> None:
    result = run(etl(), ScriptedBackend({"extract": 5, "load": Fail("no", retryable=False)}))
    assert (result.status, result["load"].attempts) == ("failed", 1)


@pytest.mark.parametrize("outcome", [KeyError("gone"), KeyError, Fail(KeyError("gone")), Fail(KeyError)])
def test_an_exception_is_raised_as_it_is(outcome: Any) -> None:
    result = run(etl(), ScriptedBackend({"extract": outcome}))
    assert result.status == "failed"
    assert isinstance(result.errors[0].__cause__, KeyError)


def test_a_list_as_a_value_is_inside_a_list() -> None:
    assert run(etl(), ScriptedBackend({"extract": [[1, 2]], "load": 0})).outputs["extract"] == [1, 2]


def test_a_function_stands_in_with_those_of_the_arguments_that_it_takes() -> None:
    async def twice(extract: int) -> int:
        return 2 * extract

    backend = ScriptedBackend({"extract": lambda: 4, "load": twice})
    assert run(etl(), backend).outputs == {"extract": 4, "load": 8}
    assert run(etl(), ScriptedBackend({"extract": 4, "load": lambda: "none"})).outputs["load"] == "none"
    assert run(etl(), ScriptedBackend({"extract": 4, "load": lambda **all: all})).outputs["load"] == {"extract": 4}


def test_what_takes_its_time_takes_it_in_the_time_of_the_loop() -> None:
    backend = ScriptedBackend({"extract": Takes(3600, 1), "load": [Takes(5, Fail("503")), Takes(1, lambda: 2)]})
    result = run(etl(), backend)
    assert result.outputs == {"extract": 1, "load": 2}
    assert result.duration == pytest.approx(3616.0)


def test_what_takes_too_long_is_timed_out() -> None:
    result = run(etl(timeout=30), ScriptedBackend({"extract": 1, "load": [Takes(31), 2]}))
    assert (result.outputs["load"], result["load"].attempts) == (2, 2)
    assert result.duration == pytest.approx(40.0)


def test_an_items_path_goes_before_its_id() -> None:
    flow = weft.Workflow("each")

    def fetch(item: int) -> int:
        return item

    flow.map_task(fetch, [10, 20, 30], id="all")
    backend = ScriptedBackend({"fetch": ["first", "then"], "all[1]/fetch": "second"})
    assert run(flow, backend).outputs["all"] == ["first", "second", "then"]
    assert [call.path for call in backend.calls] == ["all[0]/fetch", "all[1]/fetch", "all[2]/fetch"]


def test_a_compensation_is_scripted_by_its_own_name() -> None:
    backend = ScriptedBackend({"extract": 5, "load": Fail("no", retryable=False), "extract-undo": None})
    flow = weft.Workflow("undone")
    flow.add_task(lambda: 1, id="extract", compensate=lambda output: 1 / 0)
    flow.add_task(lambda: 1, id="load", needs="extract")
    result = run(flow, backend)
    assert result.rollback is not None
    assert result.rollback.rolled_back == ("extract",)
    assert backend.calls[-1][0] == "extract-undo"


# -- what is not in the script ------------------------------------------------------------------------------------------


def test_a_task_that_is_not_in_the_script_calls_its_real_function_in_the_loop() -> None:
    flow = etl()
    flow.add_task(lambda load: threading.current_thread() is threading.main_thread(), id="where")
    backend = ScriptedBackend({"extract": 1, "lode": 3})
    assert run(flow, backend).outputs == {"extract": 1, "load": 2, "where": True}
    assert backend.unused == ["lode"]


def test_a_real_function_that_leaves_the_program_fails_like_another() -> None:
    flow = weft.Workflow("leaving")
    flow.add_task(lambda: exit(3), id="a")
    error = run(flow, ScriptedBackend())["a"].error
    assert error is not None
    assert error.message == "the function tried to end the program (SystemExit: 3)"


def test_a_strict_script_names_the_task_it_lacks() -> None:
    result = run(etl(), ScriptedBackend({"extract": 1, "laod": 3}, strict=True))
    error = result["load"].error
    assert error is not None
    expected = "the script has no outcome for 'load' (it has 'laod'; add it, or drop strict=True)"
    assert (error.type, error.message, result["load"].attempts) == ("InputError", expected, 1)


def test_a_context_is_among_the_arguments() -> None:
    flow = weft.Workflow("context")

    @flow.task
    def look(ctx: weft.TaskContext) -> None: ...

    backend = ScriptedBackend({"look": None})
    run(flow, backend)
    assert backend.calls[0].arguments["ctx"].path == "look"


# -- mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScriptedBackend({"a": []}), "the script has no outcome for 'a': its list is empty"),
        (lambda: Fail(503), "503 is no way to fail"),  # type: ignore[arg-type]
        (lambda: Fail(KeyError("a"), retryable=False), "KeyError('a') says itself how it fails"),
    ],
)
def test_a_script_that_cannot_be_is_refused_where_it_is_made(make: Any, message: str) -> None:
    with pytest.raises(weft.InputError) as raised:
        make()
    assert raised.value.message == message


def test_importing_the_room_imports_nothing_else() -> None:
    import subprocess
    import sys

    code = "import sys; before = set(sys.modules); import weft.testing; print(*sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in out if name.startswith("weft")] == ["weft", "weft.testing"]
    assert {"asyncio", "msgspec", "pytest", "hypothesis"}.isdisjoint(out)


def test_a_commit_takes_no_time_where_none_passes(tmp_path: Path) -> None:
    flow = weft.Workflow("beside each other")
    flow.add_task(lambda: None, id="long")
    for i in range(10):
        flow.add_task(lambda: None, id=f"t{i}", needs=[f"t{i - 1}"] if i else [], effect="once")
    script = {"long": Takes(1000), **{f"t{i}": Takes(1) for i in range(10)}}
    for journal in (None, tmp_path):
        result = run(flow, ScriptedBackend(script), journal=journal)
        assert result.started_at is not None
        assert result["t9"].completed_at == result.started_at + 10
        assert result.duration == 1000
