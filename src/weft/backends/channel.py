"""Bytes between the engine's loop and its child processes: framed sockets out and in, and pipes that are read.

No transports and no streams: a transport costs several objects and a `call_soon` per message, cannot pass file
descriptors, and asyncio's subprocess machinery wants a child watcher (a thread per child on Python 3.11).
"""

from __future__ import annotations

import asyncio
import os
import socket
from array import array
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHUNK = 256 * 1024
PIPE_CHUNK = 64 * 1024  # what a pipe holds: a larger read only allocates more


class Channel:
    """Frames (a 4 byte length and as many bytes) over a connected stream socket, on the running loop.

    `on_frame` gets each frame. `on_end` is called once when the other side is gone or a frame is larger than `limit`;
    the channel is closed by then. Descriptors given to `send` ride along; they may be closed once an answer came.
    """

    __slots__ = ("_buffer", "_limit", "_loop", "_need", "_on_end", "_on_frame", "_outgoing", "_socket", "oversized")

    def __init__(
        self,
        connected: socket.socket,
        on_frame: Callable[[bytes], None],
        on_end: Callable[[], None],
        *,
        limit: int = 64 * 1024,
    ) -> None:
        connected.setblocking(False)
        self._socket: socket.socket | None = connected
        self._loop = asyncio.get_running_loop()
        self._on_frame = on_frame
        self._on_end = on_end
        self._limit = limit
        self._buffer = bytearray()
        self._need = 4
        self._outgoing: deque[tuple[memoryview, Sequence[int]]] = deque()
        self.oversized = 0
        """The announced length of a frame that was refused, else 0."""
        self._loop.add_reader(connected.fileno(), self._read)

    @property
    def open(self) -> bool:
        return self._socket is not None

    def send(self, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        """Queue a frame. What is sent to a side that is gone is dropped: `on_end` tells."""
        if self._socket is None:
            return
        frame = memoryview(len(payload).to_bytes(4, "big") + payload)
        self._outgoing.append((frame, descriptors))
        if len(self._outgoing) == 1:
            self._write()

    def finish(self) -> None:
        """Say that nothing more will be sent; frames are still received."""
        if self._socket is not None:
            with suppress(OSError):  # the other side may be gone already
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close without calling `on_end`."""
        if self._socket is None:
            return
        connected, self._socket = self._socket, None
        self._loop.remove_reader(connected.fileno())
        self._loop.remove_writer(connected.fileno())
        self._outgoing.clear()
        connected.close()

    def _write(self) -> None:
        assert self._socket is not None
        try:
            while self._outgoing:
                frame, descriptors = self._outgoing[0]
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
                sent = self._socket.sendmsg([frame], rights)
                if sent < len(frame):  # the descriptors went with the first bytes
                    self._outgoing[0] = (frame[sent:], ())
                else:
                    self._outgoing.popleft()
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._socket.fileno(), self._write)
            return
        except OSError:
            self._outgoing.clear()  # the reader gets what was said before the end, then the end
        self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._buffer += data
        while self._socket is not None and len(self._buffer) >= self._need:
            self._take()

    def _take(self) -> None:
        """A length or a frame, whichever is complete."""
        length = int.from_bytes(self._buffer[:4], "big")
        if length > self._limit:
            self.oversized = length
            self._end()
        elif len(self._buffer) < 4 + length:
            self._need = 4 + length
        else:
            frame = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            self._need = 4
            self._on_frame(frame)

    def _end(self) -> None:
        self.close()
        self._on_end()


class Listener:
    """Passes output on to whoever listens. Its first exception ends the listening, not the work, and is kept."""

    __slots__ = ("_on_output", "error")

    def __init__(self, on_output: Callable[[str, bytes], None] | None) -> None:
        self._on_output = on_output
        self.error: Exception | None = None

    def hear(self, stream: str, data: bytes) -> None:
        if self._on_output is None:
            return
        try:
            self._on_output(stream, data)
        except Exception as error:
            self._on_output, self.error = None, error

    def close(self) -> None:
        """Raise what the listener raised."""
        if self.error is not None:
            raise self.error


class PipeReader:
    """Hands what comes out of a pipe to `sink`, chunk by chunk, until its end or `close`."""

    __slots__ = ("_fd", "_loop", "_sink", "ended")

    def __init__(self, fd: int, sink: Callable[[bytes], None]) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(fd, self._read)

    def drain(self) -> None:
        """Take what is in the pipe now. Bounded: who writes all the time must not hold the loop."""
        for _ in range(64):
            if self._fd < 0 or not self._read():
                return

    def close(self) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
        os.close(fd)
        if not self.ended.done():
            self.ended.set_result(None)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, PIPE_CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._sink(data)
        return True
