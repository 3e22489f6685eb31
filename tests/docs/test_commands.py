"""docs/cli.md and the command line know the same commands and options, and both the same exit codes."""

from __future__ import annotations

import re

import pytest
from click import Argument, Context, Option

from docs.pages import ROOT
from weft.cli.main import COMMANDS, cli

PAGE = (ROOT / "docs" / "cli.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+?)$\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
_ROW = re.compile(r"^\| (.*?(?<!\\)) \|", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def test_each_command_has_its_section_in_the_order_of_the_help() -> None:
    documented = [name.removeprefix("weft ") for name in SECTIONS if name.startswith("weft ")]
    assert sorted(documented) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_has_the_options_of_its_command_and_no_others(name: str) -> None:
    command = cli.get_command(Context(cli), name)
    assert command is not None
    real = {opt for p in command.params if isinstance(p, Option) for opt in (*p.opts, *p.secondary_opts)}
    shown = {option for cell in _ROW.findall(SECTIONS[f"weft {name}"]) for option in _OPTION.findall(cell)}
    assert shown == real


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_shows_how_the_command_is_typed_and_an_example(name: str) -> None:
    command = cli.get_command(Context(cli), name)
    assert command is not None
    section = SECTIONS[f"weft {name}"]
    usage = section.split("`")[1]
    wanted = [p.make_metavar(Context(command)) for p in command.params if isinstance(p, Argument)]
    assert usage.startswith(f"weft {name}")
    assert [word for word in wanted if word.strip("[]{}.…") not in usage] == []
    assert f"$ weft {name}" in section or f"weft {name} " in section.split("```console")[1]


def test_the_exit_codes_of_the_two_pages_are_the_same() -> None:
    errors = (ROOT / "docs" / "errors.md").read_text()
    rows = re.compile(r"^\| (\d[\d, ]*) \|", re.MULTILINE)

    def codes(text: str) -> set[int]:
        return {int(code) for row in rows.findall(text) for code in row.split(",")}

    assert codes(SECTIONS["Exit codes"]) | {3} == codes(errors)
