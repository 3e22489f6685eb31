"""What a node does, as data: written by the fronts, read by the engine, opaque to the core.

Everything that needs values is an `Evaluable`: an expression, a template or a constant that is asked with a scope. The
fronts compile them; this module only says their shape, so that fronts and engine need not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from weft.graph.model import Graph
from weft.policy import FailurePolicy, Limit, Rollback, Schedule


class Evaluable(Protocol):
    """Something that has a value in a scope. Raises ExpressionError."""

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any: ...


class Constant(msgspec.Struct, frozen=True):
    """The same value in every scope."""

    value: Any

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        return self.value


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every node may have.

    when      false skips the node.
    input     id of the node whose output is `input` here; None: the document's own input.
    context   for each `$context` name read here, the ids of the `set` nodes that may have written it, nearest first.
    place     where the node stands in its document (`file:line`), for messages.
    """

    when: Evaluable | None = None
    retry_when: Evaluable | None = None
    input: str | None = None
    context: Mapping[str, tuple[str, ...]] = {}
    place: str = ""


class LeafWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt of a node kind.

    settings    by name; those in `bound` are handed over unevaluated, bound to the node's scope.
    lazy        everything that reads the output can stream it: a reference may stand for the list.
    arguments   names a Python function may ask for: parameter name to Evaluable.
    code_place  file and line (from 1) where the code of a Python node begins, for its tracebacks.
    """

    kind: str
    settings: Mapping[str, Evaluable] = {}
    bound: frozenset[str] = frozenset()
    lazy: bool = False
    arguments: Mapping[str, Evaluable] = {}
    code_place: tuple[str, int] | None = None
    variable: str | None = None
    """A `set`: the `$context` name it writes."""


Source = Literal["node", "argument", "context", "item", "index", "error", "own"]
"""Where a function's parameter comes from: the output of a node, an argument of the run, the task's context, the item
or index of an iteration, the error that a handler is for, the node's own output (in a compensation).
"""
Isolation = Literal["loop", "thread", "process"]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a function and what it gets; `key` is the id of the node or the name of the argument."""

    name: str
    source: Source
    key: str = ""


class Prepares(Protocol):
    """What looks at the world before a task acts, so that its effect can be undone; answers with data. Blocking."""

    def prepare(self, keep: Callable[[bytes], object], /) -> Any: ...


class FunctionWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """A call of a Python function.

    reference   module, qualified name and file of the function, for a call in another process.
    retry_on    which of the errors it raises are worth another try; None: those that say so themselves.
    prepares    is asked before the first attempt; what it answers is kept for the undo.
    writes      patterns of what it says that it writes.
    verified    everything it changes in the working folder must be covered by these.
    """

    function: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    isolation: Isolation = "loop"
    reference: tuple[str, str, str | None] | None = None
    retry_on: Callable[[BaseException], bool] | None = None
    prepares: Prepares | None = None
    writes: tuple[str, ...] = ()
    verified: bool = False


class RetryWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """A body that runs again while it fails. `retry_on` as of a function; None: the errors say so themselves."""

    retry_on: Callable[[BaseException], bool] | None = None


class UndoWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """One of the ready-made ways to undo, by name; it gets what was prepared, or kept by the attempt."""

    kind: str


class ChoiceWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """The first body whose condition is true; a None condition is the default."""

    conditions: tuple[Evaluable | None, ...]


class ParallelWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """`merge` is `array`, `concat`, `object` (by branch name, else index) or an expression over `$branches`."""

    merge: str | Evaluable = "array"
    names: tuple[str | None, ...] = ()


class ForeachWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """A body per item; `item` and `index` are extra names for `$item` and `$index`."""

    collection: Evaluable
    item: str | None = None
    index: str | None = None
    kept: bool = True
    """Somebody may read the list of results."""
    streamed: bool = False
    """The collection was given from outside and may be read item by item."""
    ordered: bool = True
    """The list is in the order of the items; else in that in which they were done."""


class LoopWork(Work, frozen=True, kw_only=True, omit_defaults=True):
    """`max` rounds at most; `before` (a while) is asked before each round, `after` (a loop's break) after each.

    A while that reaches `max` fails; a loop ends normally.
    """

    max: Evaluable
    before: Evaluable | None = None
    after: Evaluable | None = None


class Program(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workflow, compiled: the one thing that leaves a front.

    `document` is the file's absolute path and `text` its bytes, None for a Python workflow; `digest` names the text.
    """

    name: str
    graph: Graph
    version: str = "0"
    output: Evaluable | None = None
    limits: Mapping[str, Limit] = {}
    schedule: Schedule = "dataflow"
    on_failure: FailurePolicy = "finish"
    rollback: Rollback = "all"
    jobs: int | None = None
    timeout: float | None = None
    durability: str | None = None
    hosts: tuple[str, ...] | None = None
    paths: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """Names readable as `$env.NAME`."""
    interpreter: str | None = None
    secrets: tuple[str, ...] = ()
    document: str | None = None
    text: bytes | None = None
    digest: str = ""
