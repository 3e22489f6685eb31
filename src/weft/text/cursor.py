"""Walking over the tokens of an expression, and saying what is wrong where none fits."""

from __future__ import annotations

from typing import NoReturn

from weft.errors import ExpressionError
from weft.text import syntax
from weft.text.grammar import CLOSING, FOREIGN_WORDS, MAX_HEIGHT, MAX_NESTING
from weft.text.tokens import Token


class Cursor:
    """A place among tokens, the brackets open there, and the nodes counted so far."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.token = tokens[0]
        self.open: list[Token] = []
        self.depth = 0
        self.count = 0

    # ---- tokens

    def advance(self) -> Token:
        token = self.token
        self.at = min(self.at + 1, len(self.tokens) - 1)
        self.token = self.tokens[self.at]
        return token

    def peek(self, ahead: int = 1) -> Token:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def ended(self) -> bool:
        return self.token.kind == "end"

    def stands(self, *operators: str) -> bool:
        return self.token.kind == "operator" and self.token.text in operators

    def word(self, word: str) -> bool:
        return self.token.kind == "name" and self.token.text == word

    def close(self, opening: Token) -> int:
        """Take the bracket that closes `opening`; its end."""
        if not self.stands(CLOSING[opening.text]):
            self.misplaced(f"or the closing {CLOSING[opening.text]}")
        self.open.pop()
        return self.advance().end

    def opening(self) -> Token:
        self.open.append(self.token)
        return self.advance()

    # ---- errors

    def fail(self, code: str, message: str, token: Token, hint: str | None = None) -> NoReturn:
        raise ExpressionError(message, token.start, max(token.end, token.start + 1), code=code, hint=hint)

    def misplaced(self, expected: str) -> NoReturn:
        """The present token does not fit: say why as well as we can."""
        token = self.token
        if token.kind == "end" and self.open:
            opening = self.open[-1]
            self.fail("WEFT402", f"this {opening.text} is not closed", opening, f"write {CLOSING[opening.text]}")
        if token.kind == "end":
            self.fail("WEFT400", "the expression ends too early", token, "a value is missing at the end")
        if token.kind in ("name", "number", "text", "special") and token.text not in ("in", "if", "else"):
            self._side_by_side(token)
        if token.text in ("(", "[", "{"):
            self._side_by_side(token)
        hint = {
            "=>": "a lambda stands only as an argument: map(xs, x => x.a)",
            ":": "`:` belongs to c ? a : b, to {key: value} and to x[1:3]",
            "...": "... stands only in lists and objects: [...xs]",
            "?.": "after ?. a name: x?.y",
        }.get(token.text)
        self.fail(
            "WEFT400",
            f"`{token.text}` does not fit here: expected an operator {expected}".rstrip(),
            token,
            hint,
        )

    def _side_by_side(self, token: Token) -> NoReturn:
        before = self.tokens[self.at - 1] if self.at else token
        for each in (token, before):
            if each.kind == "name" and each.text in FOREIGN_WORDS:
                self.fail("WEFT404", f"there is no `{each.text}` in expressions", each, FOREIGN_WORDS[each.text])
        self.fail(
            "WEFT404",
            "two values stand side by side without an operator",
            token,
            "put an operator between them; texts are joined with +",
        )

    # ---- the size of the tree

    def made(self, node: syntax.Node, *below: syntax.Node) -> syntax.Node:
        """Count a node and give it its height."""
        self.count += 1
        height = 0
        for each in below:
            if each.height > height:
                height = each.height
        node.height = height + 1
        if height >= MAX_HEIGHT:
            raise ExpressionError(
                f"the expression is nested more than {MAX_HEIGHT} levels deep",
                node.start,
                node.end,
                code="WEFT403",
                hint="compute a part of it in a node of its own",
            )
        return node

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.fail(
                "WEFT403",
                f"the expression is nested more than {MAX_NESTING} levels deep",
                self.token,
                "compute a part of it in a node of its own",
            )
