"""Ctrl-C and its kin, for a sitting of the command line.

The first SIGINT, SIGTERM or SIGHUP: start nothing new, give what runs its grace. The second: stop it at once. The
third: leave on the spot, as a kill would; nothing is lost by that either. A handler only sets things in motion on the
loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from weft.engine.executor import Executor

_TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Takes the signals of the process for as long as it is entered."""

    def __init__(self, executor: Executor, grace: float, notice: Callable[[int, int], None] | None = None) -> None:
        self._executor = executor
        self._grace = grace
        self._notice = notice
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self.received = 0
        """The first signal that came; 0: none."""

    def __enter__(self) -> Self:
        for number in _TAKEN:
            self._executor.loop.add_signal_handler(number, self._take, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number in _TAKEN:
            self._executor.loop.remove_signal_handler(number)

    def _take(self, number: int) -> None:
        self._count += 1
        self.received = self.received or number
        if self._notice is not None:
            self._notice(number, self._count)
        if self._count == 1:
            self._executor.interrupt()
            self._timer = self._executor.loop.call_later(self._grace, self._executor.interrupt_now)
        elif self._count == 2:
            self._executor.interrupt_now()
        else:
            os._exit(128 + number)
