"""What a run leaves for whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from weft.errors import (
    EXIT_CANCELLED,
    EXIT_FAILED,
    EXIT_ISSUES,
    EXIT_OK,
    EXIT_WAITING,
    ErrorData,
    NodeFailed,
    WorkflowFailed,
)

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


class RunResult:
    """How a run ended.

    `nodes` maps paths, `counts` says how many instances there were by status, also of those left out; `errors` has
    one `NodeFailed` for each failed path; `waves` is the number of layers and `current_wave` the highest (from 0) in
    which a node has started.
    """

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

    @property
    def duration(self) -> float | None:
        """Seconds from the start to the end, or None."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(0.0, self.completed_at - self.started_at)

    def __getitem__(self, path: str) -> NodeResult:
        return self.nodes[path]

    def raise_for_status(self) -> None:
        """Raise WorkflowFailed when the run failed; with every error, not the first."""
        if self.status == "failed":
            errors = self.errors or [NodeFailed(self.workflow, ErrorData("Failed", "the run failed"))]
            raise WorkflowFailed(errors, self)

    def __repr__(self) -> str:
        return f"RunResult({self.run_id}, {self.status}, {len(self.nodes)} nodes, {len(self.errors)} errors)"
