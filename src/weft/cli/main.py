"""The command `weft`: which commands there are, and the one place where everything that goes wrong ends.

A command's module is imported when the command is used: `weft --version` and `weft --help` import click and
nothing else of weight. Commands return their exit code or raise; they never exit. The real entry point leaves
with `os._exit` after the last flush: what the interpreter would tidy up in the next 18 ms, the kernel does for
nothing, and no thread that hangs can keep the process alive.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

import weft
from weft.cli.terminal import fresh, occupy_standard_streams

GARBAGE = 50_000
"""New objects between two looks for cycles. What imports make stays: looking at it every 700 objects costs 20 ms."""

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("weft.cli.running:run", "Run a document."),
    "resume": ("weft.cli.running:resume", "Go on with a run, exactly with what is missing."),
    "decide": ("weft.cli.requests:decide", "Say what became of a waiting node."),
    "cancel": ("weft.cli.requests:cancel", "End a run for good, and roll it back."),
    "runs": ("weft.cli.looking:runs", "List the runs of this project, newest first."),
    "show": ("weft.cli.looking:show", "Show a run, also while it goes on."),
    "logs": ("weft.cli.logs:logs", "Show what the steps of a run printed."),
    "why": ("weft.cli.looking:why", "Say why a node ran, or did not, and how its attempts ended."),
    "check": ("weft.cli.documents:check", "Find every mistake in documents; runs nothing."),
    "graph": ("weft.cli.documents:graph", "Draw a document; runs nothing."),
    "nodes": ("weft.cli.documents:nodes", "List the kinds of nodes and their settings."),
    "plan": ("weft.cli.plans:plan", "Run a plan of coding tasks with coding agents."),
    "doctor": ("weft.cli.machine:doctor", "Look whether this machine has what Weft needs."),
    "limits": ("weft.cli.machine:limits", "Print all limits with their values."),
    "config": ("weft.cli.machine:config", "Print all settings with their values."),
    "completion": ("weft.cli.machine:completion", "Print the completion script of a shell."),
}
"""Name: where it is, and its line in the help."""


class Commands(click.Group):
    """The commands, each imported when it is used; and what becomes of their errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from weft.cli.suggest import unknown_command

            raise unknown_command(name, list(COMMANDS), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command. Exits with its code, or returns it when `standalone_mode` is false."""
        prog_name = "weft"
        self._main_shell_completion(extra, prog_name, complete_var)
        code = self._guarded(list(sys.argv[1:] if args is None else args), prog_name, extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _guarded(self, args: list[str], prog_name: str, extra: dict[str, Any]) -> int:
        streams = fresh()
        try:
            with self.make_context(prog_name, args, **extra) as ctx:
                code = self.invoke(ctx)
            code = code if isinstance(code, int) else 0
        except click.exceptions.Exit as error:
            code = error.exit_code
        except BaseException as error:  # the one place where all of them end
            from weft.cli.failures import report

            code = report(error, streams.err)
        return _last_words(code)


def _last_words(code: int) -> int:
    """Wait for slow readers; a result that could not be written is an error when nothing else was."""
    from weft.cli.terminal import streams

    now = streams()
    try:
        now.out.drain()
        if now.out.dropped:
            now.err.line(f"weft: {now.out.dropped:,} lines were not read in time and are left out; the journal has all")
        now.err.drain()
    except KeyboardInterrupt:
        return code or 130
    if now.out.trouble:
        now.err.line(f"weft: cannot write to standard output: {now.out.trouble.lower()}")
        return code or 74
    return code


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 succeeded, 1 failed, 2 finished with issues, 4 waiting for a decision, "
    "64 wrong command line, 65 wrong document or input, 66 no such file or run, 75 owned by another process, "
    "130 and 143 interrupted.",
)
@click.version_option(weft.__version__, "--version", prog_name="weft", message="%(prog)s %(version)s")
def cli() -> None:
    """Many steps at once, safely, and nothing forgotten."""


def main() -> NoReturn:
    """The command `weft`, as a process: it never returns."""
    gc.set_threshold(GARBAGE)
    occupy_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = cli.main(standalone_mode=False)
    except BaseException as error:  # a second Ctrl-C while the first was being reported
        code = 130 if isinstance(error, KeyboardInterrupt) else 70
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more
    os._exit(code)
