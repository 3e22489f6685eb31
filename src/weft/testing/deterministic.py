"""The same workflow in another order each time, and each of those orders again: for finding races between tasks.

A race is two tasks that share something and do not say so (`reads`, `writes`, `mutex`): which of them is first depends
on how long things take. Here that is drawn from a seed, in time that does not pass and in one thread, so that thousands
of orders can be tried, and the one that goes wrong is gone through again by its seed.

Drawn is, for each attempt of each task by seed, path and number of the attempt alone (a task more or less changes
nothing for the others):

    how long it waits before its function is called, and how long from the function's end to its report: each one of
    0, 1/8, 2/8 ... 8/8 of `longest`, so that often several are due in the same instant
    in which order they come in that instant: each goes around the loop 0 to 3 times more

and whatever draws from the module `random`, the jitter of retries among it: that is seeded for the run, and put back
after it. Not drawn is what the scheduler decides: which of the tasks that are ready starts first. Outside of all this
are the run's id and what is made of it (the idempotency keys), and threads that a task starts by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from weft.errors import InputError
from weft.event_types import RunStarted, encode_event
from weft.graph.model import walk_paths
from weft.graph.work import FunctionWork
from weft.results import RunResult
from weft.testing.clock import FakeClock
from weft.testing.scripted import call_in_loop

if TYPE_CHECKING:
    from weft.backends.base import Backend
    from weft.cancellation import CancellationToken
    from weft.event_types import Event
    from weft.workflow import Schedule, Workflow

STEPS = 8
"""Durations are multiples of 1/8 of the longest: coarse, so that many coincide."""
TURNS = 3
"""How many times at most an attempt goes around the loop within an instant."""


def run_deterministic(
    flow: Workflow,
    seed: int | str,
    *,
    arguments: Mapping[str, Any] | None = None,
    longest: float = 1.0,
    jobs: int = 16,
    schedule: Schedule | None = None,
    timeout: float | None = None,
    token: CancellationToken | None = None,
    on_event: Callable[[Event], object] | None = None,
    backend: Backend | None = None,
) -> RunResult:
    """Run a workflow of functions in the order that the seed says. The same seed gives the same `log_digest`.

    All functions are called in one loop, also those that block or ask for a process. `longest` is in (virtual) seconds:
    an attempt takes up to twice that, besides what its function awaits; where a task's `timeout` is shorter, the
    deadline is one more thing that may come first. `backend` makes the calls, if given, for instance a ScriptedBackend.
    The other options are those of `Workflow.execute`.

    Raises InputError for a document, whose steps are more than functions, and for a task that looks at files before it
    acts (some of `weft.undo`), which is done in a thread.
    """
    given = dict(arguments or {})
    _refuse(flow, given)
    run = flow.execute(
        arguments=given,
        schedule=schedule,
        jobs=jobs,
        timeout=timeout,
        token=token,
        on_event=on_event,
        backend=Drawn(seed, longest, backend),
    )
    with _seeded(f"{seed}"):
        return FakeClock().run(run)


class Drawn:
    """The `backend=` of such a run: calls each function after a drawn time, and reports its end after another."""

    def __init__(self, seed: int | str, longest: float = 1.0, inner: Backend | None = None) -> None:
        self._seed = seed
        self._longest = longest
        self._inner = inner

    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """The function's result. Raises what it raises."""
        draw = random.Random(f"{self._seed} {path} {attempt}")  # noqa: S311 - seeded on purpose
        await self._pass(draw)
        try:
            if self._inner is not None:
                return await self._inner.call(path, attempt, function, arguments)
            return await call_in_loop(function, arguments)
        finally:
            await self._pass(draw)

    async def _pass(self, draw: random.Random) -> None:
        await asyncio.sleep(self._longest * draw.randint(0, STEPS) / STEPS)
        for _ in range(draw.randint(0, TURNS)):
            await asyncio.sleep(0)


def log_digest(result: RunResult) -> str:
    """SHA-256 of all events of a run in their order, without what tells two same runs apart: id, process, machine."""
    digest = sha256()
    for event in result.events:
        if isinstance(event, RunStarted):
            event = msgspec.structs.replace(event, run="", settings={})
        digest.update(encode_event(event) + b"\n")
    return digest.hexdigest()


def _refuse(flow: Workflow, arguments: Mapping[str, Any]) -> None:
    program = flow.program_for(arguments, journaled=False)
    if program.document is not None:
        raise InputError(f"{program.document} is a document; only workflows of functions run by a seed")
    for node, path, _ in walk_paths(program.graph):
        if isinstance(node.work, FunctionWork) and node.work.prepares is not None:
            raise InputError(
                f"{path} looks at the world in a thread before it acts, which no seed decides",
                hint="compensate with a function instead",
            )


@contextmanager
def _seeded(seed: str) -> Iterator[None]:
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
