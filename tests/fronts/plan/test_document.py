"""What of a plan becomes a task: bodies, options, order, digests; and that reading always ends, soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timing import within
from weft.errors import DocumentError
from weft.fronts.plan.document import Plan, Task, read_plan, require_plan
from weft.text.source import MAX_DOCUMENT, Source, decode, render


def plan(text: str) -> Plan:
    return require_plan(Source("plan.md", text))


def task(text: str) -> Task:
    (only,) = plan(text).tasks
    return only


PLAN = """\
# The release

Everything for 1.0.

## Task 20: Add CI (parallel)
- a job per Python

### Details
Two of them.

## Task 1
reads: src/**, ./docs/a.md `my notes.md`
writes: none
needs: none
verify: make test && echo "ok"

   Create the login flow.
   With tests.


## Task 3 - README (Parallel)
needs: 1
writes:
- README.md
* docs/*.md, docs/**/*.txt

Update it.
"""


def test_a_plan_is_its_tasks_by_number() -> None:
    read = plan(PLAN)
    assert read.preamble == "# The release\n\nEverything for 1.0."
    assert [(t.number, t.title, t.parallel, t.line, t.body_line) for t in read.tasks] == [
        (1, None, False, 11, 17),
        (3, "README", True, 21, 27),
        (20, "Add CI", True, 5, 6),
    ]
    assert [t.text for t in read.tasks] == [
        "Create the login flow.\n   With tests.",
        "Update it.",
        "- a job per Python\n\n### Details\nTwo of them.",
    ]
    assert [(t.reads, t.writes, t.needs, t.verify) for t in read.tasks] == [
        (("src/**", "docs/a.md", "my notes.md"), (), (), 'make test && echo "ok"'),
        (None, ("README.md", "docs/*.md", "docs/**/*.txt"), (1,), None),
        (None, None, (), None),
    ]
    assert [t.name for t in read.tasks] == ["task 1", "task 3: README", "task 20: Add CI"]
    assert read.task(20) is read.tasks[2]
    assert read.task(2) is None


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_do_not_matter(end: str) -> None:
    assert require_plan(decode("plan.md", b"\xef\xbb\xbf" + PLAN.replace("\n", end).encode())) == plan(PLAN)


def test_mixed_line_ends_are_ends_of_lines_all_the_same() -> None:
    read = require_plan(decode("plan.md", b"## Task 1\r\nreads: a\rDo\r\nit.\n## Task 2 (parallel)\rThat.\r\n"))
    assert [(t.text, t.reads, t.parallel) for t in read.tasks] == [("Do\nit.", ("a",), False), ("That.", None, True)]


def test_a_command_may_stand_in_backticks_and_have_some_of_its_own() -> None:
    assert task("## Task 1\nverify: `make test`\nx").verify == "make test"
    assert task("## Task 1\nverify: `cat a` && `cat b`\nx").verify == "`cat a` && `cat b`"


def test_blank_lines_may_stand_between_options() -> None:
    read = task("## Task 1\n\nreads: a\n\n\nneeds: none\n\nx")
    assert (read.reads, read.text) == (("a",), "x")


def test_the_first_other_line_ends_the_options() -> None:
    read = task("## Task 1\nDo it.\nneeds to be done soon\n")
    assert read.text == "Do it.\nneeds to be done soon"


def test_a_list_that_does_not_follow_an_empty_option_is_text() -> None:
    assert task("## Task 1\nreads: a\n- b\n").text == "- b"


# -- digests ------------------------------------------------------------------------------------------------------

BASE = "## Task 1: Login\nverify: make\nDo it."


@pytest.mark.parametrize(
    "other",
    [
        "## Task 7: Login\nverify: make\nDo it.",
        "## Task 1 - Login (parallel)\nverify: make\nDo it.",
        "preamble\n\n## Task 1: Login\n\nverify:   make\n\n\nDo it.\n\n",
        "## Task 1: Login\nreads: a\nwrites: b\nneeds: none\nverify: make\nDo it.",
        "## Task 1: Login\r\nverify: make\r\nDo it.\r\n",
    ],
)
def test_what_only_says_when_a_task_runs_is_not_in_its_digest(other: str) -> None:
    assert require_plan(decode("p", other.encode())).tasks[0].digest == plan(BASE).tasks[0].digest


@pytest.mark.parametrize(
    "other",
    [
        "## Task 1: Login\nverify: make\nDo it!",
        "## Task 1: Login page\nverify: make\nDo it.",
        "## Task 1\nverify: make\nDo it.",
        "## Task 1: Login\nverify: make -k\nDo it.",
        "## Task 1: Login\nDo it.",
        "## Task 1: Login\nverify: make\nDo  it.",
    ],
)
def test_what_is_to_be_done_is_in_the_digest(other: str) -> None:
    assert plan(other).tasks[0].digest != plan(BASE).tasks[0].digest


def test_digests_are_the_same_tomorrow() -> None:
    """A plan half done with an older version must go on with a newer one: this value never changes."""
    assert plan(BASE).tasks[0].digest == "33eb38bb6f6b4e5998d5fe0f995e9465440c6b65caeafff0648b8904500a1bab"


# -- always an end ------------------------------------------------------------------------------------------------

PIECES = [
    "## Task 1", "## Task 2 (parallel)", "# Task", "##Task 3", "**Task 4**", "Task 5", "---", "===", "```", "~~~~", "> ",
    "- ", "1. ", "<!--", "-->", "reads:", "writes: a", "needs: 1", "needs: 9", "verify: x", "`", '"', "(parallel)", "(paralel)",
    "\n", "\n\n", "\r", "\r\n", "\t", "    ", "\N{EM DASH}", "\u0662", "\u2028", "\x85", "\x0b", "\x1b[2J", "text", ":", "-", "0",
]  # fmt: skip


def reads_in_place(source: Source) -> None:
    """Reading raises nothing, and every place lies in the text and can be shown."""
    read = read_plan(source)
    for found in read.diagnostics:
        assert render(found, source)
        assert 1 <= found.line <= source.line_of(len(source.text))
        assert found.code.startswith("WEFT")
    if read.plan is None:
        assert any(d.severity == "error" for d in read.diagnostics)
    else:
        numbers = [task.number for task in read.plan.tasks]
        assert numbers == sorted(set(numbers))
        assert all(task.text and task.text == task.text.strip(" \t\n\v\f\r") for task in read.plan.tasks)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_bytes_give_nothing_but_diagnostics(data: bytes) -> None:
    with suppress(DocumentError):
        reads_in_place(decode("plan.md", data))


@given(st.lists(st.sampled_from(PIECES), max_size=40))
@settings(max_examples=500, deadline=None)
def test_random_pieces_of_plans_give_nothing_but_diagnostics(pieces: list[str]) -> None:
    reads_in_place(Source("plan.md", "".join(pieces)))


HOSTILE: dict[str, Callable[[int], str]] = {
    "backticks": lambda n: "`" * n,
    "lines of backticks": lambda n: "```\n" * (n // 4),
    "growing fences": lambda n: "".join("`" * (3 + k % 300) + "\n" for k in range(n // 150)),
    "falling fences": lambda n: "".join("`" * (300 - k % 297) + " x\n" for k in range(n // 150)),
    "tildes in quotes": lambda n: "> ~~~\n> ```\n" * (n // 12),
    "fences in quotes of their own": lambda n: "> ```\n\n" * (n // 7),
    "hashes": lambda n: "#" * n,
    "lines of hashes": lambda n: "## #\n" * (n // 5),
    "headings": lambda n: "".join(f"## Task {k}\nx\n" for k in range(1, n // 14)),
    "the same heading": lambda n: "## Task 1\n" * (n // 10),
    "brackets": lambda n: "## Task 1: " + "(" * n,
    "marks": lambda n: "## Task 1: " + "(parallel) x" * (n // 12),
    "markers": lambda n: "- " * (n // 2) + "## Task 1",
    "quotes": lambda n: "> " * (n // 2) + "## Task 1",
    "blanks": lambda n: "## Task 1" + " " * n + "x",
    "blank lines": lambda n: "## Task 1\n" + "\n" * n,
    "digits": lambda n: "## Task " + "1" * n,
    "options": lambda n: "## Task 1\n" + "reads: a\n" * (n // 9),
    "paths": lambda n: "## Task 1\nreads: " + "a, " * (n // 3),
    "quotes in paths": lambda n: "## Task 1\nreads: " + "`\" '" * (n // 4),
    "needs": lambda n: "".join(f"## Task {k}\nneeds: {k - 1}\nx\n" for k in range(1, n // 24)),
    "circles": lambda n: "".join(f"## Task {k}\nneeds: {k + 1}\nx\n" for k in range(1, n // 24)),
    "comments": lambda n: "<!--\n## Task 1\n" * (n // 14) + "-->",
    "late options": lambda n: "## Task 1\nx\n" + "writes: a\n```\n```\n" * (n // 18),
    "underlines": lambda n: "Task 1\n---\n" * (n // 11),
    "returns": lambda n: "\r\n\r" * (n // 3),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_the_time_grows_like_the_text(make: Callable[[int], str]) -> None:
    assert is_about_linear(lambda text: read_plan(Source("plan.md", text)), make)


def is_about_linear(read: Callable[[str], object], make: Callable[[int], str]) -> bool:
    """Whether eight times the text takes less than 24 times the time; up to 0.1 s nothing is proven."""

    def seconds(size: int) -> float:
        text = make(size)
        began = time.process_time()
        read(text)
        return time.process_time() - began

    small = min(seconds(20_000) for _ in range(3))
    large = min(seconds(160_000) for _ in range(2))
    return large < max(24 * small, 0.1)


def test_the_largest_plan_is_read_within_a_second_or_two() -> None:
    text = "".join(f"## Task {k} (parallel)\nreads: src/{k}\nDo it.\n\n" for k in range(1, 40_000))
    assert MAX_DOCUMENT * 0.8 < len(text) < MAX_DOCUMENT * 1.2
    began = time.perf_counter()
    assert len(plan(text).tasks) == 39_999
    within(2.0, began)


def test_the_check_of_time_sees_what_is_not_linear() -> None:
    """The negative control: a reader that looks back from every tenth place fails the same check."""
    assert not is_about_linear(
        lambda text: [text.count("y", 0, at) for at in range(0, len(text), 10)], lambda n: "x" * n
    )
