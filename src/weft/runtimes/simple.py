"""The kinds that only hold or pass a value: `source:value`, `set`, `context`, `delay`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from weft.kinds import KindSpec, Setting
from weft.runtimes.base import AttemptContext
from weft.text.durations import parse_duration


class ValueSource:
    """`source:value`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="source:value",
        doc="Data that stands in the document.",
        output="its text, read as YAML",
        main="value",
        effect="pure",
        takes_input=False,
        settings=(Setting("value", "any", "the data, as YAML", required=True),),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The data."""
        return settings["value"]


class Set:
    """`set`: the engine makes its output what `$context.var` reads."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="set",
        doc="Keeps a value under a name, to be read as $context.name by what comes after it.",
        output="the value",
        main="value",
        effect="pure",
        one_of=(("value", "expression"),),
        settings=(
            Setting("value", "text", "the value, a template"),
            Setting("expression", "expression", "the value, computed"),
            Setting("var", "text", "the name", required=True, template=False),
            Setting("key", "text", "the name, inside a `context`", template=False),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The value."""
        expression = settings.get("expression")
        return settings.get("value") if expression is None else expression()


class Context:
    """`context`: several values at once; `values` is what its `<set key value/>` children say."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="context",
        doc="Keeps several values, each as `set` does.",
        output="an object of the values",
        effect="pure",
        settings=(Setting("values", "object", "the values by name", required=True),),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The values."""
        return dict(settings["values"])


class Delay:
    """`delay`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="delay",
        doc="Waits. A resumed run waits only for what is left.",
        output="its input",
        main="duration",
        effect="idempotent",  # its start goes on record: that is how a resume knows what is left
        settings=(Setting("duration", "duration", "how long: 500ms, 5s, 1m, 2h", required=True),),
    )
    holds_slot: ClassVar[bool] = False

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The input, once `duration` seconds have passed since the first start of this attempt."""
        from asyncio import sleep

        given_duration = settings["duration"]
        duration = parse_duration(given_duration) if isinstance(given_duration, str) else float(given_duration)
        passed = 0.0 if ctx.started_at is None else ctx.clock.now() - ctx.started_at
        await sleep(min(duration, max(0.0, duration - passed)))
        return given
