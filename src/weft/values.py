"""The JSON border: what may be a value, how it is encoded, and what names it.

Values are JSON data: None, bool, int, float, str, list, dict with text keys. What Python code returns is encoded
once, here; everything that cannot be encoded is an error that names the place (`$.rows[3].when`). NaN and Infinity
are refused by us because msgspec writes them as null in silence; depth is bounded because recursive readers are
everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from weft.errors import ValidationError

MAX_DEPTH = 100
MAX_INLINE = 64 * 1024
"""Bytes of an encoded value that stay in the journal; larger ones become a blob."""

_encoder = msgspec.json.Encoder(order=None)
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_PLAIN = frozenset((str, bool, int, type(None)))


class BlobRef(msgspec.Struct, frozen=True):
    """A value kept beside the journal: the sha256 of its bytes (hex) and their number."""

    sha256: str
    size: int


def encode(value: object) -> bytes:
    """`value` as strict JSON.

    Raises ValidationError with the place of what cannot be encoded: an unknown type, NaN or Infinity, an integer
    beyond 64 bits, a lone surrogate, a depth over 100.
    """
    try:
        if type(value) not in _PLAIN and _refuse(value):
            value = msgspec.to_builtins(value)
            _refuse(value)  # a NaN inside a dataclass or a model
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _refusal(value, error) from None
    try:
        encoded = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _refusal(value, error) from None
    if _LONG_NUMBER.search(encoded) is not None and (found := _culprit(_decoder.decode(encoded), "$", 0)):
        raise ValidationError(f"{found[1]} at {found[0]}", path=found[0], hint="send it as text")
    return encoded


def decode(data: bytes | bytearray | memoryview | str | msgspec.Raw) -> Any:
    """The value of strict JSON bytes. Raises ValidationError."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValidationError(f"not JSON: {error}") from None


def plain(value: object) -> Any:
    """`value` as JSON data of our own: what a reader would get back from the journal."""
    return decode(encode(value))


def digest(*parts: object) -> str:
    """sha256 (hex) over the canonical JSON (keys sorted) of the parts."""
    return sha256(_sorted_encoder.encode(parts)).hexdigest()


def blob_digest(data: bytes) -> str:
    """The name of a blob: sha256 (hex) of its bytes."""
    return sha256(data).hexdigest()


def type_name(value: object) -> str:
    """The word for a value's type in messages: null, boolean, number, text, list, object."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list() | tuple():
            return "list"
        case dict():
            return "object"
        case _:
            return type(value).__name__


def _refusal(value: object, error: Exception) -> ValidationError:
    place, reason = _culprit(value, "$", 0) or ("$", str(error))
    return ValidationError(f"{reason} at {place}", path=place, hint="return JSON data")


def _refuse(value: object) -> bool:
    """Raise for NaN, Infinity, keys that are no text, and too great a depth; true when there is something that is no
    JSON data yet. Iterative: a value may be nested deeper than the stack.
    """
    foreign = False
    stack: list[tuple[Any, int]] = [(value, 0)]
    inner: Any
    while stack:
        item, depth = stack.pop()
        if type(item) is float:
            if not math.isfinite(item):
                raise _refusal(value, ValueError("not a finite number"))
            continue
        if depth > MAX_DEPTH:
            raise ValidationError(f"nested deeper than {MAX_DEPTH} levels", hint="flatten the value")
        if isinstance(item, dict):
            if not all(type(key) is str for key in item):
                _refuse_keys(value)
            inner = item.values()
        elif isinstance(item, list | tuple):
            inner = item
        else:
            foreign = True
            continue
        stack.extend([(x, depth + 1) for x in inner if type(x) not in _PLAIN])
    return foreign


def _refuse_keys(value: object) -> None:
    """A number as a key would come back as text."""
    if found := _culprit(value, "$", 0):
        raise ValidationError(f"{found[1]} at {found[0]}", path=found[0], hint="keys of objects are text")


def _culprit(value: object, place: str, depth: int) -> tuple[str, str] | None:
    """The first place that cannot be encoded, and why."""
    if depth > MAX_DEPTH:
        return place, f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, float) and not math.isfinite(value):
        return place, f"{value} is not JSON"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return place, "an integer beyond 64 bits"
    if isinstance(value, Mapping):
        return _culprit_inside_mapping(value, place, depth)
    if isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            if found := _culprit(item, f"{place}[{index}]", depth + 1):
                return found
        return None
    try:
        _encoder.encode(value)
    except UnicodeEncodeError:
        return place, "a lone surrogate is not text"
    except OverflowError:
        return place, "an integer beyond 64 bits"
    except (TypeError, ValueError, RecursionError):
        return place, f"{type(value).__name__} is not JSON data"
    return None


def _culprit_inside_mapping(value: Mapping[Any, object], place: str, depth: int) -> tuple[str, str] | None:
    for key, item in value.items():
        if not isinstance(key, str):
            return place, f"the key {key!r} is not text"
        inside = f"{place}.{key}" if key.isprintable() else f"{place}[{key!a}]"
        if found := _culprit(key, inside, depth + 1) or _culprit(item, inside, depth + 1):
            return found
    return None
