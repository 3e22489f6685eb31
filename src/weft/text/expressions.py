"""The expression language: what it is made of, and how a text becomes an `Expression`.

One small language stands wherever a document computes: bare in conditions and collections, between `{{ }}`
elsewhere. It works on data and on nothing else. There is no attribute access (a member is a key of an object),
no import, no I/O, no assignment, and no way to turn data into code; what it may call is the table in
`functions.py`. Python's own `eval`, or a walk over its `ast`, was rejected: both drag in attributes, methods and
formats, answer `10**5` minus signs with a MemoryError, and know nothing of references or places.

    text -> tokens.py -> parser.py -> syntax.py -> evaluate.py (closures, made at the first evaluation)

The parser also collects what the checker needs: every name with its place, what is ambiguous, whether something
recorded is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from weft.errors import ExpressionError
from weft.text.data import measure
from weft.text.evaluate import Run, compile_node
from weft.text.parser import Parser
from weft.text.scope import STEPS, Fault, Frame, Fuel, MappingScope, Scope, exhausted
from weft.text.syntax import Node, Reference, Warned
from weft.text.tokens import tokenize

__all__ = ["CODES", "Expression", "Fuel", "MappingScope", "Reference", "Scope", "Warned", "parse"]

CODES: dict[str, str] = {
    "WEFT400": "the expression cannot be read: something stands where it does not fit",
    "WEFT401": "the expression is empty",
    "WEFT402": "a text, a bracket or a {{ is not closed",
    "WEFT403": "the expression is too long or too deeply nested",
    "WEFT404": "two values side by side, or a word of another language",
    "WEFT405": "a number, a name or an escape that cannot be read",
    "WEFT406": "an unknown function, or a call of something that is no function",
    "WEFT407": "a wrong number of arguments, or a lambda where none (or no lambda where one) belongs",
    "WEFT408": "a node's record has no such field",
    "WEFT409": "an unknown $ name",
    "WEFT410": "one name for two things",
    "WEFT411": "warning: it could be read in two ways",
    "WEFT420": "an operator cannot take values of these types",
    "WEFT421": "a division by zero",
    "WEFT422": "a number does not fit",
    "WEFT423": "a value has no members, or not by such an index",
    "WEFT424": "a function cannot take this value",
    "WEFT425": "the expression costs more than it may",
    "WEFT426": "a value is nested too deeply",
    "WEFT427": "a regular expression cannot be read or may not be used",
    "WEFT430": "a duration cannot be read",
}

AMBIGUOUS = "WEFT411"
"""The code of every warning of an expression."""

_NO_SLOTS: list[object] = []


class Expression:
    """A parsed expression. `text` is its source; `calls_recorded` says that it calls now, today, uuid or random."""

    __slots__ = (
        "_cost", "_makes", "_offset", "_run", "_slots", "_tree", "calls_recorded", "references", "text", "warnings",
    )  # fmt: skip

    def __init__(self, text: str, offset: int, tree: Node, parser: Parser) -> None:
        self.text = text
        self.references = tuple(parser.references)
        self.warnings: tuple[Warned, ...] = tuple(parser.warnings)
        self.calls_recorded = parser.calls_recorded
        self._cost = parser.count // 8
        self._slots = parser.slots
        self._makes = parser.makes
        self._offset = offset
        self._tree = tree
        self._run: Run | None = None

    def evaluate(
        self,
        scope: Scope,
        locals: Mapping[str, object] | None = None,  # noqa: A002 - what it is called by everybody
        fuel: Fuel | None = None,
    ) -> object:
        """The value. `locals` come before the scope's `$` names: `{"item": row, "index": 0}` for `$item`, `$index`.

        Without `fuel` it may cost a million steps. The scope's values are never changed; the result may share
        parts with them. Raises ExpressionError, whose place is the operator or function that failed, and whatever
        the scope raises.
        """
        run = self._run
        if run is None:
            run = self._run = compile_node(self._tree)
        steps = (STEPS if fuel is None else fuel.left) - self._cost
        frame = Frame(steps, scope, locals, [None] * self._slots if self._slots else _NO_SLOTS)
        try:
            if steps < 0:
                raise exhausted()
            value = run(frame)
            if self._makes:
                measure(value, frame)
            return value
        except Fault as fault:
            raise self.error(fault) from None
        except RecursionError:
            raise self.error(Fault("WEFT426", "the expression or its values are nested too deeply")) from None
        finally:
            if fuel is not None:
                fuel.left = frame.left

    def error(self, fault: Fault) -> ExpressionError:
        """A fault of the whole expression as an error with its place."""
        start = self._offset
        return ExpressionError(fault.message, start, start + len(self.text), code=fault.code, hint=fault.hint)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def parse(text: str, *, nodes: Collection[str] = (), names: Collection[str] = ()) -> Expression:
    """The expression that `text` writes.

    `nodes` are the ids of the document (a set, where there are many expressions), `names` what else is known and
    has no record: items, indexes, inputs. A bare name that is neither still parses and becomes a Reference of kind
    "name". Raises ExpressionError (code `WEFT4xx`) with the place and a hint.
    """
    return parse_part(text, 0, len(text), nodes, names)


def parse_part(text: str, start: int, end: int, nodes: Collection[str], names: Collection[str]) -> Expression:
    """As `parse`, for the characters from `start` to `end`; all places are offsets into the whole `text`."""
    known = nodes if isinstance(nodes, (set, frozenset, dict)) else frozenset(nodes)
    hyphenated = known if text.find("-", start, end) >= 0 else ()
    tokens = tokenize(text, start, end, hyphenated)
    parser = Parser(tokens, known, frozenset(names))
    try:
        tree = parser.parse(start)
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", start, end, code="WEFT403") from None
    return Expression(text[start:end], start, tree, parser)
