"""What a run leaves for whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from weft.errors import (
    EXIT_CANCELLED,
    EXIT_FAILED,
    EXIT_ISSUES,
    EXIT_OK,
    EXIT_WAITING,
    ErrorData,
    InputError,
    NodeFailed,
    UnknownTaskError,
    ValidationError,
    WorkflowFailed,
    nearest,
)

if TYPE_CHECKING:
    from weft.event_types import Event

MAX_AMOUNT = 1e308
"""Infinity is no amount, and JSON could not hold it."""
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=MAX_AMOUNT)]

EXIT_CODES = {
    "succeeded": EXIT_OK,
    "failed": EXIT_FAILED,
    "issues": EXIT_ISSUES,
    "waiting": EXIT_WAITING,
    "cancelled": EXIT_CANCELLED,
}
"""A run's status as an exit code."""


class NodeResult:
    """How one node instance ended, or where it stands. Times are Unix time in seconds, `duration` is in seconds.

    `output` is read when asked for: large ones are not kept in memory.
    """

    __slots__ = ("_load", "attempts", "completed_at", "duration", "error", "kind", "reason", "started_at", "status")

    def __init__(self, kind: str, status: str = "pending", load: Callable[[], Any] | None = None) -> None:
        self.kind = kind
        self.status = status
        self.error: ErrorData | None = None
        self.attempts = 0
        self.started_at: float | None = None
        self.completed_at: float | None = None
        self.duration: float | None = None
        self.reason = ""
        self._load = load

    @property
    def output(self) -> Any:
        """The value; None when there is none."""
        return None if self._load is None else self._load()

    def set_output(self, load: Callable[[], Any]) -> None:
        """How to read the value."""
        self._load = load

    def __repr__(self) -> str:
        return f"NodeResult({self.kind}, {self.status}, attempts={self.attempts})"


class RollbackReport(msgspec.Struct, frozen=True):
    """What was undone, what has no compensation, and what could not be undone: paths."""

    rolled_back: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class TaskResultMetrics(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task used: tokens, milliseconds, US dollars. Counts against a budget where there is one."""

    tokens_used: NotNegative | None = None
    duration_ms: NotNegative | None = None
    cost_usd: NotNegative | None = None

    def __post_init__(self) -> None:
        """What a checker of types would say, for those who have none. Raises ValidationError."""
        for field in self.__struct_fields__:
            value = getattr(self, field)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value <= MAX_AMOUNT):
                raise ValidationError(f"{field} is {value!r}; it must be a number of 0 or more", path=f"$.{field}")


_STATUSES = ("COMPLETE", "PARTIAL", "BLOCKED", "NEEDS_REPLAN")


class TaskResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task says of itself.

    `COMPLETE` is done; `PARTIAL` is done with an issue; `BLOCKED` and `NEEDS_REPLAN` are failures that another try
    would repeat. `error` says why.
    """

    status: Literal["COMPLETE", "PARTIAL", "BLOCKED", "NEEDS_REPLAN"]
    metrics: TaskResultMetrics | None = None
    files_modified: list[str] = []
    observations: list[str] = []
    error: str | None = None

    def __post_init__(self) -> None:
        """What a checker of types would say, for those who have none. Raises ValidationError."""
        for field, value, fits, wanted in (
            ("status", self.status, self.status in _STATUSES, f"one of {', '.join(_STATUSES)}"),
            ("metrics", self.metrics, isinstance(self.metrics, TaskResultMetrics | None), "a weft.TaskResultMetrics"),
            ("files_modified", self.files_modified, _are_texts(self.files_modified), "a list of texts"),
            ("observations", self.observations, _are_texts(self.observations), "a list of texts"),
            ("error", self.error, isinstance(self.error, str | None), "a text"),
        ):
            if not fits:
                raise ValidationError(f"{field} is {value!r}; it must be {wanted}", path=f"$.{field}")

    @classmethod
    def parse(cls, data: bytes | str | Mapping[str, Any]) -> TaskResult:
        """From JSON, or from data. Fields that are not known are left out. Raises ValidationError, naming the field."""
        try:
            if isinstance(data, bytes | str):
                return msgspec.json.decode(data, type=cls)
            return msgspec.convert(data, cls)
        except msgspec.ValidationError as error:
            reason, _, place = str(error).partition(" - at `")
            path = place.removesuffix("`") or "$"
            message = f"{reason[:1].lower()}{reason[1:]} at {path}"
            raise ValidationError(message, path=path, hint="see TaskResult.json_schema()") from None
        except (msgspec.DecodeError, UnicodeError, TypeError, ValueError) as error:
            raise ValidationError(f"not a task result: {error}", hint="see TaskResult.json_schema()") from None

    def to_json(self) -> bytes:
        """As one JSON object."""
        return msgspec.json.encode(self)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON schema, for whoever is to write one: a model, another program."""
        return msgspec.json.schema(cls)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


class Compensated:
    """A task's value, and how to undo what it did: a function of the value, or one of `weft.undo`.

    One of `weft.undo` is data and survives the process. A function lives as long as the process does: after a crash the
    rollback reports that the undo was lost; say `compensate=` at the task where that must not be.
    """

    __slots__ = ("undo", "value")

    def __init__(self, value: Any, undo: Any) -> None:
        if not callable(undo) and not hasattr(undo, "as_data"):
            raise InputError(f"{undo!r} is no undo", hint="pass a function, or one of weft.undo")
        self.value = value
        self.undo = undo


class RunResult:
    """How a run ended.

    `nodes` maps paths, `counts` says how many instances there were by status, also of those left out; `errors` has one
    `NodeFailed` for each failed path; `waves` is the number of layers and `current_wave` the highest (from 0) in which
    a node has started. `tasks` and `outputs` have the top level, by id. `abandoned` counts calls that were stopped and
    go on in their thread all the same: a thread cannot be ended.

    What a run of very many nodes did is put together when somebody looks at more than its status: see `later`.
    """

    hint = ""
    """How to go on with it, where it is kept and can go on."""
    _collect: Callable[[], RunResult] | None = None

    def __init__(
        self,
        *,
        run_id: str,
        workflow: str,
        status: str,
        output: Any,
        nodes: Mapping[str, NodeResult],
        nodes_left_out: int = 0,
        counts: Mapping[str, int] | None = None,
        errors: Sequence[NodeFailed] = (),
        rollback: RollbackReport | None = None,
        started_at: float | None = None,
        completed_at: float | None = None,
        waves: int = 0,
        current_wave: int = 0,
        exit_code: int | None = None,
        top: Sequence[str] = (),
        read_events: Callable[[], Sequence[Event]] | None = None,
        abandoned: int = 0,
        questions: Mapping[str, str] | None = None,
        lacking: str = "",
    ) -> None:
        self.run_id = run_id
        self.workflow = workflow
        self.status = status
        self.output = output
        self.nodes = nodes
        self.nodes_left_out = nodes_left_out
        self.counts = counts or {}
        self.errors = list(errors)
        self.rollback = rollback
        self.started_at = started_at
        self.completed_at = completed_at
        self.waves = waves
        self.current_wave = current_wave
        self.exit_code = EXIT_CODES.get(status) if exit_code is None else exit_code
        self.abandoned = abandoned
        self.questions = questions or {}
        """What each waiting path asks."""
        self.lacking = lacking
        """Of a run that its budget has stopped: what does not fit, and why. It goes on with a larger one."""
        self._top = top
        self._read_events = read_events

    @classmethod
    def later(cls, run_id: str, workflow: str, status: str, collect: Callable[[], RunResult]) -> RunResult:
        """A result that is known by its status so far; `collect` is called once, when anything else is asked for."""
        result = cls.__new__(cls)
        vars(result).update(run_id=run_id, workflow=workflow, status=status, _collect=collect)
        return result

    if not TYPE_CHECKING:  # what may be asked for stands in __init__

        def __getattr__(self, name: str) -> Any:
            """It is not there: perhaps it was not collected yet."""
            if self._collect is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            self.__dict__ = vars(self._collect()) | vars(self)
            self._collect = None
            return getattr(self, name)

    @property
    def duration(self) -> float | None:
        """Seconds from the start to the end, or None."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(0.0, self.completed_at - self.started_at)

    @property
    def tasks(self) -> dict[str, NodeResult]:
        """The top level, by id, in the order of addition."""
        return {name: self.nodes[name] for name in self._top if name in self.nodes}

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the top level, by id, of all that came to their end."""
        return {name: node.output for name, node in self.tasks.items() if node.status == "succeeded"}

    @property
    def events(self) -> list[Event]:
        """The journal of the run: everything that happened, in order."""
        return [] if self._read_events is None else list(self._read_events())

    def read_events_with(self, read: Callable[[], Sequence[Event]]) -> None:
        """How to read the journal, when somebody asks for it."""
        self._read_events = read

    def __getitem__(self, path: str) -> NodeResult:
        if path not in self.nodes:
            near = nearest(str(path), list(self.nodes), count=3)
            raise UnknownTaskError(path, near, hint="result.nodes has every path")
        return self.nodes[path]

    def raise_for_status(self) -> None:
        """Raise WorkflowFailed when the run failed; with every error, not the first."""
        if self.status == "failed":
            errors = self.errors or [NodeFailed(self.workflow, ErrorData("Failed", "the run failed"))]
            raise WorkflowFailed(errors, self)

    def _repr_html_(self) -> str:
        """A table of the top level, for a notebook: no outputs, which may be large. Every text is escaped."""
        took = "" if self.duration is None else f" in {self.duration:.3g} s"
        caption = _cell("caption", f"{self.workflow}: {self.status}{took} (run {self.run_id})")
        head = "".join(_cell("th", name) for name in ("task", "status", "attempts", "seconds", "why"))
        rows = [_row(name, self.nodes[name]) for name in self._top[:_SHOWN] if name in self.nodes]
        if (more := len(self._top) - _SHOWN) > 0:
            rows.append(f"<tr>{_cell('td', f'and {more:,} more')}</tr>")
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"

    def __repr__(self) -> str:
        return f"RunResult({self.run_id}, {self.status}, {len(self.nodes)} nodes, {len(self.errors)} errors)"


_SHOWN = 100
"""Rows of a table in a notebook."""


def _row(name: str, node: NodeResult) -> str:
    took = "" if node.duration is None else f"{node.duration:.3g}"
    why = node.reason if node.error is None else f"{node.error.type}: {node.error.message}"
    return f"<tr>{''.join(_cell('td', text) for text in (name, node.status, str(node.attempts), took, why))}</tr>"


def _cell(tag: str, text: str) -> str:
    from html import escape

    plain = "".join(c if c.isprintable() else " " for c in text)
    return f"<{tag}>{escape(plain)}</{tag}>"
