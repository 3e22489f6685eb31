"""What a journal is: the protocol of its implementations, and what is durable when.

A run is an append-only list of *batches* of events, numbered from 1 without gaps. That list is the only
truth about the run; everything else that anybody shows or decides is a fold of it. A batch is what one turn
of the engine decided: it is kept whole or not at all, so a reader never sees half a turn.

What is durable, and when

- `append` returns when the batch is durable. With `durability="power"` (the default) that holds against a
  crash, a kill and a power cut, on storage that honours fsync. With `durability="process"` it holds against
  a crash and a kill only: a power cut or a crash of the operating system may take the last seconds, never
  the order and never the middle.
- A batch whose `append` raised, or did not return, may or may not be in the journal. Nothing may have been
  acted on.
- `create` returns when the run exists with its first batch. Before that there is only a folder under a
  temporary name, which no listing shows. A run without a first batch is never seen.
- `put_blob` returns when the bytes are durable, so a batch never refers to a blob that a power cut can take
  away. A blob that no batch refers to is litter, not an error.
- What runs leave for each other (`History`: durations, cached outputs) may be lost at any time and is
  rebuilt.

Who may write

At most one process has a run open for writing. Two lines hold that. The first is a lock of the operating
system, which the kernel drops when its holder dies: a dead owner is replaced at once, a living one, even a
stopped one, is not (`OwnedError` names it) unless `take_over` ends it first. The second is the *epoch*:
every opening for writing raises it, and every append carries the epoch of its opening, checked in the same
statement that writes. An owner that was declared dead too early therefore commits nothing more
(`FencedError`).

Errors

The first error while writing is *latched*: the journal refuses everything but `close` from then on and
names that first error. A commit is never tried again, because after a failed fsync the kernel may report
success for data that it has dropped. The process stops (exit 74), and the next opening checks the file.
`put_blob` is the exception: a blob that cannot be written fails the node that wanted it, not the run.

Damage is detected, never guessed away. Every batch bears a checksum over itself and the checksum before it;
the first link is made of the run's id, so batches of another run do not fit. Reading verifies the chain as
it goes and stops with `CorruptJournalError` at the first batch that does not fit. A chain cannot tell that
its *end* is missing; for that the implementation keeps a witness of the last batch beside the journal (see
tail.py, which says what it cannot see).

Readers need no lock and never wait for the writer, nor it for them: a reader's transaction ends before the
reader sees the first event of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from weft.errors import JournalError
from weft.event_types import Event, Journaled, SecretMark
from weft.values import BlobRef

Durability = Literal["power", "process"]
"""What an acknowledged batch survives: a power cut (`power`), or only a crash or kill of the process (`process`)."""

KillChildren = Callable[[Path], None]
"""Ends what the old owner's process keeper, the holder of this lock file, has left running."""


class BusyJournalError(JournalError):
    """Another program holds the journal's file."""

    exit_code = 75


class Cached(msgspec.Struct, frozen=True, omit_defaults=True):
    """An output kept for `cache`: inline JSON (`output`) or in a blob of the history, and the run that made it.

    `at` is Unix time in seconds. `secrets` are the marks of the secrets that stood in it.
    """

    at: float
    run: str
    output: msgspec.Raw = msgspec.Raw(b"null")
    blob: BlobRef | None = None
    secrets: tuple[SecretMark, ...] = ()


class Contribution(msgspec.Struct, frozen=True):
    """What a run leaves for later runs: durations in seconds by weight key, outputs by cache key."""

    durations: Mapping[str, Sequence[float]] = {}
    outputs: Mapping[str, Cached] = {}


class JournalReader(Protocol):
    """One run, read-only; the run may be going on."""

    run_id: str
    position: int
    """How far `read` has come; 0 is the start."""
    folder: Path | None

    def read(self, after: int | None = None) -> Iterator[list[Journaled]]:
        """The batches after `after` (default: after what was read last), in order, as far as there are any now.

        Calling it again goes on where the last reading stopped: that is how a live run is followed.
        Raises CorruptJournalError at the first batch that does not fit, JournalError when the file cannot be read.
        """
        ...

    def get_blob(self, ref: BlobRef) -> bytes:
        """The bytes of a blob, verified. Raises CorruptJournalError when they are gone or are not the same."""
        ...

    def close(self) -> None: ...


class Journal(Protocol):
    """One run, opened for writing. Calls may come from any thread, one at a time."""

    run_id: str
    epoch: int
    """How often the run has been opened for writing, from 1."""
    folder: Path | None

    def append(self, events: list[Event]) -> None:
        """Make the batch durable. The events must be of classes with `JOURNALED`; an empty batch is nothing.

        Raises FencedError when another process has taken the run over, JournalError when it cannot be written.
        """
        ...

    def read(self) -> Iterator[list[Journaled]]:
        """The batches from the start to the last one now, in order. Raises as `JournalReader.read`."""
        ...

    def put_blob(self, data: bytes) -> BlobRef:
        """Keep the bytes. The same bytes are kept once. Raises JournalError, which is not latched."""
        ...

    def get_blob(self, ref: BlobRef) -> bytes:
        """The bytes of a blob, verified. Raises CorruptJournalError when they are gone or are not the same."""
        ...

    def close(self) -> None:
        """Let go of the run. Closing twice is nothing."""
        ...


class History(Protocol):
    """What outlives a run. Losing it costs speed, never a result. Errors are JournalError: go on without it."""

    def durations(self, keys: Iterable[str]) -> dict[str, float]:
        """The median of the last durations, in seconds, of those keys that are known."""
        ...

    def cached(self, key: str) -> Cached | None:
        """The output kept under a cache key."""
        ...

    def put_blob(self, data: bytes) -> BlobRef: ...

    def get_blob(self, ref: BlobRef) -> bytes: ...

    def record(self, run_id: str, contribution: Contribution) -> None:
        """Add what a run leaves, in one transaction."""
        ...


class Store(Protocol):
    """A place with runs."""

    def new_id(self) -> str:
        """An id for a new run: sorts by time, unique."""
        ...

    def create(self, run_id: str, events: list[Event], files: Mapping[str, bytes] | None = None) -> Journal:
        """A new run with its first batch, opened for writing at epoch 1, and plain files kept beside it.

        Raises CannotCreateError or DeniedError.
        """
        ...

    def open(self, run_id: str, *, take_over: bool = False, kill_children: KillChildren | None = None) -> Journal:
        """Open a run for writing: the epoch is raised, and no child of an earlier owner is left.

        Raises NotFoundError, OwnedError (with `take_over` only if the owner cannot be ended), CorruptJournalError,
        JournalError.
        """
        ...

    def reader(self, run_id: str) -> JournalReader:
        """Open a run for reading. Raises NotFoundError, JournalError."""
        ...

    def owner(self, run_id: str) -> str | None:
        """Who has the run open for writing (`process 7 on host since ...`), as far as that can be told from outside.
        Raises NotFoundError."""
        ...

    def runs(self) -> list[str]:
        """The ids of all runs, newest first."""
        ...

    def resolve(self, prefix: str) -> str:
        """The id that a prefix, or `last`, means. Raises NotFoundError that lists the candidates."""
        ...

    def remove(self, run_id: str) -> None:
        """Delete a run with everything it kept. Raises NotFoundError, OwnedError, JournalError."""
        ...

    @property
    def history(self) -> History: ...
