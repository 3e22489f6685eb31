"""The engine's side of the keeper: processes that do not outlive the engine.

`Children` starts one keeper (its package says why) when the first child is needed and speaks with it over a socket: no
thread per child and no child watcher. A `Child` is a job of the keeper: a main process in a session of its own, its
group, and every stray that came from it.

When the keeper itself dies, all its jobs are lost: what is left of them is found by the token in its environment and
killed first, then every waiting attempt fails as `ChildLost`; the next spawn starts a new keeper. So whoever has been
told that a child is gone may rely on it, in every case.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from weft.backends.channel import Channel
from weft.backends.keeper.processes import MARKER
from weft.backends.refusals import (
    Refusal,
    as_bytes,
    checked_arguments,
    checked_environment,
    explain,
    no_resources,
    refuse_nul,
)
from weft.backends.survivors import PAUSE, end_marked
from weft.errors import AttemptError, InternalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

Started = TypeVar("Started")

KEEPER = Path(__file__).with_name("keeper") / "__main__.py"
ANSWER_WAIT = 15.0
"""Seconds within which the keeper must have ended a job: its own patience and as much again twice."""
LAST_WAIT = 5.0
"""Seconds within which the keeper must have ended everything, at `close`."""


class Exit(msgspec.Struct, frozen=True):
    """How a process ended: with an exit code or by a signal; the other is None."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is None:
            return f"ended with exit code {self.code}"
        return f"was killed by {signal_name(self.signal)}"


class Child:
    """A running job of the keeper."""

    __slots__ = ("_exit", "_gone", "_keeper", "_lost", "_started", "ended", "id", "left", "pid", "strays")

    def __init__(self, id: int, keeper: Keeper) -> None:  # noqa: A002 - the word of the wire
        loop = asyncio.get_running_loop()
        self.id = id
        self.pid = 0
        self.strays = 0
        """How many processes that had left the group had to be killed; known when it is gone."""
        self.left = 0
        """How many processes could not be ended (another user's, stuck in the kernel); known when it is gone."""
        self._keeper = keeper
        self._exit = Exit()
        self._lost: AttemptError | None = None
        self._started: asyncio.Future[AttemptError | None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when the main process has ended or was lost. Await it through `wait` or `asyncio.wait`."""
        self._gone: asyncio.Future[None] = loop.create_future()

    async def wait(self) -> Exit:
        """How the main process ended. Others of its group may live on until `end`. Raises AttemptError(ChildLost)."""
        await asyncio.wait([self.ended])
        if self._lost is not None:
            raise self._lost
        return self._exit

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, if there is one still."""
        if not self._gone.done():
            self._keeper.send("signal", self.id, number)

    async def end(self) -> None:
        """Kill what is left of the job, strays included; return when all of it is gone (or after 5 s is stuck).

        A keeper that does not answer (somebody has stopped it) is killed, and what it kept with it.
        """
        if self._gone.done():
            return
        self._keeper.send("end", self.id)
        done, _ = await asyncio.wait([self._gone], timeout=ANSWER_WAIT)
        if not done:
            self._keeper.kill()
            await asyncio.wait([self._gone])

    async def started(self) -> None:
        """Wait until the program runs. Raises AttemptError when it cannot."""
        await asyncio.wait([self._started])
        error = self._started.result()
        if error is not None:
            raise error

    def tell(self, word: str, details: Sequence[str]) -> None:
        """Take a message of the keeper about this job."""
        match word:
            case "started":
                self.pid = int(details[0])
                settle(self._started)
            case "exited":
                number = int(details[1])
                self._exit = Exit(code=number) if details[0] == "code" else Exit(signal=number)
                settle(self.ended)
            case "gone":
                self.strays, self.left = int(details[0]), int(details[1])
                settle(self._started)
                settle(self.ended)
                settle(self._gone)

    def refuse(self, error: AttemptError) -> None:
        """The program was never started."""
        if not self._started.done():
            self._started.set_result(error)
        self.lose(error)

    def lose(self, error: AttemptError) -> None:
        """The keeper is gone, and with it all that it could say about this job."""
        self._lost = error if not self.ended.done() else None
        if not self._started.done():
            self._started.set_result(error)
        settle(self.ended)
        settle(self._gone)


class Keeper:
    """One keeper process and the jobs it was asked for."""

    __slots__ = ("_channel", "_clearing", "_over", "_process", "_words", "jobs", "token")

    def __init__(self, program: Path, lock_path: Path | None) -> None:
        self.token = secrets.token_hex(8)
        self.jobs: dict[int, Child] = {}
        self._words = ""
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair()
        try:
            self._process = start_keeper(program, theirs, self.token, lock_path)
        except OSError as error:
            ours.close()
            raise no_resources("start the process that keeps the children", error) from None
        finally:
            theirs.close()
        self._channel = Channel(ours, self._hear, self._lost, limit=1 << 20)

    @property
    def alive(self) -> bool:
        return self._channel.open

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, *fields: object, descriptors: Sequence[int] = ()) -> None:
        self._channel.send(b"\0".join(as_bytes(field) for field in fields), descriptors)

    def kill(self) -> None:
        """End the keeper; its jobs end as lost."""
        self._process.kill()

    async def close(self) -> None:
        """End every child, then the keeper. Returns when all are gone, or after `LAST_WAIT` kills it."""
        if self._channel.open:
            self._words = "it was closed"
            self._channel.finish()
            done, _ = await asyncio.wait([self._over], timeout=LAST_WAIT)
            if not done:
                self._process.kill()
        await asyncio.wait([self._over])

    def _hear(self, frame: bytes) -> None:
        word, *rest = [os.fsdecode(field) for field in frame.split(b"\0")]
        if word == "broken":
            self._words = rest[0]
            return
        child = self.jobs.get(int(rest[0]))
        if child is None:
            return
        if word == "refused":
            child.refuse(Refusal(rest[1], int(rest[2])))
        else:
            child.tell(word, rest[1:])
        if word in ("refused", "gone"):
            del self.jobs[child.id]

    def _lost(self) -> None:
        self._clearing = asyncio.get_running_loop().create_task(self._clear_up())
        self._clearing.add_done_callback(lambda done: settle(self._over))

    async def _clear_up(self) -> None:
        """The keeper is dead: kill what it left, then say so to everybody who waits."""
        self._process.kill()
        exit_code = self._process.wait()
        if exit_code:
            await self._end_survivors()
        why = self._words.splitlines()[0] if self._words else describe(exit_code)
        for child in self.jobs.values():
            child.lose(
                AttemptError(
                    f"the process that keeps the children is gone ({why}); the command was ended with it",
                    type="ChildLost",
                    retryable=True,
                    unknown=True,
                )
            )
        self.jobs.clear()

    async def _end_survivors(self) -> None:
        deadline, empty = asyncio.get_running_loop().time() + LAST_WAIT, 0
        while empty < 2 and asyncio.get_running_loop().time() < deadline:
            empty = 0 if end_marked(self.token) else empty + 1
            await asyncio.sleep(PAUSE)  # nobody tells when a process that is not ours is gone


class Children:
    """Processes that are gone at the latest 5 s after the engine, by whatever cause it ends.

    `lock_path` is a file that stays locked (flock) for as long as one of them may live; its content names the keeper
    and its token. `marker` is added to the environment of each child. `program` is what starts the keeper (tests give
    others). Use it on one loop; `await close()` at the end.
    """

    def __init__(
        self, *, lock_path: Path | None = None, marker: Mapping[str, str] | None = None, program: Path = KEEPER
    ) -> None:
        self._lock_path = lock_path
        self._marker = dict(marker or {})
        self._program = program
        self._keeper: Keeper | None = None
        self._next = 0
        self._closed = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._busy = 0

    @property
    def keeper_pid(self) -> int | None:
        """The keeper's process, when one lives."""
        return self._keeper.pid if self._keeper is not None and self._keeper.alive else None

    @property
    def token(self) -> str | None:
        """What the children of the living keeper carry in `WEFT_JOB`."""
        return self._keeper.token if self._keeper is not None else None

    async def start(self) -> None:
        """Start the keeper now, so that its 15 ms pass beside other work."""
        await self._ready()

    async def spawn(
        self, argv: Sequence[str | bytes], *, cwd: Path | str, env: Mapping[str, str], descriptors: Mapping[int, int]
    ) -> Child:
        """Run a program. `descriptors` says which of ours becomes which of its own; they stay ours to close.

        `env` is its whole environment (the marker and `WEFT_JOB` are added). The program is searched in the PATH of
        `env`. Raises AttemptError: `CommandNotFound`, `NotExecutable`, `BadArgument`, `TooBig`, `Resources`
        (retryable), `ChildLost`.
        """
        words = checked_arguments(argv)
        environment = checked_environment({**env, **self._marker})
        folder = os.fsencode(cwd)
        refuse_nul(folder, "the folder to run in")
        keeper = await self._ready()
        child = Child(self._next, keeper)
        self._next += 1
        keeper.jobs[child.id] = child
        targets = ",".join(map(str, descriptors))
        fields = ("spawn", child.id, folder, targets, len(words), *words, *environment)
        keeper.send(*fields, descriptors=list(descriptors.values()))
        try:
            await child.started()
        except asyncio.CancelledError:
            await through_cancellation(child.end())
            raise
        except AttemptError as error:
            raise explain(error, words, environment, cwd, env) from None
        return child

    async def when_room(self, start: Callable[[], Awaitable[Started]]) -> Started:
        """`start()`, and again when it found no descriptor or process left and another child has ended meanwhile.

        So a shortage lowers the concurrency instead of failing attempts. In order of arrival. What was started counts
        as busy until `release`. Raises what `start` raises; `Resources` only when no other child is busy.
        """
        tried = False
        try:
            while True:
                if tried or self._waiting:
                    await self._turn()
                tried = True
                self._busy += 1
                try:
                    return await start()
                except AttemptError as error:
                    self._busy -= 1
                    if error.type != "Resources" or not self._busy:
                        raise
                except BaseException:
                    self._busy -= 1
                    raise
        except BaseException:
            self._wake_one()
            raise

    def release(self) -> None:
        """A child that was busy is gone, and what it held is free."""
        self._busy -= 1
        self._wake_one()

    async def _turn(self) -> None:
        if not self._busy:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def close(self) -> None:
        """End every child and the keeper. Idempotent."""
        self._closed = True
        if self._keeper is not None:
            await through_cancellation(self._keeper.close())

    async def _ready(self) -> Keeper:
        if self._closed:
            raise InternalError("a process was to be started after the children were closed")
        if self._keeper is not None and not self._keeper.alive:
            await self._keeper.close()  # until what it left behind is gone
        if self._keeper is None or not self._keeper.alive:
            self._keeper = Keeper(self._program, self._lock_path)
        return self._keeper


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


def start_keeper(program: Path, theirs: socket.socket, token: str, lock_path: Path | None) -> subprocess.Popen[bytes]:
    """Its environment has no secrets in it: only what the dynamic linker may need, and the mark of an outer run."""
    if not sys.executable:
        raise InternalError("sys.executable is empty: there is no Python to run the keeper of child processes with")
    kept = {k: v for k, v in os.environb.items() if k in (b"LD_LIBRARY_PATH", b"DYLD_LIBRARY_PATH", MARKER)}
    lock = str(lock_path.absolute()) if lock_path is not None else ""
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-I", "-S", str(program), str(theirs.fileno()), str(os.getpid()), token, lock],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=kept,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
    )


def signal_name(number: int) -> str:
    """`SIGKILL (9)`."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


def describe(exit_code: int) -> str:
    return str(Exit(signal=-exit_code) if exit_code < 0 else Exit(code=exit_code)).removeprefix("was ")


def settle(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)
