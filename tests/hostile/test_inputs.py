"""Bad documents and bad data through the real command line: a clear message with its place, the right exit code, no
traceback, in little time and little memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import pytest

from hostile.project import Project, Said

SECONDS = 20.0
"""Generous: on a quiet machine each takes a fraction of one."""
MEGABYTES = 300.0
ERROR_BYTES = 60_000

VALUE = '<transform:value id="v">%s</transform:value>'
READ = '<source:file id="f" path="in" format="%s"/>'
MEGA = 1_000_000


class Case(NamedTuple):
    """A bad thing: what is written, what is called, and what must be said."""

    code: int
    says: str
    document: str | bytes | None = None
    """All of it, or the body of the `<workflow>` when `front` is given."""
    front: str | None = None
    args: tuple[str, ...] = ()
    data: bytes | Callable[[], bytes] | None = None
    env: dict[str, str] = {}  # noqa: RUF012 - never changed
    name: str = "in"


def flow(body: str) -> str:
    return f"<workflow>\n{body}\n</workflow>\n"


def value(expression: str, code: int, says: str) -> Case:
    return Case(code, says, VALUE % expression, "")


def data(form: str, says: str, content: bytes | Callable[[], bytes]) -> Case:
    return Case(1, says, READ % form, "", data=content)


def given(code: int, says: str, front: str, *args: str, **more: object) -> Case:
    return Case(code, says, "", front, args, **more)  # type: ignore[arg-type]


TOO_LONG = "WEFT403: the expression has"
COSTS = "ExpressionError: the expression costs too much"
BOMB = "---\nx-a: &a [1,1,1]\n" + "".join(
    f"x-{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
NESTED = "".join(f"<if id='a{number}' condition='true'><then>" for number in range(10_000))

DOCUMENTS = {
    "10,000 levels": Case(65, "WEFT209: elements are nested more than 64 deep", flow(NESTED + "</then></if>" * 10_000)),
    "10,000 levels, not closed": Case(65, "WEFT209: elements are nested more than 64 deep", flow(NESTED)),
    "one line of 10 MB": Case(65, "WEFT104: the document has 10,000,021 bytes", b"<workflow>" + b"a" * 10 * MEGA + b"</workflow>"),
    "a million backticks": Case(65, "WEFT202: this code fence is never closed", flow("`" * MEGA)),
    "a million <": Case(0, "WEFT240: the workflow has no nodes", flow("<" * MEGA)),
    "a million {{": Case(65, "WEFT402: this {{ is not closed", flow(f"<transform:template id='t'>{'{{' * MEGA}</transform:template>")),
    "a million [ in YAML": Case(65, "WEFT118: lists and objects are nested more than 100", flow(f"<source:value id='t'>{'[' * MEGA}</source:value>")),
    "a million - in YAML": Case(65, "WEFT118: lists and objects are nested more than 100", flow(f"<source:value id='t'>{'- ' * 900_000}</source:value>")),
    "a YAML bomb": Case(65, "doc.flow.md:2:6: error WEFT112: anchors are not allowed", f"{BOMB}---\n{flow('')}"),
    "a YAML tag": Case(65, "doc.flow.md:2:6: error WEFT113: the tag", f"---\nx-a: !!python/object/apply:os.system ['touch made']\n---\n{flow('')}"),
    "a recursive alias": Case(65, "WEFT112: aliases are not allowed", f"---\nx-a: &a [*a]\n---\n{flow('')}"),
    "5,000 digits": Case(65, "has more than 64 bits", f"---\nx-a: {'9' * 5000}\n---\n{flow('')}"),
    "a NUL": Case(65, "doc.flow.md:1:11: error WEFT103: the document has a NUL byte at byte offset 10", b"<workflow>\0</workflow>"),
    "Latin-1": Case(65, "WEFT101: the document is not UTF-8: byte 0xe9 at byte offset 0", b"\xe9<workflow></workflow>"),
    "UTF-16": Case(65, "WEFT102: the document is UTF-16 or UTF-32", flow("").encode("utf-16")),
    "nothing": Case(65, "WEFT201: the document has no `<workflow>`", b""),
    "a DOCTYPE": Case(65, "WEFT204: `<!DOCTYPE` is not allowed", '<!DOCTYPE x [<!ENTITY lol "lol">]>\n' + flow("&lol;")),
    "50,000 errors": Case(65, "WEFT210: unknown tag `<foo>`", flow("\n".join(f"<foo id='a{n}'/>" for n in range(50_000)))),
    "40,000 equal ids": Case(65, "WEFT232: the id `a` is taken", flow("<delay id='a' duration='1s'/>\n" * 40_000)),
    "a device": Case(65, "WEFT105: this is a device, a pipe or a socket", args=("/dev/zero",)),
    "a folder": Case(66, "'.' is a folder, not a document", args=(".",)),
    "no file": Case(66, "there is no file 'nope.flow.md'", args=("nope.flow.md",)),
}  # fmt: skip

EXPRESSIONS = {
    "half a million (": value("(" * 500_000, 65, TOO_LONG),
    "60,000 (": value("(" * 60_000, 65, "is nested more than 64 levels deep"),
    "60,000 -": value("-" * 60_000 + "1", 65, "is nested more than 64 levels deep"),
    "16,000 ?": value("1 ? " * 16_000 + "1", 65, "is nested more than 64 levels deep"),
    "5,000 lambdas": value("map(x, y => " * 5_000, 65, "is nested more than 64 levels deep"),
    "60,000 digits": value("9" * 60_000, 65, "error WEFT4"),
    "a text of 10^9": value("repeat('a', 1000000000)", 1, COSTS),
    "a times 10^9": value("'a' * 1000000000", 1, '`*` needs two numbers, not text "a" and number 1000000000'),
    "a range of 10^12": value("range(1000000000000)", 1, COSTS),
    "10^8 rounds": value("map(range(10000), x => map(range(10000), y => x))", 1, COSTS),
    "9^9^9": value("pow(9, pow(9, 9))", 1, "does not fit into 64 bits"),
    "doubling a text": value("reduce(range(60), (a, x) => a + a, 'aaaaaaaa')", 1, COSTS),
    "doubling a list": value("reduce(range(60), (a, x) => [...a, ...a], [1])", 1, COSTS),
    "doubling by nesting": value("reduce(range(100), (a, x) => [a, a], 1)", 1, COSTS),
    "a product of 10^10": value("product(range(100000), range(100000))", 1, COSTS),
    "a replacement of 10^10": value("replace(repeat('a', 100000), 'a', repeat('b', 100000))", 1, COSTS),
    "(a+)+$": value("test(repeat('a', 40) + '!', '(a+)+$')", 0, ""),
    "(a*)*b": value("test(repeat('a', 100000), '(a*)*(a*)*(a*)*b')", 1, COSTS),
    "a{1000}{1000}{1000}": value("test('a', '((a{1000}){1000}){1000}')", 1, "cannot be used: it counts too many repetitions"),
    "a pattern of 100,000": value("test('a', repeat('(', 100000))", 1, "a pattern has at most 1,000 characters"),
    "a foreach of 10^12": Case(1, COSTS, f"<foreach id='e' collection='range(1000000000000)'>{VALUE % 1}</foreach>", ""),
}  # fmt: skip

DATA = {
    "JSON 5,000 deep": data("json", "'in', line 1, column 101: not JSON: nested deeper than 100 levels", b"[" * 5000 + b"]" * 5000),
    "JSON a million deep": data("json", "not JSON: nested deeper than 100 levels", b"[" * MEGA),
    "JSON objects 50,000 deep": data("json", "not JSON: nested deeper than 100 levels", b'{"a":' * 50_000),
    "JSON NaN": data("json", "'in', line 1, column 7: not JSON: NaN is not a number of JSON", b'{"a": NaN}'),
    "JSON 1e999": data("json", "not JSON: inf is not JSON at $[0]", b"[1e999]"),
    "JSON equal names": data("json", "'in', line 2, column 2: not JSON: the name 'a' occurs twice in one object", b'{"a": 1,\n "a": 2}'),
    "JSON equal names among many": data("json", "the name 'a' occurs twice in one object", b"[" + b'{"a": {}, "b": "x"},' * 20_000 + b'{"a": 1, "a": 2}]'),
    "JSON 2^63": data("json", "not JSON: an integer beyond 64 bits at $[0]", b"[9223372036854775808]"),
    "JSON a million digits": data("json", "not JSON: an integer has too many digits", b"9" * MEGA),
    "JSON half a character": data("json", "a lone surrogate is not text at $[0]", b'["\\ud800"]'),
    "a YAML file with anchors": data("yaml", "'in': not valid YAML: line 1, column 4: anchors are not allowed", b"a: &a [1]\nb: [*a,*a]\n"),
    "a YAML file 100,000 deep": data("yaml", "nested more than 100 deep", b"[" * 100_000),
    "a YAML file with a tag": data("yaml", "is not allowed (remove it; types are those of JSON)", b"!!python/object/apply:os.system ['touch made']"),
    "a csv file of one quote": data("csv", "FormatError: 'in'", b'a,b\n"' + b"1" * MEGA),
    "text in UTF-16": data("text", "'in': not UTF-8 at byte 0 (0xff) (it seems to be UTF-16)", "héllo".encode("utf-16")),
} | {
    f"bytes as {form}": data(form, "'in': not UTF-8 at byte 128 (0x80) (save it as UTF-8)", bytes(range(256)) * 100)
    for form in ("json", "jsonl", "csv", "lines", "yaml", "text")
}  # fmt: skip

X = "config: {x: {type: %s}}"
GIVEN = {
    "--set without =": given(64, "--set 'x': not a NAME=VALUE", X % "number", "--set", "x"),
    "--set of nothing": given(65, "--set y: the document has no config value 'y'", X % "number", "--set", "y=1"),
    "--set __x__": given(65, "--set __x__: the document has no config value", X % "number", "--set", "__x__=1"),
    "--set with a wrong type": given(65, "--set x must be a number, not text 'abc'", X % "number", "--set", "x=abc"),
    "--set NaN": given(65, "--set x must be a number, not text 'NaN'", X % "number", "--set", "x=NaN"),
    "--set 2^70": given(65, "an integer beyond 64 bits at $.x", X % "number", "--set", "x=1180591620717411303424"),
    "--set 900 deep": given(65, "nested deeper than 100 levels", X % "array", "--set", f"x={'[' * 900}{']' * 900}"),
    "--set 50,000 deep": given(65, "--set x must be a list, not text", X % "array", "--set", f"x={'[' * 50_000}"),
    "--input {": given(65, "--input: not JSON", "input: {x: object}", "--input", "{"),
    "--input [1]": given(65, "--input must be a JSON object, not list [1]", "input: {x: object}", "--input", "[1]"),
    "--input NaN": given(65, "--input: not JSON", "input: {x: object}", "--input", '{"x": {"a": NaN}}'),
    "--input no file": given(66, "--input: there is no file nope", "input: {x: object}", "--input", "@nope"),
    "--input a folder": given(65, "--input: .: Is a directory", "input: {x: object}", "--input", "@."),
    "--input bytes": given(65, "--input: not JSON", "input: {x: object}", "--input", "@in", data=bytes(range(256))),
    "--input 5,000 deep": given(65, "--input: not JSON", "input: {x: object}", "--input", "@in", data=b'{"x":' * 5000 + b"1" + b"}" * 5000),
    "--input 600 deep": given(65, "nested deeper than 100 levels", "input: {x: object}", "--input", "@in", data=b'{"x":' * 600 + b"1" + b"}" * 600),
    "--env-file rubbish": given(65, "in:2: not a NAME=value line", "", "--env-file", "in", data=b"A=1\nnot a line\n"),
    "--env-file bytes": given(65, "--env-file: in: 'utf-8' codec can't decode byte 0x80", "", "--env-file", "in", data=bytes(range(256))),
    "--env-file no file": given(66, "--env-file: there is no file nope", "", "--env-file", "nope"),
    "--jobs 0": given(64, "invalid value for '--jobs'", "", "--jobs", "0"),
    "--timeout 5": given(64, "--timeout: timeout is '5', which is not a duration", "", "--timeout", "5"),
    "--journal a URL": given(64, "journals at an address are not supported yet", "", "--journal", "postgresql://x/y"),
    "--journal a file": given(73, "weft.toml: file exists", "", "--journal", "weft.toml"),
    "WEFT_JOBS rubbish": given(65, "WEFT_JOBS: jobs is 'x'; it must be a whole number", "", env={"WEFT_JOBS": "x"}),
    "weft.toml rubbish": given(65, "weft.toml: Invalid statement (at line 1, column 1)", "", data=b"= =", name="weft.toml"),
    "weft.toml bytes": given(65, "weft.toml: 'utf-8' codec can't decode byte 0x80", "", data=bytes(range(256)), name="weft.toml"),
    "weft.toml unknown": given(65, "unknown setting 'jobbs'", "", data=b"jobbs = 1\n", name="weft.toml"),
}  # fmt: skip

LARGE = {
    "a document of 100 MB": Case(65, "WEFT104: the document has 100,000,000 bytes; the limit is 2,097,152", b"x" * 100 * MEGA),
    "JSON of 100 MB": data("json", "SizeError: 'in' is larger than 64 MiB", lambda: b'["' + b"a" * 100 * MEGA + b'"]'),
    "csv of 100 MB": data("csv", "SizeError: 'in' is larger than 64 MiB", lambda: b"a,b\n" + b"1,2\n" * 25 * MEGA),
    "csv of one field": data("csv", "SizeError: 'in' is larger than 64 MiB", lambda: b'a,b\n"' + b"1" * 100 * MEGA),
    "one line of 100 MB": data("lines", "SizeError: 'in' is larger than 64 MiB", lambda: b"x" * 100 * MEGA),
    "text of 100 MB": data("text", "SizeError: 'in' is larger than 64 MiB", lambda: b"x" * 100 * MEGA),
    "YAML of 8 million values": data("yaml", "line 400000, column 3: more than 400,000 values", lambda: b"- 1\n" * 8 * MEGA),
}  # fmt: skip


def run(project: Project, case: Case) -> Said:
    if case.data is not None:
        (project.folder / case.name).write_bytes(case.data() if callable(case.data) else case.data)
    if case.document is None:
        return project.cli("run", *case.args, env=case.env)
    if case.front is not None:
        project.write(str(case.document), case.front)
    else:
        content = case.document if isinstance(case.document, bytes) else case.document.encode()
        (project.folder / "doc.flow.md").write_bytes(content)
    return project.cli("run", "doc.flow.md", *case.args, env=case.env)


def judge(project: Project, case: Case) -> None:
    said = run(project, case)
    assert said.code == case.code, said.text[:2000]
    assert case.says in said.text
    assert "Traceback" not in said.text
    assert "internal error" not in said.text
    assert len(said.err) < ERROR_BYTES
    assert said.seconds < SECONDS
    assert said.megabytes < MEGABYTES
    assert not (project.folder / "made").exists()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_is_refused_in_words(project: Project, name: str) -> None:
    judge(project, DOCUMENTS[name])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if number % 4 == 0 else pytest.mark.torture)
        for number, name in enumerate(EXPRESSIONS)
    ],
)
def test_no_expression_takes_the_machine_with_it(project: Project, name: str) -> None:
    judge(project, EXPRESSIONS[name])


@pytest.mark.parametrize("name", DATA)
def test_bad_data_fails_its_node_and_says_where_it_is_bad(project: Project, name: str) -> None:
    judge(project, DATA[name])


@pytest.mark.parametrize("name", GIVEN)
def test_bad_arguments_and_settings_are_refused_before_anything_runs(project: Project, name: str) -> None:
    judge(project, GIVEN[name])
    assert not (project.folder / ".weft").exists()


@pytest.mark.torture
@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_large_is_refused_without_being_held(project: Project, name: str) -> None:
    judge(project, LARGE[name])


def test_a_pipe_as_a_document_is_refused_without_waiting_for_a_writer(project: Project) -> None:
    os.mkfifo(project.folder / "pipe")
    said = project.cli("run", "pipe")
    assert said.code == 65
    assert said.text.startswith("pipe:1:1: error WEFT105: this is a device, a pipe or a socket, not a regular file")


def test_the_bounds_of_these_tests_bite(project: Project) -> None:
    """The negative control: a run that takes memory is seen to take it."""
    body = "<python id='p' isolation='thread'>\n```python\ndef main():\n    return len(bytearray(400_000_000))\n```\n</python>"
    said = project.cli("run", str(project.write(body)))
    assert said.code == 0
    assert said.megabytes > MEGABYTES
