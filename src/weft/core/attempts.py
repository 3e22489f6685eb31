"""Attempts: how they end, what follows (a retry, a decision, a failure), and what a person decides."""

from __future__ import annotations

from weft import commands
from weft import event_types as events
from weft.core import failure
from weft.core.blocks import Block, Retrying
from weft.core.lifecycle import Lifecycle
from weft.core.replay import unearth
from weft.core.state import Instance, Stop
from weft.core.status import READY, RUNNING, STARTED, SUCCEEDED, Status, Step
from weft.errors import IllegalEvent

SKIPPED = "Skipped"
SKIPPED_WITH_DEPENDENTS = "SkippedWithDependents"


def leaf_of(s: Lifecycle, path: str) -> Instance:
    """The leaf that is alive at `path`. Raises IllegalEvent."""
    instance = s.open.get(path) or unearth(s, path)
    if isinstance(instance, Block):
        raise IllegalEvent(f"{path} is a block and has no attempts")
    return instance


# -- a start, as a replay meets it ------------------------------------------------------------------------------------


def on_attempt_started(s: Lifecycle, event: events.AttemptStarted) -> None:
    """Only a replay is told of starts: else they are commands."""
    if not s.replaying:
        raise IllegalEvent("attempts start by command, not by event")
    instance = leaf_of(s, event.path)
    if instance.status is Status.RUNNING and not instance.asked and event.attempt == instance.attempt:
        return  # the same attempt, started again after a crash
    _check_start(instance, event.attempt)
    _begin(s, instance, event.attempt)


def _check_start(instance: Instance, attempt: int) -> None:
    if instance.status is not READY or instance.asked or instance.node.kind != "leaf":
        raise IllegalEvent(f"{instance.path} is {instance.status.word}: attempt {attempt} cannot start")
    if attempt <= instance.attempt:
        raise IllegalEvent(f"{instance.path}: attempt {attempt} has ended already")


def _begin(s: Lifecycle, instance: Instance, attempt: int) -> None:
    s.reserve(instance)
    instance.attempt = instance.noted = attempt
    instance.timer = False
    instance.step(STARTED)
    instance.begin()


# -- ends -------------------------------------------------------------------------------------------------------------


def _ending(s: Lifecycle, event: events.AttemptSucceeded | events.AttemptFailed) -> Instance:
    """The running leaf that this end belongs to, its slot freed.

    A `pure` leaf has no start record: its end implies one.
    """
    instance = s.open.get(event.path)
    if type(instance) is not Instance:
        instance = leaf_of(s, event.path)
    if instance.status is not RUNNING and s.replaying:
        _check_start(instance, event.attempt)
        _begin(s, instance, event.attempt)
    if instance.status is not RUNNING or instance.asked or event.attempt != instance.attempt:
        raise IllegalEvent(f"{event.path} is {instance.status.word}: attempt {event.attempt} is not running")
    if not instance.begun:
        instance.begin()
    s.busy -= 1
    s.unrecorded += 1
    if s.ledger is not None:
        s.settle(instance, event.used)
    s.queue.leave(instance)
    return instance


def on_attempt_succeeded(s: Lifecycle, event: events.AttemptSucceeded) -> None:
    """Also when it was to be cancelled and was faster: what is done is done."""
    instance = _ending(s, event)
    instance.step(SUCCEEDED)
    if event.issue:
        s.issues = True
    if event.undo is not None:
        instance.undoable = True
    s.succeeded(instance)


def on_attempt_failed(s: Lifecycle, event: events.AttemptFailed) -> None:
    """Cancelled, skipped by its own will, of unknown outcome, to be tried again, or failed for good."""
    instance = _ending(s, event)
    error = event.error
    if error.unknown and instance.node.effect == "once" and instance.frame.stopped < Stop.FORGO:
        failure.wait_for_decision(s, instance, error.message)
    elif instance.cancelling and error.type == failure.CANCELLED:
        s.cancel(instance)
    elif error.type in (SKIPPED, SKIPPED_WITH_DEPENDENTS):
        _skip(s, instance, dependents=error.type == SKIPPED_WITH_DEPENDENTS)
    elif not _retries(s, instance, event):
        failure.fail(s, instance)


def _skip(s: Lifecycle, instance: Instance, *, dependents: bool) -> None:
    instance.step(Step.SKIPPED)
    s.spare_fallback(instance)
    s.end(instance, releases=not dependents)
    if dependents:
        failure.skip_dependents(s, instance.frame, instance.index, f"{instance.path} was skipped")


def _retries(s: Lifecycle, instance: Instance, event: events.AttemptFailed) -> bool:
    node = instance.node
    retry = node.retry
    used = event.attempt - instance.base
    if instance.frame.cancelled or instance.cancelling or node.effect == "once":
        return False
    if not retry.allows(used, event.error, agreed=event.agreed):
        return False
    delay = retry.delay(used, event.error, event.draw)
    instance.step(Step.RETRIED)
    instance.timer = True
    instance.reason = f"retry {used} of {retry.max_attempts - 1}"
    s.busy += 1
    s.record(events.RetryScheduled(path=event.path, attempt=event.attempt + 1, delay=delay, due=event.at + delay))
    if not s.replaying:
        s.out.append(commands.SetTimer(instance, delay))
    return True


def on_timer_fired(s: Lifecycle, event: events.TimerFired) -> None:
    """The wait for a retry is over. A late timer of a node that was cancelled meanwhile is no fault."""
    instance = s.open.get(event.path)
    if instance is None or not instance.timer:
        return
    s.wait_no_more(instance)
    if isinstance(instance, Retrying):
        instance.open_round(s)
    else:
        s.proceed(instance)


# -- decisions --------------------------------------------------------------------------------------------------------


def on_decision_needed(s: Lifecycle, event: events.DecisionNeeded) -> None:
    """Our own word, but a replay needs it where an attempt was lost with the engine: that is no event."""
    instance = s.open.get(event.path)
    if s.replaying and instance is not None and instance.status is Status.RUNNING and not isinstance(instance, Block):
        s.settle(instance, None)
        failure.wait_for_decision(s, instance, "")


def on_decision_made(s: Lifecycle, event: events.DecisionMade) -> None:
    """`done`, `retry` or `fail`."""
    instance = leaf_of(s, event.path)
    lost = s.replaying and instance.status is Status.RUNNING and instance.node.effect == "once"
    if instance.status is not Status.WAITING and not lost:
        raise IllegalEvent(f"{event.path} is {instance.status.word}: there is nothing to decide")
    if event.answer not in ("done", "retry", "fail"):
        raise IllegalEvent(f"{event.answer!r} is not an answer: it is done, retry or fail")
    if lost:
        s.settle(instance, None)
        failure.wait_for_decision(s, instance, "")
    s.goes_on()
    if event.answer == "done":
        instance.step(Step.DECIDED_DONE)
        s.succeeded(instance)
    elif event.answer == "fail":
        failure.fail(s, instance, Step.DECIDED_FAIL)
    elif instance.frame.cancelled:
        s.cancel(instance)
    else:
        instance.step(Step.DECIDED_RETRY)
        instance.base = instance.attempt
        instance.reason = "decided: retry"
        s.proceed(instance)
