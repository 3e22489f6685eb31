"""The loop of the keeper, and all of its state: what the engine wishes, and what the kernel tells of children."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import os
import select
import sys
import time

from .becoming import Order, become
from .jobs import DEAD, RUNNING, STARTING, Job
from .processes import MARKER, PR_SET_CHILD_SUBREAPER, direct_children, kill, kill_group, load_prctl, reaped
from .wire import Wire, close_all, framed

PATIENCE = 5.0
"""Seconds to wait for killed processes before a job is given up as stuck."""
TICK = 20
"""Milliseconds between looks at a job that is being ended: a stray may come to us without a signal."""


class Keeper:
    """`channel` is the engine's socket, `engine` its process, `lock` the file to hold while children live, if any."""

    def __init__(self, channel: int, engine: int, token: bytes, lock: str) -> None:
        self.poll = select.poll()
        self.channel = channel
        self.wire = Wire(channel, self.poll)
        self.engine = engine
        inherited = os.environb.get(MARKER)
        self.token = inherited + b"/" + token if inherited else token
        self.prctl = load_prctl()
        self.pid = os.getpid()
        self.jobs: dict[bytes, Job] = {}
        self.mains: dict[int, Job] = {}
        self.pipes: dict[int, Job] = {}
        self.stuck: set[int] = set()
        self.wake = self.watch_children()
        self.pidfd = self.watch_engine()
        if self.prctl:
            self.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.lock = take_lock(lock, engine, token) if lock else -1

    def watch_children(self) -> int:
        """A descriptor that becomes readable on SIGCHLD. Signals for the engine's sake are not ours."""
        wake, bell = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(bell, False)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
            _signal.signal(number, _signal.SIG_IGN)
        _signal.signal(_signal.SIGCHLD, lambda number, frame: None)
        _signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        self.poll.register(wake, select.POLLIN)
        return wake

    def watch_engine(self) -> int:
        """A descriptor that becomes readable when the engine dies, for the case that a fork of it holds the socket."""
        try:
            pidfd = os.pidfd_open(self.engine)
        except (AttributeError, OSError):
            return -1
        self.poll.register(pidfd, select.POLLIN)
        return pidfd

    # -- the loop ---------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Until the engine is gone."""
        while os.getppid() == self.engine:
            ending = any(job.deadline for job in self.jobs.values())
            events = self.poll.poll(TICK if ending else (None if self.pidfd >= 0 else 1000))
            for fd, event in events:
                if not self.attend(fd, event):
                    return
            if events or ending:
                self.tend()

    def attend(self, fd: int, event: int) -> bool:
        """See to a descriptor that has something to say; False when the engine is gone."""
        if fd == self.pidfd:
            return False
        if fd == self.wake:
            drain(self.wake)
        elif fd in self.pipes:
            self.launched(self.pipes[fd])
        elif fd == self.channel:
            if event & select.POLLOUT and not self.wire.flush():
                return False
            if event & ~select.POLLOUT:
                return self.listen()
        return True

    def listen(self) -> bool:
        """Do what the engine wishes; False when it is gone."""
        if not self.wire.receive():
            return False
        for fields in self.wire.frames():
            self.obey(fields)
        return True

    def obey(self, fields: list[bytes]) -> None:
        word, name = fields[0], fields[1]
        if word == b"spawn":
            self.spawn(name, Order(fields))
            return
        job = self.jobs.get(name)
        if word == b"signal" and job:
            job.remember_family()
            kill_group(job.pid, int(fields[2]))
            if int(fields[2]) != _signal.SIGKILL:
                kill_group(job.pid, _signal.SIGCONT)  # a stopped process does not see the signal otherwise
        elif word == b"end" and job:
            job.remember_family()
            job.deadline = job.deadline or time.monotonic() + PATIENCE
        elif word == b"end":
            self.wire.send(b"gone", name, b"0", b"0")

    # -- starting ---------------------------------------------------------------------------------------------------

    def spawn(self, name: bytes, order: Order) -> None:
        """Start the main process of a job; `launched` tells what came of it."""
        given = self.wire.take_descriptors(len(order.targets))
        if given is None:
            self.refuse(name, b"descriptors", errno.EMFILE)
            return
        order.environment[MARKER] = mark = self.token + b"." + name
        try:
            pipe, report = os.pipe()
        except OSError as error:
            close_all(given)
            self.refuse(name, b"descriptors", error.errno)
            return
        try:
            if os.getppid() != self.engine:
                return  # the engine died after it had asked: nothing may start any more
            pid = os.fork()
            if pid == 0:
                become(order, given, report, self.pid, self.prctl)
        except OSError as error:
            os.close(pipe)
            self.refuse(name, b"fork", error.errno)
            return
        finally:
            close_all([report, *given])
        job = Job(name, mark, pid, pipe)
        self.jobs[name] = self.mains[pid] = self.pipes[pipe] = job
        self.poll.register(pipe, select.POLLIN)

    def refuse(self, name: bytes, stage: bytes, number: int | None) -> None:
        self.wire.send(b"refused", name, stage, b"%d" % (number or 0))

    def launched(self, job: Job) -> None:
        """The pipe of a starting child: a word when it failed, closed by exec when it runs."""
        word = os.read(job.pipe, 64)
        self.poll.unregister(job.pipe)
        os.close(job.pipe)
        del self.pipes[job.pipe]
        if word:
            stage, number = word.split()
            del self.jobs[job.id], self.mains[job.pid]
            self.refuse(job.id, stage, int(number))
            return
        job.state = RUNNING
        self.wire.send(b"started", job.id, b"%d" % job.pid)

    # -- ending -----------------------------------------------------------------------------------------------------

    def tend(self) -> None:
        """Look at every main process, reap every stray that is dead, go on with the jobs that are being ended.

        Mains first: the orphans of a main seen dead here are among the children read after it.
        """
        for job in list(self.mains.values()):
            if job.state == RUNNING:
                self.look_at(job)
        orphans = self.orphans()
        self.stuck &= orphans
        strays = orphans - self.stuck
        for job in [job for job in self.jobs.values() if job.deadline and job.state != STARTING]:
            self.settle(job, strays)

    def orphans(self) -> set[int]:
        """Children that live and are not the main process of a job; the dead are reaped.

        Looks again when there was a dead one: its children may have come to us after the first look.
        """
        while True:
            found = {pid for pid in direct_children(self.pid) if pid not in self.mains}
            alive = {pid for pid in found if not reaped(pid)}
            if alive == found:
                return alive

    def look_at(self, job: Job) -> None:
        """Tell the engine when the main process has ended."""
        end = job.ended()
        if end is not None:
            job.state = DEAD
            self.wire.send(b"exited", job.id, end[0], b"%d" % end[1])

    def settle(self, job: Job, strays: set[int]) -> None:
        """Kill what is left of a job; when nothing is, reap its main process and say so."""
        whose = {pid: job.owns(pid, alone=len(self.jobs) == 1) for pid in strays}
        mine = [pid for pid, owned in whose.items() if owned]
        kill_group(job.pid, _signal.SIGKILL)
        for pid in mine:
            job.killed += kill(pid)
        left = len(mine) + (job.state != DEAD)
        if (left or None in whose.values()) and time.monotonic() < job.deadline:
            return
        if job.state == DEAD:
            reaped(job.pid)
        else:
            self.stuck.add(job.pid)
        self.stuck.update(mine)
        del self.jobs[job.id], self.mains[job.pid]
        self.wire.send(b"gone", job.id, b"%d" % job.killed, b"%d" % left)

    def end_everything(self) -> None:
        """Kill all that descends from us until the kernel knows no child of ours."""
        began, pause = time.monotonic(), 1.0
        while True:
            for pid in list(self.mains):
                kill_group(pid, _signal.SIGKILL)
            for pid in {*direct_children(self.pid), *self.mains}:
                kill(pid)
            if not self.reap_all():
                self.release_lock()
                return
            waiting = select.poll()
            waiting.register(self.wake, select.POLLIN)
            waiting.poll(pause)
            drain(self.wake)
            pause = min(pause * 2, 50.0 if time.monotonic() - began < 10 else 1000.0)

    def reap_all(self) -> bool:
        """Reap every child that is dead; whether there is one that lives."""
        try:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self.mains.pop(pid, None)
        except ChildProcessError:
            return False
        return True

    def release_lock(self) -> None:
        """An empty lock file says that nothing was left behind."""
        if self.lock >= 0:
            os.ftruncate(self.lock, 0)
            os.close(self.lock)


def take_lock(path: str, engine: int, token: bytes) -> int:
    """Hold the run's lock on its children and write into it who we are; wait for the keeper before us."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline or os.getppid() != engine:
                raise
            time.sleep(0.005)
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d %s\n" % (os.getpid(), token), 0)
    return fd


def drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def main() -> None:
    """Serve until the engine is gone, by whatever cause; leave nothing behind."""
    keeper = None
    try:
        keeper = Keeper(int(sys.argv[1]), int(sys.argv[2]), os.fsencode(sys.argv[3]), sys.argv[4])
        keeper.serve()
    except BaseException as error:  # whatever happens, the children must be ended
        import traceback

        text = f"{error}\n{traceback.format_exc()}".encode("utf-8", "replace").replace(b"\0", b"")
        if keeper is not None:
            keeper.wire.send(b"broken", text)
        else:
            os.write(int(sys.argv[1]), framed(b"broken", text))
    finally:
        if keeper is not None:
            keeper.end_everything()
        os._exit(0)
