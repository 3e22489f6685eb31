"""Events: facts, in the past tense. The journal is a list of these and nothing else is ever journaled.

Two sorts. *Causes* come from the world (an attempt ended, a condition was evaluated, somebody asked to cancel): the
scheduler cannot know them and a replay needs them. *Consequences* (`DERIVED`) follow from causes: the scheduler says
them itself, they are journaled for readers, and a replay derives them again instead of reading them.

`at` is Unix time in seconds, UTC; `duration` is in seconds; attempts count from 1. A path addresses one node instance
(`classify[3]/score`). Outputs are kept as encoded JSON, so that replaying a journal decodes no value.

A fact is data and refers to nothing that could refer to it: the garbage collector, which would walk over all of them
again and again in a run in memory, is told to leave them out (`gc=False`).
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import Raw

from weft.errors import ErrorData
from weft.values import BlobRef

NULL = Raw(b"null")


class SecretMark(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a secret stood in an output: kept beside the payload, never in its text, where data could forge it."""

    place: tuple[str | int, ...]
    start: int
    name: str
    form: str = "plain"
    key: bool = False
    """The secret stood in an object's key, not in its value."""


class Undo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How to undo an attempt, as data: one of the ready-made ways by name, and what it needs. No name: a function that
    lives in the process that ran the attempt, and dies with it.
    """

    kind: str = ""
    data: Raw = NULL


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an attempt used of a budget."""

    tokens: float = 0.0
    cost_usd: float = 0.0


class NodePlan(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A node as readers of a journal need it.

    `id` is its node path (`classify/score`); `wave` counts from 0 at the top level and is -1 inside blocks; `block` is
    the node path of the block it stands in.
    """

    id: str
    label: str
    wave: int = -1
    block: str = ""
    digest: str = ""
    """Of a node of Python code: what names its definition. A document is kept whole beside the journal."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True, tag=True, kw_only=True, gc=False):
    """A fact. The tag in JSON is the class's name, under `type`."""

    DERIVED: ClassVar[bool] = False
    JOURNALED: ClassVar[bool] = True

    at: float = 0.0


class PathEvent(Event, frozen=True, omit_defaults=True):
    """A fact about one node instance."""

    path: str


# -- the run ------------------------------------------------------------------------------------------------------


class RunStarted(Event, frozen=True, omit_defaults=True):
    """A run began: what runs, with which arguments, under which rules."""

    run: str
    workflow: str
    version: str = "0"
    document: str | None = None
    """The document's path as it was given, made absolute; None for a Python workflow."""
    document_digest: str | None = None
    config: Raw = NULL
    input: Raw = NULL
    secrets: tuple[SecretMark, ...] = ()
    schedule: str = "dataflow"
    on_failure: str = "finish"
    rollback: str = "all"
    settings: dict[str, str] = {}
    """How it was started, for readers: jobs, timeout, weft's version, who."""
    plan: tuple[NodePlan, ...] = ()
    """Every node of the graph, so that a reader of the journal needs no document."""


class RunResumed(Event, frozen=True, omit_defaults=True):
    """A process took the run over. From here on, what failed for good and what was undone counts as not done.

    `changed` lists the node paths whose earlier facts no longer hold because the document was changed (and accepted),
    each with its reason.
    """

    epoch: int
    changed: dict[str, str] = {}
    document_digest: str | None = None
    settings: dict[str, str] = {}
    plan: tuple[NodePlan, ...] = ()
    """The graph from here on; empty when it has not changed."""


class RunFinished(Event, frozen=True, omit_defaults=True):
    """The run ended as `succeeded`, `issues`, `failed`, `cancelled` or `waiting`, with the document's output."""

    DERIVED: ClassVar[bool] = True
    status: str
    output: Raw = NULL
    blob: BlobRef | None = None
    secrets: tuple[SecretMark, ...] = ()
    error: ErrorData | None = None
    """Why the output could not be computed."""


class WaveStarted(Event, frozen=True, omit_defaults=True):
    """Under the schedule `waves`: layer `wave` (from 0) with `count` nodes began."""

    DERIVED: ClassVar[bool] = True
    wave: int
    count: int


class WaveCompleted(Event, frozen=True, omit_defaults=True):
    """All of layer `wave` has ended."""

    DERIVED: ClassVar[bool] = True
    wave: int
    count: int


class CancelRequested(Event, frozen=True, omit_defaults=True):
    """Somebody wants the run to end: start nothing, cancel what runs, roll back. `timeout`: it was the run's own
    deadline, and the run ends as failed instead of cancelled.
    """

    by: str = ""
    reason: str = ""
    timeout: bool = False


# -- attempts -----------------------------------------------------------------------------------------------------


class AttemptStarted(PathEvent, frozen=True, omit_defaults=True):
    """An attempt began. Not recorded for `pure` nodes."""

    attempt: int = 1
    reason: str = ""


class AttemptSucceeded(PathEvent, frozen=True, omit_defaults=True):
    """An attempt ended well. The output is inline (`output`) or in a blob (`blob`)."""

    attempt: int = 1
    duration: float = 0.0
    output: Raw = NULL
    blob: BlobRef | None = None
    secrets: tuple[SecretMark, ...] = ()
    exit_code: int | None = None
    stderr: str | None = None
    reference: Raw = NULL
    """Instead of an output: rows that stay in their file, as the runtime that made them describes them."""
    reason: str = ""
    """Why no work was done for it: `cached`; else empty."""
    issue: str = ""
    """It is done, but not as it should be: makes the run `issues`."""
    undo: Undo | None = None
    """How to undo it, where the attempt itself said so."""
    used: Usage | None = None


class AttemptFailed(PathEvent, frozen=True, omit_defaults=True):
    """An attempt ended badly: it failed, timed out, or was cancelled (`error.type == "Cancelled"`).

    `agreed` is what the retry's own condition said, `draw` the random number in [0, 1) for its jitter: both decided by
    whoever acted, so that a replay decides the same.
    """

    error: ErrorData
    attempt: int = 1
    duration: float = 0.0
    agreed: bool | None = None
    draw: float = 0.0
    exit_code: int | None = None
    stderr: str | None = None
    output: Raw = NULL
    """What it gave all the same: a result that says why it is blocked."""
    used: Usage | None = None


class RetryScheduled(PathEvent, frozen=True, omit_defaults=True):
    """Attempt `attempt` will start after `delay` seconds, at Unix time `due`."""

    DERIVED: ClassVar[bool] = True
    attempt: int
    delay: float
    due: float = 0.0


class NodeSkipped(PathEvent, frozen=True, omit_defaults=True):
    """The node did not run, and why (`when is false`, `x failed`)."""

    DERIVED: ClassVar[bool] = True
    reason: str


class LimitWaited(PathEvent, frozen=True, omit_defaults=True):
    """The node was ready but had to wait for the named limit."""

    DERIVED: ClassVar[bool] = True
    limit: str
    waited: float = 0.0


# -- what was evaluated --------------------------------------------------------------------------------------------


class BudgetExhausted(PathEvent, frozen=True, omit_defaults=True):
    """The node, and those behind it, cannot start: what they are expected to use does not fit into the budget."""

    DERIVED: ClassVar[bool] = True
    lacking: str


class ChoiceMade(PathEvent, frozen=True, omit_defaults=True):
    """A condition was evaluated.

    Of a node's `when` (`when=True`): `taken` is 0 to run, -1 to skip. Of a choice: the index of the body that runs,
    -1 for none. Of a parallel with a merge expression: the merge was computed.
    """

    taken: int
    when: bool = False


class ForeachExpanded(PathEvent, frozen=True, omit_defaults=True):
    """The collection has `count` items; `digest` names it, so that another collection is noticed on resume."""

    count: int
    digest: str = ""


class ItemsFound(PathEvent, frozen=True, omit_defaults=True):
    """A collection of unknown length has at least `count` items. Not journaled: a replay sees the iterations
    themselves.
    """

    JOURNALED: ClassVar[bool] = False
    count: int


class IterationBroken(PathEvent, frozen=True, omit_defaults=True):
    """`break` was reached by the node at `path`. With `everything` (`all`), the block ends too."""

    everything: bool = False
    highest: int = -1
    """With `everything`: the highest index that had started."""


class LoopChecked(PathEvent, frozen=True, omit_defaults=True):
    """Whether the loop goes on with round `round` (from 0), and after how many seconds (of a body that failed)."""

    round: int
    go_on: bool
    delay: float = 0.0
    error: ErrorData | None = None


class EvaluationFailed(PathEvent, frozen=True, omit_defaults=True):
    """A condition, collection, loop check or merge of the node could not be evaluated: the node fails."""

    error: ErrorData


class ValueDrawn(PathEvent, frozen=True, omit_defaults=True):
    """`now`, `today`, `uuid` or `random` was called by this node for the `number`-th time (from 0) and gave `value`."""

    function: str
    number: int
    value: Raw
    purpose: str = ""
    """Which evaluation drew it: `when`, `settings`, ... The number counts within it."""


# -- blocks, decisions, undo ---------------------------------------------------------------------------------------


class BlockSucceeded(PathEvent, frozen=True, omit_defaults=True):
    """A block came to its end, with its output. Derived from its bodies; on record so that readers need no graph."""

    DERIVED: ClassVar[bool] = True
    output: Raw = NULL
    blob: BlobRef | None = None
    secrets: tuple[SecretMark, ...] = ()


class BlockFailed(PathEvent, frozen=True, omit_defaults=True):
    """A block failed because of what happened at `cause` (its own path, when it was the block itself)."""

    DERIVED: ClassVar[bool] = True
    cause: str
    error: ErrorData | None = None


class FellBack(PathEvent, frozen=True, omit_defaults=True):
    """The node failed because of what happened at `cause`, and its fallback takes over."""

    DERIVED: ClassVar[bool] = True
    cause: str


class BlockTimedOut(PathEvent, frozen=True, omit_defaults=True):
    """A block's own deadline passed: what runs inside is cancelled and the block fails."""

    error: ErrorData


class DecisionNeeded(PathEvent, frozen=True, omit_defaults=True):
    """A `once` attempt has a start and no known end: only a person can say what happened."""

    DERIVED: ClassVar[bool] = True
    attempt: int
    question: str = ""


class DecisionMade(PathEvent, frozen=True, omit_defaults=True):
    """The answer: `done` (with an output), `retry` or `fail`."""

    answer: str
    value: Raw = NULL
    by: str = ""


class CompensationStarted(PathEvent, frozen=True, omit_defaults=True):
    """The undo of a node began."""

    attempt: int = 1


class CompensationSucceeded(PathEvent, frozen=True, omit_defaults=True):
    """The undo of a node is done."""

    attempt: int = 1
    duration: float = 0.0


class CompensationFailed(PathEvent, frozen=True, omit_defaults=True):
    """The undo of a node failed. `draw` as in AttemptFailed."""

    error: ErrorData
    attempt: int = 1
    duration: float = 0.0
    draw: float = 0.0


# -- volatile: told to the scheduler, never journaled --------------------------------------------------------------


class TimerFired(PathEvent, frozen=True, omit_defaults=True):
    """A wait that the scheduler asked for is over."""

    JOURNALED: ClassVar[bool] = False


class BatchDurable(Event, frozen=True, omit_defaults=True):
    """Everything up to and with the batch before this one is on disk. `now` is a monotonic time, as for
    `close_batch`.
    """

    JOURNALED: ClassVar[bool] = False
    now: float = 0.0


class Interrupted(Event, frozen=True, omit_defaults=True):
    """Start nothing new: the process is about to leave. The run has no end and goes on when resumed."""

    JOURNALED: ClassVar[bool] = False


Journaled = (
    RunStarted
    | RunResumed
    | RunFinished
    | WaveStarted
    | WaveCompleted
    | CancelRequested
    | AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | RetryScheduled
    | NodeSkipped
    | LimitWaited
    | BudgetExhausted
    | ChoiceMade
    | ForeachExpanded
    | IterationBroken
    | LoopChecked
    | EvaluationFailed
    | ValueDrawn
    | BlockSucceeded
    | BlockFailed
    | BlockTimedOut
    | FellBack
    | DecisionNeeded
    | DecisionMade
    | CompensationStarted
    | CompensationSucceeded
    | CompensationFailed
)

_encoder = msgspec.json.Encoder()
_batch_decoder = msgspec.json.Decoder(list[Journaled])


def encode_batch(events: list[Event]) -> bytes:
    """A batch as one JSON array."""
    return _encoder.encode(events)


def decode_batch(data: bytes) -> list[Journaled]:
    """The events of a batch. Raises msgspec.DecodeError."""
    return _batch_decoder.decode(data)


def encode_event(event: Event) -> bytes:
    """One event as one JSON object without line breaks."""
    return _encoder.encode(event)
