"""Room for one more process: a shortage of them, or of descriptors, lowers the concurrency and fails no attempt."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from weft.errors import AttemptError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Started = TypeVar("Started")


class Room:
    """Whoever finds none waits, in order of arrival, until another has left."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._busy = 0

    async def enter(self, start: Callable[[], Awaitable[Started]]) -> Started:
        """`start()`, and again when it found no descriptor or process left and another child has ended meanwhile.

        What was started counts as busy until `leave`. Raises what `start` raises; `Resources` only when no other child
        is busy.
        """
        tried = False
        try:
            while True:
                if tried or self._waiting:
                    await self._turn()
                tried = True
                self._busy += 1
                try:
                    return await start()
                except AttemptError as error:
                    self._busy -= 1
                    if error.type != "Resources" or not self._busy:
                        raise
                except BaseException:
                    self._busy -= 1
                    raise
        except BaseException:
            self._wake_one()
            raise

    def leave(self) -> None:
        """A child that was busy is gone, and what it held is free."""
        self._busy -= 1
        self._wake_one()

    async def _turn(self) -> None:
        if not self._busy:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
