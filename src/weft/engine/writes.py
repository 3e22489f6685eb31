"""Verified writes: what a task has changed in the working folder must be covered by what it says that it writes.

A folder has one state, and several tasks may change it at once. So a task answers for everything that was changed while
it ran and that nothing declared by the tasks beside it covers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from weft.runtimes.changes import changed, snapshot, undeclared, undeclared_error

if TYPE_CHECKING:
    from weft.runtimes.base import World


class Writers:
    """Which tasks run that say what they write, and what was declared beside those that are verified."""

    __slots__ = ("_beside", "_running")

    def __init__(self) -> None:
        self._running: dict[str, tuple[str, ...]] = {}
        self._beside: dict[str, set[str]] = {}

    async def watch(
        self, world: World, path: str, writes: tuple[str, ...], *, verified: bool, call: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The answer of the call. Raises AttemptError (`UndeclaredWriteError`) when it, being verified, has strayed."""
        for beside in self._beside.values():
            beside.update(writes)
        self._running[path] = writes
        try:
            return await (self._verified(world, path, writes, call) if verified else call())
        finally:
            del self._running[path]

    async def _verified(
        self, world: World, path: str, writes: tuple[str, ...], call: Callable[[], Awaitable[Any]]
    ) -> Any:
        beside = self._beside[path] = {name for others in self._running.values() for name in others}
        assert world.threads is not None
        try:
            before = await world.threads.call(snapshot, {"folder": world.folder})
            answer = await call()
            after = await world.threads.call(snapshot, {"folder": world.folder})
        finally:
            del self._beside[path]
        if strays := undeclared(changed(before, after), tuple(beside)):
            raise undeclared_error(strays, writes)
        return answer
