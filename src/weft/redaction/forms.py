"""The forms of a secret: the ways in which it may be written, each computed from it.

Base64 has no border between bytes: a secret in the middle of an encoded text shares its first and its last
character with its neighbours. Those two stay as they are (they carry at most 4 bits of it each); the
characters between depend on the secret alone and its alignment (0, 1 or 2 bytes after a group's start), and
are hidden. At the end of an encoded text the last character and the padding are computable as well (`e`,
`p`).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import msgspec

MIN_LENGTH = 6
"""Characters of the shortest secret, and of the shortest form that is looked for."""

_HEX = re.compile(r"%[0-9A-F]{2}")


class Form(msgspec.Struct, frozen=True):
    """One spelling of one secret: `text` is `derived(secret, form)` of the secret called `name`."""

    name: str
    form: str
    text: str


def forms_of(secret: str) -> Iterator[tuple[str, str]]:
    """Every form of a secret and, when it has several lines, of each line that is long enough."""
    names = (*_FORMS, *(f"{name}-low" for name in _URLS), *_BASE64)
    parts = [("", secret)]
    lines = _lines(secret)
    if lines != [secret]:
        parts += [(f"@{number}", line) for number, line in enumerate(lines, 1) if len(line) >= MIN_LENGTH]
    for suffix, part in parts:
        for name in names:
            text = derived(part, name)
            if len(text) >= MIN_LENGTH:
                yield name + suffix, text


def derived(secret: str, form: str) -> str:
    """The characters that `secret` has in the form `form`; `form@2` is that of its second line. Raises KeyError."""
    form, _, line = form.partition("@")
    if line:
        secret = _lines(secret)[int(line) - 1]
    if form.startswith("base64"):
        return _base64(secret, form)
    if form.endswith("-low"):
        return _lowered(_URLS[form.removesuffix("-low")](secret))
    return _FORMS[form](secret)


def _base64(text: str, form: str) -> str:
    alphabet, _, variant = form.partition("-")
    alignment, end = int(variant[0]), variant[1:]
    data = text.encode()
    whole = b64encode(b"\0" * alignment + data, b"-_" if alphabet == "base64url" else None).decode()
    first = (8 * alignment + 5) // 6
    last = 8 * (alignment + len(data)) // 6
    if end == "p":
        return whole[first:]
    return whole.rstrip("=")[first:] if end == "e" else whole[first:last]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def _lowered(text: str) -> str:
    return _HEX.sub(lambda match: match[0].lower(), text)


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _json_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]


_URLS: dict[str, Callable[[str], str]] = {
    "url": lambda text: quote(text, safe=""),
    "url-path": lambda text: quote(text, safe="/"),
    "url-plus": quote_plus,
    "url-js": lambda text: quote(text, safe="!'()*"),
    "url-query": lambda text: quote(text, safe="!$&'()*+,;=:@/?"),
}
_FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "json": _json,
    "json-ascii": _json_ascii,
    "json-slash": lambda text: _json_ascii(text).replace("/", "\\/"),
    "json-twice": lambda text: _json(_json(text)),
    "repr": lambda text: repr(text)[1:-1],
    **_URLS,
    "hex": lambda text: text.encode().hex(),
    "hex-up": lambda text: text.encode().hex().upper(),
}
_BASE64 = tuple(
    f"{alphabet}-{alignment}{end}"
    for alphabet in ("base64", "base64url")
    for alignment in (0, 1, 2)
    for end in ("", "e", "p")
)
