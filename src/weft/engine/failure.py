"""Whatever went wrong, as data."""

from __future__ import annotations

from math import inf

from weft.errors import AttemptError, ErrorData, ExpressionError, Skip, ValidationError, WeftError, said, writable

CANCELLED = "Cancelled"
TIMEOUT = "Timeout"


def describe(error: BaseException, place: str | None = None) -> ErrorData:
    """The error as the journal keeps it. What is no error of ours is a bug of the code that ran: not retried.

    The error may be of a class of the user's, also below one of ours: nothing it says or holds is trusted.
    """
    try:
        return _described(error, place)
    except Exception:
        return ErrorData(type(error).__name__, said(error) or type(error).__name__, place, cause=_under(error))


def _described(error: BaseException, place: str | None) -> ErrorData:
    under = _under(error)
    if isinstance(error, AttemptError):
        later = error.retry_after
        return ErrorData(
            type=writable(error.type),
            message=_with_hint(error),
            place=writable(error.place) if error.place else place,
            retryable=bool(error.retryable),
            cause=under,
            status=error.status if isinstance(error.status, int) else None,
            retry_after=float(later) if isinstance(later, int | float) and 0 <= later < inf else None,
            unknown=bool(error.unknown),
        )
    if isinstance(error, ExpressionError):
        return ErrorData("ExpressionError", _with_hint(error), error.place or place)
    if isinstance(error, ValidationError):
        return ErrorData("ValidationError", _with_hint(error), error.path if error.path != "$" else place, cause=under)
    if isinstance(error, Skip):
        return ErrorData("SkippedWithDependents" if error.skip_dependents else "Skipped", said(error))
    if isinstance(error, WeftError):
        return ErrorData(type(error).__name__, _with_hint(error), place, cause=under)
    retryable = isinstance(error, ConnectionError | TimeoutError)
    return ErrorData(type(error).__name__, said(error) or type(error).__name__, place, retryable, under)


def _under(error: BaseException) -> str | None:
    """What lay beneath: the cause, or what a group holds."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    held = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    told = [f"{type(each).__name__}: {said(each)}" for each in (*held, *([cause] if cause is not None else []))]
    return writable("; ".join(told)) if told else None


def timed_out(seconds: float) -> ErrorData:
    """The error of an attempt whose time is up. Whether it took effect is not known."""
    return ErrorData(TIMEOUT, f"took longer than {seconds:g} s and was stopped", retryable=True, unknown=True)


def _with_hint(error: WeftError) -> str:
    return writable(f"{error.message} ({error.hint})") if error.hint else said(error)
