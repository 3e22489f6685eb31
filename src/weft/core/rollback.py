"""Rollback: run the compensations of what was done, in reverse order of completion, one after the other.

(H. Garcia-Molina, K. Salem, "Sagas", 1987.) A node that was started and never ended well is undone too, and first, as
its effect may have happened; its compensation must bear "nothing to undo". One that fails for good is reported and
stops nobody.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from weft import event_types as events
from weft.commands import Compensate
from weft.core.status import Status
from weft.errors import IllegalEvent
from weft.policy import Rollback

if TYPE_CHECKING:
    from weft.core.state import Frame, Instance


class Undo:
    """What is to be undone, and how far that has come."""

    __slots__ = (
        "_attempt",
        "_delay",
        "_failures",
        "_list",
        "_policy",
        "failed",
        "rolled_back",
        "running",
        "status",
        "stopped",
    )

    def __init__(self, policy: Rollback) -> None:
        self._policy = policy
        self._list: list[tuple[Instance, bool]] = []
        self._failures: list[Instance] = []
        self.stopped: list[Instance] = []
        """What ended unfinished in the event that is being handled."""
        self._attempt = 0
        self._delay = 0.0
        self.running = False
        self.status = ""
        """What the run ends as when the rollback is over."""
        self.rolled_back: list[str] = []
        self.failed: list[str] = []

    def register(self, instance: Instance, *, completed: bool) -> None:
        """The instance has ended; it has a compensation."""
        if self._policy == "none":
            return
        if completed:
            self._list.append((instance, completed))
        else:
            self.stopped.append(instance)

    def settle(self) -> None:
        """The event has been handled. What it stopped counts as stopped from the inside out, and in document order.

        The order in which the scheduler came to it would depend on what else it found there that had not begun: on its
        window and its slots, which a replay must not.
        """
        self._list += [(instance, False) for instance in sorted(self.stopped, key=_inside_out)]
        self.stopped.clear()

    def failed_at(self, instance: Instance) -> None:
        """A failure began here, and nothing around it swallows that yet."""
        if self._policy == "dependencies":
            self._failures.append(instance)

    def begin(self, status: str, root: Frame) -> bool:
        """The run ends as `status`: whether there is anything to undo."""
        self.settle()
        entries = self._list
        if self._policy == "dependencies" and status == "failed":
            causes = [i for i in self._failures if root.status[_way(i)[0][1]] == Status.FAILED]
            entries = [entry for entry in entries if any(_prerequisite(entry[0], cause) for cause in causes)]
        completed = [entry for entry in entries if entry[1]]
        self._list = completed + [entry for entry in entries if not entry[1]]
        self.status = status
        self.running = bool(self._list)
        return self.running

    def next(self) -> Compensate | None:
        """The next compensation to run, or None when the rollback is over."""
        if not self._list:
            self.running = False
            return None
        instance, completed = self._list[-1]
        return Compensate(instance, self._attempt + 1, completed, self._delay)

    def handle(self, event: events.PathEvent) -> bool:
        """Take in a fact about a compensation; True when another command is due.

        A retry does not ask whether the error is worth one: that the effect stays is worse than a try too many.
        """
        if not self.running or self._list[-1][0].path != event.path:
            raise IllegalEvent(f"{event.path} is not being compensated")
        match event:
            case events.CompensationSucceeded():
                self.rolled_back.append(event.path)
            case events.CompensationFailed():
                retry = self._list[-1][0].node.compensation_retry
                if event.attempt < retry.max_attempts:
                    self._attempt = event.attempt
                    self._delay = retry.delay(event.attempt, event.error, event.draw)
                    return True
                self.failed.append(event.path)
            case _:
                return False
        self._list.pop()
        self._attempt = 0
        self._delay = 0.0
        return True

    @property
    def left(self) -> list[tuple[str, bool]]:
        """What is still to be undone, the next one last: path, and whether it had completed."""
        return [(instance.path, completed) for instance, completed in self._list]


def _way(instance: Instance) -> list[tuple[Frame, int]]:
    """Where the instance is: frame and index, from the top level inwards."""
    way = [(instance.frame, instance.index)]
    while (block := instance.frame.block) is not None:
        instance = block
        way.append((instance.frame, instance.index))
    return way[::-1]


def _inside_out(instance: Instance) -> list[tuple[float, float]]:
    return [*((frame.index, index) for frame, index in _way(instance)), (inf, inf)]


def _prerequisite(instance: Instance, cause: Instance) -> bool:
    """Whether `cause` needed the instance, directly or not, or is it, or lies in it."""
    for (frame, i), (other, j) in zip(_way(instance), _way(cause), strict=False):
        if frame is not other:
            return False
        if i != j:
            return i in _needed(frame, j)
    return True


def _needed(frame: Frame, index: int) -> set[int]:
    """Indexes of everything the node needs, directly or not."""
    stack = [index]
    seen: set[int] = set()
    while stack:
        for need in frame.graph.needs[stack.pop()]:
            if need not in seen:
                seen.add(need)
                stack.append(need)
    return seen
