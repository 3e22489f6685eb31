"""What a function of the expression language is: its name, its parameters, its one line of documentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

ItemFunction = Callable[..., object]
"""A lambda as the functions see it: called with (item, index), or (acc, item, index) by reduce."""


class Function(msgspec.Struct, frozen=True):
    """One function. `low` and `high` bound the number of arguments (`high` None: any number).

    `lambda_at` is the argument that must be a lambda, `lambda_takes` how many parameters it may have.
    `recorded`: its answer differs from run to run. `makes`: it puts elements into new lists or objects.
    """

    name: str
    signature: str
    doc: str
    run: Callable[..., Any]
    low: int
    high: int | None
    lambda_at: int | None = None
    lambda_takes: int = 0
    recorded: bool = False
    makes: bool = False


_PARAMETER = re.compile(r" *(?:\(([^)]*)\) => )?[^,() ][^,()]*")


def define(
    signature: str, doc: str, run: Callable[..., Any], *, recorded: bool = False, makes: bool = False
) -> Function:
    """A function from its signature: `name(a, b?)`, `name(list, (item, index) => value)`, `name(a, b...)`.

    `b...` is one argument or more.
    """
    name, _, rest = signature.partition("(")
    low, high, lambda_at, lambda_takes = 0, 0, None, 0
    endless = False
    for at, parameter in enumerate(_PARAMETER.finditer(rest[:-1])):
        written = parameter.group().strip()
        if parameter.group(1) is not None:
            lambda_at, lambda_takes = at, parameter.group(1).count(",") + 1
        endless = endless or written.endswith("...")
        high += 1
        low += not written.endswith("?")
    return Function(name, signature, doc, run, low, None if endless else high, lambda_at, lambda_takes, recorded, makes)
