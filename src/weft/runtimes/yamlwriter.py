"""JSON data as YAML that every reader understands the same way.

YAML 1.1 and 1.2 disagree about `no`, `012`, `1:30`, `0o14`, `1e3`. So a text is only written bare when it
cannot be read as anything else under either, and as a JSON string (which is YAML, too) otherwise; several
lines become a `|` block.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./()+@%-]*(?: [A-Za-z0-9_./()+@%-]+)*\Z")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_BLOCK = re.compile(r"(?![ \n])[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]+\Z")
_STRANGE = re.compile(
    r"[^\x20-\x7e\xa1-\u1fff\u2030-\ud7ff\uf900-\ufdcf\ufe10-\ufefe\uff01-\uffdc\U0001f300-\U0001faff]"
)
"""What is written as an escape: control and private characters, ends of lines, what readers may refuse."""
_TRAILING = re.compile(r"[ \t]+(?:\n|\Z)|\n\n\Z")


def dump(value: Any) -> bytes:
    """`value` (plain JSON data) as a YAML document in block style, two spaces a level."""
    return "".join(_document(value)).encode()


def _document(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield from _block(value, "")
    else:
        yield f"{_inline(value, '')}\n"


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{indent}{_text(key)}:", inner, indent)
    else:
        for inner in value:
            yield from _entry(f"{indent}-", inner, indent)


def _entry(lead: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield f"{lead}\n"
        yield from _block(value, indent + "  ")
    else:
        yield f"{lead} {_inline(value, indent + '  ')}\n"


def _inline(value: Any, indent: str) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if "\n" in value and _BLOCK.match(value) and not _TRAILING.search(value):
        sign = "|" if value.endswith("\n") else "|-"
        body = "\n".join(indent + line if line else "" for line in value.removesuffix("\n").split("\n"))
        return f"{sign}\n{body or indent}"
    return _text(value)


def _text(text: str) -> str:
    if _BARE.match(text) and text.lower() not in _WORDS:
        return text
    return _STRANGE.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
