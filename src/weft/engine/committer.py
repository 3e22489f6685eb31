"""Where the commit happens: on the loop when nothing else runs, else in one thread of its own.

In a chain the loop has nothing to do while it waits, and a hop to a thread and back costs more than a third of the
commit. In a fan-out the loop must go on. The thread is started when it is first needed: an idle second thread alone
slows down every step of a chain.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import Protocol

from weft.event_types import Event

_Job = tuple[list[Event], "asyncio.Future[None]"]


class Appends(Protocol):
    """What a journal does for us."""

    def append(self, events: list[Event]) -> None: ...


class Committer:
    """Appends batches, one at a time. `instant`: appending does not wait for a disk."""

    __slots__ = ("_instant", "_jobs", "_journal", "_thread")

    def __init__(self, journal: Appends, *, instant: bool = False) -> None:
        self._journal = journal
        self._instant = instant
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def append(self, batch: list[Event], *, alone: bool) -> None:
        """Return when the batch is durable. `alone`: nothing else could use the loop meanwhile."""
        if self._instant or alone:
            self._journal.append(batch)
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, args=(loop,), name="weft-journal", daemon=True)
            self._thread.start()
        self._jobs.put((batch, done))
        # A commit that has begun is waited for, whatever happens to us: its outcome decides what may be said.
        await asyncio.shield(done)

    def close(self) -> None:
        """End the thread after what it has to do."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._jobs.get()) is not None:
            batch, done = job
            try:
                self._journal.append(batch)
            except BaseException as error:  # handed to whoever waits for this batch
                loop.call_soon_threadsafe(_settle, done, error)
            else:
                loop.call_soon_threadsafe(_settle, done, None)


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
