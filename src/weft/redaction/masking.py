"""Hides secrets in what people read. There is no way back."""

from __future__ import annotations

from collections.abc import Iterable

from weft.redaction.search import Search

MASK = "***"
CUT = "…"
"""Stands where a message leaves something out: what is beside it may be a piece of a secret."""
MESSAGE = 64 * 1024
"""Characters of the longest message that is looked through for cuts; longer texts are somebody else's words."""
MIN_PIECE = 4
"""Characters of a piece of a secret that are hidden beside a cut."""


def mask(text: str, search: Search[str], forms: Iterable[str]) -> str:
    """`text` with every occurrence hidden, and every piece of one of the `forms` that a cut has left."""
    masked = search.replaced(text, MASK)
    return _mask_pieces(masked, tuple(forms)) if CUT in masked and len(masked) <= MESSAGE else masked


def _mask_pieces(text: str, forms: tuple[str, ...]) -> str:
    """`text` without what stands before a cut and begins a form, or behind one and ends it."""
    parts = text.split(CUT)
    for number, part in enumerate(parts):
        before = max(_begun(part, form) for form in forms) if number < len(parts) - 1 else 0
        if before:
            part = part[:-before] + MASK
        behind = max(_ended(part, form) for form in forms) if number else 0
        parts[number] = MASK + part[behind:] if behind else part
    return CUT.join(parts)


def _begun(part: str, form: str) -> int:
    """Characters at the end of `part` that begin the form, as many as there are; 0 for under `MIN_PIECE`."""
    room = min(len(form) - 1, len(part))
    at = part.find(form[:MIN_PIECE], len(part) - room)
    while at >= 0 and not form.startswith(part[at:]):
        at = part.find(form[:MIN_PIECE], at + 1)
    return len(part) - at if at >= 0 else 0


def _ended(part: str, form: str) -> int:
    """Characters at the start of `part` that end the form, as many as there are; 0 for under `MIN_PIECE`."""
    room = min(len(form) - 1, len(part))
    at = part.rfind(form[-MIN_PIECE:], 0, room)
    while at >= 0 and not form.endswith(part[: at + MIN_PIECE]):
        at = part.rfind(form[-MIN_PIECE:], 0, at + MIN_PIECE - 1)
    return at + MIN_PIECE if at >= 0 else 0


class StreamMasker:
    """Masks bytes that come in pieces, also where a secret is split between two. One per stream.

    `feed` gives back what is settled; it holds back only an end that may be the beginning of a secret.
    """

    __slots__ = ("_held", "_search")

    def __init__(self, search: Search[bytes] | None) -> None:
        self._search = search
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be shown now."""
        if self._search is None:
            return chunk
        data = self._held + chunk
        out: list[bytes] = []
        at = 0
        limit = self._search.undecided(data, 0)
        for start, end, _ in self._search.spans(data):
            if start >= limit:
                break
            out += (data[at:start], MASK.encode())
            at = end
            if at > limit:
                limit = self._search.undecided(data, at)
        self._held = data[limit:]
        out.append(data[at:limit])
        return b"".join(out)

    def flush(self) -> bytes:
        """The rest, when nothing more will come."""
        data, self._held = self._held, b""
        return data if self._search is None else self._search.replaced(data, MASK.encode())
