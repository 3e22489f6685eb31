"""The last words about a run: a short summary of one that went well, and of one that did not every error and
the way on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.cli.terminal import OF_STATUS, Out, Streams, harmless, log_text, one_line, styled
from weft.cli.words import error_words, seconds
from weft.errors import NodeFailed
from weft.results import RollbackReport, RunResult

if TYPE_CHECKING:
    from weft.app import Outcome

_TAILS = 10
"""Failures whose last log lines are shown."""
_TAIL_LINES = 5
_OUTPUT = 300
"""Characters of the output in a summary."""


def show_outcome(outcome: Outcome, streams: Streams) -> None:
    """What became of a run, after a sitting: the summary on standard output, trouble on standard error."""
    result = outcome.result
    status = "interrupted" if outcome.interrupted and result.status == "running" else result.status
    streams.out.line(summary_line(result, status, streams.out))
    if status in ("succeeded", "issues"):
        show_output(result.output, streams.out)
    show_troubles(result, streams.err, run_folder(outcome.journal, result.run_id))
    show_way_on(result.run_id, status, outcome.questions, streams.err, outcome.journal)


def summary_line(result: RunResult, status: str, out: Out) -> str:
    """`etl failed in 1.2 s: 3 succeeded, 1 failed (run 2026…)`."""
    took = f" in {seconds(result.duration)}" if result.duration is not None else ""
    counts = ", ".join(f"{number:,} {name}" for name, number in statuses(result).items())
    word = styled("finished with issues" if status == "issues" else status, OF_STATUS.get(status), out)
    return f"{one_line(result.workflow)} {word}{took}: {counts or 'no nodes'} (run {result.run_id})"


def statuses(result: RunResult) -> dict[str, int]:
    """How many nodes have each status; what matters most comes first."""
    order = ("failed", "waiting", "cancelled", "running", "ready", "pending", "succeeded", "skipped")
    return {status: result.counts[status] for status in order if result.counts.get(status)}


def show_output(output: Any, out: Out) -> None:
    """The document's output on one line, cut when it is long."""
    if output is None or output == "":
        return
    from weft.cli.json import encode

    text = output if isinstance(output, str) else encode(output).decode()
    shown = one_line(text[:_OUTPUT])
    more = f"… ({len(text):,} characters; `weft show last --json` has them all)" if len(text) > _OUTPUT else ""
    out.line(f"output: {shown}{more}")


def show_troubles(result: RunResult, err: Out, folder: Path | None) -> None:
    """Every failed path with its attempt, message, cause and log; and what could not be undone."""
    for number, error in enumerate(result.errors):
        _show_failure(error, err, folder, tail=number < _TAILS)
    if result.rollback is not None:
        show_rollback(result.rollback, err)


def _show_failure(failed: NodeFailed, err: Out, folder: Path | None, *, tail: bool) -> None:
    where = f"{one_line(failed.path)} (attempt {failed.attempt})"
    err.line(f"{styled('failed', 'red', err)}: {where}: {error_words(failed.error)}")
    if failed.error.place:
        err.line(f"  at {one_line(failed.error.place)}")
    if failed.error.cause:
        err.line(f"  because {one_line(failed.error.cause, 400)}")
    if folder is None:
        return
    from weft.app.logs import log_of

    log = log_of(folder, failed.path, failed.attempt)
    if log is None:
        return
    for line in _last_lines(log) if tail else ():
        err.line(f"  | {line}")
    err.line(f"  log: {one_line(shortest(log))}")


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            data = file.read()
    except OSError:
        return []
    lines = log_text(data.decode("utf-8", "replace")).splitlines()
    return [line[:200] for line in lines if line.strip()][-_TAIL_LINES:]


def show_rollback(rollback: RollbackReport, err: Out) -> None:
    """What was undone, and what was not."""
    for word, paths in (("undone", rollback.rolled_back), ("not undone", rollback.failed)):
        if paths:
            err.line(f"{word}: {', '.join(one_line(path) for path in paths[:20])}{_more(len(paths) - 20)}")


def _more(number: int) -> str:
    return f" and {number:,} more" if number > 0 else ""


def way_on(run_id: str, document: str | None, settings: Mapping[str, str], where: str) -> str:
    """What goes on with a run: a command, or a call where only a program has the code. `where` is ` --journal ...`."""
    if "plan" in settings:
        return f"weft plan run {shell_word(settings['plan'])} --repo {shell_word(settings.get('repository', '.'))}"
    if document is None:
        return f"weft.resume_sync({run_id!r}, workflow, journal=...) in its program"
    return f"weft resume {run_id}{where}"


def show_way_on(
    run_id: str, status: str, questions: Mapping[str, str], err: Out, journal: Path | None, resume: str = ""
) -> None:
    """What to go on with, where anything can: `resume`, else the command."""
    if journal is None:
        if status != "succeeded":
            err.line("nothing was kept of this run (journal none): it cannot be resumed")
        return
    where = journal_option(journal)
    resume = resume or f"weft resume {run_id}{where}"
    for path, question in questions.items():
        err.line(f"waiting: {one_line(path)}: {harmless(question)}")
        err.line(f"  settle it with: weft decide {run_id} {shell_word(path)} done|retry|fail{where}")
    if status == "interrupted":
        err.line(f"interrupted; go on with: {resume}")
    elif status == "failed":
        err.line(f"go on with: {resume}")
    elif status == "waiting":
        err.line(f"then go on with: {resume}")


def run_folder(journal: Path | None, run_id: str) -> Path | None:
    """Where a run is kept."""
    return None if journal is None else journal / "runs" / run_id


def journal_option(journal: Path) -> str:
    """` --journal FOLDER` when a command given here would look elsewhere, else nothing."""
    from weft.app import project
    from weft.errors import WeftError

    try:
        usual = project.find(Path.cwd()).journal
    except (WeftError, OSError):
        usual = None
    if usual is not None and usual.resolve() == journal.resolve():
        return ""
    return f" --journal {shell_word(shortest(journal))}"


def shortest(path: Path) -> str:
    """The path from the working directory where that is a path downwards, else the whole one."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def shell_word(text: str) -> str:
    """The text as one word of a shell, without what a terminal would obey."""
    import shlex

    return shlex.quote(one_line(text))
