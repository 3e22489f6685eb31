"""A job: a main process, its group, and what came of it."""

from __future__ import annotations

import os

from .processes import LINUX, all_children, marks, stat_of

STARTING, RUNNING, DEAD = range(3)


class Job:
    """`pipe` tells of its start; `mark` is what its processes carry in their environment."""

    __slots__ = ("deadline", "family", "id", "killed", "mark", "pid", "pipe", "state")

    def __init__(self, id: bytes, mark: bytes, pid: int, pipe: int) -> None:  # noqa: A002 - the word of the wire
        self.id = id
        self.mark = mark
        self.pid = pid
        self.pipe = pipe
        self.state = STARTING
        self.deadline = 0.0  # monotonic; 0 while nobody has asked for the end
        self.killed = 0
        self.family: set[tuple[int, bytes]] = set()  # (pid, start time) of descendants seen when it was signalled

    def remember_family(self) -> None:
        """Before a signal cuts the tree: who descends from the job now. Finds those that wiped their environment."""
        todo = [self.pid] if LINUX and self.state == RUNNING else []
        while todo:
            for child in all_children(todo.pop()):
                facts = stat_of(child)
                if facts and (child, facts[3]) not in self.family:
                    self.family.add((child, facts[3]))
                    todo.append(child)

    def owns(self, pid: int, *, alone: bool) -> bool | None:
        """Whether an orphan comes from this job: by group, session, ancestry once seen, mark, or for want of others.

        None when its marks cannot be read yet. Who is dying may still leave us children of this job.
        """
        facts = stat_of(pid)
        if facts is None:
            return False
        _, group, session, start = facts
        if self.pid in (group, session) or (pid, start) in self.family or alone:
            return True
        found = marks(pid)
        return None if found is None else self.mark in found

    def ended(self) -> tuple[bytes, int] | None:
        """How its main process has ended: `code` or `signal`, and the number; None while it lives.

        It is left a zombie where the system can do that, so that its number stays ours.
        """
        if hasattr(os, "waitid"):
            status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is None:
                return None
            return (b"code" if status.si_code == os.CLD_EXITED else b"signal"), status.si_status
        pid, code = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        return (b"code", os.WEXITSTATUS(code)) if os.WIFEXITED(code) else (b"signal", os.WTERMSIG(code))
