"""Run and resume: find the parts of a sitting, put them together, work, and tell the history what was learnt.

Nothing in here prints, and nothing in here decides what a document means; it finds the parts and puts them together.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft import event_types as events
from weft.app import project
from weft.app.documents import kept_files, load, program_of
from weft.app.given import arguments_of, given_before
from weft.app.project import Project
from weft.app.resuming import changes_of_document, facts_of, show_change, turned
from weft.app.stores import first_event, locate, store_of
from weft.errors import InputError, NotResumableError
from weft.fronts.flow import Loaded
from weft.graph.work import Program
from weft.results import RunResult

if TYPE_CHECKING:
    from weft.engine.facts import Facts
    from weft.engine.report import Report
    from weft.engine.sitting import Arguments, LogListener, Options, Sitting
    from weft.event_types import Event
    from weft.journal.base import Journal, Store


class Request(msgspec.Struct, frozen=True):
    """What the user asks of a run; None and empty mean: not said."""

    sets: tuple[str, ...] = ()
    input: str | None = None
    """JSON, or `@file`."""
    env_file: str | None = None
    jobs: int | None = None
    schedule: str | None = None
    timeout: str | None = None
    journal: str | None = None
    allow_path: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """Those that are settings of the project, too."""
        return {
            "journal": self.journal,
            "jobs": self.jobs,
            "schedule": self.schedule,
            "timeout": self.timeout,
            "env-file": self.env_file,
            "allow-path": self.allow_path or None,
        }


class Outcome(msgspec.Struct, frozen=True):
    """How a sitting ended: the run as it stands, and what the process should exit with.

    `interrupted` is the signal that ended the sitting, 0 when none did; `journal` is the folder that the run is kept in
    (`.weft`), None when nothing was kept; `questions` has what each waiting path asks.
    """

    result: RunResult
    exit_code: int
    interrupted: int = 0
    journal: Path | None = None
    questions: Mapping[str, str] = {}


# -- running -----------------------------------------------------------------------------------------------------------

Watcher = Callable[["Report", "Event"], None]
"""Told of every event after its commit, with the run as it then stands."""
OnSignal = Callable[[int, int, float], None]
"""Told of the n-th signal: n, running steps, seconds of grace."""


class Audience(msgspec.Struct, frozen=True):
    """Who listens to a run. With `signal`, the sitting takes SIGINT, SIGTERM and SIGHUP (a library must not)."""

    watch: Watcher | None = None
    log: LogListener | None = None
    signal: OnSignal | None = None


NOBODY = Audience()


def run(
    path: str | Path,
    request: Request,
    *,
    audience: Audience = NOBODY,
    loaded: Loaded | None = None,
) -> Outcome:
    """Run a document to its end, in this process. Raises WeftError for what is wrong before it starts.

    `loaded`: the document, when it was read already.
    """
    from weft.engine.sitting import run_started

    _refuse_unwritable_name(path)
    program, loaded = program_of(path if loaded is None else loaded)
    place = project.find(Path(path), request.settings())
    given = arguments_of(loaded, place, request.sets, request.input)
    options = _options(Path(path), request, place)
    store = store_of(place, program)
    run_id = store.new_id()
    started = run_started(
        run_id, program, given, options, at=time.time(), settings=_facts_of_this_sitting(options, program, place)
    )
    journal = store.create(run_id, [started], kept_files(program))
    sitting = _sitting(program, given, journal, options, store, audience, instant=place.journal is None)
    return sit(sitting, store, lambda: sitting.start(started), audience.watch, place.journal)


def _refuse_unwritable_name(path: str | Path) -> None:
    """The journal is JSON, and a resume finds the document by its name. Raises InputError."""
    try:
        str(Path(path).absolute()).encode()
    except UnicodeEncodeError:
        raise InputError("the document's name, or that of a folder around it, is not UTF-8", hint="rename it") from None


def resume(
    run_id: str,
    request: Request,
    *,
    accept_changes: bool = False,
    take_over: bool = False,
    audience: Audience = NOBODY,
) -> Outcome:
    """Go on with a run, exactly with what is missing.

    Raises ChangedError when the document is not the one that ran, OwnedError when another process works on the run,
    NotResumableError when there is nothing to go on with.
    """
    place, store, run_id = locate(run_id, request.journal)
    first = first_event(store, run_id)
    if "plan" in first.settings:
        hint = shlex.join(["weft", "plan", "run", first.settings["plan"], "--repo", first.settings["repository"]])
        raise NotResumableError("this is the run of a plan", hint=hint)
    if first.document is None:
        raise NotResumableError(
            f"run {run_id} came from Python code",
            hint=f"go on with weft.resume_sync({run_id!r}, workflow, journal=...) in its program",
        )
    journal = store.open(run_id, take_over=take_over, kill_children=end_children)
    try:
        loaded = load(first.document)
        sitting, facts, resumed = resumption(
            store, journal, loaded, first, request, accept=accept_changes, audience=audience
        )
    except BaseException:
        journal.close()
        raise
    return sit(sitting, store, lambda: sitting.resume(facts, resumed), audience.watch, place.journal)


def resumption(
    store: Store,
    journal: Journal,
    loaded: Loaded,
    first: events.RunStarted,
    request: Request,
    *,
    accept: bool = False,
    audience: Audience = NOBODY,
) -> tuple[Sitting, Facts, events.RunResumed]:
    """What a sitting needs to go on with a run that this process owns now."""
    program, loaded = program_of(loaded)
    facts = facts_of(journal, program)
    changed = changes_of_document(journal, facts, loaded, first, accept=accept)
    place = project.find(Path(str(first.document)), request.settings())
    given = given_before(first, loaded, place)
    options = _options(Path(str(first.document)), request, place)
    resumed = turned(journal, facts, program, changed, _facts_of_this_sitting(options, program, place))
    sitting = _sitting(program, given, journal, options, store, audience)
    if changed is not None:
        show_change(sitting, journal, program)
    return sitting, facts, resumed


def _sitting(
    program: Program,
    given: Arguments,
    journal: Journal,
    options: Options,
    store: Store,
    audience: Audience,
    *,
    instant: bool = False,
) -> Sitting:
    from weft.engine.sitting import Sitting

    return Sitting(
        program,
        given,
        journal,
        options,
        weights=weights_of(store, program),
        on_log=audience.log,
        on_signal=audience.signal,
        instant=instant,
    )


def sit(sitting: Sitting, store: Store, begin: Callable[[], Any], watch: Watcher | None, kept: Path | None) -> Outcome:
    """Work until the run has ended or the process was told to leave; then tell the history what was learnt."""
    import asyncio

    from weft.journal.base import Contribution

    if watch is not None:
        sitting.listen(lambda event: watch(sitting.report, event))
    try:
        asyncio.run(begin())
    except Exception as error:
        if sitting.vault is not None:
            error.mask = sitting.vault.mask  # type: ignore[attr-defined]  # whoever shows it must hide the secrets
        raise
    finally:
        sitting.journal.close()
    report = sitting.report
    if kept is not None and sitting.durations:
        leave_behind(store, report.run_id, Contribution(durations=sitting.durations))
    result = report.result()
    code = 128 + sitting.interrupted if sitting.interrupted and report.status == "running" else result.exit_code
    return Outcome(result, 70 if code is None else code, sitting.interrupted, kept, dict(report.questions))


def leave_behind(store: Store, run_id: str, contribution: Any) -> None:
    """Tell the history what a run has learnt."""
    from contextlib import suppress

    from weft.errors import MachineError

    with suppress(MachineError):  # what later runs learn from this one may be lost; the run itself is not touched
        store.history.record(run_id, contribution)


def weights_of(store: Store, program: Program) -> dict[str, float]:
    """What the nodes of a program took in earlier runs, in seconds by weight key, as far as that is known."""
    from weft.errors import MachineError
    from weft.graph.model import walk

    keys = {node.weight_key for node in walk(program.graph) if node.weight_key}
    try:
        return store.history.durations(keys)
    except MachineError:
        return {}


def _options(path: Path, request: Request, place: Project) -> Options:
    from weft.engine.sitting import Options

    return Options(
        jobs=place["jobs"],
        schedule=place["schedule"],
        timeout=place["timeout"],
        folder=path.absolute().parent,
        project=place.folder,
        allowed_paths=tuple(Path(p).expanduser().absolute() for p in place["allow-path"]),
        grace=place["grace"],
    )


def _facts_of_this_sitting(options: Options, program: Program, place: Project) -> dict[str, str]:
    import weft

    return {
        "weft": weft.__version__,
        "pid": str(os.getpid()),
        "jobs": str(project.effective_jobs(place, program.jobs)),
        "project": str(place.folder),
    }


def end_children(lock: Path) -> None:
    """End what an owner that was killed has left running, when it did not go by itself."""
    from weft.backends.survivors import wait_children_gone

    wait_children_gone(lock, patience=1.0)
