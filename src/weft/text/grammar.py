"""The words and operators of the expression language, as literal tables."""

from __future__ import annotations

MAX_NESTING = 64
"""Expressions inside each other, as written."""

MAX_HEIGHT = 128
"""Levels of a parsed expression: bounds every recursion over it."""

CALL_COST = 8
"""A call takes as long as this many other nodes; eight nodes inside a lambda cost a step."""

RECORD_FIELDS = ("output", "error", "status", "attempts", "duration", "stderr", "exit_code")
SPECIALS = (
    "item", "index", "first", "last", "items", "acc", "branch", "branches", "iteration", "error", "body", "key",
    "context", "config", "secrets", "run", "env",
)  # fmt: skip
RUN_FIELDS = ("id", "status", "started_at")
WITH_FIELDS = frozenset(("context", "config", "secrets", "run", "env"))

CONSTANTS: dict[str, object] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip
WORDS = frozenset((*CONSTANTS, "and", "or", "not", "in", "if", "else"))

FOREIGN_WORDS = {
    "AND": "write `and` or &&",
    "OR": "write `or` or ||",
    "NOT": "write `not` or !",
    "IN": "write `in`",
    "is": "write == or !=",
    "typeof": "write type_of(x)",
    "instanceof": 'write type_of(x) == "object"',
    "new": "nothing is constructed here; write the value",
    "lambda": "write x => …",
    "function": "write x => …",
    "for": "write map(list, x => …)",
    "let": "nothing can be assigned here",
    "var": "nothing can be assigned here",
    "const": "nothing can be assigned here",
    "return": "write only the value",
    "await": "write only the value",
    "then": "write c ? a : b, or a if c else b",
    "mod": "write %",
    "div": "write /",
    "eq": "write ==",
    "like": "write contains(text, part) or test(text, pattern)",
    "contains": "write contains(text, part)",
    "matches": "write test(text, pattern)",
    "undefined": "write null",
    "nil": "write null",
    "NULL": "write null",
    "TRUE": "write true",
    "FALSE": "write false",
}
"""Words that other languages would know; here they are names at best."""

LEVELS: dict[str, int] = {
    "or": 10, "||": 10, "??": 10,
    "and": 20, "&&": 20,
    "==": 40, "!=": 40, "===": 40, "!==": 40, "<": 40, "<=": 40, ">": 40, ">=": 40, "in": 40, "not": 40,
    "+": 50, "-": 50,
    "*": 60, "/": 60, "%": 60,
}  # fmt: skip
"""How tightly an operator binds. `not` as an infix is the beginning of `not in`."""

NOT_LEVEL = 30
COMPARISON = 40
UNARY_LEVEL = 70
SPELLINGS = {"||": "or", "&&": "and", "===": "==", "!==": "!="}
CLOSING = {"(": ")", "[": "]", "{": "}"}
