"""What machines read: `weft.run/1`, and events as lines. UTF-8, times as ISO-8601 with Z.

A result is written piece by piece, so that ten thousand outputs are never in memory at once. What would move a
terminal's cursor or turn its text around is written as `\\u` escapes, which JSON allows and every reader
understands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from weft.cli.words import instant
from weft.errors import NodeFailed
from weft.event_types import Event
from weft.results import NodeResult, RunResult

RUN_SCHEMA = "weft.run/1"
LISTED = 10_000
"""Nodes at most in one object."""
_TIMES = ("at", "due")
_HARMFUL = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_encoder = msgspec.json.Encoder(enc_hook=str)


def encode(value: object) -> bytes:
    """JSON on one line, harmless on a terminal."""
    try:
        data = _encoder.encode(value)
    except UnicodeEncodeError:  # a file's name that is not UTF-8
        data = _encoder.encode(_representable(value))
    if data.isascii() and b"\x7f" not in data:
        return data
    text = data.decode()
    return text.encode() if text.isprintable() else _HARMFUL.sub(_escaped, text).encode()


def _escaped(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _representable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_representable(key): _representable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_representable(item) for item in value]
    return value


def event_object(event: Event) -> dict[str, object]:
    """An event as one flat object: its type, its times, what it says; what was not said is left out."""
    out: dict[str, object] = {"type": type(event).__name__, "at": instant(event.at)}
    defaults = dict(zip(reversed(event.__struct_fields__), reversed(event.__struct_defaults__), strict=False))
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name in _TIMES:
            if name != "at":
                out[name] = instant(value)
        elif name in ("attempt", "duration", "path") or value != defaults.get(name, msgspec.NODEFAULT):
            out[name] = value
    return out


def event_line(event: Event) -> bytes:
    """An event as one line."""
    return encode(event_object(event)) + b"\n"


def run_pieces(result: RunResult, exit_code: int | None, status: str | None = None) -> Iterator[bytes]:
    """The object `weft.run/1`, in pieces. Raises JournalError when an output cannot be read."""
    head = {
        "schema": RUN_SCHEMA,
        "run": result.run_id,
        "workflow": result.workflow,
        "status": status or result.status,
        "exit_code": exit_code,
        "output": result.output,
        "started_at": instant(result.started_at),
        "completed_at": instant(result.completed_at),
        "duration": _rounded(result.duration),
        "waves": result.waves,
        "current_wave": result.current_wave,
    }
    yield encode(head)[:-1] + b',"nodes":{'
    left_out = result.nodes_left_out
    for number, (path, node) in enumerate(result.nodes.items()):
        if number >= LISTED:
            left_out += len(result.nodes) - LISTED
            break
        yield (b"," if number else b"") + encode(path) + b":" + encode(_node(node))
    tail = {
        "nodes_left_out": left_out,
        "errors": [_error(error) for error in result.errors],
        "rollback": result.rollback,
    }
    yield b"}," + encode(tail)[1:] + b"\n"


def _node(node: NodeResult) -> dict[str, Any]:
    return {
        "kind": node.kind,
        "status": node.status,
        "output": node.output,
        "error": None if node.error is None else _whole(node.error),
        "attempts": node.attempts,
        "reason": node.reason,
        "started_at": instant(node.started_at),
        "completed_at": instant(node.completed_at),
        "duration": _rounded(node.duration),
    }


def _error(failed: NodeFailed) -> dict[str, Any]:
    error = failed.error
    return {"path": failed.path, "type": error.type, "message": error.message, "attempt": failed.attempt}


def _whole(error: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(error, name) for name in error.__struct_fields__}


def _rounded(duration: float | None) -> float | None:
    return None if duration is None else round(duration, 6)


def write_object(send: Callable[[bytes], None], value: object) -> None:
    """One object and a line end."""
    send(encode(value) + b"\n")
