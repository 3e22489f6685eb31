"""Policies as values: retry, failure, limits. They decide; nobody sleeps or counts in here."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from weft.errors import ErrorData, InputError

FailurePolicy = Literal["finish", "cancel", "continue"]
Schedule = Literal["dataflow", "waves"]
Rollback = Literal["all", "dependencies", "none"]
Backoff = Literal["fixed", "linear", "exponential"]


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """When to try again, and after how long.

    `max_attempts` counts the first attempt (1: no retry); `base` and `cap` are seconds. With `jitter="full"` the
    delay is drawn evenly from 0 to the computed one (the "full jitter" of Brooker, "Exponential Backoff And Jitter",
    2015); whoever acts draws the number, so that the decision stays a pure function and the draw is on record.
    """

    max_attempts: int = 1
    backoff: Backoff = "exponential"
    base: float = 1.0
    cap: float = 30.0
    jitter: Literal["full", "none"] = "full"
    conditional: bool = False
    """A `when` expression decides instead of the error's own `retryable`."""

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be."""
        _whole("Retry: max_attempts", self.max_attempts)
        _one_of("Retry: backoff", self.backoff, get_args(Backoff))
        _one_of("Retry: jitter", self.jitter, ("full", "none"))
        for name, value in (("base", self.base), ("cap", self.cap)):
            if not _is_number(value) or value < 0:
                raise InputError(f"Retry: {name} is {value!r}; it must be a number of seconds, 0 or more")

    def allows(self, attempt: int, error: ErrorData, *, agreed: bool | None = None) -> bool:
        """Whether attempt number `attempt` (from 1), which failed with `error`, is followed by another.

        `agreed` is what the retry's own condition said, None when it has none.
        """
        if attempt >= self.max_attempts:
            return False
        return error.retryable if agreed is None else agreed

    def ceiling(self, attempt: int) -> float:
        """Seconds to wait after attempt `attempt`, before jitter. Never overflows: exponents beyond the cap are cut."""
        match self.backoff:
            case "fixed":
                delay = self.base
            case "linear":
                delay = self.base * attempt
            case _:
                delay = self.base * 2.0 ** min(attempt - 1, 60)
        return min(delay, self.cap)

    def delay(self, attempt: int, error: ErrorData, draw: float) -> float:
        """Seconds to wait; `draw` is a random number in [0, 1). What the other side asked for is a lower bound."""
        ceiling = self.ceiling(attempt)
        delay = ceiling * draw if self.jitter == "full" else ceiling
        return max(delay, error.retry_after or 0.0)


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A named limit shared by key: at most `concurrency` at once, at most `rate` starts per `per` seconds."""

    concurrency: int | None = None
    rate: float | None = None
    per: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be."""
        if self.concurrency is not None:
            _whole("Limit: concurrency", self.concurrency)
        for name, value in (("rate", self.rate), ("per", self.per)):
            if value is not None and (not _is_number(value) or value <= 0):
                raise InputError(f"Limit: {name} is {value!r}; it must be a number above 0")


def default_jobs(cores: int) -> int:
    """How many leaves run at once when nobody says: min(32, max(10, 4 x cores))."""
    return min(32, max(10, 4 * cores))


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number of 1 or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value < float("inf")


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name} is {value!r}; it must be {', '.join(known[:-1])} or {known[-1]}")


NO_RETRY = Retry()
