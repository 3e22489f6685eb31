"""The scheduler: events in, commands out.

It is synchronous, has no clock and does no I/O; it never sees a value, only paths, outcomes and counts. Everything
that depends on time, randomness or values is done by whoever drives it and arrives as an event, so that feeding the
same events to a fresh scheduler gives the same state: resume is a fold over the journal.

    handle(event)        something happened: change state; returns what to ask, cancel, record, close - and, while a
    commit
                         is in flight, attempts that may start on a slot that became free meanwhile (`early`)
    close_batch(now)     the batch is about to be made durable: everything that may start, given that it will be

A slot is free when its work ends, not when its end is durable. What starts `early` - while a commit is in flight, or
without waiting for the one that takes its start record - has needs that are durable already (the batch that is being
gathered and the one in flight do not count), is never `once`, has no compensation and no named limit. At most
`MAX_UNRECORDED` ends may be unrecorded by that.

A replay must not depend on `jobs`, on a window or on learnt weights. So while `replaying`, nothing starts by itself
and no iteration opens by itself: the events say what had started (see replay.py). An end whose needs are not met is
illegal; an end that this scheduler would not have started yet is not.

Where things are decided: how nodes come alive and end in lifecycle.py, what a failure does in failure.py, what kinds
of blocks do in blocks.py, attempts in attempts.py, evaluations and the run itself in answers.py. Here are the two
doors, and what may start.

Rejected: starting dependents when an end is handled (before its commit). It saves a commit in a chain and loses order
under a kill: a dependent's effect could be seen whose cause was never recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft import commands
from weft import event_types as events
from weft.budget import Ledger
from weft.commands import Command
from weft.core import answers, attempts, replay
from weft.core.lifecycle import Lifecycle
from weft.core.limits import NOTHING
from weft.core.state import Instance
from weft.core.status import STARTED, Status
from weft.errors import IllegalEvent
from weft.event_types import Event

MAX_UNRECORDED = 256


class Scheduler(Lifecycle):
    """All decisions of one run."""

    def handle(self, event: Event) -> list[Command]:
        """Take in one fact. Raises IllegalEvent, with nothing changed, when it cannot have happened."""
        handler = _HANDLERS.get(type(event))
        if handler is None:
            if event.DERIVED:  # our own consequence, read back: derived again instead
                return []
            raise IllegalEvent(f"{type(event).__name__} is not an event of the scheduler")
        try:
            handler(self, event)
        except IllegalEvent:
            replay.bury(self)
            raise
        todo = self.todo
        while todo:
            step, args = todo.popleft()
            step(*args)
        if self.unearthed:
            self.unearthed.clear()
        if self.undo.stopped:
            self.undo.settle()
        if self.committing:
            self._start_early()
        out = self.out
        self.out = []
        if self.withdrew:
            self.withdrew = False
            out = [command for command in out if not self._stale(command)]
        return out

    def close_batch(self, now: float = 0.0) -> list[Command]:
        """What may start once everything handled so far is durable. `now` is a monotonic time in seconds, for rates."""
        self.now = now
        if self.ledger is not None:
            self._pass_time(self.ledger)
        if not self.replaying and not self.finished:
            self.queue.reopen(now)
            self._start_ready()
            self._end_if_idle()
        self.queue.close()
        self.batch += 1
        self.committing = True
        self.flying, self.unrecorded = self.unrecorded, 0
        out = self.out
        self.out = []
        return out

    def recover(self) -> list[Command]:
        """End a replay:

        Ask again what was not answered, start again what was lost, ask a person about a lost `once`.
        """
        replay.recover(self)
        out = self.out
        self.out = []
        return out

    def find(self, path: str) -> Instance | None:
        """The instance that is alive at `path`, or None. A replay opens the iteration for it, for the event to come."""
        try:
            return self.open.get(path) or replay.unearth(self, path)
        except IllegalEvent:
            replay.bury(self)
            return None

    def expects(self, event: Event) -> bool:
        """False for an answer (or a deadline) that comes too late: its node was stopped since it asked."""
        if type(event) not in _ANSWERS:
            return True
        assert isinstance(event, events.PathEvent)
        instance = self.find(event.path)
        if instance is None:
            return False
        return bool(instance.asked) or (isinstance(event, events.BlockTimedOut) and instance.status is Status.RUNNING)

    # -- starting ---------------------------------------------------------------------------------------------------

    def _pass_time(self, ledger: Ledger) -> None:
        """The wall time of earlier sittings is in the ledger when this one begins."""
        if self.began is None:
            self.began = self.now - ledger.elapsed
        ledger.elapsed = self.now - self.began

    def _start_ready(self) -> None:
        if self.paused:
            return
        for instance in self.unstarted:
            if instance.status is Status.READY:
                self._start(instance, early=False)
        self.unstarted.clear()
        queue = self.queue
        room = MAX_UNRECORDED - self.unrecorded
        while (found := queue.pop(self.now, early=False)) is not None:
            self._start(found, early=queue.safe and queue.used <= room)
        if (wait := queue.next_opening(self.now)) is not None:
            self.out.append(commands.Wake(wait))

    def _start_early(self) -> None:
        """A commit is in flight: use the slots that have become free meanwhile."""
        queue = self.queue
        room = min(queue.jobs, MAX_UNRECORDED - self.unrecorded - self.flying)
        while queue.used < room and not self.paused:
            found = queue.pop(self.now, early=True)
            if found is None:
                return
            self._start(found, early=True)

    def _start(self, instance: Instance, *, early: bool) -> None:
        instance.attempt += 1
        instance.step(STARTED)
        if instance.node.effect != "pure":
            instance.noted = instance.attempt
            if not instance.begun:
                instance.begin()
        self.busy += 1
        self.reserve(instance)
        if instance.waited:
            self.record(events.LimitWaited(path=instance.path, limit=instance.waited))
            instance.waited = ""
        self.out.append(commands.StartAttempt(instance, instance.attempt, instance.reason, early))

    def _stale(self, command: Command) -> bool:
        """A question, or a deadline, of what was stopped before anybody could hear of it."""
        if isinstance(command, commands.SetDeadline):
            return command.instance.status is not Status.RUNNING
        return isinstance(command, _QUESTIONS) and (
            not command.instance.asked or self.open.get(command.instance.path) is not command.instance
        )

    def _end_if_idle(self) -> None:
        """Nothing runs, nothing can start, somebody must decide: the run waits."""
        if self.busy or self.finished or self.paused or self.undo.running or not self.open or self.queue:
            return
        if any(i.asked for i in self.open.values()):
            return
        broke = self.queue.broke
        if broke is not None and self.ledger is not None:
            lacking = self.ledger.lacking(broke.node.estimate or NOTHING)
            self.record(events.BudgetExhausted(path=broke.path, lacking=lacking))
        if broke is not None or any(i.status is Status.WAITING for i in self.open.values()):
            self.finish("waiting")


_QUESTIONS = (
    commands.AskWhen,
    commands.AskChoice,
    commands.AskItems,
    commands.AskLoop,
    commands.AskMerge,
    commands.AskBreak,
)
_ANSWERS = frozenset(
    {
        events.ChoiceMade,
        events.ForeachExpanded,
        events.ItemsFound,
        events.LoopChecked,
        events.IterationBroken,
        events.EvaluationFailed,
        events.BlockTimedOut,
    }
)
_HANDLERS: dict[type[Event], Callable[[Any, Any], None]] = {
    events.RunStarted: answers.on_run_started,
    events.RunResumed: answers.on_run_resumed,
    events.AttemptStarted: attempts.on_attempt_started,
    events.AttemptSucceeded: attempts.on_attempt_succeeded,
    events.AttemptFailed: attempts.on_attempt_failed,
    events.TimerFired: attempts.on_timer_fired,
    events.ChoiceMade: answers.on_choice_made,
    events.ForeachExpanded: answers.on_answer,
    events.ItemsFound: answers.on_answer,
    events.LoopChecked: answers.on_answer,
    events.IterationBroken: answers.on_iteration_broken,
    events.EvaluationFailed: answers.on_evaluation_failed,
    events.BlockTimedOut: answers.on_block_timed_out,
    events.CancelRequested: answers.on_cancel_requested,
    events.DecisionNeeded: attempts.on_decision_needed,
    events.DecisionMade: attempts.on_decision_made,
    events.CompensationStarted: answers.on_compensation,
    events.CompensationSucceeded: answers.on_compensation,
    events.CompensationFailed: answers.on_compensation,
    events.BatchDurable: answers.on_batch_durable,
    events.Interrupted: answers.on_interrupted,
    events.ValueDrawn: answers.on_nothing,
}


__all__ = ["MAX_UNRECORDED", "Scheduler"]
