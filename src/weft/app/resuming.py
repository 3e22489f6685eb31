"""Going on with a run: what its journal says, held against what is to run now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from weft import event_types as events
from weft.app.documents import keep, load_source, show_as_running, that_ran
from weft.errors import ChangedError, NotResumableError
from weft.fronts.flow import Loaded, compare
from weft.graph.work import Program

if TYPE_CHECKING:
    from weft.engine.facts import Facts
    from weft.engine.sitting import Sitting
    from weft.journal.base import Journal


def facts_of(journal: Journal, program: Program) -> Facts:
    """What has happened. Raises NotResumableError for a run that has nothing to go on with."""
    from weft.engine.facts import Facts

    facts = Facts(program.graph, program.on_failure)
    facts.scan(journal.read())
    if facts.finished in ("succeeded", "cancelled", "issues"):
        hint = "start a new run, or see weft show"
        raise NotResumableError(f"run {journal.run_id} has ended as {facts.finished}", hint=hint)
    return facts


def changes_of_document(
    journal: Journal, facts: Facts, loaded: Loaded, first: events.RunStarted, *, accept: bool
) -> dict[str, str] | None:
    """What is different in the document since the run last read it, as node id -> reason; None: it is the same.

    Raises ChangedError, unless changes are accepted.
    """
    assert loaded.program is not None
    if loaded.program.digest == facts.digest:
        return None
    if journal.folder is None:
        return {}
    ran = load_source(that_ran(journal.folder, facts.digest, str(first.document)))
    if ran.program is None or ran.document is None:
        raise ChangedError("the document that ran can no longer be read", hint="start a new run")
    changed, lines = compare(ran, loaded)
    if lines and not accept:
        raise ChangedError(
            f"{first.document} is not the document that ran",
            lines,
            hint="--accept-changes runs what changed and what depends on it again; or restore the document",
        )
    return changed


def turned(
    journal: Journal, facts: Facts, program: Program, changed: dict[str, str] | None, settings: Mapping[str, str]
) -> events.RunResumed:
    """How the next sitting begins: the facts are made its own, and the event that says so.

    `changed` are reasons by node id; None when it is the program that ran.
    """
    from weft.engine.sitting import node_plan

    facts.turn()
    if changed is not None:
        facts.edit(program.digest, changed)
    if facts.edited:
        facts.number(journal.read())
    return events.RunResumed(
        at=time.time(),
        epoch=journal.epoch,
        changed=changed or {},
        document_digest=program.digest,
        settings=dict(settings),
        plan=() if changed is None else node_plan(program.graph, digests=program.document is None),
    )


def show_change(sitting: Sitting, journal: Journal, program: Program) -> None:
    """Whoever looks at the run reads the document that it runs from here on."""
    keep(journal.folder, program)
    sitting.listen(lambda event: show_as_running(journal.folder, program, event))
