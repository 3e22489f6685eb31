"""Reviewers and the commands after the end: what counts as having worked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.scripted import REVIEWER, Scripted
from weft.backends.children import Children
from weft.errors import InputError
from weft.runtimes.review import Reviewed, arguments, find_reviewer, run_afterwards, run_review

pytestmark = pytest.mark.anyio


class Review:
    def __init__(self, children: Children, folder: Path) -> None:
        self.children = children
        self.folder = folder / "work"
        self.folder.mkdir()
        self.scripted = Scripted(folder / "script")

    async def run(self, command: Any, **options: Any) -> Reviewed:
        return await run_review(self.children, command, cwd=self.folder, env=self.scripted.env, **options)


@pytest.fixture
def review(children: Children, tmp_path: Path) -> Review:
    return Review(children, tmp_path)


async def test_findings_once_per_task_until_they_are_fixed(review: Review) -> None:
    assert (await review.run(REVIEWER)).output == "[]\n"
    (review.folder / "task-2.txt").write_text("")
    done = await review.run(REVIEWER)
    assert (done.exit_code, done.failed) == (0, None)
    assert json.loads(done.output) == [{"id": "task-2.txt", "file": "task-2.txt", "line": 1, "message": "not fixed"}]
    (review.folder / "task-2.fixed").write_text("")
    assert (await review.run(REVIEWER)).output == "[]\n"
    assert [line["event"] for line in review.scripted.review_stamps()] == ["start", "end"] * 3


async def test_exit_code_1_means_findings(review: Review) -> None:
    (review.folder / "task-1.txt").write_text("")
    done = await review.run([*REVIEWER, "exit-code"])
    assert (done.exit_code, done.failed, len(json.loads(done.output))) == (1, None, 1)


async def test_text_and_shell_text_are_fine(review: Review, tmp_path: Path) -> None:
    done = await review.run("echo a.txt:1: wrong | cat; exit 1", transcript=tmp_path / "review.log")
    assert (done.exit_code, done.output, done.failed) == (1, "a.txt:1: wrong\n", None)
    assert done.transcript == str(tmp_path / "review.log")


async def test_a_reviewer_that_failed_is_never_taken_for_one_that_found_something(review: Review) -> None:
    done = await review.run([*REVIEWER, "broken"])
    assert (done.exit_code, done.failed) == (3, "the reviewer ended with exit code 3: no licence")
    done = await review.run("echo '[]'; kill -9 $$")
    assert (done.exit_code, done.failed) == (None, "the reviewer was killed by SIGKILL (9)")
    done = await review.run([*REVIEWER, "hang"], seconds=0.3, grace=0.1)
    assert (done.exit_code, done.failed) == (None, "the reviewer did not end within 0.3 s")
    done = await review.run(["no-such-reviewer"])
    assert done.failed == "the reviewer could not be started: there is no program 'no-such-reviewer'"
    assert done.hint is not None
    assert done.hint.endswith("; install it, or set `review_command`")
    done = await review.run([sys.executable, "-c", "print('[' + '1,' * 6_000_000 + '1]')"])
    assert done.exit_code == 0
    assert done.failed == "the reviewer printed 1,514,244 bytes more than are kept"


def test_a_known_reviewer_is_searched_in_the_path(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path)}
    assert find_reviewer("stet", env) is None
    (tmp_path / "stet").write_text("#!/bin/sh\n")
    assert find_reviewer("stet", env) is None
    (tmp_path / "stet").chmod(0o755)
    assert find_reviewer("stet", env) == ("stet", "run", "--json")
    assert find_reviewer("none", env) is None
    with pytest.raises(InputError) as caught:
        find_reviewer("stett", env)
    assert (caught.value.message, caught.value.hint) == ("no reviewer is called 'stett'", "did you mean 'stet'?")


def test_an_empty_command_is_an_error_of_the_user() -> None:
    for command in ("", "  ", [], [""]):
        with pytest.raises(InputError) as caught:
            arguments(command, "`review_command`")
        assert caught.value.message == "`review_command` is empty"
        assert caught.value.hint == 'write it as shell text, or as a list: ["ruff", "check"]'
    assert arguments("a | b") == ("/bin/sh", "-eu", "-c", "a | b")
    assert arguments(["a", "b c"]) == ("a", "b c")


async def test_commands_after_the_end_run_one_after_the_other_whatever_happens(review: Review) -> None:
    done = await run_afterwards(
        review.children, ["echo one >> log; echo said", ["no-such-program", "a b"], "echo bad >&2; exit 4", "sleep 60",
                          ["sh", "-c", "echo last >> log"]],
        cwd=review.folder, env=review.scripted.env, seconds=0.4, grace=0.1,
    )  # fmt: skip
    assert [(each.command, each.exit_code, each.output, each.failed) for each in done] == [
        ("echo one >> log; echo said", 0, "said\n", None),
        ("no-such-program 'a b'", None, "", "there is no program 'no-such-program'"),
        ("echo bad >&2; exit 4", 4, "", "it ended with exit code 4: bad"),
        ("sleep 60", None, "", "it did not end within 0.4 s"),
        ("sh -c 'echo last >> log'", 0, "", None),
    ]
    assert (review.folder / "log").read_text() == "one\nlast\n"
