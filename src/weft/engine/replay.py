"""Resume: fold the journal through the scheduler, then perform what has no answer.

Two passes. The first finds which facts still hold (see facts.py). The second feeds those to a fresh scheduler, which
refuses what cannot have happened.

When nothing was put aside, the order of the journal is legal and every refusal is damage. When something was, a fact
may come before its turn (a node that was kept needs one that runs again): such a fact is *parked* under its path and
used when its node is reached, in this sitting or a later one. A parked fact of a node that is gone is never used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from weft import commands, events
from weft.core.blocks import Block
from weft.core.scheduler import Scheduler
from weft.engine.evaluate import Evaluator
from weft.engine.records import Outputs
from weft.errors import CorruptJournalError, IllegalEvent
from weft.events import Event, PathEvent


class Parked:
    """Facts that came before their turn, by path, in order."""

    def __init__(self) -> None:
        self._facts: dict[str, deque[PathEvent]] = {}

    def __bool__(self) -> bool:
        return bool(self._facts)

    def add(self, event: PathEvent) -> None:
        """Keep one for later."""
        self._facts.setdefault(event.path, deque()).append(event)

    def has(self, path: str) -> bool:
        """Whether a success is parked at this path."""
        return any(isinstance(f, events.AttemptSucceeded) for f in self._facts.get(path, ()))

    def take(self, path: str) -> events.AttemptSucceeded | None:
        """The success parked at this path, if there is one; everything else at the path is dropped."""
        if not self.has(path):
            return None
        return next(f for f in reversed(self.pop(path)) if isinstance(f, events.AttemptSucceeded))

    def pop(self, path: str) -> list[PathEvent]:
        """All facts at this path."""
        return list(self._facts.pop(path, ()))

    def paths(self) -> list[str]:
        """Where facts are parked."""
        return list(self._facts)


class Replay:
    """Feeds events to a scheduler that is replaying, and keeps what values need."""

    def __init__(self, scheduler: Scheduler, evaluator: Evaluator, outputs: Outputs) -> None:
        self.scheduler = scheduler
        self.parked = Parked()
        self.started_at: dict[str, float] = {}
        """When attempts began that have not ended, by path, in Unix time."""
        self.fed = 0
        self._evaluator = evaluator
        self._outputs = outputs

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
        self._remember(event)
        instance = self.scheduler.find(event.path) if isinstance(event, PathEvent) and _ends(event) else None
        if instance is not None and instance.node.kind == "leaf":
            if isinstance(event, events.AttemptSucceeded):
                self._evaluator.keep(instance, self._outputs.record(event))
            elif isinstance(event, events.AttemptFailed):
                self._evaluator.failed(instance, event.error, event.attempt)
            elif isinstance(event, events.DecisionMade):
                self._evaluator.decided(instance, event)
        wishes = self.scheduler.handle(event)
        self.fed += 1
        for wish in wishes:
            if isinstance(wish, commands.CloseFrame):
                self._evaluator.close_frame(wish)
            elif isinstance(wish, commands.CompleteBlock) and isinstance(wish.instance, Block):
                self._evaluator.complete(wish.instance)

    def _remember(self, event: Event) -> None:
        match event:
            case events.AttemptStarted():
                self.started_at.setdefault(event.path, event.at)
            case events.AttemptSucceeded() | events.AttemptFailed():
                self.started_at.pop(event.path, None)
            case events.ForeachExpanded():
                self._evaluator.remember_items(event)
            case events.ValueDrawn():
                self._evaluator.remember_draw(event)
            case events.EvaluationFailed() | events.BlockTimedOut():
                self._evaluator.errors[event.path] = (event.error, 1)


def _ends(event: PathEvent) -> bool:
    return isinstance(event, events.AttemptSucceeded | events.AttemptFailed | events.DecisionMade)
