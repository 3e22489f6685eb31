"""Blocks: what opens their bodies, what ends them, and which failure of a body is theirs.

Each kind answers the same few questions; the scheduler asks them and knows no kind by name:

    open          the block may begin
    answered      what was asked (a choice, a count, a round) is known
    refill        open more bodies where there is room
    frame_ended   one body has ended
    doomed_by     this body has failed: will the block surely fail?
    finished      is there nothing more to come, once no body is live?
    asks_last     one more question before it is done (a merge)?
    value_of      which node's output is the value of a body that has ended?
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from weft import event_types as events
from weft.core.state import Frame, Instance, Stop
from weft.core.status import Status
from weft.errors import IllegalEvent

if TYPE_CHECKING:
    from weft.core.lifecycle import Lifecycle


class Block(Instance, eq=False):
    """An instance that holds frames."""

    live: dict[int, Frame] = msgspec.field(default_factory=dict)
    """Bodies that have not ended, by branch, iteration or round."""
    failed: str = ""
    """The path of the first failure inside that is the block's own."""
    error: bool = False
    """The block itself failed (its deadline, its collection)."""
    halted: bool = False
    """Stopped from outside: nothing new begins in it."""
    complete: bool = False
    """Its body came to its end."""
    since: int = 0
    """The batch in which it could open."""

    @property
    def inside(self) -> str:
        """What the paths of a body that runs once begin with."""
        return f"{self.path}/" if self.node.prefixes else self.frame.prefix

    @property
    def waits(self) -> bool:
        """Nothing in it is alive, and yet it is not over."""
        return False

    def open(self, s: Lifecycle) -> None:
        """Begin."""
        raise NotImplementedError

    def answered(self, s: Lifecycle, event: events.PathEvent) -> None:
        """Take in the answer. Raises IllegalEvent, with nothing changed, when it answers something else."""
        raise IllegalEvent(f"{self.path} asked nothing that {type(event).__name__} answers")

    def refill(self, s: Lifecycle) -> None:
        """Nothing to open."""

    def frame_ended(self, s: Lifecycle, frame: Frame) -> None:
        """The body came to its end, failed, or was stopped."""
        self.complete = self.complete or frame.succeeded
        if frame.failed:
            self.failed = self.failed or frame.failed

    def doomed_by(self, frame: Frame) -> bool:
        """One body, one fate."""
        return True

    def finished(self) -> bool:
        """Whether it has come to its end."""
        return self.complete and not self.asked

    def asks_last(self, s: Lifecycle) -> bool:
        """Nothing to ask."""
        return False

    def value_of(self, frame: Frame) -> tuple[bool, int]:
        """Whether the body has a value, and the index of the node whose output that is (-1: null)."""
        if frame.broken or not frame.succeeded:
            return False, -1
        return True, frame.graph.last

    def begun_inside(self, index: int) -> None:
        """Something in the body `index` has begun."""
        self.begun = True


class Group(Block, eq=False):
    """One body, once."""

    def open(self, s: Lifecycle) -> None:
        s.open_frame(self, self.node.bodies[0], self.inside)


class Choice(Block, eq=False):
    """One of several bodies, or none."""

    def open(self, s: Lifecycle) -> None:
        s.ask(self, "choice")

    def answered(self, s: Lifecycle, event: events.PathEvent) -> None:
        if not isinstance(event, events.ChoiceMade) or not -1 <= event.taken < len(self.node.bodies):
            raise IllegalEvent(f"{self.path} has no such body")
        self.asked = ""
        if event.taken >= 0:
            s.open_frame(self, self.node.bodies[event.taken], self.inside, event.taken)
        else:
            self.complete = True


class Parallel(Block, eq=False):
    """All bodies at once, at most `concurrency` of them live; ends when `wait` of them have succeeded (None: all)."""

    unopened: deque[int] = msgspec.field(default_factory=deque)
    over: int = 0
    """Branches that ended with a value, or with a null that `continue` allows."""
    failing: set[int] = msgspec.field(default_factory=set)
    winners: list[int] = msgspec.field(default_factory=list)
    """Branches that succeeded, in order of completion."""
    merged: bool = False

    @property
    def needed(self) -> int | None:
        """How many branches must succeed; None: each must end as its policy allows."""
        wait = self.node.wait
        return None if wait is None else min(wait, len(self.node.bodies))

    @property
    def won(self) -> bool:
        """It has what it waits for."""
        needed = self.needed
        return needed is not None and len(self.winners) >= needed

    def open(self, s: Lifecycle) -> None:
        silent = [i for i, body in enumerate(self.node.bodies) if body.silent]
        self.unopened.extend([i for i in range(len(self.node.bodies)) if i not in silent])
        for index in silent:  # nothing runs in there, so no bound applies: another one would change who wins
            self.open_branch(s, index)
        self.refill(s)

    def refill(self, s: Lifecycle) -> None:
        most = self.node.concurrency or len(self.node.bodies)
        while self.unopened and len(self.live) < most and not self.won:
            self.open_branch(s, self.unopened.popleft())

    def open_branch(self, s: Lifecycle, index: int) -> None:
        """Begin one branch."""
        s.open_frame(self, self.node.bodies[index], self.inside, index, self.since)

    def frame_ended(self, s: Lifecycle, frame: Frame) -> None:
        if self.won:
            return
        if frame.failed:
            self._failed(s, frame)
        elif frame.succeeded:
            self.over += 1
            self.winners.append(frame.index)
            if self.won:
                s.stop_bodies(self, f"{self.path} has what it waits for", Stop.FORGO)

    def _failed(self, s: Lifecycle, frame: Frame) -> None:
        if self.doomed_by(frame):
            self.failed = self.failed or frame.failed
            level = Stop.CANCEL if frame.policy == "cancel" else Stop.FINISH
            s.stop_bodies(self, f"{self.failed} failed", level)
        elif self.node.wait is None:
            self.over += 1
            s.issues = True

    def doomed_by(self, frame: Frame) -> bool:
        needed = self.needed
        if needed is None:
            return frame.policy != "continue"
        self.failing.add(frame.index)
        return not self.won and len(self.node.bodies) - len(self.failing) < needed

    def finished(self) -> bool:
        return not self.asked and (self.won or (self.node.wait is None and self.over == len(self.node.bodies)))

    def asks_last(self, s: Lifecycle) -> bool:
        if not self.node.merges or self.merged:
            return False
        s.ask(self, "merge")
        return True

    def answered(self, s: Lifecycle, event: events.PathEvent) -> None:
        if not isinstance(event, events.ChoiceMade):
            raise IllegalEvent(f"{self.path} asked for its merge")
        self.asked = ""
        self.merged = True


class Foreach(Block, eq=False):
    """A body per item; at most `concurrency` iterations are live."""

    count: int | None = None
    found: int = 0
    """Items known to exist, while their count is not."""
    following: int = 0
    """The lowest index that was never opened."""
    beyond: set[int] = msgspec.field(default_factory=set)
    """Opened indexes above that: only a replay, whose window may have been another, has any."""
    done: bytearray = msgspec.field(default_factory=bytearray)
    """A bit for each iteration that has ended."""
    over: int = 0
    """Iterations that came to their end (or failed, and `continue` allows that)."""
    highest: int = -1
    """The highest index that has begun."""
    stop: int | None = None
    """After a break of the whole block: indexes from here on never start."""

    @property
    def size(self) -> int:
        """How many items the output list has: all of them, or up to the last that began before a break."""
        if self.stop is not None:
            return self.stop
        return self.count if self.count is not None else self.found

    @property
    def window(self) -> int:
        """How many iterations may be live."""
        return self.node.concurrency or 1

    @property
    def wanted(self) -> int:
        """How many items would be of use now."""
        return self.following + max(1, self.window - len(self.live))

    def open(self, s: Lifecycle) -> None:
        s.ask(self, "items")

    def answered(self, s: Lifecycle, event: events.PathEvent) -> None:
        if self.count is not None:
            raise IllegalEvent(f"{self.path} has its items already")
        if isinstance(event, events.ItemsFound):
            if event.count <= self.found:
                raise IllegalEvent(f"{self.path}: no new items were found")
            self.found = event.count
        elif isinstance(event, events.ForeachExpanded):
            if event.count <= self._last_opened:
                raise IllegalEvent(f"{self.path}[{self._last_opened}] has started, of {event.count} items")
            self.count = event.count
        else:
            raise IllegalEvent(f"{self.path} asked for its items")
        self.asked = ""
        self.since = s.batch

    def refill(self, s: Lifecycle) -> None:
        """A replay opens what has begun and nothing else; but a body in which nothing can begin has no events."""
        if self.stop is not None or (s.replaying and not self.node.bodies[0].silent):
            return
        window = self.window
        known = self.size
        while len(self.live) < window and self.following < known:
            self._open_at(s, self.following)
        if self.count is None and not self.asked and len(self.live) < window and not s.replaying:
            s.ask(self, "items")

    def open_index(self, s: Lifecycle, index: int) -> None:
        """A replay met an event of this iteration: it had been opened."""
        if index in self.live or self.is_done(index) or (self.count is not None and index >= self.count):
            raise IllegalEvent(f"{self.path}[{index}] cannot start")
        if self.node.bodies[0].silent:
            raise IllegalEvent(f"{self.path}: nothing can happen in there")
        if self.stop is not None or self.halted or self.asked not in ("", "items"):
            raise IllegalEvent(f"{self.path} starts no more iterations")
        if self.count is None:
            self.found = max(self.found, index + 1)
        self._open_at(s, index)

    def frame_ended(self, s: Lifecycle, frame: Frame) -> None:
        self._mark_done(frame.index)
        if frame.failed:
            if self.doomed_by(frame):
                self.failed = self.failed or frame.failed
                return
            self.over += 1
            s.issues = True
        elif frame.succeeded:
            self.over += 1

    def doomed_by(self, frame: Frame) -> bool:
        return frame.policy != "continue"

    def finished(self) -> bool:
        return self.stop is not None or (self.count is not None and self.over >= self.count)

    def begun_inside(self, index: int) -> None:
        self.begun = True
        if index > self.highest:
            self.highest = index

    @property
    def _last_opened(self) -> int:
        return max(self.beyond, default=self.following - 1)

    def _open_at(self, s: Lifecycle, index: int) -> None:
        if index == self.following:
            self.following += 1
            while self.following in self.beyond:
                self.beyond.discard(self.following)
                self.following += 1
        else:
            self.beyond.add(index)
        # items of a concurrent foreach do not wait for each other: not for the commit of another's end, either
        since = self.since if self.window > 1 else None
        s.open_frame(self, self.node.bodies[0], f"{self.path}[{index}]/", index, since)

    def is_done(self, index: int) -> bool:
        """Whether the iteration has ended."""
        byte = index >> 3
        return byte < len(self.done) and bool(self.done[byte] & (1 << (index & 7)))

    def _mark_done(self, index: int) -> None:
        byte = index >> 3
        if byte >= len(self.done):
            self.done.extend(bytes(byte + 1 - len(self.done) + (len(self.done) >> 1)))
        self.done[byte] |= 1 << (index & 7)


class Loop(Block, eq=False):
    """A body again and again, asked before each round."""

    round: int = 0

    def open(self, s: Lifecycle) -> None:
        s.ask(self, "loop")

    def answered(self, s: Lifecycle, event: events.PathEvent) -> None:
        if not isinstance(event, events.LoopChecked) or event.round != self.round:
            raise IllegalEvent(f"{self.path} is at round {self.round}")
        self.asked = ""
        if event.error is not None:
            self.error = True
        elif event.go_on:
            s.open_frame(self, self.node.bodies[0], f"{self.path}[{self.round}]/", self.round)
        else:
            self.complete = True

    def frame_ended(self, s: Lifecycle, frame: Frame) -> None:
        if frame.failed:
            if self.doomed_by(frame):
                self.failed = self.failed or frame.failed
                return
            s.issues = True
        self.round += 1
        if frame.broken:
            self.complete = True
        elif not (self.error or self.halted or self.cancelling):
            s.ask(self, "loop")

    def doomed_by(self, frame: Frame) -> bool:
        return frame.policy != "continue"

    def value_of(self, frame: Frame) -> tuple[bool, int]:
        """A round that was broken off has the value of the last node that had succeeded in it.

        Where there is none (the break came first), the value of the loop stays what the rounds before made it: (True,
        -1).
        """
        if not frame.broken or not frame.succeeded:
            return super().value_of(frame)
        nodes = frame.graph.nodes
        for i in range(frame.broken_at - 1, -1, -1):
            if frame.status[i] == Status.SUCCEEDED and nodes[i].kind != "break":
                return True, i
        return True, -1


class Retrying(Block, eq=False):
    """A body, and again when it has failed, as often and as late as its policy says.

    A leaf has retries of its own; this is for what holds other nodes. Each round has its own paths. Whoever acts looks
    at the error and says in a LoopChecked whether there is another round and after which delay.
    """

    round: int = 0
    last_failed: str = ""
    """The path of the failure of the last round."""

    @property
    def waits(self) -> bool:
        return bool(self.asked) or self.timer

    def open(self, s: Lifecycle) -> None:
        self.open_round(s)

    def open_round(self, s: Lifecycle) -> None:
        """Begin the present round."""
        s.open_frame(self, self.node.bodies[0], f"{self.path}[{self.round}]/", self.round)

    def frame_ended(self, s: Lifecycle, frame: Frame) -> None:
        self.complete = frame.succeeded
        if frame.failed:
            self.last_failed = frame.failed
            self.round += 1
            if not (self.error or self.halted):
                s.ask(self, "loop")
                return
        self.halt()

    def halt(self) -> None:
        """No other round begins: when it was stopped between two, it has failed of the last."""
        if not (self.complete or self.cancelling or self.error):
            self.failed = self.last_failed

    def answered(self, s: Lifecycle, event: events.PathEvent) -> None:
        if not isinstance(event, events.LoopChecked) or event.round != self.round:
            raise IllegalEvent(f"{self.path} is at round {self.round}")
        self.asked = ""
        if event.go_on:
            s.wait_for_round(self, event)
        else:
            self.failed = self.last_failed

    def doomed_by(self, frame: Frame) -> bool:
        return False


class Fallen(Block, eq=False):
    """A node that failed and runs its fallback: its body's value becomes the node's output."""

    cause: str = ""
    """The path of the failure that the fallback is for."""

    def open(self, s: Lifecycle) -> None:
        fallback = self.node.fallback
        assert fallback is not None
        s.open_frame(self, fallback, self.inside)


KINDS: dict[str, type[Block]] = {
    "group": Group,
    "choice": Choice,
    "parallel": Parallel,
    "foreach": Foreach,
    "loop": Loop,
    "retry": Retrying,
}
"""The block of each node kind that holds bodies."""
