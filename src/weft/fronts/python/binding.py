"""Where a function's parameters come from: the nearest task of that name, an argument of the run, a default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from weft.errors import InputError, nearest
from weft.fronts.python.building import is_context, item_parameter
from weft.fronts.python.combinators import MapTask
from weft.fronts.python.signature import Asked, is_async, parameters_of
from weft.fronts.python.task import Task, as_task
from weft.graph.work import Evaluable, FunctionWork, Parameter, UndoWork, Work


class Scope:
    """What a task sees by name: `tasks` around it and before it, the arguments of the run, and what its place gives."""

    def __init__(
        self,
        tasks: Mapping[str, Any],
        arguments: Mapping[str, Any],
        used: set[str],
        *,
        prefix: str = "",
        special: Mapping[str, str] | None = None,
        item: str = "",
        lenient: bool = False,
    ) -> None:
        self.tasks = tasks
        self.arguments = arguments
        self.used = used
        self.prefix = prefix
        self.special = special or {}
        self.lenient = lenient
        """For a drawing: what nobody provides is taken for an argument."""
        self.item = item
        """Of a mapped function itself: the parameter that gets the item."""

    def path(self, id: str) -> str:  # noqa: A002 - the API's name
        """The node path of a task in here."""
        return self.prefix + id

    def _with(self, **changes: Any) -> Scope:
        kept = {"prefix": self.prefix, "special": self.special, "lenient": self.lenient}
        tasks = changes.pop("tasks", self.tasks)
        return Scope(tasks, self.arguments, self.used, **{**kept, **changes})

    def inside(self, id: str) -> Scope:  # noqa: A002 - the API's name
        """As seen by the parts of the task `id`."""
        return self._with(prefix=f"{self.prefix}{id}/")

    def after(self, id: str) -> Scope:  # noqa: A002 - the API's name
        """As seen by a part that runs after its sibling `id`."""
        return self._with(tasks={**self.tasks, id: None})

    def handling(self) -> Scope:
        """As seen by a handler: `error` is the exception."""
        return self._with(special={**self.special, "error": "error"})

    def mapping(self, each: Task) -> Scope:
        """As seen by what runs for each item."""
        parameter = item_parameter(each)
        special = {**self.special, "item": "item", "index": "index"}
        return self._with(special=special, item=parameter)

    def source(self, asked: Asked, *, path: str) -> Parameter | None:
        """What a parameter gets; None: its default. Raises InputError when it has none."""
        name = asked.name
        if is_context(name, context=asked.context):
            return Parameter(name, "context")
        if name == self.item:
            return Parameter(name, "item")
        if name in self.special:
            return Parameter(name, self.special[name])  # type: ignore[arg-type]  # the names are sources
        if name in self.tasks:
            return Parameter(name, "node", name)
        if name in self.arguments:
            self.used.add(name)
            return Parameter(name, "argument", name)
        if self.lenient or not asked.required:
            return None
        close = nearest(name, [*self.tasks, *self.arguments])
        hint = f"did you mean {close[0]!r}?" if close else f"add a task {name!r}, or pass arguments={{{name!r}: ...}}"
        raise InputError(f"{path}: parameter {name!r} is neither a task, an argument, nor has a default", hint=hint)

    def collection(self, task: MapTask, id: str) -> Evaluable:  # noqa: A002 - the API's name
        """What a mapped task goes over: a task's output, an argument, or the iterable itself."""
        over = task.over
        if not isinstance(over, str):
            return Given(over, task)
        if over in self.tasks:
            return Output(over)
        if over in self.arguments:
            self.used.add(over)
            return Given(self.arguments[over])
        if self.lenient:
            return Given([])
        close = nearest(over, [*self.tasks, *self.arguments])
        hint = f"did you mean {close[0]!r}?" if close else f"add a task {over!r}, or pass arguments={{{over!r}: [...]}}"
        raise InputError(f"{self.path(id)}: {over!r} is neither a task nor an argument to map over", hint=hint)


class Output:
    """The items that a task gives; those of a skipped one are none."""

    def __init__(self, id: str) -> None:  # noqa: A002 - the API's name
        self.id = id

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        items = scope.node(self.id, "output")
        if items is not None:
            _refuse_no_items(items, f"{self.id} gave {type(items).__name__}, which")
        return items


def _refuse_no_items(items: Any, what: str) -> None:
    if isinstance(items, str | bytes | Mapping) or not (hasattr(items, "__iter__") or hasattr(items, "__aiter__")):
        hint = "a list, or an iterator" + (": list(x.items())" if isinstance(items, Mapping) else "")
        raise InputError(f"{what} is nothing to map over", hint=hint)


class Given:
    """What was given: a list, or something that is read item by item; an iterator of the workflow's own by one run."""

    def __init__(self, items: Any, owner: MapTask | None = None) -> None:
        _refuse_no_items(items, type(items).__name__)
        self.owner = owner if isinstance(items, Iterator | AsyncIterator) else None
        self.items = list(items) if isinstance(items, tuple | range | set | frozenset) else items

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        if self.owner is not None:
            reader = self.owner.reader = self.owner.reader or self
            if reader is not self:
                hint = "pass a list; or give it as an argument, a new one for each run"
                raise InputError("its iterator was read by an earlier run", hint=hint)
        return self.items


def bind(task: Task, scope: Scope, id: str) -> tuple[Parameter, ...]:  # noqa: A002 - the API's name
    """What the task's function gets. Raises InputError."""
    assert task.function is not None
    asked = parameters_of(task.function)
    if not asked:
        return ()
    path = scope.path(id)
    return tuple([p for each in asked if (p := scope.source(each, path=path)) is not None])


def bound_undo(undo: Any, scope: Scope, id: str) -> Work:  # noqa: A002 - the API's name
    """What undoes the task `id`: a function or task, whose first parameter is the task's own output, or a ready-made
    way.

    Raises InputError.
    """
    if hasattr(undo, "prepare"):
        return UndoWork(kind=undo.kind)
    task = as_task(undo)
    if task.function is None:
        raise InputError(f"{scope.path(id)}: a {task.label} cannot compensate", hint="give a function")
    asked = parameters_of(task.function)
    path = f"{scope.path(id)}: its compensation"
    sources: list[Parameter] = []
    for each in asked:
        own = not any(p.source == "own" for p in sources)
        if own and not is_context(each.name, context=each.context):
            sources.append(Parameter(each.name, "own"))
        elif (found := scope.source(each, path=path)) is not None:
            sources.append(found)
    isolation = "loop" if is_async(task.function) else "thread"
    return FunctionWork(function=task.function, parameters=tuple(sources), isolation=isolation)  # type: ignore[arg-type]
