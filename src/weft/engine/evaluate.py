"""The engine's side of blocks: scopes for frames, answers to what the scheduler asks, outputs of what has ended.

Evaluating reaches nothing outside the process, so it happens at once, between two commits; the answer is an event
like any other. All of it can be done again by a replay, except what was drawn (`now`, `random`): that is on record.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import structs

from weft import values
from weft.clock import Clock
from weft.commands import AskBreak, CloseFrame
from weft.core.blocks import Block, Fallen, Foreach, Loop, Parallel, Retrying
from weft.core.state import Frame, Instance
from weft.engine.collections import Collections, ItemScope
from weft.engine.failure import TIMEOUT, describe
from weft.engine.records import MISSING, Encoded, Outputs, Record
from weft.engine.scope import Scope, View
from weft.engine.spool import Spool
from weft.errors import AttemptError, AttemptTimeout, ErrorData, NodeFailed, WeftError
from weft.event_types import (
    BlockSucceeded,
    ChoiceMade,
    DecisionMade,
    EvaluationFailed,
    Event,
    IterationBroken,
    LoopChecked,
    PathEvent,
    RunFinished,
    ValueDrawn,
)
from weft.graph.model import Graph, Node, walk
from weft.graph.work import ChoiceWork, Evaluable, ForeachWork, LeafWork, LoopWork, ParallelWork, RetryWork, Work
from weft.runtimes.base import FileList, FileRows, World
from weft.runtimes.rows import open_rows

MAX_RAISED = 1000
E = TypeVar("E")
Draw = Callable[[str, Callable[[], object]], object]


def _sets(node: Node) -> bool:
    return isinstance(node.work, LeafWork) and node.work.variable is not None


class Evaluator:
    """Scopes, answers and outputs of one run."""

    def __init__(
        self,
        root: Scope,
        outputs: Outputs,
        world: World,
        clock: Clock,
        *,
        spool: Callable[[], Spool],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.root = root
        self.errors: dict[str, tuple[ErrorData, int]] = {}
        """The last error of each failed path and its attempt number."""
        self.raised: dict[str, BaseException] = {}
        """The exceptions of functions that failed, of the last `MAX_RAISED` paths."""
        self._outputs = outputs
        self.world = world
        self._clock = clock
        self._chance = chance
        self.collections = Collections(
            outputs,
            world,
            clock,
            spool=spool,
            view=lambda instance: self.view(instance, "collection", streams=True),
            failed=self._evaluation_failed,
        )
        self._branches: dict[str, dict[int, Any]] = {}
        self._drawn: dict[tuple[str, str, int], Any] = {}
        self._round_ids: dict[Graph, list[str]] = {}
        self.drawn: list[Event] = []
        """Draws that are not in a batch yet; the executor takes them."""

    # -- scopes -----------------------------------------------------------------------------------------------------

    def scope(self, frame: Frame) -> Scope:
        """The scope of a frame, made when first asked for."""
        scope = frame.scope
        if scope is None:
            scope = frame.scope = self._make_scope(frame)
        assert isinstance(scope, Scope)
        return scope

    def _make_scope(self, frame: Frame) -> Scope:
        block = frame.block
        if block is None:
            return self.root
        parent = self.scope(block.frame)
        if isinstance(block, Foreach):
            work = block.node.work
            assert isinstance(work, ForeachWork)
            return ItemScope(parent, work, frame.index, lambda index: self.collections.item(block, index))
        if isinstance(block, Parallel):
            return Scope(parent, specials={"branch": frame.index})
        if isinstance(block, Loop):
            return self._round_scope(parent, frame)
        if isinstance(block, Fallen):
            return Scope(parent, specials={"error": self._error_value(block.cause), "raised": block.cause})
        return Scope(parent)

    def _round_scope(self, parent: Scope, frame: Frame) -> Scope:
        """A round sees none of the results of the round before, only what that one `set`."""
        scope = Scope(parent, specials={"iteration": frame.index})
        ids = self._round_ids.get(frame.graph)
        if ids is None:
            ids = self._round_ids[frame.graph] = [node.id for node in walk(frame.graph) if not _sets(node)]
        scope.results = dict.fromkeys(ids, MISSING)
        return scope

    def view(self, instance: Instance, purpose: str, *, streams: bool = False, **more: Any) -> View:
        """What one evaluation of a node sees. `streams`: rows that stay in their file are handed on as they are."""
        work = instance.node.work
        assert work is None or isinstance(work, Work)
        load = None if streams else self._read_all
        return View(self.scope(instance.frame), work, self._draw(instance.path, purpose), more=more, load=load)

    def _read_all(self, reference: FileRows | FileList) -> list[Any]:
        rows = open_rows(reference, self.world)
        try:
            return list(rows)
        finally:
            rows.close()

    def _error_value(self, path: str) -> dict[str, Any] | None:
        found = self.errors.get(path)
        if found is None:
            return None
        error, attempt = found
        return {
            "type": error.type,
            "message": error.message,
            "path": path,
            "attempt": attempt,
            "status": error.status,
        }

    def exception_for(self, scope: Scope) -> BaseException | None:
        """The exception that the handler in this scope is for. After a resume what was written down is left of it."""
        path = scope.special("raised")
        return None if path is None else self.exception_at(path)

    def exception_at(self, path: str) -> BaseException | None:
        """The exception that made the node at `path` fail; None when nothing is known of it."""
        if path in self.raised:
            return self.raised[path]
        if path not in self.errors:
            return None
        error, attempt = self.errors[path]
        return AttemptTimeout(error.message) if error.type == TIMEOUT else NodeFailed(path, error, attempt)

    # -- draws ------------------------------------------------------------------------------------------------------

    def _draw(self, path: str, purpose: str) -> Draw:
        count = 0

        def draw(function: str, make: Callable[[], object]) -> object:
            nonlocal count
            key = (path, purpose, count)
            if key not in self._drawn:
                value = self._drawn[key] = make()
                raw = self._outputs.encode(value).output
                at = self._clock.now()
                self.drawn.append(
                    ValueDrawn(path=path, purpose=purpose, function=function, number=count, value=raw, at=at)
                )
            count += 1
            return self._drawn[key]

        return draw

    def prepared(self, path: str) -> Any:
        """What was seen before the first attempt at `path` acted; None when nobody looked."""
        return self._drawn.get((path, "undo", 0))

    def remember_prepared(self, path: str, seen: Any) -> None:
        """It was seen now: on record before anything acts."""
        self._draw(path, "undo")("prepare", lambda: seen)

    def remember_draw(self, event: ValueDrawn) -> None:
        """A replay met a draw."""
        self._drawn[event.path, event.purpose, event.number] = values.decode(event.value)

    # -- answers ----------------------------------------------------------------------------------------------------

    def when(self, instance: Instance) -> PathEvent:
        """Answer AskWhen."""
        work = instance.node.work
        assert isinstance(work, Work)
        assert work.when is not None
        return self._try(instance, lambda: self._when(instance, work.when))

    def _when(self, instance: Instance, condition: Evaluable | None) -> PathEvent:
        assert condition is not None
        yes = condition.evaluate(self.view(instance, "when"))
        return ChoiceMade(path=instance.path, taken=0 if yes else -1, when=True, at=self._clock.now())

    def choice(self, instance: Instance) -> PathEvent:
        """Answer AskChoice."""
        return self._try(instance, lambda: self._choice(instance))

    def _choice(self, instance: Instance) -> PathEvent:
        work = instance.node.work
        assert isinstance(work, ChoiceWork)
        view = self.view(instance, "choice")
        taken = next((i for i, c in enumerate(work.conditions) if c is None or c.evaluate(view)), -1)
        return ChoiceMade(path=instance.path, taken=taken, at=self._clock.now())

    def items(self, instance: Instance, at_least: int) -> PathEvent | None:
        """Answer AskItems; None when the answer has to be awaited."""
        return self._try(instance, lambda: self.collections.items(instance, at_least))

    def loop(self, instance: Instance, number: int) -> PathEvent:
        """Answer AskLoop."""
        if isinstance(instance, Retrying):
            return self._again(instance, number)
        return self._try(instance, lambda: self._loop(instance, number))

    def _again(self, block: Retrying, number: int) -> LoopChecked:
        """Whether a body that failed `number` times runs once more, by the policy of its block."""
        error = self.errors.get(block.last_failed, (ErrorData("Failed", f"{block.last_failed} failed"), 1))[0]
        policy, used = block.node.retry, number - block.base
        go_on = policy.allows(used, error, agreed=self._agreed(block))
        delay = policy.delay(used, error, self._chance()) if go_on else 0.0
        return LoopChecked(path=block.path, round=number, go_on=go_on, delay=delay, at=self._clock.now())

    def _agreed(self, block: Retrying) -> bool | None:
        """What the condition of the retry says of what went wrong in the last round."""
        work = block.node.work
        if not isinstance(work, RetryWork) or work.retry_on is None:
            return None
        error = self.exception_at(block.last_failed)
        try:
            return error is None or bool(work.retry_on(error))
        except Exception:  # of the user's condition: it does not ask for another try
            return False

    def _loop(self, instance: Instance, number: int) -> PathEvent:
        work = instance.node.work
        assert isinstance(work, LoopWork)
        view = self.view(instance, f"round {number}", iteration=max(0, number - 1))
        most = work.max.evaluate(view)
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise AttemptError(f"max must be a whole number of 1 or more, it is {most!r}", type="ValueError")
        go_on = number == 0 or work.after is None or not work.after.evaluate(view)
        if go_on and work.before is not None:
            go_on = bool(work.before.evaluate(self.view(instance, f"round {number} condition", iteration=number)))
            if go_on and number >= most:
                raise AttemptError(f"the condition still holds after {most} rounds", type="LoopLimit")
        go_on = go_on and number < most
        return LoopChecked(path=instance.path, round=number, go_on=go_on, at=self._clock.now())

    def merge(self, instance: Instance) -> PathEvent:
        """Answer AskMerge."""
        return self._try(instance, lambda: self._merge(instance))

    def _merge(self, instance: Instance) -> PathEvent:
        work = instance.node.work
        assert isinstance(work, ParallelWork)
        assert not isinstance(work.merge, str)
        view = self.view(instance, "merge", branches=self._branch_list(instance))
        self._branches.setdefault(instance.path, {})[-1] = work.merge.evaluate(view)
        return ChoiceMade(path=instance.path, taken=0, at=self._clock.now())

    def broken(self, ask: AskBreak) -> PathEvent:
        """Answer AskBreak."""
        path = ask.instance.path
        return IterationBroken(path=path, everything=ask.ends_block, highest=ask.highest, at=self._clock.now())

    def _try(self, instance: Instance, evaluate: Callable[[], E]) -> E | EvaluationFailed:
        try:
            return evaluate()
        except (WeftError, OSError) as error:
            return self._evaluation_failed(instance, error)

    def _evaluation_failed(self, instance: Instance, error: Exception) -> EvaluationFailed:
        work = instance.node.work
        data = describe(error, work.place if isinstance(work, Work) else None)
        self.errors[instance.path] = (data, 1)
        self.raised[instance.path] = error
        return EvaluationFailed(path=instance.path, error=data, at=self._clock.now())

    # -- what has ended ---------------------------------------------------------------------------------------------

    def keep(self, instance: Instance, record: Record) -> None:
        """A leaf has ended: its record is visible in its frame."""
        self.scope(instance.frame).results[instance.node.id] = record

    def failed(self, instance: Instance, error: ErrorData, attempt: int, raised: BaseException | None = None) -> None:
        """A leaf has failed, perhaps for good. Under its own `continue` the record is visible, its output null."""
        self.errors[instance.path] = (error, attempt)
        self.raised.pop(instance.path, None)
        if raised is not None:
            self.raised[instance.path] = raised
            if len(self.raised) > MAX_RAISED:
                del self.raised[next(iter(self.raised))]
        if instance.node.on_failure == "continue":
            self.keep(instance, Record("failed", value=None, error=error.message, attempts=attempt))

    def decided(self, instance: Instance, event: DecisionMade) -> None:
        """A person said how a leaf ended."""
        if event.answer == "done":
            encoded = Encoded(output=event.value)
            self.keep(instance, Record("succeeded", encoded=encoded, keeper=self._outputs, attempts=instance.attempt))
        elif event.answer == "fail":
            self.failed(instance, ErrorData("Decided", "decided: the attempt failed"), instance.attempt)

    def close_frame(self, command: CloseFrame) -> None:
        """A body has ended: hand its value to its block, and its results to the frame around it."""
        frame = command.frame
        block = frame.block
        assert block is not None
        value = self._value_of(frame, command.last) if command.kept else MISSING
        if isinstance(block, Foreach):
            self.collections.keep_result(block, frame.index, value)
        else:
            if isinstance(frame.scope, Scope) and not block.node.prefixes:
                self.scope(block.frame).results.update(frame.scope.results)
            if not command.kept or command.last >= 0 or not isinstance(block, Loop):
                key = 0 if isinstance(block, Loop | Retrying) else frame.index
                self._branches.setdefault(block.path, {})[key] = value
        if not any(node.compensation is not None for node in frame.graph.nodes):  # else an undo may ask for its results
            frame.scope = None

    def _value_of(self, frame: Frame, last: int) -> Record:
        """The output of one node of the frame; null when there is none."""
        if not isinstance(frame.scope, Scope) or last < 0:
            return MISSING
        return frame.scope.results.get(frame.graph.nodes[last].id, MISSING)

    def complete(self, block: Block) -> BlockSucceeded:
        """A block came to its end: put its output together."""
        if isinstance(block, Foreach):
            record = self.collections.complete(block)
        else:
            value = self._value(block)
            record = value if isinstance(value, Record) else self._outputs.as_record(value)
        self.scope(block.frame).results[block.node.id] = record
        self._branches.pop(block.path, None)
        if self._outputs.by_reference:
            self._outputs.objects[block.path] = record.output
        encoded = record.encoded or Encoded()
        return BlockSucceeded(
            path=block.path,
            output=encoded.output,
            blob=encoded.blob,
            secrets=encoded.secrets,
            at=self._clock.now(),
        )

    def _value(self, block: Block) -> Any:
        ended = self._branches.get(block.path, {})
        if not isinstance(block, Parallel):
            last = next(iter(ended.values()), None)
            return last if last is None else self._renamed(last)
        if -1 in ended:
            return ended[-1]
        if block.node.wait == 1:
            return ended[block.winners[0]].output
        work = block.node.work
        assert isinstance(work, ParallelWork)
        branches = self._branch_list(block)
        if work.merge == "concat":
            return [x for b in branches if b is not None for x in (b if isinstance(b, list) else [b])]
        if work.merge == "object":
            names = [work.names[i] or str(i) for i in self._order(block)]
            return dict(zip(names, branches, strict=True))
        return branches

    def _renamed(self, record: Record) -> Any:
        """A block's record is its own: of its last node it takes the output and nothing else."""
        if record.encoded is None:
            return record.output
        return Record("succeeded", encoded=record.encoded, keeper=self._outputs, attempts=1)

    def _order(self, block: Parallel) -> list[int]:
        wait = block.node.wait
        return list(range(len(block.node.bodies))) if wait is None else block.winners[:wait]

    def _branch_list(self, instance: Instance) -> list[Any]:
        assert isinstance(instance, Parallel)
        ended = self._branches.get(instance.path, {})
        return [ended.get(i, MISSING).output for i in self._order(instance)]

    def finished(self, event: RunFinished, graph: Graph, output: Evaluable | None) -> RunFinished:
        """The end of the run, with the document's output: its `output` expression, else its last node's."""
        at = self._clock.now()
        try:
            record = self._document_output(graph, output) if event.status in ("succeeded", "issues") else MISSING
        except (WeftError, OSError) as error:
            return structs.replace(event, status="failed", error=describe(error, "output"), at=at)
        if self._outputs.by_reference:
            value = record.output
            self._outputs.objects[""] = self._read_all(value) if isinstance(value, FileRows | FileList) else value
        encoded = record.encoded or Encoded()
        return structs.replace(event, output=encoded.output, blob=encoded.blob, secrets=encoded.secrets, at=at)

    def _document_output(self, graph: Graph, output: Evaluable | None) -> Record:
        if output is not None:
            return self._outputs.as_record(output.evaluate(View(self.root, None, load=self._read_all)))
        record = self.root.results.get(graph.nodes[-1].id, MISSING) if graph.nodes else MISSING
        value = record.encoded
        if value is not None and bytes(value.reference) != b"null":
            return self._outputs.as_record(self._read_all(record.output))
        return record
