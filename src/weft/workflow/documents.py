"""Documents as workflows: loaded, checked and run by the same methods."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from weft.app import embedding
from weft.errors import InputError
from weft.fronts.python.task import Task
from weft.graph import analysis
from weft.graph.hazards import Hazard
from weft.graph.model import Graph
from weft.graph.work import Program
from weft.results import RunResult
from weft.workflow.loops import in_a_loop_of_its_own
from weft.workflow.options import Options, Schedule
from weft.workflow.tasks import Workflow

if TYPE_CHECKING:
    from weft.engine.sitting import Arguments
    from weft.fronts.flow import Loaded
    from weft.text.source import Diagnostic


class LoadedWorkflow(Workflow):
    """A document, with the methods of a workflow. Its tasks are stated in its file."""

    def __init__(self, loaded: Loaded, program: Program, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(program.name, on_failure=program.on_failure, rollback=program.rollback)
        self.loaded = loaded
        self.program = program
        self._config = dict(config or {})

    def add_task(self, task: Any, *, id: str | None = None, **settings: Any) -> Task:  # noqa: A002 - the API's name
        raise InputError(f"{self.program.document} states its own tasks", hint="add it to the document")

    def add_dependency(self, prerequisite: Any, dependent: Any) -> None:
        raise InputError(f"{self.program.document} states its own order", hint="add it to the document: needs=...")

    @property
    def tasks(self) -> Mapping[str, Task]:
        return {node.id: Task(id=node.id) for node in self.program.graph.nodes}

    def execution_layers(self) -> list[list[str]]:
        """As of every workflow; an empty document has no layers."""
        graph = self.program.graph
        return [[graph.nodes[i].id for i in layer] for layer in analysis.layers(graph)]

    def hazards(self) -> list[Hazard]:
        return []

    def compensation_coverage(self) -> dict[str, bool]:
        return {node.id: node.compensation is not None for node in self.program.graph.nodes}

    def _shape(self) -> Graph:
        return self.program.graph

    def _drawn(self) -> Graph:
        return self.program.graph

    def _folder(self) -> Path:
        return Path(str(self.program.document)).parent

    def program_for(self, arguments: Mapping[str, Any], *, journaled: bool) -> Program:
        return self.program

    def _given(self, arguments: Mapping[str, Any]) -> Arguments:
        return embedding.document_arguments(self.loaded, self._config, arguments)


def load(path: str | Path, *, config: Mapping[str, Any] | None = None) -> Workflow:
    """A document as a workflow; `execute(arguments=...)` gives its input. Raises DocumentError, NotFoundError."""
    from weft.app.documents import program_of

    program, loaded = program_of(_path(path))
    return LoadedWorkflow(loaded, program, config)


async def run_document(
    path: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    input: Mapping[str, Any] | None = None,  # noqa: A002 - the document's word
    schedule: Schedule | None = None,
    **options: Unpack[Options],
) -> RunResult:
    """Run a document to its end; `schedule` and `options` are those of `Workflow.execute`.

    Raises DocumentError and NotFoundError; InputError for a config or an input that the document does not take.
    """
    return await load(path, config=config).execute(arguments=input, schedule=schedule, **options)


def run_document_sync(
    path: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    input: Mapping[str, Any] | None = None,  # noqa: A002 - the document's word
    schedule: Schedule | None = None,
    **options: Unpack[Options],
) -> RunResult:
    """`run_document`, without `await`: also where a loop runs already."""
    return in_a_loop_of_its_own(run_document(path, config=config, input=input, schedule=schedule, **options))


def check(path: str | Path) -> list[Diagnostic]:
    """All errors and warnings of a document, in its order; runs nothing. Raises NotFoundError, DeniedError."""
    from weft.app.documents import load as read

    return list(read(_path(path)).diagnostics)


def _path(given: object) -> str | Path:
    if isinstance(given, str | Path):
        return given
    if isinstance(given, Coroutine):
        given.close()  # else Python complains, much later, that nobody awaited it
    raise InputError(f"{given!r} is no document", hint='name its file: "etl.flow.md"')
