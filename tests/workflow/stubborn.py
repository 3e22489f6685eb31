"""A task that does not obey."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


def never_ending(free: list[bool]) -> Callable[[], Awaitable[None]]:
    """A function that catches every cancellation, until `free` has something in it."""

    async def stubborn() -> None:
        while not free:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    return stubborn
