"""What the nodes of a plan are given, computed when they start: prompts, findings, verdicts. All of it decides.

Each class is asked with the scope of its node, as an expression of a document would be. Randomness is drawn from the
scope, which keeps it on record: an attempt that is repeated asks the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from weft.fronts.plan import prompts
from weft.fronts.plan.agents import Agent, command_line
from weft.fronts.plan.document import Task
from weft.text.findings import DismissPattern, Finding, dismiss_by_patterns, read_dismissal, read_review

Local = Mapping[str, Any] | None


class Output(msgspec.Struct, frozen=True):
    """The output of a node."""

    id: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return scope.node(self.id, "output")


class Field(msgspec.Struct, frozen=True):
    """A field of a node's output."""

    id: str
    name: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return scope.node(self.id, "output")[self.name]


class SharedPlace(msgspec.Struct, frozen=True):
    """The place of a task that works in the repository's own tree beside others."""

    fork: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return {"value": {**scope.node(self.fork, "output"), "shared": True}}


class SharedWork(msgspec.Struct, frozen=True):
    """What such a task has done: what of it is whose, nobody can tell."""

    place: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        place = scope.node(self.place, "output")
        return {"value": {"tip": place["base"], "base": place["base"], "files": [], "place": place}}


class BlockPlace(msgspec.Struct, frozen=True):
    """From where a shared block is committed: the commit that is there now, without what was changed before."""

    task: str
    onto: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return {**scope.node(self.onto, "output"), "before": scope.node(self.task, "output")["place"]["before"]}


class BlockMessage(msgspec.Struct, frozen=True):
    """The message of the commit of a shared block, made by the review of the task `number`."""

    number: int
    tasks: tuple[tuple[int, str], ...]

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        done = [
            (number, text)
            for number, text in self.tasks
            if number == self.number
            or (succeeded(scope, f"task-{number}") and not succeeded(scope, f"review-{number}"))
        ]
        if len(done) == 1:
            return done[0][1]
        numbers = ", ".join(str(number) for number, _ in done)
        return f"Tasks {numbers}\n\n" + "".join(text for _, text in done)


class Succeeded(msgspec.Struct, frozen=True):
    """Whether a task has come to its end."""

    id: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return succeeded(scope, self.id)


def succeeded(scope: Any, id: str) -> bool:  # noqa: A002 - the graph's name
    """Whether the node succeeded; one that failed or never ran has no record that says so."""
    return bool(scope.node(id, "status") == "succeeded")


class Numbered(msgspec.Struct, frozen=True):
    """A path with the round in it, where there is one."""

    base: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        number = scope.special("iteration")
        return self.base if number is None else f"{self.base}-{number + 1}"


class Suffixed(msgspec.Struct, frozen=True):
    """A path with an ending."""

    of: Numbered
    suffix: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return self.of.evaluate(scope) + self.suffix


class ReviewEnvironment(msgspec.Struct, frozen=True):
    """What a reviewer is told: the task, and from which commit to which its work reaches."""

    number: int

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return {
            "WEFT_PLAN_TASK": str(self.number),
            "WEFT_PLAN_PHASE": "review",
            "WEFT_PLAN_BASE": self._base(scope),
            "WEFT_PLAN_TIP": scope.node("at", "output")["base"],
        }

    def _base(self, scope: Any) -> Any:
        work = scope.node(f"task-{self.number}", "output")
        folded = work["place"]["path"] is not None  # else the work was in the branch before its review began
        return scope.node("onto", "output")["base"] if folded else work["base"]


# -- agents -----------------------------------------------------------------------------------------------------------


def _boundary(scope: Any, *texts: str) -> str:
    return prompts.draw_boundary(texts, lambda: scope.draw("uuid", lambda: uuid.uuid4().hex))


class PlanPrompt(msgspec.Struct, frozen=True):
    """Phase 1."""

    task: Task

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return prompts.plan_prompt(self.task, boundary=_boundary(scope, self.task.text))


class ExecutePrompt(msgspec.Struct, frozen=True):
    """Phase 2."""

    task: Task

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        plan = scope.node("plan", "output")["text"]
        return prompts.execute_prompt(self.task, plan, boundary=_boundary(scope, self.task.text, plan))


class AddressPrompt(msgspec.Struct, frozen=True):
    """Phase 3."""

    task: Task
    findings: str
    rounds: int

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        found = _findings(scope.node(self.findings, "output")["findings"])
        boundary = _boundary(scope, self.task.text, prompts.listed_findings(found))
        number = (scope.special("iteration") or 0) + 1
        return prompts.address_prompt(self.task, found, boundary=boundary, round_=number, rounds=self.rounds)


class DismissalPrompt(msgspec.Struct, frozen=True):
    """Which findings need no work?"""

    task: Task
    findings: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        found = _findings(scope.node(self.findings, "output")["findings"])
        boundary = _boundary(scope, self.task.text, prompts.listed_findings(found))
        return prompts.dismissal_prompt(self.task, found, boundary=boundary)


class Call(msgspec.Struct, frozen=True):
    """How the agent is started: `{argv, stdin, file}`."""

    agent: Agent
    phase: Any
    prompt: Any
    place: str
    repo: str
    model: str | None
    sandbox: str | None
    agent_cmd: str | None
    calls: Numbered

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        place = scope.node(self.place, "output")
        invocation = command_line(
            self.agent,
            self.phase,
            prompt=self.prompt.evaluate(scope),
            repo=place["path"] or self.repo,
            model=self.model,
            sandbox=self.sandbox,
            agent_cmd=self.agent_cmd,
            prompt_file=self.calls.evaluate(scope) + ".prompt.md",
        )
        return {"argv": list(invocation.argv), "stdin": invocation.stdin, "file": invocation.file}


# -- reviews ----------------------------------------------------------------------------------------------------------


def _findings(rows: Sequence[Any]) -> tuple[Finding, ...]:
    return tuple(msgspec.convert(row, Finding) for row in rows)


def _rows(findings: Sequence[Finding]) -> list[Any]:
    return [msgspec.to_builtins(finding) for finding in findings]


class Findings(msgspec.Struct, frozen=True):
    """What a reviewer said, as data: `{findings, dismissed, unlisted, failed}`, without what patterns dismiss."""

    review: str
    patterns: tuple[DismissPattern, ...]

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        said = scope.node(self.review, "output")
        if said["failed"] is not None:
            return {"value": {"findings": [], "dismissed": [], "unlisted": 0, "failed": said["failed"]}}
        review = read_review(said["exit_code"], said["output"])
        kept, dismissed = dismiss_by_patterns(review.findings, self.patterns)
        rows = [{"id": d.finding.id, "reason": d.reason, "by": d.by} for d in dismissed]
        return {"value": {"findings": _rows(kept), "dismissed": rows, "unlisted": review.unlisted, "failed": None}}


class HasFindings(msgspec.Struct, frozen=True):
    """Whether there is anything to ask the agent about."""

    id: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return bool(scope.node(self.id, "output")["findings"])


class Left(msgspec.Struct, frozen=True):
    """The findings that are left when the agent has dismissed some. An answer that cannot be read dismisses nothing."""

    findings: str
    ask: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        known = scope.node(self.findings, "output")
        answer = scope.node(self.ask, "output")
        if not known["findings"] or answer is None:
            return {"value": {**known, "problem": None}}
        read = read_dismissal(answer["text"], _findings(known["findings"]))
        rows = [{"id": d.finding.id, "reason": d.reason, "by": d.by} for d in read.dismissed]
        dismissed = [*known["dismissed"], *rows]
        return {"value": {**known, "findings": _rows(read.kept), "dismissed": dismissed, "problem": read.problem}}


class RoundsOver(msgspec.Struct, frozen=True):
    """Nothing is left to fix, or it was tried often enough."""

    left: str
    rounds: int

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        left = scope.node(self.left, "output")
        return not (left["findings"] or left["unlisted"]) or (scope.special("iteration") or 0) >= self.rounds


class RoundMessage(msgspec.Struct, frozen=True):
    """The message of the commit of a round of fixing."""

    task: Task

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        return f"Task {self.task.number}: review, round {(scope.special('iteration') or 0) + 1}\n"


class Verdict(msgspec.Struct, frozen=True):
    """What findings that are left after all rounds mean."""

    rounds: str
    policy: str

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        last = scope.node(self.rounds, "output")
        count = len(last["findings"]) + last["unlisted"]
        if not count:
            return {"value": last}
        first = last["findings"][0] if last["findings"] else None
        words = f"{count} finding{'s' if count > 1 else ''} left after review"
        if first is not None:
            place = f"{first['file']}:{first['line']}: " if first.get("file") and first.get("line") else ""
            words += f": {place}{first['message'][:200]}"
        if self.policy == "fail":
            return {"failure": ("FindingsLeft", words), "hint": "fix them by hand, or on_findings_remaining = 'warn'"}
        return {"value": last, "issue": words}


class Result(msgspec.Struct, frozen=True):
    """What a task came to, for the summary: `{fold, review}`."""

    reviewed: bool

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        found = None
        if self.reviewed:
            found = scope.node("phase", "output")
        return {"value": {"fold": scope.node("fold", "output"), "review": found}}


# -- going on ---------------------------------------------------------------------------------------------------------


class Gate(msgspec.Struct, frozen=True):
    """Whether the run goes on after a segment: `done` are all tasks so far, `these` the segment's, in order.

    Tasks `before` were done when this sitting began: they neither count as failures nor end a row of them.
    """

    done: tuple[int, ...]
    these: tuple[int, ...]
    goes_on: bool
    cap: int
    before: frozenset[int] = frozenset()

    def evaluate(self, scope: Any, local: Local = None, /) -> Any:
        failed = [number for number in self.done if not self._clean(scope, number)]
        run = 0
        for number in self.done if self.cap else ():
            if number in self.before:
                continue
            run = run + 1 if number in failed else 0
            if run >= self.cap and number in self.these:
                words = f"{run} tasks in a row have failed; max_consecutive_task_failures is {self.cap}"
                return {"failure": ("FailureCap", words), "hint": "see what is wrong with them, then run again"}
        now = [number for number in failed if number in self.these]
        if now and not self.goes_on:
            names = ", ".join(map(str, now))
            words = f"task {names} failed" if len(now) == 1 else f"tasks {names} failed"
            hint = "run again to go on from here, or continue_with_remaining_tasks"
            return {"failure": ("TaskFailed", words), "hint": hint}
        return {"value": {"failed": failed}}

    def _clean(self, scope: Any, number: int) -> bool:
        return succeeded(scope, f"task-{number}") and succeeded(scope, f"review-{number}")
