"""Resume: fold the journal through the scheduler, then perform what has no answer.

Two passes. The first finds which facts still hold. A resume of a run that had ended as failed puts its failures aside (their
attempts are counted, so that numbering goes on); what was undone counts as not done; what a changed document changed, too.
The second feeds the facts that hold to a fresh scheduler, which refuses what cannot have happened.

When nothing was put aside, the order of the journal is legal and every refusal is damage. When something was, a fact may
come before its turn (a node that was kept needs one that runs again): such a fact is *parked* under its path and used when
its node is reached, in this sitting or a later one. A parked fact of a node that is gone is never used.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

from weft import commands, events
from weft.core.blocks import Block
from weft.core.scheduler import Scheduler
from weft.engine.evaluate import Evaluator
from weft.engine.records import Outputs
from weft.engine.report import node_ids
from weft.errors import CorruptJournalError, IllegalEvent
from weft.events import Event, PathEvent
from weft.graph.model import Graph, Node
from weft.policy import FailurePolicy

Batches = Callable[[], Iterable[list[events.Journaled]]]


class Facts:
    """Which events of a journal still hold, seen from its end."""

    def __init__(self, graph: Graph, policy: FailurePolicy) -> None:
        self.prior: dict[str, int] = {}
        """Attempts used up by failures that were put aside, by path."""
        self.undone: Counter[str] = Counter()
        """How often each path has been compensated."""
        self.started: events.RunStarted | None = None
        self.resumed: events.RunResumed | None = None
        self.finished = ""
        """The status the run had at the end of the journal."""
        self.changed: dict[str, tuple[int, str]] = {}
        """For each changed node id, the position before which its facts are void, and the reason."""
        self.position = 0
        self._void: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._compensated: set[str] = set()
        self._rolling_back = False
        self._swallowed = swallowed(graph, policy)

    def scan(self, batches: Iterable[list[events.Journaled]]) -> None:
        """The first pass."""
        for batch in batches:
            for event in batch:
                self.position += 1
                self._note(event)

    def _note(self, event: Event) -> None:
        match event:
            case events.RunStarted():
                self.started = event
            case events.RunResumed():
                self.resumed = event
                self.turn()
                self.change(event.changed)
            case events.RunFinished():
                self.finished = event.status
                self._rolling_back = False
            case events.AttemptFailed() | events.EvaluationFailed() | events.BlockTimedOut():
                attempt = event.attempt if isinstance(event, events.AttemptFailed) else 0
                self._failures[event.path] = max(attempt, self._failures.get(event.path, 0))
            case events.AttemptSucceeded() | events.AttemptStarted():
                self._failures.pop(event.path, None)
            case events.RetryScheduled() | events.DecisionNeeded():
                self._failures.pop(event.path, None)
            case events.DecisionMade() if event.answer == "fail":
                self._failures[event.path] = self.prior.get(event.path, 1)
            case events.CompensationStarted():
                self._rolling_back = True
            case events.CompensationSucceeded():
                self._compensated.add(event.path)
                self.undone[event.path] += 1

    def turn(self) -> None:
        """A resume: failures and what was undone are put aside, unless it only goes on with a rollback."""
        if self._rolling_back:
            return
        for path, attempts in self._failures.items():
            if node_ids(path)[-1] not in self._swallowed:
                self._void[path] = self.position
                self.prior[path] = max(attempts, self.prior.get(path, 0))
        for path in self._compensated:
            self._void[path] = self.position
        self._failures.clear()
        self._compensated.clear()
        self.finished = ""

    def change(self, changed: dict[str, str]) -> None:
        """From here on the facts of these node ids, and of everything inside them, are void."""
        for id, reason in changed.items():  # noqa: A001 - the language's word
            self.changed[id] = (self.position, reason)

    @property
    def intact(self) -> bool:
        """Nothing was put aside: the journal must replay to the letter."""
        return not self._void and not self.changed

    def holding(self, batches: Iterable[list[events.Journaled]]) -> Iterator[Event]:
        """The second pass: the events that hold, in order."""
        position = 0
        for batch in batches:
            for event in batch:
                position += 1
                if not event.DERIVED and self._holds(event, position):
                    yield event

    def _holds(self, event: Event, position: int) -> bool:
        if isinstance(event, events.CancelRequested):
            return not (event.timeout and self.finished == "" and not self._rolling_back)
        if not isinstance(event, PathEvent):
            return True
        if position <= self._void.get(event.path, -1):
            return False
        if isinstance(event, events.CompensationStarted | events.CompensationSucceeded | events.CompensationFailed):
            return self._rolling_back
        if self.changed:
            return all(position > self.changed[p][0] for p in node_ids(event.path) if p in self.changed)
        return True


def swallowed(graph: Graph, policy: FailurePolicy) -> set[str]:
    """Ids of the nodes whose failure some policy `continue` swallows: such a failure is a result and stays."""
    out: set[str] = set()
    stack: list[tuple[Node, FailurePolicy, bool]] = [(node, policy, policy == "continue") for node in graph.nodes]
    while stack:
        node, around, inside = stack.pop()
        if inside or node.on_failure == "continue":
            out.add(node.id)
        own = node.on_failure or around
        contained = inside or own == "continue"
        stack += [(n, own, contained) for body in (*node.bodies, *filter(None, (node.fallback,))) for n in body.nodes]
    return out


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
        self.due: dict[str, float] = {}
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
                self.started_at[event.path] = event.at
            case events.ForeachExpanded():
                self._evaluator.remember_items(event)
            case events.ValueDrawn():
                self._evaluator.remember_draw(event)
            case events.EvaluationFailed() | events.BlockTimedOut():
                self._evaluator.errors[event.path] = (event.error, 1)


def _ends(event: PathEvent) -> bool:
    return isinstance(event, events.AttemptSucceeded | events.AttemptFailed | events.DecisionMade)
