"""A workflow of functions: its tasks, the order between them, and a run of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from weft.app import embedding
from weft.app.embedding import Place
from weft.errors import EmptyWorkflowError, InputError, UnknownTaskError, writable
from weft.fronts.python.building import Building
from weft.fronts.python.combinators import MapTask
from weft.fronts.python.compile import access, compile_tasks, data_edges, drawing_of, layers_of
from weft.fronts.python.task import Settings, Task, as_task, settings_of
from weft.graph import analysis
from weft.graph.hazards import Hazard, hazards
from weft.graph.model import Graph
from weft.graph.render import html, mermaid
from weft.graph.work import Constant, Program
from weft.policy import FailurePolicy, Limit, Rollback
from weft.results import RunResult
from weft.workflow.loops import in_a_loop_of_its_own
from weft.workflow.options import Options, Schedule, how_of, named, one_of

if TYPE_CHECKING:
    from weft.backends.base import Backend
    from weft.budget import Budget
    from weft.cancellation import CancellationToken
    from weft.engine.sitting import Arguments
    from weft.event_types import Event

F = TypeVar("F", bound=Callable[..., Any])


class Workflow:
    """Tasks, and the order between them.

    `limits` are named limits that tasks share: `{"api": 5, "mail": "10/s"}`, or `weft.Limit` values. `on_failure` is
    what the first failed task does to the others (`finish`, `cancel`, `continue`), `rollback` which compensations run
    when the run fails or is cancelled (`all`, `dependencies`, `none`).
    """

    def __init__(
        self,
        name: str,
        *,
        limits: Mapping[str, Any] | None = None,
        on_failure: FailurePolicy = "finish",
        rollback: Rollback = "all",
    ) -> None:
        if not isinstance(name, str) or not name:
            raise InputError(f"the name is {name!r}; it must be a text that is not empty")
        one_of("on_failure", on_failure, ("finish", "cancel", "continue"))
        one_of("rollback", rollback, ("all", "dependencies", "none"))
        self.name = writable(name)
        self.on_failure: FailurePolicy = on_failure
        self.rollback: Rollback = rollback
        self.limits = embedding.limits_of(limits or {})
        self._building = Building()
        self._compiled: dict[object, tuple[Graph, Any]] = {}

    # -- building ---------------------------------------------------------------------------------------------------

    @overload
    def task(self, function: F, /) -> F: ...
    @overload
    def task(self, function: None = None, /, *, id: str | None = None, **settings: Any) -> Callable[[F], F]: ...
    def task(self, function: Any = None, /, *, id: str | None = None, **settings: Any) -> Any:  # noqa: A002
        """Add the decorated function as a task; takes what `add_task` takes. Returns the function as it is."""

        def add(decorated: F) -> F:
            self.add_task(decorated, id=id, **settings)
            return decorated

        return add if function is None else add(function)

    def add_task(self, task: Any, *, id: str | None = None, **settings: Any) -> Task:  # noqa: A002 - the API's name
        """Add a function or a combinator as a task; `id` is the function's name if not given.

        Settings: `needs` (ids, tasks or functions), `retry` (a `weft.Retry`, or how many times to try again),
        `retry_on` (exception classes, or a function of the exception), `timeout` (seconds, per attempt), `effect`
        (`pure`, `idempotent`, `once`), `compensate` (a function of the output, a task, or one of `weft.undo`),
        `isolation` (`loop`, `thread`, `process`), `reads`, `writes`, `mutex` (lists of names), `limit` (a name of the
        workflow's limits), `on_failure`, `estimate` (`{"tokens": ..., "cost_usd": ...}`), `verify_writes`,
        `description`.

        Raises InputError for a setting that cannot be, DuplicateTaskError, UnknownTaskError, CycleError; the workflow
        is then as it was.
        """
        stated = as_task(task)
        if settings:
            stated = _with_settings(stated, settings_of(settings).over(stated.settings))
        chosen = id if id is not None else stated.name
        if not chosen and id is None:
            raise InputError(f"{stated!r} has no name", hint="pass id=...")
        self._building.add(stated, chosen)
        return stated

    def map_task(
        self,
        function: Any,
        over: Any,
        *,
        concurrency: int = 8,
        ordered: bool = True,
        id: str | None = None,  # noqa: A002 - the API's name
        **settings: Any,
    ) -> Task:
        """Add a task that calls `function` for each item of `over`: the id of a task, the name of an argument, or an
        iterable or async iterable, which is read item by item.

        The item is its parameter `item`, else its first one; `index` is the item's index from 0. At most `concurrency`
        run at once. The output is the list of results, in the order of the items, or with `ordered=False` in that in
        which they were done.
        """
        of_map = {name: settings.pop(name) for name in ("needs", "on_failure", "compensate") if name in settings}
        each = as_task(function)
        if settings:
            each = _with_settings(each, settings_of(settings).over(each.settings))
        if not isinstance(over, str) and not _is_items(over) and not callable(over):
            raise InputError(f"over is {over!r}; it must be a task, the name of an argument, or items to go over")
        chosen = over if isinstance(over, str) or _is_items(over) else self._giving(over)
        return self.add_task(MapTask(each, chosen, concurrency, ordered=ordered, id=id or ""), id=id, **of_map)

    def _giving(self, task: Any) -> str:
        """The id of a task whose output is gone over. Raises UnknownTaskError."""
        try:
            return self._building.resolve(task)
        except UnknownTaskError as error:
            hint = f"add it as a task, or pass the items that it gives: over={error.id}()"
            raise UnknownTaskError(error.id, error.suggestions, hint=hint) from None

    def add_dependency(self, prerequisite: Any, dependent: Any) -> None:
        """`dependent` runs after `prerequisite`, each an id, a task or a function.

        Raises UnknownTaskError, and CycleError with the whole cycle; the workflow is then as it was.
        """
        self._building.connect(prerequisite, dependent)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks by id, in the order of addition."""
        return dict(self._building.tasks)

    # -- looking ----------------------------------------------------------------------------------------------------

    def execution_layers(self) -> list[list[str]]:
        """The ids in topological layers: a task's layer is its longest distance from a root; in a layer, the order of
        addition. Raises EmptyWorkflowError.
        """
        self._refuse_empty()
        ids = self._building.ids
        return [[ids[i] for i in layer] for layer in layers_of(self._building)]

    def execution_order(self) -> list[str]:
        """The ids, layer by layer. Raises EmptyWorkflowError."""
        return [id for layer in self.execution_layers() for id in layer]  # noqa: A001 - the API's name

    def critical_path(self, durations: Mapping[str, float] | None = None) -> list[str]:
        """The ids of the heaviest path. `durations` are seconds by id; a task that is not in it weighs 1."""
        graph = self._shape()
        weights = [1.0 if durations is None else durations.get(node.id, 1.0) for node in graph.nodes]
        return [graph.nodes[i].id for i in analysis.critical_path(graph, weights)]

    def hazards(self) -> list[Hazard]:
        """Every pair of tasks that clash by what they read and write or by a mutex, in program order."""
        return hazards([access(self._building, name) for name in self._building.ids])

    def compensation_coverage(self) -> dict[str, bool]:
        """For each task whether something undoes it."""
        return {name: task.settings.compensate is not None for name, task in self._building.tasks.items()}

    def check(self, arguments: Mapping[str, Any] | None = None) -> None:
        """Raise what `execute` would raise before anything runs."""
        self.program_for(named(arguments), journaled=False)

    def to_mermaid(self) -> str:
        """The workflow as a Mermaid flowchart."""
        return mermaid(self._drawn())

    def _repr_html_(self) -> str:
        return html(self.name, self._drawn() if self._building.ids else Graph())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self.tasks)} tasks)"

    def graph(self) -> Graph:
        """The tasks as the graph that the scheduler runs, without what they do."""
        return self._drawn()

    def _shape(self) -> Graph:
        """The top level, without what is inside: enough to look at, and made in no time."""
        self._refuse_empty()
        building = self._building
        return self._cached("shape", lambda: (_shape_of(building), None))[0]

    def _refuse_empty(self) -> None:
        if not self._building.ids:
            raise EmptyWorkflowError(f"the workflow {self.name!r} has no tasks", hint="add one with @flow.task")

    def _drawn(self) -> Graph:
        self._refuse_empty()
        return self._cached("drawn", lambda: (drawing_of(self._building, self.limits), None))[0]

    def _cached(self, key: object, make: Callable[[], tuple[Graph, Any]]) -> tuple[Graph, Any]:
        full = (self._building.version, key)
        if full not in self._compiled:
            self._compiled = {k: v for k, v in self._compiled.items() if k[0] == full[0]}  # type: ignore[index]
            self._compiled[full] = make()
        return self._compiled[full]

    # -- running ----------------------------------------------------------------------------------------------------

    async def execute(
        self,
        *,
        arguments: Mapping[str, Any] | None = None,
        schedule: Schedule | None = None,
        jobs: int | None = None,
        journal: Place = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it stops what runs, and is on record
        token: CancellationToken | None = None,
        on_event: Callable[[Event], object] | None = None,
        budget: Budget | None = None,
        backend: Backend | None = None,
    ) -> RunResult:
        """Run to the end. A failed task gives a result whose status is `failed`; a mistake in the workflow raises.

        `schedule`: `dataflow` starts a task as soon as what it needs is done, the critical path first; `waves` runs
        layer by layer; `sequential` one task at a time in `execution_order()`. `jobs` run at once at most. `journal` is
        a folder (`".weft"`) in which the run is kept and can be resumed; without one it lives in memory. `timeout` is
        for the whole run, in seconds. `token` cancels it; `on_event` is told of every event after its commit. `backend`
        calls the functions instead of Weft: for tests. `budget` is what the run may use: a task that states an
        `estimate` starts only when that fits; a run that it stops ends as `waiting` and is resumed with a larger one.
        """
        how = how_of(schedule, jobs, timeout, token, on_event, backend, budget)
        given = named(arguments)
        program = self.program_for(given, journaled=journal is not None)
        folder = self._folder()
        return await embedding.execute(program, self._given(given), how, journal, folder=folder, project=folder)

    async def execute_parallel(
        self, *, arguments: Mapping[str, Any] | None = None, **options: Unpack[Options]
    ) -> RunResult:
        """`execute(schedule="waves")`: fork-join by layers."""
        return await self.execute(arguments=arguments, schedule="waves", **options)

    def run(
        self,
        *,
        check: bool = True,
        arguments: Mapping[str, Any] | None = None,
        schedule: Schedule | None = None,
        **options: Unpack[Options],
    ) -> RunResult:
        """`execute`, without `await`: also where a loop runs already, as in a notebook.

        Raises WorkflowFailed, with every error, when the run failed and `check` is true.
        """
        result = in_a_loop_of_its_own(self.execute(arguments=arguments, schedule=schedule, **options))
        if check:
            result.raise_for_status()
        return result

    def _folder(self) -> Path:
        return Path.cwd()

    def _given(self, arguments: Mapping[str, Any]) -> Arguments:
        from weft.engine.sitting import Arguments

        return Arguments(input=dict(arguments))

    def program_for(self, arguments: Mapping[str, Any], *, journaled: bool) -> Program:
        """The program for these arguments. Raises EmptyWorkflowError, InputError."""
        self._refuse_empty()

        def compiled() -> tuple[Graph, tuple[dict[str, Limit], str]]:
            graph, limits = compile_tasks(self._building, arguments, self.limits, journaled=journaled)
            return graph, (limits, _digest_of(graph) if journaled else "")

        mapped = any(isinstance(task, MapTask) for task in self._building.tasks.values())
        if mapped:  # what is gone over is part of the graph
            graph, (limits, digest) = compiled()
        else:
            graph, (limits, digest) = self._cached((journaled, *sorted(arguments)), compiled)
        return Program(
            name=self.name,
            graph=graph,
            output=Constant(None),
            limits=limits,
            on_failure=self.on_failure,
            rollback=self.rollback,
            digest=digest,
        )


@overload
def task(function: Callable[..., Any] | Task, /, *, id: str = "", **settings: Any) -> Task: ...
@overload
def task(*, id: str = "", **settings: Any) -> Callable[[Callable[..., Any] | Task], Task]: ...
def task(function: Any = None, /, *, id: str = "", **settings: Any) -> Any:  # noqa: A002 - the API's name
    """A task outside of a workflow, to be added to one or given to a combinator; also as a decorator.

    `settings` are those of `Workflow.add_task`. Raises InputError for one that cannot be.
    """

    def state(decorated: Any) -> Task:
        return _with_settings(as_task(decorated), settings_of(settings), id)

    return state if function is None else state(function)


def _with_settings(stated: Task, settings: Settings, id: str = "") -> Task:  # noqa: A002 - the API's name
    """The same task with other settings: one that was stated elsewhere is not changed."""
    import copy

    if type(stated) is Task:
        return Task(stated.function, id=id or stated.id, settings=settings)
    changed = copy.copy(stated)
    changed.settings = settings
    changed.id = id or stated.id
    return changed


def _is_items(over: Any) -> bool:
    return not isinstance(over, type) and (hasattr(over, "__iter__") or hasattr(over, "__aiter__"))


def _shape_of(building: Building) -> Graph:
    from weft.graph.model import Node

    needs = {id: building.needs(id) for id in building.ids}  # noqa: A001 - the API's name
    for first, second in data_edges(building):
        needs[second].append(first)
    return Graph([Node(id=id, needs=tuple(needs[id])) for id in building.ids])  # noqa: A001 - the API's name


def _digest_of(graph: Graph) -> str:
    from hashlib import sha256

    from weft.graph.model import walk_paths

    parts = [(path, node.digest) for node, path, _ in walk_paths(graph)]
    return sha256(repr(parts).encode()).hexdigest()
