"""A command from its start to the last of its processes.

The main process ends when it ends; what it left in its group or elsewhere is killed after the pipes were drained for a
second at most (a grandchild may hold them for ever). Standard input is a file in memory, not a pipe: no writer, no
deadlock, no EPIPE, whether the command reads it or not. Output is read by the loop and kept by its head and its tail.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
from typing import TYPE_CHECKING

import msgspec

from weft.backends.channel import Listener, PipeReader
from weft.backends.children import Children
from weft.backends.finishing import through_cancellation
from weft.backends.kept import Child, Exit
from weft.backends.refusals import is_shortage, no_resources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

OUTPUT_LIMIT = 10 * 1024 * 1024
"""Bytes kept of each stream."""
GRACE = 3.0
"""Seconds between TERM and KILL."""
DRAIN = 1.0
"""Seconds that the pipes are read after the main process has ended."""
RESERVE = 16
"""Descriptors that commands leave to the rest of the engine (journal, blobs, sockets)."""


class Captured(msgspec.Struct, frozen=True):
    """One stream: its first and its last bytes and how many there were in all."""

    head: bytes
    tail: bytes
    total: int

    @property
    def dropped(self) -> int:
        """Bytes left out between head and tail."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def data(self) -> bytes:
        """All of it, or head and tail with a line between them that says how much is missing."""
        if not self.dropped:
            return self.head + self.tail
        return self.head + f"\n[... {self.dropped:,} bytes left out ...]\n".encode() + self.tail


class Completed(msgspec.Struct, frozen=True):
    """How a command ended. One of `exit_code` and `signal` is None. `duration` is in seconds."""

    exit_code: int | None
    signal: int | None
    stdout: Captured
    stderr: Captured
    duration: float
    strays: int = 0
    """Processes of the command that were still alive outside its group and were killed."""
    left: int = 0
    """Processes that could not be ended (another user's, stuck in the kernel)."""

    def __str__(self) -> str:
        return str(Exit(self.exit_code, self.signal))


class Capture:
    """Takes a stream of any length; keeps at most `limit` bytes of it."""

    __slots__ = ("_head", "_limit", "_tail", "_total")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> None:
        self._total += len(data)
        room = self._limit // 2 - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data
            excess = len(self._tail) - (self._limit - self._limit // 2)
            if excess > 0:
                del self._tail[:excess]  # moves the start, not the bytes

    def result(self) -> Captured:
        """What was kept; the capture is empty then, so that it is not held twice."""
        head = bytes(self._head)
        self._head = bytearray()
        tail = bytes(self._tail)
        self._tail = bytearray()
        return Captured(head, tail, self._total)


class Running:
    """A started child with its pipes."""

    __slots__ = ("child", "readers")

    def __init__(self, child: Child, readers: Sequence[PipeReader]) -> None:
        self.child = child
        self.readers = readers

    async def finish(self) -> Exit:
        """Wait for the main process, drain, end what is left."""
        how = await self.child.wait()
        await asyncio.wait([reader.ended for reader in self.readers], timeout=DRAIN)
        await self.child.end()
        return how

    async def stop(self, grace: float, hurry: asyncio.Event) -> None:
        """TERM, wait until it has ended and nobody holds the pipes, KILL. `hurry` cuts the grace short."""
        if not self.child.ended.done():
            self.child.signal(signal.SIGTERM)
            quiet = asyncio.ensure_future(asyncio.wait([self.child.ended, *(r.ended for r in self.readers)]))
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait([quiet, hurried], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            for task in (quiet, hurried):
                task.cancel()
        await self.child.end()

    def close(self) -> None:
        for reader in self.readers:
            reader.drain()
            reader.close()


async def run_command(
    children: Children,
    argv: Sequence[str | bytes],
    *,
    cwd: Path | str,
    env: Mapping[str, str],
    stdin: bytes | None = None,
    output_limit: int = OUTPUT_LIMIT,
    on_output: Callable[[str, bytes], None] | None = None,
    grace: float = GRACE,
) -> Completed:
    """Run a command and everything it starts to the end; any exit code is a result, not an error.

    `on_output` gets ("stdout" or "stderr", bytes) as they come. Cancelled, it sends TERM to the whole group, KILL after
    `grace` seconds (at once when cancelled again), and raises CancelledError only when all of it is gone. Where
    descriptors or processes run short it waits for another command to end. Raises AttemptError when the command cannot
    be started (`Children.spawn`) or was lost; what `on_output` raised is raised at the end.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    out, err, listener = Capture(output_limit), Capture(output_limit), Listener(on_output)

    def to_stdout(data: bytes) -> None:
        out.feed(data)
        listener.hear("stdout", data)

    def to_stderr(data: bytes) -> None:
        err.feed(data)
        listener.hear("stderr", data)

    running = await children.room.enter(lambda: _spawn(children, argv, cwd, env, stdin, (to_stdout, to_stderr)))
    try:
        how = await running.finish()
    except asyncio.CancelledError:
        hurry = asyncio.Event()
        await through_cancellation(running.stop(grace, hurry), hurry)
        raise
    finally:
        running.close()
        children.room.leave()
    listener.close()
    child = running.child
    return Completed(how.code, how.signal, out.result(), err.result(), loop.time() - began, child.strays, child.left)


async def _spawn(
    children: Children,
    argv: Sequence[str | bytes],
    cwd: Path | str,
    env: Mapping[str, str],
    stdin: bytes | None,
    sinks: Sequence[Callable[[bytes], None]],
) -> Running:
    ours: list[int] = []
    theirs: list[int] = []
    try:
        theirs.append(os.open(os.devnull, os.O_RDONLY) if stdin is None else file_in_memory(stdin))
        for _ in sinks:
            reading, writing = os.pipe()
            ours.append(reading)
            theirs.append(writing)
        refuse_reserve(theirs)
        child = await children.spawn(argv, cwd=cwd, env=env, descriptors=dict(enumerate(theirs)))
        readers = [PipeReader(fd, sink) for fd, sink in zip(ours, sinks, strict=True)]
        ours.clear()
        return Running(child, readers)
    except OSError as error:
        if not is_shortage(error):
            raise
        raise no_resources("open pipes for a command", error) from None
    finally:
        for fd in (*ours, *theirs):
            os.close(fd)


def refuse_reserve(descriptors: Sequence[int]) -> None:
    """Raise EMFILE when these are among the last that the process may have: they are given out lowest first."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and max(descriptors) >= limit - min(RESERVE, limit // 4):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def file_in_memory(data: bytes) -> int:
    """A descriptor that reads `data` from its start."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("stdin")
    else:
        import tempfile

        with tempfile.TemporaryFile(buffering=0) as file:
            fd = os.dup(file.fileno())
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
