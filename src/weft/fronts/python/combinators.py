"""Combinators: tasks made of tasks. Each really nests: what is inside has paths, attempts and records of its own.

Ids inside belong to the combinator: the function's name where it has one that is unique there, else its role (`then`,
`handler`) or its position, counted from 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as SequenceOf
from typing import Any

from weft.errors import InputError
from weft.fronts.python.task import RetryOn, Task, as_task, retry_on, whole
from weft.fronts.python.task import seconds as in_seconds
from weft.policy import FailurePolicy, Retry

MAX_NESTING = 64
"""Levels of tasks inside of a task, as in a document."""


def _one_deeper(label: str, parts: SequenceOf[Task]) -> int:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_NESTING:
        raise InputError(f"a {label} is nested more than {MAX_NESTING} levels deep", hint="split the workflow")
    return depth


class Combinator(Task):
    """A task that is made of others."""

    _own: tuple[str, ...] = ()
    """Ids inside that are its own."""

    def __init__(self, parts: SequenceOf[tuple[str, object]], id: str) -> None:  # noqa: A002 - the API's name
        super().__init__(id=id)
        self._inner = [(role, as_task(part)) for role, part in parts]
        self.depth = _one_deeper(self.label, [part for _, part in self._inner])

    @property
    def inner(self) -> SequenceOf[tuple[str, Task]]:
        return self._inner

    def named(self) -> list[tuple[str, Task]]:
        """The parts with their ids. Raises InputError for an id that two of them have."""
        asked = Counter(part.name for _, part in self._inner)
        named = [
            (part.name if part.id or (part.name and asked[part.name] == 1) else role, part)
            for role, part in self._inner
        ]
        (twice, count), *_ = Counter([*self._own, *(name for name, _ in named)]).most_common(1)
        if count > 1:
            raise InputError(f"two parts of a {self.label} have the id {twice!r}", hint="give one of them another id")
        return named


def _numbered(parts: tuple[object, ...], label: str) -> list[tuple[str, object]]:
    if not parts:
        raise InputError(f"{label} has no tasks", hint=f"{label}(first, second)")
    return [(str(i), part) for i, part in enumerate(parts)]


class Sequence(Combinator):
    """One task after the other; its output is that of the last. Later ones see the outputs of earlier ones by name."""

    label = "sequence"

    def __init__(self, *tasks: object, id: str = "") -> None:  # noqa: A002 - the API's name
        super().__init__(_numbered(tasks, "Sequence"), id)


class ParallelTasks(Combinator):
    """All tasks at once, at most `concurrency` of them; the output is the list of theirs, in order.

    With `on_failure="cancel"` the first error cancels the others; every error that happened is kept.
    """

    label = "parallel"

    def __init__(
        self,
        *tasks: object,
        concurrency: int | None = None,
        on_failure: FailurePolicy = "cancel",
        id: str = "",  # noqa: A002 - the API's name
    ) -> None:
        super().__init__(_numbered(tasks, "ParallelTasks"), id)
        self.concurrency = None if concurrency is None else whole("concurrency", concurrency)
        if on_failure not in ("finish", "cancel", "continue"):
            raise InputError(f"on_failure is {on_failure!r}; it must be finish, cancel or continue")
        self.on_failure = on_failure


class Conditional(Combinator):
    """Runs `condition`, then `then` when that gave something true, else `otherwise`. Without one the output is None."""

    label = "conditional"
    _own = ("if",)

    def __init__(self, condition: object, then: object, otherwise: object = None, *, id: str = "") -> None:  # noqa: A002
        parts = [("condition", condition), ("then", then)]
        super().__init__([*parts, ("otherwise", otherwise)] if otherwise is not None else parts, id)


class TryCatch(Combinator):
    """Runs `body`, and when it fails `handler`, whose parameter `error` is the exception and whose output stands in."""

    label = "try"

    def __init__(self, body: object, handler: object, *, id: str = "") -> None:  # noqa: A002 - the API's name
        super().__init__([("body", body), ("handler", handler)], id)


class Retrying(Combinator):
    """Runs a task again while it fails, as `policy` says; a task of several parts from its beginning."""

    label = "retrying"

    def __init__(self, task: object, policy: Retry | int, *, on: RetryOn | None = None, id: str = "") -> None:  # noqa: A002
        super().__init__([("body", task)], id)
        if isinstance(policy, int) and not isinstance(policy, bool) and policy >= 0:
            policy = Retry(max_attempts=policy + 1)
        if not isinstance(policy, Retry):
            raise InputError(f"the policy is {policy!r}; it must be a weft.Retry, or how many times to try again")
        if policy.max_attempts > 1 and self.once:
            hint = "a task that may not run twice is not retried"
            raise InputError('effect="once" and Retrying exclude each other', hint=hint)
        self.policy = policy
        self.on = retry_on("on", on)


class Timeout(Combinator):
    """Stops a task after so many seconds, which then has failed."""

    label = "timeout"

    def __init__(self, task: object, seconds: float, *, id: str = "") -> None:  # noqa: A002 - the API's name
        super().__init__([("body", task)], id)
        checked = in_seconds("seconds", seconds)
        if checked is None:
            raise InputError("a Timeout needs its seconds")
        self.seconds = checked


class MapTask(Task):
    """A function for each item of a list, at most `concurrency` at once; made by `Workflow.map_task`."""

    label = "map"

    def __init__(self, each: object, over: Any, concurrency: int, *, ordered: bool, id: str = "") -> None:  # noqa: A002
        self.each = as_task(each)
        self.depth = _one_deeper(self.label, [self.each])
        super().__init__(id=id or self.each.name)
        self.over = over
        self.reader: object = None
        """Who has read from it, when it is an iterator."""
        self.concurrency = whole("concurrency", concurrency)
        self.ordered = ordered

    @property
    def inner(self) -> SequenceOf[tuple[str, Task]]:
        return [("each", self.each)]
