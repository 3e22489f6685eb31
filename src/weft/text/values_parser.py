"""The parser of values: names, calls, lambdas, lists and objects, and what binds to them like `.x` and `| f`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import NoReturn

from weft.errors import nearest
from weft.text import syntax
from weft.text.cursor import Cursor
from weft.text.data import INT_MAX, show
from weft.text.functions import FUNCTIONS, suggestion
from weft.text.grammar import (
    CALL_COST,
    CONSTANTS,
    FOREIGN_WORDS,
    RECORD_FIELDS,
    RUN_FIELDS,
    SPECIALS,
    WITH_FIELDS,
    WORDS,
)
from weft.text.syntax import Reference, Warned
from weft.text.tokens import Token


class ValuesParser(Cursor, ABC):
    """What was met on the way: references, warnings, whether something recorded is called, lambda parameters."""

    def __init__(self, tokens: list[Token], nodes: Collection[str], names: Collection[str]) -> None:
        super().__init__(tokens)
        self.nodes = nodes
        self.names = names
        self.references: list[Reference] = []
        self.warnings: list[Warned] = []
        self.calls_recorded = False
        self.makes = False
        self.slots = 0
        self.parameters: list[dict[str, int]] = []
        self.grouped: set[int] = set()

    @abstractmethod
    def expression(self) -> syntax.Node:
        """A whole expression, as it stands in brackets and between commas."""

    def warn(self, operand: syntax.Node, place: Token | syntax.Node, message: str, hint: str) -> None:
        """Warn about an operand, unless parentheses say how it is meant."""
        if id(operand) not in self.grouped:
            self.warnings.append((place.start, place.end, message, hint))

    # ---- values

    def primary(self) -> syntax.Node:
        token = self.token
        if token.kind == "name":
            return self.named()
        if token.kind == "special":
            return self.special()
        if token.kind in ("number", "text"):
            self.advance()
            if token.kind == "number" and token.value == INT_MAX + 1:
                self.fail("WEFT405", f"{token.text} does not fit into 64 bits", token, "write it as a text")
            return self.made(syntax.Literal(token.start, token.end, 0, token.value))
        if self.stands("("):
            opening = self.opening()
            value = self.expression()
            self.close(opening)
            self.grouped.add(id(value))
            return value
        if self.stands("["):
            return self.list_of()
        if self.stands("{"):
            return self.object_of()
        return self.no_value()

    def no_value(self) -> NoReturn:
        token = self.token
        if token.kind == "end" or (self.open and token.text == ":"):
            self.misplaced("")
        hint = {
            ".": "a number is written 0.5",
            "?": "a value belongs before `?`",
            "=>": "a lambda stands only as an argument: map(xs, x => x.a)",
            "...": "... stands only in lists and objects: [...xs]",
            "*": "write pow(a, b) for a power",
        }.get(token.text)
        self.fail("WEFT400", f"a value is missing before `{token.text}`", token, hint)

    def named(self) -> syntax.Node:
        token = self.advance()
        name = token.text
        if name in CONSTANTS:
            return self.made(syntax.Literal(token.start, token.end, 0, CONSTANTS[name]))
        if name in WORDS:
            self.fail("WEFT400", f"a value is missing before `{name}`", token)
        if name == "JSON" and self.stands(".") and self.peek().text in ("stringify", "parse"):
            return self.json_alias()
        if self.stands("("):
            return self.call(token)
        for scope in reversed(self.parameters):
            if name in scope:
                return self.made(syntax.Parameter(token.start, token.end, 0, scope[name]))
        if "-" in name:
            self.warn_hyphens(token)
        if name in self.nodes and name not in self.names:
            return self.node(token)
        self.foreign_name(token)
        self.references.append(Reference("name", name, None, token.start, token.end))
        return self.made(syntax.Name(token.start, token.end, 0, name))

    def foreign_name(self, token: Token) -> None:
        """`typeof x`: a word that means something elsewhere, is nothing here, and stands before a value."""
        if token.text in self.names or token.text not in FOREIGN_WORDS:
            return
        if self.token.kind in ("name", "number", "text", "special") or self.token.kind == "end":
            self.fail("WEFT404", f"there is no `{token.text}` in expressions", token, FOREIGN_WORDS[token.text])

    def warn_hyphens(self, token: Token) -> None:
        name = token.text
        shorter = [name[:at] for at, c in enumerate(name) if c == "-"]
        known = [each for each in shorter if each in self.nodes or each in self.names or self._is_parameter(each)]
        if known:
            self.warnings.append(
                (
                    token.start,
                    token.end,
                    f"`{name}` is read as the node of that name, though `{known[-1]}` is a name, too",
                    f"write {known[-1]} - … with spaces to subtract",
                )
            )

    def _is_parameter(self, name: str) -> bool:
        return any(name in scope for scope in self.parameters)

    def node(self, token: Token) -> syntax.Node:
        """A node, with the field of its record that follows."""
        if not self.stands(".", "?."):
            self.references.append(Reference("node", token.text, None, token.start, token.end))
            return self.made(syntax.NodeName(token.start, token.end, 0, token.text, "output"))
        self.advance()
        field = self.token
        if field.kind == "name" and field.text not in RECORD_FIELDS:
            self.fail(
                "WEFT408",
                f"the record of `{token.text}` has no field `{field.text}`",
                field,
                f"write {token.text}.output.{field.text}; the fields are {', '.join(RECORD_FIELDS)}",
            )
        name = self.key()
        self.references.append(Reference("node", token.text, name.text, token.start, name.end))
        return self.made(syntax.NodeName(token.start, name.end, 0, token.text, name.text))

    def key(self) -> Token:
        """The name after a dot."""
        if self.token.kind != "name":
            if self.token.kind == "end":
                self.fail("WEFT400", "a name is missing after the dot", self.tokens[self.at - 1])
            self.fail("WEFT400", "after a dot comes a name", self.token, 'other keys are written x["key"] or x[0]')
        return self.advance()

    def special(self) -> syntax.Node:
        token = self.advance()
        name = token.text[1:]
        if name not in SPECIALS:
            close = nearest(name, SPECIALS)
            hint = f"did you mean ${close[0]}?" if close else "known are " + " ".join(f"${each}" for each in SPECIALS)
            self.fail("WEFT409", f"there is no {token.text}", token, hint)
        field, end = None, token.end
        if name in WITH_FIELDS:
            field, end = self.field_of_special(token)
        if name == "run" and field is not None and field not in RUN_FIELDS:
            self.fail("WEFT409", f"there is no $run.{field}", token, "known are $run.id $run.status $run.started_at")
        self.references.append(Reference("special", name, field, token.start, end))
        return self.made(syntax.Special(token.start, token.end, 0, name))

    def field_of_special(self, token: Token) -> tuple[str | None, int]:
        """What `.field` or `["field"]` follows, not consumed."""
        if self.stands(".", "?.") and self.peek().kind == "name":
            return self.peek().text, self.peek().end
        if self.stands("[") and self.peek().kind == "text" and self.peek(2).text == "]":
            return str(self.peek().value), self.peek(2).end
        return None, token.end

    # ---- what stands after a value

    def postfix(self, value: syntax.Node) -> syntax.Node:
        while self.token.kind == "operator":
            text = self.token.text
            if text in (".", "?."):
                value = self.member(value)
            elif text == "[":
                value = self.subscript(value)
            elif text == "|":
                value = self.pipe(value)
            elif text == "(":
                self.fail("WEFT406", "only functions can be called", self.token, "write f(x) or x | f")
            else:
                break
        return value

    def member(self, target: syntax.Node) -> syntax.Node:
        start = self.token.start
        keys: list[str] = []
        end = start
        while self.stands(".", "?."):
            if self.token.text == "?." and self.peek().text in ("[", "("):
                self.fail("WEFT400", "after ?. comes a name", self.token, "x[0] of null is null already")
            self.advance()
            key = self.key()
            if self.stands("("):
                self.method(key)
            keys.append(key.text)
            end = key.end
        self.count += len(keys) // 4
        return self.made(syntax.Member(start, end, 0, target, tuple(keys)), target)

    def method(self, name: Token) -> NoReturn:
        known = name.text if name.text in FUNCTIONS else suggestion(name.text)
        self.fail(
            "WEFT406",
            f"values have no methods: `{name.text}` is called like one",
            name,
            f"write {known}(x) or x | {known}" if known else "write f(x) or x | f",
        )

    def subscript(self, target: syntax.Node) -> syntax.Node:
        opening = self.opening()
        if self.stands("]"):
            self.fail("WEFT400", "an index is missing", self.token, "write x[0], x[-1] or x[1:3]")
        low = None if self.stands(":") else self.expression()
        if self.stands(":"):
            self.advance()
            high = None if self.stands("]", ":") else self.expression()
            if self.stands(":"):
                self.fail("WEFT400", "a slice has no step", self.token, "reverse(xs) turns a list around")
            end = self.close(opening)
            below = [each for each in (target, low, high) if each is not None]
            return self.made(syntax.Slice(opening.start, end, 0, target, low, high), *below)
        end = self.close(opening)
        assert low is not None
        if isinstance(low, syntax.Literal) and isinstance(low.value, str):
            return self.made(syntax.Member(opening.start, end, 0, target, (low.value,)), target)
        return self.made(syntax.Index(opening.start, end, 0, target, low), target, low)

    def pipe(self, value: syntax.Node) -> syntax.Node:
        mark = self.advance()
        name = self.token
        if name.kind != "name" or name.text in WORDS:
            self.fail(
                "WEFT406",
                "after `|` comes a function",
                name if name.kind != "end" else mark,
                "write x | upper",
            )
        self.advance()
        found = self.call(name, value) if self.stands("(") else self.finish_call(name, [value])
        found.piped = True
        return found

    # ---- calls

    def call(self, name: Token, piped: syntax.Node | None = None) -> syntax.Call:
        if name.text not in FUNCTIONS:
            self.unknown_function(name)
        opening = self.opening()
        arguments = [] if piped is None else [piped]
        while not self.stands(")"):
            arguments.append(self.argument(name.text, len(arguments)))
            if not self.stands(","):
                break
            self.advance()
        self.close(opening)
        return self.finish_call(name, arguments)

    def json_alias(self) -> syntax.Node:
        """`JSON.stringify(x)` and `JSON.parse(t)`."""
        self.advance()
        method = self.advance()
        if not self.stands("("):
            self.fail("WEFT406", f"JSON.{method.text} is a function", method, f"write JSON.{method.text}(x)")
        name = "json_encode" if method.text == "stringify" else "json_decode"
        return self.call(Token("name", name, method.start, method.end))

    def unknown_function(self, name: Token) -> NoReturn:
        if name.text in self.nodes or name.text in self.names or self._is_parameter(name.text):
            self.fail("WEFT406", f"`{name.text}` is a value and cannot be called", name)
        if name.text in FOREIGN_WORDS:
            self.fail("WEFT404", f"there is no `{name.text}` in expressions", name, FOREIGN_WORDS[name.text])
        close = suggestion(name.text)
        hint = f"did you mean {FUNCTIONS[close].signature}?" if close else "the page on expressions lists all functions"
        self.fail("WEFT406", f"there is no function `{name.text}`", name, hint)

    def finish_call(self, name: Token, arguments: list[syntax.Node]) -> syntax.Call:
        function = FUNCTIONS.get(name.text)
        if function is None:
            self.unknown_function(name)
        if len(arguments) < function.low or (function.high is not None and len(arguments) > function.high):
            given = f"{len(arguments)} argument{'' if len(arguments) == 1 else 's'}"
            self.fail("WEFT407", f"{name.text} cannot take {given}", name, f"it is {function.signature}")
        at = function.lambda_at
        if at is not None and at < len(arguments) and not isinstance(arguments[at], syntax.Lambda):
            self.fail(
                "WEFT407", f"argument {at + 1} of {name.text} must be a lambda", name,
                f"it is {function.signature}; write x => …",
            )  # fmt: skip
        self.calls_recorded = self.calls_recorded or function.recorded
        self.makes = self.makes or function.makes
        self.count += CALL_COST - 1
        made = syntax.Call(name.start, name.end, 0, name.text, tuple(arguments))
        self.made(made, *arguments)
        return made

    def argument(self, function: str, at: int) -> syntax.Node:
        parameters = self.lambda_parameters()
        if parameters is None:
            if self.stands("..."):
                self.fail("WEFT400", "... stands only in lists and objects", self.token, "write concat(a, b)")
            return self.expression()
        known = FUNCTIONS[function]
        if known.lambda_at != at:
            self.fail("WEFT407", f"argument {at + 1} of {function} is a value, not a lambda", self.token,
                      f"it is {known.signature}")  # fmt: skip
        return self.lambda_(parameters, known.lambda_takes, known.signature)

    def lambda_parameters(self) -> list[Token] | None:
        """The parameters when a lambda begins here; nothing is consumed."""
        if self.token.kind == "name" and self.peek().text == "=>" and self.peek().kind == "operator":
            return [self.token]
        if not self.stands("("):
            return None
        found: list[Token] = []
        ahead = 1
        while self.peek(ahead).kind == "name" and ahead < 16:
            found.append(self.peek(ahead))
            ahead += 1
            if self.peek(ahead).text != ",":
                break
            ahead += 1
        return found if self.peek(ahead).text == ")" and self.peek(ahead + 1).text == "=>" else None

    def lambda_(self, parameters: list[Token], takes: int, signature: str) -> syntax.Node:
        start = self.token.start
        if not 1 <= len(parameters) <= takes:
            self.fail("WEFT407", f"a lambda with {len(parameters)} parameters does not fit here", self.token,
                      f"it is {signature}")  # fmt: skip
        scope: dict[str, int] = {}
        for each in parameters:
            self.check_parameter(each, scope)
            scope[each.text] = self.slots
            self.slots += 1
        while not self.stands("=>"):
            self.advance()
        self.advance()
        before = self.count
        self.parameters.append(scope)
        body = self.expression()
        self.parameters.pop()
        return self.made(
            syntax.Lambda(start, body.end, 0, tuple(scope.values()), body, 1 + (self.count - before) // 8),
            body,
        )

    def check_parameter(self, token: Token, scope: dict[str, int]) -> None:
        name = token.text
        if name in WORDS or "-" in name:
            self.fail("WEFT410", f"`{name}` cannot be a parameter", token, "choose another name")
        if name in scope or name in self.nodes or name in self.names:
            what = "another parameter" if name in scope else "a node" if name in self.nodes else "an item or an input"
            self.fail("WEFT410", f"the parameter `{name}` has the name of {what}", token, "choose another name")

    # ---- lists and objects

    def list_of(self) -> syntax.Node:
        opening = self.opening()
        found: list[syntax.Node] = []
        while not self.stands("]"):
            found.append(self.spread() if self.stands("...") else self.expression())
            if not self.stands(","):
                break
            self.advance()
        if self.word("for"):
            self.fail("WEFT404", "there are no comprehensions", self.token, "write map(list, x => …)")
        end = self.close(opening)
        self.makes = True
        return self.made(syntax.ListOf(opening.start, end, 0, tuple(found)), *found)

    def spread(self) -> syntax.Node:
        mark = self.advance()
        value = self.expression()
        return self.made(syntax.Spread(mark.start, mark.end, 0, value), value)

    def object_of(self) -> syntax.Node:
        opening = self.opening()
        found: list[tuple[str | None, syntax.Node]] = []
        seen: set[str] = set()
        while not self.stands("}"):
            key, value = (None, self.spread()) if self.stands("...") else self.entry(seen)
            found.append((key, value))
            if not self.stands(","):
                break
            self.advance()
        end = self.close(opening)
        self.makes = True
        return self.made(syntax.ObjectOf(opening.start, end, 0, tuple(found)), *[value for _, value in found])

    def entry(self, seen: set[str]) -> tuple[str, syntax.Node]:
        token = self.token
        if token.kind not in ("name", "text"):
            self.entry_key(token)
        key = str(token.value) if token.kind == "text" else token.text
        if key in seen:
            self.fail("WEFT410", f"the key {show(key)} stands twice in one object", token)
        seen.add(key)
        follows = self.peek()
        if follows.kind == "operator" and follows.text == ":":
            if "-" in key and token.kind == "name":
                self.entry_key(token)
            self.advance()
            self.advance()
            return key, self.expression()
        if token.kind == "text":
            self.advance()
            self.fail("WEFT400", "a value is missing after the key", token, "write {key: value}")
        if follows.kind == "operator" and follows.text == "-":
            self.entry_key(token)
        if follows.kind != "operator" or follows.text not in (",", "}"):
            self.advance()
            self.misplaced("`:`, `,`")
        return key, self.primary()

    def entry_key(self, token: Token) -> NoReturn:
        if token.kind == "end":
            self.misplaced("")
        hint = 'write {"a-b": 1} for a key that is no plain name'
        if token.text == "[":
            hint = "from_entries([[key, value]]) makes an object with computed keys"
        self.fail("WEFT400", f"`{token.text}` cannot be a key here", token, hint)
