"""What a failure does, and how things are stopped. Functions over a `Lifecycle`, whose second half they are.

A failure is looked at three times. The instance: does a fallback take over, does its own `continue` make it an issue?
The frame: does its policy skip what depends on it (`continue`), or stop everything (`finish`, `cancel`)? And the block
around it: is it doomed (a parallel that waits for one branch is not, before the last has failed)? A doomed block fails
when what runs in it has ended, but its fate is sealed now: so the stop goes on outwards at once, as far as it surely
reaches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft import commands
from weft import event_types as events
from weft.core.blocks import Block, Fallen, Foreach, Loop, Retrying
from weft.core.state import Frame, Instance, Stop
from weft.core.status import Status, Step

if TYPE_CHECKING:
    from weft.core.lifecycle import Lifecycle


CANCELLED = "Cancelled"
"""The error type of an attempt that was told to stop."""


# -- failing ------------------------------------------------------------------------------------------------------


def fail(s: Lifecycle, instance: Instance, step: Step = Step.FAILED) -> None:
    """The node has failed for good, unless a fallback takes over."""
    node = instance.node
    frame = instance.frame
    if node.fallback is not None and _may_fall_back(instance):
        _fall_back(s, instance)
        return
    instance.step(step)
    s.undo_unfinished(instance)
    cause = (isinstance(instance, Block) and instance.failed) or instance.path
    if isinstance(instance, Block):
        s.record(events.BlockFailed(path=instance.path, cause=cause))
    if node.on_failure == "continue":
        s.issues = s.issues or not frame.cancelled  # what was told to stop may fail at that
        s.end(instance, releases=True)
        return
    frame.failed = frame.failed or cause
    s.end(instance, releases=False)
    if frame.policy == "continue":
        if frame.block is None:
            s.issues = True
        skip_dependents(s, frame, instance.index, f"{cause} failed")
    else:
        if cause == instance.path:
            s.undo.failed_at(instance)
        doom(s, frame)


def _may_fall_back(instance: Instance) -> bool:
    """A cancelled node does not fall back, nor does a block that was stopped from outside:

    It could not end normally.
    """
    if isinstance(instance, Fallen) or instance.cancelling or instance.frame.cancelled:
        return False
    return not (isinstance(instance, Block) and instance.halted)


def _fall_back(s: Lifecycle, instance: Instance) -> None:
    """Put a block with the fallback's body in the place of the instance; its outcome is the node's."""
    instance.step(Step.FELL_BACK)
    fallen = Fallen(instance.frame, instance.index, instance.node, instance.path, instance.status)
    fallen.attempt, fallen.base, fallen.begun = instance.attempt, instance.base, instance.begun
    fallen.cause = (isinstance(instance, Block) and instance.failed) or instance.path
    s.record(events.FellBack(path=instance.path, cause=fallen.cause))
    instance.frame.open[instance.index] = s.open[instance.path] = fallen
    fallen.open(s)


def skip_dependents(s: Lifecycle, frame: Frame, index: int, reason: str) -> None:
    """What needs this node does not run, nor does what needs that."""
    stack = list(frame.graph.dependents[index])
    while stack:
        j = stack.pop()
        if frame.stopped or frame.status[j] != Status.PENDING:
            continue
        frame.status[j] = Status.SKIPPED
        frame.left -= 1
        s.record(events.NodeSkipped(path=frame.prefix + frame.graph.nodes[j].id, reason=reason))
        stack.extend(frame.graph.dependents[j])
        if frame.block is None and s.waves is not None:
            s.check_wave(j)
    s.later(s.check_frame, frame)


def doom(s: Lifecycle, frame: Frame) -> None:
    """A failure in `frame` is not swallowed there: stop what its policy says, as far outwards as it surely reaches."""
    level = Stop.CANCEL if frame.policy == "cancel" else Stop.FINISH
    while True:
        stop_frame(s, frame, f"{frame.failed} failed", level)
        block = frame.block
        if block is None or not block.doomed_by(frame):
            return
        block.failed = block.failed or frame.failed
        stop_bodies(s, block, f"{block.failed} failed", level)
        if block.node.on_failure == "continue" or (block.node.fallback is not None and not isinstance(block, Fallen)):
            return
        frame = block.frame
        if frame.policy == "continue":
            return
        frame.failed = frame.failed or block.failed
        if frame.policy != "cancel":
            level = Stop.FINISH


# -- stopping -----------------------------------------------------------------------------------------------------


def stop_bodies(s: Lifecycle, block: Block, why: str, level: Stop) -> None:
    """Stop everything in the block; it ends when that has ended."""
    for frame in _in_order(block):
        stop_frame(s, frame, why, level)
    s.later(s.check_block, block)


def stop_frame(s: Lifecycle, frame: Frame, why: str, level: Stop) -> None:
    """Stop the frame and everything in it, however deep."""
    stack = [frame]
    while stack:
        frame = stack.pop()
        if frame.stopped >= level:
            continue
        frame.stopped = level
        for instance in list(frame.open.values()):
            if isinstance(instance, Block):
                stack.extend(_stop_block(s, instance, level))
            else:
                _stop_leaf(s, instance, why, level)
        s.later(s.check_frame, frame)


def _stop_block(s: Lifecycle, block: Block, level: Stop) -> list[Frame]:
    """Its bodies have to be stopped, too."""
    if block.status is Status.READY:  # its `when` is not answered yet
        s.withdraw(block)
        return []
    block.halted = True
    block.cancelling = block.cancelling or level >= Stop.CANCEL
    if isinstance(block, Retrying) and block.waits:
        s.wait_no_more(block)
        block.halt()
    if block.asked and (block.cancelling or block.asked != "merge"):  # a merge is the end of what has begun
        block.asked = ""
        s.withdrew = True
    s.later(s.check_block, block)
    return _in_order(block)


def _in_order(block: Block) -> list[Frame]:
    """Its live bodies. Not in the order in which they were opened: a replay may open them in another."""
    return [block.live[index] for index in sorted(block.live)]


def _stop_leaf(s: Lifecycle, instance: Instance, why: str, level: Stop) -> None:
    match instance.status:
        case Status.READY if not instance.begun:
            s.withdraw(instance)
        case Status.READY if level >= Stop.CANCEL:
            s.wait_no_more(instance)
            s.cancel(instance)
        case Status.RUNNING if instance.asked:  # a break
            s.withdraw(instance)
        case Status.RUNNING:
            note_start(s, instance)
            if level >= Stop.CANCEL and not instance.cancelling:
                instance.cancelling = True
                instance.why = why
                s.out.append(commands.CancelAttempt(instance, why))
        case Status.WAITING if level >= Stop.FORGO:
            s.cancel(instance)


def note_start(s: Lifecycle, instance: Instance) -> None:
    """The attempt of a `pure` leaf has no record. Now a replay must know that it was running: before what stops it."""
    if instance.noted == instance.attempt:
        return
    instance.begin()
    instance.noted = instance.attempt
    if not s.replaying:
        start = events.AttemptStarted(path=instance.path, attempt=instance.attempt, reason=instance.reason)
        s.out.append(commands.Record(start, before=True))


def stopped(s: Lifecycle, block: Block) -> None:
    """The block was stopped and nothing in it is alive: it was cancelled, or it never began."""
    if block.begun:
        s.cancel(block)
    else:
        s.withdraw(block)


def wait_for_decision(s: Lifecycle, instance: Instance, why: str) -> None:
    """The effect may have happened and must not happen twice: only a person can say."""
    instance.step(Step.OUTCOME_UNKNOWN)
    instance.cancelling = False
    question = f"did attempt {instance.attempt} of {instance.path} take effect? ({why})"
    s.record(events.DecisionNeeded(path=instance.path, attempt=instance.attempt, question=question))


# -- breaking off ---------------------------------------------------------------------------------------------------


def enclosing(instance: Instance) -> tuple[Frame, Foreach | Loop] | None:
    """The iteration or round that a break at `instance` ends, and its block; None when there is none."""
    frame = instance.frame
    while (block := frame.block) is not None:
        if isinstance(block, Foreach | Loop):
            return frame, block
        frame = block.frame
    return None


def reach_of_break(instance: Instance) -> tuple[bool, int]:
    """Whether a break here ends a whole foreach, and then the highest index that has begun (else -1)."""
    found = enclosing(instance)
    if found is None or not isinstance(found[1], Foreach):
        return False, -1
    frame, block = found
    assert isinstance(block, Foreach)
    if not (instance.node.everything or block.window == 1):
        return False, -1
    return True, max(block.highest, frame.index)


def break_off(s: Lifecycle, instance: Instance, *, everything: bool, highest: int) -> None:
    """The break was confirmed: its iteration or round is over, and perhaps the block."""
    found = enclosing(instance)
    assert found is not None
    iteration, block = found
    at: Instance = instance
    while True:
        frame = at.frame
        frame.broken = True
        frame.broken_at = at.index
        if frame is iteration:
            break
        assert frame.block is not None
        at = frame.block
    instance.asked = ""
    instance.step(Step.SUCCEEDED)
    s.end(instance, releases=False)
    stop_frame(s, iteration, f"{instance.path} broke it off", Stop.FINISH)
    if isinstance(block, Foreach) and everything:
        _end_foreach(s, block, max(highest, iteration.index))


def _end_foreach(s: Lifecycle, block: Foreach, highest: int) -> None:
    """Iterations that have begun end normally; the others are withdrawn, and none is opened any more."""
    for frame in _in_order(block):
        for leaf in _running_leaves(frame):
            note_start(s, leaf)
    block.stop = max(highest, block.highest) + 1
    for frame in _in_order(block):
        if not frame.begun:
            stop_frame(s, frame, "the foreach was broken off", Stop.FINISH)


def _running_leaves(frame: Frame) -> list[Instance]:
    found: list[Instance] = []
    stack = [frame]
    while stack:
        for instance in stack.pop().open.values():
            if isinstance(instance, Block):
                stack.extend(instance.live.values())
            elif instance.status is Status.RUNNING and not instance.asked:
                found.append(instance)
    return found
