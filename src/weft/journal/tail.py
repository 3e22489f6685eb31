"""The witness of the last batch: what a chain of checksums cannot see is that its end is missing.

SQLite keeps the newest commits in a second file (`journal.db-wal`). Delete that file, cut it, or flip one
byte in it, and SQLite opens the database without complaint as it was some commits ago: a journal that has
quietly forgotten. So after every commit its number and checksum are written, without an fsync, into
`journal.tail`: one page, one small write. Opening the journal compares; a journal that ends before its
witness, or has another batch at that place, is refused.

It never accuses falsely. It is written after the commit is durable, so it can lag and never lead. It bears
a checksum of its own; torn, damaged or missing, it says nothing. Under `durability="process"` a power cut
may take commits that it has seen: such a witness counts only until the machine is started anew (boot id).

What it cannot see: commits after the last time the kernel wrote the page back (up to about 30 s), when both
a power cut and damage to the -wal file come together; and a folder that was replaced as a whole by an older
copy of itself."""

from __future__ import annotations

import os
import struct
from binascii import crc32
from pathlib import Path
from typing import NamedTuple

from weft.journal.base import Durability

_LAYOUT = struct.Struct("<4sB16sQ32s")
_CRC = struct.Struct("<I")
_MAGIC = b"weft"
SIZE = _LAYOUT.size + _CRC.size


class Witness(NamedTuple):
    """The last batch that was known to be committed: its number and checksum."""

    number: int
    checksum: bytes


class Tail:
    """The file of the witness, open for writing."""

    __slots__ = ("_boot", "_fd", "_kind")

    def __init__(self, path: Path, durability: Durability, boot: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._kind = 1 if durability == "power" else 2
        self._boot = _short(boot)

    def set(self, number: int, checksum: bytes) -> None:
        """Note a committed batch. Raises OSError."""
        record = _LAYOUT.pack(_MAGIC, self._kind, self._boot, number, checksum)
        os.pwrite(self._fd, record + _CRC.pack(crc32(record)), 0)

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def witness(path: Path, boot: str) -> Witness | None:
    """What the witness says, if it says anything that counts."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) != SIZE or crc32(data[: _LAYOUT.size]) != _CRC.unpack(data[_LAYOUT.size :])[0]:
        return None
    magic, kind, booted, number, checksum = _LAYOUT.unpack(data[: _LAYOUT.size])
    if magic != _MAGIC or (kind == 2 and (not boot or booted != _short(boot))):
        return None
    return Witness(number, checksum)


def _short(boot: str) -> bytes:
    return boot.replace("-", "")[:16].encode("ascii", "replace").ljust(16, b"\0")
