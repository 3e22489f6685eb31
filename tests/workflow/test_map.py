"""A map goes over whatever can be gone over, item by item, and never further than it must."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.testing import FakeClock

Function = Callable[..., Any]
TENTH = 0.1


def virtual(flow: weft.Workflow, *, patience: float = 0.0, **options: Any) -> weft.RunResult:
    """Run in a time of its own."""
    return FakeClock(patience=patience).run(flow.execute(**options))


async def double(item: int) -> int:
    await asyncio.sleep(TENTH)
    return 2 * item


def mapped(over: Any, function: Function = double, **settings: Any) -> weft.RunResult:
    flow = weft.Workflow("test")
    flow.map_task(function, over, id="it", **settings)
    return virtual(flow)


def numbers() -> Iterator[int]:
    yield from range(5)


async def awaited_numbers() -> AsyncIterator[int]:
    for i in range(5):
        await asyncio.sleep(0)
        yield i


@pytest.mark.parametrize(
    "over", [lambda: [0, 1, 2, 3, 4], lambda: range(5), lambda: (0, 1, 2, 3, 4), numbers, awaited_numbers]
)
@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_a_map_goes_over_whatever_can_be_gone_over(over: Function, concurrency: int) -> None:
    result = mapped(over(), concurrency=concurrency)
    assert result["it"].output == [0, 2, 4, 6, 8]
    assert result["it[3]/double"].output == 6
    assert result.duration == pytest.approx(TENTH * -(-5 // concurrency))


def test_a_map_goes_over_the_output_of_a_task_and_over_an_argument() -> None:
    flow = weft.Workflow("test")

    @flow.task
    async def extract() -> list[int]:
        return [1, 2]

    flow.map_task(double, over="extract", id="from_task")
    flow.map_task(double, over="given", id="from_argument")
    result = virtual(flow, arguments={"given": iter([5, 6])})
    assert result["from_task"].output == [2, 4]
    assert result["from_argument"].output == [10, 12]


@pytest.mark.parametrize("over", [[], None])
def test_a_map_over_nothing_gives_an_empty_list(over: Any) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: over, id="items")
    flow.map_task(double, over="items", id="it")
    result = virtual(flow, patience=0.01)
    assert result["it"].output == []
    assert result.status == "succeeded"


def test_an_empty_generator_gives_an_empty_list() -> None:
    assert mapped(iter([]))["it"].output == []


@pytest.mark.parametrize("made", [{1, 2}, frozenset({1, 2}), range(1, 3), (1, 2)])
def test_what_a_task_gives_is_gone_over_whatever_holds_its_items(made: Any) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: made, id="rows")
    flow.map_task(double, over="rows", id="it")
    assert sorted(virtual(flow)["it"].output) == [2, 4]


def test_items_and_their_index_are_parameters() -> None:
    async def both(item: str, index: int, extra: str = "!") -> str:
        return f"{index}{item}{extra}"

    async def first(word: str) -> str:
        return word.upper()

    assert mapped(["a", "b"], both)["it"].output == ["0a!", "1b!"]
    assert mapped(["a", "b"], first)["it"].output == ["A", "B"]


def test_without_an_order_results_come_as_they_are_done() -> None:
    async def wait(item: int) -> int:
        await asyncio.sleep(item)
        return item

    assert mapped([3, 1, 2], wait, ordered=False)["it"].output == [1, 2, 3]
    assert mapped([3, 1, 2], wait)["it"].output == [3, 1, 2]
    assert mapped(iter([3, 1, 2]), wait, ordered=False)["it"].output == [1, 2, 3]


def test_a_map_has_no_more_at_once_than_its_concurrency_and_reads_no_further() -> None:
    running = most = read = ahead = 0

    def items() -> Iterator[int]:
        nonlocal read
        for i in range(50):
            read += 1
            yield i

    async def work(item: int) -> None:
        nonlocal running, most, ahead
        running += 1
        most = max(most, running)
        ahead = max(ahead, read - item)
        await asyncio.sleep(1)
        running -= 1

    assert mapped(items(), work, concurrency=3).status == "succeeded"
    assert most == 3
    assert ahead <= 3 + 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_endless_generator_ends_with_its_run(asynchronous: bool) -> None:
    closed: list[str] = []

    def endless() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append("closed")

    async def endless_too() -> AsyncIterator[int]:
        try:
            for i in itertools.count():
                await asyncio.sleep(0.01)
                yield i
        finally:
            closed.append("closed")

    flow = weft.Workflow("test")
    flow.map_task(double, endless_too() if asynchronous else endless(), id="it", concurrency=4)

    async def main() -> weft.RunResult:
        return await flow.execute(token=weft.CancellationToken().deadline(1.05))

    result = FakeClock().run(main())
    assert result.status == "cancelled"
    assert closed == ["closed"]
    done = [path for path, node in result.nodes.items() if node.status == "succeeded"]
    assert 20 <= len(done) <= 48


def failing_numbers() -> Iterator[int]:
    yield 1
    yield 2
    raise OSError("no more")


async def failing_awaited_numbers() -> AsyncIterator[int]:
    yield 1
    yield 2
    raise OSError("no more")


@pytest.mark.parametrize("over", [failing_numbers, failing_awaited_numbers])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_generator_that_fails_fails_the_map(over: Function, concurrency: int) -> None:
    result = mapped(over(), concurrency=concurrency)
    assert result.status == "failed"
    assert [(error.path, error.error.type, error.error.message) for error in result.errors] == [
        ("it", "OSError", "no more")
    ]


def test_an_item_that_fails_is_blamed_by_its_index() -> None:
    async def pick(item: int) -> int:
        if item == 7:
            raise OSError("seven")
        return item

    result = mapped([5, 7, 9], pick)
    assert [error.path for error in result.errors] == ["it[1]/pick"]
    result = mapped([5, 7, 9], pick, on_failure="continue")
    assert (result.status, result["it"].output) == ("issues", [5, None, 9])


def test_a_map_of_a_combinator_is_one_per_item() -> None:
    flow = weft.Workflow("test")

    async def half(item: int) -> float:
        return item / 2

    async def text(half: float, index: int) -> str:
        return f"{index}: {half}"

    flow.map_task(weft.Sequence(half, text), [4, 6], id="it")
    result = virtual(flow)
    assert result["it"].output == ["0: 2.0", "1: 3.0"]


@pytest.mark.parametrize("over", ["text", {"a": 1}, 7])
def test_what_is_nothing_to_map_over_is_refused(over: Any) -> None:

    def build() -> None:
        flow = weft.Workflow("test")
        flow.map_task(double, over, id="it")
        flow.check()

    with pytest.raises(weft.WeftError):
        build()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (7, "rows gave int, which is nothing to map over (a list, or an iterator)"),
        ("text", "rows gave str, which is nothing to map over (a list, or an iterator)"),
        ({"a": 1}, "rows gave dict, which is nothing to map over (a list, or an iterator: list(x.items()))"),
    ],
)
@pytest.mark.parametrize("journaled", [False, True])
def test_a_task_that_gives_no_items_fails_the_map_over_it(
    output: Any, message: str, journaled: bool, tmp_path: Path
) -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: output, id="rows")
    flow.map_task(double, over="rows", id="it")
    result = flow.run(check=False, journal=tmp_path if journaled else None)
    error = result["it"].error
    assert result.status == "failed"
    assert error is not None
    assert error.message == message


def test_a_map_over_a_task_that_was_skipped_has_no_items() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: weft.Skip("not today"), id="rows")
    flow.map_task(double, over="rows", id="it")
    assert flow.run()["it"].output == []


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_iterator_that_an_earlier_run_has_read_is_not_taken_for_an_empty_one(asynchronous: bool) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    flow = weft.Workflow("test")
    flow.map_task(double, over=numbers() if asynchronous else iter([1]), id="it")
    assert flow.run()["it"].output == [2]
    result = flow.run(check=False)
    assert result["it"].error is not None
    assert result["it"].error.message == (
        "its iterator was read by an earlier run (pass a list; or give it as an argument, a new one for each run)"
    )


def test_a_list_is_gone_over_by_every_run() -> None:
    flow = weft.Workflow("test")
    flow.map_task(double, over=[1], id="it")
    assert [flow.run()["it"].output for _ in range(2)] == [[2], [2]]


@pytest.mark.parametrize("over", [range, double])
def test_a_function_that_is_no_task_is_nothing_to_map_over(over: Any) -> None:
    with pytest.raises(weft.UnknownTaskError) as raised:
        weft.Workflow("test").map_task(double, over=over, id="it")
    name = over.__name__
    assert raised.value.hint == f"add it as a task, or pass the items that it gives: over={name}()"
