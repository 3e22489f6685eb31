"""Killed at any moment and resumed in another process, a run goes on with exactly what is missing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from weft import app
from weft.event_types import AttemptStarted, AttemptSucceeded, CompensationSucceeded, Event, RunFinished

HERE = Path(__file__).parent
DYING = str(HERE.parent / "torture" / "dying")
SEED = int(os.environ.get("WEFT_SEED", "0")) or random.SystemRandom().randrange(1 << 30)


class Program:
    """program.py in a folder of its own: run, killed, and run again, and what was known at each kill."""

    def __init__(self, folder: Path, scenario: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.scenario = scenario
        self.sink = folder / "sink"
        self.journal = folder / "journal"
        self.kills: list[tuple[int, set[str], set[str]]] = []

    def start(self, kill_at: str = "") -> subprocess.Popen[bytes]:
        env = {**os.environ, "SINK": str(self.sink), "JOURNAL": str(self.journal)}
        if kill_at:
            env |= {"KILL_AT": kill_at, "PYTHONPATH": DYING}
        command = [sys.executable, str(HERE / "program.py"), self.scenario]
        return subprocess.Popen(command, env=env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, kill_at: str = "") -> dict[str, Any] | None:
        """What it says at its end; None when it was killed."""
        process = self.start(kill_at)
        out, err = process.communicate(timeout=60)
        if process.returncode == -signal.SIGKILL:
            self.remember()
            return None
        assert process.returncode == 0, err.decode()
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def killed_after(self, seconds: float) -> bool:
        """Kill it after so many seconds; False when it had ended by then."""
        process = self.start()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.remember()
            return True
        return False

    def events(self) -> list[Event]:
        try:
            return weft.events("last", journal=self.journal)
        except weft.NotFoundError:
            return []

    def has_ended(self) -> bool:
        """The end of the run is on record: there is nothing to go on with."""
        return isinstance(next(iter(self.events()[::-1]), None), RunFinished)

    def remember(self) -> None:
        done = {e.path for e in self.events() if isinstance(e, AttemptSucceeded)}
        undone = {f"{e.path}-undo" for e in self.events() if isinstance(e, CompensationSucceeded)}
        self.kills.append((len(self.lines()), done, undone))

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.sink.read_text().splitlines()] if self.sink.exists() else []

    def check(self) -> None:
        """What was done before a kill never began again after it; a key is always the same."""
        lines = self.lines()
        for count, done, undone in self.kills:
            again = [line for line in lines[count:] if line[0] == "start" and line[1] in done | undone]
            assert not again, f"began again although it was done: {again}"
        keys: dict[str, set[str]] = {}
        for _, path, _, key in lines:
            keys.setdefault(path, set()).add(key)
        assert all(len(found) == 1 for found in keys.values()), f"the key changed: {keys}"
        recorded = Counter(e.path for e in self.events() if isinstance(e, CompensationSucceeded))
        assert all(count == 1 for count in recorded.values()), f"recorded more than once: {recorded}"


def undisturbed(folder: Path, scenario: str) -> dict[str, Any]:
    found = Program(folder / "undisturbed", scenario).finish()
    assert found is not None
    return found


def killed_at(folder: Path, scenario: str, at: str, expected: dict[str, Any]) -> bool:
    """Kill it at one commit, go on, compare; False when there is no such commit."""
    program = Program(folder / at.replace(":", "-"), scenario)
    ended = program.finish(at)
    killed = ended is None
    if ended is None and not program.has_ended():
        ended = program.finish()
    program.check()
    assert ended in (expected, None), at
    return killed


@pytest.mark.parametrize(
    ("scenario", "at"),
    [
        ("diamond", "after:3"),
        ("nested", "after:8"),
        ("nested", "before:13"),
        ("saga", "after:9"),
        ("saga", "before:11"),
    ],
)
def test_a_run_that_was_killed_ends_as_if_nothing_had_happened(scenario: str, at: str, tmp_path: Path) -> None:
    assert killed_at(tmp_path, scenario, at, undisturbed(tmp_path, scenario))


@pytest.mark.torture
@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("scenario", ["diamond", "nested", "saga"])
def test_a_kill_at_every_commit_costs_nothing(scenario: str, edge: str, tmp_path: Path) -> None:
    expected = undisturbed(tmp_path, scenario)
    number = 1
    while killed_at(tmp_path, scenario, f"{edge}:{number}", expected):
        number += 1
    assert number > 5


@pytest.mark.torture
@pytest.mark.parametrize("scenario", ["diamond", "nested", "saga"])
def test_kills_at_random_moments_cost_nothing(scenario: str, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    expected = undisturbed(tmp_path, scenario)
    hits = 0
    for number in range(8):
        program = Program(tmp_path / str(number), scenario)
        for _ in range(4):
            hits += program.killed_after(draw.uniform(0.15, 0.7))
            if program.has_ended():
                break
        else:
            assert program.finish() == expected, f"seed {SEED}"
        program.check()
    print(f"seed {SEED}: {hits} kills")


def test_the_check_of_these_tests_sees_a_task_that_runs_twice(tmp_path: Path) -> None:
    program = Program(tmp_path / "one", "diamond")
    assert program.finish() is not None
    program.remember()
    program.sink.write_text(program.sink.read_text() + "start first 1 abc\n")
    with pytest.raises(AssertionError, match="began again although it was done"):
        program.check()


# -- what must not run twice ------------------------------------------------------------------------------------------


def lost(folder: Path) -> Program:
    """A run killed while the step that must not run twice was at work: its end is on record nowhere."""
    program = Program(folder / "run", "once")
    os.environ["STEP_SECONDS"] = "0.4"
    try:
        process = program.start()
    finally:
        del os.environ["STEP_SECONDS"]
    deadline = time.monotonic() + 20
    while not any(line[:2] == ["start", "pay"] for line in program.lines()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    return program


@pytest.mark.parametrize(
    ("answer", "value", "status", "after"),
    [
        ("done", '"by hand"', "succeeded", "after by hand"),
        ("retry", None, "succeeded", "after paid"),
        ("fail", None, "failed", None),
    ],
)
def test_a_once_that_was_lost_waits_until_somebody_decides(
    answer: str, value: str | None, status: str, after: Any, tmp_path: Path
) -> None:
    program = lost(tmp_path)
    waiting = program.finish()
    assert waiting is not None
    assert waiting["status"] == "waiting"
    assert waiting["nodes"]["pay"][0] == "waiting"
    assert len([line for line in program.lines() if line[:2] == ["start", "pay"]]) == 1
    assert app.decide("last", "pay", answer, value, journal=str(program.journal)) == "decided"
    ended = program.finish()
    assert ended is not None
    assert ended["status"] == status
    assert ended["outputs"].get("after") == after
    assert len([line for line in program.lines() if line[:2] == ["start", "pay"]]) == (2 if answer == "retry" else 1)
    assert len({line[3] for line in program.lines() if line[1] == "pay"}) == 1
    assert len([line for line in program.lines() if line[:2] == ["start", "before"]]) == 1


# -- runs that failed -------------------------------------------------------------------------------------------------


class Notes:
    """What happened. Not a list: the items of a list that a function closes over are part of what it is."""

    def __init__(self, *, broken: bool = True) -> None:
        self.broken = broken
        self.ran: list[Any] = []
        self.undone: list[str] = []


class Switch:
    """A workflow whose second task fails until it is told not to; what ran is counted."""

    def __init__(self, **settings: Any) -> None:
        self.broken = True
        self.ran: list[str] = []
        self.keys: list[str] = []
        self.settings = settings

    def flow(self, second: Callable[..., Any] | None = None) -> weft.Workflow:
        flow = weft.Workflow("switch", **self.settings)

        def first() -> dict[str, int]:
            self.ran.append("first")
            return {"n": 1}

        def own_second(first: dict[str, int], ctx: weft.TaskContext) -> int:
            self.ran.append("second")
            self.keys.append(ctx.key)
            if self.broken:
                raise OSError("still broken")
            return first["n"] + 1

        flow.add_task(first)
        flow.add_task(second or own_second, id="second")
        flow.add_task(lambda second: self.ran.append("third"), id="third")
        flow.add_task(lambda: self.ran.append("beside"), id="beside")
        return flow

    def take(self) -> list[str]:
        found = sorted(self.ran)
        self.ran.clear()
        return found


def test_a_failed_run_that_is_resumed_goes_on_where_it_failed(tmp_path: Path) -> None:
    switch = Switch()
    failed = switch.flow().run(journal=tmp_path, check=False)
    assert failed.status == "failed"
    switch.take()
    again = weft.resume_sync(failed.run_id, switch.flow(), journal=tmp_path)
    assert (again.status, switch.take()) == ("failed", ["second"])
    switch.broken = False
    ended = weft.resume_sync("last", switch.flow(), journal=tmp_path)
    assert (ended.status, switch.take()) == ("succeeded", ["second", "third"])
    assert ended.run_id == failed.run_id
    assert ended["second"].output == 2
    assert ended.errors == []
    assert len(set(switch.keys)) == 1
    with pytest.raises(weft.NotResumableError):
        weft.resume_sync("last", switch.flow(), journal=tmp_path)


def test_what_was_undone_runs_again_when_the_run_is_resumed(tmp_path: Path) -> None:
    notes = Notes()

    def flow() -> weft.Workflow:
        made = weft.Workflow("test")

        def first() -> None:
            notes.ran.append("first")

        def second() -> None:
            if notes.broken:
                raise OSError("no")

        made.add_task(first, compensate=lambda output: notes.undone.append("first"))
        made.add_task(lambda: notes.ran.append("kept"), id="kept")
        made.add_task(second, needs=["first", "kept"])
        return made

    flow().run(journal=tmp_path, check=False)
    assert notes.undone == ["first"]
    notes.broken = False
    ended = weft.resume_sync("last", flow(), journal=tmp_path)
    assert ended.status == "succeeded"
    assert sorted(notes.ran) == ["first", "first", "kept"]


def test_arguments_are_remembered_except_iterators(tmp_path: Path) -> None:
    notes = Notes()

    def flow() -> weft.Workflow:
        made = weft.Workflow("test")

        def fragile(item: int, region: str) -> str:
            if item == 2 and notes.broken:
                raise OSError("no")
            return f"{region}{item}"

        made.map_task(fragile, over="items", id="it", concurrency=1)
        return made

    failed = flow().run(journal=tmp_path, arguments={"items": iter([1, 2, 3]), "region": "eu"}, check=False)
    assert failed.status == "failed"
    notes.broken = False
    ended = weft.resume_sync("last", flow(), journal=tmp_path, arguments={"items": iter([1, 2, 3])})
    assert ended["it"].output == ["eu1", "eu2", "eu3"]
    started = [e.path for e in ended.events if isinstance(e, AttemptStarted)]
    assert started.count("it[0]/fragile") == 1


# -- changed code -----------------------------------------------------------------------------------------------------


def changed_second(first: dict[str, int]) -> int:
    return first["n"] + 100


def test_a_changed_function_is_refused_by_name_and_runs_again_when_accepted(tmp_path: Path) -> None:
    switch = Switch()
    switch.flow().run(journal=tmp_path, check=False)
    switch.take()
    with pytest.raises(weft.ChangedError) as raised:
        weft.resume_sync("last", switch.flow(changed_second), journal=tmp_path)
    assert "second" in str(raised.value)
    assert "first" not in str(raised.value)
    assert switch.take() == []
    ended = weft.resume_sync("last", switch.flow(changed_second), journal=tmp_path, accept_changes=True)
    assert (ended.status, ended["second"].output, switch.take()) == ("succeeded", 101, ["third"])


def versions(number: int, notes: Notes) -> weft.Workflow:
    """a -> b -> c -> end, and free; the code of b differs from version to version."""
    flow = weft.Workflow("versions")

    def ran(name: str, answer: int) -> int:
        notes.ran.append(name)
        return answer

    def end(c: int, free: int) -> int:
        if notes.broken:
            raise OSError("no")
        return ran("end", c)

    flow.add_task(lambda: ran("a", 1), id="a")
    flow.add_task(lambda a: ran("b", a + number), id="b")
    flow.add_task(lambda b: ran("c", b), id="c")
    flow.add_task(lambda: ran("free", 7), id="free")
    flow.add_task(end)
    return flow


def test_accepted_changes_run_exactly_what_changed_and_what_depends_on_it(tmp_path: Path) -> None:
    notes = Notes()
    versions(10, notes).run(journal=tmp_path, check=False)
    assert sorted(notes.ran) == ["a", "b", "c", "free"]
    notes.ran.clear()
    notes.broken = False
    with pytest.raises(weft.ChangedError) as raised:
        weft.resume_sync("last", versions(20, notes), journal=tmp_path)
    assert str(raised.value) == (
        "these are not the tasks that ran: ~ b (task): its code is different; and what depends on that: c, end"
    )
    ended = weft.resume_sync("last", versions(20, notes), journal=tmp_path, accept_changes=True)
    assert ended["end"].output == 21
    assert notes.ran == ["b", "c", "end"]


def test_layout_comments_and_what_a_docstring_says_are_no_change(tmp_path: Path) -> None:
    notes = Notes()

    def flow(source: str) -> weft.Workflow:
        space: dict[str, Any] = {"notes": notes}
        exec(source, space)
        made = weft.Workflow("test")
        made.add_task(space["work"])
        return made

    code = "def work():\n    'Docs.'\n    if notes.broken: raise OSError('no')\n    return 1\n"
    flow(code).run(journal=tmp_path, check=False)
    notes.broken = False
    other = "def work():\n    'Docs.'\n    if notes.broken: raise OSError('no')\n    return 2\n"
    with pytest.raises(weft.ChangedError):
        weft.resume_sync("last", flow(other), journal=tmp_path)
    same = (
        'def work():\n    """Other."""\n    # why\n\n    if notes.broken:\n        raise OSError("no")\n    return 1\n'
    )
    assert weft.resume_sync("last", flow(same), journal=tmp_path)["work"].output == 1


def test_a_task_that_is_gone_or_new_is_a_change(tmp_path: Path) -> None:
    switch = Switch()
    switch.flow().run(journal=tmp_path, check=False)
    switch.take()
    switch.broken = False
    more = switch.flow()
    more.add_task(lambda: switch.ran.append("new"), id="new")
    with pytest.raises(weft.ChangedError, match="new"):
        weft.resume_sync("last", more, journal=tmp_path)
    ended = weft.resume_sync("last", more, journal=tmp_path, accept_changes=True)
    assert (ended.status, switch.take()) == ("succeeded", ["new", "second", "third"])


# -- who may resume what ----------------------------------------------------------------------------------------------


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(weft.NotFoundError):
        weft.resume_sync("last", Switch().flow(), journal=tmp_path)
    with pytest.raises(weft.NotFoundError):
        weft.events("nothing", journal=tmp_path)


def test_a_run_somebody_works_on_is_not_taken(tmp_path: Path) -> None:
    flow = weft.Workflow("test")
    problems: list[BaseException] = []

    @flow.task
    async def work(ctx: weft.TaskContext) -> None:
        try:
            await weft.resume(ctx.run_id, flow, journal=tmp_path)
        except weft.WeftError as error:
            problems.append(error)

    assert flow.run(journal=tmp_path).status == "succeeded"
    assert [type(problem) for problem in problems] == [weft.OwnedError]


def test_a_map_that_was_cut_short_runs_only_the_missing_items(tmp_path: Path) -> None:
    notes = Notes()

    def flow() -> weft.Workflow:
        made = weft.Workflow("test")

        async def work(item: int) -> int:
            await asyncio.sleep(60 if notes.broken and item >= 3 else 0)
            notes.ran.append(item)
            return item * item

        made.map_task(work, list(range(6)), id="it", concurrency=2)
        return made

    async def cut() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flow().execute(journal=tmp_path), 1)

    asyncio.run(cut())
    assert notes.ran == [0, 1, 2]
    notes.ran.clear()
    notes.broken = False
    ended = weft.resume_sync("last", flow(), journal=tmp_path)
    assert sorted(notes.ran) == [3, 4, 5]
    assert ended["it"].output == [0, 1, 4, 9, 16, 25]


def test_a_list_that_is_another_when_it_is_gone_over_again_is_refused(tmp_path: Path) -> None:
    async def slow(item: int) -> int:
        await asyncio.sleep(60 if item == 2 else 0)
        return item

    def flow(items: list[int]) -> weft.Workflow:
        made = weft.Workflow("test")
        made.map_task(slow, items, id="it")
        return made

    async def cut() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flow([1, 2, 3]).execute(journal=tmp_path), 0.5)

    asyncio.run(cut())
    with pytest.raises(weft.ChangedError, match="the items of it are not those it began with"):
        weft.resume_sync("last", flow([1, 9, 3]), journal=tmp_path)


def test_a_handler_after_a_resume_gets_what_was_written_down_of_the_exception(tmp_path: Path) -> None:
    notes = Notes()

    def flow() -> weft.Workflow:
        made = weft.Workflow("test")

        async def body() -> None:
            notes.ran.append("body")
            raise LookupError("nothing there")

        async def handler(error: BaseException) -> str:
            await asyncio.sleep(60 if notes.broken else 0)
            assert isinstance(error, weft.NodeFailed)
            return f"{error.path}, {error.error.type}: {error.error.message}"

        made.add_task(weft.TryCatch(body, handler), id="it")
        return made

    async def cut() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flow().execute(journal=tmp_path), 0.5)

    asyncio.run(cut())
    notes.broken = False
    ended = weft.resume_sync("last", flow(), journal=tmp_path)
    assert ended["it"].output == "it/body, LookupError: nothing there"
    assert notes.ran == ["body"]
    assert ended.errors == []


def test_undo_goes_on_in_the_middle_in_another_process(tmp_path: Path) -> None:
    program = Program(tmp_path / "run", "saga")
    expected = undisturbed(tmp_path, "saga")
    before: list[str] = []
    for _ in range(20):  # a few commits at a time, until some of it is undone and some is not
        assert program.finish("after:3") is None
        before = [e.path for e in program.events() if isinstance(e, CompensationSucceeded)]
        if before:
            break
    assert 1 <= len(before) <= 3
    assert program.finish() == expected
    program.check()
    undone = [e.path for e in program.events() if isinstance(e, CompensationSucceeded)]
    assert undone == ["c", "each[1]/square", "each[0]/square", "a"]
