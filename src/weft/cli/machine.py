"""`weft doctor`, `limits`, `config` and `completion`: this machine and this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weft.cli.options import json_option
from weft.cli.terminal import Out, harmless, one_line, streams, styled

if TYPE_CHECKING:
    from weft.text.settings import Setting

_MARKS = {"ok": ("ok", "green"), "warns": ("warning", "yellow"), "fails": ("FAILS", "red")}


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Look whether this machine has what Weft needs; exit 1 when it has not."""
    from weft.app.doctor import examine

    findings = examine()
    out = streams().out
    bad = any(finding.state == "fails" for finding in findings)
    if as_json:
        from weft.cli.json import write_object

        write_object(out.send, {"healthy": not bad, "findings": findings})
        return int(bad)
    for finding in findings:
        word, style = _MARKS[finding.state]
        out.line(f"{styled(word.ljust(8), style, out)} {finding.name:<10} {harmless(finding.text)}")
    return int(bad)


@click.command()
@json_option
def limits(as_json: bool) -> int:
    """Print all limits with their values."""
    from weft.app.limits import limits as all_limits

    out = streams().out
    found = all_limits()
    if as_json:
        from weft.cli.json import write_object

        write_object(out.send, found)
        return 0
    for limit in found:
        value = f"{limit.value:,.0f}" if limit.value == int(limit.value) else f"{limit.value:g}"
        out.line(f"{limit.name:<16} {value:>12} {limit.unit:<17} more: {limit.beyond}")
    return 0


@click.command()
@click.option("--show-origin", is_flag=True, help="Print where each value comes from.")
@click.option("--plan", "plans", is_flag=True, help="Print the settings of plans, also where none is given.")
@click.option("--config", "file", metavar="FILE", help="Settings of plans from this file.")
@json_option
def config(show_origin: bool, plans: bool, file: str | None, as_json: bool) -> int:
    """Print the settings of the working directory's project with their values."""
    from weft.app import planning, project

    place = project.find(Path.cwd())
    plan = planning.settings(planning.PlanRequest(config=file)).settings
    out = streams().out
    if as_json:
        from weft.cli.json import write_object

        listed = {name: {"value": one.value, "origin": one.origin} for name, one in place.settings.items()}
        of_plans = {name: {"value": one.value, "origin": one.origin} for name, one in plan.items()}
        write_object(out.send, {"project": str(place.folder), "settings": listed, "plan": of_plans})
        return 0
    out.line(f"{'project':<14} {one_line(str(place.folder))}")
    for spec in project.SETTINGS:
        _show_setting(spec.name, place.settings[spec.name], 14, out, origin=show_origin)
    if plans or any(one.layer != "default" for one in plan.values()):
        for key in planning.KEYS:
            _show_setting(f"plan.{key.name}", plan[key.name], 34, out, origin=show_origin)
    return 0


def _show_setting(name: str, one: Setting, width: int, out: Out, *, origin: bool) -> None:
    said = f"  ({one_line(one.origin)})" if origin else ""
    out.line(f"{name:<{width}} {_shown(one.value):<24}{said}".rstrip())


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return one_line(", ".join(map(_shown, value))) or "-"
    if isinstance(value, float):
        return f"{value:g}"
    return one_line(str(value))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of a shell.

    \b
    bash: echo 'eval "$(weft completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(weft completion zsh)"' >> ~/.zshrc
    fish: weft completion fish > ~/.config/fish/completions/weft.fish
    """
    _print_completion(shell, streams().out)
    return 0


def _print_completion(shell: str, out: Out) -> None:
    from click.shell_completion import ShellComplete, get_completion_class

    from weft.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    # Of bash, click would first ask for its version, by running one: of no use where the script is only printed.
    script = ShellComplete.source(found(cli, {}, "weft", "_WEFT_COMPLETE"))
    out.write(script + "\n")
