"""Order from data, and verified writes: what is declared orders tasks, and what is not declared is found out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.testing import FakeClock


def test_two_read_modify_writes_of_one_thing_run_one_after_the_other() -> None:
    flow = weft.Workflow("hazards")
    state = {"n": 0}

    async def add(amount: int) -> None:
        seen = state["n"]
        await asyncio.sleep(0.1)
        state["n"] = seen + amount

    async def one() -> None:
        await add(1)

    async def two() -> None:
        await add(2)

    flow.add_task(one, reads=["n"], writes=["n"])
    flow.add_task(two, reads=["n"], writes=["n"])
    assert flow.execution_layers() == [["one"], ["two"]]
    FakeClock().run(flow.execute())
    assert state["n"] == 3


def test_without_a_word_they_overlap() -> None:
    """The negative control: the same tasks undeclared lose an update."""
    flow = weft.Workflow("none")
    state = {"n": 0}

    async def one() -> None:
        seen = state["n"]
        await asyncio.sleep(0.1)
        state["n"] = seen + 1

    flow.add_task(one, id="one")
    flow.add_task(one, id="two")
    FakeClock().run(flow.execute())
    assert state["n"] == 1


def test_a_read_between_two_writes_stays_between_them() -> None:
    flow = weft.Workflow("hazards")
    log: list[str] = []
    for name, touches in (("first", {"writes": ["x"]}), ("read", {"reads": ["x"]}), ("second", {"writes": ["x"]})):
        flow.add_task(lambda name=name: log.append(name), id=name, **touches)
    flow.run()
    assert log == ["first", "read", "second"]
    assert [(h.kind, h.first, h.second) for h in flow.hazards()] == [
        ("RAW", "first", "read"),
        ("WAW", "first", "second"),
        ("WAR", "read", "second"),
    ]


def test_tasks_with_disjoint_sets_run_at_once() -> None:
    flow = weft.Workflow("hazards")

    async def wait() -> None:
        await asyncio.sleep(1)

    for name in "abc":
        flow.add_task(wait, id=name, writes=[name])
    clock = FakeClock()
    clock.run(flow.execute())
    assert clock.monotonic() == pytest.approx(1.0)


def test_a_mutex_with_reversed_data_flow_does_not_deadlock() -> None:
    flow = weft.Workflow("locks")
    running: list[str] = []
    most = 0

    async def hold(name: str) -> str:
        nonlocal most
        running.append(name)
        most = max(most, len(running))
        await asyncio.sleep(0.1)
        running.remove(name)
        return name

    @flow.task(mutex=["db", "log"])
    async def later(earlier: str) -> str:
        return await hold("later")

    @flow.task(mutex=["log", "db"])
    async def earlier() -> str:
        return await hold("earlier")

    @flow.task(mutex=["db"])
    async def beside() -> str:
        return await hold("beside")

    result = FakeClock().run(flow.execute())
    assert (result.status, most) == ("succeeded", 1)
    assert {(h.kind, h.first, h.second) for h in flow.hazards()} == {
        ("MUTEX", "later", "earlier"),
        ("MUTEX", "later", "beside"),
        ("MUTEX", "earlier", "beside"),
    }


@pytest.mark.parametrize(
    ("first", "second", "most"),
    [("db/*", "db/users", 1), ("db/*", "*/users", 1), ("./db", "db", 1), ("db/*", "logs/users", 2), ("a", "b", 2)],
)
def test_two_mutexes_that_meet_keep_their_tasks_apart_also_by_wildcards(first: str, second: str, most: int) -> None:
    flow = weft.Workflow("locks")
    running = reached = 0

    async def hold() -> None:
        nonlocal running, reached
        running += 1
        reached = max(reached, running)
        await asyncio.sleep(0.1)
        running -= 1

    flow.add_task(hold, id="plain", mutex=[first])
    flow.add_task(weft.Sequence(weft.task(hold, mutex=[second])), id="inside")
    assert FakeClock().run(flow.execute()).status == "succeeded"
    assert reached == most


# -- verified writes --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def writing(*names: str) -> Any:
    def write() -> None:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text("x")

    return write


def test_what_is_changed_outside_of_the_declared_writes_is_a_failure_that_names_the_files(folder: Path) -> None:
    flow = weft.Workflow("verified")
    flow.add_task(writing("out/a.csv", "b.txt"), id="export", writes=["out/**"], verify_writes=True)
    result = flow.run(check=False)
    assert (result.status, result["export"].error.type) == ("failed", "UndeclaredWriteError")
    assert "changed outside of what it declared ('out/**'): 'b.txt'" in result["export"].error.message


def test_what_is_declared_may_be_changed(folder: Path) -> None:
    flow = weft.Workflow("verified")
    flow.add_task(writing("out/a.csv", "b.txt"), id="export", writes=["out/**", "b.txt"], verify_writes=True)
    assert flow.run().status == "succeeded"


def test_what_others_declare_that_run_beside_it_is_theirs(folder: Path) -> None:
    flow = weft.Workflow("verified")

    async def slow() -> None:
        for _ in range(200):
            if Path("log.txt").exists():
                break
            await asyncio.sleep(0.01)
        writing("out/a.csv")()

    async def logs() -> None:
        await asyncio.sleep(0.05)
        writing("log.txt")()

    flow.add_task(slow, writes=["out/**"], verify_writes=True)
    flow.add_task(logs, writes=["log.txt"])
    assert flow.run().status == "succeeded"


def nothing() -> None:
    """Does nothing."""


def reading(wrap: Any) -> weft.Workflow:
    """What reads `x` inside of a task, between two that write it."""
    flow = weft.Workflow("inside")
    flow.add_task(nothing, id="before", writes=["x"])
    wrap(flow)
    flow.add_task(nothing, id="after", writes=["x"])
    return flow


@pytest.mark.parametrize(
    "wrap",
    [
        lambda flow: flow.map_task(lambda item: item, over=[1, 2], id="reads", reads=["x"]),
        lambda flow: flow.map_task(weft.task(lambda item: item, reads=["x"]), over=[1, 2], id="reads"),
        lambda flow: flow.add_task(weft.Sequence(nothing, weft.task(nothing, id="deep", reads=["x"])), id="reads"),
        lambda flow: flow.add_task(weft.Timeout(weft.ParallelTasks(weft.task(nothing, reads=["x"])), 9), id="reads"),
        lambda flow: flow.add_task(weft.Sequence(nothing), id="reads", reads=["x"]),
    ],
)
def test_what_is_read_inside_of_a_task_orders_it_too(wrap: Any) -> None:
    flow = reading(wrap)
    assert flow.execution_layers() == [["before"], ["reads"], ["after"]]
    assert [(h.kind, h.first, h.second) for h in flow.hazards()] == [
        ("RAW", "before", "reads"),
        ("WAW", "before", "after"),
        ("WAR", "reads", "after"),
    ]
    assert flow.run().status == "succeeded"


def test_a_mutex_inside_of_a_task_is_held_and_listed() -> None:
    flow = weft.Workflow("inside")
    live: list[int] = []

    async def one() -> int:
        live.append(1)
        await asyncio.sleep(1)
        live.pop()
        return len(live)

    flow.add_task(weft.Sequence(weft.task(one, mutex=["db"])), id="a")
    flow.map_task(weft.task(lambda item: one(), mutex=["db"]), over=[1, 2], id="b")
    assert [(h.kind, h.first, h.second, h.on) for h in flow.hazards()] == [("MUTEX", "a", "b", ("db",))]
    result = FakeClock().run(flow.execute())
    assert (result["a"].output, result["b"].output) == (0, [0, 0])
