"""What the scheduler remembers: frames and instances.

A *frame* is one execution of one body (the top level is a frame, an iteration is a frame). An *instance* is one node
in one frame, alive from the moment its needs are met until it has ended. What has ended leaves a status byte in its
frame, and a frame that has ended leaves nothing but what its block counts: a million iterations cost a bitmap.

Both have *begun* when the journal knows of them: a start, an end, an answer is on record. What has not begun can be
withdrawn without a trace, and a replay need not know that it was there: how far ahead this scheduler looks (its
window, its slots) is nobody's business but its own. The one thing that runs and has no record is an attempt of a
`pure` node; when it matters (something is stopped around it) its start is recorded then.

They are msgspec structs because making one costs a third of what a class with slots costs, and there is one per node.
Their classes are abstract base classes, though, and asking whether something that is none of them is one is slow: what
every leaf comes by asks for its type first.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from weft.core.status import FOLLOWING, READY, STEPS, Status, Step
from weft.errors import IllegalEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weft.core.blocks import Block
    from weft.graph.model import Graph, Node
    from weft.policy import FailurePolicy


class Stop(IntEnum):
    """How far a frame was stopped. Each level includes those before it."""

    NO = 0
    FINISH = 1
    """Nothing that has not begun starts; what has begun ends normally, with its retries and its fallback."""
    CANCEL = 2
    """What runs is cancelled."""
    FORGO = 3
    """Nobody will ask for it again (the run was cancelled, a race was won): no decision is worth waiting for."""


class Frame(msgspec.Struct, eq=False):
    """One execution of one body."""

    graph: Graph
    ranks: Sequence[float]
    policy: FailurePolicy
    status: bytearray
    waiting: list[int]
    """For each node, how many of its needs have not ended."""
    left: int
    """How many nodes have not ended."""
    prefix: str = ""
    block: Block | None = None
    index: int = 0
    """Which branch, iteration or round of its block."""
    since: int = 0
    """The batch after which its first nodes may start: see ReadyQueue."""
    open: dict[int, Instance] = {}
    failed: str = ""
    """The path of the first failure that this frame's policy does not swallow."""
    stopped: Stop = Stop.NO
    broken: bool = False
    broken_at: int = -1
    """The index of the node through which a break left."""
    begun: bool = False
    ended: bool = False
    scope: object = None
    """The executor's: what is visible in here. The core never looks at it."""

    @property
    def halted(self) -> bool:
        """Nothing new starts in here."""
        return self.stopped >= Stop.FINISH

    @property
    def cancelled(self) -> bool:
        """What ran in here was told to stop."""
        return self.stopped >= Stop.CANCEL

    @property
    def succeeded(self) -> bool:
        """Whether the body came to its end (all of it, or by a break)."""
        if self.failed or self.stopped >= Stop.CANCEL:
            return False
        return self.broken or (self.left == 0 and not (self.stopped and Status.CANCELLED in self.status))


class Instance(msgspec.Struct, eq=False):
    """One node in one frame, alive."""

    frame: Frame
    index: int
    node: Node
    path: str
    status: Status = READY
    attempt: int = 0
    """The number of the current or last attempt; 0 before the first."""
    base: int = 0
    """Attempts that do not count against `retry`: those before a resume."""
    asked: str = ""
    """The evaluation it waits for: when, choice, items, loop, merge, break."""
    reason: str = "new"
    begun: bool = False
    """Of a leaf: a start is on record. Of a block: something inside has begun, or a question was answered."""
    noted: int = 0
    """The last attempt whose start is on record."""
    cancelling: bool = False
    why: str = ""
    """Why it is being cancelled."""
    holding: bool = False
    """It holds a slot (and the limits of its node)."""
    timer: bool = False
    """It waits for its retry."""
    undoable: bool = False
    """Its attempt said itself how it is undone."""
    waited: str = ""
    """The named limit that kept it waiting."""

    def step(self, step: Step) -> None:
        """Take a step of the table, or raise IllegalEvent and stay."""
        following = FOLLOWING[self.status * STEPS + step]
        if following is None:
            raise IllegalEvent(f"{self.path} is {self.status.word}: it cannot be {step.word}")
        self.status = following

    def begin(self) -> None:
        """The journal knows of it, and so of everything around it."""
        self.begun = True
        frame = self.frame
        while not frame.begun:
            frame.begun = True
            block = frame.block
            if block is None:
                return
            block.begun_inside(frame.index)
            frame = block.frame
