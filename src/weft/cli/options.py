"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from weft.errors import UsageError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Count(click.IntRange):
    """A whole number of 1 or more."""

    name = "whole number"

    def __init__(self) -> None:
        super().__init__(min=1)


def journal_option(command: Decorated) -> Decorated:
    """`--journal FOLDER|none`."""
    return click.option(
        "--journal",
        metavar="FOLDER",
        callback=lambda ctx, param, value: journal_folder(value),
        help="Where runs are kept; none keeps nothing.",
    )(command)


def journal_folder(value: str | None) -> str | None:
    """What `--journal` says, made absolute: it is meant from the working directory. Raises UsageError."""
    if value is None or value == "none":
        return value
    if not value:
        raise UsageError("--journal: an empty name", hint="name a folder, or none")
    if "://" in value:
        raise UsageError(f"--journal: {value!r}: journals at an address are not supported yet", hint="name a folder")
    return str(Path(value).expanduser().absolute())


def json_option(command: Decorated) -> Decorated:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")(command)


def output_options(command: Decorated) -> Decorated:
    """How a run is shown while it goes on."""
    for option in (
        click.option("--no-progress", is_flag=True, help="Show the result only."),
        click.option("--events", is_flag=True, help="Print every event as it happens; with --json as JSON lines."),
        json_option,
    ):
        command = option(command)
    return command


def engine_options(command: Decorated) -> Decorated:
    """How a run is run, and where its secrets come from."""
    for option in (
        click.option("--allow-path", metavar="DIR", multiple=True, help="A folder more that it may read and write."),
        journal_option,
        click.option("--env-file", metavar="FILE", help="NAME=value lines: secrets and configuration."),
        click.option("--jobs", type=Count(), metavar="N", help="Running steps at most."),
    ):
        command = option(command)
    return command


def run_argument(command: Decorated) -> Decorated:
    """RUN: an id, the beginning of one, or `last`."""
    return click.argument("run", metavar="RUN", shell_complete=_complete_run)(command)


def _complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from weft.app.stores import here
    from weft.errors import WeftError

    try:
        names = here()[1].runs()
    except WeftError:
        return []
    return [name for name in ["last", *names] if name.startswith(incomplete)]
