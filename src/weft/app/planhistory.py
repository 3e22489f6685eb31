"""What the journal of a plan's run says about its tasks, and what of them must begin anew when it goes on.

A node that acts on the repository's own tree was told, when it began, at which commit the tree is: what an interrupted
attempt has left is taken back to there. That holds only while nothing else has come onto the branch. When a task that
failed is done later than its followers, or before what was interrupted, going back would take their commits away. So
where another task has committed since, or will before it is its turn, what stands on such a commit is put aside.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weft import event_types as events
from weft.fronts.plan.compile import known_tasks
from weft.fronts.plan.document import Task
from weft.graph.model import node_path
from weft.journal.base import Journal

_PLACES = ("place", "onto", "at")
"""The last parts of paths that say at which commit something begins."""
_MOVES = ("commit", "fold")
"""And of those that bring commits onto a branch."""


class History(msgspec.Struct):
    """Of all sittings of a run."""

    digests: dict[int, str] = {}
    """Of the tasks that it knows."""
    ids: set[str] = set()
    """The node paths of the last plan."""
    well: set[str] = set()
    """The node paths of blocks, commits and folds that ended well."""
    failed: set[str] = set()
    began: dict[str, int] = {}
    """When something last was told where it begins, by its task or review: positions in the journal."""
    moved: dict[str, int] = {}
    """When it last has committed or folded."""

    @property
    def done(self) -> set[int]:
        """The tasks of which nothing is missing."""
        return {n for n in self.digests if f"task-{n}" in self.well and f"review-{n}" in self.well}


def history_of(journal: Journal) -> History:
    """Read the journal."""
    found = History()
    position = 0
    for batch in journal.read():
        for event in batch:
            position += 1
            if isinstance(event, events.RunStarted | events.RunResumed) and event.plan:
                found.digests |= known_tasks({node.id: node.digest for node in event.plan})
                found.ids = {node.id for node in event.plan}
            if isinstance(event, events.RunResumed):
                found.well -= {path for path in found.well if _is_within(path, event.changed)}
            elif isinstance(event, events.BlockSucceeded):
                found.well.add(node_path(event.path))
                found.failed.discard(node_path(event.path))
            elif isinstance(event, events.BlockFailed):
                found.failed.add(node_path(event.path))
            elif isinstance(event, events.AttemptSucceeded):
                _note(found, node_path(event.path), position)
    return found


def _is_within(path: str, changed: dict[str, str]) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in changed)


def _note(found: History, path: str, position: int) -> None:
    head, _, last = path.partition("/")[0], "", path.rpartition("/")[2]
    if last in _PLACES:
        found.began[head] = position
    elif last in _MOVES:
        found.moved[head] = position
        found.well.add(path)


def begins_anew(history: History, tasks: Sequence[Task], alone: set[int]) -> dict[str, str]:
    """Node paths of what is put aside, with reasons; `alone` are the tasks that work in the repository's own tree."""
    anew: dict[str, str] = {}
    moves = False
    for number in (task.number for task in tasks):
        if f"task-{number}" not in history.well:
            failed = f"task-{number}" in history.failed
            if number in alone and (moves or failed or _is_stale(history, f"task-{number}")):
                anew[f"task-{number}/place"] = "it failed" if failed else "the branch has moved"
            moves = True
        head = f"review-{number}"
        if head not in history.well:
            failed = head in history.failed
            if failed or moves or _is_stale(history, head):
                folded = f"{head}/fold" in history.well
                anew[f"{head}/phase" if folded else head] = "it failed" if failed else "the branch has moved"
            moves = True
    return anew


def _is_stale(history: History, head: str) -> bool:
    """Whether something else has come onto the branch since it began."""
    began = history.began.get(head)
    return began is not None and any(at > began for name, at in history.moved.items() if name != head)
