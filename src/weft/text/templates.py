"""Templates: text with `{{ expressions }}` in it.

A template is read once and its values are put in once: what a value contains is never looked at again, so data
that happens to hold `{{ }}` stays data. `\\{{` writes the two braces themselves.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NoReturn

from weft.errors import ExpressionError
from weft.text.data import text_of, to_text, weight
from weft.text.expressions import Expression, parse_part
from weft.text.scope import Fault, Fuel, Scope
from weft.text.syntax import Reference, Warned

__all__ = ["Template", "parse_template", "to_text"]


class Template:
    """A parsed template. `is_single`: it is exactly one `{{ expr }}`, with nothing around it."""

    __slots__ = ("_parts", "calls_recorded", "is_single", "references", "text", "warnings")

    def __init__(self, text: str, parts: list[str | Expression]) -> None:
        expressions = [part for part in parts if isinstance(part, Expression)]
        self.text = text
        self.references: tuple[Reference, ...] = tuple(r for each in expressions for r in each.references)
        self.warnings: tuple[Warned, ...] = tuple(w for each in expressions for w in each.warnings)
        self.calls_recorded = any(each.calls_recorded for each in expressions)
        self.is_single = len(parts) == 1 and len(expressions) == 1
        self._parts = parts

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions, in order; empty for plain text."""
        return tuple(part for part in self._parts if isinstance(part, Expression))

    def evaluate(
        self,
        scope: Scope,
        locals: Mapping[str, object] | None = None,  # noqa: A002 - as Expression.evaluate
        fuel: Fuel | None = None,
        keep_type: bool = True,
    ) -> object:
        """The text with its values filled in; of a single expression the value itself, unless `keep_type` is false.

        All expressions share the fuel, which bounds the length of the result, too. Raises ExpressionError.
        """
        if keep_type and self.is_single:
            (only,) = self._parts
            assert isinstance(only, Expression)
            return only.evaluate(scope, locals, fuel)
        fuel = Fuel() if fuel is None else fuel
        parts: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                parts.append(part)
                continue
            value = part.evaluate(scope, locals, fuel)
            try:
                written = text_of(value, fuel)
                fuel.take(weight(written))
            except Fault as fault:
                raise part.error(fault) from None
            parts.append(written)
        return "".join(parts)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


_OPEN = re.compile(r"\\?\{\{")
_INSIDE = re.compile(r"""["'{}]""")


def parse_template(text: str, *, nodes: Collection[str] = (), names: Collection[str] = ()) -> Template:
    """The template that `text` writes; `nodes` and `names` as for `parse`.

    Places, also those of references and warnings, are offsets into `text`. Raises ExpressionError.
    """
    known = frozenset(nodes)
    parts: list[str | Expression] = []
    literal: list[str] = []
    at = 0
    while (opening := _OPEN.search(text, at)) is not None:
        literal.append(text[at : opening.start()])
        at = opening.end()
        if opening.group()[0] == "\\":
            literal.append("{{")
            continue
        end = _closing(text, at)
        if end is None:
            _unclosed(text, opening.start())
        if any(literal):
            parts.append("".join(literal))
        literal = []
        parts.append(parse_part(text, at, end, known, names))
        at = end + 2
    literal.append(text[at:])
    if any(literal) or not parts:
        parts.append("".join(literal))
    return Template(text, parts)


def _closing(text: str, at: int) -> int | None:
    """Where the `}}` of the expression that begins at `at` stands: not in a text, not in an object."""
    depth = 0
    while (found := _INSIDE.search(text, at)) is not None:
        c, place = found.group(), found.start()
        at = place + 1
        if c == "{":
            depth += 1
        elif c == "}":
            if depth == 0:
                if text.startswith("}", at):
                    return place
                return None
            depth -= 1
        else:
            closed = _end_of_text(text, at, c)
            if closed is None:
                return _first_closing(text, at)
            at = closed
    return None


_TEXTS = {
    '"': re.compile(r'[^"\\\n\r]*(?:\\[^\n\r][^"\\\n\r]*)*"'),
    "'": re.compile(r"[^'\\\n\r]*(?:\\[^\n\r][^'\\\n\r]*)*'"),
}


def _end_of_text(text: str, at: int, quote: str) -> int | None:
    match = _TEXTS[quote].match(text, at)
    return None if match is None else match.end()


_LINE_OR_END = re.compile(r"\}\}|[\n\r]")


def _first_closing(text: str, at: int) -> int:
    """For a text that is not closed: the rest of its line, or up to `}}`, so that the parser reports the quote."""
    end = _LINE_OR_END.search(text, at)
    return len(text) if end is None else end.start()


def _unclosed(text: str, start: int) -> NoReturn:
    hint = "end it with }}; write \\{{ for the two braces themselves"
    if "}}" in text[start:]:
        hint = "a { or } inside it has no partner; write \\{{ for the two braces themselves"
    raise ExpressionError("this {{ is not closed", start, start + 2, code="WEFT402", hint=hint)
