"""Replay: a scheduler that is fed the past.

While `replaying`, nothing starts by itself and no iteration opens by itself: the events say what had started. So the
fold does not depend on `jobs`, a window or learnt weights, which may have been others then. An event of an iteration
(or of a branch) that is not open yet opens it; if the event turns out to be illegal, it is closed again: `bury`.

`recover` ends the replay. Lost attempts go back into the queue under the same number; a lost `once` attempt asks a
person; one that was to be cancelled is cancelled, which is recorded, as nothing else in the journal says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft import commands
from weft import event_types as events
from weft.core import failure
from weft.core.blocks import Block, Fallen, Foreach, Parallel, Retrying
from weft.core.state import Frame, Instance, Stop
from weft.core.status import Status, Step
from weft.errors import ErrorData, IllegalEvent
from weft.graph.model import walk_paths

if TYPE_CHECKING:
    from weft.core.lifecycle import Lifecycle


class Opened:
    """An iteration, round or branch that was opened because an event spoke of it; what its block was before."""

    __slots__ = ("_beyond", "_following", "_found", "_unopened", "block", "index")

    def __init__(self, block: Foreach | Parallel | Retrying, index: int) -> None:
        self.block = block
        self.index = index
        if isinstance(block, Foreach):
            self._following, self._found = block.following, block.found
            self._beyond = set(block.beyond)
        elif isinstance(block, Parallel):
            self._unopened = list(block.unopened)

    def close(self, s: Lifecycle) -> None:
        """Undo it. Nothing in it has begun."""
        block = self.block
        _forget(s, block.live.pop(self.index))
        if isinstance(block, Foreach):
            block.following, block.found = self._following, self._found
            block.beyond = self._beyond
        elif isinstance(block, Retrying):
            block.timer = True
        else:
            block.unopened.clear()
            block.unopened.extend(self._unopened)


def _forget(s: Lifecycle, frame: Frame) -> None:
    for instance in frame.open.values():
        del s.open[instance.path]
        instance.status = Status.PENDING
        if isinstance(instance, Block):
            for inner in instance.live.values():
                _forget(s, inner)


def unearth(s: Lifecycle, path: str) -> Instance:
    """The instance at `path`, in an iteration or branch that this replay has not opened yet. Raises IllegalEvent."""
    if s.replaying:
        _open_iterations(s, path)
        found = s.open.get(path) or _open_branches(s, path)
        if found is not None:
            return found
    raise IllegalEvent(f"{path} is not alive: it has ended, was never reached, or is not of this graph")


def bury(s: Lifecycle) -> None:
    """The event was illegal: close what was opened for it."""
    while s.unearthed:
        s.unearthed.pop().close(s)
    s.todo.clear()
    s.out.clear()


def _open_iterations(s: Lifecycle, path: str) -> None:
    at = path.find("]/")
    while at >= 0:
        block_path, _, number = path[:at].rpartition("[")
        block = s.open.get(block_path) or _open_branches(s, block_path)
        if isinstance(block, Foreach) and number.isdecimal() and int(number) not in block.live:
            opened = Opened(block, int(number))
            block.open_index(s, int(number))
            s.unearthed.append(opened)
            s.settle_todo()
        elif isinstance(block, Retrying) and block.timer and number == str(block.round):
            s.unearthed.append(Opened(block, block.round))
            block.timer = False
            block.open_round(s)
            s.settle_todo()
        at = path.find("]/", at + 1)


def _open_branches(s: Lifecycle, path: str) -> Instance | None:
    """Branches open in order, as `concurrency` allows; it may have allowed more then."""
    for parallel in [i for i in s.open.values() if isinstance(i, Parallel) and i.unopened and not i.won]:
        prefix = parallel.inside
        if not path.startswith(prefix) or parallel.halted or parallel.failed or parallel.error:
            continue
        id = path[len(prefix) :].partition("/")[0].partition("[")[0]  # noqa: A001 - the language's word
        for index in list(parallel.unopened):
            branch = parallel.node.bodies[index]
            if not branch.silent and any(found == id for _, found, _ in walk_paths(branch)):
                opened = Opened(parallel, index)
                parallel.unopened.remove(index)
                parallel.open_branch(s, index)
                s.unearthed.append(opened)
                s.settle_todo()
                return s.open.get(path) or _open_branches(s, path)
    return None


# -- the end of a replay -----------------------------------------------------------------------------------------------


def lose(s: Lifecycle) -> None:
    """The engine went away: attempts that may be repeated go back, under the same number."""
    for instance in s.open.values():
        if isinstance(instance, Block) or instance.status is not Status.RUNNING or instance.asked:
            continue
        if instance.node.effect != "once" and not instance.cancelling:
            s.settle(instance, None)
            instance.step(Step.LOST)
            instance.attempt -= 1
            instance.noted = 0
            instance.reason = "resumed: outcome unknown"


def recover(s: Lifecycle) -> None:
    """Ask again what was not answered, start again what was lost, ask a person about a lost `once`."""
    lose(s)
    finished, undoing = s.finished, s.undo.running
    s.replaying = False
    s.busy = sum(instance.timer for instance in s.open.values())
    s.unrecorded = 0
    for instance in list(s.open.values()):
        if s.open.get(instance.path) is instance:
            _take_up(s, instance)
            s.settle_todo()  # at once, as a replay of what is recorded here will
            s.undo.settle()
    s.durable, s.batch = s.batch, s.batch + 1
    s.queue.close()
    s.queue.settle(0.0)
    if finished:
        s.finish(finished)
    elif undoing:
        s.next_undo()


def _take_up(s: Lifecycle, instance: Instance) -> None:
    if instance.asked:
        s.out.append(s.question(instance))
    if instance.timer:
        s.out.append(commands.SetTimer(instance, -1.0))
    if isinstance(instance, Block):
        if instance.status is Status.RUNNING:
            if instance.node.timeout is not None and not isinstance(instance, Fallen):
                s.out.append(commands.SetDeadline(instance, instance.node.timeout))
            s.later(s.check_block, instance)
    elif instance.status is Status.RUNNING and not instance.asked:
        _end_lost(s, instance)
    elif instance.status is Status.READY and not instance.asked and not instance.timer:
        s.proceed(instance)


def _end_lost(s: Lifecycle, instance: Instance) -> None:
    """An attempt that was lost and must not be repeated: one that was being cancelled ends as that."""
    s.settle(instance, None)
    if instance.node.effect == "once" and instance.frame.stopped < Stop.FORGO:
        failure.wait_for_decision(s, instance, "the engine went away before it ended")
        return
    error = ErrorData(failure.CANCELLED, instance.why)
    s.record(events.AttemptFailed(path=instance.path, attempt=instance.attempt, error=error))
    s.cancel(instance)
