"""Cancel and decide: what a person wants of a run that somebody else may be working on."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from weft import event_types as events
from weft.app.documents import load_source, that_ran
from weft.app.inspection import Inspection
from weft.app.running import NOBODY, Audience, Request, end_children, resumption, sit
from weft.app.stores import first_event, locate
from weft.errors import NotResumableError, UsageError

if TYPE_CHECKING:
    from weft.engine.inbox import Request as Wish
    from weft.engine.report import Report
    from weft.journal.base import Journal, Store


def cancel(run_id: str, *, reason: str = "", journal: str | None = None, audience: Audience = NOBODY) -> str:
    """Ask for a run to end. Returns `requested` when its owner was told, `kept` when the wish waits in its journal for
    the program that goes on with it, `interrupted` when a signal stopped its rollback here (a resume goes on with
    that), else the status with which it is over: `cancelled`, or another when nothing was left to be cancelled.

    Without an owner this process ends it, rollback and all, by the document as it last ran. Raises NotResumableError
    when the run has ended as something else.
    """
    from weft.engine.inbox import Request as Wish

    place, store, full = locate(run_id, journal)
    wish = Wish(type="cancel", by=_who(), reason=reason)
    if _cancelled_already(store, full):
        return "cancelled"
    held = _own_or_tell(store, full, wish)
    if held is None:
        return "requested"
    try:
        if _cancelled_already(store, full):
            held.close()
            return "cancelled"
        held.append([wish.event(time.time())])
        first = first_event(store, full)
        if first.document is None or held.folder is None:  # whoever has the Python code ends it
            held.close()
            return "kept"
        loaded = load_source(that_ran(held.folder, _last_digest(held), first.document))
        sitting, facts, resumed = resumption(store, held, loaded, first, Request(journal=journal), audience=audience)
    except BaseException:
        held.close()
        raise
    outcome = sit(sitting, store, lambda: sitting.resume(facts, resumed), audience.watch, place.journal)
    status = outcome.result.status
    return "interrupted" if outcome.interrupted and status == "running" else status


def decide(run_id: str, path: str, answer: str, value: str | None = None, *, journal: str | None = None) -> str:
    """Settle the outcome of a waiting node: `done` (with the JSON of its output), `retry` or `fail`.

    Returns `requested` when the run's owner was told, else `decided`. Raises UsageError for another answer or a node
    that is not waiting.
    """
    from weft.engine.inbox import Request as Wish

    raw = output_of(answer, value)
    _, store, full = locate(run_id, journal)
    wish = Wish(type="decide", path=path, answer=answer, value=raw, by=_who())
    _refuse_decision(store, full, path)
    held = _own_or_tell(store, full, wish)
    if held is None:
        return "requested"
    try:
        _refuse_decision(store, full, path)  # somebody may have been faster
        held.append([wish.event(time.time())])
    finally:
        held.close()
    return "decided"


def output_of(answer: str, value: str | None) -> msgspec.Raw:
    """The output that an answer gives the node. Raises UsageError for an answer or a value that cannot be."""
    from weft import values
    from weft.errors import ValidationError

    if answer not in ("done", "retry", "fail"):
        raise UsageError(f"{answer!r} is not an answer", hint="answer done, retry or fail")
    if value is not None and answer != "done":
        raise UsageError("--value goes with done", hint="a retry or a failure has no output")
    try:
        return events.NULL if value is None else msgspec.Raw(values.encode(values.decode(value.encode())))
    except ValidationError as error:
        raise UsageError(f"--value: {error}", hint="write JSON, for a text with its quotes: --value '\"ok\"'") from None


def _report(store: Store, run_id: str) -> Report:
    seen = Inspection(store, run_id)
    try:
        seen.refresh()
    finally:
        seen.close()
    return seen.report


def _cancelled_already(store: Store, run_id: str) -> bool:
    """Raises NotResumableError when the run has ended as something else."""
    status = _report(store, run_id).status
    if status not in ("running", "waiting", "cancelled"):
        raise NotResumableError(f"run {run_id} has ended as {status}")
    return status == "cancelled"


def _refuse_decision(store: Store, run_id: str, path: str) -> None:
    report = _report(store, run_id)
    if path in report.questions:
        return
    node = report.nodes.get(path)
    state = "no such node" if node is None else f"the node is {node.status}"
    waiting = ", ".join(report.questions)
    hint = f"waiting: {waiting}" if waiting else "nothing is waiting in this run"
    raise UsageError(f"{path}: there is nothing to decide ({state})", hint=hint)


def _own_or_tell(store: Store, run_id: str, wish: Wish) -> Journal | None:
    """The run, opened for writing; None when it has an owner: that one is told."""
    import uuid

    from weft.engine.inbox import leave
    from weft.errors import OwnedError

    try:
        return store.open(run_id, kill_children=end_children)
    except OwnedError:
        reader = store.reader(run_id)
        reader.close()
        assert reader.folder is not None
        leave(reader.folder, wish, uuid.uuid4().hex)
        return None


def _last_digest(journal: Journal) -> str | None:
    """The digest of the document that the last sitting ran."""
    digest = None
    for batch in journal.read():
        for event in batch:
            if isinstance(event, events.RunStarted | events.RunResumed):
                digest = event.document_digest or digest
    return digest


def _who() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
