"""The use cases: check, run, resume, cancel, decide. Every door (command line, Python) calls only this, and beside it
`documents` (read and check), `inspection` (look at runs), `preview` (what would run) and `doctor`.

Nothing in here prints, and nothing in here decides what a document means; it finds the parts and puts them together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft import arguments, events, project
from weft.documents import SAVED, keep, load, load_source, program_of, show_as_running, that_ran
from weft.errors import ChangedError, InputError, NotFoundError, NotResumableError, UsageError
from weft.fronts.flow import Loaded, compare
from weft.graph.work import Program
from weft.inspection import Inspection, first_event, locate, store_of
from weft.project import Project
from weft.results import RunResult

if TYPE_CHECKING:
    from weft.engine.facts import Facts
    from weft.engine.inbox import Request as Wish
    from weft.engine.report import Report
    from weft.engine.sitting import Arguments, LogListener, Options, Sitting
    from weft.events import Event
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
    from weft.engine.sitting import Sitting, run_started

    _refuse_unwritable_name(path)
    program, loaded = program_of(path if loaded is None else loaded)
    place = project.find(Path(path), request.settings())
    given = _arguments(loaded, request, place)
    options = _options(Path(path), request, place)
    store = store_of(place, program)
    run_id = store.new_id()
    started = run_started(
        run_id, program, given, options, at=time.time(), settings=_facts_of_this_sitting(options, program, place)
    )
    files = {} if program.text is None else {SAVED: program.text}
    journal = store.create(run_id, [started], files)
    sitting = Sitting(
        program,
        given,
        journal,
        options,
        weights=_weights(store, program),
        on_log=audience.log,
        on_signal=audience.signal,
        instant=place.journal is None,
    )
    return _sit(sitting, store, lambda: sitting.start(started), audience.watch, place.journal)


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
    if first.document is None:
        raise NotResumableError("this run came from Python code", hint="resume it with weft.resume(run_id, workflow)")
    journal = store.open(run_id, take_over=take_over, kill_children=_end_children)
    try:
        loaded = load(first.document)
        sitting, facts, resumed = _resumption(
            store, journal, loaded, first, request, accept=accept_changes, audience=audience
        )
    except BaseException:
        journal.close()
        raise
    return _sit(sitting, store, lambda: sitting.resume(facts, resumed), audience.watch, place.journal)


def _resumption(
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
    from weft.engine.facts import Facts
    from weft.engine.sitting import Sitting, node_plan

    program, loaded = program_of(loaded)
    facts = Facts(program.graph, program.on_failure)
    facts.scan(journal.read())
    _refuse_ended(journal.run_id, facts.finished)
    edited = program.digest != facts.digest
    changed = _changes(journal.folder, loaded, first, facts.digest, accept=accept) if edited else {}
    place = project.find(Path(str(first.document)), request.settings())
    given = _given_before(first, loaded, request, place)
    options = _options(Path(str(first.document)), request, place)
    facts.turn()
    if edited:
        facts.edit(program.digest, changed)
        keep(journal.folder, program)
    if facts.edited:
        facts.number(journal.read())
    resumed = events.RunResumed(
        at=time.time(),
        epoch=journal.epoch,
        changed=changed,
        document_digest=program.digest,
        settings=_facts_of_this_sitting(options, program, place),
        plan=node_plan(program.graph) if edited else (),
    )
    sitting = Sitting(
        program,
        given,
        journal,
        options,
        weights=_weights(store, program),
        on_log=audience.log,
        on_signal=audience.signal,
    )
    if edited:
        sitting.listen(lambda event: show_as_running(journal.folder, program, event))
    return sitting, facts, resumed


def _sit(
    sitting: Sitting, store: Store, begin: Callable[[], Any], watch: Watcher | None, kept: Path | None
) -> Outcome:
    """Work until the run has ended or the process was told to leave; then tell the history what was learnt."""
    import asyncio

    from weft.journal.base import Contribution

    if watch is not None:
        sitting.listen(lambda event: watch(sitting.report, event))
    try:
        report = asyncio.run(begin())
    except Exception as error:
        if sitting.vault is not None:
            error.mask = sitting.vault.mask  # type: ignore[attr-defined]  # whoever shows it must hide the secrets
        raise
    finally:
        sitting.journal.close()
    if kept is not None and sitting.durations:
        _leave_behind(store, report.run_id, Contribution(durations=sitting.durations))
    result = report.result()
    code = 128 + sitting.interrupted if sitting.interrupted and report.status == "running" else result.exit_code
    return Outcome(result, 70 if code is None else code, sitting.interrupted, kept, dict(report.questions))


def _leave_behind(store: Store, run_id: str, contribution: Any) -> None:
    from contextlib import suppress

    from weft.errors import MachineError

    with suppress(MachineError):  # what later runs learn from this one may be lost; the run itself is not touched
        store.history.record(run_id, contribution)


def _weights(store: Store, program: Program) -> dict[str, float]:
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


def _arguments(loaded: Loaded, request: Request, place: Project) -> Arguments:
    from weft.engine.sitting import Arguments

    assert loaded.document is not None
    program = loaded.program
    assert program is not None
    files = [place[name] for name in ("env-file", "secrets-file") if place[name]]
    env = {**_env_file(place["env-file"]), **os.environ}
    secrets_from = {**(_env_file(files[-1]) if files else {}), **env}
    config, given, secrets = arguments.resolve(
        loaded.document.front, sets=request.sets, input=_input(request.input), env=env, secrets_from=secrets_from
    )
    return Arguments(config, given, secrets, {name: env[name] for name in program.env if name in env})


def _given_before(first: events.RunStarted, loaded: Loaded, request: Request, place: Project) -> Arguments:
    """A resume gets what the run was given, and what the document has declared since.

    Secrets come from the environment of now, as they are kept nowhere.
    """
    from weft import values
    from weft.engine.sitting import Arguments
    from weft.redaction import Vault

    given = {"config": values.decode(first.config), "input": values.decode(first.input)}
    assert loaded.document is not None
    front = loaded.document.front
    later = msgspec.structs.replace(
        front,
        config={name: declared for name, declared in front.config.items() if name not in given["config"]},
        input={name: declared for name, declared in front.input.items() if name not in given["input"]},
    )
    document = msgspec.structs.replace(loaded.document, front=later)
    now = _arguments(msgspec.structs.replace(loaded, document=document), request, place)
    if first.secrets:
        given = Vault(now.secrets).open(given, first.secrets)
    return Arguments({**now.config, **given["config"]}, {**now.input, **given["input"]}, now.secrets, now.env)


def _input(text: str | None) -> Any:
    """The value of `--input`. Raises InputError, NotFoundError."""
    from weft import values
    from weft.errors import ValidationError

    if text is None:
        return None
    try:
        return values.decode(Path(text[1:]).read_bytes() if text.startswith("@") else text.encode())
    except FileNotFoundError:
        raise NotFoundError(f"--input: there is no file {text[1:]}") from None
    except OSError as error:
        raise InputError(f"--input: {text[1:]}: {error.strerror}") from None
    except ValidationError as error:
        raise InputError(f"--input: {error}", hint="give a JSON object, or @file with one") from None


def _env_file(name: str | None) -> dict[str, str]:
    """The NAME=value lines of a file. Raises InputError with the line, NotFoundError."""
    if not name:
        return {}
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFoundError(f"--env-file: there is no file {name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--env-file: {name}: {error}") from None
    out: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"{name}:{number}: not a NAME=value line")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        out[key.strip()] = value
    return out


# -- changed documents -------------------------------------------------------------------------------------------------


def _changes(
    folder: Path | None, loaded: Loaded, first: events.RunStarted, digest: str | None, *, accept: bool
) -> dict[str, str]:
    """What is different in the document since the run last read it, as node id -> reason. Raises ChangedError."""
    if folder is None:
        return {}
    ran = load_source(that_ran(folder, digest, str(first.document)))
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


def _end_children(lock: Path) -> None:
    """End what an owner that was killed has left running, when it did not go by itself."""
    from weft.backends.survivors import wait_children_gone

    wait_children_gone(lock, patience=1.0)


def _refuse_ended(run_id: str, status: str) -> None:
    if status in ("succeeded", "cancelled", "issues"):
        raise NotResumableError(f"run {run_id} has ended as {status}", hint="start a new run, or see weft show")


# -- requests ----------------------------------------------------------------------------------------------------------


def cancel(run_id: str, *, reason: str = "", journal: str | None = None, audience: Audience = NOBODY) -> str:
    """Ask for a run to end. Returns `requested` when its owner was told, `cancelled` when it is over, `interrupted`
    when a signal stopped its rollback here (a resume goes on with that).

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
            return "requested"
        loaded = load_source(that_ran(held.folder, _last_digest(held), first.document))
        sitting, facts, resumed = _resumption(
            store, held, loaded, first, Request(journal=journal), audience=audience
        )
    except BaseException:
        held.close()
        raise
    outcome = _sit(sitting, store, lambda: sitting.resume(facts, resumed), audience.watch, place.journal)
    return "interrupted" if outcome.interrupted and outcome.result.status == "running" else "cancelled"


def decide(
    run_id: str, path: str, answer: str, value: str | None = None, *, journal: str | None = None
) -> str:
    """Settle the outcome of a waiting node: `done` (with the JSON of its output), `retry` or `fail`.

    Returns `requested` when the run's owner was told, else `decided`. Raises UsageError for another answer or a node
    that is not waiting.
    """
    from weft import values
    from weft.engine.inbox import Request as Wish
    from weft.errors import ValidationError

    if answer not in ("done", "retry", "fail"):
        raise UsageError(f"{answer!r} is not an answer", hint="answer done, retry or fail")
    if value is not None and answer != "done":
        raise UsageError("--value goes with done", hint="a retry or a failure has no output")
    try:
        raw = events.NULL if value is None else msgspec.Raw(values.encode(values.decode(value.encode())))
    except ValidationError as error:
        raise UsageError(f"--value: {error}", hint='write JSON, for a text with its quotes: --value \'"ok"\'') from None
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
        return store.open(run_id, kill_children=_end_children)
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
