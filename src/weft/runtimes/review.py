"""Commands around the agents: the reviewer, and what runs after the end.

A reviewer's exit code says whether it worked: 0 and 1 did (linters end with 1 when they found something), anything else
did not, nor did one that told of nothing with 1, was out of time, could not be started, or printed more than is kept.
What a reviewer that
failed printed is never read as findings.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from weft.errors import AttemptError, InputError, nearest
from weft.runtimes.agent import Ran, run_agent
from weft.runtimes.command import SHELL, end_of
from weft.text.findings import read_review

if TYPE_CHECKING:
    from weft.backends.children import Children
    from weft.redaction import Vault

PRESETS: dict[str, tuple[str, ...]] = {"stet": ("stet", "run", "--json"), "none": ()}
WORKED = (0, 1)
"""The exit codes of a reviewer that did its work."""
_SAID = 600
"""Characters of the end of standard error in a reason."""


class Reviewed(msgspec.Struct, frozen=True):
    """What a reviewer came to. `failed` says why it did not do its work; then `output` means nothing."""

    exit_code: int | None
    output: str
    duration: float
    failed: str | None = None
    hint: str | None = None
    transcript: str | None = None


class Afterwards(msgspec.Struct, frozen=True):
    """How a command that runs after the end came out. `failed` is None when it ended with exit code 0."""

    command: str
    exit_code: int | None
    output: str
    duration: float
    failed: str | None = None


def arguments(command: str | Sequence[str], what: str = "the command") -> tuple[str, ...]:
    """A command as arguments: shell text goes to `/bin/sh -eu -c` as it stands. Raises InputError for an empty one."""
    if isinstance(command, str):
        if command.strip():
            return (*SHELL, command)
    elif command and command[0]:
        return tuple(command)
    raise InputError(f"{what} is empty", hint='write it as shell text, or as a list: ["ruff", "check"]')


def find_reviewer(preset: str, env: Mapping[str, str]) -> tuple[str, ...] | None:
    """The arguments of a known reviewer whose program is in the PATH of `env`; None when it is not, and for `none`.

    Raises InputError for a preset that nobody knows.
    """
    if preset not in PRESETS:
        close = nearest(preset, list(PRESETS))
        raise InputError(
            f"no reviewer is called {preset!r}",
            hint=f"did you mean {close[0]!r}?" if close else "stet, none, or your own command as `review_command`",
        )
    argv = PRESETS[preset]
    return argv if argv and shutil.which(argv[0], path=env.get("PATH", "")) else None


async def run_review(
    children: Children,
    command: str | Sequence[str],
    *,
    cwd: Path | str,
    env: Mapping[str, str],
    seconds: float | None = None,
    stdin: str | None = None,
    transcript: Path | None = None,
    vault: Vault | None = None,
    grace: float | None = None,
) -> Reviewed:
    """Run a reviewer. That it fails is a result, whatever the cause; only shortage of processes is raised."""
    try:
        ran = await run_agent(
            children, arguments(command, "`review_command`"), cwd=cwd, env=env, stdin=stdin, seconds=seconds,
            transcript=transcript, vault=vault, grace=grace, key="review_command",
        )  # fmt: skip
    except AttemptError as error:
        if error.retryable:
            raise
        return Reviewed(None, "", 0.0, f"the reviewer could not be started: {error.message}", error.hint)
    return Reviewed(ran.exit_code, ran.stdout, ran.duration, _trouble(ran), None, ran.transcript)


def _trouble(ran: Ran) -> str | None:
    if ran.exit_code not in WORKED:
        return f"the reviewer {ran}{_said(ran)}"
    if ran.dropped:
        return f"the reviewer printed {ran.dropped:,} bytes more than are kept"
    return read_review(ran.exit_code, ran.stdout).failed


def _said(ran: Ran) -> str:
    lines = [line for line in ran.stderr.splitlines() if line.strip()][-5:]
    return ": " + end_of("\n".join(lines), _SAID) if lines else ""


async def run_afterwards(
    children: Children,
    commands: Sequence[str | Sequence[str]],
    *,
    cwd: Path | str,
    env: Mapping[str, str],
    seconds: float | None = None,
    vault: Vault | None = None,
    grace: float | None = None,
) -> tuple[Afterwards, ...]:
    """Run commands one after the other, each for at most `seconds`; one that fails does not stop the next."""
    done = []
    for command in commands:
        argv = arguments(command, "a command of `post_run_commands`")
        shown = command if isinstance(command, str) else shlex.join(argv)
        try:
            ran = await run_agent(
                children, argv, cwd=cwd, env=env, seconds=seconds, vault=vault, grace=grace, key="post_run_commands"
            )
        except AttemptError as error:
            done.append(Afterwards(shown, None, "", 0.0, error.message))
            continue
        failed = None if ran.exit_code == 0 else f"it {ran}{_said(ran)}"
        done.append(Afterwards(shown, ran.exit_code, ran.stdout, ran.duration, failed))
    return tuple(done)
