"""What is known of a node that has ended, and how its output is kept.

An output is encoded once, when its attempt ends: the bytes go into the journal (or a blob) and stay here; whoever
reads the value decodes it once and shares it, as expressions cannot change it. Functions of the user's get a copy of
their own. Runs without a journal may carry any object, by reference, and encode nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from weft import values
from weft.event_types import NULL, AttemptSucceeded, SecretMark
from weft.redaction import Vault
from weft.runtimes.base import FileList, FileRows, Reference
from weft.values import BlobRef

_UNREAD = object()
_REFERENCES: dict[str, type[Reference]] = {"FileRows": FileRows, "FileList": FileList}
_NOT_HELD = frozenset(_REFERENCES.values())


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """An output as events carry it."""

    output: msgspec.Raw = NULL
    blob: BlobRef | None = None
    secrets: tuple[SecretMark, ...] = ()
    reference: msgspec.Raw = NULL


NOT_ENCODED = Encoded()
"""Of an output that is kept by reference."""


class Record(msgspec.Struct, eq=False):
    """How a node ended, as expressions see it: `a.output, a.error, a.status, a.attempts, ...`."""

    status: str
    value: Any = _UNREAD
    """The output, once it was decoded, or where it never was encoded."""
    encoded: Encoded | None = None
    """The output as it stands in the journal; None for an object that was never encoded."""
    keeper: Outputs | None = None
    """Who decodes it."""
    error: Any = None
    attempts: int = 0
    duration: float | None = None
    stderr: str | None = None
    exit_code: int | None = None

    @property
    def output(self) -> Any:
        """The value; null when there is none. Large ones are read each time and not kept."""
        if self.value is not _UNREAD:
            return self.value
        if self.encoded is None or self.keeper is None:
            return None
        value = self.keeper.load(self.encoded)
        if self.encoded.blob is None:
            self.value = value
        return value

    def copy(self) -> Any:
        """The value, for somebody who may change it."""
        if self.encoded is None or self.keeper is None:
            return self.output
        return self.keeper.load(self.encoded)

    def field(self, name: str) -> Any:
        """A field of the record, by the word expressions use."""
        if name == "output":
            return self.output
        return getattr(self, name)


MISSING = Record("pending", value=None)
"""Stands for a node that has not run: everything of it is null."""


class Outputs:
    """Encodes outputs for the journal, with secrets sealed, and reads them back, with secrets filled in."""

    __slots__ = ("_get", "_put", "_vault", "by_reference", "objects")

    def __init__(
        self,
        vault: Vault | None,
        put_blob: Callable[[bytes], BlobRef],
        get_blob: Callable[[BlobRef], bytes],
        *,
        by_reference: bool = False,
    ) -> None:
        self._vault = vault
        self._put = put_blob
        self._get = get_blob
        self.by_reference = by_reference
        self.objects: dict[str, Any] = {}
        """The outputs themselves, by path, where they are kept by reference; that of the document at no path."""

    def encode(self, value: object) -> Encoded:
        """Raises ValidationError when it is no JSON data, JournalError when a blob cannot be kept."""
        if type(value) in _NOT_HELD:
            return Encoded(reference=msgspec.Raw(values.encode([type(value).__name__, msgspec.to_builtins(value)])))
        marks: tuple[SecretMark, ...] = ()
        if self._vault is not None:
            value, marks = self._vault.seal(values.plain(value))
        data = values.encode(value)
        return self.encode_bytes(data, marks)

    def as_record(self, value: object) -> Record:
        """The record of a value that no attempt gave. Raises as `encode`."""
        if self.by_reference:
            return Record("succeeded", value=value, attempts=1)
        return Record("succeeded", encoded=self.encode(value), keeper=self, attempts=1)

    def inline(self, value: object) -> Encoded:
        """As `encode`, but whatever its size, and rows of a file read in."""
        marks: tuple[SecretMark, ...] = ()
        if self._vault is not None:
            value, marks = self._vault.seal(values.plain(value))
        return Encoded(output=msgspec.Raw(values.encode(value)), secrets=marks)

    def encode_bytes(self, data: bytes, marks: tuple[SecretMark, ...] = ()) -> Encoded:
        """An output that is JSON already."""
        if len(data) > values.MAX_INLINE:
            return Encoded(blob=self._put(data), secrets=marks)
        return Encoded(output=msgspec.Raw(data), secrets=marks)

    def keep_bytes(self, data: bytes) -> dict[str, Any]:
        """Keep bytes beside the journal, whatever they are; the answer finds them again, as data."""
        ref = self._put(data)
        return {"sha256": ref.sha256, "size": ref.size}

    def load_bytes(self, kept: dict[str, Any]) -> bytes:
        """What `keep_bytes` kept."""
        return self._get(BlobRef(kept["sha256"], kept["size"]))

    def load(self, encoded: Encoded) -> Any:
        """The value that was encoded."""
        if encoded.blob is not None:
            value = values.decode(self._get(encoded.blob))
        elif bytes(encoded.reference) != b"null":
            name, fields = values.decode(encoded.reference)
            return msgspec.convert(fields, _REFERENCES[name])
        else:
            value = values.decode(encoded.output)
        if encoded.secrets and self._vault is not None:
            value = self._vault.open(value, encoded.secrets)
        return value

    def record(self, event: AttemptSucceeded) -> Record:
        """The record of an attempt that ended well."""
        return Record(
            "succeeded",
            encoded=Encoded(event.output, event.blob, event.secrets, event.reference),
            keeper=self,
            attempts=event.attempt,
            duration=event.duration,
            stderr=event.stderr,
            exit_code=event.exit_code,
        )
