"""What a scheduler knows: all of it, and as much of it as a replay must know, too."""

from __future__ import annotations

from typing import Any

from weft.core.blocks import Block, Foreach, Loop, Parallel, Retrying
from weft.core.scheduler import Scheduler
from weft.core.state import Frame, Instance
from weft.core.status import Status

ENDED = (Status.SUCCEEDED, Status.FAILED, Status.SKIPPED, Status.CANCELLED)


def known(s: Scheduler) -> dict[str, Any]:
    """What must be the same in a replay: everything the journal can know.

    Not: iterations and branches in which nothing has begun, whether an unrecorded `pure` leaf runs or is only ready,
    and whether a retry's wait is over.
    """
    out: dict[str, Any] = {}

    def frame(f: Frame, where: str) -> None:
        ended = [Status(b).word if b in ENDED else "" for b in f.status]
        out[f"{where} frame"] = (ended, f.stopped, f.failed, f.broken, f.begun, f.policy)
        for i in f.open.values():
            asked = i.asked.replace("items", "")  # a replay need not know how far a generator was read
            facts: tuple[Any, ...] = (type(i).__name__, asked, i.cancelling, i.begun)
            if i.status is Status.RUNNING and not isinstance(i, Block) and not i.asked and i.noted != i.attempt:
                facts += ("ready", i.attempt - 1, i.base)
            elif i.begun or isinstance(i, Block):
                facts += (i.status.word, i.attempt, i.base)
            else:
                facts += ("ready", i.attempt, i.base)
            if isinstance(i, Block):
                facts += (i.failed, i.error, i.halted, i.complete)
                for n, inner in i.live.items():
                    if inner.begun or not isinstance(i, Foreach | Parallel | Retrying):
                        frame(inner, f"{i.path}({n})")
            if isinstance(i, Parallel):
                facts += (list(i.winners), i.over, i.merged, sorted(i.failing))
            if isinstance(i, Loop | Retrying):
                facts += (i.round,)
            if isinstance(i, Foreach):
                facts += (i.count, i.stop, i.highest, 0 if i.node.bodies[0].silent else i.over)
            out[i.path] = facts

    frame(s.root, "")
    out["run"] = (s.started, s.finished.replace("waiting", ""), s.issues, s.cancelled)
    out["undo"] = (s.undo.running, s.undo.left, list(s.undo.rolled_back), list(s.undo.failed))
    if s.ledger is not None:
        out["budget"] = s.ledger.spent
    return out


def deep(s: Scheduler) -> Any:
    """Everything there is in a scheduler, to see that nothing has changed."""

    def instance(i: Instance) -> Any:
        skip = {"frame", "node", "live"}
        fields = {f: _plain(getattr(i, f)) for f in i.__struct_fields__ if f not in skip}
        if isinstance(i, Block):
            fields["live"] = {n: frame(f) for n, f in i.live.items()}
        return fields

    def frame(f: Frame) -> Any:
        skip = {"graph", "ranks", "block", "open", "scope"}
        fields = {name: _plain(getattr(f, name)) for name in f.__struct_fields__ if name not in skip}
        return fields, {n: instance(i) for n, i in f.open.items()}

    queue = s.queue
    heaps = [
        [(*e[:4], e[4].path) for e in h if e[4].status is Status.READY]
        for h in (queue._fresh, queue._flying, queue._ready)
    ]
    gates = {name: (g.used, [e[4].path for e in g.parked]) for name, g in queue._gates.items()}
    loose = {
        n: _plain(getattr(s, n)) for n in ("busy", "batch", "durable", "paused", "committing", "unrecorded", "flying")
    }
    return (
        frame(s.root),
        sorted(s.open),
        known(s)["run"],
        known(s)["undo"],
        heaps,
        gates,
        queue.used,
        loose,
        len(s.out),
        len(s.todo),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, bytearray | list | dict | set):
        return type(value)(value)
    return list(value) if hasattr(value, "popleft") else value
