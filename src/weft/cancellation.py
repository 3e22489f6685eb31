"""Cancellation as a value that can be handed on: who holds a token can cancel, ask, and wait.

Cancelling a token cancels its children, never its parent. The first reason stays. All of it may be called from any
thread and from a signal handler; whoever waits in an event loop is woken there, without polling. A token is known to
its parent, and to the timer of its deadline, by a weak reference: one that nobody holds any more costs nothing, and has
no effect. A token is made for each attempt of each task, so what most of them never need is made when it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from weakref import ref

from weft.errors import Cancelled, InputError

if TYPE_CHECKING:
    import asyncio

Callback = Callable[[str | None], object]
_lock = threading.RLock()
"""One lock for all tokens: it is held for a few instructions, and a tree of locks could be taken in two orders.
Reentrant, because a signal handler or the garbage collector may come between these instructions and cancel, too.
"""


class Timer(Protocol):
    """What can be told not to go off. It may be told from any thread, and after it has gone off."""

    def cancel(self) -> None: ...


class CancellationToken:
    """Cancelled once, for good, with a reason; until then it may be waited for."""

    __slots__ = ("__weakref__", "_callbacks", "_cancelled", "_children", "_parent", "_timer", "reason")

    def __init__(self) -> None:
        self._cancelled = False
        self.reason: str | None = None
        """Why it was cancelled; None before, and when nobody said."""
        self._parent: CancellationToken | None = None
        self._children: dict[ref[CancellationToken], None] | None = None
        self._callbacks: dict[object, Callback] | None = None
        self._timer: Timer | None = None

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def child(self) -> CancellationToken:
        """A token that is cancelled with this one; cancelling it leaves this one as it is."""
        made = CancellationToken()
        # A child keeps its parent: the chain must not break while somebody waits at its end.
        made._parent = self
        with _lock:
            if not self._cancelled:
                children = self._children
                if children is None:
                    children = self._children = {}
                children[ref(made, children.pop)] = None
                return made
        made.cancel(self.reason)
        return made

    def cancel(self, reason: str | None = None) -> None:
        """Cancel it and its children; a second time changes nothing.

        The callbacks are called in the order they were added, a parent's before its children's, each one whatever the
        others raise. What they raised is raised at the end: one error as it is, several as an ExceptionGroup.
        """
        errors = []
        for call in self._end(reason):
            try:
                call(reason)
            except Exception as error:  # the next callback must be called all the same
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("callbacks of a cancelled token failed", errors)

    def _end(self, reason: str | None) -> list[Callback]:
        """Mark it and all below it as cancelled; returns whom to tell. Iterative: a chain may be long."""
        calls: list[Callback] = []
        timers: list[Timer] = []
        tokens = [self]
        with _lock:
            for token in tokens:  # grows while we go: breadth first
                tokens.extend(token._mark(reason, calls, timers))
        for timer in timers:
            timer.cancel()
        return calls

    def _mark(self, reason: str | None, calls: list[Callback], timers: list[Timer]) -> list[CancellationToken]:
        """Mark it as cancelled; returns its children. The lock is held."""
        if self._cancelled:
            return []
        self._cancelled, self.reason = True, reason
        callbacks, children, timer = self._callbacks, self._children, self._timer
        self._callbacks = self._children = self._timer = None
        if callbacks:
            calls.extend(callbacks.values())
        if timer is not None:
            timers.append(timer)
        # A child that dies meanwhile leaves the dict, not this list of its keys.
        return [child for known in list(children or ()) if (child := known()) is not None]

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
        """Return when it is cancelled, with the reason. Any number may wait, in any number of loops."""
        import asyncio

        if self._cancelled:
            return self.reason
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        forget = self.on_cancel(lambda reason: on_loop(loop, wake))
        try:
            await done
        finally:
            forget()
        return self.reason

    def deadline(
        self, seconds: float, *, timer: Callable[[float, Callable[[], None]], Timer] | None = None
    ) -> CancellationToken:
        """Cancel it after so many seconds, with the reason `deadline`; returns the token.

        A second deadline replaces the first. For one that leaves this token as it is, give it to a child:
        `token.child().deadline(5)`. In an event loop the loop's time counts, and the deadline ends with the loop;
        elsewhere a thread waits. `timer(seconds, act)` replaces both. 0 cancels at once. Raises InputError.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
            raise InputError(f"the deadline is {seconds!r}; it must be a number of seconds of 0 or more")
        if seconds == 0:
            self.cancel("deadline")
        if self._cancelled:
            return self
        started = _start(self, seconds, timer or _start_timer)
        with _lock:
            old, self._timer = self._timer, None if self._cancelled else started
            late = self._cancelled
        if old is not None:
            old.cancel()
        if late:
            started.cancel()
        return self

    def __repr__(self) -> str:
        state = f"cancelled: {self.reason}" if self._cancelled and self.reason else "cancelled"
        return f"CancellationToken({state if self._cancelled else 'not cancelled'})"


def on_loop(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    """Let a loop do something soon, from whatever thread; nothing when it is closed.

    Also from its own thread through `call_soon_threadsafe`: a signal handler runs in that thread while the loop sleeps,
    and nothing else would wake it.
    """
    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(act)
        except RuntimeError:  # closed in between
            return


class _LoopTimer:
    """A timer of an event loop that may be cancelled from any thread."""

    __slots__ = ("_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, act: Callable[[], None]) -> None:
        self._loop = loop
        self._handle = loop.call_later(seconds, act)

    def cancel(self) -> None:
        if _running_loop() is self._loop:
            self._handle.cancel()
        else:
            on_loop(self._loop, self._handle.cancel)


def _start(token: CancellationToken, seconds: float, timer: Callable[[float, Callable[[], None]], Timer]) -> Timer:
    """A timer that cancels the token, and that is cancelled when nobody holds the token any more."""
    started: list[Timer] = []

    def act() -> None:
        held = known()
        if held is not None:
            held.cancel("deadline")

    def drop(_: object) -> None:
        for each in started:
            each.cancel()

    known = ref(token, drop)
    started.append(timer(seconds, act))
    return started[0]


def _start_timer(seconds: float, act: Callable[[], None]) -> Timer:
    loop = _running_loop()
    if loop is not None:
        return _LoopTimer(loop, seconds, act)
    waiting = threading.Timer(seconds, act)
    waiting.daemon = True
    waiting.start()
    return waiting


def _running_loop() -> asyncio.AbstractEventLoop | None:
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
