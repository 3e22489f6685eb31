"""Pages with a generated part say what the code says. `WEFT_BLESS=1` writes them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
from click import Context, Option

from docs.pages import ROOT
from weft.app.project import SETTINGS
from weft.cli.main import cli
from weft.core.status import diagram
from weft.fronts.flow import check, tags
from weft.fronts.plan.codes import CODES as PLAN_CODES
from weft.fronts.plan.config import KEYS
from weft.kinds import Setting
from weft.runtimes import registry
from weft.text import expressions
from weft.text.functions_list import LISTS
from weft.text.functions_text import TEXT
from weft.text.functions_time import TIMES
from weft.text.functions_value import VALUES


def lifecycle() -> str:
    return f"```mermaid\n{diagram()}```"


def codes() -> str:
    rows = {**tags.CODES, **check.CODES, **expressions.CODES, **PLAN_CODES}
    lines = [f"| `{code}` | {meaning} |" for code, meaning in sorted(rows.items())]
    return "\n".join(["| code | meaning |", "|---|---|", *lines])


def functions() -> str:
    lines = []
    for title, table in (("texts", TEXT), ("lists", LISTS), ("values", VALUES), ("times", TIMES)):
        lines += [f"| {title} | |", "|---|---|"]
        lines += [f"| `{f.signature}` | {cell(f.doc)} |" for f in table]
        lines.append("")
    return "\n".join(lines).rstrip()


def steps() -> str:
    lines = ["| step | settings (main one first, required ones bold) | output |", "|---|---|---|"]
    specs = registry.specs(tags.LEAVES)
    for kind in tags.LEAVES:
        if kind in specs:
            spec = specs[kind]
            settings = sorted(spec.settings, key=lambda s: s.name != spec.main)
            lines.append(f"| `{kind}` | {', '.join(setting(s) for s in settings)} | {cell(spec.output)} |")
    return "\n".join(lines)


def setting(one: Setting) -> str:
    accepted = f" ({' '.join(one.values)})" if one.values and len(one.values) <= 3 else ""
    return (f"**`{one.name}`**" if one.required else f"`{one.name}`") + accepted


def missing() -> str:
    here = registry.specs(tags.LEAVES)
    leaves = [kind for kind in tags.LEAVES if kind not in here]
    parts = [tag for tag, spec in tags.TAGS.items() if not spec.supported]
    return "\n".join(f"- `<{name}>`" for name in (*leaves, *parts))


def settings() -> str:
    options = {option for name in ("run", "resume") for option in options_of(name)}
    lines = ["| in `weft.toml` | in the environment | option | meaning |", "|---|---|---|---|"]
    for spec in SETTINGS:
        variable = f"`WEFT_{spec.name.upper().replace('-', '_')}`"
        option = f"`--{spec.name}`" if f"--{spec.name}" in options else ""
        lines.append(f"| `{spec.name}` | {variable} | {option} | {cell(spec.doc)} |")
    return "\n".join(lines)


def plan_settings() -> str:
    lines = ["| key | flag | default | meaning |", "|---|---|---|---|"]
    for key in KEYS:
        flag = f"`{key.flag}`, `--no-{key.flag[2:]}`" if key.kind == "boolean" else f"`{key.flag}`"
        words = f" ({', '.join(f'`{word}`' for word in key.words)})" if key.words else ""
        default = "" if key.default in (None, ()) else f"`{_written(key.default)}`"
        lines.append(f"| `{key.name}` | {flag} | {default} | {cell(key.doc)}{words} |")
    return "\n".join(lines)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def options_of(name: str) -> list[str]:
    command = cli.get_command(Context(cli), name)
    assert command is not None
    return [option for parameter in command.params if isinstance(parameter, Option) for option in parameter.opts]


def cell(text: str) -> str:
    return text.replace("|", "\\|")


@pytest.mark.parametrize(
    ("page", "part", "make"),
    [
        ("lifecycle.md", "", lifecycle),
        ("errors.md", "", codes),
        ("cli.md", ": settings", settings),
        ("plans.md", ": settings", plan_settings),
        ("language.md", ": steps", steps),
        ("language.md", ": functions", functions),
        ("language.md", ": missing", missing),
    ],
    ids=lambda x: x.__name__ if callable(x) else x,
)
def test_a_generated_part_is_todays(page: str, part: str, make: Callable[[], str]) -> None:
    path = ROOT / "docs" / page
    text = path.read_text()
    begin = f"<!-- generated{part} -->"
    made = f"{begin}\n{make()}\n<!-- end -->"
    assert begin in text
    whole = re.sub(rf"{begin}.*?<!-- end -->", lambda _: made, text, flags=re.DOTALL)
    if os.environ.get("WEFT_BLESS"):
        path.write_text(whole)
        return
    assert text == whole
