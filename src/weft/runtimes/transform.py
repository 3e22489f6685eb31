"""`transform:…`: data into other data, without leaving the process.

A list is worked through on the event loop, which gets its turn every few milliseconds. Each item has fuel of
its own, so what is allowed for one item does not depend on how many there are. Rows that stay in their file
are fetched in batches by a thread and never held together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, ClassVar

from weft.errors import ExpressionError
from weft.kinds import KindSpec, Setting
from weft.runtimes.base import AttemptContext, Bound, FileList, FileRows, Rows
from weft.runtimes.formats import in_text, parse
from weft.runtimes.rows import open_rows

TURN = 0.005
"""Seconds after which the event loop gets its turn."""
BATCH = 512

_ITEM_NAMES = ("item", "index", "first", "last", "items")


class Template:
    """`transform:template`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="transform:template",
        doc="Fills a template.",
        output="the text, or the value that it is as JSON or YAML",
        main="template",
        effect="pure",
        settings=(
            Setting("template", "text", "text with {{ expressions }}", required=True),
            Setting("format", "enum", "how the text is read", default="text", values=("text", "json", "yaml")),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The text, or its value."""
        text = in_text(settings["template"])
        return parse(text, settings.get("format") or "text", "the template's text")


class Value:
    """`transform:value`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="transform:value",
        doc="Computes a value.",
        output="the value of the expression",
        main="expression",
        effect="pure",
        settings=(Setting("expression", "expression", "what to compute", required=True),),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The value."""
        bound: Bound = settings["expression"]
        return bound()


class Map:
    """`transform:map`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="transform:map",
        doc="Computes a value of each item of its input. A single value is a list of one, null of none.",
        output="the list of values",
        main="expression",
        effect="pure",
        settings=(Setting("expression", "expression", "the value of $item", required=True, local_names=_ITEM_NAMES),),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The values."""
        evaluate = settings["expression"].evaluate
        values: list[Any] = []
        names: dict[str, Any] = {}
        await _each(ctx, given, names, lambda item: values.append(evaluate(names)))
        return values


class Filter:
    """`transform:filter`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="transform:filter",
        doc="Keeps the items of its input for which the condition is true.",
        output="the list of the items kept",
        main="condition",
        effect="pure",
        settings=(Setting("condition", "expression", "whether to keep $item", required=True, local_names=_ITEM_NAMES),),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The items."""
        evaluate = settings["condition"].evaluate
        kept: list[Any] = []
        names: dict[str, Any] = {}

        def keep(item: Any) -> None:
            if evaluate(names):
                kept.append(item)

        await _each(ctx, given, names, keep)
        return kept


class Reduce:
    """`transform:reduce`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="transform:reduce",
        doc="Folds its input into one value. Without `initial` the first item is what $acc begins with.",
        output="the last value of the expression; of no items: `initial`, else null",
        main="expression",
        effect="pure",
        settings=(
            Setting("expression", "expression", "the next $acc", required=True, local_names=(*_ITEM_NAMES, "acc")),
            Setting("initial", "expression", "what $acc begins with"),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The folded value."""
        initial: Bound | None = settings.get("initial")
        names: dict[str, Any] = {"acc": None if initial is None else initial()}
        evaluate = settings["expression"].evaluate

        def fold(item: Any) -> None:
            names["acc"] = item if initial is None and names["first"] else evaluate(names)

        await _each(ctx, given, names, fold)
        return names["acc"]


async def _each(ctx: AttemptContext, given: object, names: dict[str, Any], act: Callable[[Any], None]) -> None:
    """`act(item)` for each item, while `names` has what an expression may ask for about it."""
    from asyncio import sleep

    items: Sequence[Any] | Rows = await _opened(ctx, given)
    names["items"] = items
    last = len(items) - 1
    index = 0
    turn = perf_counter() + TURN
    try:
        async for batch in _batches(ctx, items):
            for item in batch:
                names["item"] = item
                names["index"] = index
                names["first"] = index == 0
                names["last"] = index == last
                act(item)
                index += 1
                if perf_counter() > turn:
                    await sleep(0)
                    turn = perf_counter() + TURN
    except ExpressionError as error:
        message = f"item {index}: {error.message}"
        told = ExpressionError(message, error.start, error.end, code=error.code, hint=error.hint)
        told.place = error.place
        raise told from None
    finally:
        if isinstance(given, FileRows | FileList):
            items.close()  # type: ignore[union-attr]


async def _opened(ctx: AttemptContext, given: object) -> Sequence[Any] | Rows:
    if isinstance(given, FileRows | FileList):
        return await ctx.in_thread(open_rows, given, ctx.world)
    if given is None:
        return []
    return given if isinstance(given, Sequence) and not isinstance(given, str) else [given]


async def _batches(ctx: AttemptContext, items: Sequence[Any] | Rows) -> AsyncIterator[Sequence[Any]]:
    if isinstance(items, Sequence) and not hasattr(items, "close"):
        yield items
        return
    rows = iter(items)
    while batch := await ctx.in_thread(_take, rows):
        yield batch


def _take(rows: Any) -> list[Any]:
    return list(islice(rows, BATCH))
