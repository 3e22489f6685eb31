"""Who may start now: slots, named limits, rates; and who goes first among those who may.

Only leaves hold slots, so nesting cannot deadlock: whatever holds a slot is doing work that ends by itself. A leaf
takes all it needs at once or nothing. One that is stopped by a named limit is set aside under that limit's name and
comes back when a place there is free, so that ten thousand waiting nodes are not looked at again and again.

A ready leaf lives in one of three heaps, by how safe it is to start it at once:

    fresh      became ready in the batch that is being gathered
    flying     became ready in the batch that is being committed
    ready      everything that made it ready is durable

`close_batch` starts from all of them: their start records ride in the batch. While a commit is in flight only `ready`
ones start. They need not wait for a commit in either case, unless something else guards them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from weft.budget import Ledger
from weft.core.status import READY
from weft.event_types import Usage
from weft.policy import Limit

if TYPE_CHECKING:
    from weft.core.state import Instance

Entry = tuple[float, int, int, int, "Instance"]
"""(-remaining path, place in the document, iteration index, sequence number, instance)"""

FOREVER = float("inf")
NOTHING = Usage()


class _Gate:
    """One named limit: how many hold it, when the last ones started, who waits for it."""

    __slots__ = ("_flying", "_per", "concurrency", "parked", "started", "used")

    def __init__(self, limit: Limit) -> None:
        self.concurrency = limit.concurrency
        self.used = 0
        self.parked: list[Entry] = []
        self._per = limit.per
        self._flying = 0
        self.started: deque[float] | None = None
        """When the last starts were, as many as fit into one window; None: no rate."""
        if limit.rate is not None:
            if limit.rate < 1.0:  # 0.5 per second is 1 per 2 seconds
                self._per = limit.per / limit.rate
            self.started = deque(maxlen=max(1, int(limit.rate)))

    @property
    def places(self) -> int:
        """How many starts one window has room for."""
        return 1 if self.started is None else self.started.maxlen or 1

    def wait(self, now: float) -> float:
        """0: free. Else the seconds after which it is worth asking again (FOREVER: when somebody leaves)."""
        if self.concurrency is not None and self.used >= self.concurrency:
            return FOREVER
        started = self.started
        if started is None or len(started) < self.places:
            return 0.0
        return max(0.0, started[0] + self._per - now)

    def enter(self, now: float) -> None:
        """Somebody starts."""
        self.used += 1
        if self.started is not None:
            self.started.append(now)
            self._flying += 1

    def settle(self, now: float) -> None:
        """What entered since the last commit really starts now, after it: windows are counted from here."""
        started = self.started
        if started is not None and self._flying:
            late = min(self._flying, len(started))
            for i in range(len(started) - late, len(started)):
                started[i] = max(started[i], now)
            self._flying = 0


class ReadyQueue:
    """Ready leaves in the order in which they should start, held against the limits."""

    __slots__ = ("_broke", "_flying", "_fresh", "_gates", "_ready", "_seq", "jobs", "ledger", "safe", "used")

    def __init__(self, jobs: int, limits: Mapping[str, Limit], ledger: Ledger | None = None) -> None:
        self.jobs = jobs
        self.ledger = ledger
        """The run's budget; what does not fit into it is set aside until something is settled."""
        self._broke: list[Entry] = []
        self.used = 0
        """Slots that are taken."""
        self.safe = False
        """Whether the last leaf that was given out need not wait for a commit."""
        self._gates = {name: _Gate(limit) for name, limit in limits.items()}
        self._ready: list[Entry] = []
        self._flying: list[Entry] = []
        self._fresh: list[Entry] = []
        self._seq = 0

    def __bool__(self) -> bool:
        """Whether somebody waits in here for a slot or a limit."""
        heaps = [self._ready, self._flying, self._fresh, *(gate.parked for gate in self._gates.values())]
        return any(entry[4].status is READY for heap in heaps for entry in heap)

    def push(self, instance: Instance, *, durable: bool) -> None:
        """A leaf became ready; with `durable`, by facts that are all on disk."""
        frame = instance.frame
        self._seq += 1
        entry = (-frame.ranks[instance.index], instance.node.order, frame.index, self._seq, instance)
        heappush(self._ready if durable else self._fresh, entry)

    def close(self) -> None:
        """The batch that was being gathered is being committed."""
        if self._fresh:
            self._flying, self._fresh = _merged(self._flying, self._fresh), []

    def settle(self, now: float) -> None:
        """What was being committed is durable; `now` is when that was."""
        if self._flying:
            self._ready, self._flying = _merged(self._ready, self._flying), []
        for gate in self._gates.values():
            gate.settle(now)

    def pop(self, now: float, *, early: bool) -> Instance | None:
        """The next leaf that may start, having taken its places; None when nobody may.

        With `early` only those that are ready for good, and unguarded: no `once`, no compensation, no named limit. One
        that is guarded and has the highest rank stops those behind it: it is a commit away.
        """
        while self.used < self.jobs:
            heap = self._ready
            if not early:
                if self._flying and (not heap or self._flying[0] < heap[0]):
                    heap = self._flying
                if self._fresh and (not heap or self._fresh[0] < heap[0]):
                    heap = self._fresh
            if not heap:
                return None
            instance = heap[0][4]
            if instance.status is not READY:  # it was skipped or cancelled meanwhile
                heappop(heap)
                continue
            node = instance.node
            guarded = (
                node.limits
                or node.effect == "once"
                or node.compensation is not None
                or (node.estimate is not None and self.ledger is not None)
            )
            if early and guarded:
                return None
            self.safe = heap is self._ready and not guarded
            entry = heappop(heap)
            if self.ledger is not None and not self.ledger.fits(node.estimate or NOTHING):
                heappush(self._broke, entry)
                continue
            if node.limits and self._park(entry, now):
                continue
            self._take(instance, now)
            return instance
        return None

    def leave(self, instance: Instance) -> None:
        """A leaf ended: its places are free."""
        for entry in self._broke:  # it has settled, so others may fit now
            heappush(self._fresh, entry)
        self._broke.clear()
        if not instance.holding:
            return
        instance.holding = False
        self.used -= 1
        for name in instance.node.limits:
            gate = self._gates.get(name)
            if gate is not None:
                gate.used -= 1
                self._unpark(gate)

    @property
    def broke(self) -> Instance | None:
        """The first of those for whom the budget is too small; None when there are none."""
        return next((entry[4] for entry in sorted(self._broke) if entry[4].status is READY), None)

    def reopen(self, now: float) -> None:
        """Give those who wait for a rate another look."""
        for gate in self._gates.values():
            if gate.parked and not gate.wait(now):
                self._unpark(gate)

    def next_opening(self, now: float) -> float | None:
        """Seconds after which a rate lets somebody in who waits for it; None when nobody waits for time to pass."""
        waits = [gate.wait(now) for gate in self._gates.values() if gate.parked and gate.started is not None]
        return min([wait for wait in waits if wait != FOREVER], default=None)

    def _park(self, entry: Entry, now: float) -> bool:
        """Set the leaf aside if one of its limits is closed;

        Its place under the others goes to those who wait there.
        """
        instance = entry[4]
        gates = [(name, gate) for name in instance.node.limits if (gate := self._gates.get(name)) is not None]
        closed = next(((name, gate) for name, gate in gates if gate.wait(now)), None)
        if closed is None:
            return False
        instance.waited = closed[0]
        heappush(closed[1].parked, entry)
        for _, gate in gates:
            if gate is not closed[1] and gate.parked and not gate.wait(now):
                self._unpark(gate)
        return True

    def _take(self, instance: Instance, now: float) -> None:
        instance.holding = True
        self.used += 1
        for name in instance.node.limits:
            gate = self._gates.get(name)
            if gate is not None:
                gate.enter(now)

    def _unpark(self, gate: _Gate) -> None:
        """Places are free: the first in line may ask again, as many as could start at once."""
        count = gate.places
        while gate.parked and count:
            entry = heappop(gate.parked)
            if entry[4].status is READY:
                heappush(self._fresh, entry)
                count -= 1


def _merged(heap: list[Entry], more: list[Entry]) -> list[Entry]:
    """One heap of both; the smaller is poured into the larger."""
    if len(heap) < len(more):
        heap, more = more, heap
    if len(more) * 4 > len(heap):
        heap += more
        heapify(heap)
    else:
        for entry in more:
            heappush(heap, entry)
    return heap
