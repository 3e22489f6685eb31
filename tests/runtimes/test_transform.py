from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runtimes.support import bound
from weft.errors import AttemptError, ExpressionError
from weft.runtimes.base import AttemptContext, World
from weft.runtimes.transform import Map


def test_map_filter_and_reduce(attempt: Any) -> None:
    items = [3, 1, 2]
    assert attempt("transform:map", {"expression": bound("$item * 2")}, items) == [6, 2, 4]
    assert attempt("transform:filter", {"condition": bound("$item > 1")}, items) == [3, 2]
    assert attempt("transform:reduce", {"expression": bound("$acc + $item")}, items) == 6
    initial = {"expression": bound("$acc + $item"), "initial": bound("10")}
    assert attempt("transform:reduce", initial, items) == 16


def test_each_item_knows_its_place(attempt: Any) -> None:
    expression = bound("[$item, $index, $first, $last, length($items)]")
    assert attempt("transform:map", {"expression": expression}, ["a", "b"]) == [
        ["a", 0, True, False, 2],
        ["b", 1, False, True, 2],
    ]
    expression = bound("$acc + $item * $index + ($last ? length($items) : 0)")
    assert attempt("transform:reduce", {"expression": expression, "initial": bound("0")}, [5, 5]) == 7


def test_null_is_no_item_and_a_single_value_is_one(attempt: Any) -> None:
    expression = {"expression": bound("[$item]")}
    assert attempt("transform:map", expression, None) == []
    assert attempt("transform:map", expression, "text") == [["text"]]
    assert attempt("transform:map", expression, {"a": 1}) == [[{"a": 1}]]
    assert attempt("transform:map", expression, 0) == [[0]]
    assert attempt("transform:filter", {"condition": bound("true")}, {"a": 1}) == [{"a": 1}]
    assert attempt("transform:reduce", expression, None) is None
    assert attempt("transform:reduce", {**expression, "initial": bound("7")}, []) == 7


def test_false_is_what_the_language_says(attempt: Any) -> None:
    items = [None, False, 0, "", [], {}, 1, "0", [0], {"a": 0}, 0.0]
    assert attempt("transform:filter", {"condition": bound("$item")}, items) == [1, "0", [0], {"a": 0}]


def test_an_error_names_the_item(attempt: Any) -> None:
    with pytest.raises(ExpressionError) as caught:
        attempt("transform:map", {"expression": bound("1 + $item")}, [1, "two"])
    assert caught.value.message.startswith("item 1: ")
    assert (caught.value.start, caught.value.code[:5]) == (2, "WEFT4")


def test_each_item_has_fuel_of_its_own(attempt: Any) -> None:
    expression = bound("length(range($item))")
    assert attempt("transform:map", {"expression": expression}, [100_000] * 30) == [100_000] * 30
    with pytest.raises(ExpressionError, match="item 1: the expression costs too much"):
        attempt("transform:map", {"expression": expression}, [1, 100_000_000])


def test_a_long_list_leaves_the_loop_its_turns(world: World) -> None:
    async def main() -> int:
        ctx = AttemptContext(world, "n")
        work = asyncio.ensure_future(Map().run(ctx, {"expression": bound("$item + 1")}, list(range(100_000))))
        turns = 0
        while not work.done():
            turns += 1
            await asyncio.sleep(0)
        assert work.result() == list(range(1, 100_001))
        return turns

    assert asyncio.run(main()) > 5


def test_rows_of_a_file_are_streamed(attempt: Any, project: Path) -> None:
    (project / "a.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(3000)))
    rows = attempt("source:file", {"path": "a.jsonl"}, lazy=True)
    assert attempt("transform:map", {"expression": bound("$item.n * 2")}, rows) == list(range(0, 6000, 2))
    kept = attempt("transform:filter", {"condition": bound("$item.n % 1000 == 0 or $last")}, rows)
    assert kept == [{"n": 0}, {"n": 1000}, {"n": 2000}, {"n": 2999}]
    total = {"expression": bound("$acc + $item.n + length($items) - 3000"), "initial": bound("0")}
    assert attempt("transform:reduce", total, rows) == sum(range(3000))
    assert attempt("transform:map", {"expression": bound("$items[$index].n")}, rows)[-3:] == [2997, 2998, 2999]
    (project / "a.jsonl").write_text("{}\n")
    with pytest.raises(AttemptError, match="has changed since it was read"):
        attempt("transform:map", {"expression": bound("$item")}, rows)


def test_a_template_gives_text_or_what_it_says(attempt: Any) -> None:
    assert attempt("transform:template", {"template": "{{ not again }}"}) == "{{ not again }}"
    assert attempt("transform:template", {"template": '{"a": 1}'}) == '{"a": 1}'
    assert attempt("transform:template", {"template": '{"a": 1}', "format": "json"}) == {"a": 1}
    assert attempt("transform:template", {"template": "a: [1]", "format": "yaml"}) == {"a": [1]}
    assert attempt("transform:template", {"template": 5}) == "5"
    with pytest.raises(AttemptError) as caught:
        attempt("transform:template", {"template": "{a}", "format": "json"})
    assert caught.value.message == (
        "the template's text, line 1, column 2: not JSON: expecting property name enclosed in double quotes"
    )


def test_a_value_is_computed(attempt: Any) -> None:
    assert attempt("transform:value", {"expression": bound("{a: x}", x=[1])}) == {"a": [1]}
