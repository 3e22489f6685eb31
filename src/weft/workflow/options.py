"""How a run is to go, as a user says it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from weft.app.embedding import How, Place
from weft.errors import InputError, nearest
from weft.fronts.python.signature import is_async
from weft.fronts.python.task import seconds, whole

if TYPE_CHECKING:
    from weft.backends.base import Backend
    from weft.budget import Budget
    from weft.cancellation import CancellationToken
    from weft.event_types import Event

Schedule = Literal["dataflow", "waves", "sequential"]
SCHEDULES = ("dataflow", "waves", "sequential")


class Options(TypedDict, total=False):
    """What every way to run something takes; `Workflow.execute` says what each of them means."""

    jobs: int | None
    journal: Place
    timeout: float | None
    token: CancellationToken | None
    on_event: Callable[[Event], object] | None
    budget: Budget | None
    backend: Backend | None


def how_of(schedule: str | None, jobs: Any, timeout: Any, token: Any, on_event: Any, backend: Any, budget: Any) -> How:
    """The options of a run, checked. Raises InputError."""
    from weft.budget import Budget
    from weft.cancellation import CancellationToken

    if schedule is not None:
        one_of("schedule", schedule, SCHEDULES)
    if jobs is not None:
        whole("jobs", jobs)
    if budget is not None and not isinstance(budget, Budget):
        raise InputError(f"budget is {budget!r}; it must be a weft.Budget", hint="weft.Budget(tokens=100_000)")
    if token is not None and not isinstance(token, CancellationToken):
        raise InputError(f"token is {token!r}; it must be a weft.CancellationToken")
    if on_event is not None and not callable(on_event):
        raise InputError(f"on_event is {on_event!r}; it must be a function of an event")
    if on_event is not None and is_async(on_event):
        raise InputError("on_event is async, and nobody would await it", hint="put the events into a queue")
    if backend is not None and not hasattr(backend, "call"):
        raise InputError(f"backend is {backend!r}; it must have `call`", hint="weft.testing.ScriptedBackend is one")
    return How(schedule, jobs, seconds("timeout", timeout), token, on_event, backend, budget)


def named(arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of a run, by name. Raises InputError."""
    if arguments is not None and not isinstance(arguments, Mapping):
        raise InputError(f"arguments is {arguments!r}; it must be a dict", hint='arguments={"day": "2026-03-01"}')
    for name in arguments or ():
        if not isinstance(name, str):
            raise InputError(f"arguments has the key {name!r}; the names of arguments are texts")
    return dict(arguments or {})


def one_of(setting: str, value: object, known: Iterable[str]) -> None:
    """Raise InputError for a value that is none of the known words."""
    words = tuple(known)
    if value in words:
        return
    close = nearest(str(value), words)
    hint = f"did you mean {close[0]!r}?" if close else None
    raise InputError(f"{setting} is {value!r}; it must be {', '.join(words[:-1])} or {words[-1]}", hint=hint)
