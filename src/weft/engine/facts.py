"""Which events of a journal still hold when a run goes on.

A sitting that goes on with a run puts some facts aside: failures that made the run fail (their attempts are counted, so
that numbering goes on), what was undone, what a changed document changed, a deadline of the whole run. Everything else
holds: above all what succeeded, and failures that were *contained*: a `continue` swallows them, or a fallback answers.

Two rules go before that one. A run that somebody cancelled goes nowhere, and a rollback that has begun goes on: there
nothing is put aside. And a `once` node never starts a second time because somebody resumed the run: where its failure
was known, it asks now, as it would have asked had its outcome been unknown.

What a sitting put aside must be put aside by all later ones, and they must find out by themselves: so the rules look
only at the journal, and `RunResumed` says where a sitting began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import structs

from weft import event_types as events
from weft.event_types import Event, Journaled, PathEvent
from weft.graph.model import Graph, node_path, node_paths, walk, walk_paths
from weft.policy import FailurePolicy

Batches = Iterable[list[Journaled]]

_ATTEMPTS = (events.AttemptStarted, events.AttemptSucceeded, events.AttemptFailed, events.DecisionMade)
_UNDO = (events.CompensationStarted, events.CompensationSucceeded, events.CompensationFailed)
_SKIPPED = ("Skipped", "SkippedWithDependents")
_CANCELLED = "Cancelled"


class _Failure(NamedTuple):
    """A failure that stands: its place in the journal, and its attempt (0: no attempt failed, the node itself did)."""

    position: int
    attempt: int
    how: str


class Facts:
    """The journal of one run, seen from its end: `scan` it, `turn` (perhaps `edit`), then read what is `holding`."""

    def __init__(self, graph: Graph, policy: FailurePolicy) -> None:
        self.started: events.RunStarted | None = None
        self.finished = ""
        """The status the run had at the end of the journal."""
        self.digest: str | None = None
        """The digest of the document that the last sitting ran."""
        self.cancelled = False
        """Somebody wants the run to end."""
        self.prior: dict[str, int] = {}
        """Attempts used up before what was put aside, by path."""
        self.undone: Counter[str] = Counter()
        """How often each path has been compensated."""
        self.edits: Counter[str] = Counter()
        """How often each node was changed, by its node path."""
        self.due: dict[str, tuple[float, float]] = {}
        """When the retries are due that were waited for, in Unix time, and how many seconds they wait in all."""
        self.reasons: dict[str, str] = {}
        """Why paths run again whose facts were put aside; complete when `holding` has come to its end."""
        self.questions: dict[str, events.DecisionNeeded] = {}
        """Of `once` nodes that failed for sure: what must be asked before they start again."""
        self.elapsed = 0.0
        """Seconds that all sittings took together."""
        self._since = self._until = 0.0
        self.position = 0
        self._contained = contained(graph, policy)
        self._effects = {path: node.effect for node, path, _ in walk_paths(graph)}
        self._undoable = {path: node for node, path, _ in walk_paths(graph) if node.compensation is not None}
        self._retrying = {path for node, path, _ in walk_paths(graph) if node.kind == "retry"}
        self._edited_at = 0
        self._void: dict[str, tuple[int, str]] = {}
        self._void_inside: list[tuple[str, frozenset[str], int, str]] = []
        self._changed: dict[str, tuple[int, str]] = {}
        self._dropped: set[int] = set()
        self._doubted: set[int] = set()
        self._failures: dict[str, _Failure] = {}
        self._decided: dict[str, _Failure] = {}
        self._compensated: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._open: dict[str, list[int]] = {}
        self._retried: list[int] = []
        self._deadlines: list[int] = []
        self._undo_from = self._undo_last = 0
        self._rolling_back = False
        self._notes: dict[type[Event], Callable[[Any], None]] = {
            events.RunStarted: self._run_started,
            events.RunResumed: self._run_resumed,
            events.RunFinished: self._run_finished,
            events.CancelRequested: self._cancel_requested,
            events.AttemptStarted: self._attempt_started,
            events.AttemptSucceeded: self._attempt_succeeded,
            events.AttemptFailed: self._attempt_failed,
            events.EvaluationFailed: lambda e: self._fails(e.path, _Failure(self.position, 0, "failed")),
            events.BlockTimedOut: lambda e: self._fails(e.path, _Failure(self.position, 0, "failed")),
            events.RetryScheduled: self._retry_scheduled,
            events.LoopChecked: self._loop_checked,
            events.DecisionNeeded: self._decision_needed,
            events.DecisionMade: self._decision_made,
            events.CompensationStarted: self._compensation_started,
            events.CompensationFailed: self._compensation_started,
            events.CompensationSucceeded: self._compensation_succeeded,
        }

    # -- the first pass ---------------------------------------------------------------------------------------------

    def scan(self, batches: Batches) -> None:
        """Read the whole journal."""
        notes = self._notes
        for batch in batches:
            for event in batch:
                self.position += 1
                if type(event) is not events.RunResumed:  # how long nobody worked on it does not count
                    self._until = max(self._until, event.at)
                note = notes.get(type(event))
                if note is not None:
                    note(event)

    def _run_started(self, event: events.RunStarted) -> None:
        self.started = event
        self.digest = event.document_digest
        self._since = self._until = event.at

    def _run_resumed(self, event: events.RunResumed) -> None:
        self.turn()
        self._since = self._until = event.at
        if event.document_digest and event.document_digest != self.digest:
            self.edit(event.document_digest, event.changed)

    def _run_finished(self, event: events.RunFinished) -> None:
        self.finished = event.status
        self._rolling_back = False
        self._failures.update(self._decided)
        self._decided.clear()

    def _cancel_requested(self, event: events.CancelRequested) -> None:
        if event.timeout:
            self._deadlines.append(self.position)
        else:
            self.cancelled = True

    def _attempt_started(self, event: events.AttemptStarted) -> None:
        path = event.path
        self._failures.pop(path, None)
        self.due.pop(path, None)
        self._open.setdefault(path, []).append(self.position)
        self._attempts[path] = event.attempt

    def _attempt_succeeded(self, event: events.AttemptSucceeded) -> None:
        path = event.path
        self._failures.pop(path, None)
        self.due.pop(path, None)
        self._open.pop(path, None)
        undoable = event.undo is not None or node_path(path) in self._undoable
        if self._attempts.pop(path, None) is not None and undoable:
            self._attempts[path] = event.attempt

    def _attempt_failed(self, event: events.AttemptFailed) -> None:
        path = event.path
        self._open.setdefault(path, []).append(self.position)
        self._attempts[path] = event.attempt
        if event.error.type not in _SKIPPED:
            how = "was cancelled" if event.error.type == _CANCELLED else "failed"
            self._fails(path, _Failure(self.position, event.attempt, how))

    def _fails(self, path: str, failure: _Failure) -> None:
        """It stands unless it is contained. That something was cancelled is no result, wherever that was."""
        if failure.how == "failed" and node_path(path) in self._contained:
            self._failures.pop(path, None)
        else:
            self._failures[path] = failure

    def _retry_scheduled(self, event: events.RetryScheduled) -> None:
        self._failures.pop(event.path, None)
        self._retried += self._open.pop(event.path, ())
        self.due[event.path] = (event.due, event.delay)
        if node_path(event.path) in self._retrying:  # the failures of the round before are answered
            inside = f"{event.path}[{event.attempt - 2}]/"
            for path in [p for p in self._failures if p.startswith(inside)]:
                del self._failures[path]

    def _loop_checked(self, event: events.LoopChecked) -> None:
        """No more rounds of a body that failed: that stands no more than the failure itself. Rounds count anew."""
        if not event.go_on and node_path(event.path) in self._retrying:
            self._fails(event.path, _Failure(self.position, 0, "failed"))
            self._attempts[event.path] = event.round - 1

    def _decision_needed(self, event: events.DecisionNeeded) -> None:
        failure = self._failures.pop(event.path, None)
        if failure is not None:
            self._doubted.add(failure.position)

    def _decision_made(self, event: events.DecisionMade) -> None:
        if event.answer == "fail" and node_path(event.path) not in self._contained:
            self._decided[event.path] = _Failure(self.position, 0, "failed")  # until the run has failed of it, it holds

    def _compensation_started(self, event: events.CompensationStarted | events.CompensationFailed) -> None:
        self._rolling_back = True
        self._undo_last = self.position

    def _compensation_succeeded(self, event: events.CompensationSucceeded) -> None:
        self._undo_last = self.position
        self._compensated.add(event.path)
        self.undone[event.path] += 1

    # -- putting aside ----------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """A sitting begins: put aside what made the run fail, and what was undone."""
        self.finished = ""
        self.questions = {}
        self.elapsed += max(0.0, self._until - self._since)
        self._since = self._until
        if self._rolling_back or self.cancelled:
            return
        for path, failure in self._failures.items():
            self._put_aside(path, failure)
        for path in self._compensated:
            self._forget(path)
        self._dropped.update(self._deadlines)
        self._failures.clear()
        self._compensated.clear()
        self._deadlines.clear()
        self._undo_from = self._undo_last

    def _put_aside(self, path: str, failure: _Failure) -> None:
        if self._effects.get(node_path(path)) == "once":
            (self._doubted if failure.attempt else self._dropped).add(failure.position)
            attempt = failure.attempt or self._attempts.get(path, 1)
            question = f"attempt {attempt} of {path} {failure.how}: did it take effect?"
            self.questions[path] = events.DecisionNeeded(path=path, attempt=attempt, question=question)
        elif failure.attempt:
            self._void[path] = (self.position, f"resumed: attempt {failure.attempt} {failure.how}")
            self.prior[path] = failure.attempt
        else:
            self._dropped.add(failure.position)
            if node_path(path) in self._retrying:
                self.prior[path] = self._attempts.get(path, 0)

    def _forget(self, path: str) -> None:
        """It was undone: it counts as not done, and so does all that is inside it."""
        reason = "resumed: it was undone"
        node = self._undoable.get(node_path(path))
        if node is not None and node.is_block:
            inside = frozenset(_with_inside(Graph([node]), node_path(path).removesuffix(node.id)))
            self._void_inside.append((path[: path.rfind("/") + 1], inside, self.position, reason))
        else:
            self._void[path] = (self.position, reason)
            self.prior[path] = max(self._attempts.get(path, 0), self.prior.get(path, 0))

    def edit(self, digest: str, changed: dict[str, str]) -> None:
        """The document is another one from here on: the facts of `changed` nodes, and of all inside them, do not hold.

        Failures that were retried are put aside, too: under the new document they might not have been.
        """
        self.digest = digest
        self._edited_at = self.position
        for name, reason in changed.items():
            self._changed[name] = (self.position, reason)
            self.edits[name] += 1
        self._dropped.update(self._retried)
        for path in self.due:
            self.prior[path] = max(self._attempts.get(path, 0), self.prior.get(path, 0))
        self._retried.clear()
        self.due.clear()

    @property
    def edited(self) -> bool:
        """Another document ran, or will run, than the one that the run began with."""
        return self._edited_at > 0

    def number(self, batches: Batches) -> None:
        """A pass between the two, when it was edited: the numbers of the attempts that do not hold any more."""
        position = 0
        for batch in batches:
            for event in batch:
                position += 1
                if isinstance(event, events.AttemptStarted | events.AttemptSucceeded | events.AttemptFailed):
                    path = event.path
                    if any(position <= self._changed[n][0] for n in node_paths(path) if n in self._changed):
                        self.prior[path] = max(event.attempt, self.prior.get(path, 0))

    @property
    def intact(self) -> bool:
        """Nothing was put aside: the journal must replay to the letter."""
        return not (self._edited_at or self._void or self._void_inside or self._dropped or self._doubted)

    # -- the second pass --------------------------------------------------------------------------------------------

    def holding(self, batches: Batches) -> Iterator[Event]:
        """The events that hold, in order."""
        position = 0
        intact = self.intact and not self._undo_from
        for batch in batches:
            for event in batch:
                position += 1
                if event.DERIVED and type(event) is not events.DecisionNeeded:
                    continue
                if intact:
                    yield event
                elif not isinstance(event, PathEvent):
                    if position not in self._dropped:
                        yield event
                elif self._holds(event, position):
                    yield self._as_it_stands(event, position)

    def _holds(self, event: PathEvent, position: int) -> bool:
        if position in self._dropped:
            return False
        path = event.path
        if isinstance(event, _UNDO):
            return position > self._undo_from
        if self._edited_at and not self._survives_edits(path, position):
            return False
        void = self._void.get(path)
        if void is not None and position <= void[0] and isinstance(event, _ATTEMPTS):
            return self._not_held(path, void[1])
        for head, inside, until, reason in self._void_inside:
            if position <= until and path.startswith(head) and node_path(path) in inside:
                return self._not_held(path, reason)
        return True

    def _survives_edits(self, path: str, position: int) -> bool:
        names = node_paths(path)
        for name in names:
            changed = self._changed.get(name)
            if changed is not None and position <= changed[0]:
                return self._not_held(path, changed[1])
        return all(name in self._effects for name in names)

    def _not_held(self, path: str, reason: str) -> bool:
        self.reasons[path] = reason
        return False

    def _as_it_stands(self, event: PathEvent, position: int) -> PathEvent:
        """A known failure of a `once` node becomes a doubt, and what an earlier document settled stays settled."""
        if isinstance(event, events.AttemptFailed):
            if position in self._doubted:
                return structs.replace(event, error=structs.replace(event.error, unknown=True))
            if position <= self._edited_at:
                return structs.replace(event, agreed=False)
        return event


def _with_inside(graph: Graph, prefix: str) -> Iterator[str]:
    """The node paths of everything in a graph whose paths begin with `prefix`, but for what undoes something."""
    undoing = {id(n) for node, _, _ in walk_paths(graph) if node.compensation for n in walk(node.compensation)}
    return (prefix + path for node, path, _ in walk_paths(graph) if id(node) not in undoing)


def contained(graph: Graph, policy: FailurePolicy) -> set[str]:
    """Node paths whose failure is a result and stays: some `continue` swallows it, or a fallback answers it."""
    out: set[str] = set()
    around: dict[str, tuple[FailurePolicy, bool]] = {"": (policy, policy == "continue")}
    fallbacks: dict[str, tuple[FailurePolicy, bool]] = {}
    reopening: set[str] = set()
    for node, path, block in walk_paths(graph):
        if node.reopens or block in reopening:
            reopening.add(path)
        outer, inside = fallbacks.get(path) or around[block]
        caught = inside or node.on_failure == "continue"
        if (caught or node.fallback is not None) and path not in reopening:
            out.add(path)
        own = node.on_failure or outer
        around[path] = (own, caught or own == "continue" or node.fallback is not None)
        if node.fallback is not None:
            head = f"{path}/" if node.prefixes else path.removesuffix(node.id)
            fallbacks |= {head + n.id: (own, caught) for n in node.fallback.nodes}
    return out
