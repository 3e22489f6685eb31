"""What every error has in common, and what is made of those of others."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback

import pytest

import weft
from weft import errors
from weft.errors import MAX_MESSAGE, InputError, NodeFailed, said, writable


class Mute(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoText(Exception):
    """An exception whose text is none."""

    def __str__(self) -> str:
        return None  # type: ignore[return-value]


def test_a_traceback_shows_the_hint_below_the_message() -> None:
    error = InputError("the name is ''", hint="pass a text")
    shown = "".join(traceback.format_exception_only(error))
    assert shown == "weft.errors.InputError: the name is ''\nhint: pass a text\n"
    assert str(error) == "the name is ''"


def test_an_error_without_a_hint_has_no_line_for_it() -> None:
    assert traceback.format_exception_only(InputError("no")) == ["weft.errors.InputError: no\n"]


def test_every_public_error_is_a_weft_error() -> None:
    public = [
        getattr(weft, name) for name in weft.__all__ if name in vars(errors) and inspect.isclass(vars(errors)[name])
    ]
    raised = [each for each in public if issubclass(each, BaseException)]
    assert len(raised) > 15
    assert [each for each in raised if not issubclass(each, weft.WeftError)] == []


def test_workflow_failed_reads_as_its_error_and_can_be_split() -> None:
    one = weft.WorkflowFailed([NodeFailed("a", weft.ErrorData("Boom", "broke"))])
    assert (str(one), one.hint) == ("a: broke", None)
    found, rest = one.split(lambda error: isinstance(error, NodeFailed) and error.path == "a")
    assert isinstance(found, weft.WorkflowFailed)
    assert (found.exceptions, rest) == (one.exceptions, None)
    assert isinstance(one, ExceptionGroup)


@pytest.mark.parametrize("error", [Mute(), NoText()])
def test_what_an_error_says_never_fails(error: Exception) -> None:
    with pytest.raises((RuntimeError, TypeError)):
        str(error)
    assert said(error) == "(its text could not be made)"


def test_what_is_said_can_be_written_down_and_is_bounded() -> None:
    assert said(ValueError("\ud800")) == "\\ud800"
    assert writable("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE
    assert writable("x" * (MAX_MESSAGE + 1_500)) == "x" * MAX_MESSAGE + "... (1,500 more characters)"


def test_what_a_run_failed_of_can_go_to_another_process() -> None:
    failed = weft.WorkflowFailed([NodeFailed("a", weft.ErrorData("Boom", "broke"), 3)], object())
    again = copy.copy(failed)
    assert (str(again), repr(again)) == (str(failed), repr(failed))
    (error,) = pickle.loads(pickle.dumps(failed)).exceptions
    assert (error.path, error.error, error.attempt) == ("a", weft.ErrorData("Boom", "broke"), 3)
