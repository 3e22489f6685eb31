"""A result as strict JSON: as `weft.values.encode`, and in its words."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from .failing import Refused

MAX_DEPTH = 100
CONTAINERS: set[type] = {dict, list, tuple}
INSPECTED: set[type] = {dict, list, tuple, float, int}


def encode(value: Any) -> bytes:
    """The JSON of a value. Raises Refused with the place of what is none."""
    try:
        if not suspicious(value):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=plain)
            return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        pass
    place, reason = culprit(value, "$", 0) or ("$", "something in it is not JSON data")
    raise Refused("ValidationError", f"{reason} at {place}", place, "return JSON data")


def suspicious(value: Any) -> bool:
    """Whether plain containers hold what `json` would let pass: NaN, keys that are not text, huge integers, depth."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        kind = type(item)
        if kind is float:
            if not math.isfinite(item):
                return True
        elif kind is int:
            if not -(1 << 63) <= item < 1 << 64:
                return True
        elif kind in CONTAINERS:
            if depth > MAX_DEPTH or (kind is dict and not {str}.issuperset(map(type, item))):
                return True
            inner = item.values() if kind is dict else item
            stack.extend([(x, depth + 1) for x in inner if type(x) in INSPECTED])
    return False


def plain(value: Any) -> Any:
    """The JSON form of what is not JSON itself; what it holds is converted in turn. Raises TypeError."""
    found = opened(value)
    if suspicious(found):
        raise TypeError("not JSON data")
    return found


def opened(value: Any) -> Any:
    """One layer of a value in plain types. Modules are asked for only if the value's class can come from them."""
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    if hasattr(kind, "__struct_fields__"):
        return {name: getattr(value, name) for name in kind.__struct_fields__}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
    if hasattr(kind, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return sorted(value) if len(set(map(type, value))) == 1 else list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return base64.b64encode(value).decode("ascii")
    return opened_by_module(value)


def opened_by_module(value: Any) -> Any:
    modules = sys.modules
    if "enum" in modules and isinstance(value, modules["enum"].Enum):
        return value.value
    if "datetime" in modules:
        known = modules["datetime"]
        if isinstance(value, known.datetime):
            text = value.isoformat()
            return text[:-6] + "Z" if text.endswith("+00:00") else text
        if isinstance(value, (known.date, known.time)):
            return value.isoformat()
        if isinstance(value, known.timedelta):
            return duration(value)
    if "uuid" in modules and isinstance(value, modules["uuid"].UUID):
        return str(value)
    if "decimal" in modules and isinstance(value, modules["decimal"].Decimal):
        return str(value)
    raise TypeError("not JSON data")


def duration(value: Any) -> str:
    """ISO 8601, as msgspec writes it: `P1DT3.5S`."""
    sign = "-" if value.days < 0 else ""
    value = abs(value)
    text = sign + "P" + (f"{value.days}D" if value.days or not value else "")
    if value.seconds or value.microseconds:
        fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
        text += f"T{value.seconds}{fraction}S"
    return text


def culprit(value: Any, place: str, depth: int) -> tuple[str, str] | None:
    """The first place that cannot be encoded, and why."""
    if depth > MAX_DEPTH:
        return place, f"nested deeper than {MAX_DEPTH} levels"
    if value is None or isinstance(value, (str, float, int)):
        return scalar_culprit(value, place)
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                return place, f"the key {key!r} is not text"
            inside = f"{place}.{key}" if str(key).isprintable() else f"{place}[{key!a}]"
            found = scalar_culprit(key, inside) or culprit(item, inside, depth + 1)
            if found:
                return found
        return None
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            found = culprit(item, f"{place}[{index}]", depth + 1)
            if found:
                return found
        return None
    try:
        return culprit(opened(value), place, depth + 1)
    except Exception:
        return place, f"{type(value).__name__} is not JSON data"


def scalar_culprit(value: Any, place: str) -> tuple[str, str] | None:
    if isinstance(value, float) and not math.isfinite(value):
        return place, f"{value} is not JSON"
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return place, "an integer beyond 64 bits"
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return place, "a lone surrogate is not text"
    return None
