"""The pytest plugin: `weft_run`.

pytest imports this module whenever it starts, in projects that do nothing with Weft too: nothing is imported up here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from weft.results import RunResult
    from weft.testing.clock import FakeClock
    from weft.workflow import Workflow

pytest.register_assert_rewrite("weft.backends.contract", "weft.journal.contract")

SHOWN = 20
"""Failed nodes that a failure lists."""


@pytest.fixture
def weft_run(tmp_path: Path) -> WeftRun:
    """Runs a workflow or a document and returns its RunResult: `weft_run(flow, arguments={"n": 3})`.

    See `WeftRun.__call__` for what it takes.
    """
    return WeftRun(tmp_path)


class WeftRun:
    """The fixture. `folder` is the test's own; `journal` is where runs with `journal=True` are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / ".weft"

    def __call__(
        self,
        flow: Workflow | str | Path,
        *,
        expect: str | None = "succeeded",
        clock: FakeClock | None = None,
        journal: bool | str | Path = False,
        arguments: Any = None,
        config: Any = None,
        **options: Any,
    ) -> RunResult:
        """Run to the end. Fails the test, with every error of the run, when its status is not `expect`; None: any is
        right.

        `arguments` are the input of a document, which is named by its path; `config` is for documents. In memory,
        unless `journal` is true (in the test's own folder) or names a folder. With a FakeClock in its time: functions
        are then called in the loop one after the other, also those that block, unless `backend` says otherwise; for
        what else needs real time, as the commands of a document do, give the clock some patience. `options` are those
        of `Workflow.execute`.
        """
        from weft.results import EXIT_CODES
        from weft.workflow import Workflow, in_a_loop_of_its_own, load
        from weft.workflow.options import one_of

        if expect is not None:
            one_of("expect", expect, EXIT_CODES)
        workflow = flow if isinstance(flow, Workflow) else load(flow, config=config)
        place = None if journal is False else self.journal if journal is True else journal
        if clock is not None and options.get("backend") is None:
            from weft.testing.scripted import ScriptedBackend

            options["backend"] = ScriptedBackend()
        run = workflow.execute(arguments=arguments, journal=place, **options)
        result = in_a_loop_of_its_own(run) if clock is None else clock.run(run)
        if expect is not None and result.status != expect:
            cause = next((error.__cause__ for error in result.errors if error.__cause__ is not None), None)
            __tracebackhide__ = True
            raise AssertionError(told(result, expect)) from cause
        return result


def told(result: RunResult, expect: str) -> str:
    """What happened instead of what was expected: the run, then a line for each node that failed."""
    from weft.event_types import AttemptSucceeded

    lines = [f"{result.workflow} {_ended(result.status)}, expected was {expect!r} (run {result.run_id})"]
    for error in result.errors[:SHOWN]:
        data = error.error
        attempts = result.nodes[error.path].attempts if error.path in result.nodes else 0
        tried = f", after {attempts} attempts" if attempts > 1 else ""
        place = f" at {data.place}" if data.place else ""
        lines.append(f"  {error.path}: {data.type}: {data.message}{place}{tried}")
    if len(result.errors) > SHOWN:
        lines.append(f"  and {len(result.errors) - SHOWN} more")
    lines += [f"  {path} asks: {question}" for path, question in result.questions.items()]
    lines += [f"  {e.path}: {e.issue}" for e in result.events if isinstance(e, AttemptSucceeded) and e.issue]
    counts = ", ".join(f"{count} {status}" for status, count in result.counts.items() if count)
    return "\n".join([*lines, f"  nodes: {counts}"] if counts else lines)


def _ended(status: str) -> str:
    return f"ended with status {status!r}" if status != "waiting" else "waits"
