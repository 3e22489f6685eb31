"""`weft decide` and `weft cancel`: what a person wants of a run."""

from __future__ import annotations

import click

from weft.cli.options import journal_option, run_argument
from weft.cli.running import audience_of
from weft.cli.terminal import one_line, streams
from weft.cli.views import Guarded, Quiet
from weft.errors import EXIT_CANCELLED


@click.command()
@run_argument
@click.argument("path", metavar="PATH")
@click.argument("answer", metavar="done|retry|fail")
@click.option("--value", metavar="JSON", help="With done: the node's output.")
@journal_option
def decide(run: str, path: str, answer: str, value: str | None, journal: str | None) -> int:
    """Say what became of a waiting node of RUN.

    \b
    done   the effect happened; --value is the node's output
    retry  it did not happen: try again
    fail   the node failed
    """
    from weft import app
    from weft.app.requests import output_of
    from weft.app.stores import locate

    output_of(answer, value)  # a wrong command line is told before a run is looked for
    full = locate(run, journal)[2]
    said = app.decide(full, path, answer, value, journal=journal)
    out = streams().out
    if said == "requested":
        out.line(f"told the process that works on run {full}")
    else:
        out.line(f"{one_line(path)} is decided: {answer}; go on with: {_way_on(full, journal)}")
    return 0


@click.command()
@run_argument
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the journal.")
@journal_option
def cancel(run: str, reason: str, journal: str | None) -> int:
    """End RUN for good: what runs is stopped, what was done is rolled back."""
    from weft import app
    from weft.app.stores import locate

    full = locate(run, journal)[2]
    now = streams()
    said = app.cancel(full, reason=reason, journal=journal, audience=audience_of(Guarded(Quiet()), now))
    if said == "interrupted":
        now.err.line(f"weft: its rollback was interrupted; go on with: weft resume {full}{_journal(journal)}")
        return EXIT_CANCELLED
    if said == "kept":
        now.out.line(f"run {full} is to be cancelled; its end comes with: {_way_on(full, journal)}")
        return 0
    if said == "requested":
        now.out.line(f"told the process that works on run {full}")
    elif said == "cancelled":
        now.out.line(f"run {full} is cancelled")
    else:
        now.out.line(f"run {full} has ended as {said}, not as cancelled: all of it was over")
    return 0


def _way_on(run_id: str, journal: str | None) -> str:
    from weft.app.stores import first_event, locate
    from weft.cli.ending import way_on

    first = first_event(locate(run_id, journal)[1], run_id)
    return way_on(run_id, first.document, first.settings, _journal(journal))


def _journal(journal: str | None) -> str:
    from weft.cli.ending import shell_word

    return "" if journal is None else f" --journal {shell_word(journal)}"
