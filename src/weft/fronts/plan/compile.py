"""From a plan to a Graph: the same engine runs it that runs documents; there is no second scheduler and no second
state.

    task-N      phases 1 and 2: place, plan, execute, commit           a branch of `block-N` where it is in a block
    review-N    fold, then rounds of review and fixing, then a verdict, one task after the other
    gate-N      after the last review of a segment: does the run go on?

The tasks of a shared block work in one tree, so what is there belongs to nobody alone: it becomes one commit when all
of them have ended, made by the first of their reviews, and nothing is ever put back in it while others may edit.

A task's group swallows its failure, so that what comes after it in order can run; whether it *should*, the gate
decides. So it is the same in every path: siblings finish, what succeeded is folded and reviewed, then the run stops or
goes on. What was swallowed is missing work all the same (`reopens`): a resume does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from weft.fronts.plan import settings_of as given
from weft.fronts.plan.config import Config
from weft.fronts.plan.document import Plan, Task
from weft.fronts.plan.segments import Segment, is_concurrent, layers, segments
from weft.graph.hazards import Access, hazard_edges
from weft.graph.model import Graph, Node
from weft.graph.work import Constant, Evaluable, LeafWork, LoopWork, ParallelWork, Program, Work
from weft.policy import Retry
from weft.text.source import harmless
from weft.values import digest

ATTEMPTS_OF_A_SHORT_PLAN = 2
BASE, CAP = 2.0, 60.0
"""Seconds before another attempt of a phase, and at most."""


SHAPING = (
    "parallel", "max_parallel", "isolation", "schedule", "commit", "phase_retry_count", "phase_3_retry_count",
    "max_address_rounds", "on_findings_remaining", "on_review_fail", "dismiss", "validate_plan_text",
    "continue_with_remaining_tasks", "max_consecutive_task_failures",
)  # fmt: skip
"""Settings by which nodes are other ones, or fail otherwise: a run that goes on with others is an edited one."""


class Setting(msgspec.Struct, frozen=True):
    """Where a plan runs, as the app has found it. Paths are absolute."""

    repo: str
    state: str
    run: str
    reviewer: tuple[str, ...] | str | None
    """The reviewer's command; None: nobody reviews."""
    allow_dirty: bool = False
    own: tuple[str, ...] = ()
    """Files that we write ourselves wherever the user wants them: where that is in the repository, no task's change."""
    done: frozenset[int] = frozenset()
    """Tasks that were done before this sitting."""

    @property
    def calls(self) -> str:
        """The folder with what agents were asked and have answered."""
        return f"{self.state}/plans/{self.run}"


def parts_of(tasks: Sequence[Task], config: Config, *, concurrent: bool = False) -> tuple[Segment, ...]:
    """The segments of tasks, as the configuration wants them; with `concurrent`, as it would if it were parallel."""
    concurrent = concurrent or is_concurrent(parallel=config["parallel"], max_parallel=config["max_parallel"])
    if concurrent and config["schedule"] == "hazards":
        return layers(tasks, _waits(tasks))
    return segments(tasks, concurrent=concurrent)


def _waits(tasks: Sequence[Task]) -> dict[int, list[int]]:
    """For each task those it waits for: by its needs, and by what is read and written. One that does not say what it
    writes may write anything.
    """
    everything = ("**",)
    accesses = [
        Access(
            str(task.number),
            everything if task.reads is None and task.writes is None else task.reads or (),
            everything if task.writes is None else task.writes,
        )
        for task in tasks
    ]
    waits = {task.number: list(task.needs) for task in tasks}
    for first, second in hazard_edges(accesses):
        waits[int(second)].append(int(first))
    return waits


def compile_plan(plan: Plan, tasks: Sequence[Task], config: Config, where: Setting) -> Program:
    """The program that runs these tasks of a plan."""
    graph = _Compiler(config, where).graph(parts_of(tasks, config))
    return Program(
        name=PurePath(plan.name).name,
        graph=graph,
        output=Constant(None),
        jobs=max(config["max_parallel"], 1) if config["parallel"] else 1,
        digest=digest([(task.number, task.digest) for task in tasks] + [(name, config[name]) for name in SHAPING]),
    )


class _Compiler:
    def __init__(self, config: Config, where: Setting) -> None:
        self.config = config
        self.where = where
        self.count = 0
        self.before: tuple[str, ...] = ()
        self.done: list[Task] = []

    def graph(self, parts: Iterable[Segment]) -> Graph:
        nodes: list[Node] = []
        for part in parts:
            shared = part.parallel and self._shares
            nodes += self._block(part, shared=shared) if part.parallel else self._alone(part.tasks[0])
            for task in part.tasks:
                nodes.append(self._next(self._review(task, part.tasks if shared else ())))
            self.done += part.tasks
            nodes.append(self._next(self._gate(part)))
        return Graph(nodes)

    @property
    def _shares(self) -> bool:
        """What is never committed cannot be folded: then, too, the tasks of a block work in one tree."""
        return self.config["isolation"] == "shared" or not self.config["commit"]

    def head(self, id: str) -> Node:  # noqa: A002 - the graph's name
        """Where the repository's own tree is at. What is not committed is left alone where it may be there."""
        return self.leaf(id, "plan:head", allow_dirty=self.where.allow_dirty or not self.config["commit"])

    def _next(self, node: Node) -> Node:
        """The node, after everything so far."""
        placed = msgspec.structs.replace(node, needs=self.before)
        self.before = (node.id,)
        return placed

    def _node(self, id: str, **fields: Any) -> Node:  # noqa: A002 - the graph's name
        self.count += 1
        return Node(id=id, order=self.count, **fields)

    def leaf(self, id: str, kind: str, /, *, retry: int = 0, when: Evaluable | None = None, **settings: Any) -> Node:  # noqa: A002
        """A leaf of one of the kinds of runtimes/planned.py."""
        values = {name: v if hasattr(v, "evaluate") else Constant(v) for name, v in settings.items()}
        where = self.where
        values |= {"repo": Constant(where.repo), "state": Constant(where.state), "own": Constant(list(where.own))}
        return self._node(
            id,
            conditional=when is not None,
            retry=Retry(max_attempts=retry + 1, base=BASE, cap=CAP),
            label=kind.partition(":")[2],
            work=LeafWork(kind=kind, settings=values, when=when),
        )

    def group(self, id: str, nodes: Sequence[Node], *, when: Evaluable | None = None, key: str = "") -> Node:  # noqa: A002
        """A group that keeps the names inside to itself and swallows its failure."""
        return self._node(
            id,
            kind="group",
            prefixes=True,
            bodies=(Graph(nodes, chain=True),),
            on_failure="continue",
            reopens=True,
            conditional=when is not None,
            label=id.partition("-")[0],
            digest=key,
            work=Work(when=when),
        )

    # -- phases 1 and 2 ---------------------------------------------------------------------------------------------

    def _alone(self, task: Task) -> list[Node]:
        return [self._next(self._task(task, self.head("place")))]

    def _block(self, part: Segment, *, shared: bool) -> list[Node]:
        first = part.tasks[0].number
        fork = self._next(self.head(f"fork-{first}"))
        bodies = []
        for task in part.tasks:
            place = self._place(task, fork.id, shared=shared)
            bodies.append(Graph([self._task(task, place, shared=shared)], chain=True))
        block = self._node(
            f"block-{first}",
            kind="parallel",
            bodies=tuple(bodies),
            concurrency=self.config["max_parallel"],
            label="block",
            work=ParallelWork(),
        )
        return [fork, self._next(block)]

    def _place(self, task: Task, fork: str, *, shared: bool) -> Node:
        if shared:
            return self.leaf("place", "plan:value", value=given.SharedPlace(fork))
        return self.leaf(
            "place",
            "plan:tree",
            base=given.Field(fork, "base"),
            branch=f"weft/{self.where.run}/task-{task.number}",
            path=f"{self.where.calls}/trees/task-{task.number}",
        )

    def _task(self, task: Task, place: Node, *, shared: bool = False) -> Node:
        retries = self.config["phase_retry_count"]
        checks = self.config["validate_plan_text"]
        plan = self.agent(
            "plan",
            task,
            "plan",
            given.PlanPrompt(task),
            retry=max(retries, ATTEMPTS_OF_A_SHORT_PLAN - 1) if checks else retries,
            least=self.config["min_plan_text_len"] if checks else None,
            read_only=True,
        )
        execute = self.agent("execute", task, "execute", given.ExecutePrompt(task), retry=retries, writes=True)
        if shared:
            commit = self.leaf("work", "plan:value", value=given.SharedWork("place"))
        else:
            commit = self.commit("commit", given.Output("place"), message_of(task))
        return self.group(f"task-{task.number}", [place, plan, execute, commit], key=task.digest)

    def agent(
        self,
        id: str,  # noqa: A002 - the graph's name
        task: Task,
        phase: str,
        prompt: Evaluable,
        *,
        retry: int = 0,
        place: str = "place",
        least: int | None = None,
        read_only: bool = False,
        writes: bool = False,
        when: Evaluable | None = None,
    ) -> Node:
        """One invocation of the agent."""
        config, where = self.config, self.where
        calls = given.Numbered(f"{where.calls}/task-{task.number}-{id}")
        call = given.Call(
            config.agent,
            phase,
            prompt,
            place,
            where.repo,
            config["model"],
            config["sandbox"],
            config["agent_cmd"],
            calls,
        )
        return self.leaf(
            id,
            "plan:agent",
            retry=retry,
            when=when,
            call=call,
            prompt_file=given.Suffixed(calls, ".prompt.md"),
            place=given.Output(place),
            env={"WEFT_PLAN_TASK": str(task.number), "WEFT_PLAN_PHASE": phase},
            seconds=config["phase_timeout_sec"],
            transcript=calls,
            least=least,
            read_only=read_only,
            writes=list(task.writes) if writes and task.writes is not None else None,
            verify=task.verify if writes else None,
        )

    def commit(self, id: str, place: Evaluable, message: str | Evaluable, **more: Any) -> Node:  # noqa: A002
        """What was changed, as a commit."""
        return self.leaf(id, "plan:commit", place=place, message=message, commit=self.config["commit"], **more)

    # -- phase 3 ----------------------------------------------------------------------------------------------------

    def _review(self, task: Task, block: Sequence[Task]) -> Node:
        """`block`: the tasks with which this one shares its tree."""
        work = given.Output(f"task-{task.number}")
        nodes = [self.head("onto")]
        if block:
            tasks = tuple((each.number, message_of(each)) for each in block)
            place = given.BlockPlace(f"task-{task.number}", "onto")
            nodes.append(self.commit("fold", place, given.BlockMessage(task.number, tasks)))
        else:
            nodes.append(self.leaf("fold", "plan:fold", work=work, onto=given.Output("onto"), name=task.name))
        if self.where.reviewer is not None:
            nodes += self._rounds(task)
        swept = given.Field(f"task-{task.number}", "place")
        nodes.append(self.leaf("sweep", "plan:sweep", place=swept, tip=given.Field(f"task-{task.number}", "tip")))
        nodes.append(self.leaf("result", "plan:value", value=given.Result(reviewed=self.where.reviewer is not None)))
        return self.group(f"review-{task.number}", nodes, when=given.Succeeded(f"task-{task.number}"), key=task.digest)

    def _rounds(self, task: Task) -> list[Node]:
        """Phase 3. A resume that finds it failed begins it anew, with a review: what was left may have been fixed."""
        config = self.config
        rounds = config["max_address_rounds"]
        patterns = () if config["dismiss"] == "none" else config["dismiss_patterns"]
        body = [
            self.head("at"),
            self._reviewer(task),
            self.leaf("findings", "plan:value", value=given.Findings("review", patterns)),
        ]
        if config["dismiss"] == "agent":
            prompt = given.DismissalPrompt(task, "findings")
            body.append(
                self.agent("ask", task, "plan", prompt, place="at", read_only=True, when=given.HasFindings("findings"))
            )
        body.append(self.leaf("left", "plan:value", value=given.Left("findings", "ask")))
        body.append(
            self._node("done", kind="break", conditional=True, work=Work(when=given.RoundsOver("left", rounds)))
        )
        body.append(
            self.agent("address", task, "address", given.AddressPrompt(task, "left", rounds), place="at", writes=True)
        )
        body.append(self.commit("commit", given.Output("at"), given.RoundMessage(task)))
        loop = self._node(
            "rounds",
            kind="loop",
            on_failure="finish",
            bodies=(Graph(body, chain=True),),
            prefixes=True,
            label="rounds",
            work=LoopWork(max=Constant(rounds + 1)),
        )
        verdict = self.leaf("verdict", "plan:value", value=given.Verdict("rounds", config["on_findings_remaining"]))
        again = self._node(
            "phase",
            kind="retry",
            on_failure="finish",
            prefixes=True,
            bodies=(Graph([loop, verdict], chain=True),),
            retry=Retry(max_attempts=config["phase_3_retry_count"] + 1, base=BASE, cap=CAP),
            label="phase",
            work=Work(),
        )
        return [again]

    def _reviewer(self, task: Task) -> Node:
        how = self.config["on_review_fail"]
        return self.leaf(
            "review",
            "plan:review",
            retry=1 if how == "retry_once" else 0,
            command=self.where.reviewer if isinstance(self.where.reviewer, str) else list(self.where.reviewer or ()),
            env=given.ReviewEnvironment(task.number),
            seconds=self.config["phase_timeout_sec"],
            transcript=given.Numbered(f"{self.where.calls}/task-{task.number}-review"),
            pass_over=how == "skip",
        )

    def _gate(self, part: Segment) -> Node:
        gate = given.Gate(
            tuple(task.number for task in self.done),
            tuple(task.number for task in part.tasks),
            goes_on=self.config["continue_with_remaining_tasks"],
            cap=self.config["max_consecutive_task_failures"],
            before=self.where.done,
        )
        return self.leaf(f"gate-{part.tasks[0].number}", "plan:value", value=gate)


def message_of(task: Task) -> str:
    """The message of the commit of phase 2."""
    first = task.title or next((line for line in task.text.splitlines() if line.strip()), "")
    return f"Task {task.number}: {harmless(first.strip())[:100]}\n"


def known_tasks(plan: Mapping[str, str]) -> dict[int, str]:
    """Numbers and digests of the tasks, of digests by node path."""
    heads = {path: key for path, key in plan.items() if path.startswith("task-") and "/" not in path}
    return {int(path.removeprefix("task-")): key for path, key in heads.items()}
