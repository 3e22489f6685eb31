"""Resume: fold the journal through the scheduler, then perform what has no answer.

Two passes. The first finds which facts still hold (see facts.py). The second feeds those to a fresh scheduler, which
refuses what cannot have happened.

When nothing was put aside, the order of the journal is legal and every refusal is damage. When something was, a fact
may come before its turn (a node that was kept needs one that runs again): such a fact is *parked* under its path and
used when its node is reached, in this sitting or a later one. A parked fact of a node that is gone is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from weft import commands
from weft import event_types as events
from weft.core.blocks import Block
from weft.core.scheduler import Scheduler
from weft.core.state import Instance
from weft.engine.evaluate import Evaluator
from weft.engine.records import Outputs
from weft.errors import CorruptJournalError, IllegalEvent
from weft.event_types import Event, PathEvent


class Parked:
    """Facts that came before their turn, by path, in order; of several answers to one question the last.

    A question is asked again when what it was asked of was put aside: what was answered before that is of another past.
    """

    def __init__(self) -> None:
        self._facts: dict[str, dict[object, PathEvent]] = {}

    def __bool__(self) -> bool:
        return bool(self._facts)

    def add(self, event: PathEvent) -> None:
        """Keep one for later."""
        facts = self._facts.setdefault(event.path, {})
        question = _question(event)
        facts.pop(question, None)
        facts[question] = event

    def has(self, path: str) -> bool:
        """Whether a success is parked at this path."""
        return any(isinstance(f, events.AttemptSucceeded) for f in self._facts.get(path, {}).values())

    def take(self, path: str) -> events.AttemptSucceeded | None:
        """The success parked at this path, if there is one; everything else at the path is dropped."""
        if not self.has(path):
            return None
        return next(f for f in reversed(self.pop(path)) if isinstance(f, events.AttemptSucceeded))

    def pop(self, path: str) -> list[PathEvent]:
        """All facts at this path."""
        return list(self._facts.pop(path, {}).values())

    def paths(self) -> list[str]:
        """Where facts are parked."""
        return list(self._facts)


def _question(event: PathEvent) -> object:
    """What an event of its path answers; of what answers nothing, something of its own."""
    if isinstance(event, events.ChoiceMade):
        return "when" if event.when else "choice"
    if isinstance(event, events.ForeachExpanded):
        return "items"
    if isinstance(event, events.LoopChecked):
        return event.round
    return object()


class Replay:
    """Feeds events to a scheduler that is replaying, and keeps what values need."""

    def __init__(self, scheduler: Scheduler, evaluator: Evaluator, outputs: Outputs) -> None:
        self.scheduler = scheduler
        self.parked = Parked()
        self.started_at: dict[str, float] = {}
        """When attempts began that have not ended, by path, in Unix time."""
        self.undo: dict[str, events.Undo] = {}
        """How to undo what was done at a path, where the attempt said so."""
        self.fed = 0
        self._evaluator = evaluator
        self._outputs = outputs
        self._before: dict[type[Event], Callable[[Any], None]] = {
            events.AttemptStarted: self._started,
            events.AttemptSucceeded: self._succeeded,
            events.AttemptFailed: self._failed,
            events.DecisionMade: self._decided,
            events.ChoiceMade: self._merged,
            events.EvaluationFailed: self._block_failed,
            events.BlockTimedOut: self._block_failed,
            events.ForeachExpanded: evaluator.collections.remember,
            events.ValueDrawn: evaluator.remember_draw,
        }

    def run(self, facts: Iterable[Event], *, strict: bool) -> None:
        """Fold. Raises CorruptJournalError when `strict` and an event cannot have happened."""
        for event in facts:
            try:
                self._feed(event)
            except IllegalEvent as refusal:
                if strict or not isinstance(event, PathEvent):
                    raise CorruptJournalError(
                        f"event {self.fed + 1} cannot have happened: {refusal}",
                        hint="the journal is damaged, or was written for another graph",
                    ) from None
                self.parked.add(event)
        progress = bool(self.parked)
        while progress:
            progress = False
            for path in self.parked.paths():
                progress |= self._try_parked(path)

    def _try_parked(self, path: str) -> bool:
        held = self.parked.pop(path)
        progress = False
        for event in held:
            try:
                self._feed(event)
                progress = True
            except IllegalEvent:
                self.parked.add(event)
        return progress

    def _feed(self, event: Event) -> None:
        before = self._before.get(type(event))
        if before is not None:
            before(event)
        wishes = self.scheduler.handle(event)
        self.fed += 1
        for wish in wishes:
            if type(wish) is commands.CloseFrame:
                self._evaluator.close_frame(wish)
            elif type(wish) is commands.CompleteBlock:
                assert isinstance(wish.instance, Block)
                self._evaluator.complete(wish.instance)

    # -- what values need, just before the scheduler hears of it ----------------------------------------------------

    def _started(self, event: events.AttemptStarted) -> None:
        self.started_at.setdefault(event.path, event.at)

    def _succeeded(self, event: events.AttemptSucceeded) -> None:
        self.started_at.pop(event.path, None)
        if event.undo is not None:
            self.undo[event.path] = event.undo
        leaf = self._leaf(event.path)
        if leaf is not None:
            self._evaluator.keep(leaf, self._outputs.record(event))

    def _failed(self, event: events.AttemptFailed) -> None:
        self.started_at.pop(event.path, None)
        leaf = self._leaf(event.path)
        if leaf is not None:
            self._evaluator.failed(leaf, event.error, event.attempt)

    def _decided(self, event: events.DecisionMade) -> None:
        leaf = self._leaf(event.path)
        if leaf is not None:
            self._evaluator.decided(leaf, event)

    def _block_failed(self, event: events.EvaluationFailed | events.BlockTimedOut) -> None:
        self._evaluator.errors[event.path] = (event.error, 1)

    def _merged(self, event: events.ChoiceMade) -> None:
        """A merge is computed again: its value is on record nowhere but in the block's own end, which is derived."""
        instance = self.scheduler.find(event.path)
        if instance is not None and instance.asked == "merge":
            self._evaluator.merge(instance)

    def _leaf(self, path: str) -> Instance | None:
        instance = self.scheduler.open.get(path) or self.scheduler.find(path)
        return None if instance is None or instance.node.kind != "leaf" else instance
