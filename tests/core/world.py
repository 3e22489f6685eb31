"""An adversarial world for one scheduler: anything that may happen happens in any order, and may be lost.

No time passes in here. Attempts end, questions are answered, timers fire, commits land when `rng` says so; the
machine may crash at any moment, which leaves the durable batches and nothing else. After everything that
happens the invariants are checked; above all: a fresh scheduler with other slots and ranks, fed the journal,
knows the same as the live one.
"""

from __future__ import annotations

import random
import zlib
from typing import Any

from core.drawing import rewindowed
from core.knowledge import ENDED, deep, known
from weft import commands
from weft import event_types as events
from weft.budget import Budget, Ledger
from weft.core.blocks import Block, Foreach, Parallel
from weft.core.priority import plan
from weft.core.scheduler import Scheduler
from weft.core.state import Instance
from weft.core.status import Status
from weft.errors import ErrorData, IllegalEvent
from weft.event_types import Event
from weft.graph.model import Graph, walk
from weft.policy import Limit

LIMITS = {"x": Limit(concurrency=1), "y": Limit(concurrency=2)}
OUTCOMES: list[ErrorData | None] = [
    None,
    None,
    None,
    None,
    None,
    ErrorData("Boom", "boom"),
    ErrorData("Busy", "busy", retryable=True),
    ErrorData("Lost", "lost", retryable=True, unknown=True),
    ErrorData("Skipped", "not me"),
    ErrorData("SkippedWithDependents", "nor them"),
]


# -- the world --------------------------------------------------------------------------------------------------------


class World:
    """Drives one scheduler, badly."""

    def __init__(
        self,
        rng: random.Random,
        graph: Graph,
        *,
        scheduler: type[Scheduler] = Scheduler,
        outcomes: list[ErrorData | None] | None = None,
        tokens: float | None = None,
        **options: Any,
    ) -> None:
        self.rng = rng
        self.graph = graph
        self.make = scheduler
        self.outcomes = OUTCOMES if outcomes is None else outcomes
        self.options = {"jobs": 2, "limits": LIMITS, **options}
        self.tokens = tokens
        """The budget of this sitting; None: none."""
        self.sittings = 1
        self.happened = 0
        self.journal: list[Event] = []
        self.done: dict[str, int] = {}
        """Leaves whose success is durable: how often they were started before it was."""
        self.counts: dict[str, int] = {}
        self.checks = True
        self._sit(self.make(graph, budget=self.budget(), **self.options))
        self.happen(events.RunStarted(run="r", workflow="w"))

    def _sit(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.pending: list[Event] = []
        self.flying: list[Event] | None = None
        self.after: list[commands.Command] = []
        self.acting: list[commands.Command] = []
        self.questions: list[commands.Command] = []
        self.running: dict[str, Instance] = {}
        self.cancelling: set[str] = set()
        self.timers: list[Instance] = []
        self.deadlines: list[Instance] = []
        self.undoing: commands.Compensate | None = None
        self.status = ""
        other = self.graph if self.rng.random() < 0.5 else rewindowed(self.graph, self.rng)
        ranks = {g: [self.rng.random() for _ in r] for g, r in plan(other).items()}
        options = {**self.options, "jobs": self.rng.choice([1, 7]), "ranks": ranks, "replaying": True}
        self.replica = Scheduler(other, budget=self.budget(), **options)
        self.fed = 0

    def budget(self) -> Ledger | None:
        return None if self.tokens is None else Ledger(Budget(tokens=self.tokens))

    @property
    def recorded(self) -> list[Event]:
        return [*self.journal, *(self.flying or ()), *self.pending]

    # -- deciding -----------------------------------------------------------------------------------------------------

    def happen(self, event: Event) -> bool:
        """Tell the scheduler, as the engine would. False when it no longer expects that."""
        self.happened += 1
        if not self.scheduler.expects(event):
            return False
        wishes = self.scheduler.handle(event)
        place = len(self.pending)
        if event.JOURNALED:
            self.pending.append(event)
        self.take(wishes, place)
        self.check()
        return True

    def take(self, wishes: list[commands.Command], place: int) -> None:
        for wish in wishes:
            if isinstance(wish, commands.Record):
                self.pending.insert(place if wish.before else len(self.pending), wish.event)
            elif isinstance(wish, commands.StartAttempt):
                assert wish.early
                self.note_start(wish)
                self.start(wish)
            elif type(wish).__name__.startswith("Ask"):
                self.questions.append(wish)
            elif not isinstance(wish, commands.CloseFrame | commands.CompleteBlock):
                self.after.append(wish)

    def note_start(self, wish: commands.StartAttempt) -> None:
        s, i = self.scheduler, wish.instance
        assert not s.cancelled, f"{i.path} starts in a run that was cancelled"
        assert not s.finished, f"{i.path} starts in a run that has ended"
        assert s.queue.used <= s.queue.jobs
        assert all(i.frame.status[need] in ENDED for need in i.frame.graph.needs[i.index]), f"{i.path} starts too early"
        assert not (i.frame.stopped and i.attempt == i.base + 1 and not i.begun), f"{i.path} starts in a stopped body"
        if i.node.effect != "pure":
            self.pending.append(events.AttemptStarted(path=i.path, attempt=wish.attempt, reason=wish.reason))

    def start(self, wish: commands.StartAttempt) -> None:
        """It really starts: everything it needs must be durable."""
        i = wish.instance
        assert i.path not in self.running
        assert i.path not in self.done, f"{i.path} is done and runs again"
        ended = {e.path for e in self.journal if isinstance(e, events.AttemptSucceeded)}
        for need in i.frame.graph.needs[i.index]:
            node = i.frame.graph.nodes[need]
            decided = any(
                isinstance(e, events.DecisionMade) and e.path == i.frame.prefix + node.id for e in self.journal
            )
            if (
                node.kind == "leaf"
                and node.fallback is None
                and i.frame.status[need] == Status.SUCCEEDED
                and not decided
            ):
                assert i.frame.prefix + node.id in ended, f"{i.path} starts before {node.id} is durable"
        if wish.early:
            assert i.node.effect != "once"
            assert i.node.compensation is None
            assert not i.node.limits
        elif i.node.effect != "pure":
            assert any(isinstance(e, events.AttemptStarted) and e.path == i.path for e in self.journal)
        self.running[i.path] = i

    # -- acting -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        if self.flying is not None:
            return
        for wish in self.scheduler.close_batch():
            if isinstance(wish, commands.Record):
                self.pending.append(wish.event)
            else:
                if isinstance(wish, commands.StartAttempt):
                    self.note_start(wish)
                    if wish.early:
                        self.start(wish)
                        continue
                self.after.append(wish)
        self.flying, self.pending = self.pending, []
        self.acting, self.after = self.after, []
        self.check()

    def land(self) -> None:
        if self.flying is None:
            return
        self.journal += self.flying
        self.done.update({e.path: 1 for e in self.flying if isinstance(e, events.AttemptSucceeded)})
        self.flying = None
        self.happen(events.BatchDurable())
        acting, self.acting = self.acting, []
        for wish in acting:
            match wish:
                case commands.StartAttempt():
                    self.start(wish)
                case commands.CancelAttempt(instance=i):
                    if self.running.get(i.path) is i:
                        self.cancelling.add(i.path)
                case commands.SetTimer(instance=i):
                    self.timers.append(i)
                case commands.SetDeadline(instance=i):
                    self.deadlines.append(i)
                case commands.Compensate():
                    assert self.undoing is None
                    self.undoing = wish
                case commands.Finish(status=status):
                    assert not self.running, f"{status} while {list(self.running)} run"
                    self.status = status

    def crash(self) -> None:
        """Everything in memory is gone."""
        if not self.journal:
            return
        self.sittings += 1
        fresh = self.make(self.graph, budget=self.budget(), **{**self.options, "replaying": True})
        self._sit(fresh)
        for event in self.journal:
            fresh.handle(event)
        resumed = events.RunResumed(epoch=self.sittings)
        fresh.handle(resumed)
        self.pending.append(resumed)
        self.take(fresh.recover(), 1)
        self.check()

    # -- what may happen ----------------------------------------------------------------------------------------------

    def pick(self, things: list[Any]) -> Any:
        return things[self.rng.randrange(len(things))] if things else None

    def end_attempt(self) -> None:
        path = self.pick(sorted(self.running))
        if path is None:
            return
        instance = self.running.pop(path)
        error = self.outcome(path, instance.attempt)
        if path in self.cancelling:
            self.cancelling.discard(path)
            if self.rng.random() < 0.7:
                error = ErrorData("Cancelled", "stopped", unknown=self.rng.random() < 0.3)
        used = self.pick([None, events.Usage(), events.Usage(tokens=1.0), events.Usage(tokens=3.0)])
        if error is None:
            assert self.happen(events.AttemptSucceeded(path=path, attempt=instance.attempt, used=used))
        else:
            assert self.happen(events.AttemptFailed(path=path, attempt=instance.attempt, error=error, used=used))

    def outcome(self, path: str, attempt: int) -> ErrorData | None:
        return self.pick(self.outcomes)  # type: ignore[no-any-return]

    def say(self, key: str, choices: list[Any]) -> Any:
        return self.pick(choices)

    def answer(self) -> None:
        if not self.questions:
            return
        wish = self.questions.pop(self.rng.randrange(len(self.questions)))
        i: Instance = wish.instance  # type: ignore[attr-defined]
        path = i.path
        if self.say(f"{path} fails {getattr(wish, 'round', '')}", [False] * 15 + [True]):
            error = ErrorData("ExpressionError", "what?")
            self.happen(events.EvaluationFailed(path=path, error=error))
            return
        match wish:
            case commands.AskWhen():
                taken = self.say(path + " when", [0, 0, -1])
                self.happen(events.ChoiceMade(path=path, taken=taken, when=True))
            case commands.AskChoice():
                self.happen(events.ChoiceMade(path=path, taken=self.say(path, list(range(-1, len(i.node.bodies))))))
            case commands.AskItems(at_least=wanted):
                count = self.counts.setdefault(path, self.say(path, [0, 1, 2, 3, 5]))
                assert isinstance(i, Foreach)
                if self.rng.random() < 0.5 and i.found < count and wanted <= count:
                    self.happen(events.ItemsFound(path=path, count=max(wanted, i.found + 1)))
                else:
                    self.happen(events.ForeachExpanded(path=path, count=count))
            case commands.AskLoop(round=number):
                go_on = self.say(f"{path} {number}", [True, number < 2, False])
                self.happen(events.LoopChecked(path=path, round=number, go_on=go_on))
            case commands.AskMerge():
                self.happen(events.ChoiceMade(path=path, taken=0))
            case commands.AskBreak(highest=highest, ends_block=ends):
                self.happen(events.IterationBroken(path=path, everything=ends, highest=highest))

    def fire(self) -> None:
        if self.timers:
            self.happen(events.TimerFired(path=self.timers.pop(self.rng.randrange(len(self.timers))).path))

    def time_out(self) -> None:
        if self.deadlines:
            i = self.deadlines.pop(self.rng.randrange(len(self.deadlines)))
            if self.scheduler.open.get(i.path) is i:
                self.happen(events.BlockTimedOut(path=i.path, error=ErrorData("Timeout", "too long")))

    def undo(self) -> None:
        if self.undoing is not None:
            wish, self.undoing = self.undoing, None
            path = wish.instance.path
            self.happen(events.CompensationStarted(path=path, attempt=wish.attempt))
            if self.say(f"undo {path} {wish.attempt}", [True, True, False]):
                self.happen(events.CompensationSucceeded(path=path, attempt=wish.attempt))
            else:
                error = ErrorData("Boom", "cannot")
                self.happen(events.CompensationFailed(path=path, attempt=wish.attempt, error=error))

    def cancel(self) -> None:
        self.happen(events.CancelRequested(timeout=self.rng.random() < 0.3))

    def decide(self) -> None:
        waiting = sorted(p for p, i in self.scheduler.open.items() if i.status is Status.WAITING)
        path = self.pick(waiting)
        if path is not None:
            self.status = ""
            self.happen(events.DecisionMade(path=path, answer=self.say(path + " decided", ["done", "retry", "fail"])))

    # -- what may not happen ------------------------------------------------------------------------------------------

    def offend(self) -> None:
        """Tell both schedulers something that cannot be."""
        for s in (self.scheduler, self.replica):
            event = self.lie(s)
            before = deep(s)
            try:
                s.handle(event)
            except IllegalEvent:
                assert deep(s) == before, f"{event} was refused and has changed something"
            else:
                raise AssertionError(f"{event} was believed")

    def lie(self, s: Scheduler) -> Event:
        nodes = [n.id for n in walk(self.graph)]
        open_paths = sorted(s.open)
        i = s.open[self.pick(open_paths)] if open_paths else None
        lies: list[Event] = [
            events.AttemptSucceeded(path="nobody"),
            events.AttemptSucceeded(path=f"{self.pick(nodes)}[77]/{self.pick(nodes)}", attempt=0),
            events.ChoiceMade(path=f"{self.pick(nodes)}[0]/nobody", taken=0),
            events.LoopChecked(path=f"{self.pick(nodes)}[1]/{self.pick(nodes)}", round=77, go_on=True),
            events.DecisionMade(path=f"{self.pick(nodes)}[2]/{self.pick(nodes)}", answer="?"),
            events.CompensationFailed(path="nobody", error=ErrorData("x", "x")),
        ]
        if s.started:
            lies.append(events.RunStarted(run="r", workflow="w"))
        if i is not None:
            lies += [
                events.AttemptSucceeded(path=i.path, attempt=-1),
                events.AttemptFailed(path=i.path, attempt=-1, error=ErrorData("x", "x")),
                events.AttemptStarted(path=i.path, attempt=-1),
                events.LoopChecked(path=i.path, round=77, go_on=True),
                events.DecisionMade(path=i.path, answer="perhaps"),
            ]
            if not i.asked:
                lies += [
                    events.ChoiceMade(path=i.path, taken=0),
                    events.ForeachExpanded(path=i.path, count=1),
                    events.IterationBroken(path=i.path),
                    events.EvaluationFailed(path=i.path, error=ErrorData("x", "x")),
                ]
        return self.pick(lies)  # type: ignore[no-any-return]

    # -- checks -------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        if not self.checks:
            return
        s = self.scheduler
        for i in s.open.values():
            if isinstance(i, Foreach):
                assert len(i.live) <= i.window, f"{i.path}: {len(i.live)} iterations live"
            if isinstance(i, Parallel) and i.node.concurrency:
                assert len(i.live) <= i.node.concurrency
            if i.frame.stopped and isinstance(i, Block):
                assert i.halted or i.status is Status.READY or type(i).__name__ == "Fallen", i.path
        recorded = self.recorded
        for event in recorded[self.fed :]:
            self.replica.handle(event)
        self.fed = len(recorded)
        live, again = known(s), known(self.replica)
        assert again == live, _difference(live, again)

    def step(self) -> None:
        """One thing happens."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.02:
            self.crash()
        elif roll < 0.03:
            self.cancel()
        elif roll < 0.08:
            self.offend()
        elif roll < 0.10:
            self.time_out()
        elif roll < 0.13:
            self.decide()
        else:
            rng.choice(
                [
                    self.close,
                    self.land,
                    self.end_attempt,
                    self.end_attempt,
                    self.answer,
                    self.answer,
                    self.fire,
                    self.undo,
                ]
            )()

    def settle(self, patience: int = 20_000) -> str:
        """No more faults: the run must end."""
        silence = 0
        for _ in range(patience):
            if self.status == "waiting" and self.scheduler.queue.broke is not None:
                assert self.tokens is not None
                self.tokens *= 4  # somebody resumes it with a larger budget
                self.status = ""
                self.crash()
            elif self.status == "waiting":
                self.decide()
            elif self.status:
                return self.status
            before = self.happened
            for act in (self.answer, self.end_attempt, self.fire, self.undo, self.close):
                act()
            quiet = before == self.happened and not (self.flying or self.acting or self.after or self.pending)
            self.land()
            silence = silence + 1 if quiet else 0
            if silence > 2 and not self.status:
                alive = {p: (i.status.word, i.asked) for p, i in self.scheduler.open.items()}
                raise AssertionError(f"the run hangs: {alive}")
        raise AssertionError("the run does not end")


def _difference(live: dict[str, Any], again: dict[str, Any]) -> str:
    keys = [k for k in {**live, **again} if live.get(k) != again.get(k)]
    return "\n".join(f"{k}:\n  live   {live.get(k)}\n  replay {again.get(k)}" for k in keys)


def drawn_options(rng: random.Random) -> dict[str, Any]:
    """How a run may be configured."""
    return {
        "jobs": rng.randint(1, 4),
        "tokens": rng.choice([None, None, 3.0, 20.0]),
        "schedule": rng.choice(["dataflow", "dataflow", "waves"]),
        "on_failure": rng.choice(["finish", "cancel", "continue"]),
        "rollback": rng.choice(["all", "dependencies", "none"]),
    }


class TameWorld(World):
    """A world whose answers depend on who asks and on nothing else: a tame graph always ends the same way in it."""

    def __init__(self, rng: random.Random, graph: Graph, *, seed: int, failures: bool, **options: Any) -> None:
        self.seed = seed
        self.failures = failures
        super().__init__(rng, graph, **options)

    def _roll(self, key: str, sides: int) -> int:
        return zlib.crc32(f"{self.seed} {key}".encode()) % sides

    def say(self, key: str, choices: list[Any]) -> Any:
        if key.endswith(" decided"):
            return "retry"
        if " fails " in key and not self.failures:
            return False
        return choices[self._roll(key, len(choices))]

    def outcome(self, path: str, attempt: int) -> ErrorData | None:
        if not self.failures:
            return None
        once = self.scheduler.open[path].node.effect == "once"
        error = OUTCOMES[self._roll(path if once else f"{path} {attempt}", len(OUTCOMES))]
        return None if error is not None and error.unknown else error

    @property
    def finished(self) -> set[str]:
        return {e.path for e in self.journal if isinstance(e, events.AttemptSucceeded)}
