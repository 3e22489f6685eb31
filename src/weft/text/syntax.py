"""The shapes of a parsed expression: what the parser makes and the evaluator compiles.

`start` and `end` are the characters an error message points at (of an operation: its operator), `height` the
levels below, which bounds every recursion over the tree. Operators of one level that stand in a row (`a + b +
c`) are one `Chain`, and `x.a.b.c` is one `Member`, so length never turns into depth.
"""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec


class Reference(msgspec.Struct, frozen=True):
    """One name used by an expression.

    `kind`: "node" is an id of the document; "name" a bare name that is no node (an item, an input, or unknown:
    the checker decides); "special" one with a `$`. `name` is without the `$`. `field` is the record's field of
    a node when it is written (`output`, `status`, ...), and what is read of `$config`, `$secrets`, `$context`, `$env`
    and `$run` where it is written as `.field` or `["field"]`. `start` and `end` are offsets in the text handed in.
    """

    kind: OneOf["node", "name", "special"]
    name: str
    field: str | None
    start: int
    end: int


Warned = tuple[int, int, str, str | None]
"""A warning (code `AMBIGUOUS`): start, end, message, hint."""


class Node(msgspec.Struct):
    """Anything in the tree."""

    start: int
    end: int
    height: int


class Literal(Node):
    """null, true, 1, "a"."""

    value: object


class NodeName(Node):
    """A field of a node's record; a bare id is its `output`."""

    id: str
    field: str


class Name(Node):
    """An item, an input, or a name that somebody else must know."""

    name: str


class Special(Node):
    """`$name`."""

    name: str


class Parameter(Node):
    """A lambda's parameter, by its slot."""

    slot: int


class Member(Node):
    """`target.a.b`."""

    target: Node
    keys: tuple[str, ...]


class Index(Node):
    """`target[index]`."""

    target: Node
    index: Node


class Slice(Node):
    """`target[low:high]`, either may be missing."""

    target: Node
    low: Node | None
    high: Node | None


class Lambda(Node):
    """`(x, i) => body`; only ever an argument of a call. `cost` is the number of nodes in the body."""

    slots: tuple[int, ...]
    body: Node
    cost: int


class Call(Node):
    """`function(arguments)`; `piped` when its first argument was written before a `|`."""

    function: str
    arguments: tuple[Node, ...]
    piped: bool = False


class Negative(Node):
    """`-operand`."""

    operand: Node


class Not(Node):
    """`not operand`."""

    operand: Node


class Step(msgspec.Struct):
    """One operator of a chain and what stands to its right."""

    operator: str
    start: int
    end: int
    operand: Node


class Chain(Node):
    """Arithmetic, or `and`, or `or`/`??`: operators of one level, from left to right."""

    first: Node
    steps: tuple[Step, ...]


class Comparison(Node):
    """`left operator right`."""

    operator: str
    left: Node
    right: Node


class Conditional(Node):
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


class Spread(Node):
    """`...value` in a list or an object."""

    value: Node


class ListOf(Node):
    """`[a, ...b]`."""

    items: tuple[Node, ...]


class ObjectOf(Node):
    """`{key: a, ...b}`: a spread has no key."""

    entries: tuple[tuple[str | None, Node], ...]
