"""Standard output and standard error, as things that may go away, stand still, or be fooled.

They go away: `weft run x | head -1`, a closed terminal, `2>&-`, a full disk. A run does not end because nobody
looks, so the first error turns a stream deaf: what follows is dropped and nothing is raised.

They stand still: Ctrl-S, a pager that waits. A write would then stop the event loop, and with it the run and
Ctrl-C. So a write happens here only when the system says that it will not block; what cannot be written waits
for a thread, which is started only then. More than `WAITING` bytes are not kept: whoever reads that slowly
finds everything in the journal.

They are fooled: names, outputs and log lines come from data and may hold escape sequences, which reprogram a
terminal, or bidi controls, which make a line read as something else. `harmless` writes them out.
"""

from __future__ import annotations

import errno
import os
import re
import select
import sys
from collections import deque
from functools import cache
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Condition, Thread

WAITING = 8 * 1024 * 1024
"""Bytes kept for a reader that does not read."""
_PIECE = 4096
"""PIPE_BUF: what a pipe that is ready takes without blocking."""
_UNREADY = (errno.EAGAIN, errno.EINTR)

_HARMFUL = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
_COLOURS = r"\x1b\[[0-9;:]*m"
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}


def harmless(text: str) -> str:
    """The text with control characters, escape sequences and bidi controls written out; lines and tabs stay."""
    return text if text.isprintable() else _pattern(f"[{_HARMFUL}]").sub(_written_out, text)


def one_line(text: str, width: int = 0) -> str:
    """As `harmless`, on one line; of more than `width` characters only the beginning (0: all)."""
    if width and len(text) > width:
        text = text[: width - 1] + "…"
    return text if text.isprintable() else _pattern(f"[{_HARMFUL}\t\n]").sub(_written_out, text)


def log_text(text: str) -> str:
    """What a program printed: colours are left out, a lone carriage return begins a line, the rest is made harmless."""
    text = _pattern(_COLOURS).sub("", text) if "\x1b" in text else text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return harmless(text)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Compiled when it is first needed: most output is printable as it is."""
    return re.compile(pattern)


def _written_out(found: re.Match[str]) -> str:
    c = found.group()
    code = ord(c)
    return _SHORT.get(c) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")


class Out:
    """One stream. Nothing in here raises OSError; `gone` says that nobody reads any more, `trouble` why."""

    def __init__(self, stream: IO[str] | None) -> None:
        self.gone = stream is None
        self.trouble = ""
        self.dropped = 0
        self._stream = stream
        self._fd = _fd_of(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self.is_terminal = self._fd is not None and os.isatty(self._fd)
        term = os.environ.get("TERM", "")
        self.moves = self.is_terminal and term not in ("", "dumb", "unknown")
        """A cursor can be moved."""
        self.colours = self.moves and not os.environ.get("NO_COLOR")
        self._poll: select.poll | None = None
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._thread: Thread | None = None
        self._changed: Condition | None = None

    @property
    def encoding(self) -> str:
        """How text becomes bytes here."""
        return self._encoding

    def line(self, text: str = "") -> None:
        """Write a line; it must be harmless already."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Write text, never waiting for the reader."""
        if not self.gone:
            self.write_bytes(text.encode(self._encoding, "backslashreplace"))

    def write_bytes(self, data: bytes) -> None:
        """As `write`, for what is bytes already."""
        if self.gone:
            return
        if self._fd is None:
            self._to_stream(data)
            return
        if self._thread is None:
            data = self._at_once(data)
        if data and not self.gone:
            self._later(data)

    def send(self, data: bytes) -> None:
        """Write bytes however long the reader takes: for results, of which nothing may be missing."""
        if self._thread is not None:
            self.drain()
        if self.gone:
            return
        if self._fd is None:
            self._to_stream(data)
            return
        view = memoryview(data)
        while view and not self.gone:
            view = view[self._put(view[: 1024 * 1024]) :]

    def ready(self) -> bool:
        """Whether a little could be written now without waiting."""
        return not self.gone and self._thread is None and (self._fd is None or self._writable(0))

    def drain(self, seconds: float | None = None) -> bool:
        """Wait until everything is written, or nobody reads any more; False when the time was over first."""
        if self._changed is None:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: self.gone or not self._waiting, seconds)

    def width(self) -> int:
        """Columns of the terminal; 80 where there is none."""
        return self.size()[0]

    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal."""
        try:
            size = os.get_terminal_size(-1 if self._fd is None else self._fd)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    # -- inside -----------------------------------------------------------------------------------------------------

    def _to_stream(self, data: bytes) -> None:
        assert self._stream is not None
        try:
            self._stream.write(data.decode(self._encoding, "replace"))
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._go(error)

    def _go(self, error: OSError | ValueError) -> None:
        self.gone = True
        if isinstance(error, OSError) and error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
            self.trouble = error.strerror or str(error)

    def _writable(self, milliseconds: int | None) -> bool:
        """Whether the system takes a piece; an error counts, as the write will say which."""
        if self._poll is None:
            assert self._fd is not None
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLOUT)
        return bool(self._poll.poll(milliseconds))

    def _put(self, piece: memoryview) -> int:
        """Write a piece, waiting if need be; how much went out."""
        assert self._fd is not None
        while True:
            try:
                return os.write(self._fd, piece)
            except OSError as error:
                if error.errno not in _UNREADY:
                    self._go(error)
                    return len(piece)
                self._writable(None)

    def _at_once(self, data: bytes) -> bytes:
        """Write what goes without waiting; gives the rest."""
        view = memoryview(data)
        while view and not self.gone and self._writable(0):
            view = view[self._put(view[:_PIECE]) :]
        return bytes(view)

    def _later(self, data: bytes) -> None:
        from threading import Condition, Thread

        if self._changed is None:
            self._changed = Condition()
        with self._changed:
            if self._size + len(data) > WAITING:
                self.dropped += 1
                return
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify_all()
        if self._thread is None:
            self._thread = Thread(target=self._work, name="weft-output", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        assert self._changed is not None
        while not self.gone:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                data = memoryview(self._waiting[0])
            while data and not self.gone:
                self._writable(None)
                data = data[self._put(data[:_PIECE]) :]
            with self._changed:
                self._size -= len(self._waiting.popleft())
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


class Streams:
    """Where a command speaks: results to `out`, everything else to `err`."""

    def __init__(self) -> None:
        self.out = Out(sys.stdout)
        self.err = Out(sys.stderr)


_current: Streams | None = None


def streams() -> Streams:
    """The streams of the command that runs."""
    global _current
    if _current is None:
        _current = Streams()
    return _current


def fresh() -> Streams:
    """Look at standard output and error anew: at the start of a command."""
    global _current
    _current = None
    return streams()


def _fd_of(stream: IO[str] | None) -> int | None:
    """The stream's descriptor; None for one that is not the system's (a test's)."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def occupy_standard_streams() -> None:
    """Put something harmless where standard input, output or error are closed, else the next file opened, a journal
    perhaps, would take their number and whatever is printed later."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is fd


# -- colours -----------------------------------------------------------------------------------------------------------

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
OF_STATUS = {
    "succeeded": "green",
    "failed": "red",
    "damaged": "red",
    "issues": "yellow",
    "waiting": "yellow",
    "interrupted": "yellow",
    "cancelled": "yellow",
    "skipped": "dim",
    "running": "cyan",
}


def styled(text: str, style: str | None, out: Out) -> str:
    """The text in a style where `out` shows any."""
    if style is None or not out.colours:
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"
