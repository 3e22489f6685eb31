"""The diagnostics of one document, gathered."""

from __future__ import annotations

from collections.abc import Iterable

from weft.text.source import Diagnostic, Source

MAX_ERRORS = 100


class Notes:
    """Collects diagnostics. After `MAX_ERRORS` errors it is `full`: whoever reads the document may stop."""

    __slots__ = ("_errors", "_items", "muted", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.muted = False
        self._items: list[Diagnostic] = []
        self._errors = 0

    @property
    def full(self) -> bool:
        """So many errors that more of them help nobody."""
        return self._errors >= MAX_ERRORS

    @property
    def failed(self) -> bool:
        """There is at least one error."""
        return self._errors > 0

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Takes over what somebody else has found."""
        for diagnostic in diagnostics:
            self._items.append(diagnostic)
            self._errors += diagnostic.severity == "error"

    def error(self, code: str, message: str, start: int, end: int, *, hint: str | None = None) -> None:
        """An error at the characters `start` to `end`."""
        if self.muted:
            return
        if not self.full:
            self._items.append(self.source.diagnostic(code, message, start, end, hint=hint))
        self._errors += 1

    def warn(self, code: str, message: str, start: int, end: int, *, hint: str | None = None) -> None:
        """A warning at the characters `start` to `end`."""
        if not self.muted and len(self._items) < 2 * MAX_ERRORS:
            found = self.source.diagnostic(code, message, start, end, hint=hint, severity="warning")
            self._items.append(found)

    def sorted(self) -> list[Diagnostic]:
        """All diagnostics in document order."""
        items = sorted(self._items, key=lambda d: (d.line, d.column))
        if self.full:
            message = f"there are more than {MAX_ERRORS} problems; the rest is not listed"
            end = len(self.source.text)
            items.append(self.source.diagnostic("WEFT299", message, end, end))
        return items

    def line(self, offset: int) -> int:
        """The line number of an offset, for messages that name a second place."""
        return self.source.line_of(offset)
