"""The virtual world itself: clock, builder, simulations, traces."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from weft.errors import InputError
from weft.testing import FakeClock, foreach, graph, parallel, simulate


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(1000.0)
    assert (clock.now(), clock.monotonic()) == (1000.0, 0.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (1002.5, 2.5)
    with pytest.raises(ValueError, match="time does not go back: -1"):
        clock.advance(-1)


def test_a_loop_in_its_time_never_really_sleeps() -> None:
    clock = FakeClock()

    async def main() -> list[str]:
        order: list[str] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            order.append(f"{name} {clock.monotonic():g}")

        await asyncio.gather(sleeper("long", 86_400), sleeper("short", 60), sleeper("none", 0))
        return order

    assert clock.run(main()) == ["none 0", "short 60", "long 86400"]


def test_a_loop_without_a_timer_waits_for_the_world() -> None:
    clock = FakeClock()

    async def main() -> str:
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert clock.run(main()) != threading.current_thread().name
    assert clock.monotonic() == 0.0


def test_a_timeout_fires_in_virtual_time() -> None:
    clock = FakeClock()

    async def main() -> None:
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        clock.run(main())
    assert clock.monotonic() == 3600.0


def test_a_simulation_says_when_what_ran() -> None:
    run = simulate(graph("a -> b c -> d"), {"a": 1, "b": 2, "c": 3, "d": 1}, jobs=2)
    assert (run.status, run.makespan, run.peak) == ("succeeded", 5.0, 2)
    assert run.started_at == {"a": 0.0, "b": 1.0, "c": 1.0, "d": 4.0}
    assert run.completed_at == {"a": 1.0, "b": 3.0, "c": 4.0, "d": 5.0}
    assert run.utilisation == pytest.approx(7 / 10)


def test_a_simulation_of_nothing_takes_no_time() -> None:
    run = simulate(graph(""), {}, jobs=3)
    assert (run.status, run.makespan, run.utilisation) == ("succeeded", 0.0, 0.0)


def test_what_the_scheduler_believes_may_be_wrong() -> None:
    g = graph("a b")
    assert list(simulate(g, {"a": 1.0, "b": 9.0}, jobs=1).started_at) == ["b", "a"]
    assert list(simulate(g, {"a": 1.0, "b": 9.0}, jobs=1, estimates={}).started_at) == ["a", "b"]
    assert list(simulate(g, {"a": 1.0, "b": 9.0}, jobs=1, estimates={"a": 3.0, "b": 2.0}).started_at) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs is 0; it must be a whole number of 1 or more"),
        ({"schedule": "wave"}, "schedule is 'wave'; it must be dataflow, waves or sequential"),
        ({"durations": {"a": -1}}, "durations: a is -1; it must be a number of seconds, 0 or more"),
        ({"estimates": {"a": "1s"}}, "estimates: a is '1s'; it must be a number of seconds, 0 or more"),
    ],
)
def test_what_cannot_be_simulated_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        simulate(graph("a -> b"), **{"durations": {"a": 1.0}, "jobs": 2, **options})
    assert str(raised.value) == message


def test_the_builder_reads_like_the_problem() -> None:
    g = graph("a -> b c -> d; c -> e\n f", p={})
    assert {node.id: node.needs for node in g.nodes} == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "d": ("b", "c"),
        "e": ("c",),
        "f": (),
    }
    assert graph("p", p=parallel("x y", "z")).nodes[0].bodies[0].chain
    assert graph("e", e=foreach("x", concurrency=3)).nodes[0].concurrency == 3
