"""The results of a foreach while it runs: bytes on disk, offsets in memory.

Iterations end in any order and there may be a million of them. Small ones stay in memory up to `MEMORY` bytes; from
then on the encoded values go to a file that has no name and vanishes with the process (a resume fills it again from
the journal).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from weft import values

MEMORY = 1 << 20
_NOTHING = b"null"


class Spool:
    """Encoded JSON values by index; what was never put is null."""

    __slots__ = ("_buffer", "_file", "_folder", "_places", "_size")

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None
        self._places = array("q")
        """For each index, offset * 2^28 + length; -1: null."""
        self._size = 0

    def put(self, index: int, data: bytes) -> None:
        """Keep the value of one iteration. A value of 256 MiB or more belongs into a blob, not here."""
        places = self._places
        if index >= len(places):
            places.extend([-1] * (index + 1 - len(places)))
        if data == _NOTHING:
            return
        places[index] = (self._size << 28) | len(data)
        self._size += len(data)
        self._buffer += data
        if len(self._buffer) > MEMORY:
            self._spill()

    def encoded(self, count: int) -> Iterator[bytes]:
        """The encoded values of the indexes below `count`, in order."""
        if self._file is not None:
            self._spill()
        for index in range(count):
            place = self._places[index] if index < len(self._places) else -1
            yield _NOTHING if place < 0 else self._read(place >> 28, place & 0xFFFFFFF)

    def get(self, index: int) -> bytes:
        """The encoded value at one index."""
        place = self._places[index] if index < len(self._places) else -1
        if place < 0:
            return _NOTHING
        if self._buffer and self._file is not None:
            self._spill()
        return self._read(place >> 28, place & 0xFFFFFFF)

    def array(self, count: int) -> bytes:
        """The list as JSON. Put together piece by piece: a join would hold a million small objects at once."""
        out = bytearray(b"[")
        for data in self.encoded(count):
            out += data
            out += b","
        out[-1:] = b"]" if count else b"[]"
        return bytes(out)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _read(self, offset: int, length: int) -> bytes:
        if self._file is None:
            return bytes(self._buffer[offset : offset + length])
        self._file.seek(offset)
        return self._file.read(length)

    def _spill(self) -> None:
        if self._file is None:
            import tempfile  # 4 ms that most runs never need

            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed in close()
        self._file.seek(0, 2)
        self._file.write(self._buffer)
        self._buffer.clear()


class SpooledItems:
    """A long list whose items are kept encoded, out of memory: what a foreach goes over. Read-only."""

    __slots__ = ("_count", "_spool", "digest")

    def __init__(self, items: list[Any], spool: Spool) -> None:
        self._spool = spool
        self._count = len(items)
        digest = sha256()
        for index, item in enumerate(items):
            data = values.encode(item)
            digest.update(data + b"\n")
            spool.put(index, data)
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return values.decode(self._spool.get(index))

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self._count))

    def close(self) -> None:
        """Let go of the items."""
        self._spool.close()
