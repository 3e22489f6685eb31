"""One sitting: one process works on one run, from a start or a resume to its end or until it is told to leave.

Puts the parts together (journal, scheduler, evaluator, world, loop), and takes them down again whatever happens.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from weft import event_types as events
from weft import values
from weft.backends.thread import ThreadPool
from weft.clock import Clock, SystemClock
from weft.core.priority import in_order, plan
from weft.core.scheduler import Scheduler
from weft.core.status import Status
from weft.engine.committer import Committer
from weft.engine.evaluate import Evaluator
from weft.engine.executor import Executor
from weft.engine.facts import Facts
from weft.engine.inbox import Inbox
from weft.engine.keys import Keys
from weft.engine.logs import Logs
from weft.engine.records import Outputs
from weft.engine.replay import Replay
from weft.engine.report import KEPT, Report
from weft.engine.scope import Scope
from weft.engine.signals import Signals
from weft.engine.spool import Spool
from weft.errors import CorruptJournalError, WeftError, said
from weft.graph.analysis import layers
from weft.graph.model import Graph, Node, walk, walk_paths
from weft.graph.work import FunctionWork, LeafWork, Program
from weft.policy import default_jobs
from weft.redaction import Vault
from weft.results import RunResult
from weft.runtimes.base import World

if TYPE_CHECKING:
    from weft.backends.base import Backend
    from weft.budget import Budget, Ledger
    from weft.cancellation import CancellationToken
    from weft.journal.base import Journal

Listener = Callable[[events.Event], None]
THREADS = 32
"""Threads for blocking functions at most; started when needed."""
GRACE = 10.0
"""Seconds that running steps get after the first Ctrl-C or SIGTERM."""


class Arguments(msgspec.Struct, frozen=True):
    """What a run is given: values by name. `env` are the names readable as `$env.NAME`."""

    config: dict[str, Any] = {}
    input: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    env: dict[str, str] = {}


class Options(msgspec.Struct, frozen=True):
    """How a sitting runs; nothing in here decides a value."""

    jobs: int | None = None
    schedule: str | None = None
    timeout: float | None = None
    folder: Path = Path()
    """The document's folder."""
    project: Path = Path()
    allowed_paths: tuple[Path, ...] = ()
    by_reference: bool = False
    """Outputs are any objects, handed on as they are; nothing can be resumed."""
    grace: float = GRACE
    backend: Backend | None = None
    """Where functions are called instead of here: for tests."""
    token: CancellationToken | None = None
    """Cancels the run."""
    budget: Budget | None = None
    """What the run may use, in all its sittings together."""


class LogListener(Protocol):
    """Is told what steps print: path, stream, bytes."""

    def __call__(self, path: str, stream: str, chunk: bytes, /) -> None: ...


class Sitting:
    """Works on one run. `report` is what the run looks like so far; it is told of events after their commit."""

    def __init__(
        self,
        program: Program,
        arguments: Arguments,
        journal: Journal,
        options: Options,
        *,
        weights: Mapping[str, float] | None = None,
        listeners: tuple[Listener, ...] = (),
        on_log: LogListener | None = None,
        on_signal: Callable[[int, int, float], None] | None = None,
        clock: Clock | None = None,
        instant: bool = False,
    ) -> None:
        self.program = program
        self.arguments = arguments
        self.journal = journal
        self.options = options
        self.clock = clock or SystemClock()
        self.vault = Vault(arguments.secrets) if arguments.secrets else None
        self.outputs = Outputs(self.vault, journal.put_blob, journal.get_blob, by_reference=options.by_reference)
        plain = Outputs(None, journal.put_blob, journal.get_blob, by_reference=options.by_reference)
        self._report = Report(self.outputs if options.by_reference else plain, keep=max(KEPT, 2 * len(program.graph)))
        self.executor: Executor | None = None
        self.interrupted = 0
        """The signal that made the sitting leave; 0: none."""
        self._abandoned = 0
        self._weights = weights or {}
        self._listeners = listeners
        self._on_log = on_log
        self._on_signal = on_signal
        self._committer = Committer(journal, instant=instant)

    def listen(self, listener: Listener) -> None:
        """Tell one more of every event, after its commit."""
        self._listeners = (*self._listeners, listener)

    # -- the two ways in --------------------------------------------------------------------------------------------

    async def start(self, started: events.RunStarted) -> str:
        """Run from the beginning, and return the run's status: `running` when the sitting had to leave it.

        `started` is the journal's first batch already.
        """
        scheduler = self._scheduler()
        self._tell([started])
        commands = scheduler.handle(started)
        return await self._sit(scheduler, self._evaluator(started), commands, [])

    async def resume(self, facts: Facts, resumed: events.RunResumed) -> str:
        """Go on with the run of the journal, as far as its facts hold, and return its status.

        Raises ChangedError when a foreach does not find the items it began with.
        """
        started = facts.started
        if started is None:
            raise CorruptJournalError("the journal does not begin with the start of a run")
        scheduler = self._scheduler(facts)
        evaluator = self._evaluator(started)
        replay = Replay(scheduler, evaluator, self.outputs)
        gc.disable()  # a replay makes no garbage that is worth looking for, and many objects to look through
        try:
            replay.run(facts.holding(self._reported()), strict=facts.intact)
        finally:
            gc.enable()
        evaluator.collections.compare(scheduler.open.values())
        await evaluator.collections.reopen(list(scheduler.open.values()))
        batch: list[events.Event] = [resumed]
        for path, question in facts.questions.items():
            instance = scheduler.find(path)
            if instance is not None and instance.status is Status.WAITING:
                batch.append(msgspec.structs.replace(question, at=resumed.at))
        return await self._sit(scheduler, evaluator, scheduler.recover(), batch, replay, facts)

    def _reported(self) -> Iterator[list[events.Journaled]]:
        """The journal, each batch once the report has it."""
        add = self._report.add
        for batch in self.journal.read():
            for event in batch:
                add(event)
            yield batch

    # -- the parts --------------------------------------------------------------------------------------------------

    def _scheduler(self, facts: Facts | None = None) -> Scheduler:
        program, options = self.program, self.options
        schedule = options.schedule or program.schedule
        if facts is not None and facts.started is not None:
            schedule = facts.started.schedule
        in_turn = schedule == "sequential"
        return Scheduler(
            program.graph,
            jobs=1 if in_turn else options.jobs or program.jobs or default_jobs(os.cpu_count() or 1),
            limits=program.limits,
            schedule="waves" if schedule == "waves" else "dataflow",
            on_failure=program.on_failure,
            rollback=program.rollback,
            ranks=in_order(program.graph) if in_turn else plan(program.graph, self._weight),
            prior=None if facts is None else facts.prior,
            replaying=facts is not None,
            budget=self._ledger(facts),
        )

    def _ledger(self, facts: Facts | None) -> Ledger | None:
        """The account of the budget; what earlier sittings have used, a replay enters."""
        if self.options.budget is None:
            return None
        from weft.budget import Ledger

        ledger = Ledger(self.options.budget)
        ledger.elapsed = 0.0 if facts is None else facts.elapsed
        return ledger

    def _weight(self, node: Node) -> float | None:
        return self._weights.get(node.weight_key) if self._weights else None

    def _evaluator(self, started: events.RunStarted) -> Evaluator:
        arguments = self.arguments
        specials = {
            "config": arguments.config,
            "secrets": arguments.secrets,
            "env": arguments.env,
            "run": {"id": started.run, "started_at": _iso(started.at), "status": "running"},
        }
        root = Scope(None, names={**arguments.input, "input": arguments.input}, specials=specials)
        folder = self.journal.folder
        return Evaluator(root, self.outputs, self._world(started.run), self.clock, spool=lambda: Spool(folder))

    def _world(self, run_id: str) -> World:
        options = self.options
        env = {k: v for k, v in os.environ.items() if k not in self.arguments.secrets and not k.startswith("WEFT_")}
        world = World(
            run_id=run_id,
            folder=options.folder,
            project=options.project,
            allowed_paths=options.allowed_paths,
            hosts=self.program.hosts,
            env=env,
            clock=self.clock,
            mask=self.vault.mask if self.vault is not None else None,
            interpreter=self.program.interpreter,
        )
        world.threads = ThreadPool(THREADS)
        world.backend = options.backend
        world.token = options.token
        kinds = {_place_of(node.work) for node in walk(self.program.graph)}
        if kinds - _CHILDLESS:
            from weft.backends.children import Children

            lock = None if self.journal.folder is None else self.journal.folder / "children.lock"
            world.children = Children(lock_path=lock, marker={"WEFT_RUN": run_id})
        if "python" in kinds:
            from weft.backends.process import WorkerPool

            assert world.children is not None
            jobs = options.jobs or self.program.jobs or default_jobs(os.cpu_count() or 1)
            world.workers = WorkerPool(
                world.children,
                size=min(jobs, max(2, os.cpu_count() or 1)),
                interpreter=self.program.interpreter,
                cwd=options.folder,
                env=env,
            )
        return world

    # -- sitting ----------------------------------------------------------------------------------------------------

    async def _sit(
        self,
        scheduler: Scheduler,
        evaluator: Evaluator,
        commands: list[Any],
        batch: list[events.Event],
        replay: Replay | None = None,
        facts: Facts | None = None,
    ) -> str:
        keys = Keys(self.report.run_id)
        if facts is not None:
            keys.take_up(facts.undone, facts.edits)
        folder = self.journal.folder
        logs = Logs(None if folder is None else folder / "logs", self.vault, self._on_log)
        world = evaluator.world
        executor = self.executor = Executor(
            scheduler,
            evaluator,
            self.outputs,
            self._committer,
            world,
            clock=self.clock,
            keys=keys,
            logs=logs,
            output=self.program.output,
            tell=self._tell,
        )
        if replay is not None and facts is not None:
            executor.take_up(replay, facts)
        timeout = self.options.timeout or self.program.timeout
        if timeout is not None:
            executor.loop.call_later(timeout, executor.out_of_time, timeout)
        inbox = None if folder is None else Inbox(folder, executor)
        if world.children is not None:
            await world.children.start()  # its 15 ms pass while settings are evaluated and the first batch is written
        withdraw = self._obey(self.options.token, executor)
        try:
            if inbox is not None:
                inbox.watch()
            with self._signals(executor) as signals:
                status = await executor.run(commands, batch)
                self.interrupted = 0 if signals is None else signals.received
        finally:
            withdraw()
            if inbox is not None:
                inbox.close()
            logs.close()
            await self._take_down(world)
        return status or "running"

    def _obey(self, token: CancellationToken | None, executor: Executor) -> Callable[[], object]:
        """Cancel the run when the token is cancelled, from whatever thread. Returns what takes that back."""
        if token is None:
            return lambda: None

        def cancel(reason: str | None) -> None:
            executor.cancel("token", "" if reason is None else said(reason))

        if token.cancelled:
            cancel(token.reason)
            return lambda: None
        loop = executor.loop

        def tell(reason: str | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(cancel, reason)

        return token.on_cancel(tell)

    def _signals(self, executor: Executor) -> AbstractContextManager[Signals | None]:
        tell = self._on_signal
        if tell is None:
            return nullcontext()
        grace = self.options.grace
        return Signals(executor, grace, lambda _, count: tell(count, len(executor.running), grace))

    async def _take_down(self, world: World) -> None:
        await world.resources.aclose()
        if world.workers is not None:
            await world.workers.close()
        if world.children is not None:
            await world.children.close()
        if isinstance(world.threads, ThreadPool):
            self._abandoned = world.threads.abandoned
            world.threads.close()
        self._committer.close()

    def _tell(self, batch: list[events.Event]) -> None:
        """These are durable. Listeners see the report as it stands after their event."""
        if not self._listeners:
            self._report.later(batch)
            return
        report = self.report
        for event in batch:
            report.add(event)
            for listener in self._listeners:
                listener(event)

    @property
    def report(self) -> Report:
        """What the run looks like so far."""
        return self._report.settled()

    def read_result(self) -> Callable[[], RunResult]:
        """How to read the result, for somebody who may never do so; it keeps nothing of the sitting but its facts."""
        report, raised = self._report, self.raised

        def read() -> RunResult:
            result = report.settled().result()
            for error in result.errors:
                if (cause := raised.get(error.path)) is not None:
                    error.__cause__ = _as_the_user_knows_it(cause)
            return result

        return read

    @property
    def durations(self) -> Mapping[str, list[float]]:
        """What attempts took that ended well, by the definition of their node, in seconds: for the next run's order."""
        return {} if self.executor is None else self.executor.durations

    @property
    def abandoned(self) -> int:
        """Calls that were stopped and go on in their thread all the same."""
        return self._abandoned + (0 if self.executor is None else self.executor.abandoned)

    @property
    def raised(self) -> Mapping[str, BaseException]:
        """The exceptions of functions that failed, by path."""
        return {} if self.executor is None else self.executor.evaluator.raised


_OURS = str(Path(__file__).parent.parent) + os.sep


def _as_the_user_knows_it(error: BaseException) -> BaseException:
    """An exception of a function, without our frames in front of the function's own."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename.startswith(_OURS):
        step = step.tb_next
    return error.with_traceback(step) if step is not None or isinstance(error, WeftError) else error


def _place_of(work: object) -> str:
    """The kind of a leaf that may need a process; empty for what needs none."""
    if isinstance(work, FunctionWork):
        return "python" if work.isolation == "process" else ""
    return work.kind if isinstance(work, LeafWork) else ""


_CHILDLESS = frozenset(
    {
        "",
        "source:file",
        "source:files",
        "source:http",
        "source:value",
        "transform:template",
        "transform:value",
        "transform:map",
        "transform:filter",
        "transform:reduce",
        "sink:file",
        "sink:http",
        "delay",
        "set",
        "context",
    }
)
"""Kinds that start no process."""


def run_started(
    run_id: str, program: Program, arguments: Arguments, options: Options, *, at: float, settings: dict[str, str]
) -> events.RunStarted:
    """The first fact of a run."""
    vault = Vault(arguments.secrets) if arguments.secrets else None
    given: Any = {"config": arguments.config, "input": arguments.input}
    marks: tuple[events.SecretMark, ...] = ()
    if vault is not None:
        given, marks = vault.seal(given)
    return events.RunStarted(
        at=at,
        run=run_id,
        workflow=program.name,
        version=program.version,
        document=program.document,
        document_digest=program.digest or None,
        config=msgspec.Raw(values.encode(given["config"])),
        input=msgspec.Raw(values.encode(given["input"])) if not options.by_reference else events.NULL,
        secrets=marks,
        schedule=options.schedule or program.schedule,
        on_failure=program.on_failure,
        rollback=program.rollback,
        settings=settings,
        plan=node_plan(program.graph, digests=program.document is None),
    )


def node_plan(graph: Graph, *, digests: bool = False) -> tuple[events.NodePlan, ...]:
    """Every node with its label and layer, for readers of the journal."""
    wave_of = {graph.nodes[i].id: number for number, layer in enumerate(layers(graph)) for i in layer}
    return tuple(
        events.NodePlan(
            path, node.label or node.kind, -1 if block else wave_of[path], block, node.digest if digests else ""
        )
        for node, path, block in walk_paths(graph)
    )


def _iso(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
