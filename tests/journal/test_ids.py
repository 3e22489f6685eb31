"""Run ids sort by time, are unique, and can be shortened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import NotFoundError
from weft.journal.contract import refused
from weft.journal.ids import ID, new_id, resolve, unknown
from weft.journal.weights import median, remember

RUNS = ["20261120-111531-a00000", "20261120-111530-k3f9ab", "20261120-111530-a00000", "20250101-000000-000000"]


def test_an_id_tells_when_the_run_began() -> None:
    assert new_id(1_795_173_330.5)[:16] == "20261120-111530-"
    assert new_id(1_795_173_330.5)[16:18] == "g0"
    assert ID.match(new_id(0.0))


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=2, max_size=2, unique=True))
def test_ids_of_different_milliseconds_sort_by_time(times: list[int]) -> None:
    earlier, later = sorted(times)
    assert new_id(earlier / 1000)[:18] <= new_id(later / 1000)[:18]


@pytest.mark.parametrize(
    ("prefix", "run"),
    [("last", RUNS[0]), (RUNS[1], RUNS[1]), ("2025", RUNS[3]), ("20261120-111530-k", RUNS[1])],
)
def test_a_prefix_that_fits_one_run_means_it(prefix: str, run: str) -> None:
    assert resolve(RUNS, prefix, "here") == run


def test_a_prefix_that_fits_many_runs_names_them() -> None:
    error = refused(NotFoundError, resolve, RUNS, "20261120-111530", "here")
    assert str(error) == ("2 runs in here start with '20261120-111530': 20261120-111530-k3f9ab, 20261120-111530-a00000")
    assert error.hint == "give more of the id"
    many = [f"2026{number:02d}" for number in range(9)]
    error = refused(NotFoundError, resolve, many, "2026", "here")
    assert str(error).endswith("202600, 202601, 202602, 202603, 202604 and 4 more")


def test_a_prefix_that_fits_no_run_says_what_there_is() -> None:
    error = refused(NotFoundError, resolve, RUNS, "20261120-111530-k3f9aa", "here")
    assert str(error) == "no run in here starts with '20261120-111530-k3f9aa'"
    assert error.hint == "did you mean '20261120-111530-k3f9ab'?"
    error = refused(NotFoundError, resolve, RUNS[:2], "zzz", "here")
    assert error.hint == f"the last runs are {RUNS[0]}, {RUNS[1]}"
    assert error.exit_code == 66


def test_where_there_are_no_runs_there_is_no_last() -> None:
    error = refused(NotFoundError, resolve, [], "last", "here")
    assert (str(error), error.hint) == ("there are no runs in here", "start one with `weft run`")
    error = unknown("x", "here")
    assert (str(error), error.hint) == ("there is no run 'x' in here", "list them with `weft runs`")


def test_the_median_follows_a_change_and_ignores_one_slow_run() -> None:
    assert median([1.0]) == 1.0
    assert median([1.0, 3.0]) == 2.0
    assert median(remember([1.0] * 5, [100.0])) == 1.0
    assert median(remember([1.0] * 5, [100.0] * 3)) == 100.0
    assert remember([1, 2, 3, 4, 5], [6, 7]) == [3, 4, 5, 6, 7]
