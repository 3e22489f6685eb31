"""The engine's socket, as the keeper sees it.

Frames of a 4 byte length and fields joined by NUL, since nothing that execve takes can contain a NUL.
    in   spawn ID CWD TARGETS ARGC ARGV... ENV...   (descriptors for TARGETS `0,1,2` ride along)
         signal ID NUMBER                           to the whole group
         end ID                                     kill what is left of the job, reap it
    out  started ID PID | refused ID STAGE ERRNO
         exited ID code|signal NUMBER
         gone ID KILLED LEFT                        after `end`; LEFT processes could not be ended
         broken TEXT                                last words
"""

from __future__ import annotations

import _socket
import os
import select
import sys

TYPE_CHECKING = False  # `typing` is another import not worth its time
if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIPTORS = 16
"""How many may ride along with what is read at once."""


class Wire:
    """Never blocks: an engine that is stopped does not read. `flush` and `receive` are False when it is gone."""

    def __init__(self, fd: int, poll: select.poll) -> None:
        self.socket = _socket.socket(fileno=fd)
        self.socket.setblocking(False)
        os.set_inheritable(fd, False)
        self.poll = poll
        self.poll.register(fd, select.POLLIN)
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.descriptors: list[int] = []
        self.truncated = False

    def send(self, *fields: bytes) -> None:
        self.outgoing += framed(*fields)
        self.flush()

    def flush(self) -> bool:
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
        """Take what has come, for `frames` and `take_descriptors` to hand out."""
        room = _socket.CMSG_SPACE(DESCRIPTORS * 4)
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
        return True

    def frames(self) -> Iterator[list[bytes]]:
        """The fields of each frame that is there as a whole."""
        start = 0
        while len(self.incoming) - start >= 4:
            length = int.from_bytes(self.incoming[start : start + 4], "big")
            if len(self.incoming) - start - 4 < length:
                break
            fields = bytes(self.incoming[start + 4 : start + 4 + length]).split(b"\0")
            start += 4 + length
            yield fields
        del self.incoming[:start]

    def take_descriptors(self, count: int) -> list[int] | None:
        """The next `count`; None when the kernel has dropped some, because our table is full."""
        given, self.descriptors = self.descriptors[:count], self.descriptors[count:]
        if not self.truncated and len(given) == count:
            return given
        self.truncated = False
        close_all(given)
        return None


def framed(*fields: bytes) -> bytes:
    payload = b"\0".join(fields)
    return len(payload).to_bytes(4, "big") + payload


def close_all(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)
