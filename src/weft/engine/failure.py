"""Whatever went wrong, as data."""

from __future__ import annotations

from weft.errors import AttemptError, ErrorData, ExpressionError, Skip, ValidationError, WeftError

CANCELLED = "Cancelled"
TIMEOUT = "Timeout"


def describe(error: BaseException, place: str | None = None) -> ErrorData:
    """The error as the journal keeps it. What is no error of ours is a bug of the code that ran: not retried."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    under = f"{type(cause).__name__}: {cause}" if cause is not None else None
    if isinstance(error, AttemptError):
        return ErrorData(
            type=error.type,
            message=_with_hint(error),
            place=error.place or place,
            retryable=error.retryable,
            cause=under,
            status=error.status,
            retry_after=error.retry_after,
            unknown=error.unknown,
        )
    if isinstance(error, ExpressionError):
        return ErrorData("ExpressionError", _with_hint(error), error.place or place)
    if isinstance(error, ValidationError):
        return ErrorData("ValidationError", _with_hint(error), error.path if error.path != "$" else place, cause=under)
    if isinstance(error, Skip):
        return ErrorData("SkippedWithDependents" if error.skip_dependents else "Skipped", error.message)
    if isinstance(error, WeftError):
        return ErrorData(type(error).__name__, _with_hint(error), place, cause=under)
    text = str(error)
    retryable = isinstance(error, ConnectionError | TimeoutError)
    return ErrorData(type(error).__name__, text or type(error).__name__, place, retryable, under)


def timed_out(seconds: float) -> ErrorData:
    """The error of an attempt whose time is up. Whether it took effect is not known."""
    return ErrorData(TIMEOUT, f"took longer than {seconds:g} s and was stopped", retryable=True, unknown=True)


def _with_hint(error: WeftError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
