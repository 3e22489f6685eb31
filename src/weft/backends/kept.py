"""The engine's side of one keeper: a socket to it, and the jobs that it was asked for.

No thread per child and no child watcher: the keeper says what became of each. When the keeper itself dies, all its jobs
are lost: what is left of them is found by the token in its environment and killed first, then every waiting attempt
fails as `ChildLost`. So whoever has been told that a child is gone may rely on it, in every case.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft.backends.channel import Channel
from weft.backends.keeper.processes import MARKER
from weft.backends.refusals import Refusal, as_bytes, no_resources
from weft.backends.survivors import PAUSE, end_marked
from weft.errors import AttemptError, InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def start_keeper(program: Path, theirs: socket.socket, token: str, lock_path: Path | None) -> subprocess.Popen[bytes]:
    """Its environment has no secrets in it: only what the dynamic linker may need, and the mark of an outer run.

    Isolated (`-I`), it does not hear that nothing compiled is to be kept, so it is told by an option.
    """
    if not sys.executable:
        raise InternalError("sys.executable is empty: there is no Python to run the keeper of child processes with")
    kept = {k: v for k, v in os.environb.items() if k in (b"LD_LIBRARY_PATH", b"DYLD_LIBRARY_PATH", MARKER)}
    lock = str(lock_path.absolute()) if lock_path is not None else ""
    options = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, *options, str(program), str(theirs.fileno()), str(os.getpid()), token, lock],
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
