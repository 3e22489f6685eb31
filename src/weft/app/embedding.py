"""Runs inside somebody's own program: no signals, no printing, an event loop that belongs to them.

Nothing is written unless a place is named: without a journal a run lives in memory, and its outputs are the objects
themselves.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft import event_types as events
from weft import values
from weft.app.documents import kept_files, program_of
from weft.app.resuming import changes_of_document, facts_of, show_change, turned
from weft.app.running import end_children, leave_behind, weights_of
from weft.app.stores import Place as Place
from weft.app.stores import first_event, store_at
from weft.clock import SystemClock
from weft.errors import ChangedError, InputError, NotResumableError, ValidationError
from weft.graph.changes import compare
from weft.graph.work import Program
from weft.policy import Limit
from weft.results import RunResult

if TYPE_CHECKING:
    from weft.backends.base import Backend
    from weft.budget import Budget
    from weft.cancellation import CancellationToken
    from weft.engine.facts import Facts
    from weft.engine.sitting import Arguments, Options, Sitting
    from weft.event_types import Event
    from weft.fronts.flow import Loaded
    from weft.journal.base import Journal, Store

Compile = Callable[[Mapping[str, Any], bool], Program]
"""A program for these arguments; with true, one that is journaled."""


class How(msgspec.Struct, frozen=True):
    """How a run is to go; None: not said."""

    schedule: str | None = None
    jobs: int | None = None
    timeout: float | None = None
    token: CancellationToken | None = None
    on_event: Callable[[Event], object] | None = None
    backend: Backend | None = None
    budget: Budget | None = None


async def execute(
    program: Program, given: Arguments, how: How, journal: Place, *, folder: Path, project: Path
) -> RunResult:
    """Run a program to its end. A failed task is a result, not an exception."""
    from weft.engine.sitting import run_started

    store = store_at(journal, program.durability)
    options = _options(how, folder, project, by_reference=journal is None)
    run_id = store.new_id()
    kept = msgspec.structs.replace(given, input=_to_keep(given.input)) if journal is not None else given
    started = run_started(run_id, program, kept, options, at=_clock().now(), settings=_facts(how, project))
    opened = store.create(run_id, [started], kept_files(program))
    weights = {} if journal is None else weights_of(store, program)
    sitting = _sitting(program, given, opened, options, how, weights=weights)
    return await _sit(sitting, store, lambda: sitting.start(started), journal)


async def resume(
    run_id: str,
    compile_for: Compile | None,
    how: How,
    journal: Place,
    *,
    arguments: Mapping[str, Any] | None = None,
    loaded: Loaded | None = None,
    accept_changes: bool = False,
    take_over: bool = False,
) -> RunResult:
    """Go on with a run, exactly with what is missing. `arguments` are those that a journal cannot keep (iterators).

    Raises ChangedError when the program is not the one that ran, OwnedError, NotFoundError, NotResumableError.
    """
    store = _kept_at(journal, 'name its folder: journal=".weft"')
    run_id = store.resolve(_id_of(run_id))
    first = first_event(store, run_id)
    opened = store.open(run_id, take_over=take_over, kill_children=end_children)
    try:
        if loaded is None and compile_for is not None:
            if first.document is not None:
                raise NotResumableError(f"run {run_id} came from {first.document}", hint="weft.load it and resume that")
            given = _with_kept(values.decode(first.input), arguments or {})
            program, inputs = compile_for(given, True), _given(given)
            sitting, facts, resumed = _resumption(store, opened, program, inputs, how, accept=accept_changes)
        else:
            assert loaded is not None
            sitting, facts, resumed = _document_resumption(store, opened, loaded, first, how, accept=accept_changes)
    except BaseException:
        opened.close()
        raise
    return await _sit(sitting, store, lambda: sitting.resume(facts, resumed), journal)


def _with_kept(kept: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a run began with. Raises InputError for one that is another now: what is done had the old."""
    from reprlib import repr as short

    for name, value in _to_keep(given).items():
        if name in kept and kept[name] != value:
            message = f"the run began with the argument {name!r} as {short(kept[name])}, not {short(value)}"
            raise InputError(message, hint="leave it out, or start a new run")
    return {**kept, **given}


def read_events(run_id: str, journal: Place) -> Iterator[Event]:
    """The journal of a run, in order. Raises NotFoundError, JournalError."""
    store = _kept_at(journal, "use result.events")
    reader = store.reader(store.resolve(_id_of(run_id)))
    try:
        for batch in reader.read():
            yield from batch
    finally:
        reader.close()


def _kept_at(journal: Place, hint: str) -> Store:
    if journal is None:
        raise InputError("a run without a journal is kept nowhere", hint=hint)
    return store_at(journal)


def _id_of(run_id: object) -> str:
    if isinstance(run_id, str):
        return run_id
    hint = "result.run_id is the id of a result" if isinstance(run_id, RunResult) else 'or "last", for the newest run'
    raise InputError(f"the run is {run_id!r}; it must be the id of a run", hint=hint)


# -- putting a sitting together ---------------------------------------------------------------------------------------


def _sitting(
    program: Program,
    given: Arguments,
    journal: Journal,
    options: Options,
    how: How,
    *,
    weights: Mapping[str, float],
) -> Sitting:
    from weft.engine.sitting import Sitting

    clock = _clock()
    return Sitting(
        program,
        given,
        journal,
        options,
        weights=weights,
        listeners=() if how.on_event is None else (_careful(how.on_event),),
        clock=clock,
        instant=options.by_reference or not isinstance(clock, SystemClock),  # no time passes while a thread commits
    )


def _careful(callback: Callable[[Event], object]) -> Callable[[Event], None]:
    """An exception in it never touches the run: it is logged."""

    def tell(event: Event) -> None:
        try:
            callback(event)
        except Exception:
            logging.getLogger("weft").exception("on_event failed at %s", type(event).__name__)

    return tell


async def _sit(sitting: Sitting, store: Store, begin: Callable[[], Any], place: Place) -> RunResult:
    from weft.journal.base import Contribution

    run_id = sitting.journal.run_id
    try:
        status = await begin()
    finally:
        sitting.journal.close()
    if place is not None and sitting.durations:
        leave_behind(store, run_id, Contribution(durations=sitting.durations))
    result = RunResult.later(run_id, sitting.program.name, status, sitting.read_result())
    result.abandoned = sitting.abandoned
    if place is not None and status in ("failed", "waiting"):
        result.hint = _how_to_go_on(result, place)
    if sitting.program.document is not None:
        _ = result.output  # it may be large and lie beside the journal, which somebody may throw away after the run
    result.read_events_with(lambda: [event for batch in store.reader(run_id).read() for event in batch])
    return result


def _how_to_go_on(result: RunResult, place: Place) -> str:
    if result.status == "waiting" and result.questions:
        path = next(iter(result.questions))
        return f"settle it with `weft decide {result.run_id} {path} done|retry|fail`, then resume"
    return f"go on with weft.resume_sync({result.run_id!r}, workflow, journal={str(place)!r})"


def _clock() -> Any:
    """The clock of the loop that runs, where it has one of its own: in tests, time that does not pass."""
    import asyncio

    return getattr(asyncio.get_running_loop(), "weft_clock", None) or SystemClock()


def _options(how: How, folder: Path, project: Path, *, by_reference: bool) -> Options:
    from weft.engine.sitting import Options

    return Options(
        jobs=how.jobs,
        schedule=how.schedule,
        timeout=how.timeout,
        folder=folder,
        project=project,
        by_reference=by_reference,
        backend=how.backend,
        token=how.token,
        budget=how.budget,
    )


def _facts(how: How, project: Path) -> dict[str, str]:
    import os
    import platform

    import weft

    python = ".".join(platform.python_version_tuple()[:2])
    facts = {"weft": weft.__version__, "pid": str(os.getpid()), "project": str(project), "python": python}
    return facts if how.jobs is None else {**facts, "jobs": str(how.jobs)}


def _given(arguments: Mapping[str, Any]) -> Arguments:
    from weft.engine.sitting import Arguments

    return Arguments(input=dict(arguments))


def document_arguments(loaded: Loaded, config: Mapping[str, Any], given: Mapping[str, Any]) -> Arguments:
    """Config and input of a document, as its front matter declares them. Raises InputError."""
    import os

    from weft.app import arguments
    from weft.engine.sitting import Arguments

    assert loaded.document is not None
    assert loaded.program is not None
    env = dict(os.environ)
    sets = [f"{name}={values.encode(value).decode()}" for name, value in config.items()]
    settled, inputs, secrets = arguments.resolve(
        loaded.document.front, sets=sets, input=dict(given) or None, env=env, secrets_from=env
    )
    return Arguments(settled, inputs, secrets, {name: env[name] for name in loaded.program.env if name in env})


def _to_keep(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as a journal keeps them; what is read item by item is not kept. Raises ValidationError."""
    kept: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, Iterator | AsyncIterator):
            continue
        try:
            kept[name] = values.plain(value)
        except ValidationError as error:
            place = f"$.{name}{error.path[1:]}"
            hint = "pass JSON data, or an iterator to be read item by item"
            raise ValidationError(f"argument {name!r}: {error.message}", path=place, hint=hint) from None
    return kept


# -- resuming ---------------------------------------------------------------------------------------------------------


def _resumption(
    store: Store, journal: Journal, program: Program, given: Arguments, how: How, *, accept: bool
) -> tuple[Sitting, Facts, events.RunResumed]:
    """What a sitting needs to go on with a run of Python tasks."""
    facts = facts_of(journal, program)
    changed = None if program.digest == facts.digest else _changes(journal, program, accept=accept)
    return _turned(store, journal, facts, program, given, how, changed)


def _last_plan(journal: Journal) -> tuple[dict[str, tuple[str, str]], str]:
    """Label and digest of each task that ran last, by path, and the Python that it ran on."""
    known: dict[str, tuple[str, str]] = {}
    python = ""
    for batch in journal.read():
        for event in batch:
            if isinstance(event, events.RunStarted | events.RunResumed) and event.plan:
                known = {node.id: (node.label, node.digest) for node in event.plan}
                python = event.settings.get("python", "")
    return known, python


def _changes(journal: Journal, program: Program, *, accept: bool) -> dict[str, str]:
    """What is different in the tasks since the run began. Raises ChangedError."""
    from weft.graph.changes import needs_by_path
    from weft.graph.model import walk_paths

    known, python = _last_plan(journal)
    now = {path: node.digest for node, path, _ in walk_paths(program.graph)}
    differs = {path for path, digest in now.items() if path in known and known[path][1] != digest}
    needs = needs_by_path(program.graph)

    def own(path: str) -> str:
        return "" if any(need in differs or need not in known for need in needs[path]) else "its code"

    changed, lines = compare(known, program.graph, own)
    if lines and not accept:
        ran_on = _facts(How(), Path())["python"]
        hint = "accept_changes=True runs what changed and what depends on it again; or restore the code"
        if python and python != ran_on:
            hint = f"the run began with Python {python}, this is {ran_on}, which compiles to other code; {hint}"
        told = "; ".join(line.strip() for line in lines)
        raise ChangedError(f"these are not the tasks that ran: {told}", lines, hint=hint)
    return changed


def _document_resumption(
    store: Store, journal: Journal, loaded: Loaded, first: events.RunStarted, how: How, *, accept: bool
) -> tuple[Sitting, Facts, events.RunResumed]:
    from weft.app import project
    from weft.app.given import given_before

    program, loaded = program_of(loaded)
    facts = facts_of(journal, program)
    changed = changes_of_document(journal, facts, loaded, first, accept=accept)
    given = given_before(first, loaded, project.find(Path(str(first.document))))
    sitting, facts, resumed = _turned(store, journal, facts, program, given, how, changed)
    if changed is not None:
        show_change(sitting, journal, program)
    return sitting, facts, resumed


def _turned(
    store: Store,
    journal: Journal,
    facts: Facts,
    program: Program,
    given: Arguments,
    how: How,
    changed: dict[str, str] | None,
) -> tuple[Sitting, Facts, events.RunResumed]:
    folder = Path(program.document).parent if program.document else Path.cwd()
    resumed = turned(journal, facts, program, changed, _facts(how, folder))
    options = _options(how, folder, folder, by_reference=False)
    sitting = _sitting(program, given, journal, options, how, weights=weights_of(store, program))
    return sitting, facts, resumed


def limits_of(given: Mapping[str, Any]) -> dict[str, Limit]:
    """Named limits as a user states them: a number, `"10/s"`, a Limit. Raises InputError."""
    if not isinstance(given, Mapping):
        raise InputError(f"limits is {given!r}; it must be a dict", hint='limits={"api": 2, "mail": "10/s"}')
    return {name: _limit(name, value) for name, value in given.items()}


def _limit(name: str, value: Any) -> Limit:
    from weft.text.durations import parse_rate

    if isinstance(value, Limit):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Limit(concurrency=value)
    if isinstance(value, str) and (rate := parse_rate(value)) is not None:
        return Limit(rate=rate[0], per=rate[1])
    raise InputError(f"limits: {name} is {value!r}; it must be how many at once, a rate like '10/s', or a weft.Limit")
