"""Python code in a warm pool of child processes: real parallelism, and work that can be killed.

A worker (its program is in worker/) is started when all others are busy, and kept: the first call costs the start of
an interpreter, the next ones a hop. It answers one call at a time. Cancelling a call kills its worker, with all that it
started; the next call gets another. A worker that a call has left threads or processes in is not used again either.

Requests and answers go over a socket of their own. What the code prints is read from the standard descriptors, which
the worker flushes before it answers, so they are drained before the answer is handed on.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft.backends.base import RESPONSE_LIMIT, Code, Reference, is_retryable
from weft.backends.channel import Channel, Listener, PipeReader
from weft.backends.children import Children
from weft.backends.command import refuse_reserve
from weft.backends.finishing import through_cancellation
from weft.backends.kept import Child
from weft.backends.refusals import is_shortage, no_resources
from weft.errors import AttemptError, InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WORKER = Path(__file__).with_name("worker") / "__main__.py"
LAST_WORDS = 2000
"""Bytes of stderr that are quoted when a worker dies."""


class Failure(msgspec.Struct, frozen=True):
    """An error as a worker sends it."""

    type: str
    message: str
    place: str | None = None
    hint: str | None = None
    classes: list[str] | None = None
    traceback: str = ""
    interrupted: bool = False


class Worker:
    """One warm process and the call it is at."""

    __slots__ = ("_answer", "_channel", "_last_words", "_listener", "_readers", "child", "clean")

    def __init__(self, child: Child, connected: socket.socket, out: int, err: int) -> None:
        self.child = child
        self.clean = True
        """Whether it may be used again."""
        self._answer: asyncio.Future[bytes | None] | None = None
        self._listener: Listener | None = None
        self._last_words = b""
        self._channel = Channel(connected, self._hear, self._gone, limit=RESPONSE_LIMIT + 1024)
        self._readers = (PipeReader(out, self._printed), PipeReader(err, self._complained))

    @property
    def usable(self) -> bool:
        return self.clean and self._channel.open

    async def ask(self, request: bytes, listener: Listener) -> bytes:
        """The answer's frame. Raises AttemptError when the worker dies instead."""
        self._answer = asyncio.get_running_loop().create_future()
        self._listener, self._last_words = listener, b""
        try:
            self._channel.send(request)
            frame = await self._answer
            if frame is None:
                raise await self._death()
            self.clean = frame[:1].isupper()
            return frame
        finally:
            self._answer = self._listener = None

    def close(self) -> None:
        """Let go of its descriptors: an idle worker ends by itself then."""
        self._channel.close()
        for reader in self._readers:
            reader.close()

    async def _death(self) -> AttemptError:
        """Why there is no answer."""
        size = self._channel.oversized
        await asyncio.wait([self.child.ended], timeout=0 if size else 1.0)
        gone_by_itself = self.child.ended.done()
        for reader in self._readers:
            reader.drain()
        await self.child.end()
        if size:
            return AttemptError(f"the worker sent a frame of {size:,} bytes", type="TooBig")
        how = await self.child.wait()
        said = said_at_last(self._last_words)
        return AttemptError(
            f"the Python worker {how if gone_by_itself else 'closed its connection'} during the call{said}",
            type="WorkerDied",
            retryable=True,
            unknown=True,
            hint="the machine may have run out of memory" if how.signal == 9 else None,
        )

    def _hear(self, frame: bytes) -> None:
        kind = frame[:1]
        if kind == b"L":
            self._tell("log", frame[1:])
        elif kind == b"P":
            self._tell("report", frame[1:])
        else:
            for reader in self._readers:
                reader.drain()
            self._settle(frame)

    def _gone(self) -> None:
        self._settle(None)

    def _settle(self, frame: bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(frame)

    def _printed(self, data: bytes) -> None:
        self._tell("stdout", data)

    def _complained(self, data: bytes) -> None:
        self._last_words = (self._last_words + data)[-LAST_WORDS:]
        self._tell("stderr", data)

    def _tell(self, stream: str, data: bytes) -> None:
        if self._listener is not None:
            self._listener.hear(stream, data)


class WorkerPool:
    """At most `size` workers of one interpreter in one folder with one environment.

    `interpreter` is another Python (3.8 or later), by default our own. `env` is the whole environment. Close it before
    the `children` it is made of.
    """

    def __init__(
        self,
        children: Children,
        *,
        size: int,
        interpreter: str | None = None,
        cwd: Path | str,
        env: Mapping[str, str],
    ) -> None:
        self._children = children
        self._interpreter = interpreter or sys.executable
        self._cwd = cwd
        self._env = env
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Worker] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def idle(self) -> int:
        """Workers that wait for a call."""
        return len(self._idle)

    async def call(
        self,
        work: Code | Reference,
        arguments: Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        on_output: Callable[[str, bytes], None] | None = None,
    ) -> bytes:
        """The JSON of the function's result; it is passed those of the arguments that it takes.

        `context` becomes the attributes of its parameter `ctx`, if it has one. `on_output` gets what it writes:
        ("stdout" | "stderr" | "log" | "report", bytes); a report is JSON.

        Cancelled, it kills the worker and raises CancelledError when all of it is gone. Raises AttemptError: what the
        function raised (type, message, place as `file:line`; its traceback went to `on_output` as stderr),
        `ValidationError` (a result that is not JSON, with its place), `TooBig`, `BadArgument`, `NoFunction`,
        `WorkerDied` and `Resources` (these two retryable), and as `Children.spawn`.
        """
        request = encode_request(work, arguments, context or {})
        listener = Listener(on_output)
        async with self._slots:
            worker = await self._take()
            try:
                frame = await worker.ask(request, listener)
            except asyncio.CancelledError:
                worker.clean = False
                await through_cancellation(worker.child.end())
                raise
            finally:
                self._give_back(worker)
        if frame[:1] in b"Rr":
            listener.close()
            return frame[1:]
        failure = msgspec.json.decode(frame[1:], type=Failure)
        if failure.traceback:
            listener.hear("stderr", failure.traceback.encode("utf-8", "replace"))
        raise as_error(failure)

    async def close(self) -> None:
        """End the idle workers. Idempotent."""
        self._closed = True
        while self._idle:
            self._retire(self._idle.pop())
        if self._ending:
            await asyncio.wait(list(self._ending))

    async def _take(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()  # the last one used: its caches are warm, and the others can be let go
            if worker.usable:
                return worker
            self._retire(worker)
        if self._closed:
            raise InternalError("a worker was asked for after the pool was closed")
        worker = await self._children.room.enter(self._start)
        self._children.room.leave()  # it stays: nobody should wait for what it holds
        return worker

    def _give_back(self, worker: Worker) -> None:
        if worker.usable and not self._closed:
            self._idle.append(worker)
        else:
            self._retire(worker)

    def _retire(self, worker: Worker) -> None:
        worker.close()
        task = asyncio.get_running_loop().create_task(worker.child.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _start(self) -> Worker:
        fds: list[int] = []
        ours: socket.socket | None = None
        try:
            fds.append(os.open(os.devnull, os.O_RDONLY))
            fds += [*os.pipe(), *os.pipe()]
            ours, theirs = socket.socketpair()
            fds.append(theirs.detach())
            null, out, out_end, err, err_end, connection = fds
            refuse_reserve(fds)
            child = await self._children.spawn(
                [self._interpreter, "-X", "faulthandler", str(WORKER), "3"],
                cwd=self._cwd,
                env=self._env,
                descriptors={0: null, 1: out_end, 2: err_end, 3: connection},
            )
            worker = Worker(child, ours, out, err)
            fds, ours = [null, out_end, err_end, connection], None
            return worker
        except OSError as error:
            if not is_shortage(error):
                raise
            raise no_resources("open the pipes of a worker", error) from None
        finally:
            for fd in fds:
                os.close(fd)
            if ours is not None:
                ours.close()


def encode_request(work: Code | Reference, arguments: Mapping[str, Any], context: Mapping[str, Any]) -> bytes:
    request: dict[str, Any] = {"arguments": arguments, "context": context, "limit": RESPONSE_LIMIT}
    request |= msgspec.structs.asdict(work)
    return msgspec.json.encode(request)


def said_at_last(words: bytes) -> str:
    """One line of a dead worker's stderr: the one that says most."""
    lines = words.decode("utf-8", "replace").strip().splitlines() or [""]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    line = (fatal or lines[-1:])[0]
    return f" (it said: {line})" if line else ""


def as_error(failure: Failure) -> AttemptError:
    """The exception of the user's code as ours, with its own traceback below."""
    message = failure.message or failure.type
    if failure.interrupted:
        said = f"{failure.type}: {failure.message}" if failure.message else failure.type
        message = f"the function tried to end the program ({said})"
    error = AttemptError(
        message,
        type=failure.type,
        place=failure.place,
        hint=failure.hint,
        retryable=not failure.interrupted and failure.classes is not None and is_retryable(failure.classes),
    )
    if not failure.interrupted:
        error.classes = tuple(failure.classes or ())
    if failure.traceback:
        error.add_note(f"in the child process:\n{failure.traceback.rstrip()}")
    return error
