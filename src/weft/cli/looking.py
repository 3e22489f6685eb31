"""`weft runs`, `weft show` and `weft why`: looking at runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from weft.cli.options import journal_option, json_option, run_argument
from weft.cli.terminal import OF_STATUS, Out, Streams, one_line, streams, styled
from weft.cli.words import error_words, instant, seconds

if TYPE_CHECKING:
    from weft.app.inspection import Inspection, RunSummary
    from weft.app.stories import AttemptStory, Story
    from weft.results import RunResult

EVERY = 0.1
"""Seconds between two looks at a run that is followed."""


@click.command()
@json_option
@journal_option
def runs(as_json: bool, journal: str | None) -> int:
    """List the runs of this project, newest first."""
    from weft.app.inspection import runs as all_runs

    now = streams()
    if as_json:
        from weft.cli.json import write_object

        write_object(now.out.send, [_run_object(one) for one in all_runs(journal)])
        return 0
    rows = [_run_row(one) for one in all_runs(journal)]
    if not rows:
        now.err.line("there are no runs yet; start one with `weft run FILE`")
        return 0
    table(("run", "workflow", "status", "started", "took"), rows, now.out, status=2)
    return 0


def _run_object(one: RunSummary) -> dict[str, object]:
    from weft.results import EXIT_CODES

    return {
        "run": one.run,
        "workflow": one.workflow,
        "status": one.status,
        "exit_code": EXIT_CODES.get(one.status),
        "started_at": instant(one.started_at),
        "completed_at": instant(one.completed_at),
        "errors": one.errors,
        "document": one.document,
    }


def _run_row(one: RunSummary) -> tuple[str, ...]:
    took = None
    if one.started_at is not None:
        end = one.completed_at or (time.time() if one.status == "running" else None)
        took = None if end is None else end - one.started_at
    started = (instant(one.started_at) or "")[:19].replace("T", " ")
    return one.run, one.workflow, one.status, started, seconds(took)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], out: Out, *, status: int = -1) -> None:
    """Columns as wide as their widest cell, at most 60; the column `status` in its colour."""
    shown = [[one_line(cell, 60) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *shown]) for i in range(len(head))]
    title = "  ".join(word.ljust(width) for word, width in zip(head, widths, strict=True)).rstrip()
    out.line(styled(title, "dim", out))
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if status >= 0:
            cells[status] = styled(cells[status], OF_STATUS.get(row[status]), out)
        out.line("  ".join(cells).rstrip())


# -- show --------------------------------------------------------------------------------------------------------------


@click.command()
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on showing until the run has ended.")
@click.option("--events", is_flag=True, help="Print its events; with --json as JSON lines.")
@json_option
@journal_option
def show(run: str, follow: bool, events: bool, as_json: bool, journal: str | None) -> int:
    """Show RUN, also while it goes on."""
    from weft.app.inspection import inspect

    now = streams()
    seen = inspect(run, journal)
    try:
        _watch(seen, now, follow=follow, events=events, as_json=as_json)
        if events:
            return 0
        if as_json:
            _show_json(seen, now)
        else:
            _show_text(seen, now)
    finally:
        seen.close()
    return 0


def _watch(seen: Inspection, now: Streams, *, follow: bool, events: bool, as_json: bool) -> None:
    """Read the run, and with `follow` as long as somebody works on it."""
    from weft.cli.views import Guarded, Quiet, view_for

    view = view_for(now, as_json=as_json, events=events, progress=True) if events or follow else Guarded(Quiet())
    try:
        while not now.out.gone:
            standing = seen.standing()  # before reading: what is written after the owner has gone is nothing
            for event in seen.follow():
                view.event(seen.report, event)
                if events:
                    _wait_for_reader(now.out)
            if not follow or standing != "running" or seen.report.status != "running":
                return
            time.sleep(EVERY)
    finally:
        view.close()


def _wait_for_reader(out: Out) -> None:
    """Reading a journal can wait for whoever reads us; nothing need be left out."""
    if not out.ready():
        out.drain()


def _show_json(seen: Inspection, now: Streams) -> None:
    from weft.cli.json import run_pieces

    result = seen.report.result()
    for piece in run_pieces(result, result.exit_code, seen.standing()):
        now.out.send(piece)


def _show_text(seen: Inspection, now: Streams) -> None:
    from weft.cli.ending import journal_option, show_output, show_troubles, show_way_on, summary_line, way_on

    report = seen.report
    result = report.result()
    status = seen.standing()
    out = now.out
    out.line(summary_line(result, status, out))
    if report.document:
        out.line(f"document: {one_line(report.document)}")
    ended = f", ended: {instant(result.completed_at)}" if result.completed_at else ""
    out.line(f"started: {instant(result.started_at)}{ended}")
    if report.settings:
        out.line("with: " + ", ".join(f"{one_line(name)} {one_line(value)}" for name, value in report.settings.items()))
    out.line(f"waves: {result.waves}, the highest with a started node: {result.current_wave}")
    if result.nodes:
        out.line()
        table(("path", "kind", "status", "attempts", "took", "why"), _node_rows(result), out, status=2)
    if result.nodes_left_out:
        out.line(f"{result.nodes_left_out:,} more are not listed")
    out.line()
    show_output(result.output, out)
    show_troubles(result, out, seen.folder)
    journal = None if seen.folder is None else seen.folder.parent.parent
    where = "" if journal is None else journal_option(journal)
    resume = way_on(result.run_id, report.document, report.settings, where)
    show_way_on(result.run_id, status, report.questions, out, journal, resume)


def _node_rows(result: RunResult) -> list[tuple[str, ...]]:
    return [
        (path, node.kind, node.status, str(node.attempts), seconds(node.duration), node.reason)
        for path, node in result.nodes.items()
    ]


# -- why ---------------------------------------------------------------------------------------------------------------


@click.command()
@run_argument
@click.argument("path", metavar="PATH")
@json_option
@journal_option
def why(run: str, path: str, as_json: bool, journal: str | None) -> int:
    """Say why the node at PATH of RUN ran, or did not, and how its attempts ended."""
    from weft.app.stories import why as story_of

    story = story_of(run, path, journal)
    out = streams().out
    if as_json:
        from weft.cli.json import write_object

        write_object(out.send, _story_object(story))
    else:
        _tell(story, out)
    return 0


def _story_object(story: Story) -> dict[str, object]:
    attempts = []
    for one in story.attempts:
        fields: dict[str, object] = {name: getattr(one, name) for name in one.__struct_fields__}
        attempts.append(fields | {"started_at": instant(one.started_at), "ended_at": instant(one.ended_at)})
    return {
        "run": story.run,
        "path": story.path,
        "kind": story.kind,
        "status": story.status,
        "reason": story.reason,
        "needs": [{"path": path, "status": status} for path, status in story.needs],
        "attempts": attempts,
        "waited": [{"limit": limit, "seconds": waited} for limit, waited in story.waited],
        "notes": list(story.notes),
        "cause": story.cause,
    }


def _tell(story: Story, out: Out) -> None:
    kind = f" ({one_line(story.kind)})" if story.kind else ""
    out.line(f"{one_line(story.path)}{kind}: {styled(story.status, OF_STATUS.get(story.status), out)}")
    if story.reason:
        out.line(f"  why: {one_line(story.reason)}")
    if story.cause and story.cause != story.path:
        out.line(f"  because {one_line(story.cause)} failed")
    for path, status in story.needs:
        out.line(f"  after: {one_line(path)}" + (f" ({status})" if status else ""))
    for limit, waited in story.waited:
        out.line(f"  waited {seconds(waited)} for the limit {one_line(limit)}")
    for note in story.notes:
        out.line(f"  {one_line(note)}")
    for one in story.attempts:
        out.line(f"  {_attempt_words(one)}")


def _attempt_words(one: AttemptStory) -> str:
    parts = [f"attempt {one.number}"]
    if one.started_at is not None:
        parts.append(f"started {instant(one.started_at)}")
    if one.reason and one.reason != "new":
        parts.append(f"({one_line(one.reason)})")
    if one.outcome is None:
        parts.append("has no end on record")
    else:
        parts.append(f"{one.outcome} after {seconds(one.duration)}")
    text = " ".join(parts)
    if one.error is not None:
        text += f": {error_words(one.error)}"
    if one.retry_after is not None:
        text += f"; tried again after {seconds(one.retry_after)}"
    return text
