"""Functions over times. A time is a text like `2024-05-01T12:00:00Z`, always UTC; a date alone is its midnight.

Formats are expanded here from a literal table: the C library's `strftime` differs from system to system and
takes widths (`%99999d`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from weft.errors import ExpressionError
from weft.text.arguments import number, text
from weft.text.data import is_number, show
from weft.text.durations import parse_duration
from weft.text.function import Function, define
from weft.text.scope import Fault, Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_DIRECTIVES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda t: f"{t.year:04}",
    "m": lambda t: f"{t.month:02}",
    "d": lambda t: f"{t.day:02}",
    "H": lambda t: f"{t.hour:02}",
    "I": lambda t: f"{t.hour % 12 or 12:02}",
    "M": lambda t: f"{t.minute:02}",
    "S": lambda t: f"{t.second:02}",
    "f": lambda t: f"{t.microsecond:06}",
    "p": lambda t: "AM" if t.hour < 12 else "PM",
    "y": lambda t: f"{t.year % 100:02}",
    "j": lambda t: f"{t.timetuple().tm_yday:03}",
    "a": lambda t: _DAYS[t.weekday()][:3],
    "A": lambda t: _DAYS[t.weekday()],
    "b": lambda t: _MONTHS[t.month - 1][:3],
    "B": lambda t: _MONTHS[t.month - 1],
    "u": lambda t: str(t.isoweekday()),
    "V": lambda t: f"{t.isocalendar().week:02}",
    "G": lambda t: f"{t.isocalendar().year:04}",
    "F": lambda t: f"{t.year:04}-{t.month:02}-{t.day:02}",
    "T": lambda t: f"{t.hour:02}:{t.minute:02}:{t.second:02}",
    "s": lambda t: str(int(t.timestamp() // 1)),
    "z": lambda _: "+0000",
    "Z": lambda _: "UTC",
    "%": lambda _: "%",
}


def now(frame: Frame) -> object:
    frame.take(2)
    return frame.scope.draw("now", _new_now)


def _new_now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def today(frame: Frame) -> object:
    frame.take(2)
    return frame.scope.draw("today", _new_today)


def _new_today() -> str:
    return _new_now()[:10]


def _read(frame: Frame, value: object) -> datetime:
    from datetime import UTC, datetime, timedelta

    frame.take(4)
    try:
        if is_number(value):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
        written = text(value).strip()
        if not 8 <= len(written) <= 40 or not written[0].isdigit():
            raise ValueError
        read = datetime.fromisoformat(written)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Fault(
            "WEFT424",
            f"this is not a time: {show(value)}",
            "write it like 2024-05-01T12:00:00Z or 2024-05-01",
        ) from None


def _write(time: datetime) -> str:
    whole = f"{time.year:04}-{time.month:02}-{time.day:02}T{time.hour:02}:{time.minute:02}:{time.second:02}"
    if not time.microsecond:
        return whole + "Z"
    if time.microsecond % 1000:
        return f"{whole}.{time.microsecond:06}Z"
    return f"{whole}.{time.microsecond // 1000:03}Z"


_DIRECTIVE = re.compile("%(.?)", re.DOTALL)


def parse_time(frame: Frame, value: object, form: object = None) -> str:
    if form is None:
        return _write(_read(frame, value))
    return _write(_read_by(frame, text(value), text(form)))


_PATTERNS = {
    "Y": r"(?P<Y>[0-9]{4})",
    "m": r"(?P<m>[0-9]{1,2})",
    "d": r"(?P<d>[0-9]{1,2})",
    "H": r"(?P<H>[0-9]{1,2})",
    "M": r"(?P<M>[0-9]{1,2})",
    "S": r"(?P<S>[0-9]{1,2})",
    "f": r"(?P<f>[0-9]{1,6})",
    "%": "%",
}


def _read_by(frame: Frame, written: str, form: str) -> datetime:
    """A time by the directives with a fixed width: they cannot make a pattern slow."""
    from datetime import UTC, datetime

    frame.take(16)
    if len(form) > 100 or len(written) > 200:
        raise Fault("WEFT424", "a time or its format is at most 100 characters")
    seen: set[str] = set()
    pattern, at = "", 0
    for directive in _DIRECTIVE.finditer(form):
        letter = directive.group(1)
        if letter not in _PATTERNS or letter in seen:
            raise Fault("WEFT424", f"%{show(letter)[1:-1]} cannot be read", "use each of %Y %m %d %H %M %S %f once")
        seen.update(letter.replace("%", ""))
        pattern += re.escape(form[at : directive.start()]) + _PATTERNS[letter]
        at = directive.end()
    match = re.fullmatch(pattern + re.escape(form[at:]), written)
    if match is None:
        raise Fault("WEFT424", f"{show(written)} does not have the form {show(form)}")
    parts = {key: int(digits) for key, digits in match.groupdict().items() if key != "f"}
    fraction = int((match.groupdict().get("f") or "0").ljust(6, "0"))
    try:
        return datetime(
            parts.get("Y", 1970), parts.get("m", 1), parts.get("d", 1),
            parts.get("H", 0), parts.get("M", 0), parts.get("S", 0), fraction, tzinfo=UTC,
        )  # fmt: skip
    except ValueError as error:
        raise Fault("WEFT424", f"{show(written)} is no time: {error}") from None


def format_time(frame: Frame, value: object, form: object) -> str:
    time, written = _read(frame, value), text(form)
    frame.take(1 + len(written))

    def expand(directive: re.Match[str]) -> str:
        letter = directive.group(1)
        make = _DIRECTIVES.get(letter)
        if make is None:
            raise Fault(
                "WEFT424",
                f"there is no format %{show(letter)[1:-1]}",
                "one of " + " ".join(f"%{each}" for each in _DIRECTIVES),
            )
        return make(time)

    return _DIRECTIVE.sub(expand, written)


def add_time(frame: Frame, value: object, duration: object) -> str:
    from datetime import timedelta

    seconds = _seconds(duration)
    try:
        return _write(_read(frame, value) + timedelta(seconds=seconds))
    except OverflowError:
        raise Fault("WEFT424", "the time lies outside the years 1 to 9999") from None


def _seconds(duration: object) -> int | float:
    if not isinstance(duration, str):
        return number(duration)
    sign = -1 if duration.startswith("-") else 1
    try:
        return sign * parse_duration(duration[1:] if sign < 0 else duration)
    except ExpressionError as error:
        raise Fault("WEFT424", error.message, error.hint) from None


def diff_time(frame: Frame, later: object, earlier: object) -> float:
    return (_read(frame, later) - _read(frame, earlier)).total_seconds()


def timestamp(frame: Frame, value: object) -> int | float:
    seconds = _read(frame, value).timestamp()
    return int(seconds) if seconds == int(seconds) else seconds


TIMES: tuple[Function, ...] = (
    define("now()", "the time, 2024-05-01T12:00:00.000Z (recorded)", now, recorded=True),
    define("today()", "the date in UTC, 2024-05-01 (recorded)", today, recorded=True),
    define(
        "parse_time(text, format?)",
        "a time in UTC from ISO 8601, seconds since 1970, or a format of %Y %m %d %H %M %S %f",
        parse_time,
    ),
    define("format_time(time, format)", "the time (UTC) by a format like %Y-%m-%d %H:%M", format_time),
    define("add_time(time, duration)", 'the time later by a duration ("1h30m", "-1d") or by seconds', add_time),
    define("diff_time(later, earlier)", "the seconds between two times", diff_time),
    define("timestamp(time)", "seconds since 1970", timestamp),
)
