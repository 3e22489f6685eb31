"""The status of one node instance, and every step it may take: one literal table.

The diagram in `docs/lifecycle.md` is made from it; a step that is not in it is an `IllegalEvent`.
"""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Where a node instance stands. Ordered: everything from SUCCEEDED on has ended."""

    PENDING = 0
    READY = 1
    RUNNING = 2
    WAITING = 3
    SUCCEEDED = 4
    FAILED = 5
    SKIPPED = 6
    CANCELLED = 7

    @property
    def word(self) -> str:
        """The status as users see it."""
        return self.name.lower()


class Step(IntEnum):
    """What may happen to a node instance."""

    NEEDS_MET = 0
    STARTED = 1
    SUCCEEDED = 2
    FAILED = 3
    RETRIED = 4
    FELL_BACK = 5
    SKIPPED = 6
    CANCELLED = 7
    WITHDRAWN = 8
    LOST = 9
    OUTCOME_UNKNOWN = 10
    DECIDED_DONE = 11
    DECIDED_RETRY = 12
    DECIDED_FAIL = 13

    @property
    def word(self) -> str:
        """The step as the diagram shows it."""
        return self.name.lower().replace("_", " ")


TRANSITIONS: dict[tuple[Status, Step], Status] = {
    (Status.PENDING, Step.NEEDS_MET): Status.READY,
    (Status.PENDING, Step.SKIPPED): Status.SKIPPED,
    (Status.READY, Step.STARTED): Status.RUNNING,
    (Status.READY, Step.SKIPPED): Status.SKIPPED,
    (Status.READY, Step.FAILED): Status.FAILED,  # its condition could not be evaluated
    (Status.READY, Step.FELL_BACK): Status.RUNNING,  # likewise
    (Status.READY, Step.CANCELLED): Status.CANCELLED,  # between two attempts
    (Status.READY, Step.WITHDRAWN): Status.PENDING,  # as if its needs had never been met
    (Status.RUNNING, Step.SUCCEEDED): Status.SUCCEEDED,
    (Status.RUNNING, Step.FAILED): Status.FAILED,
    (Status.RUNNING, Step.RETRIED): Status.READY,
    (Status.RUNNING, Step.FELL_BACK): Status.RUNNING,
    (Status.RUNNING, Step.SKIPPED): Status.SKIPPED,  # the step itself said so
    (Status.RUNNING, Step.CANCELLED): Status.CANCELLED,
    (Status.RUNNING, Step.WITHDRAWN): Status.PENDING,  # a block in which nothing had begun
    (Status.RUNNING, Step.LOST): Status.READY,  # the engine went away before it ended
    (Status.RUNNING, Step.OUTCOME_UNKNOWN): Status.WAITING,
    (Status.WAITING, Step.DECIDED_DONE): Status.SUCCEEDED,
    (Status.WAITING, Step.DECIDED_RETRY): Status.READY,
    (Status.WAITING, Step.DECIDED_FAIL): Status.FAILED,
    (Status.WAITING, Step.FELL_BACK): Status.RUNNING,  # decided: it failed, and it has a fallback
    (Status.WAITING, Step.CANCELLED): Status.CANCELLED,
}

STEPS = len(Step)
FOLLOWING: list[Status | None] = [TRANSITIONS.get((status, step)) for status in Status for step in Step]
"""The same table by `status * STEPS + step`: the hash of a member of an enum is a function call."""

READY, RUNNING = Status.READY, Status.RUNNING
STARTED, SUCCEEDED = Step.STARTED, Step.SUCCEEDED
"""What every attempt comes by: reading a member of an enum off its class costs more than taking a step."""


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> pending"]
    lines += [f"    {a.word} --> {b.word}: {step.word}" for (a, step), b in TRANSITIONS.items()]
    final = [s for s in Status if not any(a is s for a, _ in TRANSITIONS)]
    return "\n".join(lines + [f"    {s.word} --> [*]" for s in final]) + "\n"
