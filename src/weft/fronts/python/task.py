"""Tasks as the user states them: a function (or a combinator) and how it is to run. Nothing in here runs.

A `Task` is stated by `weft.task`, by `Workflow.task`, or by a combinator; `Workflow.add_task` gives it an id and a
place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from weft.errors import InputError, nearest
from weft.event_types import Usage
from weft.fronts.python.signature import name_of, takes_by_position
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
        return _consistent(msgspec.structs.replace(other, **said)) if said else other


UNSAID = Settings()


class Task:
    """A unit of work: a function, or what a combinator makes of several.

    It can be called like its function, which does not involve Weft at all.
    """

    label = "task"

    depth = 0
    """How many levels of tasks are inside."""

    def __init__(self, function: Function | None = None, *, id: str = "", settings: Settings = UNSAID) -> None:  # noqa: A002 - the API's name
        if id:
            check_id(id)
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

    def touches(self, what: str) -> tuple[str, ...]:
        """What it and all that is inside it `reads`, `writes`, or holds as a `mutex`."""
        own: tuple[str, ...] = getattr(self.settings, what)
        if self.function is not None:
            return own
        return tuple(dict.fromkeys([*own, *(name for _, part in self.inner for name in part.touches(what))]))

    @property
    def once(self) -> bool:
        """Whether it, or something inside it, may not run twice."""
        return self.settings.effect == "once" or any(part.once for _, part in self.inner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            raise TypeError(f"a {self.label} is not called, it is run as part of a workflow")
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name or '...'})"


MAX_ID = 200
_PATH_MARKS = frozenset("/[]")


def check_id(id: object) -> None:  # noqa: A002 - the API's name
    """Raise InputError for what cannot be a task's id: paths are made of ids."""
    if not isinstance(id, str) or not id:
        raise InputError(f"the id is {id!r}; it must be a text that is not empty", hint="pass id=...")
    if len(id) <= MAX_ID and id.isprintable() and _PATH_MARKS.isdisjoint(id):
        return
    wrong = next((c for c in id if c in "/[]" or not c.isprintable()), None)
    if wrong is not None:
        raise InputError(f"the id {id!r} has {wrong!r} in it", hint="ids make up paths: no / [ ] and nothing invisible")
    if len(id) > MAX_ID:
        raise InputError(f"the id {id[:40]!r}... has {len(id)} characters; {MAX_ID} are allowed", hint="shorten it")


def as_task(given: object) -> Task:
    """A task as it is, a function as a task. Raises InputError for anything else."""
    if isinstance(given, Task):
        return given
    if callable(given) and not isinstance(given, type):
        return Task(given)
    hint = "pass the function itself, without calling it"
    if isinstance(given, list | tuple):
        hint = "pass them one by one: *tasks"
    elif isinstance(given, Coroutine):
        given.close()  # else Python complains, much later, that nobody awaited it
    elif isinstance(given, type):
        hint = f"pass a function that makes one: lambda: {given.__name__}(...)"
    raise InputError(f"{given!r} is neither a function nor a task", hint=hint)


def settings_of(given: Mapping[str, Any]) -> Settings:
    """What was said of a task, checked. Raises InputError that names the setting, the value and what is accepted."""
    said: dict[str, Any] = {}
    for name, value in given.items():
        read = _READERS.get(name)
        if read is None:
            close = nearest(name, list(_READERS))
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_READERS)}"
            raise InputError(f"there is no setting {name!r} for a task", hint=hint)
        said[name] = read(name, value)
    return _consistent(Settings(**said))


def _consistent(settings: Settings) -> Settings:
    if settings.effect == "once" and settings.retry is not None and settings.retry.max_attempts > 1:
        hint = "a task that may not run twice is not retried"
        raise InputError('effect="once" and retry exclude each other', hint=hint)
    return settings


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
    if not isinstance(given, Iterable):
        raise InputError(f"{setting} is {given!r}; it must be a list of names", hint=f'{setting}=["name"]')
    found = tuple(given)
    for name in found:
        if not isinstance(name, str) or not name:
            raise InputError(f"{setting} has {name!r} in it; names are texts that are not empty")
    return found


def _one_of(*known: str) -> Callable[[str, Any], Any]:
    """A reader of one of these words; None is not said."""

    def read(setting: str, value: Any) -> Any:
        if value is None or value in known:
            return value
        close = nearest(str(value), known)
        hint = f"did you mean {close[0]!r}?" if close else None
        raise InputError(f"{setting} is {value!r}; it must be {', '.join(known[:-1])} or {known[-1]}", hint=hint)

    return read


def retry_on(setting: str, value: Any) -> RetryOn | None:
    """Exception classes, or a function of the exception. Raises InputError."""
    if isinstance(value, list):
        value = tuple(value)
    classes = value if isinstance(value, tuple) else (value,)
    if all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        return value  # type: ignore[no-any-return]
    if value is None or (callable(value) and not isinstance(value, type)):
        return value
    hint = f"{setting}=(OSError, TimeoutError)"
    raise InputError(f"{setting} is {value!r}; it must be exception classes, or a function of the exception", hint=hint)


def _compensate(setting: str, value: Any) -> Any:
    if isinstance(value, Task) or hasattr(value, "prepare"):
        return value
    if callable(value):
        return (lambda output: value(output)) if takes_by_position(value) else value
    if value is None:
        return None
    hint = "the function gets the task's output"
    raise InputError(f"{setting} is {value!r}; it must be a function, a task, or one of weft.undo", hint=hint)


def _yes_or_no(setting: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{setting} is {value!r}; it must be True or False")
    return value


def _text(setting: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{setting} is {value!r}; it must be a text")
    return value


def _needs(setting: str, value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)


def _one_or_more(setting: str, value: Any) -> tuple[str, ...]:
    return names(setting, [value] if isinstance(value, str) else value)


def _retry(setting: str, value: Retry | int | None) -> Retry | None:
    """A number is that many retries after the first attempt, as in a document."""
    if value is None or isinstance(value, Retry):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"retry is {value!r}; it must be a weft.Retry, or how many times to try again")
    return Retry(max_attempts=value + 1)


def _estimate(setting: str, value: Any) -> Usage | None:
    if value is None or isinstance(value, Usage):
        return value
    known = ("tokens", "cost_usd")
    if not isinstance(value, dict) or not value or any(name not in known for name in value):
        hint = 'estimate={"tokens": 900}'
        raise InputError(f"estimate is {value!r}; it must be a dict with tokens, cost_usd or both", hint=hint)
    for name, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise InputError(f"estimate has {name} {number!r}; it must be a number of 0 or more")
    return Usage(**{name: float(number) for name, number in value.items()})


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "needs": _needs,
    "retry": _retry,
    "retry_on": retry_on,
    "timeout": seconds,
    "effect": _one_of("pure", "idempotent", "once"),
    "compensate": _compensate,
    "isolation": _one_of("loop", "thread", "process"),
    "reads": names,
    "writes": names,
    "mutex": _one_or_more,
    "limit": _one_or_more,
    "on_failure": _one_of("finish", "cancel", "continue"),
    "estimate": _estimate,
    "verify_writes": _yes_or_no,
    "description": _text,
}
"""What may be said of a task, and how it is read."""
