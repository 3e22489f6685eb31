"""Time that does not pass unless it is told to."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class FakeClock:
    """A clock that stands still until it is moved. Both times, as `weft.clock.Clock` wants them.

    `run` drives a coroutine in an event loop that lives in this time: where it would sleep until its next timer, the
    clock jumps there instead. `patience` is how long (in real seconds) it waits before each jump, for what threads and
    child processes may still do; 0 suits what is purely asynchronous. A run of a workflow in such a loop has this time
    in its events.
    """

    def __init__(self, start: float = 1_700_000_000.0, *, patience: float = 0.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self.patience = patience

    def now(self) -> float:
        """Unix time, in seconds."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError when it would go back."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        self._elapsed += seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run(main)`, in this clock's time."""
        import asyncio
        import selectors

        clock = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
                if timeout is None:  # no timer to jump to: only the world can go on
                    return super().select(None)
                ready = super().select(min(timeout, clock.patience))
                if not ready and timeout > 0:
                    clock.advance(timeout)
                return ready

        class Loop(asyncio.SelectorEventLoop):
            weft_clock = clock
            """Runs in this loop take their times from it."""

            def time(self) -> float:
                return clock.monotonic()

        with asyncio.Runner(loop_factory=lambda: Loop(Selector())) as runner:
            return runner.run(main)
