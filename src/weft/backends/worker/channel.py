"""Frames of a 4 byte length and a body, on the engine's socket."""

from __future__ import annotations

import os


class Channel:
    """The engine's socket."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self.fd = fd

    def receive(self) -> bytes | None:
        """The next frame, None when the engine has closed."""
        header = self._exactly(4)
        return None if header is None else self._exactly(int.from_bytes(header, "big"))

    def send(self, kind: bytes, body: bytes) -> None:
        self._all((len(body) + 1).to_bytes(4, "big") + kind)
        self._all(body)

    def _exactly(self, size: int) -> bytes | None:
        parts: list[bytes] = []
        while size:
            part = os.read(self.fd, min(size, 1 << 20))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]
