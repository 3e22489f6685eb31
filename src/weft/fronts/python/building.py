"""A workflow while it is being built: tasks with ids, and the edges between them, checked as they are added.

An edge comes from three things that a user says: `needs`, a parameter named as a task, and what tasks read and write.
The first two are here, so that a cycle or a wrong name is an error where it is written; the third is looked at when all
tasks are known (compile.py). A parameter may name a task that is added later.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.errors import CycleError, DuplicateTaskError, InputError, UnknownTaskError, nearest
from weft.fronts.python.combinators import Combinator, MapTask, Sequence, TryCatch
from weft.fronts.python.signature import CONTEXT, parameters_of
from weft.fronts.python.task import Task, check_id
from weft.graph.order import Order


class Building:
    """Tasks by id, in the order of addition. A rejected task or edge leaves everything as it was."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.order = Order()
        self.version = 0
        """Changes with every change."""
        self._ids: list[str] = []
        self._index: dict[str, int] = {}
        self._of_function: dict[int, str | None] = {}
        """The id under which a function was added, by the function's identity; None when there are several."""
        self._awaited: dict[str, list[int]] = {}
        """Names that tasks refer to and that are no tasks yet (or never: arguments)."""

    def add(self, task: Task, id: str) -> None:  # noqa: A002 - the API's name
        """Add a task. Raises InputError, DuplicateTaskError, UnknownTaskError, CycleError."""
        check_id(id)
        if id in self.tasks:
            raise DuplicateTaskError(id)
        known = self.tasks
        if id == CONTEXT:
            message = f"the id {id!r} is taken: a parameter of that name gets the task's context"
            raise InputError(message, hint="choose another id")
        if id in [need for need in task.settings.needs if type(need) is str]:
            raise CycleError([id, id])
        needs = [need if type(need) is str and need in known else self.resolve(need) for need in task.settings.needs]
        names = references(task)
        if id in names:
            raise CycleError([id, id])
        index = self._index
        before = dict.fromkeys([index[name] for name in (*needs, *names) if name in known])
        node = self.order.add(list(before))
        known[id] = task
        index[id] = node
        self._ids.append(id)
        if self._awaited:
            self._connect_waiting(node, id)
        for name in names:
            if name not in known:
                self._awaited.setdefault(name, []).append(node)
        self._remember(task, id)
        self.version += 1

    def _connect_waiting(self, node: int, id: str) -> None:  # noqa: A002 - the API's name
        """Tasks that were added before have a parameter of that name. Raises CycleError; the new task is then gone."""
        for waiting in self._awaited.get(id, ()):
            if cycle := self.order.connect(node, waiting):
                error = self._cycle(cycle)
                self.order.drop_last()
                self._ids.pop()
                del self.tasks[id], self._index[id]
                raise error
        self._awaited.pop(id, None)

    def connect(self, prerequisite: object, dependent: object) -> None:
        """`dependent` runs after `prerequisite`. Raises UnknownTaskError, CycleError; the graph is then as it was."""
        first, second = self.resolve(prerequisite), self.resolve(dependent)
        if cycle := self.order.connect(self._index[first], self._index[second]):
            raise self._cycle(cycle)
        self.version += 1

    def _cycle(self, way: list[int]) -> CycleError:
        """The way leads from the dependent to the prerequisite; the refused edge closes it. First comes what was added
        first.
        """
        at = way.index(min(way))
        ids = [self._ids[i] for i in way[at:] + way[:at]]
        return CycleError([*ids, ids[0]])

    def resolve(self, given: object) -> str:
        """The id of a task given as id, task or function. Raises UnknownTaskError, InputError."""
        if isinstance(given, str):
            if given not in self.tasks:
                raise self._unknown(given)
            return given
        if not callable(given):
            raise InputError(f"{given!r} is no task", hint="name a task by its id, itself or its function")
        function = given.function if isinstance(given, Task) else given
        for thing in (given, function):
            found = self._of_function.get(id(thing), "")
            if found is None:
                raise InputError(f"{called(function)} was added more than once", hint="name the task by its id")
            if found and (self.tasks[found] is thing or self.tasks[found].function is thing):
                return found
        if isinstance(given, Task) and given.id in self.tasks:
            return given.id
        raise self._unknown(called(given))

    def _unknown(self, name: str) -> UnknownTaskError:
        near = nearest(name, list(self.tasks), count=3)
        return UnknownTaskError(name, near, hint=None if near else f"add the task {name!r} first")

    def _remember(self, task: Task, task_id: str) -> None:
        known = self._of_function
        for thing in (task, task.function):
            if thing is not None:
                known[id(thing)] = None if id(thing) in known else task_id

    @property
    def ids(self) -> list[str]:
        """All ids, in the order of addition."""
        return self._ids

    def needs(self, id: str) -> list[str]:  # noqa: A002 - the API's name
        """The ids that a task waits for, in the order in which that was said."""
        return [self._ids[i] for i in self.order.before(self._index[id])]

    def place(self, id: str) -> int:  # noqa: A002 - the API's name
        """Where the task stands in an order in which every task comes after what it needs."""
        return self.order.place(self._index[id])


def called(thing: object) -> str:
    """The name of a task that was named by its id, itself or its function."""
    if isinstance(thing, str):
        return thing
    if isinstance(thing, Task):
        return thing.name or thing.label
    return str(getattr(thing, "__name__", thing))


# -- what a task refers to --------------------------------------------------------------------------------------------


def references(task: Task) -> list[str]:
    """The names that a task asks for and that nothing inside it gives: tasks around it, or arguments."""
    if task.function is not None and task.settings.compensate is None:
        return own_parameters(task)
    return list(dict.fromkeys(_references(task, frozenset())))


def _references(task: Task, bound: frozenset[str]) -> Iterator[str]:
    yield from (name for name in own_parameters(task) if name not in bound)
    if isinstance(task, MapTask):
        if isinstance(task.over, str):
            yield task.over
        yield from map(called, task.each.settings.needs)
        yield from _references(task.each, bound | {item_parameter(task.each), "index", "item"})
    elif isinstance(task, Combinator):
        yield from _inside(task, bound)
    yield from _references_of_undo(task, bound)


def _inside(task: Combinator, bound: frozenset[str]) -> Iterator[str]:
    seen = bound
    for name, part in task.named():
        handles = isinstance(task, TryCatch) and part is task.inner[1][1]
        yield from _references(part, seen | {"error"} if handles else seen)
        yield from (need for need in map(called, part.settings.needs) if need not in seen)
        if isinstance(task, Sequence):
            seen |= {name}


def _references_of_undo(task: Task, bound: frozenset[str]) -> Iterator[str]:
    undo = task.settings.compensate
    function = undo.function if isinstance(undo, Task) else undo
    if function is None or not callable(function):
        return
    asked = [a.name for a in parameters_of(function) if not is_context(a.name, context=a.context)]
    yield from (name for name in asked[1:] if name not in bound)


def own_parameters(task: Task) -> list[str]:
    """The names of a function's parameters that are no context."""
    if task.function is None:
        return []
    return [a.name for a in parameters_of(task.function) if not is_context(a.name, context=a.context)]


def is_context(name: str, *, context: bool) -> bool:
    """Whether a parameter is the task's context: annotated as one, or called `ctx`."""
    return context or name == CONTEXT


def item_parameter(task: Task) -> str:
    """The parameter of a mapped function that gets the item: `item`, else the first one."""
    names = [name for name in own_parameters(task) if name != "index"]
    return "item" if "item" in names or not names else names[0]
