"""A task that forks, and whose child comes back, has not made two engines of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import weft

PROGRAM = """
import os, sys
import weft

flow = weft.Workflow("forks")

async def _loop():
    return split()

def _thread():
    return split()

def split():
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if sys.argv[2] == "raises":
        raise ValueError("in the child")

flow.add_task({"loop": _loop, "thread": _thread}[sys.argv[1]], id="forks")
flow.add_task(lambda forks: print("after", forks, flush=True), id="after", isolation="thread")
print(flow.run(journal=".weft").status)
"""


@pytest.mark.parametrize("ends", ["returns", "raises"])
@pytest.mark.parametrize("place", ["loop", "thread"])
def test_the_child_of_a_task_that_forks_ends_when_it_comes_back(place: str, ends: str, tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "forks.py", place, ends], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.returncode) == ("after 70\nsucceeded\n", 0)
    assert done.stderr.count("a task has forked and its child came back") == 1
    assert [
        e.path for e in weft.events("last", journal=tmp_path / ".weft") if type(e).__name__ == "AttemptSucceeded"
    ] == [
        "forks",
        "after",
    ]
