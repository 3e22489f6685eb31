"""The parser of expressions: tokens in; a tree, references and warnings out.

A Pratt parser: `LEVELS` is the whole grammar of operators. Its recursion is bounded by `MAX_NESTING` and that of
everything behind it by `MAX_HEIGHT`; operators in a row are one chain, so a long sum is not a deep one. An error
stops it: after the first one anything it said would be guessing.
"""

from __future__ import annotations

from weft.errors import ExpressionError
from weft.text import syntax
from weft.text.data import INT_MAX
from weft.text.grammar import COMPARISON, LEVELS, NOT_LEVEL, SPELLINGS, UNARY_LEVEL
from weft.text.tokens import Token
from weft.text.values_parser import ValuesParser


class Parser(ValuesParser):
    """One parse. Use it once."""

    def parse(self, start: int) -> syntax.Node:
        if self.ended():
            raise ExpressionError(
                "the expression is empty",
                start,
                max(self.token.end, start + 1),
                code="WEFT401",
                hint="write a value",
            )
        tree = self.expression()
        if not self.ended():
            if self.stands(")", "]", "}"):
                self.fail("WEFT400", f"this `{self.token.text}` closes nothing", self.token, "remove it")
            self.misplaced("or the end")
        return tree

    def expression(self) -> syntax.Node:
        """`c ? a : b` and `a if c else b`, which bind least."""
        self.deeper()
        value = self.operation(0)
        if self.stands("?"):
            mark = self.advance()
            then = self.expression()
            if not self.stands(":"):
                self.misplaced("or the `:` of c ? a : b")
            self.advance()
            otherwise = self.expression()
            value = self.made(
                syntax.Conditional(mark.start, mark.end, 0, value, then, otherwise), value, then, otherwise
            )
        elif self.word("if"):
            mark = self.advance()
            condition = self.operation(0)
            if not self.word("else"):
                self.misplaced("or the `else` of a if c else b")
            self.advance()
            otherwise = self.expression()
            value = self.made(
                syntax.Conditional(mark.start, mark.end, 0, condition, value, otherwise),
                value,
                condition,
                otherwise,
            )
        self.depth -= 1
        return value

    def operation(self, level: int) -> syntax.Node:
        """Operators that bind tighter than `level`."""
        left = self.prefix()
        while True:
            found = self.infix()
            if found is None or LEVELS[found] <= level:
                return left
            left = self.comparison(left) if LEVELS[found] == COMPARISON else self.chain(left, LEVELS[found])

    def infix(self) -> str | None:
        """The infix operator that stands here."""
        token = self.token
        if token.kind == "operator" or (token.kind == "name" and token.text in ("and", "or", "in")):
            return token.text if token.text in LEVELS else None
        follows = self.peek()
        if self.word("not") and follows.kind == "name" and follows.text == "in":
            return "not"
        return None

    def chain(self, first: syntax.Node, level: int) -> syntax.Node:
        """All operators of one level that stand in a row."""
        steps: list[syntax.Step] = []
        while (found := self.infix()) is not None and LEVELS[found] == level:
            mark = self.advance()
            self.foreign_operator(mark)
            operand = self.operation(level)
            if level >= LEVELS["+"] or found == "??":
                self.warn_pipe(operand)
            self.makes = self.makes or found == "+"
            steps.append(syntax.Step(SPELLINGS.get(found, found), mark.start, mark.end, operand))
            self.count += 1
        last = steps[-1]
        return self.made(
            syntax.Chain(last.start, last.end, 0, first, tuple(steps)),
            first,
            *[step.operand for step in steps],
        )

    def foreign_operator(self, mark: Token) -> None:
        """`**`, `//`, `++` and the like, with what to write instead."""
        follows = self.token
        if follows.kind == "operator" and follows.start == mark.end and follows.text in "*/":
            hint = {"**": "write pow(a, b)", "//": "write floor(a / b)"}.get(mark.text + follows.text)
            if hint:
                self.fail("WEFT400", f"there is no operator `{mark.text}{follows.text}`", mark, hint)

    def warn_pipe(self, operand: syntax.Node) -> None:
        """A pipe binds tighter than any operator: `a + b | f` is `a + (b | f)`, which not everybody expects."""
        if isinstance(operand, syntax.Call) and operand.piped:
            self.warn(
                operand,
                operand,
                "the pipe takes only the value right before it, not the whole operation",
                f"write (a + b) | {operand.function}, or a + (b | {operand.function}), to say which",
            )

    def comparison(self, left: syntax.Node) -> syntax.Node:
        mark = self.advance()
        operator, end = SPELLINGS.get(mark.text, mark.text), mark.end
        if operator == "not":
            operator, end = "not in", self.advance().end
        if operator == "<" and self.stands(">"):
            self.fail("WEFT400", "there is no operator `<>`", mark, "write !=")
        right = self.operation(COMPARISON)
        again = self.infix()
        if again is not None and LEVELS[again] == COMPARISON:
            self.fail(
                "WEFT400",
                "comparisons cannot be chained",
                self.token,
                "write a < b and b < c, or use parentheses",
            )
        return self.made(syntax.Comparison(mark.start, end, 0, operator, left, right), left, right)

    # ---- what stands before a value

    def prefix(self) -> syntax.Node:
        if self.stands("-"):
            return self.negative()
        if self.stands("!") or self.word("not"):
            return self.negation()
        if self.stands("+"):
            self.fail("WEFT400", "there is no unary `+`", self.token, "to_number(x) reads a number from a text")
        return self.postfix(self.primary())

    def negative(self) -> syntax.Node:
        mark = self.advance()
        number = self.token
        if number.kind == "number" and number.value == INT_MAX + 1:
            self.advance()
            return self.postfix(self.made(syntax.Literal(mark.start, number.end, 0, -INT_MAX - 1)))
        self.deeper()
        operand = self.operation(UNARY_LEVEL)
        self.depth -= 1
        self.warn_pipe(operand)
        return self.made(syntax.Negative(mark.start, mark.end, 0, operand), operand)

    def negation(self) -> syntax.Node:
        mark = self.advance()
        self.deeper()
        operand = self.operation(NOT_LEVEL)
        self.depth -= 1
        if mark.text == "!" and isinstance(operand, (syntax.Comparison, syntax.Chain)):
            self.warn(
                operand,
                mark,
                "`!` takes the whole comparison after it: !a == b is !(a == b)",
                "write !(a == b), or (!a) == b, to say which",
            )
        return self.made(syntax.Not(mark.start, mark.end, 0, operand), operand)
