"""Canary secrets, every form that they could leak in, and a search through every byte a run leaves behind."""

from __future__ import annotations

import json
import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

PLAIN = "cNryPLAIN7f3a9Zq0secret"
ODD = 'k"e\\y/ü+=&%~ cNryODD ☃ zz'
LONG = "cNryLONG-" + "-".join(f"{number:04x}" for number in range(7, 700, 11))
SECRETS = {"PLAIN": PLAIN, "ODD": ODD, "LONG": LONG}
FRONT = "secrets: [PLAIN, ODD, LONG]\n"


def _base64(data: bytes) -> Iterator[bytes]:
    """What depends on `data` alone, wherever in a longer text it stands."""
    for encode in (b64encode, urlsafe_b64encode):
        for shift in range(3):
            first, last = (8 * shift + 5) // 6, 8 * (shift + len(data)) // 6
            yield encode(b"\0" * shift + data)[first:last]


def forms(secret: str) -> set[bytes]:
    """Every spelling that must not be found."""
    data = secret.encode()
    texts = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        quote(secret, safe="").lower() if "%" in quote(secret, safe="") else secret,
        repr(secret)[1:-1],
        json.dumps(json.dumps(secret, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1],
    }
    found = {text.encode() for text in texts} | set(_base64(data)) | {data.hex().encode(), data.hex().upper().encode()}
    return {form for form in found if len(form) >= 6}


def pieces(secret: str) -> set[bytes]:
    """The beginning of a long secret: half of one is a leak, too."""
    return {secret[:24].encode(), secret[-24:].encode()}


ALL = {form: name for name, secret in SECRETS.items() for form in forms(secret)}
ALL |= dict.fromkeys(pieces(LONG), "LONG (a piece)")


def found_in(data: bytes) -> set[str]:
    """The names of the canaries that are in `data`."""
    return {f"{name} as {form[:40]!r}" for form, name in ALL.items() if form in data}


def leaks(*folders: Path, spare: Iterable[Path] = ()) -> dict[str, set[str]]:
    """The files below the folders, and their names, that a canary is in; `spare` are meant to have one."""
    spared = {path.resolve() for path in spare}
    found: dict[str, set[str]] = {}
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                path = Path(where) / name
                if path.resolve() not in spared and path.is_file():
                    here = found_in(path.read_bytes()) | found_in(os.fsencode(name))
                    if here:
                        found[str(path)] = here
    return found
