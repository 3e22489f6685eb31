# ruff: noqa: PTH118, PTH123, PTH208, SIM105 - neither pathlib nor contextlib: each costs more than all the rest
"""The keeper: a tiny program between the engine and every process it starts.

Why a process of its own. When the engine dies by `kill -9` it runs no line of code, so somebody who is still alive has
to end what it started. A parent-death signal alone does not do: it reaches direct children only, and it fires when the
*thread* that started the child ends. So the engine starts one keeper and asks it over a socket to start everything
else. The keeper is single-threaded, hence it may fork by hand; it is a subreaper, hence every orphan of every command
becomes its own child, whatever `setsid` and double forks were done; it polls the engine's socket and process, hence it
knows at once when the engine is gone. Then it kills all its children until the kernel says there is none left, and
only then lets go of the lock that tells a take-over that the old run's children are gone.

Killing is race-free. Signals go only to process groups whose leader has not been reaped (the main process of a job
stays a zombie until the job has been settled, so its number cannot be given away) and to direct children (nobody else
can reap them). Deeper descendants need not be searched: when their parent dies they become direct children, and the
next round gets them, from the top of the tree down. That also beats what restarts its children.

Children are forked by hand, not with posix_spawn: that is 0.5 ms faster, but cannot set the parent-death signal, which
is all that is left when somebody kills engine and keeper together (`pkill -9 -f weft`).

What it cannot do. A process running as another user (sudo) cannot be signalled: the lock stays held while it lives. If
keeper and engine are both killed at the same moment, direct children still die by the parent-death signal, but their
orphans are found only by the next owner, through the token in their environment. Without /proc and prctl (macOS) only
process groups are known.

Run as `python -I -S keeper.py FD ENGINE_PID TOKEN LOCK`. Standard library only, and of that as little as possible: this
file imports `_socket` and `_signal` because their wrappers import enum, selectors and re and double its start.

Wire: frames of a 4 byte length and fields joined by NUL, since nothing that execve takes can contain a NUL.
    in   spawn ID CWD TARGETS ARGC ARGV... ENV...   (descriptors for TARGETS `0,1,2` ride along)
         signal ID NUMBER                           to the whole group
         end ID                                     kill what is left of the job, reap it
    out  started ID PID | refused ID STAGE ERRNO
         exited ID code|signal NUMBER
         gone ID KILLED LEFT                        after `end`; LEFT processes could not be ended
         broken TEXT                                last words
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import errno
import fcntl
import os
import select
import sys
import time

TYPE_CHECKING = False  # `typing` is another import not worth its time
if TYPE_CHECKING:
    from typing import Any

MARKER = b"WEFT_JOB"
"""In every child's environment: `token.job`, after the inherited value and a slash when runs are nested."""
PATIENCE = 5.0
"""Seconds to wait for killed processes before a job is given up as stuck."""
TICK = 20
"""Milliseconds between looks at a job that is being ended: a stray may come to us without a signal."""

STARTING, RUNNING, DEAD = range(3)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LINUX = sys.platform == "linux"


def load_prctl() -> Any:
    """The C function, or None where there is none."""
    if not LINUX:
        return None
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None


class Job:
    """A main process, its group, and what came of it."""

    __slots__ = ("deadline", "family", "id", "killed", "pid", "pipe", "state")

    def __init__(self, id: bytes, pid: int, pipe: int) -> None:  # noqa: A002 - the word of the wire
        self.id = id
        self.pid = pid
        self.pipe = pipe
        self.state = STARTING
        self.deadline = 0.0  # monotonic; 0 while nobody has asked for the end
        self.killed = 0
        self.family: set[tuple[int, bytes]] = set()  # (pid, start time) of descendants seen when it was signalled


class Keeper:
    """All state of the program."""

    def __init__(self, channel: int, engine: int, token: bytes, lock: str) -> None:
        self.socket = _socket.socket(fileno=channel)
        self.socket.setblocking(False)
        os.set_inheritable(channel, False)
        self.engine = engine
        inherited = os.environb.get(MARKER)
        self.token = inherited + b"/" + token if inherited else token
        self.prctl = load_prctl()
        self.pid = os.getpid()
        self.jobs: dict[bytes, Job] = {}
        self.mains: dict[int, Job] = {}
        self.pipes: dict[int, Job] = {}
        self.stuck: set[int] = set()
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.descriptors: list[int] = []
        self.truncated = False
        self.poll = select.poll()
        self.poll.register(channel, select.POLLIN)
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
            changed = ending
            for fd, event in events:
                if fd == self.wake:
                    drain(self.wake)
                    changed = True
                elif fd == self.pidfd:
                    return
                elif fd in self.pipes:
                    self.launched(self.pipes[fd])
                    changed = True
                elif event & select.POLLOUT and not self.flush():
                    return
                elif event & ~select.POLLOUT:
                    if not self.receive():
                        return
                    changed = True
            if changed:
                self.tend()

    def send(self, *fields: bytes) -> None:
        payload = b"\0".join(fields)
        self.outgoing += len(payload).to_bytes(4, "big") + payload
        self.flush()

    def flush(self) -> bool:
        """False when the engine is gone. Never blocks: an engine that is stopped does not read."""
        try:
            while self.outgoing:
                del self.outgoing[: self.socket.send(self.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        self.poll.modify(self.socket.fileno(), select.POLLIN | (select.POLLOUT if self.outgoing else 0))
        return True

    def receive(self) -> bool:
        """Take what has come; False when the engine is gone."""
        room = _socket.CMSG_SPACE(16 * 4)
        try:
            data, extras, flags, _ = self.socket.recvmsg(1 << 16, room, getattr(_socket, "MSG_CMSG_CLOEXEC", 0))
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        for level, kind, payload in extras:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                for start in range(0, len(payload) - 3, 4):
                    fd = int.from_bytes(payload[start : start + 4], sys.byteorder)
                    os.set_inheritable(fd, False)
                    self.descriptors.append(fd)
        self.truncated = self.truncated or bool(flags & _socket.MSG_CTRUNC)
        self.incoming += data
        self.take_frames()
        return True

    def take_frames(self) -> None:
        start = 0
        while len(self.incoming) - start >= 4:
            length = int.from_bytes(self.incoming[start : start + 4], "big")
            if len(self.incoming) - start - 4 < length:
                break
            fields = bytes(self.incoming[start + 4 : start + 4 + length]).split(b"\0")
            start += 4 + length
            self.obey(fields)
        del self.incoming[:start]

    def obey(self, fields: list[bytes]) -> None:
        word, name = fields[0], fields[1]
        if word == b"spawn":
            self.spawn(name, fields)
            return
        job = self.jobs.get(name)
        if word == b"signal" and job:
            self.remember_family(job)
            kill_group(job.pid, int(fields[2]))
            if int(fields[2]) != _signal.SIGKILL:
                kill_group(job.pid, _signal.SIGCONT)  # a stopped process does not see the signal otherwise
        elif word == b"end" and job:
            self.remember_family(job)
            job.deadline = job.deadline or time.monotonic() + PATIENCE
        elif word == b"end":
            self.send(b"gone", name, b"0", b"0")

    # -- starting ---------------------------------------------------------------------------------------------------

    def spawn(self, name: bytes, fields: list[bytes]) -> None:
        targets = [int(target) for target in fields[3].split(b",")]
        given, self.descriptors = self.descriptors[: len(targets)], self.descriptors[len(targets) :]
        if self.truncated or len(given) < len(targets):  # the kernel drops descriptors when our table is full
            self.truncated = False
            close_all(given)
            self.send(b"refused", name, b"descriptors", b"%d" % errno.EMFILE)
            return
        count = int(fields[4])
        argv = fields[5 : 5 + count]
        environment = dict(pair.split(b"=", 1) for pair in fields[5 + count :])
        environment[MARKER] = self.token + b"." + name
        try:
            pipe, report = os.pipe()
        except OSError as error:
            close_all(given)
            self.send(b"refused", name, b"descriptors", b"%d" % (error.errno or 0))
            return
        try:
            if os.getppid() != self.engine:
                return  # the engine died after it had asked: nothing may start any more
            pid = os.fork()
            if pid == 0:
                self.become(argv, environment, fields[2], given, targets, report)
        except OSError as error:
            os.close(pipe)
            self.send(b"refused", name, b"fork", b"%d" % (error.errno or 0))
            return
        finally:
            close_all([report, *given])
        job = Job(name, pid, pipe)
        self.jobs[name] = self.mains[pid] = self.pipes[pipe] = job
        self.poll.register(pipe, select.POLLIN)

    def become(
        self,
        argv: list[bytes],
        environment: dict[bytes, bytes],
        cwd: bytes,
        given: list[int],
        targets: list[int],
        report: int,
    ) -> None:
        """In the child: take on the job's session, signals, descriptors and folder, and run its program.

        Every descriptor of the keeper is close-on-exec; only 0, 1, 2 and the targets are left.
        """
        stage = b"prepare"
        try:
            os.setsid()
            if self.prctl:
                self.prctl(PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
                if os.getppid() != self.pid:
                    os._exit(127)
            for number in range(1, _signal.NSIG):
                if number not in (_signal.SIGKILL, _signal.SIGSTOP) and _signal.getsignal(number) is not None:
                    default_signal(number)
            top = max(targets) + 1
            report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, top)
            moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, top) for fd in given]
            for fd, target in zip(moved, targets):  # noqa: B905 - equal by construction
                os.dup2(fd, target)
            stage = b"cwd"
            os.chdir(cwd)
            stage = b"exec"
            execute(argv, environment)
        except OSError as error:
            os.write(report, b"%s %d" % (stage, error.errno or 0))
        except BaseException:  # a child of ours must never return into the keeper's loop
            os.write(report, b"%s 0" % stage)
        finally:
            os._exit(127)

    def launched(self, job: Job) -> None:
        """The pipe of a starting child: a word when it failed, closed by exec when it runs."""
        word = os.read(job.pipe, 64)
        self.poll.unregister(job.pipe)
        os.close(job.pipe)
        del self.pipes[job.pipe]
        if word:
            stage, number = word.split()
            del self.jobs[job.id], self.mains[job.pid]
            self.send(b"refused", job.id, stage, number)
            return
        job.state = RUNNING
        self.send(b"started", job.id, b"%d" % job.pid)

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
        """Tell the engine when the main process has ended; leave it a zombie so that its number stays ours."""
        if hasattr(os, "waitid"):
            status = os.waitid(os.P_PID, job.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is None:
                return
            how, number = (b"code" if status.si_code == os.CLD_EXITED else b"signal"), status.si_status
        else:
            pid, code = os.waitpid(job.pid, os.WNOHANG)
            if not pid:
                return
            how, number = (b"code", os.WEXITSTATUS(code)) if os.WIFEXITED(code) else (b"signal", os.WTERMSIG(code))
        job.state = DEAD
        self.send(b"exited", job.id, how, b"%d" % number)

    def settle(self, job: Job, strays: set[int]) -> None:
        """Kill what is left of a job; when nothing is, reap its main process and say so."""
        whose = {pid: self.belongs(pid, job) for pid in strays}
        mine = [pid for pid, belongs in whose.items() if belongs]
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
        self.send(b"gone", job.id, b"%d" % job.killed, b"%d" % left)

    def belongs(self, pid: int, job: Job) -> bool | None:
        """Whether an orphan comes from this job: by group, session, ancestry once seen, mark, or for want of others.

        None when its marks cannot be read yet. Who is dying may still leave us children of this job.
        """
        facts = stat_of(pid)
        if facts is None:
            return False
        _, group, session, start = facts
        if job.pid in (group, session) or (pid, start) in job.family or len(self.jobs) == 1:
            return True
        found = marks(pid)
        return None if found is None else self.token + b"." + job.id in found

    def remember_family(self, job: Job) -> None:
        """Before a signal cuts the tree: who descends from the job now. Finds those that wiped their environment."""
        todo = [job.pid] if LINUX and job.state == RUNNING else []
        while todo:
            for child in all_children(todo.pop()):
                facts = stat_of(child)
                if facts and (child, facts[3]) not in job.family:
                    job.family.add((child, facts[3]))
                    todo.append(child)

    def end_everything(self) -> None:
        """Kill all that descends from us until the kernel knows no child of ours."""
        began, pause = time.monotonic(), 1.0
        while True:
            for pid in list(self.mains):
                kill_group(pid, _signal.SIGKILL)
            for pid in {*direct_children(self.pid), *self.mains}:
                kill(pid)
            while True:
                try:
                    pid, _ = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    self.release_lock()
                    return
                if not pid:
                    break
                self.mains.pop(pid, None)
            waiting = select.poll()
            waiting.register(self.wake, select.POLLIN)
            waiting.poll(pause)
            drain(self.wake)
            pause = min(pause * 2, 50.0 if time.monotonic() - began < 10 else 1000.0)

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


def execute(argv: list[bytes], environment: dict[bytes, bytes]) -> None:
    """execve, with the search through the PATH that the program itself is given."""
    program = argv[0]
    if b"/" in program:
        os.execve(program, argv, environment)  # noqa: S606 - starting programs is what this is for
    denied = None
    for folder in environment.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        try:
            os.execve(os.path.join(folder or b".", program), argv, environment)  # noqa: S606 - as above
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            denied = error
    raise denied or FileNotFoundError(errno.ENOENT, "")


def default_signal(number: int) -> None:
    if _signal.getsignal(number) != _signal.SIG_DFL:
        _signal.signal(number, _signal.SIG_DFL)


def direct_children(pid: int) -> list[int]:
    """Children of a single-threaded process, zombies included; empty where there is no /proc."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return [other for other in processes() if (stat_of(other) or (0,))[0] == pid]


def all_children(pid: int) -> list[int]:
    """Children of all threads of a process."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except OSError:
            continue
    return found


def processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def stat_fields(pid: int) -> list[bytes]:
    """The fields of a process from its state on, none when it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def stat_of(pid: int) -> tuple[int, int, int, bytes] | None:
    """Parent, group, session and start time of a process."""
    fields = stat_fields(pid)
    return (int(fields[1]), int(fields[2]), int(fields[3]), fields[19]) if fields else None


def marks(pid: int) -> list[bytes] | None:
    """The jobs, outermost first, that a process says it belongs to; None when it has no environment at the moment.

    That is so in the middle of an exec and of an exit, when the kernel has taken one memory away and not yet given
    another. `env -i` is something else: an environment that is there and empty.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except PermissionError:
        return []
    except OSError:
        return None
    if not environment and stat_fields(pid)[47:48] in ([], [b"0"]):
        return None
    for pair in environment.split(b"\0"):
        if pair.startswith(MARKER + b"="):
            return chain_of(pair[len(MARKER) + 1 :])
    return []


def chain_of(value: bytes) -> list[bytes]:
    """Every prefix of a nested mark: `a.1/b.2` belongs to `a.1` and to `a.1/b.2`."""
    parts = value.split(b"/")
    return [b"/".join(parts[: end + 1]) for end in range(len(parts))]


def reaped(pid: int) -> bool:
    """Whether a child is dead; it is reaped by this."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill(pid: int) -> bool:
    try:
        os.kill(pid, _signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def close_all(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


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
            keeper.send(b"broken", text)
        else:
            frame = b"broken\0" + text
            os.write(int(sys.argv[1]), len(frame).to_bytes(4, "big") + frame)
    finally:
        if keeper is not None:
            keeper.end_everything()
        os._exit(0)


if __name__ == "__main__":
    main()
