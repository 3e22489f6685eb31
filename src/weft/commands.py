"""Commands: wishes of the scheduler, imperative. The executor performs them; what becomes of them returns as events.

`Ask*` commands want something evaluated; evaluating reaches nothing outside the process, so it may be done at once. An
answer that comes late may have become stale (its node was stopped meanwhile): `Scheduler.expects(event)` says so. A
`StartAttempt` returned by `close_batch` is performed only after the batch that allowed it is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from weft.event_types import Event

if TYPE_CHECKING:
    from weft.core.state import Frame, Instance


class Command(msgspec.Struct, frozen=True, eq=False):
    """A wish."""


class StartAttempt(Command, frozen=True, eq=False):
    """Start attempt `attempt` of a leaf.

    `early`: perform it at once, its start record need not be durable before; else after the commit of that record.
    """

    instance: Instance
    attempt: int
    reason: str = ""
    early: bool = False


class CancelAttempt(Command, frozen=True, eq=False):
    """Stop the running attempt; its end arrives as AttemptFailed (or AttemptSucceeded, when it was faster)."""

    instance: Instance
    reason: str


class AskWhen(Command, frozen=True, eq=False):
    """Evaluate the node's `when`: answered by ChoiceMade(when=True) or EvaluationFailed."""

    instance: Instance


class AskChoice(Command, frozen=True, eq=False):
    """Choose a body: answered by ChoiceMade or EvaluationFailed."""

    instance: Instance


class AskItems(Command, frozen=True, eq=False):
    """Evaluate the collection: answered by ForeachExpanded, or ItemsFound while its length is unknown, or
    EvaluationFailed.

    `at_least` is the number of items that would be of use now.
    """

    instance: Instance
    at_least: int = 0


class AskLoop(Command, frozen=True, eq=False):
    """Does the loop go on with round `round`? Answered by LoopChecked."""

    instance: Instance
    round: int


class AskMerge(Command, frozen=True, eq=False):
    """Compute the merge of a parallel: answered by ChoiceMade or EvaluationFailed."""

    instance: Instance


class AskBreak(Command, frozen=True, eq=False):
    """Confirm a break: answered by IterationBroken with `everything=ends_block` and `highest`.

    `ends_block`: a whole foreach ends here (it is sequential, or the break says `all`), and no iteration above
    `highest` has begun. Both go into the event, so that a replay with another window decides the same.
    """

    instance: Instance
    highest: int
    ends_block: bool = False


class CloseFrame(Command, frozen=True, eq=False):
    """A body has ended: take its value.

    `kept`: it is the output of the node `last` of the frame's graph (an index); with -1 the value of the block stays
    what it was (null, or what earlier rounds of a loop gave). Not `kept`: the body failed, was broken off or was
    stopped: null.
    """

    frame: Frame
    kept: bool
    last: int = -1


class CompleteBlock(Command, frozen=True, eq=False):
    """A block ended well: its output is to be put together."""

    instance: Instance


class SetTimer(Command, frozen=True, eq=False):
    """Answer with TimerFired(path) after `delay` seconds."""

    instance: Instance
    delay: float


class SetDeadline(Command, frozen=True, eq=False):
    """Answer with BlockTimedOut(path) after `seconds` unless the block has ended."""

    instance: Instance
    seconds: float


class Wake(Command, frozen=True, eq=False):
    """Close a batch again after `delay` seconds, even when nothing has happened: a rate limit frees a place then."""

    delay: float


class Record(Command, frozen=True, eq=False):
    """Journal this consequence in the batch of its cause: after it, or with `before`, in front of it."""

    event: Event
    before: bool = False


class Compensate(Command, frozen=True, eq=False):
    """Run the node's compensation after `delay` seconds; `completed` is false when the node never ended well."""

    instance: Instance
    attempt: int
    completed: bool
    delay: float = 0.0


class Finish(Command, frozen=True, eq=False):
    """The run has ended with this status."""

    status: str
