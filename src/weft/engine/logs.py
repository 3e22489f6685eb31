"""What steps print, kept beside the journal: one file per attempt, masked, bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import quote

from weft.redaction import StreamMasker, Vault
from weft.runtimes.base import Log

LIMIT = 10 * 1024 * 1024
"""Bytes of an attempt's log that are kept; the rest is counted."""

LINES = ("log", "report")
"""Of these every chunk is a line; what is printed comes in pieces that have their own."""


class Logs:
    """The logs of one run. Losing one never fails a step: errors of the disk are counted, not raised."""

    def __init__(
        self, folder: Path | None, vault: Vault | None = None, listener: Callable[[str, str, bytes], None] | None = None
    ) -> None:
        self._folder = folder
        self._vault = vault
        self._listener = listener
        self._open: dict[tuple[str, int], _Written] = {}
        self.dropped = 0
        """Bytes that were not kept."""

    def writer(self, path: str, attempt: int) -> Log:
        """Where an attempt's output goes, as it comes."""
        if self._folder is None and self._listener is None:
            return _nowhere
        return lambda stream, chunk: self._take(path, attempt, stream, chunk)

    def end(self, path: str, attempt: int) -> None:
        """The attempt writes no more: what a masker held back follows."""
        written = self._open.pop((path, attempt), None) if self._open else None
        if written is None:
            return
        for stream, masker in written.maskers.items():
            self._keep(path, attempt, written, stream, masker.flush())
        if written.file is not None:
            written.file.close()

    def close(self) -> None:
        """Let go of everything."""
        for path, attempt in list(self._open):
            self.end(path, attempt)

    def _take(self, path: str, attempt: int, stream: str, chunk: bytes) -> None:
        if stream in LINES:
            chunk += b"\n"
        written = self._open.get((path, attempt))
        if written is None:
            written = self._open[path, attempt] = _Written()
        if self._vault is not None:
            if stream not in written.maskers:
                written.maskers[stream] = self._vault.stream()
            chunk = written.maskers[stream].feed(chunk)
        self._keep(path, attempt, written, stream, chunk)

    def _keep(self, path: str, attempt: int, written: _Written, stream: str, chunk: bytes) -> None:
        if not chunk:
            return
        if self._listener is not None:
            self._listener(path, stream, chunk)
        room = LIMIT - written.size
        written.size += len(chunk)
        if self._folder is None or room <= 0:
            self.dropped += len(chunk)
            return
        try:
            if written.file is None:
                written.file = (self._folder / log_name(path, attempt)).open("ab", buffering=0)
            written.file.write(chunk[:room])
        except OSError:
            self.dropped += len(chunk)


class _Written:
    """What one attempt has written so far."""

    __slots__ = ("file", "maskers", "size")

    def __init__(self) -> None:
        self.file: IO[bytes] | None = None
        self.size = 0
        self.maskers: dict[str, StreamMasker] = {}


def log_name(path: str, attempt: int) -> str:
    """The file name of an attempt's log: the path with `/` and the like escaped."""
    return f"{quote(path, safe='[]#')}.{attempt}.log"[-240:]


def _nowhere(stream: str, chunk: bytes) -> None:
    """Nobody reads it."""
