"""Finishing what was begun, although we are cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def through_cancellation(work: Coroutine[Any, Any, None], hurry: asyncio.Event | None = None) -> None:
    """Finish `work` although we are cancelled, however often; each further cancellation sets `hurry`.

    Raises CancelledError afterwards when there was one. Call it inside `except CancelledError` for cleaning up.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
            if hurry is not None:
                hurry.set()
    task.result()
    if cancelled:
        raise asyncio.CancelledError
