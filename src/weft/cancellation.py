"""Cancellation as a value that can be handed on: who holds a token can cancel, ask, and wait.

Cancelling a token cancels its children, never its parent. The first reason stays. All of it may be called from any
thread; whoever waits in an event loop is woken there, without polling. Children are known by weak references: one that
nobody holds any more costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from weft.errors import Cancelled, InputError

Callback = Callable[[str | None], object]
_lock = threading.Lock()
"""One lock for all tokens: it is held for a few instructions, and a tree of locks could be taken in two orders."""


class CancellationToken:
    """Cancelled once, for good, with a reason; until then it may be waited for."""

    __slots__ = ("__weakref__", "_callbacks", "_cancelled", "_children", "_parent", "_timer", "reason")

    def __init__(self) -> None:
        self._cancelled = False
        self.reason: str | None = None
        """Why it was cancelled; None before, and when nobody said."""
        self._parent: CancellationToken | None = None
        self._children: WeakSet[CancellationToken] | None = None
        self._callbacks: dict[object, Callback] | None = None
        self._timer: threading.Timer | Any = None

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def child(self) -> CancellationToken:
        """A token that is cancelled with this one; cancelling it leaves this one as it is."""
        made = CancellationToken()
        made._parent = self  # a child keeps its parent: the chain must not break while somebody waits at its end
        with _lock:
            if not self._cancelled:
                if self._children is None:
                    self._children = WeakSet()
                self._children.add(made)
                return made
        made.cancel(self.reason)
        return made

    def cancel(self, reason: str | None = None) -> None:
        """Cancel it and its children; a second time changes nothing."""
        calls: list[Callback] = []
        with _lock:
            stack = [self]
            while stack:
                token = stack.pop()
                if token._cancelled:
                    continue
                token._cancelled, token.reason = True, reason
                stack.extend(token._children or ())
                calls.extend((token._callbacks or {}).values())
                token._children = token._callbacks = None
                timer, token._timer = token._timer, None
                if timer is not None:
                    timer.cancel()
        for call in calls:
            call(reason)

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled, with the reason, when it was cancelled."""
        if self._cancelled:
            raise Cancelled(self.reason)

    def on_cancel(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(reason)` when it is cancelled, in the thread that cancels; at once when it is already.

        Returns what takes that back.
        """
        key = object()
        with _lock:
            if not self._cancelled:
                if self._callbacks is None:
                    self._callbacks = {}
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback(self.reason)
        return lambda: None

    def _forget(self, key: object) -> None:
        with _lock:
            if self._callbacks is not None:
                self._callbacks.pop(key, None)

    async def wait_cancelled(self) -> str | None:
        """Return when it is cancelled, with the reason."""
        import asyncio

        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        def tell(reason: str | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(wake)

        forget = self.on_cancel(tell)
        try:
            await done
        finally:
            forget()
        return self.reason

    def deadline(self, seconds: float) -> CancellationToken:
        """Cancel it after so many seconds, with the reason `deadline`; returns the token. A second one replaces the
        first.

        In an event loop the loop's time counts, elsewhere a thread waits. Raises InputError.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
            raise InputError(f"the deadline is {seconds!r}; it must be a number of seconds of 0 or more")
        timer = _timer(seconds, lambda: self.cancel("deadline"))
        with _lock:
            old, self._timer = self._timer, timer
            late = self._cancelled
        if old is not None:
            old.cancel()
        if late:
            timer.cancel()
        return self

    def __repr__(self) -> str:
        state = f"cancelled: {self.reason}" if self._cancelled else "not cancelled"
        return f"CancellationToken({state})"


def _timer(seconds: float, act: Callable[[], None]) -> Any:
    import asyncio

    try:
        return asyncio.get_running_loop().call_later(seconds, act)
    except RuntimeError:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        return timer
