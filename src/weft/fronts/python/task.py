"""Tasks as the user states them: a function (or a combinator) and how it is to run. Nothing in here runs.

A `Task` is stated by `weft.task`, by `Workflow.task`, or by a combinator; `Workflow.add_task` gives it an id and a
place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from weft.errors import InputError
from weft.event_types import Usage
from weft.fronts.python.signature import name_of
from weft.graph.work import Isolation
from weft.kinds import Effect
from weft.policy import FailurePolicy, Retry

Function = Callable[..., Any]
RetryOn = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a task is to run; None and empty mean: not said."""

    needs: tuple[Any, ...] = ()
    retry: Retry | None = None
    retry_on: RetryOn | None = None
    timeout: float | None = None
    effect: Effect | None = None
    compensate: Any = None
    isolation: Isolation | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    mutex: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    on_failure: FailurePolicy | None = None
    estimate: Usage | None = None
    verify_writes: bool = False
    description: str = ""

    def over(self, other: Settings) -> Settings:
        """These, and for what they do not say the others."""
        if other is UNSAID:
            return self
        said = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name)}
        return msgspec.structs.replace(other, **said) if said else other


UNSAID = Settings()


class Task:
    """A unit of work: a function, or what a combinator makes of several.

    It can be called like its function, which does not involve Weft at all.
    """

    label = "task"

    def __init__(self, function: Function | None = None, *, id: str = "", settings: Settings = UNSAID) -> None:  # noqa: A002 - the API's name
        self.function = function
        self.id = id
        self.settings = settings

    @property
    def name(self) -> str:
        """The id it asks for: the given one, else its function's name; empty when it has none."""
        return self.id or (name_of(self.function) if self.function is not None else "")

    @property
    def inner(self) -> Sequence[tuple[str, Task]]:
        """What it is made of: for each part its role (`then`, `0`) and the part."""
        return ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            raise TypeError(f"a {self.label} is not called, it is run as part of a workflow")
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name or '...'})"


def as_task(given: object) -> Task:
    """A task as it is, a function as a task. Raises InputError for anything else."""
    if isinstance(given, Task):
        return given
    if callable(given) and not isinstance(given, type):
        return Task(given)
    raise InputError(f"{given!r} is neither a function nor a task", hint="pass the function itself, without calling it")


def settings_of(
    *,
    needs: Any = (),
    retry: Retry | int | None = None,
    retry_on: RetryOn | None = None,
    timeout: float | None = None,
    effect: Effect | None = None,
    compensate: Any = None,
    isolation: Isolation | None = None,
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    mutex: Iterable[str] | str = (),
    limit: Iterable[str] | str = (),
    on_failure: FailurePolicy | None = None,
    estimate: Any = None,
    verify_writes: bool = False,
    description: str = "",
) -> Settings:
    """Check what was said of a task. Raises InputError that names the setting, the value and what is accepted."""
    if effect or isolation or on_failure:
        _one_of("effect", effect, ("pure", "idempotent", "once"))
        _one_of("isolation", isolation, ("loop", "thread", "process"))
        _one_of("on_failure", on_failure, ("finish", "cancel", "continue"))
    policy = _retry(retry)
    if effect == "once" and policy is not None and policy.max_attempts > 1:
        raise InputError(
            'effect="once" and retry exclude each other', hint="a task that may not run twice is not retried"
        )
    return Settings(
        needs=tuple(needs) if isinstance(needs, list | tuple | set | frozenset) else (needs,),
        retry=policy,
        retry_on=retry_on,
        timeout=seconds("timeout", timeout),
        effect=effect,
        compensate=compensate,
        isolation=isolation,
        reads=names("reads", reads) if reads else (),
        writes=names("writes", writes) if writes else (),
        mutex=names("mutex", [mutex] if isinstance(mutex, str) else mutex) if mutex else (),
        limit=names("limit", [limit] if isinstance(limit, str) else limit) if limit else (),
        on_failure=on_failure,
        estimate=_estimate(estimate),
        verify_writes=verify_writes,
        description=description,
    )


def seconds(name: str, value: Any) -> float | None:
    """A duration in seconds, above 0; None stays None. Raises InputError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"{name} is {value!r}; it must be a number of seconds above 0")
    return float(value)


def whole(name: str, value: Any) -> int:
    """A whole number of 1 or more. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number of 1 or more")
    return value


def names(setting: str, given: Iterable[str]) -> tuple[str, ...]:
    """Names as a tuple. Raises InputError for a text (which would be taken letter by letter) and for empty names."""
    if isinstance(given, str):
        raise InputError(f"{setting} is the text {given!r}; it must be a list of names", hint=f"{setting}=[{given!r}]")
    found = tuple(given)
    for name in found:
        if not isinstance(name, str) or not name:
            raise InputError(f"{setting} has {name!r} in it; names are texts that are not empty")
    return found


def _one_of(setting: str, value: object, known: tuple[str, ...]) -> None:
    from weft.errors import nearest

    if value is None or value in known:
        return
    close = nearest(str(value), known)
    hint = f"did you mean {close[0]!r}?" if close else None
    raise InputError(f"{setting} is {value!r}; it must be {', '.join(known[:-1])} or {known[-1]}", hint=hint)


def _retry(value: Retry | int | None) -> Retry | None:
    """A number is that many retries after the first attempt, as in a document."""
    if value is None or isinstance(value, Retry):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"retry is {value!r}; it must be a weft.Retry, or how many times to try again")
    return Retry(max_attempts=value + 1)


def _estimate(value: Any) -> Usage | None:
    if value is None or isinstance(value, Usage):
        return value
    known = ("tokens", "cost_usd")
    if not isinstance(value, dict) or not value or any(name not in known for name in value):
        raise InputError(f"estimate is {value!r}; it must be a dict with tokens, cost_usd or both")
    for name, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise InputError(f"estimate has {name} {number!r}; it must be a number of 0 or more")
    return Usage(**{name: float(number) for name, number in value.items()})
