"""`command`: a program of the machine.

The text of a document goes to the shell as it stands; no value ever becomes part of it (the checker refuses
`{{` there). Values travel as arguments and as environment, where nothing interprets them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from weft.errors import AttemptError, InternalError
from weft.kinds import KindSpec, Setting
from weft.runtimes.base import AttemptContext, Output
from weft.runtimes.failures import CommandFailed, bad_setting, too_large
from weft.runtimes.formats import as_text, in_text, split_lines
from weft.runtimes.paths import folder_path
from weft.runtimes.strictjson import strict_json
from weft.values import type_name

if TYPE_CHECKING:
    from weft.backends.command import Captured, Completed

SHELL = ("/bin/sh", "-eu", "-c")
STDERR_KEPT = 32 * 1024
"""Characters of the end of standard error that stay on the record."""
TRIMMED = 4096
"""Bytes looked through for a line's end on both sides of what was left out."""

_LOADER = re.compile(r"(?:LD_|DYLD_)|BASH_ENV\Z")


class Command:
    """`command`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="command",
        doc="Runs a program: shell text, or a list of arguments. What it prints goes to the run's log as it comes.",
        output="standard output, as `output` says; .stderr and .exit_code on the record",
        main="command",
        one_of=(("command", "argv"),),
        settings=(
            Setting("command", "text", "text for /bin/sh -eu; values come through `env`", template=False),
            Setting("argv", "list", "program and arguments, without a shell"),
            Setting("cwd", "path", "the folder to run in; the document's if not given"),
            Setting("env", "object", "environment variables; null leaves one out"),
            Setting("stdin", "text", "what it reads from standard input; nothing if not given"),
            Setting(
                "output",
                "enum",
                "how standard output is read; `text` loses one final newline",
                default="text",
                values=("text", "json", "lines"),
            ),
            Setting("expect", "any", "exit codes that are fine: `0`, `0 1`, [0, 1]", default=0),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """Run it to its end. Raises CommandFailed for an exit code that is not expected."""
        from weft.backends.command import run_command

        if ctx.world.children is None:
            raise InternalError("a command was to be run without a place for child processes")
        fine = exit_codes(settings.get("expect"))
        cwd = settings.get("cwd")
        stdin = settings.get("stdin")
        argv = arguments_of(settings)
        if settings.get("command") is None:
            refuse_secrets(ctx, argv)
        done = await run_command(
            ctx.world.children,
            argv,
            cwd=ctx.folder if cwd is None else folder_path(ctx.world, cwd),
            env=environment(ctx, settings.get("env")),
            stdin=None if stdin is None else in_text(stdin).encode(),
            on_output=ctx.log,
        )
        stderr = end_of(ctx.world.mask(_text(done.stderr)), STDERR_KEPT)
        if done.exit_code is None or done.exit_code not in fine:
            raise _failed(done, stderr)
        value = _parsed(done.stdout, settings.get("output") or "text")
        return Output(value, exit_code=done.exit_code, stderr=stderr)


def arguments_of(settings: Mapping[str, Any]) -> list[str]:
    """The program and its arguments. Numbers become text, null is left out."""
    text = settings.get("command")
    if text is not None:
        return [*SHELL, text]
    argv = settings.get("argv")
    if not isinstance(argv, list) or not argv:
        raise bad_setting("argv", f"expected a list of arguments, got {_named(argv)}", 'argv: ["git", "status"]')
    for number, word in enumerate(argv):
        if isinstance(word, list | dict):
            raise bad_setting("argv", f"argument {number} is a {type_name(word)}", "write it as text: to_text(x)")
    return [in_text(word) for word in argv if word is not None]


def refuse_secrets(ctx: AttemptContext, argv: list[str]) -> None:
    """Raise when an argument has a secret in it: a process shows its arguments to everybody on the machine."""
    for number, word in enumerate(argv):
        if ctx.world.mask(word) != word:
            raise bad_setting(
                "argv",
                f"argument {number} has a secret in it, which every user of this machine could read",
                "give it through env or stdin",
            )


def environment(ctx: AttemptContext, given: object) -> dict[str, str]:
    """What the program inherits, the document's own variables, and where it runs."""
    if given is not None and not isinstance(given, Mapping):
        raise bad_setting("env", f"expected an object, got a {type_name(given)}")
    env = dict(ctx.env)
    for name, value in (given or {}).items():
        if _LOADER.match(name):
            raise bad_setting("env", f"{name} decides what code a program loads", "set it in the command's own text")
        if value is not None:
            env[name] = in_text(value)
    env["WEFT_RUN"] = ctx.run_id
    env["WEFT_PATH"] = ctx.path
    env["WEFT_ATTEMPT"] = str(ctx.attempt)
    env["WEFT_KEY"] = ctx.key
    return env


def exit_codes(value: object) -> frozenset[int]:
    """The exit codes of `expect`: 0, `0 1`, [0, 1]."""
    if value is None:
        return frozenset({0})
    words = value if isinstance(value, list) else re.split(r"[\s,]+", str(value).strip())
    try:
        codes = frozenset(int(str(word)) for word in words)
    except ValueError:
        codes = frozenset({-1})
    if not all(0 <= code <= 255 for code in codes):
        raise bad_setting("expect", f"{value!r} is not a list of exit codes", "write 0, or several: 0 1")
    return codes


def end_of(text: str, limit: int) -> str:
    """The end of `text`, from the beginning of a line where that is near."""
    if len(text) <= limit:
        return text
    tail = text[-limit:]
    line = tail.find("\n", 0, limit // 2)
    return "…" + tail[line + 1 :]


def _failed(done: Completed, stderr: str) -> AttemptError:
    how = str(done) if done.exit_code is None else f"ended with exit code {done.exit_code}"
    status = 128 + (done.signal or 0) if done.exit_code is None else done.exit_code
    lines = [line for line in stderr.splitlines() if line.strip()][-5:]
    said = ": " + end_of("\n".join(lines), 1000) if lines else ""
    return CommandFailed(f"the command {how}{said}", status=status, code=done.exit_code, stderr=stderr)


def _parsed(stdout: Captured, output: str) -> object:
    if output == "json":
        if stdout.dropped:
            raise too_large("the command's output", stdout.total - stdout.dropped, "write it to a file")
        return strict_json(as_text(stdout.data, "the command's output"), "the command's output")
    text = _text(stdout)
    if output == "lines":
        return split_lines(text)
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _text(captured: Captured) -> str:
    """What a program printed. It owes us no encoding: what is not UTF-8 becomes U+FFFD.

    Where the middle is missing, head and tail are cut at the end of a line, so that no secret is there by
    half and unrecognised.
    """
    if not captured.dropped:
        return captured.data.decode("utf-8", "replace")
    head, tail = captured.head, captured.tail
    cut = head.rfind(b"\n", -TRIMMED)
    head = head[: cut + 1] if cut >= 0 else head[:-TRIMMED]
    cut = tail.find(b"\n", 0, TRIMMED)
    tail = tail[cut + 1 :] if cut >= 0 else tail[TRIMMED:]
    missing = captured.total - len(head) - len(tail)
    return (head + f"[... {missing:,} bytes left out ...]\n".encode() + tail).decode("utf-8", "replace")


def _named(value: object) -> str:
    return "an empty list" if value == [] else f"a {type_name(value)}"
