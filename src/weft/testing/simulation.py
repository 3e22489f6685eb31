"""The real scheduler in virtual time: the loop of the engine over a heap of events, with no world behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from weft import commands
from weft import event_types as events
from weft.core.priority import Ranks, in_order, plan
from weft.core.scheduler import Scheduler
from weft.core.state import Instance
from weft.core.status import Status
from weft.errors import ErrorData, InputError
from weft.event_types import Event
from weft.graph.model import Graph, walk
from weft.policy import Limit
from weft.testing.script import Outcome, Script

if TYPE_CHECKING:
    from weft.workflow import Workflow


class Hang(AssertionError):
    """Nothing can happen any more and the run has no end."""


class SimulatedRun:
    """One sitting of a run in virtual time: close a batch, make it durable, act.

    `commit` is how long a commit takes, in seconds. `journal` are the durable batches; with a journal of an earlier
    sitting the run is resumed. `watch` is called after every decision: what the scheduler knows then is what a replay
    of `recorded` must know. Drive it with `run`, or tick by tick with `tick` (False when the run is over).
    """

    def __init__(
        self,
        scheduler: Scheduler,
        script: Script | None = None,
        *,
        commit: float = 0.0,
        journal: Iterable[list[Event]] = (),
        watch: Callable[[SimulatedRun], None] | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.script = script or Script()
        self.commit = commit
        self.now = 0.0
        self.status = ""
        self.journal = [list(batch) for batch in journal]
        self.performed: list[tuple[float, str, int]] = []
        """Every attempt that was really started: time, path, number."""
        self.started_at: dict[str, float] = {}
        self.completed_at: dict[str, float] = {}
        self.running: dict[str, Instance] = {}
        self.statuses: dict[str, str] = {}
        """How every node instance ended that did, by path."""
        self.values: dict[str, list[tuple[int, str | None]]] = {}
        """For each block path, its bodies that ended: branch, iteration or round, and the node its value is of."""
        self.peak = 0
        """The most leaves that held slots at once."""
        self.worked = 0.0
        """Seconds of slots used."""
        self.pending: list[Event] = []
        """Facts in no batch yet."""
        self.flying: list[Event] = []
        """The batch that is being committed."""
        self._watch = watch or (lambda run: None)
        self._timeline: list[tuple[float, int, Callable[[], None]]] = []
        self._seq = 0
        self._inbox: deque[Event] = deque()
        self._draining = False
        self._after: list[commands.Command] = []
        self._acting: list[commands.Command] = []
        self._committing = False
        if self.journal:
            self._resume()
        else:
            self._handle(events.RunStarted(run="run", workflow="workflow"))

    @property
    def recorded(self) -> list[Event]:
        """Everything decided so far, durable or not."""
        return [e for batch in (*self.journal, self.flying, self.pending) for e in batch]

    def _resume(self) -> None:
        for event in self.recorded:
            self.scheduler.handle(event)
        resumed = events.RunResumed(epoch=2)
        self.scheduler.handle(resumed)
        self.pending.append(resumed)
        self._draining = True  # the watcher sees what was recovered before anything is answered
        self._take(self.scheduler.recover(), len(self.pending))
        self._watch(self)
        self._draining = False
        self._drain()

    # -- going on -------------------------------------------------------------------------------------------------

    def run(self, until: float | None = None) -> str:
        """Go on to the end (or to a time) and return the run's status."""
        while self.tick(until):
            pass
        return self.status

    def tick(self, until: float | None = None) -> bool:
        """One thing happens. Raises Hang when nothing can."""
        if not self._committing:
            self._close()
        if self.status and not self._committing:
            return False
        if not self._timeline:
            alive = {path: i.status.word for path, i in self.scheduler.open.items()}
            raise Hang(f"nothing can happen any more: {alive}")
        if until is not None and self._timeline[0][0] > until:
            return False
        at, _, act = heappop(self._timeline)
        self.now = max(self.now, at)
        act()
        return True

    def at(self, delay: float, act: Callable[[], None]) -> None:
        """Do something `delay` seconds from now."""
        self._seq += 1
        heappush(self._timeline, (self.now + delay, self._seq, act))

    def post(self, event: Event, delay: float = 0.0) -> None:
        """Something will have happened `delay` seconds from now."""
        self.at(delay, lambda: self._handle(event))

    def _handle(self, event: Event) -> None:
        """Handle it and every answer that follows: in order, and not on the stack."""
        self._inbox.append(event)
        self._drain()

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        while self._inbox:
            self._handle_one(self._inbox.popleft())
        self._draining = False

    def _handle_one(self, event: Event) -> None:
        if not self.scheduler.expects(event):
            return
        instance = self.scheduler.find(event.path) if isinstance(event, events.PathEvent) else None
        wishes = self.scheduler.handle(event)
        if instance is not None and instance.status >= Status.SUCCEEDED:
            self.statuses[instance.path] = instance.status.word
        place = len(self.pending)
        if event.JOURNALED:
            self.pending.append(event)
        self._take(wishes, place)
        self._watch(self)

    def _take(self, wishes: list[commands.Command], place: int) -> None:
        for wish in wishes:
            if isinstance(wish, commands.Record):
                self.pending.insert(place if wish.before else len(self.pending), wish.event)
                self._learn(wish.event)
            elif isinstance(wish, commands.CompleteBlock):
                self.statuses[wish.instance.path] = "succeeded"
            elif isinstance(wish, commands.CloseFrame):
                self._keep(wish)
            elif isinstance(wish, commands.StartAttempt):
                self._note_start(wish)
                self._start(wish)
            elif (answer := self._answer(wish)) is not None:
                self._handle(answer)
            else:
                self._after.append(wish)

    def _learn(self, event: Event) -> None:
        if isinstance(event, events.NodeSkipped):
            self.statuses[event.path] = "skipped"
        elif isinstance(event, events.BlockFailed):
            self.statuses[event.path] = "failed"

    def _keep(self, wish: commands.CloseFrame) -> None:
        frame = wish.frame
        assert frame.block is not None
        node = frame.graph.nodes[wish.last].id if wish.kept and wish.last >= 0 else None
        self.values.setdefault(frame.block.path, []).append((frame.index, node))

    def _close(self) -> None:
        for wish in self.scheduler.close_batch(self.now):
            if isinstance(wish, commands.Record):
                self.pending.append(wish.event)
            else:
                if isinstance(wish, commands.StartAttempt):
                    self._note_start(wish)
                    if wish.early:
                        self._start(wish)
                        continue
                self._after.append(wish)
        self.flying, self.pending = self.pending, []
        self._acting, self._after = self._after, []
        self._committing = True
        self._watch(self)
        if self.flying and self.commit:
            self.at(self.commit, self._landed)
        else:
            self._landed()

    def _landed(self) -> None:
        self._committing = False
        if self.flying:
            self.journal.append(self.flying)
            self.flying = []
        self._handle(events.BatchDurable(now=self.now))
        for wish in self._acting:
            self._act(wish)
        self._acting = []

    # -- acting ---------------------------------------------------------------------------------------------------

    def _act(self, wish: commands.Command) -> None:
        match wish:
            case commands.StartAttempt():
                self._start(wish)
            case commands.CancelAttempt(instance=instance):
                self._cancel(instance)
            case commands.SetTimer(instance=instance, delay=delay):
                self.post(events.TimerFired(path=instance.path), max(0.0, delay))
            case commands.SetDeadline(instance=instance, seconds=seconds):
                self.at(seconds, lambda: self._deadline(instance))
            case commands.Wake(delay=delay):
                self.at(delay, lambda: None)
            case commands.Compensate():
                self._compensate(wish)
            case commands.Finish(status=status):
                self.status = status

    def _note_start(self, wish: commands.StartAttempt) -> None:
        instance = wish.instance
        if instance.node.effect != "pure":
            self.pending.append(events.AttemptStarted(path=instance.path, attempt=wish.attempt, reason=wish.reason))

    def _start(self, wish: commands.StartAttempt) -> None:
        instance, path, attempt = wish.instance, wish.instance.path, wish.attempt
        assert path not in self.running, f"{path} runs already"
        self.performed.append((self.now, path, attempt))
        self.started_at.setdefault(path, self.now)
        self.running[path] = instance
        self.peak = max(self.peak, sum(i.node.holds_slot for i in self.running.values()))
        error = self.script.outcome(path, attempt)
        began = self.now

        def end() -> None:
            self._ended(instance, attempt, error, began)

        self.at(self.script.duration(path, attempt), end)

    def _ended(self, instance: Instance, attempt: int, error: Outcome, began: float) -> None:
        path = instance.path
        if self.running.get(path) is not instance or instance.attempt != attempt:
            return  # it was cancelled before
        del self.running[path]
        self.worked += self.now - began
        self.completed_at[path] = self.now
        if error is None:
            self._handle(events.AttemptSucceeded(path=path, attempt=attempt, at=self.now))
        else:
            draw = self.script.draw
            self._handle(events.AttemptFailed(path=path, attempt=attempt, error=error, draw=draw, at=self.now))

    def _cancel(self, instance: Instance) -> None:
        delay = self.script.stubbornness(instance.path)
        if delay is not None and self.running.get(instance.path) is instance:
            attempt, began = instance.attempt, self.now
            error = ErrorData("Cancelled", f"{instance.path} was cancelled")
            self.at(delay, lambda: self._ended(instance, attempt, error, began))

    def _deadline(self, instance: Instance) -> None:
        if self.scheduler.open.get(instance.path) is instance:
            error = ErrorData("Timeout", f"{instance.path} took too long")
            self._handle(events.BlockTimedOut(path=instance.path, error=error))

    def _compensate(self, wish: commands.Compensate) -> None:
        path, attempt = wish.instance.path, wish.attempt
        error = self.script.compensation(path, attempt)
        self.post(events.CompensationStarted(path=path, attempt=attempt), wish.delay)
        delay = wish.delay + self.script.duration(f"undo {path}", attempt)
        if error is None:
            self.post(events.CompensationSucceeded(path=path, attempt=attempt), delay)
        else:
            draw = self.script.draw
            self.post(events.CompensationFailed(path=path, attempt=attempt, error=error, draw=draw), delay)

    # -- answering ------------------------------------------------------------------------------------------------

    def _answer(self, wish: commands.Command) -> Event | None:
        match wish:
            case commands.AskWhen(instance=instance):
                return self._answered(instance, True, _when)
            case commands.AskChoice(instance=instance):
                return self._answered(instance, 0, lambda path, taken: events.ChoiceMade(path=path, taken=taken))
            case commands.AskItems(instance=instance):
                return self._answered(instance, 0, lambda path, n: events.ForeachExpanded(path=path, count=n))
            case commands.AskLoop(instance=instance, round=number):
                return self._answered(
                    instance, 1, lambda path, n: events.LoopChecked(path=path, round=number, go_on=number < n)
                )
            case commands.AskMerge(instance=instance):
                return self._answered(instance, None, lambda path, _: events.ChoiceMade(path=path, taken=0))
            case commands.AskBreak(instance=instance, highest=highest, ends_block=ends):
                return events.IterationBroken(path=instance.path, everything=ends, highest=highest)
        return None

    def _answered(self, instance: Instance, default: Any, event: Callable[[str, Any], Event]) -> Event:
        answer = self.script.answer(instance.path, default)
        if isinstance(answer, ErrorData):
            return events.EvaluationFailed(path=instance.path, error=answer)
        return event(instance.path, answer)


def _when(path: str, yes: Any) -> Event:
    return events.ChoiceMade(path=path, taken=0 if yes else -1, when=True)


class Simulation(msgspec.Struct, frozen=True):
    """What a run would have been: times are virtual seconds from its start, by path."""

    status: str
    makespan: float
    started_at: Mapping[str, float]
    completed_at: Mapping[str, float]
    utilisation: float
    """The share of the slots' time that was worked."""
    peak: int
    """The most leaves that ran at once."""


def simulate(
    workflow: Workflow | Graph,
    durations: Mapping[str, float],
    *,
    jobs: int,
    schedule: Literal["dataflow", "waves", "sequential"] = "dataflow",
    estimates: Mapping[str, float] | None = None,
) -> Simulation:
    """Run the scheduler in virtual time, under the workflow's limits. No function is called.

    `durations` and `estimates` map ids to seconds; what is not in `durations` takes 1 s. `estimates` is what the
    scheduler believes; None: it knows the durations; `{}`: it knows nothing. Where only a run could tell, conditions
    are true, loops go round once, and what is gone over has no items. Raises InputError for what cannot be.
    """
    from weft.workflow.options import SCHEDULES, one_of

    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs is {jobs!r}; it must be a whole number of 1 or more")
    one_of("schedule", schedule, SCHEDULES)
    _refuse_odd_times("durations", durations)
    _refuse_odd_times("estimates", estimates or {})
    graph = graph_of(workflow)
    believed = durations if estimates is None else estimates
    in_turn = schedule == "sequential"
    ranks: Ranks = in_order(graph) if in_turn else plan(graph, lambda node: believed.get(node.id))
    slots = 1 if in_turn else jobs
    layered: Literal["waves", "dataflow"] = "waves" if schedule == "waves" else "dataflow"
    scheduler = Scheduler(graph, jobs=slots, limits=_limits_of(workflow), schedule=layered, ranks=ranks)
    run = SimulatedRun(scheduler, Script(durations))
    status = run.run()
    makespan = max(run.completed_at.values(), default=0.0)
    used = run.worked / (makespan * slots) if makespan else 0.0
    return Simulation(status, makespan, run.started_at, run.completed_at, used, run.peak)


def _refuse_odd_times(what: str, times: Mapping[str, float]) -> None:
    for name, seconds in times.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
            raise InputError(f"{what}: {name} is {seconds!r}; it must be a number of seconds, 0 or more")


def graph_of(workflow: Workflow | Graph) -> Graph:
    """What the scheduler runs of it."""
    return workflow if isinstance(workflow, Graph) else workflow.graph()


def _limits_of(workflow: Workflow | Graph) -> dict[str, Limit]:
    """Those that it declares, and one at a time for every other name, which is that of a mutex."""
    if isinstance(workflow, Graph):
        return {}
    declared: Mapping[str, Limit] = getattr(workflow, "program", workflow).limits
    named = [name for node in walk(workflow.graph()) for name in node.limits]
    return {name: declared.get(name, Limit(concurrency=1)) for name in named}


class _Task(msgspec.Struct):
    id: str
    seconds: float
    needs: list[str] = []


class _Trace(msgspec.Struct):
    tasks: list[_Task]


def load_trace(path: str | Path) -> tuple[Workflow, dict[str, float]]:
    """A workflow and its durations in seconds by id, from a file of `{"tasks": [{"id", "seconds", "needs"}]}`.

    Its tasks do nothing when they are run; a ScriptedBackend can let them take their time. Raises InputError, with the
    place, for a file that is not such a trace; DuplicateTaskError, UnknownTaskError and CycleError for its tasks.
    """
    from weft.workflow import Workflow

    try:
        trace = msgspec.json.decode(Path(path).read_bytes(), type=_Trace)
    except msgspec.DecodeError as error:
        raise InputError(f"{path} is no trace: {error}", hint='write {"tasks": [{"id", "seconds", "needs"}]}') from None
    flow = Workflow(Path(path).stem)
    for task in trace.tasks:
        flow.add_task(_nothing, id=task.id)
    for task in trace.tasks:
        for need in task.needs:
            flow.add_dependency(need, task.id)
    return flow, {task.id: task.seconds for task in trace.tasks}


def _nothing() -> None:
    """What a task of a trace does."""
