"""A function fails in the same way wherever it is called: in a thread, or in a process that only tells its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import weft
from workflow import elsewhere

THRICE = weft.Retry(max_attempts=3, base=0)


def attempts(folder: Path, name: str, isolation: Any, **settings: Any) -> int:
    flow = weft.Workflow("test")
    flow.add_task(elsewhere.raise_by_name, id="task", isolation=isolation, retry=THRICE, **settings)
    sink = folder / "calls"
    result = flow.run(check=False, arguments={"name": name, "sink": str(sink)})
    assert result["task"].attempts == len(sink.read_text())
    return result["task"].attempts


@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize(("name", "expected"), [("ours", 3), ("value", 3), ("os", 3), ("type", 1)])
def test_the_same_errors_are_tried_again(name: str, expected: int, isolation: str, tmp_path: Path) -> None:
    assert attempts(tmp_path, name, isolation) == expected


@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize(
    ("name", "retry_on", "expected"),
    [
        ("ours", elsewhere.Ours, 3),
        ("os", (KeyError, OSError), 3),
        ("type", [TypeError], 3),
        ("value", KeyError, 1),
    ],
)
def test_retry_on_names_the_same_errors(
    name: str, retry_on: Any, expected: int, isolation: str, tmp_path: Path
) -> None:
    assert attempts(tmp_path, name, isolation, retry_on=retry_on) == expected
