"""The loop: decide, make durable, then act.

    while not finished:
        close the batch            the scheduler says what may start, given that all it has handled will be durable
        append it to the journal   ONE commit: what happened, and the starts it allows
        act                        start attempts, set timers, cancel, compensate, finish

Events are handled the moment they arrive (the scheduler is synchronous and cheap); what they ask to have evaluated is
evaluated at once, as that reaches nothing outside. Everything that does reach outside waits for the commit. While a
commit is in flight the loop does not idle: ends that arrive free their slots, and what may start early starts (see
scheduler.py).

If a commit fails the process stops: the state that ran ahead of the journal is dropped with it and never seen. Whoever
listens is told of an event after its commit, never before.

Rejected: one coroutine per node that awaits its needs. It reads well, but then readiness, limits, policies and resume
live in awaits that no table can show, no replay can repeat and no test can reach without a clock.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from weft import commands
from weft import event_types as events
from weft.clock import Clock
from weft.core.scheduler import Scheduler
from weft.core.state import Instance
from weft.core.status import Status
from weft.engine.attempt import Attempt
from weft.engine.committer import Committer
from weft.engine.evaluate import Evaluator
from weft.engine.facts import Facts
from weft.engine.keys import Keys
from weft.engine.logs import Logs
from weft.engine.records import Outputs
from weft.engine.replay import Parked, Replay
from weft.engine.undo import Undoing
from weft.engine.writes import Writers
from weft.errors import ErrorData
from weft.event_types import Event
from weft.graph.work import Evaluable
from weft.runtimes import registry
from weft.runtimes.base import Log, World

LEARNT = 5
"""Durations of one definition that are collected at most."""
LAST_GRACE = 10.0
"""Seconds in which all must have ended that is stopped when the executor goes: children take some to be killed."""


class Executor:
    """Performs the commands of one scheduler until its run has a status, or until it is told to leave."""

    def __init__(
        self,
        scheduler: Scheduler,
        evaluator: Evaluator,
        outputs: Outputs,
        committer: Committer,
        world: World,
        *,
        clock: Clock,
        keys: Keys,
        logs: Logs,
        output: Evaluable | None = None,
        tell: Callable[[list[Event]], None] = lambda batch: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.scheduler = scheduler
        self.evaluator = evaluator
        self.outputs = outputs
        self.world = world
        self.clock = clock
        self.random = draw
        self.mask = world.mask
        self.key = keys.key
        self._output = output
        self.log_for: Callable[[str, int], Log] = logs.writer
        self._end_log = logs.end
        self.leaving = False
        self.abandoned = 0
        """Attempts that were stopped and go on in the loop all the same."""
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self._committer = committer
        self._tell = tell
        self._running: dict[str, Attempt] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._inbox: deque[Event] = deque()
        self._handling = False
        self._batch: list[Event] = []
        self._after: list[commands.Command] = []
        self._durable: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()
        """Collections whose next items are awaited."""
        self._runtimes: dict[str, Any] = {}
        self._started_at: dict[str, float] = {}
        self.undoing = Undoing(self)
        self.writers = Writers()
        self._due: Mapping[str, tuple[float, float]] = {}
        self._reasons: dict[str, str] = {}
        self.durations: dict[str, list[float]] = {}
        """What attempts took that ended well, by the definition of their node, in seconds: a few of each."""
        self._parked: Parked | None = None
        self._status = self._outcome = ""
        self._fault: BaseException | None = None
        self._at_once: dict[type[commands.Command], Callable[[Any], None]] = {
            commands.AskWhen: lambda c: self._inbox.append(evaluator.when(c.instance)),
            commands.AskChoice: lambda c: self._inbox.append(evaluator.choice(c.instance)),
            commands.AskItems: self._ask_items,
            commands.AskLoop: lambda c: self._inbox.append(evaluator.loop(c.instance, c.round)),
            commands.AskMerge: lambda c: self._inbox.append(evaluator.merge(c.instance)),
            commands.AskBreak: lambda c: self._inbox.append(evaluator.broken(c)),
            commands.CloseFrame: evaluator.close_frame,
            commands.CompleteBlock: lambda c: self._batch.append(evaluator.complete(c.instance)),
            commands.Record: self._record,
            commands.StartAttempt: self._start_early,
        }
        self._acts: dict[type[commands.Command], Callable[[Any], None]] = {
            commands.StartAttempt: self._start,
            commands.CancelAttempt: self._cancel,
            commands.SetTimer: self._set_timer,
            commands.SetDeadline: self._set_deadline,
            commands.Wake: lambda c: self._later("", c.delay, self._wake.set),
            commands.Compensate: self.undoing.start,
            commands.Finish: self._finish,
        }

    # -- the loop ---------------------------------------------------------------------------------------------------

    async def run(self, first: list[commands.Command], batch: list[Event]) -> str:
        """Go on until the run has a status, and return it; empty when the executor was told to leave.

        `first` are the commands that a fresh start or a replay has left to perform, `batch` the facts that go into the
        first commit. Raises JournalError, FencedError.
        """
        self._batch += batch
        self._take(first)
        self._drain()
        try:
            while not self._status:
                await self._turn()
                if self._status or (self.leaving and not self._busy):
                    break
                await self._wait()
        finally:
            await self._stop_everything()
        if self._fault is not None:
            raise self._fault
        return self._outcome if self._status else ""

    async def _turn(self) -> None:
        """Close the batch, make it durable, act."""
        self._wake.clear()
        act: list[commands.Command] = []
        for command in self.scheduler.close_batch(self.clock.monotonic()):
            if type(command) is commands.StartAttempt:
                self._note_start(command)
                if command.early:
                    self._start(command)
                else:
                    act.append(command)
            elif type(command) is commands.Record:
                self._batch.append(self._stamped(command.event))
            else:
                act.append(command)
        act, self._after = self._after + act, []
        batch, self._batch = self._batch, []
        waiters, self._durable = self._durable, []
        if batch:
            await self._committer.append(batch, alone=not self._running)
        self.post(events.BatchDurable(now=self.clock.monotonic()))
        for waiter in waiters:
            waiter.set_result(None)
        self._tell(batch)
        for command in act:
            self._acts[type(command)](command)

    @property
    def _busy(self) -> bool:
        return bool(self._running or self._batch or self.undoing.busy)

    async def _wait(self) -> None:
        if not self._batch and not self._after and not self._durable:
            await self._wake.wait()
        if self._fault is not None:
            raise self._fault

    def post(self, event: Event) -> None:
        """Something happened."""
        self._inbox.append(event)
        if not self._handling:
            self._drain()

    def _drain(self) -> None:
        """Handle everything that has arrived, and what follows from it."""
        self._handling = True
        inbox = self._inbox
        try:
            while inbox:
                event = inbox.popleft()
                if self.scheduler.expects(event):  # else an answer whose node was stopped since it asked
                    self._handle(event)
        except BaseException as error:
            self.broken(error)
        finally:
            self._handling = False

    def _handle(self, event: Event) -> None:
        """Let the scheduler decide, put the fact into the batch, and do what reaches nothing outside."""
        wishes = self.scheduler.handle(event)
        if self.evaluator.drawn:
            self._batch += self.evaluator.drawn
            self.evaluator.drawn.clear()
        if event.JOURNALED:
            if wishes:
                self._batch += [self._stamped(w.event) for w in wishes if type(w) is commands.Record and w.before]
            self._batch.append(event)
            self._wake.set()
        if wishes:
            self._take(wishes)

    def _take(self, wishes: list[commands.Command]) -> None:
        for command in wishes:
            act = self._at_once.get(type(command))
            if act is None:
                self._after.append(command)
                self._wake.set()
            else:
                act(command)

    def _ask_items(self, command: commands.AskItems) -> None:
        event = self.evaluator.items(command.instance, command.at_least)
        if event is not None:
            self._inbox.append(event)
            return
        task = self.loop.create_task(self._await_items(command))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _await_items(self, command: commands.AskItems) -> None:
        self._fired(await self.evaluator.collections.await_items(command.instance, command.at_least))

    async def durable(self) -> None:
        """Return when everything posted and drawn so far is durable."""
        self._batch += self.evaluator.drawn
        self.evaluator.drawn.clear()
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._durable.append(waiter)
        self._wake.set()
        await waiter

    def ask(self, event: Event) -> None:
        """Somebody outside wants something. Raises IllegalEvent, with nothing changed, when it cannot be."""
        if isinstance(event, events.DecisionMade):
            instance = self.scheduler.open.get(event.path)
            if instance is not None and instance.status is Status.WAITING:
                self.evaluator.decided(instance, event)
        self._handle(event)
        self._drain()

    def _record(self, command: commands.Record) -> None:
        if not command.before:
            self._batch.append(self._stamped(command.event))

    def _stamped(self, event: Event) -> Event:
        if isinstance(event, events.RunFinished):
            finished = self.evaluator.finished(event, self.scheduler.graph, self._output)
            self._outcome = finished.status  # it fails when its output cannot be computed
            return finished
        return event if event.at else msgspec.structs.replace(event, at=self.clock.now())

    # -- attempts ---------------------------------------------------------------------------------------------------

    def _note_start(self, command: commands.StartAttempt) -> None:
        """Record the start. What is `pure` needs no record: it may run again while its end is not journaled."""
        instance = command.instance
        path = instance.path
        if instance.node.effect == "pure" or (self._parked is not None and self._parked.has(path)):
            return
        at = self._started_at.setdefault(path, self.clock.now())
        reason = command.reason
        if self._reasons and reason == "new":
            reason = self._reasons.pop(path, reason)
        self._batch.append(events.AttemptStarted(path=path, attempt=command.attempt, reason=reason, at=at))

    def _start_early(self, command: commands.StartAttempt) -> None:
        self._note_start(command)
        self._wake.set()
        self._start(command)

    def _start(self, command: commands.StartAttempt) -> None:
        if self._parked is not None and self._reuse(self._parked, command):
            return
        attempt = self._running[command.instance.path] = Attempt(
            self, command.instance, command.attempt, self.clock.monotonic()
        )
        attempt.start()

    def _reuse(self, parked: Parked, command: commands.StartAttempt) -> bool:
        """A fact of an earlier sitting that came before its turn stands for the attempt; it is in the journal
        already.
        """
        fact = parked.take(command.instance.path)
        if fact is None:
            return False
        event = msgspec.structs.replace(fact, attempt=command.attempt)
        self.evaluator.keep(command.instance, self.outputs.record(event))
        self._take(self.scheduler.handle(event))
        self._wake.set()
        return True

    def _cancel(self, command: commands.CancelAttempt) -> None:
        attempt = self._running.get(command.instance.path)
        if attempt is not None:
            attempt.cancel(command.reason)

    def broken(self, error: BaseException) -> None:
        """Something of ours went wrong where nobody awaits: the run ends with it."""
        self._fault = error
        self._wake.set()

    def attempt_left(self, attempt: Attempt) -> None:
        """An attempt was stopped because the engine goes away: it has no outcome."""
        self._running.pop(attempt.instance.path, None)
        self._wake.set()

    def attempt_ended(self, attempt: Attempt, event: events.AttemptSucceeded | events.AttemptFailed) -> None:
        """An attempt has its outcome."""
        path = event.path
        self._running.pop(path, None)
        self._started_at.pop(path, None)
        self._end_log(path, event.attempt)
        if type(event) is events.AttemptFailed:
            self.evaluator.failed(attempt.instance, event.error, event.attempt, attempt.raised)
        elif type(event) is events.AttemptSucceeded:
            if event.undo is not None:
                self.undoing.said[path] = event.undo
            if key := attempt.instance.node.weight_key:
                self._learn(key, event.duration)
        self.post(event)

    def _learn(self, key: str, duration: float) -> None:
        """For the next run's order. A few are enough for a median."""
        known = self.durations.setdefault(key, [])
        if len(known) < LEARNT:
            known.append(duration)

    def first_start(self, instance: Instance) -> float | None:
        """Unix time at which this attempt began first, also when that was before a crash."""
        return self._started_at.get(instance.path)

    def runtime(self, kind: str) -> Any:
        """The runtime of a node kind, one for the whole run."""
        runtime = self._runtimes.get(kind)
        if runtime is None:
            runtime = self._runtimes[kind] = registry.get(kind)()
        return runtime

    def masked(self, error: ErrorData) -> ErrorData:
        """The error without any secret in its texts."""
        cause = error.cause and self.mask(error.cause)
        return msgspec.structs.replace(error, message=self.mask(error.message), cause=cause)

    # -- timers -----------------------------------------------------------------------------------------------------

    def _later(self, path: str, delay: float, act: Callable[[], None]) -> None:
        old = self._timers.pop(path, None)
        if old is not None and path:
            old.cancel()
        self._timers[path] = self.loop.call_later(max(0.0, delay), act)

    def _set_timer(self, command: commands.SetTimer) -> None:
        """Wait for a retry. After a resume (a negative delay) for what is left, however the clock was set meanwhile."""
        path = command.instance.path
        delay = command.delay
        if delay < 0:
            due, whole = self._due.get(path, (0.0, 0.0))
            delay = min(due - self.clock.now(), whole)
        self._later(path, delay, lambda: self._fired(events.TimerFired(path=path)))

    def _fired(self, event: Event) -> None:
        self.post(event)
        self._wake.set()

    def _set_deadline(self, command: commands.SetDeadline) -> None:
        instance = command.instance
        message = f"took longer than {command.seconds:g} s and was stopped"
        error = ErrorData("Timeout", message, retryable=True)

        def out_of_time() -> None:
            if self.scheduler.open.get(instance.path) is instance:
                self.evaluator.errors[instance.path] = (error, 1)
                self._fired(events.BlockTimedOut(path=instance.path, error=error, at=self.clock.now()))

        self._later(f"{instance.path} deadline", command.seconds, out_of_time)

    # -- leaving ----------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Start nothing new and go when what runs has ended. The run has no end: it goes on when resumed."""
        if not self.leaving:
            self.leaving = True
            self.post(events.Interrupted())
        self._wake.set()

    def interrupt_now(self) -> None:
        """Stop what runs, and go. It has no end either: a resume repeats it."""
        self.interrupt()
        for attempt in self._running.values():
            attempt.cancel("the engine goes away")
        self.undoing.leave()

    def out_of_time(self, seconds: float) -> None:
        """The run's own deadline has passed."""
        reason = f"the run took longer than {seconds:g} s"
        self._fired(events.CancelRequested(by="timeout", reason=reason, timeout=True, at=self.clock.now()))

    def cancel(self, by: str, reason: str) -> None:
        """Somebody in this process wants the run to end."""
        self._fired(events.CancelRequested(by=by, reason=reason, at=self.clock.now()))

    def take_up(self, replay: Replay, facts: Facts) -> None:
        """What a replay found out that the world must go on with."""
        self._started_at.update(replay.started_at)
        self._parked = replay.parked
        self.undoing.said = replay.undo
        self._due = facts.due
        self._reasons = facts.reasons

    def _finish(self, command: commands.Finish) -> None:
        self._status = command.status

    async def _stop_everything(self) -> None:
        """Nothing outlives the run."""
        self.leaving = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = [a.task for a in self._running.values() if a.task is not None]
        tasks += [*self.undoing.tasks, *self._reading]
        for task in tasks:
            task.cancel()
        if tasks:
            for task in (await asyncio.wait(tasks, timeout=LAST_GRACE))[1]:  # does not obey: nobody waits for it
                asyncio._unregister_task(task)  # noqa: SLF001 - documented; `asyncio.run` would wait for ever
        await self.evaluator.collections.close()

    @property
    def running(self) -> list[str]:
        """The paths of the attempts that run now."""
        return list(self._running)
