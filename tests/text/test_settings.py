"""Settings in layers, whoever they belong to. The whole chain for real tables is tested where those are."""

from __future__ import annotations

import pytest

from weft.errors import InputError, SettingsError, UsageError
from weft.text.settings import Given, Key, Problem, Setting, from_environment, from_file, from_flags, refuse, settle

KEYS = (
    Key("jobs", "integer", "", default=2, least=1, flag="--jobs", variable="X_JOBS"),
    Key("mode", "word", "", default="a", words=("a", "b", "c"), flag="--mode", variable="X_MODE"),
)


def test_the_strongest_layer_that_has_a_key_is_the_only_one_that_is_read() -> None:
    weak = {"jobs": Given("x", "file:1", "file"), "mode": Given("b", "file:2", "file")}
    settled, problems = settle(KEYS, [from_flags(KEYS, {"jobs": 3, "mode": None}), {}, weak])
    assert settled == {"jobs": Setting(3, "--jobs", "flag"), "mode": Setting("b", "file:2", "file")}
    assert problems == []


def test_a_wrong_value_is_a_problem_and_leaves_the_default() -> None:
    settled, problems = settle(
        KEYS, [{"jobs": Given(0, "X_JOBS", "environment"), "mode": Given("bb", "--mode", "flag")}]
    )
    assert settled == {"jobs": Setting(2, "default"), "mode": Setting("a", "default")}
    assert problems == [
        Problem("X_JOBS: jobs is 0; it must be a whole number of 1 or more", None, "environment"),
        Problem("--mode: mode is 'bb'; it must be a, b or c", "did you mean 'b'?", "flag"),
    ]


def test_a_long_wrong_value_is_shown_in_part() -> None:
    _, (problem,) = settle(KEYS, [{"jobs": Given("x" * 1000, "f", "file")}])
    assert problem.message == f"f: jobs is '{'x' * 78}…; it must be a whole number of 1 or more"


def test_unknown_names_are_problems_where_a_prefix_claims_them() -> None:
    env = {"X_JOBS": "3", "X_JOB": "4", "X_EMPTY": "", "PATH": "p"}
    assert from_environment(KEYS, env)[1] == []
    assert from_environment(KEYS, env, "X_")[1] == [
        Problem("unknown variable 'X_JOB'", "did you mean 'X_JOBS'?", "environment")
    ]
    assert from_file(KEYS, {"jbos": 1}, lambda name: "f:7")[1] == [
        Problem("f:7: unknown setting 'jbos'", "did you mean 'jobs'?", "file")
    ]


def test_one_problem_is_an_error_of_its_layer_and_several_are_one_error() -> None:
    refuse([])
    flag, file = Problem("a", "h", "flag"), Problem("b", None, "file")
    with pytest.raises(UsageError) as one:
        refuse([flag])
    assert (one.value.message, one.value.hint, one.value.exit_code) == ("a", "h", 64)
    with pytest.raises(InputError) as other:
        refuse([file])
    assert (other.value.message, other.value.exit_code) == ("b", 65)
    with pytest.raises(SettingsError) as both:
        refuse([file, flag])
    assert both.value.message == "2 settings are wrong:\n  b\n  a (h)"
    assert both.value.problems == (("b", None), ("a", "h"))
    assert both.value.exit_code == 64
    with pytest.raises(SettingsError) as files:
        refuse([file, file])
    assert files.value.exit_code == 65
