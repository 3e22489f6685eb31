"""From tasks to a Graph: combinators become blocks, functions leaves, what is read and written becomes edges and locks.

    Sequence        group, its body one after the other         Retrying   retry, a body again while it fails
    ParallelTasks   parallel, a branch for each part                       (a function: its leaf has the retries)
    Conditional     group: the condition, then a choice         Timeout    group with a deadline
    TryCatch        group, the handler its fallback             map_task   foreach

Every block keeps the names inside to itself (`prefixes`). Parameters are bound here: to the nearest task of that name
that has surely run by then, else to an argument of the run, else to the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import msgspec

from weft.errors import AttemptError, InputError, UnknownTaskError, WeftError, nearest, said
from weft.fronts.python.binding import Given, Scope, bind, bound_undo
from weft.fronts.python.building import Building, called
from weft.fronts.python.combinators import (
    Combinator,
    Conditional,
    MapTask,
    ParallelTasks,
    Retrying,
    Sequence,
    Timeout,
    TryCatch,
)
from weft.fronts.python.digests import Digests
from weft.fronts.python.signature import is_async, reference_to
from weft.fronts.python.task import Task
from weft.graph.analysis import in_layers
from weft.graph.hazards import Access, hazard_edges, mutex_keys
from weft.graph.model import Graph, Node
from weft.graph.work import ChoiceWork, ForeachWork, FunctionWork, Isolation, ParallelWork, Parameter, RetryWork, Work
from weft.policy import NO_RETRY, Limit

MUTEX = "mutex:"
"""What the names of keyed locks begin with, among the limits of a run."""
_BODILESS = Work()


def compile_tasks(
    building: Building, arguments: Mapping[str, Any], limits: Mapping[str, Limit], *, journaled: bool
) -> tuple[Graph, dict[str, Limit]]:
    """The graph of all tasks, and the limits that its nodes name.

    `arguments` are those of the run. Definitions get digests only when they are journaled. Raises InputError for a
    parameter that nobody provides, an argument that nobody asks for, an isolation that cannot be.
    """
    made = _Compiler(building, arguments, limits, Digests() if journaled else None)
    graph = made.graph()
    made.refuse_unused()
    return graph, made.limits


def drawing_of(building: Building, limits: Mapping[str, Limit]) -> Graph:
    """The graph as it would be with all arguments: to look at, not to run."""
    return _Compiler(building, {}, limits, None, lenient=True).graph()


def data_edges(building: Building) -> list[tuple[str, str]]:
    """Pairs of ids, the first before the second, because of what they read and write: in program order, which is that
    of addition, except where dependencies say otherwise.
    """
    tasks = building.tasks
    touching = [
        access(building, name)
        for name, task in tasks.items()
        if task.function is None or task.settings.reads or task.settings.writes
    ]
    touching = [each for each in touching if each.reads or each.writes]
    touching.sort(key=lambda each: building.place(each.id))
    return hazard_edges(touching)


def layers_of(building: Building) -> list[list[int]]:
    """The topological layers of the tasks, as places in the order of addition."""
    needs, dependents = building.order.edges
    if more := data_edges(building):
        needs, dependents = [list(each) for each in needs], [list(each) for each in dependents]
        index = {name: i for i, name in enumerate(building.ids)}
        for first, second in more:
            if index[first] not in needs[index[second]]:
                needs[index[second]].append(index[first])
                dependents[index[first]].append(index[second])
    return in_layers([len(each) for each in needs], dependents)


def access(building: Building, id: str) -> Access:  # noqa: A002 - the API's name
    """What a task touches."""
    task = building.tasks[id]
    return Access(id, task.touches("reads"), task.touches("writes"), task.touches("mutex"))


class _Compiler:
    def __init__(
        self,
        building: Building,
        arguments: Mapping[str, Any],
        limits: Mapping[str, Limit],
        digests: Digests | None,
        *,
        lenient: bool = False,
    ) -> None:
        self.building = building
        self.arguments = arguments
        self.limits = dict(limits)
        self.known_limits = limits
        self.digests = digests
        self.lenient = lenient
        self.used: set[str] = set()
        self.count = 0

    def graph(self) -> Graph:
        building = self.building
        needs = {id: building.needs(id) for id in building.ids}  # noqa: A001 - the API's name
        for first, second in data_edges(building):
            if first not in needs[second]:
                needs[second].append(first)
        scope = Scope(building.tasks, self.arguments, self.used, lenient=self.lenient)
        nodes = [self.node(building.tasks[id], id, scope, tuple(needs[id])) for id in building.ids]  # noqa: A001
        graph = Graph(nodes)
        return graph if self.digests is None else self.digests.sealed(graph, building)

    def refuse_unused(self) -> None:
        """Raise for an argument that no task asks for."""
        for name in self.arguments:
            if name not in self.used:
                close = nearest(name, self.wanted())
                hint = f"did you mean {close[0]!r}?" if close else "a task gets it by a parameter of that name"
                raise InputError(f"no task asks for the argument {name!r}", hint=hint)

    def wanted(self) -> list[str]:
        """Every parameter name that is no task."""
        from weft.fronts.python.building import references

        tasks = self.building.tasks
        return sorted({name for task in tasks.values() for name in references(task) if name not in tasks})

    # -- nodes ------------------------------------------------------------------------------------------------------

    def node(self, task: Task, id: str, scope: Scope, needs: tuple[str, ...] = ()) -> Node:  # noqa: A002
        """One task with everything inside it."""
        said = task.settings
        if task.function is None:
            _refuse_what_is_for_functions(task, scope.path(id))
        if scope.prefix:
            _refuse_unknown_needs(task, id, scope)
        order, self.count = self.count, self.count + 1
        fields: dict[str, Any] = {
            "id": id,
            "needs": needs,
            "order": order,
            "timeout": said.timeout,
            "on_failure": said.on_failure,
            "label": task.label,
        }
        self._undo(task, id, scope, fields)
        if isinstance(task, MapTask):
            self._foreach(task, id, scope, fields)
        elif isinstance(task, Combinator):
            fields["prefixes"] = True
            self._block(task, scope.inside(id), fields)
        else:
            self._leaf(task, id, scope, fields)
        node = Node(**fields)
        if self.digests is not None:
            self.digests.define(node, task)
        return node

    def _leaf(self, task: Task, id: str, scope: Scope, fields: dict[str, Any]) -> None:  # noqa: A002
        said, function = task.settings, task.function
        assert function is not None
        isolation, reference = self._place(task, scope.path(id))
        parameters = bind(task, scope, id)
        if isolation == "process":
            _refuse_other_context(parameters, scope.path(id))
        retry = said.retry or NO_RETRY
        fields |= {
            "effect": said.effect or "idempotent",
            "retry": retry,
            "limits": self._limits(task, scope.path(id)),
            "estimate": said.estimate,
            "work": FunctionWork(
                function=function,
                parameters=parameters,
                isolation=isolation,
                reference=reference,
                retry_on=worth_retrying(said.retry_on) if retry.max_attempts > 1 else None,
                prepares=said.compensate if hasattr(said.compensate, "prepare") else None,
                writes=said.writes,
                verified=said.verify_writes,
            ),
        }

    def _place(self, task: Task, path: str) -> tuple[Isolation, tuple[str, str, str | None] | None]:
        function, wanted = task.function, task.settings.isolation
        assert function is not None
        runs_in_loop = is_async(function)
        if wanted == "process":
            reference = reference_to(function)
            if reference is not None and reference[0] == "__mp_main__":  # each child would start another
                raise InputError(
                    f"{path}: the child process that was to call it runs the whole script, and so this workflow, again",
                    hint='run the workflow under `if __name__ == "__main__":`',
                )
            if reference is None:
                raise InputError(
                    f'{path}: isolation="process" needs a function that can be imported',
                    hint="define it at the top level of a module; a lambda or an inner function cannot be found there",
                )
            return "process", reference
        if wanted == "thread" and runs_in_loop:
            raise InputError(
                f"{path} is async, so it runs in the loop, not in a thread", hint="drop isolation, or async"
            )
        return wanted or ("loop" if runs_in_loop else "thread"), None

    def _limits(self, task: Task, path: str) -> tuple[str, ...]:
        said = task.settings
        for name in said.limit:
            if name not in self.known_limits:
                close = nearest(name, list(self.known_limits))
                hint = f"did you mean {close[0]!r}?" if close else "declare it: Workflow(limits={...})"
                raise InputError(f"{path}: there is no limit {name!r}", hint=hint)
        locks = sorted({f"{MUTEX}{key}" for name in said.mutex for key in self.keys[name]})
        for lock in locks:
            self.limits.setdefault(lock, Limit(concurrency=1))
        return (*said.limit, *locks)

    @cached_property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The locks of each mutex that any task names: one with wildcards meets others."""
        named = {name for task in self.building.tasks.values() for name in task.touches("mutex")}
        return mutex_keys([Access(name, mutexes=(name,)) for name in sorted(named)])

    def _undo(self, task: Task, id: str, scope: Scope, fields: dict[str, Any]) -> None:  # noqa: A002
        undo = task.settings.compensate
        if undo is None:
            return
        work = bound_undo(undo, scope, id)
        timeout = undo.settings.timeout if isinstance(undo, Task) else None
        fields["compensation"] = Graph([Node(id=f"{id}-undo", work=work, label="undo", timeout=timeout)])
        if isinstance(undo, Task) and undo.settings.retry is not None:
            fields["compensation_retry"] = undo.settings.retry

    # -- blocks -----------------------------------------------------------------------------------------------------

    def _foreach(self, task: MapTask, id: str, scope: Scope, fields: dict[str, Any]) -> None:  # noqa: A002
        each = task.each
        inner = self.node(each, each.name or "each", scope.inside(id).mapping(each))
        fields |= {
            "kind": "foreach",
            "prefixes": True,
            "bodies": (Graph([inner], chain=True),),
            "concurrency": task.concurrency,
            "work": _going_over(scope.collection(task, id), task),
        }

    def _block(self, task: Combinator, inside: Scope, fields: dict[str, Any]) -> None:
        parts = task.named()
        match task:
            case Sequence():
                nodes = []
                for name, part in parts:
                    nodes.append(self.node(part, name, inside))
                    inside = inside.after(name)
                fields |= {"kind": "group", "bodies": (Graph(nodes, chain=True),), "work": _BODILESS}
            case ParallelTasks():
                bodies = tuple([Graph([self.node(part, name, inside)], chain=True) for name, part in parts])
                fields |= {
                    "kind": "parallel",
                    "bodies": bodies,
                    "concurrency": task.concurrency,
                    "work": ParallelWork(),
                }
                fields["on_failure"] = task.settings.on_failure or task.on_failure
            case Conditional():
                self._conditional(parts, inside, fields)
            case TryCatch():
                body, handler = (
                    Graph([self.node(part, name, inside.handling() if i else inside)], chain=True)
                    for i, (name, part) in enumerate(parts)
                )
                fields |= {"kind": "group", "bodies": (body,), "fallback": handler, "work": _BODILESS}
            case Retrying():
                self._retrying(task, parts[0], inside, fields)
            case Timeout():
                own = task.settings.timeout
                fields["timeout"] = task.seconds if own is None else min(own, task.seconds)
                fields |= {"kind": "group", "bodies": (self._body(parts[0], inside),), "work": _BODILESS}

    def _body(self, named: tuple[str, Task], inside: Scope) -> Graph:
        name, part = named
        return Graph([self.node(part, name, inside)], chain=True)

    def _conditional(self, parts: list[tuple[str, Task]], inside: Scope, fields: dict[str, Any]) -> None:
        """The condition is a task like others: it may take its time, fail, and be seen."""
        (asked, condition), *ways = parts
        asks = self.node(condition, asked, inside)
        order, self.count = self.count, self.count + 1
        bodies = tuple([self._body(way, inside.after(asked)) for way in ways])
        conditions = (Truth(asked), None)[: len(ways)]
        choice = Node(
            id="if", kind="choice", bodies=bodies, order=order, label="choice", work=ChoiceWork(conditions=conditions)
        )
        if self.digests is not None:
            self.digests.define(choice, None)
        fields |= {"kind": "group", "bodies": (Graph([asks, choice], chain=True),), "work": _BODILESS}

    def _retrying(self, task: Retrying, part: tuple[str, Task], inside: Scope, fields: dict[str, Any]) -> None:
        name, inner = part
        if inner.function is not None:  # a function's own retries keep its path and its key
            settings = inner.settings
            said = {"retry": task.policy, "retry_on": task.on or settings.retry_on}
            again = Task(inner.function, id=inner.id, settings=msgspec.structs.replace(settings, **said))
            fields |= {"kind": "group", "bodies": (self._body((name, again), inside),), "work": _BODILESS}
            return
        work = RetryWork(retry_on=worth_retrying(task.on))
        fields |= {"kind": "retry", "bodies": (self._body(part, inside),), "work": work, "retry": task.policy}


def _refuse_unknown_needs(task: Task, id: str, scope: Scope) -> None:  # noqa: A002 - the API's name
    """Of a task inside of another: that one waits for what this one needs."""
    for name in map(called, task.settings.needs):
        if name not in scope.tasks and not scope.lenient:
            hint = f"{scope.path(id)} can need tasks around it, and those before it"
            raise UnknownTaskError(name, nearest(name, list(scope.tasks), count=3), hint=hint)


_FOR_FUNCTIONS = ("retry", "retry_on", "effect", "isolation", "limit", "mutex", "estimate", "verify_writes")


def _refuse_what_is_for_functions(task: Task, path: str) -> None:
    """Only a function has attempts, a place, and locks while it runs: said of a block, these would have no effect."""
    for name in _FOR_FUNCTIONS:
        if getattr(task.settings, name):
            hint = f"say it at the functions inside: weft.task(function, {name}=...)"
            if name == "retry":
                hint = f"weft.Retrying({task.label}, policy)"
            raise InputError(f"{path}: {name} is for functions, and this is a {task.label}", hint=hint)


def _going_over(collection: Any, task: MapTask) -> ForeachWork:
    return ForeachWork(collection=collection, ordered=task.ordered, streamed=isinstance(collection, Given))


def _refuse_other_context(parameters: tuple[Parameter, ...], path: str) -> None:
    """In another process the context goes by its name."""
    for parameter in parameters:
        if parameter.source == "context" and parameter.name != "ctx":
            raise InputError(
                f"{path}: in a process the parameter for the context is called ctx, not {parameter.name}",
                hint="rename it, or drop isolation",
            )


class Truth:
    """Whether the output of a node is true, as Python sees it."""

    def __init__(self, id: str) -> None:  # noqa: A002 - the API's name
        self.id = id

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """Raises AttemptError for an output that is neither true nor false."""
        output = scope.node(self.id, "output")
        try:
            return bool(output)
        except Exception as error:  # of the output's class
            message = f"{self.id} gave {type(output).__name__}, which is neither true nor false: {said(error)}"
            raise AttemptError(message, type=type(error).__name__, hint="return True or False") from error


def worth_retrying(said: Any) -> Any:
    """Which errors of a function another try may help against: those that were named, else all but those that say the
    code or its data is wrong.
    """
    if said is None:
        return _not_our_fault
    if isinstance(said, type | tuple):
        names = frozenset(each.__name__ for each in (said if isinstance(said, tuple) else (said,)))
        return lambda error: isinstance(error, said) or not names.isdisjoint(_classes_elsewhere(error))
    return said


_WRONG = (TypeError, AttributeError, NameError, ImportError, SyntaxError, AssertionError, NotImplementedError)
_WRONG_NAMES = frozenset({"ValidationError", "JSONDecodeError", "UnicodeError"})
_NAMES_OF_WRONG = _WRONG_NAMES | {cls.__name__ for cls in _WRONG}


def _not_our_fault(error: BaseException) -> bool:
    if elsewhere := _classes_elsewhere(error):
        return _NAMES_OF_WRONG.isdisjoint(elsewhere)
    if isinstance(error, AttemptError):
        return error.retryable
    if isinstance(error, (*_WRONG, WeftError)):
        return False
    return _WRONG_NAMES.isdisjoint(cls.__name__ for cls in type(error).__mro__)


def _classes_elsewhere(error: BaseException) -> Iterable[str]:
    """Of an exception that a function raised in another process: there is nothing left of its class but the names."""
    return error.classes if isinstance(error, AttemptError) else ()
