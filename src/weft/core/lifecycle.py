"""How nodes come alive and end, and how blocks and frames follow from that.

    enter      a node's needs are met: an instance is born
    proceed    nothing holds it back: a leaf queues for a slot, a block opens its bodies
    end        it has taken its last step: its dependents may enter, its frame may end
    check      a frame or a block looks whether anything is left in it

Everything that may cascade goes through `later`: a queue of steps instead of the stack, so that neither a long chain of
skipped nodes nor a deep nesting can overflow it. Nothing in here starts an attempt; `Scheduler` does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from weft import commands
from weft import event_types as events
from weft.budget import Ledger
from weft.commands import Command
from weft.core import failure
from weft.core.blocks import KINDS, Block, Fallen, Foreach, Loop, Retrying
from weft.core.limits import NOTHING, ReadyQueue
from weft.core.priority import Ranks, plan
from weft.core.replay import Opened
from weft.core.rollback import Undo
from weft.core.state import Frame, Instance, Stop
from weft.core.status import READY, Status, Step
from weft.core.waves import Waves
from weft.event_types import Event
from weft.graph.model import Graph
from weft.policy import FailurePolicy, Limit, Rollback, Schedule


class Lifecycle:
    """The state of one run, and how it moves."""

    def __init__(
        self,
        graph: Graph,
        *,
        jobs: int = 10,
        limits: Mapping[str, Limit] | None = None,
        schedule: Schedule = "dataflow",
        on_failure: FailurePolicy = "finish",
        rollback: Rollback = "all",
        ranks: Ranks | None = None,
        prior: Mapping[str, int] | None = None,
        replaying: bool = False,
        budget: Ledger | None = None,
    ) -> None:
        self.graph = graph
        self.ranks = plan(graph) if ranks is None else ranks
        self.queue = ReadyQueue(jobs, limits or {}, budget)
        self.ledger = budget
        self.began: float | None = None
        """When this sitting closed its first batch, in monotonic seconds: for the wall time of the budget."""
        self.waves = Waves(graph) if schedule == "waves" else None
        self.prior = prior or {}
        """By path, how many attempts earlier sittings have used up: numbering goes on, their retries do not count."""
        self.replaying = replaying
        self.root = self.make_frame(graph, on_failure)
        self.open: dict[str, Instance] = {}
        """Every instance that is alive, by path."""
        self.started = False
        self.finished = ""
        """The status of the run, once it has one."""
        self.issues = False
        """A failure was swallowed by `continue`."""
        self.cancelled = ""
        """Why the run was cancelled: `cancelled` or `timeout`."""
        self.undo = Undo(rollback)
        self.busy = 0
        """Running leaves and timers: while there are any, the run is not waiting for a person."""
        self.unstarted: list[Instance] = []
        """Ready leaves that hold no slot."""
        self.batch = 1
        """The number of the batch that is being gathered."""
        self.durable = 0
        """The number of the last batch that is durable."""
        self.out: list[Command] = []
        self.todo: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self.paused = False
        self.committing = False
        self.unrecorded = 0
        """Ends in the batch that is being gathered."""
        self.flying = 0
        """Ends in the batch that is being committed."""
        self.now = 0.0
        self.unearthed: list[Opened] = []
        """What was opened for the event that is being handled; only a replay does that."""
        self.withdrew = False
        """Something was withdrawn while the present event was handled: a question in `out` may be about it."""

    # -- what is said ---------------------------------------------------------------------------------------------

    def ask(self, instance: Instance, what: str) -> None:
        """The instance cannot go on before this is answered."""
        instance.asked = what
        if not self.replaying:
            self.out.append(self.question(instance))

    def question(self, instance: Instance) -> Command:
        """What the instance wants to know."""
        match instance.asked:
            case "when":
                return commands.AskWhen(instance)
            case "choice":
                return commands.AskChoice(instance)
            case "merge":
                return commands.AskMerge(instance)
            case "items":
                assert isinstance(instance, Foreach)
                return commands.AskItems(instance, instance.wanted)
            case "loop":
                assert isinstance(instance, Loop | Retrying)
                return commands.AskLoop(instance, instance.round)
            case _:
                ends_block, highest = failure.reach_of_break(instance)
                return commands.AskBreak(instance, highest, ends_block)

    def record(self, event: Event) -> None:
        """A consequence for the journal; a replay has it there already."""
        if not self.replaying:
            self.out.append(commands.Record(event))

    def later(self, step: Callable[..., None], *args: object) -> None:
        """Do it when what is being done is done."""
        self.todo.append((step, args))

    def settle_todo(self) -> None:
        """Do what was put off, and what that puts off."""
        todo = self.todo
        while todo:
            step, args = todo.popleft()
            step(*args)

    # -- coming alive ---------------------------------------------------------------------------------------------

    def make_frame(
        self, graph: Graph, policy: FailurePolicy, prefix: str = "", block: Block | None = None, index: int = 0
    ) -> Frame:
        """A frame in which nothing is alive yet."""
        count = len(graph.nodes)
        return Frame(
            graph, self.ranks[graph], policy, bytearray(count), graph.indegree.copy(), count, prefix, block, index
        )

    def open_frame(self, block: Block, body: Graph, prefix: str, index: int = 0, since: int | None = None) -> None:
        """Begin one execution of a body of `block`. `since`: the batch that allowed it, if not the present one."""
        own = None if isinstance(block, Fallen) else block.node.on_failure
        frame = self.make_frame(body, own or block.frame.policy, prefix, block, index)
        frame.since = self.batch if since is None else since
        block.live[index] = frame
        for i in body.roots:
            self.todo.append((self.enter, (frame, i)))
        if not body.roots:
            self.later(self.check_frame, frame)

    def enter(self, frame: Frame, index: int) -> None:
        """The node's needs are met."""
        if frame.stopped or frame.status[index]:
            return
        if frame.block is None and self.waves is not None and self.waves.holds_back(index):
            return
        node = frame.graph.nodes[index]
        path = frame.prefix + node.id
        instance = KINDS.get(node.kind, Instance)(frame, index, node, path)
        frame.status[index] = READY
        frame.open[index] = instance
        self.open[path] = instance
        if self.prior:
            instance.attempt = instance.base = self.prior.get(path, 0)
        if node.conditional:
            self.ask(instance, "when")
        else:
            self.proceed(instance)

    def proceed(self, instance: Instance) -> None:
        """Nothing holds it back any more."""
        node = instance.node
        if type(instance) is not Instance and isinstance(instance, Block):
            instance.step(Step.STARTED)
            instance.since = self.batch
            if node.timeout is not None:
                self.out.append(commands.SetDeadline(instance, node.timeout))
            instance.open(self)
            self.later(self.check_block, instance)
        elif node.kind == "break":
            instance.step(Step.STARTED)
            self.ask(instance, "break")
        elif self.replaying:
            pass  # it queues when the replay is over, unless it has started by then
        elif node.holds_slot:
            frame = instance.frame
            first = frame.left == len(frame.status) and not node.conditional and not instance.begun
            self.queue.push(instance, durable=first and frame.since <= self.durable)
        else:
            self.unstarted.append(instance)

    # -- ending ---------------------------------------------------------------------------------------------------

    def succeeded(self, instance: Instance) -> None:
        """It has an output. Of a block in which nothing could happen, nothing is to be undone."""
        node = instance.node
        if (node.compensation is not None or instance.undoable) and instance.begun:
            self.undo.register(instance, completed=True)
        if node.named_fallback:
            self.spare_fallback(instance)
        self.end(instance, releases=True)

    def spare_fallback(self, instance: Instance) -> None:
        """The node that stood by for this one, by name, is not needed."""
        node = instance.node
        if node.named_fallback and node.fallback is not None and not isinstance(instance, Fallen):
            path = instance.frame.prefix + node.fallback.nodes[0].id
            self.record(events.NodeSkipped(path=path, reason="not needed"))

    def end(self, instance: Instance, *, releases: bool) -> None:
        """The instance has taken its last step: its frame goes on, or ends. `releases`: what needs it may enter."""
        frame = instance.frame
        index = instance.index
        frame.status[index] = instance.status
        frame.left -= 1
        del frame.open[index]
        del self.open[instance.path]
        if releases:
            waiting = frame.waiting
            for j in frame.graph.dependents[index]:
                waiting[j] -= 1
                if not waiting[j]:
                    self.todo.append((self.enter, (frame, j)))
        if frame.block is None and self.waves is not None:
            self.check_wave(index)
        if not frame.open:
            self.todo.append((self.check_frame, (frame,)))

    def cancel(self, instance: Instance) -> None:
        """It was stopped before its end; what it did so far is to be undone."""
        instance.step(Step.CANCELLED)
        self.undo_unfinished(instance)
        self.end(instance, releases=False)

    def undo_unfinished(self, instance: Instance) -> None:
        """Its effect may have happened."""
        if instance.node.compensation is not None and instance.begun:
            self.undo.register(instance, completed=False)

    def withdraw(self, instance: Instance) -> None:
        """Nothing of it has begun and nothing will: as if its needs had never been met."""
        instance.step(Step.WITHDRAWN)
        frame = instance.frame
        frame.status[instance.index] = Status.PENDING
        del frame.open[instance.index]
        del self.open[instance.path]
        self.withdrew = True
        if not frame.open:
            self.later(self.check_frame, frame)

    def reserve(self, instance: Instance) -> None:
        """An attempt starts: what it will use is held for it."""
        if self.ledger is not None:
            self.ledger.reserve(instance.path, instance.node.estimate or NOTHING)

    def settle(self, instance: Instance, used: events.Usage | None) -> None:
        """An attempt has ended, or was lost: what it used is spent; where nobody said, that is what was expected."""
        if self.ledger is not None:
            self.ledger.settle(instance.path, used or instance.node.estimate or NOTHING)

    def wait_for_round(self, block: Retrying, event: events.LoopChecked) -> None:
        """Another round will begin, after a delay."""
        block.timer = True
        self.busy += 1
        due = event.at + event.delay
        self.record(events.RetryScheduled(path=block.path, attempt=block.round + 1, delay=event.delay, due=due))
        if not self.replaying:
            self.out.append(commands.SetTimer(block, event.delay))

    def wait_no_more(self, instance: Instance) -> None:
        """It waited for a retry."""
        if instance.timer:
            instance.timer = False
            self.busy -= 1

    def stop_bodies(self, block: Block, why: str, level: Stop) -> None:
        """Stop everything in the block; it ends when that has ended."""
        failure.stop_bodies(self, block, why, level)

    # -- what follows -----------------------------------------------------------------------------------------------

    def check_wave(self, index: int) -> None:
        """A node of the top level has ended: perhaps its layer has."""
        assert self.waves is not None
        released, facts = self.waves.ended(index)
        over = self.root.stopped or (self.root.failed and self.root.policy != "continue")
        for fact in facts:
            if not (over and isinstance(fact, events.WaveStarted)):
                self.record(fact)
        for j in released:
            self.later(self.enter, self.root, j)

    def check_frame(self, frame: Frame) -> None:
        """End the frame when nothing in it is alive and nothing more can come."""
        if frame.ended or frame.open or (frame.left and not frame.stopped):
            return
        frame.ended = True
        block = frame.block
        if block is None:
            self.end_run()
            return
        del block.live[frame.index]
        kept, last = block.value_of(frame)
        self.out.append(commands.CloseFrame(frame, kept, last))
        block.frame_ended(self, frame)
        self.check_block(block)

    def check_block(self, block: Block) -> None:
        """End the block, or let it open more."""
        if block.status is not Status.RUNNING or self.open.get(block.path) is not block:
            return
        if not (block.failed or block.error or block.halted or block.cancelling):
            block.refill(self)
        if block.live or block.waits:
            return
        if block.error or block.failed:
            failure.fail(self, block)
        elif block.cancelling:
            failure.stopped(self, block)
        elif block.finished():
            if not block.asks_last(self):
                block.step(Step.SUCCEEDED)
                self.out.append(commands.CompleteBlock(block))
                self.succeeded(block)
        elif block.halted:
            failure.stopped(self, block)

    # -- the end of the run -----------------------------------------------------------------------------------------

    def end_run(self) -> None:
        """Nothing is left: undo, where that is due, and finish."""
        if self.cancelled == "cancelled":
            status = "cancelled"
        elif self.cancelled or (self.root.failed and self.root.policy != "continue"):
            status = "failed"
        else:
            status = "issues" if self.issues else "succeeded"
        if status in ("failed", "cancelled") and self.undo.begin(status, self.root):
            self.next_undo()
        else:
            self.finish(status)

    def next_undo(self) -> None:
        """Wish the next compensation, or finish when there is none left."""
        command = self.undo.next()
        if command is None:
            self.finish(self.undo.status)
        elif not (self.replaying or self.paused):
            self.out.append(command)

    def goes_on(self) -> None:
        """A run that waited is no longer at its end."""
        if self.finished == "waiting":
            self.finished = ""

    def finish(self, status: str) -> None:
        """The run has a status."""
        self.finished = status
        self.record(events.RunFinished(status=status))
        if not self.replaying:
            self.out.append(commands.Finish(status))
