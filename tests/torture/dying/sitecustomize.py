"""Loaded by every Python that has this folder on its path: ends `weft` at a commit, as KILL_AT says.

`before:N` kills the process when it is about to make its N-th commit, `after:N` when that is durable and nobody has
been told yet; `full:N` finds the disk full at it. Nothing happens without KILL_AT.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

if "KILL_AT" in os.environ and sys.argv[:1] != ["-c"]:
    from weft.journal.writing import SqliteJournal

    when, _, number = os.environ["KILL_AT"].partition(":")
    left = int(number)
    real = SqliteJournal.append

    def append(self: SqliteJournal, events: list[object]) -> None:
        global left
        left -= bool(events)
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if left == 0 and when == "full":
            self._latch(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        real(self, events)  # type: ignore[arg-type]
        if left == 0 and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    SqliteJournal.append = append  # type: ignore[method-assign]
