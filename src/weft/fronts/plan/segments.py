"""What of a plan runs when: a selection of its tasks, cut into segments.

A maximal run of two or more `(parallel)` tasks is a parallel block; every other task is a segment of its own. Segments
run one after the other, the tasks of a block side by side. Both are computed from what is to run, not from what the
file has: a block that is cut to one task is sequential.

A task that needs one of its own block begins another block: marks say what may run side by side, needs what must not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from weft.errors import UsageError
from weft.fronts.plan.document import Plan, Task
from weft.fronts.plan.needs import listed


class Segment(msgspec.Struct, frozen=True):
    """A consecutive piece of a plan: one task, or two and more that may run side by side."""

    tasks: tuple[Task, ...]
    parallel: bool

    def __str__(self) -> str:
        numbers = ",".join(str(task.number) for task in self.tasks)
        return f"P[{numbers}]" if self.parallel else f"S{numbers}"


def select(plan: Plan, *, only: int | None = None, first: int | None = None) -> tuple[Task, ...]:
    """The tasks that are to run: all, the one with the number `only`, or those from `first` on.

    Raises UsageError for a number that no task has, and for both at once.
    """
    if only is not None and first is not None:
        raise UsageError("--task and --from-task exclude each other", hint="give one of them")
    flag, number = ("--task", only) if only is not None else ("--from-task", first)
    if number is None:
        return plan.tasks
    if plan.task(number) is None:
        known = listed([task.number for task in plan.tasks])
        raise UsageError(f"{flag}: there is no task {number} in {plan.name}", hint=f"available are {known}")
    if only is not None:
        return tuple(task for task in plan.tasks if task.number == only)
    return tuple(task for task in plan.tasks if task.number >= number)


def is_concurrent(*, parallel: bool, max_parallel: int) -> bool:
    """Whether blocks run side by side at all: else everything is sequential, with the same results."""
    return parallel and max_parallel > 1


def segments(tasks: Sequence[Task], *, concurrent: bool = True) -> tuple[Segment, ...]:
    """The segments of tasks, which are in order. Without `concurrent` each task is one."""
    if not concurrent:
        return tuple(Segment((task,), parallel=False) for task in tasks)
    return tuple(Segment(tuple(run), parallel=len(run) > 1) for run in _runs(tasks))


def _runs(tasks: Sequence[Task]) -> list[list[Task]]:
    runs: list[list[Task]] = []
    members: set[int] = set()
    for task in tasks:
        if task.parallel and members and members.isdisjoint(task.needs):
            runs[-1].append(task)
            members.add(task.number)
        else:
            runs.append([task])
            members = {task.number} if task.parallel else set()
    return runs


def layers(tasks: Sequence[Task], waits: Mapping[int, Sequence[int]]) -> tuple[Segment, ...]:
    """The segments of `--schedule hazards`: tasks that wait for nothing of each other, whether marked or not.

    `waits` names for each task those it waits for, as the analysis of `reads` and `writes` has found (together with its
    needs); only numbers of earlier tasks of the selection count. A task is in the segment behind the last it waits for.
    """
    depth: dict[int, int] = {}
    rows: list[list[Task]] = []
    for task in tasks:
        level = max((depth[other] + 1 for other in waits.get(task.number, ()) if other in depth), default=0)
        depth[task.number] = level
        if level == len(rows):
            rows.append([])
        rows[level].append(task)
    return tuple(Segment(tuple(row), parallel=len(row) > 1) for row in rows)


def describe(parts: Sequence[Segment]) -> str:
    """`S1, P[2,3], S4`."""
    return ", ".join(map(str, parts))


def outline(parts: Sequence[Segment]) -> list[str]:
    """The segments line by line, as `weft plan check` shows them: those of a block below its mark, indented."""
    lines = []
    for part in parts:
        if part.parallel:
            lines.append(f"side by side ({len(part.tasks)}):")
        lines += [("  " if part.parallel else "") + _told(task) for task in part.tasks]
    return lines


def _told(task: Task) -> str:
    said = [task.name]
    if task.needs:
        said.append(f"needs {listed(task.needs)}")
    for name, paths in (("reads", task.reads), ("writes", task.writes)):
        if paths is not None:
            said.append(f"{name} {', '.join(paths) or 'nothing'}")
    if task.verify is not None:
        said.append(f"verified by `{task.verify}`")
    return "; ".join(said)
