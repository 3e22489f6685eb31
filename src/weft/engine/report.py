"""What a run looks like from outside: a fold over its events.

The live view, `show`, `why`, `runs` and the result of a run are all made from this; none of them needs the document.
It keeps a bounded number of node instances, failed ones first, so that a million iterations cost no million records.

While a run goes on and nobody looks, folding is work for nothing: `later` puts events off until somebody does. Only so
many wait, and beyond that as many are taken in as come, so that nobody ever waits for all of them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from weft import event_types as events
from weft.engine.records import Encoded, Outputs
from weft.errors import ErrorData, NodeFailed
from weft.event_types import NULL, Event
from weft.graph.model import node_path, node_paths
from weft.results import EXIT_CODES, NodeResult, RollbackReport, RunResult

KEPT = 10_000
WAITING = 4
"""How many events may wait, for each node instance that is kept: each has two at least."""
_WELL = ("succeeded", "skipped")


class Report:
    """The state of one run, as far as its events tell. `add` takes them in order; nothing in here raises.

    With `later` they wait; `settled` takes in what waits, and must be called before anything is read.
    """

    def __init__(self, outputs: Outputs, *, keep: int = KEPT) -> None:
        self.run_id = ""
        self.workflow = ""
        self.document: str | None = None
        self.status = "running"
        self.output_encoded: Encoded | None = None
        self.nodes: dict[str, NodeResult] = {}
        self.left_out = 0
        self.errors: dict[str, tuple[ErrorData, int]] = {}
        self.started_at: float | None = None
        self.completed_at: float | None = None
        self.waves = 0
        self.current_wave = 0
        self.questions: dict[str, str] = {}
        self.lacking = ""
        """What the budget lacks, of a run that it has stopped."""
        self.out_of_time = ""
        """What is to be said of a run that its own deadline ended."""
        self.schedule = "dataflow"
        self.settings: dict[str, str] = {}
        self._outputs = outputs
        self._keep = keep
        self._waiting: deque[Event] = deque()
        self._labels: dict[str, str] = {}
        self._waves: dict[str, int] = {}
        self._blocks: dict[str, str] = {}
        self._answered: dict[str, dict[str, tuple[ErrorData, int]]] = {}
        """What a fallback took care of, by the path of its node: errors again if the fallback fails."""
        self._forgettable: deque[str] = deque()
        self._forgotten: Counter[str] = Counter()
        self._away: dict[str, tuple[NodeResult, tuple[ErrorData, int] | None]] = {}
        """What the document does not have now: other tasks of a plan were chosen, or a node was taken out."""
        self._rolled_back: list[str] = []
        self._not_rolled_back: list[str] = []
        self._rollback_began = False
        self._fold: dict[type[Event], Callable[[Any], None]] = {
            events.RunStarted: self._run_started,
            events.RunResumed: self._run_resumed,
            events.RunFinished: self._run_finished,
            events.CancelRequested: self._cancel_requested,
            events.AttemptStarted: self._attempt_started,
            events.AttemptSucceeded: self._attempt_succeeded,
            events.AttemptFailed: self._attempt_failed,
            events.RetryScheduled: self._retry_scheduled,
            events.NodeSkipped: self._node_skipped,
            events.BlockSucceeded: self._block_succeeded,
            events.BlockFailed: self._block_failed,
            events.FellBack: self._fell_back,
            events.EvaluationFailed: self._block_error,
            events.BlockTimedOut: self._block_error,
            events.BudgetExhausted: self._budget_exhausted,
            events.DecisionNeeded: self._decision_needed,
            events.DecisionMade: self._decision_made,
            events.CompensationStarted: self._compensation_started,
            events.CompensationSucceeded: lambda e: self._rolled_back.append(e.path),
            events.CompensationFailed: self._compensation_failed,
        }

    def add(self, event: Event) -> None:
        """Take in one event."""
        fold = self._fold.get(type(event))
        if fold is not None:
            fold(event)

    def later(self, batch: list[Event]) -> None:
        """Take in these events when somebody looks."""
        waiting = self._waiting
        waiting += batch
        while len(waiting) > WAITING * self._keep:
            self.add(waiting.popleft())

    def settled(self) -> Report:
        """The report itself, with everything taken in that waited."""
        if self._waiting:
            waiting, self._waiting = self._waiting, deque()
            for event in waiting:
                self.add(event)
        return self

    @property
    def counts(self) -> Counter[str]:
        """How many instances stand where, by status."""
        return Counter([node.status for node in self.nodes.values()]) + self._forgotten

    def kind_of(self, path: str) -> str:
        """The kind of the node at a path (`source:file`), empty when the plan does not know it."""
        return self._labels.get(node_path(path), "")

    # -- the run ----------------------------------------------------------------------------------------------------

    def _run_started(self, event: events.RunStarted) -> None:
        self.run_id = event.run
        self.workflow = event.workflow
        self.document = event.document
        self.started_at = event.at
        self.schedule = event.schedule
        self.settings = event.settings
        self._plan(event.plan)

    def _run_resumed(self, event: events.RunResumed) -> None:
        if self.status != "running":  # else the rollback that had begun goes on
            self._rolled_back, self._not_rolled_back, self._rollback_began = [], [], False
        self.status = "running"
        self.lacking = ""
        self.completed_at = None
        self.out_of_time = ""
        if event.plan:
            self._plan(event.plan)
            self._take_away()
        for path, node in self.nodes.items() if event.changed else ():
            reason = next((event.changed[part] for part in node_paths(path) if part in event.changed), None)
            if reason is not None:
                self.errors.pop(path, None)
                self._set(path, node, "pending")
                node.reason = reason

    def _cancel_requested(self, event: events.CancelRequested) -> None:
        if event.timeout:
            self.out_of_time = event.reason

    def _take_away(self) -> None:
        """What the document does not have any more is not shown; what it has again is as it was."""
        for path in [p for p in self._away if self._is_planned(p)]:
            node, error = self._away.pop(path)
            self.nodes[path] = node
            self._set(path, node, node.status)
            if error is not None:
                self.errors[path] = error
        for path in [p for p in self.nodes if not self._is_planned(p)]:
            self._away[path] = self.nodes.pop(path), self.errors.pop(path, None)
            self.questions.pop(path, None)

    def _is_planned(self, path: str) -> bool:
        return all(part in self._labels for part in node_paths(path))

    def _plan(self, plan: tuple[events.NodePlan, ...]) -> None:
        self._labels = {node.id: node.label for node in plan}
        self._waves = {node.id: node.wave for node in plan if node.wave >= 0}
        self._blocks = {node.id: node.block for node in plan if node.block}
        self.waves = max(self._waves.values(), default=-1) + 1

    def _run_finished(self, event: events.RunFinished) -> None:
        self.status = event.status
        self.completed_at = event.at
        if event.status in ("failed", "cancelled"):
            for node in self.nodes.values():
                if node.status in ("running", "ready"):  # a block that was stopped has no end of its own
                    node.status = "cancelled"
        if event.error is not None:
            self._add_error("output", event.error, 1)
        if self._outputs.by_reference or event.blob is not None or bytes(event.output) != b"null":
            self.output_encoded = Encoded(event.output, event.blob, event.secrets)

    # -- nodes ------------------------------------------------------------------------------------------------------

    def _node(self, path: str, at: float) -> NodeResult:
        """The record of an instance. The first word of it also tells that the block around it has begun."""
        node = self.nodes.get(path)
        if node is None:
            if self._blocks and (around := self._around(path)) and around not in self.nodes:
                block = self._node(around, at)
                block.started_at = at
                block.status = "running"
            if len(self.nodes) >= self._keep:
                self._make_room()
            node = self.nodes[path] = NodeResult(self.kind_of(path))
            wave = self._waves.get(path)
            if wave is not None and wave > self.current_wave:
                self.current_wave = wave
        return node

    def _around(self, path: str) -> str:
        """The path of the block that an instance stands in, empty at the top level."""
        node = node_path(path)
        block = self._blocks.get(node)
        if block is None:
            return ""
        if not node.startswith(f"{block}/"):  # beside it: a block that runs once adds nothing to a path
            return path[: path.rfind("/") + 1] + block[block.rfind("/") + 1 :]
        parts = path.split("/", block.count("/") + 1)[:-1]
        return "/".join([*parts[:-1], parts[-1].partition("[")[0]])

    def _make_room(self) -> None:
        """Forget an instance that ended well; failed ones are kept as long as there is another."""
        while self._forgettable:
            path = self._forgettable.popleft()
            node = self.nodes.get(path)
            if node is not None and node.status in _WELL:
                break
        else:
            path, node = next(iter(self.nodes.items()))
        del self.nodes[path]
        self._outputs.objects.pop(path, None)
        self._forgotten[node.status] += 1
        self.left_out += 1

    def _set(self, path: str, node: NodeResult, status: str) -> None:
        node.status = status
        if status in _WELL:
            self._forgettable.append(path)

    def _attempt_started(self, event: events.AttemptStarted) -> None:
        node = self._node(event.path, event.at)
        node.attempts = event.attempt
        node.reason = event.reason or node.reason
        if node.started_at is None:
            node.started_at = event.at
        if self.errors:
            self.errors.pop(event.path, None)
        self._set(event.path, node, "running")

    def _ended(self, event: events.AttemptSucceeded | events.AttemptFailed, status: str) -> NodeResult:
        node = self._node(event.path, event.at)
        node.attempts = event.attempt
        node.completed_at = event.at
        node.duration = event.duration
        if node.started_at is None:
            node.started_at = event.at - event.duration
        node.reason = node.reason or "new"
        self._set(event.path, node, status)
        return node

    def _attempt_succeeded(self, event: events.AttemptSucceeded) -> None:
        node = self._ended(event, "succeeded")
        node.error = None
        if event.issue:
            node.reason = event.issue
        encoded = Encoded(event.output, event.blob, event.secrets, event.reference)
        node.set_output(self._reader(event.path, encoded))
        if self.errors:
            self.errors.pop(event.path, None)

    def _attempt_failed(self, event: events.AttemptFailed) -> None:
        cancelled = event.error.type == "Cancelled"
        skipped = event.error.type in ("Skipped", "SkippedWithDependents")
        node = self._ended(event, "cancelled" if cancelled else "skipped" if skipped else "failed")
        node.error = None if skipped else event.error
        if skipped:
            node.reason = event.error.message
        if event.output is not NULL:
            node.set_output(self._reader(event.path, Encoded(event.output)))
        if not cancelled and not skipped:
            self._add_error(event.path, event.error, event.attempt)

    def _add_error(self, path: str, error: ErrorData, attempt: int) -> None:
        if len(self.errors) < KEPT:
            self.errors[path] = (error, attempt)

    def _retry_scheduled(self, event: events.RetryScheduled) -> None:
        node = self._node(event.path, event.at)
        self.errors.pop(event.path, None)
        self._set(event.path, node, "ready")
        if self.errors:
            self._answer([p for p in self.errors if p.startswith(f"{event.path}[{event.attempt - 2}]/")])

    def _answer(self, paths: list[str]) -> dict[str, tuple[ErrorData, int]]:
        """What failed there is no error of the run: it was tried again, or somebody took care of it."""
        return {path: self.errors.pop(path) for path in paths}

    def _fell_back(self, event: events.FellBack) -> None:
        node = self._node(event.path, event.at)
        node.reason = "fallback"
        self._answered[event.path] = self._answer([p for p in self.errors if self._is_inside(p, event.path)])

    def _is_inside(self, path: str, block: str) -> bool:
        while path and path != block:
            path = self._around(path)
        return bool(path)

    def _node_skipped(self, event: events.NodeSkipped) -> None:
        node = self._node(event.path, event.at)
        node.reason = event.reason
        self.errors.pop(event.path, None)
        self._set(event.path, node, "skipped")

    def _block_ended(self, path: str, at: float) -> NodeResult:
        node = self._node(path, at)
        node.completed_at = at
        if node.started_at is not None:
            node.duration = max(0.0, at - node.started_at)
        return node

    def _block_succeeded(self, event: events.BlockSucceeded) -> None:
        node = self._block_ended(event.path, event.at)
        node.attempts = max(1, node.attempts)
        if node.status == "failed":
            node.reason = "fallback"
        else:
            node.reason = node.reason or "new"
        self.errors.pop(event.path, None)
        node.error = None
        self._set(event.path, node, "succeeded")
        node.set_output(self._reader(event.path, Encoded(event.output, event.blob, event.secrets)))

    def _block_failed(self, event: events.BlockFailed) -> None:
        node = self._block_ended(event.path, event.at)
        self.errors |= self._answered.pop(event.path, {})
        node.error = event.error or self.errors.get(event.cause, (None, 0))[0]
        if node.error is None:
            node.error = ErrorData("BlockFailed", f"{event.cause} failed")
        self._set(event.path, node, "failed")

    def _block_error(self, event: events.EvaluationFailed | events.BlockTimedOut) -> None:
        node = self._node(event.path, event.at)
        node.error = event.error
        node.completed_at = event.at
        self._add_error(event.path, event.error, max(1, node.attempts))
        self._set(event.path, node, "failed")

    def _budget_exhausted(self, event: events.BudgetExhausted) -> None:
        self.lacking = f"{event.path}: {event.lacking}"

    def _decision_needed(self, event: events.DecisionNeeded) -> None:
        node = self._node(event.path, event.at)
        node.attempts = event.attempt
        self.errors.pop(event.path, None)
        self.questions[event.path] = event.question
        self._set(event.path, node, "waiting")

    def _decision_made(self, event: events.DecisionMade) -> None:
        node = self._node(event.path, event.at)
        self.questions.pop(event.path, None)
        node.reason = f"decided: {event.answer}"
        if event.answer == "done":
            encoded = Encoded(event.value)
            node.set_output(lambda: self._load(encoded))
            self._set(event.path, node, "succeeded")
        elif event.answer == "fail":
            node.error = ErrorData("Decided", "decided: the attempt failed")
            self._add_error(event.path, node.error, node.attempts)
            self._set(event.path, node, "failed")
        else:
            self._set(event.path, node, "pending")

    def _compensation_started(self, event: events.CompensationStarted) -> None:
        self._rollback_began = True

    def _compensation_failed(self, event: events.CompensationFailed) -> None:
        if event.path not in self._not_rolled_back:
            self._not_rolled_back.append(event.path)

    def _load(self, encoded: Encoded) -> Any:
        return self._outputs.load(encoded)

    def _reader(self, path: str, encoded: Encoded) -> Callable[[], Any]:
        """How to read an output."""
        if self._outputs.by_reference:
            objects = self._outputs.objects
            return lambda: objects.get(path)
        return lambda: self._load(encoded)

    # -- the result -------------------------------------------------------------------------------------------------

    def rollback(self) -> RollbackReport | None:
        """What was undone, when anything was to be."""
        if not self._rollback_began:
            return None
        failed = tuple(p for p in self._not_rolled_back if p not in self._rolled_back)
        touched = {*self._rolled_back, *failed}
        skipped = tuple(p for p, n in self.nodes.items() if n.status == "succeeded" and p not in touched)
        return RollbackReport(tuple(self._rolled_back), skipped, failed)

    def result(self) -> RunResult:
        """The run as it stands. Nodes of the plan that never started are `skipped` once the run has ended."""
        nodes = dict(self.nodes)
        left_out = self.left_out
        counts = self.counts
        if self.status in EXIT_CODES:
            why = next(iter(self.errors), None)
            reason = f"never started: {why} failed" if why else f"never started: the run is {self.status}"
            for path in self._waves:
                if path in nodes:
                    continue
                counts["skipped"] += 1
                if len(nodes) >= self._keep:
                    left_out += 1
                    continue
                nodes[path] = missing = NodeResult(self._labels.get(path, ""), "skipped")
                missing.reason = reason
        errors = [NodeFailed(path, error, attempt) for path, (error, attempt) in self.errors.items()]
        if self.out_of_time and self.status == "failed":
            errors.append(NodeFailed(self.workflow, ErrorData("Timeout", self.out_of_time)))
        failed_first = sorted(nodes, key=lambda p: nodes[p].status != "failed") if errors else list(nodes)
        return RunResult(
            run_id=self.run_id,
            workflow=self.workflow,
            status=self.status,
            output=None if self.output_encoded is None else self._reader("", self.output_encoded)(),
            nodes={path: nodes[path] for path in failed_first},
            nodes_left_out=left_out,
            counts=counts,
            errors=errors,
            rollback=self.rollback(),
            started_at=self.started_at,
            completed_at=self.completed_at,
            waves=self.waves,
            current_wave=self.current_wave,
            top=tuple(self._waves),
            questions=dict(self.questions),
            lacking=self.lacking,
        )
