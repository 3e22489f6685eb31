"""Content-addressed files: a blob's name is the sha256 of its bytes, so it is written once and can prove itself.

A blob is durable under its name before `put` returns; the batch that refers to it is appended after that.
"""

from __future__ import annotations

import re
from pathlib import Path

from weft.errors import CorruptJournalError, JournalError
from weft.journal.folder import sync_folder, write_file
from weft.values import BlobRef, blob_digest

_NAME = re.compile(r"[0-9a-f]{64}\Z")


class Blobs:
    """The blobs in one folder. Safe to use from several threads and processes at once."""

    __slots__ = ("_durable", "_owner", "folder")

    def __init__(self, folder: Path, owner: str, *, durable: bool = True) -> None:
        self.folder = folder
        self._owner = owner
        self._durable = durable

    def put(self, data: bytes) -> BlobRef:
        """Keep the bytes. Raises JournalError; nothing of a failed write stays."""
        ref = BlobRef(blob_digest(data), len(data))
        path = self.folder / ref.sha256
        try:
            if self._has(path, ref):
                if self._durable:
                    sync_folder(self.folder)  # who wrote it may not have come so far
            else:
                write_file(path, data, durable=self._durable)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise JournalError(f"cannot keep an output of {len(data)} bytes in {self.folder}: {reason}") from error
        return ref

    def get(self, ref: BlobRef) -> bytes:
        """The bytes, verified. Raises CorruptJournalError, JournalError."""
        if not _NAME.match(ref.sha256):
            raise CorruptJournalError(f"{ref.sha256[:80]!r} in {self._owner} is not the name of a blob")
        try:
            data = (self.folder / ref.sha256).read_bytes()
        except FileNotFoundError:
            raise CorruptJournalError(f"blob {ref.sha256[:12]} of {self._owner} is missing") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise JournalError(f"cannot read blob {ref.sha256[:12]} of {self._owner}: {reason}") from error
        if len(data) != ref.size or blob_digest(data) != ref.sha256:
            raise CorruptJournalError(f"blob {ref.sha256[:12]} of {self._owner} is damaged: other bytes were kept")
        return data

    def _has(self, path: Path, ref: BlobRef) -> bool:
        """Whether the blob is there and whole; a damaged one is written again."""
        try:
            return path.stat().st_size == ref.size and blob_digest(path.read_bytes()) == ref.sha256
        except FileNotFoundError:
            return False
