"""Durations as people write them, in seconds."""

from __future__ import annotations

import re

from weft.errors import ExpressionError

GRAMMAR = "500ms, 5s, 1m, 2h, 1d, 1h30m, 1.5s or PT1H"
MAX_SECONDS = 3650 * 86_400.0

_SHORT = re.compile(
    r"(?:(?P<d>[0-9]+(?:\.[0-9]+)?)d)?(?:(?P<h>[0-9]+(?:\.[0-9]+)?)h)?(?:(?P<m>[0-9]+(?:\.[0-9]+)?)m(?!s))?"
    r"(?:(?P<s>[0-9]+(?:\.[0-9]+)?)s)?(?:(?P<ms>[0-9]+(?:\.[0-9]+)?)ms)?"
)
_ISO = re.compile(
    r"P(?=[0-9T])(?:(?P<d>[0-9]+(?:\.[0-9]+)?)D)?"
    r"(?:T(?=[0-9])(?:(?P<h>[0-9]+(?:\.[0-9]+)?)H)?(?:(?P<m>[0-9]+(?:\.[0-9]+)?)M)?(?:(?P<s>[0-9]+(?:\.[0-9]+)?)S)?)?"
)
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LONGEST = 64


def parse_duration(text: str) -> float:
    """Seconds of a duration: `500ms`, `5s`, `1m`, `2h`, `1d`, `1h30m` (units falling), `1.5s`, `PT1H`, `P1DT2H`.

    Raises ExpressionError (code WEFT430), which shows the grammar, for anything else: a bare number, a sign,
    an unknown unit, more than ten years.
    """
    trimmed = text.strip()
    match = _SHORT.fullmatch(trimmed) or _ISO.fullmatch(trimmed) if 0 < len(trimmed) <= _LONGEST else None
    if match is None:
        shown = "".join(c if c.isprintable() else "?" for c in text[:40]) + ("…" if len(text) > 40 else "")
        raise ExpressionError(f"{shown!r} is not a duration", 0, max(len(text), 1), code="WEFT430", hint=_hint(trimmed))
    seconds = sum(float(amount) * _SECONDS[unit] for unit, amount in match.groupdict().items() if amount)
    if seconds > MAX_SECONDS:
        raise ExpressionError(
            f"{trimmed!r} is too long for a duration", 0, len(text), code="WEFT430", hint="at most 3650d"
        )
    return seconds


_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*([0-9]{0,6})\s*(ms|s|sec|m|min|h|d)")
_UNITS = {**_SECONDS, "sec": 1.0, "min": 60.0}


def parse_rate(text: str) -> tuple[float, float] | None:
    """Starts per seconds, of `10/s`, `100/m`, `5/2h`: (10, 1), (100, 60), (5, 7200). None when it is no rate."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        return None
    rate, per = float(found[1]), _UNITS[found[3]] * int(found[2] or 1)
    return (rate, per) if rate and per else None


def _hint(text: str) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) and len(text) <= 20:
        return f"give it a unit: {text}s, or write one of {GRAMMAR}"
    return f"write it like {GRAMMAR}"
