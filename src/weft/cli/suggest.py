"""Errors of the command line that know better."""

from __future__ import annotations

from collections.abc import Sequence

import click

from weft.errors import nearest


class Mistaken(click.UsageError):
    """A word that is none of the known ones; `possibilities` are near."""

    def __init__(self, message: str, possibilities: Sequence[str], ctx: click.Context | None = None) -> None:
        super().__init__(message, ctx)
        self.possibilities = list(possibilities)


def unknown_command(name: str, known: Sequence[str], ctx: click.Context) -> click.UsageError:
    """The error for a command that does not exist; a file's name means that `run` was forgotten."""
    if name.endswith(".md"):
        return Mistaken(f"no such command: {name!r}", [f"`weft run {name}`"], ctx)
    close = nearest(name, known)
    return Mistaken(f"no such command: {name!r}", [f"`weft {word}`" for word in close], ctx)
