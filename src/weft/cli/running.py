"""`weft run` and `weft resume`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from weft.cli.options import engine_options, output_options, run_argument
from weft.cli.terminal import Streams, streams
from weft.cli.views import Guarded, view_for
from weft.cli.words import counted, seconds
from weft.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from weft.app import Audience, Outcome


SWITCH = 0.0005
"""Seconds between two turns of threads: with the usual 5 ms a commit waits 16 ms while Python code is busy."""


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--set", "sets", metavar="NAME=VALUE", multiple=True, help="A config value: JSON, else text.")
@click.option("--input", "given", metavar="JSON|@FILE", help="The document's input, an object.")
@engine_options
@click.option("--schedule", type=click.Choice(["dataflow", "waves"]), help="In which order nodes start.")
@click.option("--timeout", metavar="DURATION", help="For the whole run: 90s, 10m, 1h30m.")
@click.option("--dry-run", is_flag=True, help="Print what would run and what it would touch; run nothing.")
@output_options
def run(
    file: str,
    sets: tuple[str, ...],
    given: str | None,
    dry_run: bool,
    as_json: bool,
    events: bool,
    no_progress: bool,
    **rest: Any,
) -> int:
    """Run the document FILE.

    \b
    weft run etl.flow.md
    weft run etl.flow.md --set threshold=70 --input '{"day": "2026-03-01"}'
    """
    _refuse_bad_sets(sets)
    from weft import app
    from weft.app.documents import load

    request = app.Request(sets=sets, input=given, **rest)
    now = streams()
    loaded = load(file)
    if loaded.program is None:
        return _refused(DocumentError(loaded.diagnostics, loaded.source), now, as_json=as_json)
    if loaded.diagnostics and not as_json:
        from weft.cli.diagnostics import show

        show(loaded.diagnostics, loaded.source, now.err)
    if dry_run:
        from weft.cli.preview import show_preview

        return show_preview(file, loaded, request, now, as_json=as_json)
    view = view_for(now, as_json=as_json, events=events, progress=not no_progress)
    return _sit(
        lambda audience: app.run(file, request, audience=audience, loaded=loaded),
        view,
        now,
        as_json=as_json,
        events=events,
    )


@click.command()
@run_argument
@click.option("--accept-changes", is_flag=True, help="The document was changed: run what changed again.")
@click.option("--take-over", is_flag=True, help="End the process that works on the run, and go on here.")
@engine_options
@output_options
def resume(
    run: str,
    accept_changes: bool,
    take_over: bool,
    as_json: bool,
    events: bool,
    no_progress: bool,
    **rest: Any,
) -> int:
    """Go on with RUN: an id, the beginning of one, or `last`.

    What is done stays done; what failed, was lost or never started runs.
    """
    from weft import app

    request = app.Request(**rest)
    now = streams()
    view = view_for(now, as_json=as_json, events=events, progress=not no_progress)
    try:
        return _sit(
            lambda audience: app.resume(
                run, request, accept_changes=accept_changes, take_over=take_over, audience=audience
            ),
            view,
            now,
            as_json=as_json,
            events=events,
        )
    except DocumentError as error:
        return _refused(error, now, as_json=as_json)


def _sit(work: Callable[[Audience], Outcome], view: Guarded, now: Streams, *, as_json: bool, events: bool) -> int:
    """Work, and say what became of it. Whatever is shown, the exit code is the run's."""
    sys.setswitchinterval(SWITCH)
    try:
        outcome = work(audience_of(view, now))
    finally:
        view.close()
    if view.fault is not None:
        from weft.cli.failures import report

        report(view.fault, now.err)
    if as_json and not events:
        from weft.cli.json import run_pieces

        status = "interrupted" if outcome.interrupted and outcome.result.status == "running" else None
        for piece in run_pieces(outcome.result, outcome.exit_code, status):
            now.out.send(piece)
    from weft.cli.ending import show_outcome, show_way_on

    if not as_json:
        show_outcome(outcome, now)
    elif outcome.interrupted:
        show_way_on(outcome.result.run_id, "interrupted", outcome.questions, now.err, outcome.journal)
    if outcome.interrupted:
        now.out.drain(2.0)
        now.out.gone = now.out.gone or not now.out.drain(0)
    return outcome.exit_code


def audience_of(view: Guarded, now: Streams) -> Audience:
    """The view, and a word about each Ctrl-C."""
    from weft.app import Audience

    return Audience(view.event, view.log, lambda count, steps, grace: _tell_of_signal(view, now, count, steps, grace))


def _tell_of_signal(view: Guarded, now: Streams, count: int, steps: int, grace: float) -> None:
    """What the first and the second Ctrl-C do."""
    if count == 1 and steps:
        text = f"leaving: {counted(steps, 'step')} may end within {seconds(grace)}; Ctrl-C again stops them"
    else:
        text = "leaving: stopping what runs" if steps else "leaving"
    if not view.notice(text):
        now.err.line(f"weft: {text}")


def _refused(error: DocumentError, now: Streams, *, as_json: bool) -> int:
    if not as_json:
        raise error
    from weft.cli.diagnostics import check_object
    from weft.cli.json import write_object

    write_object(now.out.send, check_object(error.diagnostics))
    return error.exit_code


def _refuse_bad_sets(sets: tuple[str, ...]) -> None:
    for text in sets:
        name, equals, _ = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set {text!r}: not a NAME=VALUE", hint="like --set threshold=70")
