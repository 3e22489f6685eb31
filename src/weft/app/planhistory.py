"""What the journal of a plan's run says about its tasks, and what of them must begin anew when it goes on.

A node that acts on the repository's own tree was told, when it began, at which commit the tree is: what an interrupted
attempt has left is taken back to there. That holds only while nothing else has come onto the branch. When a task that
failed is done later than its followers, or before what was interrupted, going back would take their commits away. So
where another task has committed since, or will before it is its turn, what stands on such a commit is put aside.

And what was interrupted has something in that tree. When it is not what goes on first (another selection of tasks,
other settings), somebody else would find it there: then it is taken out before anything starts, and done again later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec

from weft import event_types as events
from weft.fronts.plan.compile import known_tasks
from weft.fronts.plan.segments import Segment
from weft.graph.model import node_path
from weft.journal.base import Journal, JournalReader

_PLACES = ("place", "onto", "at")
"""The last parts of paths that say at which commit something begins."""
_AGENTS = ("plan", "execute", "ask", "address")
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
    passed_over: set[str] = set()
    """The reviews that did not begin, as their tasks had failed."""
    began: dict[str, int] = {}
    """When something last was told where it begins, by its task or review: positions in the journal."""
    moved: dict[str, int] = {}
    """When it last has committed or folded."""
    bases: dict[str, str] = {}
    """The commits at which they began."""
    trees: dict[str, tuple[str, str]] = {}
    """Those that have a work tree of their own: its path, and where git keeps it."""
    shared: set[str] = set()
    """And those that share the repository's with others."""
    branch: str | None = None
    """The branch that the repository's own tree was on when something last looked."""
    owner: str | None = None
    """The task or review of which something may be in the repository's own tree."""

    @property
    def done(self) -> set[int]:
        """The tasks of which nothing is missing."""
        return {n for n in self.digests if f"task-{n}" in self.well and f"review-{n}" in self.well}

    def gone(self, is_there: Callable[[str, str], bool]) -> set[str]:
        """Those whose work tree is not there any more."""
        return {head for head, place in self.trees.items() if not is_there(*place)}


def history_of(journal: Journal | JournalReader) -> History:
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
                found.passed_over -= event.changed.keys()
            elif isinstance(event, events.BlockSucceeded):
                found.well.add(node_path(event.path))
                found.failed.discard(node_path(event.path))
            elif isinstance(event, events.BlockFailed):
                found.failed.add(node_path(event.path))
            elif isinstance(event, events.ChoiceMade):
                if event.when and event.taken < 0:
                    found.passed_over.add(event.path)
            elif isinstance(event, events.AttemptSucceeded):
                _note(found, event, position)
            elif isinstance(event, events.AttemptStarted | events.AttemptFailed):
                head, _, last = node_path(event.path).partition("/")[0], "", event.path.rpartition("/")[2]
                if last in _AGENTS and head not in found.trees and head not in found.shared:
                    found.owner = head if isinstance(event, events.AttemptStarted) else None
    return found


def _is_within(path: str, changed: dict[str, str]) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in changed)


def _note(found: History, event: events.AttemptSucceeded, position: int) -> None:
    path = node_path(event.path)
    head, last = path.partition("/")[0], path.rpartition("/")[2]
    if last in _PLACES or head.startswith("fork-"):
        place = msgspec.json.decode(event.output)
        if place["path"] is None:
            found.branch = place["branch"]
    if last in _PLACES:
        found.began[head] = position
        found.bases[head] = place["base"]
        found.trees.pop(head, None)
        found.shared.discard(head)
        if place["path"] is not None:
            found.trees[head] = (place["path"], place["gitdir"])
        elif place.get("shared"):
            found.shared.add(head)
    elif last in _MOVES:
        found.moved[head] = position
        found.well.add(path)
        if found.owner == head:
            found.owner = None


class Anew(msgspec.Struct, frozen=True):
    """What begins anew: node paths with reasons. With `base`, the repository's tree is first put back to that commit
    (empty: to the one it is at), and what is found in it is kept.
    """

    paths: dict[str, str]
    base: str | None = None


def begins_anew(history: History, parts: Sequence[Segment], gone: Collection[str] = ()) -> Anew:
    """What is put aside when a run goes on with these segments; the work trees of tasks in `gone` are not there now."""
    anew: dict[str, str] = {}
    order = [head for part in parts for kind in ("task", "review") for head in _heads(kind, part)]
    left = [head for head in order if head not in history.well]
    alone = {f"task-{part.tasks[0].number}" for part in parts if not part.parallel}
    for position, head in enumerate(left):
        failed = head in history.failed
        why = "it failed" if failed else "the branch has moved"
        aside = failed or position > 0 or _is_stale(history, head)
        if head.startswith("review-"):
            if aside and head in history.bases:
                anew[f"{head}/phase" if f"{head}/fold" in history.well else head] = why
            elif head in history.passed_over:  # else what it was told then would hold, whatever its task does now
                anew[head] = "its task had failed"
        elif head in history.trees:
            if head in gone:
                anew[f"{head}/place"] = "its work tree is gone"
        elif head in history.bases and head not in history.shared and (aside or head not in alone):
            anew[f"{head}/place"] = why
    owner = history.owner
    if owner is None or (left[:1] == [owner] and not any(path.partition("/")[0] == owner for path in anew)):
        return Anew(anew)
    if owner.startswith("task-"):
        anew.pop(f"{owner}/place", None)
        anew[owner] = "what it had done was taken out of the tree"
    else:
        anew.setdefault(f"{owner}/phase", "what it had done was taken out of the tree")
    return Anew(anew, "" if _is_stale(history, owner) else history.bases.get(owner, ""))


def _heads(kind: str, part: Segment) -> list[str]:
    return [f"{kind}-{task.number}" for task in part.tasks]


def _is_stale(history: History, head: str) -> bool:
    """Whether something else has come onto the branch since it began."""
    began = history.began.get(head)
    return began is not None and any(at > began for name, at in history.moved.items() if name != head)
