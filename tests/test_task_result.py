"""What a task says of itself: read, checked, written, described."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from weft.errors import InputError, ValidationError
from weft.results import Compensated, TaskResult, TaskResultMetrics

FULL = TaskResult(
    "PARTIAL",
    metrics=TaskResultMetrics(tokens_used=1200, duration_ms=3.5, cost_usd=0.02),
    files_modified=["a.py"],
    observations=["slow"],
    error="one left",
)


@pytest.mark.parametrize("status", ["COMPLETE", "PARTIAL", "BLOCKED", "NEEDS_REPLAN"])
def test_it_is_read_from_json_and_from_data(status: Any) -> None:
    text = json.dumps({"status": status})
    for given in (text, text.encode(), {"status": status}):
        assert TaskResult.parse(given) == TaskResult(status)


def test_what_is_written_is_read_again() -> None:
    assert TaskResult.parse(FULL.to_json()) == FULL
    assert TaskResult.parse(json.loads(FULL.to_json())) == FULL
    assert TaskResult("COMPLETE").to_json() == b'{"status":"COMPLETE"}'


def test_fields_that_are_not_known_are_left_out() -> None:
    assert TaskResult.parse({"status": "COMPLETE", "mood": "good", "metrics": {"steps": 3}}) == TaskResult(
        "COMPLETE", metrics=TaskResultMetrics()
    )


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ({}, "$", "object missing required field `status` at $"),
        ({"status": "DONE"}, "$.status", "invalid enum value 'DONE' at $.status"),
        ({"status": 3}, "$.status", "expected `str`, got `int` at $.status"),
        ({"status": "COMPLETE", "error": 3}, "$.error", "expected `str | null`, got `int` at $.error"),
        (
            {"status": "COMPLETE", "files_modified": ["a", None]},
            "$.files_modified[1]",
            "expected `str`, got `null` at $.files_modified[1]",
        ),
        (
            {"status": "COMPLETE", "metrics": {"tokens_used": -1}},
            "$.metrics.tokens_used",
            "expected `float` >= 0.0 at $.metrics.tokens_used",
        ),
        (
            {"status": "COMPLETE", "metrics": {"cost_usd": "free"}},
            "$.metrics.cost_usd",
            "expected `float | null`, got `str` at $.metrics.cost_usd",
        ),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_wrong_field_is_named(data: dict[str, Any], path: str, message: str, as_text: bool) -> None:
    with pytest.raises(ValidationError) as caught:
        TaskResult.parse(json.dumps(data) if as_text else data)
    assert (caught.value.path, str(caught.value)) == (path, message)
    assert caught.value.hint == "see TaskResult.json_schema()"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", "COMPLETE", b'{"status": "COMPLETE"} trailing', 3, None, [1]])
def test_what_is_no_json_or_no_object_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        TaskResult.parse(data)
    assert caught.value.hint == "see TaskResult.json_schema()"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_json_has_no_number_that_is_none(number: str) -> None:
    with pytest.raises(ValidationError, match="not a task result: "):
        TaskResult.parse(f'{{"status": "COMPLETE", "metrics": {{"cost_usd": {number}}}}}')


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_nor_may_data_have_one(number: float) -> None:
    with pytest.raises(ValidationError) as caught:
        TaskResult.parse({"status": "COMPLETE", "metrics": {"cost_usd": number}})
    assert "cost_usd" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "DONE"}, "status is 'DONE'; it must be one of COMPLETE, PARTIAL, BLOCKED, NEEDS_REPLAN"),
        ({"metrics": {"tokens_used": 3}}, "metrics is {'tokens_used': 3}; it must be a weft.TaskResultMetrics"),
        ({"error": 3}, "error is 3; it must be a text"),
        ({"files_modified": "a.py"}, "files_modified is 'a.py'; it must be a list of texts"),
        ({"observations": ["slow", None]}, "observations is ['slow', None]; it must be a list of texts"),
    ],
)
def test_one_that_is_made_wrong_is_an_error_where_it_is_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TaskResult(**{"status": "COMPLETE", **fields})
    assert (str(caught.value), caught.value.path) == (message, f"$.{next(iter(fields))}")


@pytest.mark.parametrize("field", ["tokens_used", "duration_ms", "cost_usd"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "3"])
def test_metrics_are_amounts_where_they_are_made(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        TaskResultMetrics(**{field: value})
    assert (str(caught.value), caught.value.path) == (
        f"{field} is {value!r}; it must be a number of 0 or more",
        f"$.{field}",
    )


def test_it_does_not_change_and_shares_no_lists() -> None:
    with pytest.raises(AttributeError):
        FULL.status = "COMPLETE"  # type: ignore[misc]
    one, other = TaskResult("COMPLETE"), TaskResult("COMPLETE")
    one.observations.append("seen")
    assert other.observations == []


def test_the_schema_says_the_same() -> None:
    schema = TaskResult.json_schema()
    own = schema["$defs"]["TaskResult"]
    assert own["required"] == ["status"]
    assert own["properties"]["status"] == {"enum": ["BLOCKED", "COMPLETE", "NEEDS_REPLAN", "PARTIAL"]}
    assert set(own["properties"]) == set(TaskResult.__struct_fields__)
    assert msgspec.json.encode(schema)


def test_an_undo_is_a_function_or_data() -> None:
    assert Compensated(1, print).undo is print
    with pytest.raises(InputError) as caught:
        Compensated(1, "rm")
    assert (str(caught.value), caught.value.hint) == ("'rm' is no undo", "pass a function, or one of weft.undo")
