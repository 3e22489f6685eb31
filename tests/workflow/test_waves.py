"""Layer by layer: the next layer starts when all of the one before is done, and is announced with its counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import weft
from weft.event_types import AttemptStarted, Event, WaveCompleted, WaveStarted
from weft.testing import FakeClock


def diamond(**settings: Any) -> weft.Workflow:
    flow = weft.Workflow("diamond", **settings)

    def step(seconds: float) -> Any:
        async def work() -> None:
            await asyncio.sleep(seconds)

        return work

    for name, seconds, needs in (("a", 1, []), ("b", 2, ["a"]), ("c", 5, ["a"]), ("d", 1, ["b", "c"])):
        flow.add_task(step(seconds), id=name, needs=needs)
    return flow


def waves_of(result: weft.RunResult) -> list[Event]:
    return [event for event in result.events if isinstance(event, WaveStarted | WaveCompleted)]


def told(result: weft.RunResult) -> list[Any]:
    return [(type(event).__name__, event.wave, event.count) for event in waves_of(result)]  # type: ignore[attr-defined]


def test_a_diamond_has_three_waves_with_their_counts() -> None:
    result = FakeClock().run(diamond().execute_parallel())
    assert told(result) == [
        ("WaveStarted", 0, 1),
        ("WaveCompleted", 0, 1),
        ("WaveStarted", 1, 2),
        ("WaveCompleted", 1, 2),
        ("WaveStarted", 2, 1),
        ("WaveCompleted", 2, 1),
    ]
    assert (result.waves, result.current_wave) == (3, 2)
    assert result.duration == pytest.approx(7.0)


@pytest.mark.parametrize("schedule", ["dataflow", "sequential"])
def test_other_schedules_have_no_waves(schedule: Any) -> None:
    assert told(FakeClock().run(diamond().execute(schedule=schedule))) == []


def test_nothing_of_a_layer_starts_before_the_one_before_is_done() -> None:
    result = FakeClock().run(diamond().execute_parallel())
    layer = {"a": 0, "b": 1, "c": 1, "d": 2}
    done = -1
    for event in result.events:
        if isinstance(event, WaveCompleted):
            done = event.wave
        elif isinstance(event, AttemptStarted):
            assert layer[event.path] == done + 1


def test_a_run_that_is_cancelled_in_a_layer_never_starts_the_next() -> None:
    started: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, AttemptStarted):
            started.append(event.path)

    async def main(when: float) -> weft.RunResult:
        token = weft.CancellationToken()
        asyncio.get_running_loop().call_later(when, token.cancel, "enough")
        return await diamond().execute_parallel(token=token, on_event=hear)

    result = FakeClock().run(main(4.0))
    assert result.status == "cancelled"
    assert started == ["a", "b", "c"]
    assert [event.wave for event in waves_of(result) if isinstance(event, WaveStarted)] == [0, 1]
    started.clear()
    assert FakeClock().run(main(400.0)).status == "succeeded"
    assert started == ["a", "b", "c", "d"], "the same run without the cancellation goes on"


def test_a_token_that_is_cancelled_between_two_layers_stops_the_next() -> None:
    """From the callback that is told of the end of a layer: the next has not been started then."""
    token = weft.CancellationToken()
    started: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, WaveCompleted) and event.wave == 0:
            token.cancel("between")
        elif isinstance(event, AttemptStarted):
            started.append(event.path)

    result = FakeClock().run(diamond().execute_parallel(token=token, on_event=hear))
    assert result.status == "cancelled"
    assert [name for name, node in result.tasks.items() if node.status == "succeeded"] == ["a"]
    assert {result[name].output for name in "bcd"} == {None}


def test_a_failed_layer_is_counted_and_the_next_does_not_start() -> None:
    flow = diamond()

    async def fails() -> None:
        raise OSError("no")

    flow.add_task(fails, id="e", needs=["a"])
    result = FakeClock().run(flow.execute_parallel())
    assert result.status == "failed"
    assert result["d"].status == "skipped"
    assert [event.wave for event in waves_of(result) if isinstance(event, WaveStarted)] == [0, 1]


def test_a_layer_of_a_thousand_is_one_wave() -> None:
    flow = weft.Workflow("wide")

    async def nothing() -> None: ...

    for i in range(1000):
        flow.add_task(nothing, id=f"t{i}")
    result = FakeClock().run(flow.execute_parallel())
    assert told(result) == [("WaveStarted", 0, 1000), ("WaveCompleted", 0, 1000)]
