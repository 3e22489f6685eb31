"""Runs by a seed: the same one again, others in other orders, and the race that some of them find."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.testing import Fail, FakeClock, ScriptedBackend, Takes, log_digest, run_deterministic

SEEDS = range(40)


def wide(order: list[str] | None = None) -> weft.Workflow:
    """Six tasks at once, one of which fails now and then, and one after all of them."""
    flow = weft.Workflow("wide")
    done: list[str] = [] if order is None else order
    for name in "abcdef":
        flow.add_task(lambda name=name: done.append(name), id=name)

    @flow.task(retry=4)
    def shaky() -> float:
        if random.random() < 0.5:
            raise ConnectionError("again")
        return random.random()

    flow.add_task(lambda: "".join(done), id="z", needs=list("abcdef"))
    return flow


# -- the same and others ------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_events_and_outputs() -> None:
    for seed in (0, 1, "a text"):
        first, again = run_deterministic(wide(), seed), run_deterministic(wide(), seed)
        assert log_digest(first) == log_digest(again)
        assert first.outputs == again.outputs
        assert first.run_id != again.run_id


def test_other_seeds_give_other_orders() -> None:
    assert len({log_digest(run_deterministic(wide(), seed)) for seed in SEEDS}) == len(SEEDS)
    assert len({run_deterministic(wide(), seed).outputs["z"] for seed in SEEDS}) > len(SEEDS) // 2


def test_the_same_seed_gives_the_same_events_in_another_process() -> None:
    code = (
        "import importlib.util, sys; from weft.testing import log_digest, run_deterministic\n"
        f"spec = importlib.util.spec_from_file_location('here', {__file__!r})\n"
        "here = sys.modules['here'] = importlib.util.module_from_spec(spec); spec.loader.exec_module(here)\n"
        "print(log_digest(run_deterministic(here.wide(), 7)))"
    )
    found = set()
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        found.add(ran.stdout.strip())
    assert found == {log_digest(run_deterministic(wide(), 7))}


def test_where_nothing_is_drawn_there_is_one_order() -> None:
    runs = [FakeClock().run(wide().execute(backend=ScriptedBackend({"shaky": 1}))) for _ in range(5)]
    assert {run.outputs["z"] for run in runs} == {"abcdef"}


def test_a_task_more_changes_nothing_for_the_others() -> None:
    def starts(flow: weft.Workflow) -> dict[str, float | None]:
        return {name: node.duration for name, node in run_deterministic(flow, 3).tasks.items() if name in "abcdef"}

    more = wide()
    more.add_task(lambda: None, id="more")
    assert starts(more) == starts(wide())


# -- a race -------------------------------------------------------------------------------------------------------------


def counting(**declared: Any) -> weft.Workflow:
    """Two tasks that add one to the same number: they read it, wait, and write it."""
    flow = weft.Workflow("counting")
    shared = {"n": 0}

    async def add() -> None:
        seen = shared["n"]
        await asyncio.sleep(0.1)
        shared["n"] = seen + 1

    flow.add_task(add, id="one", **declared)
    flow.add_task(add, id="two", **declared)
    flow.add_task(lambda: shared["n"], id="sum", needs=["one", "two"])
    return flow


def test_a_race_is_found_by_some_seed_and_again_by_that_seed() -> None:
    sums = {seed: run_deterministic(counting(), seed).outputs["sum"] for seed in SEEDS}
    assert set(sums.values()) == {1, 2}
    lost = next(seed for seed, total in sums.items() if total == 1)
    assert [run_deterministic(counting(), lost).outputs["sum"] for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("declared", [{"writes": ["n"]}, {"mutex": "n"}])
def test_what_is_declared_is_no_race_by_any_seed(declared: Any) -> None:
    assert {run_deterministic(counting(**declared), seed).outputs["sum"] for seed in SEEDS} == {2}


def last_writer(**declared: Any) -> weft.Workflow:
    flow = weft.Workflow("last writer")
    shared: list[str] = []
    for name in ("first", "second"):
        flow.add_task(lambda name=name: shared.append(name), id=name, **declared)
    flow.add_task(lambda: shared[-1], id="last", needs=["first", "second"])
    return flow


def test_blocking_functions_race_too() -> None:
    assert {run_deterministic(last_writer(), seed).outputs["last"] for seed in SEEDS} == {"first", "second"}
    declared = [last_writer(writes=["file"]) for _ in SEEDS]
    assert {run_deterministic(flow, seed).outputs["last"] for seed, flow in enumerate(declared)} == {"second"}


# -- its world ----------------------------------------------------------------------------------------------------------


def test_everything_runs_in_one_thread_and_in_no_time() -> None:
    flow = weft.Workflow("threads")
    for i in range(5):
        flow.add_task(lambda: threading.get_ident(), id=f"blocking{i}", isolation="thread")

    @flow.task
    async def sleeps() -> int:
        await asyncio.sleep(86_400)
        return threading.get_ident()

    began = time.monotonic()
    result = run_deterministic(flow, 1)
    assert set(result.outputs.values()) == {threading.get_ident()}
    assert result.duration is not None
    assert result.duration >= 86_400
    assert time.monotonic() - began < 30


def test_the_module_random_is_as_it_was() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    run_deterministic(wide(), 1)
    assert random.random() == expected


def test_a_script_may_answer_the_calls() -> None:
    backend = ScriptedBackend({"shaky": [Fail("503"), Takes(5, 1)]})
    result = run_deterministic(wide(), 1, backend=backend)
    assert (result.status, result.outputs["shaky"], result["shaky"].attempts) == ("succeeded", 1, 2)


def test_arguments_and_options_are_those_of_execute() -> None:
    flow = weft.Workflow("given")
    flow.add_task(lambda n: n + 1, id="more")
    assert run_deterministic(flow, 1, arguments={"n": 4}).outputs == {"more": 5}
    slow = weft.Workflow("slow")
    slow.add_task(lambda: asyncio.sleep(100), id="sleeps")
    assert run_deterministic(slow, 1, timeout=50).status == "failed"


def test_what_no_seed_decides_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "a.flow.md"
    document.write_text('<workflow>\n<delay id="a">1s</delay>\n</workflow>\n')
    with pytest.raises(weft.InputError, match="only workflows of functions run by a seed"):
        run_deterministic(weft.load(document), 1)
    flow = weft.Workflow("files")
    flow.add_task(lambda: None, id="a", compensate=weft.undo.restore_file(tmp_path / "x"))
    with pytest.raises(weft.InputError) as raised:
        run_deterministic(flow, 1)
    assert raised.value.message == "a looks at the world in a thread before it acts, which no seed decides"
