"""The diagnostics of documents: for people, and as the object `weft.check/1`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from weft.app.documents import Diagnostic, Source, render
from weft.cli.terminal import Out, harmless, styled

SCHEMA = "weft.check/1"


def show(diagnostics: Iterable[Diagnostic], source: Source | None, out: Out) -> None:
    """Each with its line, a caret and its hint."""
    for diagnostic in diagnostics:
        text = harmless(render(diagnostic, source))
        if out.colours:
            word = f" {diagnostic.severity} {diagnostic.code}: "
            style = "red" if diagnostic.severity == "error" else "yellow"
            text = text.replace(word, " " + styled(word.strip(), style, out) + " ", 1)
        out.line(text)


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`; `valid` when there are none."""
    errors = sum(d.severity == "error" for d in diagnostics)
    warnings = len(diagnostics) - errors
    parts = [counted(errors, "error")] if errors else []
    parts += [counted(warnings, "warning")] if warnings else []
    return ", ".join(parts) or "valid"


def counted(number: int, word: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def is_valid(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether nothing in there is an error."""
    return all(d.severity != "error" for d in diagnostics)


def strict(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The same with warnings as errors."""
    return [msgspec.structs.replace(d, severity="error") for d in diagnostics]


def check_object(diagnostics: Sequence[Diagnostic]) -> dict[str, object]:
    """The object `weft.check/1`."""
    listed = [{name: getattr(d, name) for name in d.__struct_fields__} for d in diagnostics]
    return {"schema": SCHEMA, "valid": is_valid(diagnostics), "diagnostics": listed}
