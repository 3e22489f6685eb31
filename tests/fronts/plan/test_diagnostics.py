"""What is wrong with plans: every case with its place, its whole message and its hint."""

from __future__ import annotations

import pytest

from weft.errors import DocumentError
from weft.fronts.plan.codes import CODES
from weft.fronts.plan.document import read_plan
from weft.text.source import decode

# fmt: off
CASES: list[tuple[str, bytes, list[str]]] = [
    ("nothing", b'', [
        '1:1-1 error WEFT601 there is no task in this plan | a task begins with a line like `## Task 1`; `weft plan prompt` helps to write a plan',
    ]),
    ("only blanks", b'\n \t\n', [
        '1:1-1 error WEFT601 there is no task in this plan | a task begins with a line like `## Task 1`; `weft plan prompt` helps to write a plan',
    ]),
    ("prose without a task", b'# My plan\n\nDo everything.\n', [
        '1:1-2 error WEFT601 there is no task in this plan | a task begins with a line like `## Task 1`; `weft plan prompt` helps to write a plan',
    ]),
    ("a heading of level one", b'# Task 1\nDo it.\n', [
        "1:1-2 error WEFT606 a task's heading has two #, this one has 1 | write `## Task 1`; if it is no task, call it something else",
    ]),
    ("a heading of level three", b'## Task 1\nDo it.\n### Task 2\nAnd that.\n', [
        "3:1-4 error WEFT606 a task's heading has two #, this one has 3 | write `## Task 2`; if it is no task, call it something else",
    ]),
    ("a heading of level six", b'## Task 1\nDo it.\n###### Task 2: Deep\n', [
        "3:1-7 error WEFT606 a task's heading has two #, this one has 6 | write `## Task 2: Deep`; if it is no task, call it something else",
    ]),
    ("no blank behind the hashes", b'##Task 3\nDo it.\n', [
        '1:1-3 error WEFT606 a blank is missing behind ## | write `## Task 3`',
    ]),
    ("lower case", b'## task 1\nDo it.\n', [
        "1:4-8 error WEFT606 a task's heading says `Task`, this one says 'task' | write `## Task 1`",
    ]),
    ("upper case", b'  ## TASK 1: Loud\nDo it.\n', [
        "1:6-10 error WEFT606 a task's heading says `Task`, this one says 'TASK' | write `## Task 1: Loud`",
    ]),
    ("the plural with a number", b'## Tasks 1\nDo it.\n', [
        "1:4-9 error WEFT606 a task's heading says `Task`, this one says 'Tasks' | write `## Task 1`",
    ]),
    ("no blank before the number", b'## Task1\nDo it.\n', [
        '1:4-9 error WEFT606 a blank is missing between `Task` and its number | write it like `## Task 2` or `## Task 2: a title (parallel)`',
    ]),
    ("a hash before the number", b'## Task #1\nDo it.\n', [
        '1:9-11 error WEFT606 behind `Task` stands no whole number | write it like `## Task 2` or `## Task 2: a title (parallel)`',
    ]),
    ("a word before the number", b'## Task No. 1\nDo it.\n', [
        '1:9-14 error WEFT606 behind `Task` stands no whole number | write it like `## Task 2` or `## Task 2: a title (parallel)`',
    ]),
    ("a number as a word", b'## Task two\nDo it.\n', [
        "1:9-12 error WEFT606 the number of a task is written in digits, not 'two' | write it like `## Task 2` or `## Task 2: a title (parallel)`",
    ]),
    ("a number as a word with a title", b'## Task Three: Add CI\nDo it.\n', [
        "1:9-14 error WEFT606 the number of a task is written in digits, not 'Three' | write it like `## Task 2` or `## Task 2: a title (parallel)`",
    ]),
    ("a sign before the number", b'## Task -1\nDo it.\n', [
        '1:9-11 error WEFT606 behind `Task` stands no whole number | write it like `## Task 2` or `## Task 2: a title (parallel)`',
    ]),
    ("zero", b'## Task 0\nDo it.\n', [
        '1:9-10 error WEFT603 there is no task 0 | tasks are numbered from 1 on',
    ]),
    ("zeros", b'## Task 000\nDo it.\n', [
        '1:9-12 error WEFT603 there is no task 0 | tasks are numbered from 1 on',
    ]),
    ("a million", b'## Task 1000000\nDo it.\n', [
        '1:9-16 error WEFT603 the task number is over 999,999 | number tasks from 1 on',
    ]),
    ("a number of many digits", b"## Task " + b"9" * 5000 + b"\nDo it.\n", [
        '1:9-5009 error WEFT603 the task number is over 999,999 | number tasks from 1 on',
    ]),
    ("full-width digits", b'## Task \xef\xbc\x92\nDo it.\n', [
        "1:9-10 error WEFT604 the task number '２' has other digits than 0 to 9 | write it like `## Task 2`",
    ]),
    ("arabic digits", b'## Task \xd9\xa3: x\nDo it.\n', [
        "1:9-10 error WEFT604 the task number '٣' has other digits than 0 to 9 | write it like `## Task 3`",
    ]),
    ("a fraction", b'## Task 1.2\nDo it.\n', [
        '1:10-12 error WEFT606 a heading names one task by one whole number | give each task a heading and a number of its own',
    ]),
    ("a range", b'## Task 1-3\nDo it.\n', [
        '1:10-12 error WEFT606 a heading names one task by one whole number | give each task a heading and a number of its own',
    ]),
    ("two numbers", b'## Task 1, 2\nDo it.\n', [
        '1:10-13 error WEFT606 a heading names one task by one whole number | give each task a heading and a number of its own',
    ]),
    ("two numbers with a word", b'## Task 1 and 2\nDo it.\n', [
        '1:10-16 error WEFT606 a heading names one task by one whole number | give each task a heading and a number of its own',
    ]),
    ("an ordinal", b'## Task 3rd\nDo it.\n', [
        "1:9-12 error WEFT606 '3rd' is not a task number | write it like `## Task 2` or `## Task 2: a title (parallel)`",
    ]),
    ("a title without a colon", b'## Task 3 Add CI\nDo it.\n', [
        '1:11-17 error WEFT606 a title needs a colon before it | write `## Task 3: Add CI`',
    ]),
    ("a title behind a point", b'## Task 3. Add CI\nDo it.\n', [
        '1:10-18 error WEFT606 a title needs a colon before it | write `## Task 3: Add CI`',
    ]),
    ("a title behind a bracket", b'## Task 3) Add CI\nDo it.\n', [
        '1:10-18 error WEFT606 a title needs a colon before it | write `## Task 3: Add CI`',
    ]),
    ("a remark in brackets", b'## Task 3 (later)\nDo it.\n', [
        '1:11-18 error WEFT606 a title needs a colon before it | write `## Task 3: (later)`',
    ]),
    ("a misspelt mark", b'## Task 2 (paralel)\nDo it.\n', [
        "1:11-20 error WEFT606 '(paralel)' behind the number is not `(parallel)` | write `## Task 2 (parallel)`",
    ]),
    ("an unclosed mark", b'## Task 2 (parallel\nDo it.\n', [
        "1:11-20 error WEFT606 '(parallel' behind the number is not `(parallel)` | write `## Task 2 (parallel)`",
    ]),
    ("a mark in other brackets", b'## Task 2 [parallel]\nDo it.\n', [
        "1:11-21 error WEFT606 '[parallel]' behind the number is not `(parallel)` | write `## Task 2 (parallel)`",
    ]),
    ("a mark without brackets", b'## Task 2 parallel\nDo it.\n', [
        "1:11-19 error WEFT606 'parallel' behind the number is not `(parallel)` | write `## Task 2 (parallel)`",
    ]),
    ("a mark in words", b'## Task 2 (in parallel)\nDo it.\n', [
        "1:11-24 error WEFT606 '(in parallel)' behind the number is not `(parallel)` | write `## Task 2 (parallel)`",
    ]),
    ("a mark that is not last", b'## Task 3 (parallel) extra\nDo it.\n', [
        '1:11-27 error WEFT606 `(parallel)` is not at the end of the heading | write `## Task 3: extra (parallel)`',
    ]),
    ("a mark before a title", b'## Task 3 (parallel): Add CI\nDo it.\n', [
        '1:11-29 error WEFT606 `(parallel)` is not at the end of the heading | write `## Task 3: Add CI (parallel)`',
    ]),
    ("a mark inside a title", b'## Task 3: Add (parallel) CI\nDo it.\n', [
        '1:16-26 warning WEFT611 this is part of the title: the task is not parallel | end the heading with (parallel), or leave the brackets out',
    ]),
    ("a misspelt mark behind a title", b'## Task 3: Add CI (parrallel)\nDo it.\n', [
        '1:19-30 warning WEFT611 this is part of the title: the task is not parallel | end the heading with (parallel), or leave the brackets out',
    ]),
    ("an underlined heading", b'## Task 1\nDo it.\n\nTask 2\n------\nAnd that.\n', [
        "4:1-7 error WEFT606 a task's heading begins with ## | write `## Task 2`",
    ]),
    ("a bold line", b'## Task 1\nDo it.\n\n**Task 2**\nAnd that.\n', [
        '4:1-11 warning WEFT607 this is not a heading: it is text, not a task | for a task, write it like `## Task 2` or `## Task 2: a title (parallel)`, at the start of its line',
    ]),
    ("a heading in a quote", b'## Task 1\nDo it.\n> ## Task 2\n> And that.\n', [
        '3:3-12 warning WEFT607 this heading stands in a list, a quote or indented code: it is text, not a task | for a task, write it like `## Task 2` or `## Task 2: a title (parallel)`, at the start of its line',
    ]),
    ("a heading in a list", b'## Task 1\nDo it.\n- ## Task 2\n', [
        '3:3-12 warning WEFT607 this heading stands in a list, a quote or indented code: it is text, not a task | for a task, write it like `## Task 2` or `## Task 2: a title (parallel)`, at the start of its line',
    ]),
    ("a heading with four blanks before it", b'## Task 1\nDo it.\n    ## Task 2\n', [
        '3:5-14 warning WEFT607 this heading stands in a list, a quote or indented code: it is text, not a task | for a task, write it like `## Task 2` or `## Task 2: a title (parallel)`, at the start of its line',
    ]),
    ("a heading with a tab before it", b'## Task 1\nDo it.\n\t## Task 2\n', [
        '3:2-11 warning WEFT607 this heading stands in a list, a quote or indented code: it is text, not a task | for a task, write it like `## Task 2` or `## Task 2: a title (parallel)`, at the start of its line',
    ]),
    ("the heading Tasks", b'## Tasks\n\n## Task 1\nDo it.\n', [
        '1:1-9 warning WEFT607 this heading has no number: it is text, not a task | for a task, write it like `## Task 2` or `## Task 2: a title (parallel)`',
    ]),
    ("the heading Task", b'## Task 1\nDo it.\n## Task\n', [
        '3:1-8 warning WEFT607 this heading has no number: it is text, not a task | for a task, write it like `## Task 2` or `## Task 2: a title (parallel)`',
    ]),
    ("two tasks with one number", b'## Task 1\nDo it.\n\n## Task 2\nThat.\n\n## Task 01: Again\nDo it.\n', [
        '7:1-18 error WEFT602 there are two tasks 1; the first is on line 1 | give one of them another number',
    ]),
    ("three tasks with one number", b'## Task 1\na\n## Task 1\nb\n## Task 1\nc\n', [
        '3:1-10 error WEFT602 there are two tasks 1; the first is on line 1 | give one of them another number',
        '5:1-10 error WEFT602 there are two tasks 1; the first is on line 1 | give one of them another number',
    ]),
    ("an empty body", b'## Task 1\n\n## Task 2\nDo it.\n', [
        '1:1-10 error WEFT605 task 1 has no text | write below the heading what is to be done',
    ]),
    ("an empty body at the end", b'## Task 1\nDo it.\n## Task 2 (parallel)', [
        '3:1-21 error WEFT605 task 2 has no text | write below the heading what is to be done',
    ]),
    ("a body of options", b'## Task 1\nreads: src\n\n## Task 2\nDo it.\n', [
        '1:1-10 error WEFT605 task 1 has options but no text | write below the heading what is to be done',
    ]),
    ("a fence that hides a task", b'## Task 1\n```sh\nmake\n\n## Task 2\nDo it.\n## Task 3\nDo it.\n', [
        '2:1-4 error WEFT608 this code fence is never closed: 2 task headings behind it would be code | close it with a line that is just ```',
    ]),
    ("a fence that is never closed", b'## Task 1\nDo it.\n~~~~\nmake\n', [
        '3:1-5 warning WEFT609 this code fence is never closed | close it with a line that is just ~~~~',
    ]),
    ("fences out of step", b'## Task 1\n```\nmake\n## Task 2\n```\nDo it.\n', [
        '4:1-10 warning WEFT610 this is fenced code: there is no task 2 | look whether the fences before it are closed; nothing is to be done if it is meant as text',
    ]),
    ("a task in a comment", b'## Task 1\nDo it.\n<!--\n## Task 2\nDo not.\n-->\n', [
        '4:1-10 warning WEFT610 task 2 stands in a comment, and is a task all the same | delete it, or put it into fenced code',
    ]),
    ("an option twice", b'## Task 1\nreads: a\nwrites: b\nreads: c\nDo it.\n', [
        '4:1-6 error WEFT620 reads: is given twice in this task, first on line 2 | write one reads: with all of it',
    ]),
    ("paths without a path", b'## Task 1\nreads:\nDo it.\n', [
        '2:1-7 error WEFT621 reads: has no value | name paths: `reads: src/**, docs/`, or write `none`',
    ]),
    ("a need without a number", b'## Task 1\nneeds: \nDo it.\n', [
        '2:1-7 error WEFT621 needs: has no value | name tasks by number: `needs: 1, 2`, or write `none`',
    ]),
    ("verify without a command", b'## Task 1\nverify:\nDo it.\n', [
        '2:1-8 error WEFT621 verify: has no value | write a command: `verify: make test`',
    ]),
    ("an absolute path", b'## Task 1\nreads: src/a.py, /etc/passwd\nDo it.\n', [
        "2:18-29 error WEFT622 '/etc/passwd' is not relative | paths are relative to the repository: `src/auth/**`",
    ]),
    ("a path outside", b'## Task 1\nwrites: a/../../b\nDo it.\n', [
        "2:9-18 error WEFT622 'a/../../b' leads out of the repository | paths are relative to the repository: `src/auth/**`",
    ]),
    ("a path at home", b'## Task 1\nwrites: ~/b\nDo it.\n', [
        "2:9-12 error WEFT622 '~/b' is not relative | paths are relative to the repository: `src/auth/**`",
    ]),
    ("a path of Windows", b'## Task 1\nwrites: src\\a.py C:/x\nDo it.\n', [
        "2:9-17 error WEFT622 'src\\a.py' has a backslash | paths are relative to the repository: `src/auth/**`",
        "2:18-22 error WEFT622 'C:/x' is not relative | paths are relative to the repository: `src/auth/**`",
    ]),
    ("a path in git's folder", b'## Task 1\nwrites: .git/hooks/**\nDo it.\n', [
        "2:9-22 error WEFT622 '.git/hooks/**' is git's own | paths are relative to the repository: `src/auth/**`",
    ]),
    ("braces in a path", b'## Task 1\nwrites:\n- src/{a,b}.py\nDo it.\n', [
        "3:3-9 error WEFT622 'src/{a' has braces, which are no wildcards here | paths are relative to the repository: `src/auth/**`",
        "3:10-15 error WEFT622 'b}.py' has braces, which are no wildcards here | paths are relative to the repository: `src/auth/**`",
    ]),
    ("stars inside a name", b'## Task 1\nwrites: src/**.py\nDo it.\n', [
        "2:9-18 error WEFT622 'src/**.py' has a ** that does not stand alone between slashes | paths are relative to the repository: `src/auth/**`",
    ]),
    ("needs in words", b'## Task 1\nneeds: a database\nDo it.\n', [
        "2:8-9 error WEFT623 'a' is not the number of a task | name tasks by number: `needs: 1, 2`, or write `none`",
    ]),
    ("a need of an unknown task", b'## Task 1\na\n## Task 2\nb\n## Task 3\nc\n## Task 7\nneeds: 1, 8\nDo it.\n', [
        '8:11-12 error WEFT624 task 7 needs task 8, and there is none | there are 1-3, 7',
    ]),
    ("a need of itself", b'## Task 4\nneeds: 4\nDo it.\n', [
        '2:8-9 error WEFT625 task 4 needs itself | leave the number out',
    ]),
    ("a need of a later task", b'## Task 1\nneeds: 2\nDo it.\n## Task 2\nDo it.\n', [
        '2:8-9 error WEFT625 task 1 needs task 2, which comes later | tasks run in the order of their numbers: give it a smaller one',
    ]),
    ("needs in a circle", b'## Task 1\nneeds: 3\na\n## Task 2\nneeds: 1\nb\n## Task 3\nneeds: 2\nc\n', [
        '2:8-9 error WEFT626 tasks 1-3 need each other | remove one of these needs',
        '5:8-9 error WEFT626 tasks 1-3 need each other | remove one of these needs',
        '8:8-9 error WEFT626 tasks 1-3 need each other | remove one of these needs',
    ]),
    ("a need inside a block", b'## Task 1 (parallel)\na\n## Task 2 (parallel)\nneeds: 1\nb\n## Task 3 (parallel)\nc\n', [
        '4:8-9 warning WEFT628 task 2 is marked (parallel), but needs task 1: it does not run beside it | leave one of them out if that is not meant',
    ]),
    ("a misspelt option", b'## Task 1\nwrite: src\nDo it.\n', [
        '2:1-6 warning WEFT627 `write:` is no option: the line is part of the text | did you mean `writes:`?',
    ]),
    ("an option in upper case", b'## Task 1\nReads: src\nDo it.\n', [
        '2:1-6 warning WEFT627 `Reads:` is no option: the line is part of the text | did you mean `reads:`?',
    ]),
    ("an option as an item", b'## Task 1\n- reads: src\nDo it.\n', [
        "2:3-8 warning WEFT627 `reads:` is no option: the line is part of the text | write it without the list's marker",
    ]),
    ("an option that comes too late", b'## Task 1\nDo it.\nwrites: src\n', [
        '3:1-12 warning WEFT627 `writes:` is part of the text here, not an option | options stand first below the heading',
    ]),
    ("bytes that are no UTF-8", b'## Task 1\nDo \xff it.\n', [
        '2:4-5 error WEFT101 the document is not UTF-8: byte 0xff at byte offset 13 | save the document as UTF-8',
    ]),
    ("UTF-16", b'\xff\xfe#\x00#\x00 \x00T\x00a\x00s\x00k\x00 \x001\x00\n\x00D\x00o\x00 \x00i\x00t\x00.\x00\n\x00', [
        '1:1-2 error WEFT102 the document is UTF-16 or UTF-32 (byte order mark at byte 0) | save the document as UTF-8',
    ]),
    ("a NUL", b'## Task 1\nDo\x00 it.\n', [
        '2:3-4 error WEFT103 the document has a NUL byte at byte offset 12 | is this a text file?',
    ]),
    ("CRLF", b'## Task 1\r\nDo it.\r\n## Task 1\r\nDo it.\r\n', [
        '3:1-10 error WEFT602 there are two tasks 1; the first is on line 1 | give one of them another number',
    ]),
    ("lone CR", b'## Task 1\rDo it.\r## task 2\rDo it.\r', [
        "3:4-8 error WEFT606 a task's heading says `Task`, this one says 'task' | write `## Task 2`",
    ]),
    ("mixed line ends", b'## Task 1\r\nDo it.\n  ## Task 2 (paralel)\rDo it.\r\n', [
        "3:13-22 error WEFT606 '(paralel)' behind the number is not `(parallel)` | write `## Task 2 (parallel)`",
    ]),
    ("a byte order mark", b'\xef\xbb\xbf## Task 1\n\n## Task 1\nx', [
        '1:1-10 error WEFT605 task 1 has no text | write below the heading what is to be done',
        '3:1-10 error WEFT602 there are two tasks 1; the first is on line 1 | give one of them another number',
    ]),
    ("everything at once", b'# Task 1\nx\n## Task 2\n\n## Task 2 (parallel)\nneeds: 2\nreads: ../x\nx\n## Task 0\nx\n', [
        "1:1-2 error WEFT606 a task's heading has two #, this one has 1 | write `## Task 1`; if it is no task, call it something else",
        '3:1-10 error WEFT605 task 2 has no text | write below the heading what is to be done',
        '5:1-21 error WEFT602 there are two tasks 2; the first is on line 3 | give one of them another number',
        '6:8-9 error WEFT625 task 2 needs itself | leave the number out',
        "7:8-12 error WEFT622 '../x' leads out of the repository | paths are relative to the repository: `src/auth/**`",
        '9:9-10 error WEFT603 there is no task 0 | tasks are numbered from 1 on',
    ]),
]
# fmt: on


def said(data: bytes) -> list[str]:
    """`line:column-end severity CODE message | hint` of every diagnostic."""
    try:
        found = read_plan(decode("plan.md", data)).diagnostics
    except DocumentError as error:
        found = error.diagnostics
    return [
        f"{d.line}:{d.column}-{d.end_column} {d.severity} {d.code} {d.message}" + (f" | {d.hint}" if d.hint else "")
        for d in found
    ]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_wrong_is_said_with_its_place_and_the_next_step(data: bytes, expected: list[str]) -> None:
    assert said(data) == expected


def test_every_code_has_a_case_and_every_case_a_documented_code() -> None:
    seen = {line.split()[2] for _, _, expected in CASES for line in expected}
    assert {code for code in seen if code.startswith("WEFT6")} == set(CODES)


@pytest.mark.parametrize(
    "line",
    [
        "## Task 1",
        "##  Task\t1  ",
        "   ## Task 1",
        "## Task 1:",
        "## Task 1: Add CI",
        "## Task 1 - Add CI",
        "## Task 1 \N{EM DASH} Add CI",
        "## Task 1:Add CI",
        "## Task 001",
        "## Task 999999",
        "## Task 1 (parallel)",
        "## Task 1(PARALLEL)",
        "## Task 1: Add CI ( Parallel )",
        "## Task 1: Add CI (optional)",
        "## Task 1: Make the loader parallel",
        "## Task 1 ##",
        "## Task 1: C# and F# ###",
    ],
)
def test_a_heading_as_it_may_be_is_taken_without_a_word(line: str) -> None:
    assert said(f"{line}\nDo it.\n".encode()) == []


@pytest.mark.parametrize(
    "text",
    [
        "### Steps\n1. Task one\n",
        "# Notes\n",
        "Task 2 is another matter.",
        "## Taskforce 7",
        "## Multitask 2",
        "### Tasks of the loader",
        "</task> <workflow> {{ x }} $(rm -rf /) `## Task 2`",
        "```\n# Task 1\n## Task 1\n```",
        "~~~~ md\n~~~\n## Task 1\n~~~~",
        "> ```\n> ## Task 1\n\nThe quote ended, and so did its fence.",
        "- ```\n  ## Task 1\n  ```",
        "a line with ``` in it\n",
        "``` not a fence, as there is a ` in it\n",
        "<!-- a comment -->",
        "Verify: that it works",
        "It needs: 3 things",
    ],
)
def test_text_of_a_task_may_be_anything(text: str) -> None:
    read = read_plan(decode("plan.md", f"## Task 1\nDo it.\n\n{text}".encode()))
    assert read.diagnostics == ()
    assert read.plan is not None
    assert [task.text for task in read.plan.tasks] == [f"Do it.\n\n{text}".strip()]
