"""What was evaluated, and what happens to blocks and to the run as a whole."""

from __future__ import annotations

from weft import event_types as events
from weft.core import failure
from weft.core.attempts import leaf_of
from weft.core.blocks import Block, Fallen
from weft.core.lifecycle import Lifecycle
from weft.core.replay import lose, unearth
from weft.core.state import Instance, Stop
from weft.core.status import Status, Step
from weft.errors import IllegalEvent


def _asking(s: Lifecycle, path: str) -> Instance:
    instance = s.open.get(path) or unearth(s, path)
    if not instance.asked:
        raise IllegalEvent(f"{path} has asked nothing")
    return instance


def on_choice_made(s: Lifecycle, event: events.ChoiceMade) -> None:
    """A `when`, a choice, or a merge that was computed."""
    instance = _asking(s, event.path)
    if not event.when:
        on_answer(s, event)
        return
    if instance.asked != "when":
        raise IllegalEvent(f"{event.path} has no open condition")
    instance.asked = ""
    instance.begin()
    if event.taken >= 0:
        instance.begun = False  # the journal knows of its frame, but the node itself may still be withdrawn
        s.proceed(instance)
        return
    instance.step(Step.SKIPPED)
    s.record(events.NodeSkipped(path=event.path, reason="when is false"))
    s.spare_fallback(instance)
    s.end(instance, releases=True)


def on_answer(s: Lifecycle, event: events.PathEvent) -> None:
    """A choice, a number of items, a round, a merge."""
    instance = _asking(s, event.path)
    if not isinstance(instance, Block) or instance.asked == "when":
        raise IllegalEvent(f"{event.path} has asked nothing that {type(event).__name__} answers")
    instance.answered(s, event)
    if event.JOURNALED:
        instance.begin()
    s.later(s.check_block, instance)


def on_iteration_broken(s: Lifecycle, event: events.IterationBroken) -> None:
    """A break was reached."""
    instance = leaf_of(s, event.path)
    if instance.asked != "break":
        raise IllegalEvent(f"{event.path} is not at a break")
    if failure.enclosing(instance) is None:
        raise IllegalEvent(f"{event.path}: a break outside of a foreach or loop")
    instance.begin()
    failure.break_off(s, instance, everything=event.everything, highest=event.highest)


def on_evaluation_failed(s: Lifecycle, event: events.EvaluationFailed) -> None:
    """The node fails; iterations that run are treated as its policy treats siblings of a failed one."""
    instance = _asking(s, event.path)
    instance.asked = ""
    instance.begin()
    if isinstance(instance, Block) and instance.status is Status.RUNNING:
        instance.error = True
        policy = instance.node.on_failure or instance.frame.policy
        level = Stop.CANCEL if policy == "cancel" else Stop.FINISH
        failure.stop_bodies(s, instance, f"{event.path} failed", level)
    else:
        failure.fail(s, instance)


# -- blocks and the run -----------------------------------------------------------------------------------------------


def on_block_timed_out(s: Lifecycle, event: events.BlockTimedOut) -> None:
    """What runs in it is cancelled and the block fails. One that is being cancelled anyway stays that."""
    block = s.open.get(event.path) or unearth(s, event.path)
    if not isinstance(block, Block) or isinstance(block, Fallen) or block.status is not Status.RUNNING:
        raise IllegalEvent(f"{event.path} is not a running block")
    block.begin()
    if block.cancelling:
        return
    block.error = True
    s.wait_no_more(block)
    if block.asked:
        block.asked = ""
        s.withdrew = True
    failure.stop_bodies(s, block, f"{event.path}: its time is up", Stop.CANCEL)


def on_run_started(s: Lifecycle, event: events.RunStarted) -> None:
    """Everything that needs nothing is ready."""
    if s.started:
        raise IllegalEvent("the run has started already")
    s.started = True
    s.root.since = s.batch
    if s.waves is not None:
        for fact in s.waves.begin():
            s.record(fact)
    for i in s.graph.roots:
        s.enter(s.root, i)
    s.later(s.check_frame, s.root)


def on_run_resumed(s: Lifecycle, event: events.RunResumed) -> None:
    """A replay meets the end of a sitting: what ran then was lost."""
    s.goes_on()
    if s.replaying:
        lose(s)


def on_cancel_requested(s: Lifecycle, event: events.CancelRequested) -> None:
    """Start nothing, stop everything.

    A second request changes nothing, unless the first was only the run's deadline.
    """
    if not s.started:
        raise IllegalEvent("the run has not started")
    s.goes_on()
    if s.finished or s.undo.running or s.cancelled == "cancelled" or (s.cancelled and event.timeout):
        return
    s.cancelled = "timeout" if event.timeout else "cancelled"
    level = Stop.CANCEL if event.timeout else Stop.FORGO
    failure.stop_frame(s, s.root, event.reason or "the run was cancelled", level)


def on_compensation(s: Lifecycle, event: events.PathEvent) -> None:
    """An undo began or ended."""
    if s.undo.handle(event):
        s.next_undo()


def on_interrupted(s: Lifecycle, event: events.Interrupted) -> None:
    """Nothing new starts, not even an undo; everything that is ready stays so."""
    s.paused = True


def on_batch_durable(s: Lifecycle, event: events.BatchDurable) -> None:
    """The batch in flight has landed."""
    s.committing = False
    s.flying = 0
    s.durable = s.batch - 1
    s.queue.settle(event.now)


def on_nothing(s: Lifecycle, event: events.Event) -> None:
    """On record for others."""
