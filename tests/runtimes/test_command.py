from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes.support import listing
from weft.backends.children import Children
from weft.errors import AttemptError
from weft.redaction import Vault
from weft.runtimes.base import AttemptContext, Output, World
from weft.runtimes.command import STDERR_KEPT, Command, end_of, exit_codes
from weft.runtimes.failures import CommandFailed

PATH = "/usr/local/bin:/usr/bin:/bin"

NASTY = [
    "$(touch canary)", "`touch canary`", "; touch canary", "| touch canary", "&& touch canary", "> canary", "'", '"',
    "\\", "\\\\", "$HOME", "${HOME}", "*", "?", "~", "#", "!", "\n touch canary\n", "\t", "-rf", "--", "-", "",
    " ", "a b", "{{ 1 + 1 }}", "${node.output}", "%s%n", "\x1b[31m", "ä😀", "\u202e", "a" * 1000, "$'\\x41'",
    "$((1+1))",
]  # fmt: skip


@pytest.fixture
def run(make_world: Callable[..., World]) -> Callable[..., Output]:
    """`run(settings, **context)`: the result of one command; `log` gets what it printed."""

    def go(settings: dict[str, Any], *, env: dict[str, str] | None = None, mask: Any = None, **context: Any) -> Output:
        async def main() -> Output:
            children = Children()
            try:
                world = make_world(children=children, env={"PATH": PATH, **(env or {})}, mask=mask)
                result = await Command().run(AttemptContext(world, "a[1]/b", **context), settings, None)
                assert isinstance(result, Output)
                return result
            finally:
                await children.close()

        return asyncio.run(main())

    return go


@pytest.fixture
def failure(run: Callable[..., Output]) -> Callable[..., AttemptError]:
    def go(*args: Any, **context: Any) -> AttemptError:
        with pytest.raises(AttemptError) as caught:
            run(*args, **context)
        return caught.value

    return go


def show(expression: str) -> list[str]:
    """Arguments of a program that prints a value as JSON."""
    return [sys.executable, "-c", f"import json, os, sys; print(json.dumps({expression}))"]


def test_text_loses_one_final_newline(run: Any) -> None:
    assert run({"command": "printf 'a\\nb\\n\\n'"}).value == "a\nb\n"
    assert run({"command": "printf 'a\\r\\n'"}).value == "a"
    assert run({"command": "printf a"}).value == "a"
    assert run({"command": ":"}) == Output("", exit_code=0, stderr="")


def test_output_is_read_as_asked(run: Any, failure: Any) -> None:
    assert run({"command": "echo '{\"a\": 1}'", "output": "json"}).value == {"a": 1}
    assert run({"command": "printf 'a\\r\\nb\\n\\nc'", "output": "lines"}).value == ["a", "b", "", "c"]
    error = failure({"command": "echo '{'", "output": "json"})
    assert (
        error.message
        == "the command's output, line 2, column 1: not JSON: expecting property name enclosed in double quotes"
    )
    assert run({"command": "printf '\\377'"}).value == "\ufffd"


def test_the_shell_stops_at_an_error_and_at_an_unset_variable(failure: Any, run: Any) -> None:
    error = failure({"command": "false\necho never"})
    assert (error.type, error.status, error.retryable) == ("CommandError", 1, True)
    assert error.message == "the command ended with exit code 1"
    error = failure({"command": "echo $nothing"})
    assert error.status == 2
    assert "nothing" in error.message
    assert run({"command": '# a comment with \' and "\nx=1\nfor i in 1 2; do\n  echo "$x$i"\ndone'}).value == "11\n12"


def test_the_end_of_stderr_is_in_the_error_and_all_of_it_on_the_record(failure: Any) -> None:
    error = failure({"command": "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; echo >&2; exit 3"})
    assert isinstance(error, CommandFailed)
    assert error.message == "the command ended with exit code 3: line 3\nline 4\nline 5\nline 6\nline 7"
    assert error.code == 3
    assert error.stderr == "".join(f"line {i}\n" for i in range(1, 8)) + "\n"


def test_a_signal_is_said(failure: Any) -> None:
    error = failure({"command": "kill -9 $$"})
    assert error.message == "the command was killed by SIGKILL (9)"
    assert (error.status, error.retryable, error.code) == (137, True, None)


def test_expected_exit_codes(run: Any, failure: Any) -> None:
    assert run({"command": "exit 1", "expect": "0 1"}).exit_code == 1
    assert run({"command": "exit 1", "expect": [1]}).exit_code == 1
    assert failure({"command": ":", "expect": 1}).status == 0
    assert exit_codes("0, 2") == {0, 2}
    for bad in ("x", -1, 256, "", [None]):
        with pytest.raises(AttemptError, match="is not a list of exit codes"):
            exit_codes(bad)


def test_arguments_are_passed_as_they_are(run: Any, project: Path) -> None:
    argv = [*show("sys.argv[1:]"), *NASTY, 5, 1.5, True, None, "after"]
    result = run({"argv": argv, "output": "json"}).value
    assert result == [*NASTY, "5", "1.5", "true", "after"]
    assert listing(project) == []


def test_environment_values_are_passed_as_they_are(run: Any, project: Path) -> None:
    env = {f"V{number}": text for number, text in enumerate(NASTY)}
    result = run({"argv": show("dict(os.environ)"), "env": {**env, "N": 5, "NONE": None}, "output": "json"}).value
    assert {name: result[name] for name in env} == env
    assert result["N"] == "5"
    assert "NONE" not in result
    used = run({"command": 'printf "%s" "$V0"', "env": env})
    assert used.value == NASTY[0]
    assert listing(project) == []


def test_stdin_is_passed_as_it_is(run: Any) -> None:
    for text in (*NASTY, "x" * 300_000):
        assert run({"argv": show("sys.stdin.read()"), "stdin": text, "output": "json"}).value == text
    assert run({"argv": show("json.load(sys.stdin)"), "stdin": {"a": [1]}, "output": "json"}).value == {"a": [1]}
    assert run({"command": "cat"}).value == ""


def test_a_command_knows_where_it_runs_and_inherits_the_rest(run: Any, project: Path) -> None:
    settings = {"argv": show("[dict(os.environ), os.getcwd()]"), "output": "json"}
    env, cwd = run(settings, env={"HOME": "/h"}, attempt=3, key="k1").value
    assert cwd == str(project)
    assert {name: env[name] for name in ("WEFT_RUN", "WEFT_PATH", "WEFT_ATTEMPT", "WEFT_KEY", "HOME", "PATH")} == {
        "WEFT_RUN": "r1",
        "WEFT_PATH": "a[1]/b",
        "WEFT_ATTEMPT": "3",
        "WEFT_KEY": "k1",
        "HOME": "/h",
        "PATH": PATH,
    }
    (project / "sub").mkdir()
    assert run({**settings, "cwd": "sub"}).value[1] == str(project / "sub")


@pytest.mark.parametrize("cwd", ["../outside", "/", "sub/../.."])
def test_a_command_runs_inside_the_project(failure: Any, cwd: str) -> None:
    assert failure({"command": ":", "cwd": cwd}).type == "PathError"


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "BASH_ENV"])
def test_what_decides_the_code_of_programs_is_refused(failure: Any, name: str) -> None:
    error = failure({"command": ":", "env": {name: "x"}})
    assert error.message == f"setting 'env': {name} decides what code a program loads"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"argv": []}, "setting 'argv': expected a list of arguments, got an empty list"),
        ({"argv": "ls -l"}, "setting 'argv': expected a list of arguments, got a text"),
        ({"argv": ["ls", ["a"]]}, "setting 'argv': argument 1 is a list"),
        ({"argv": ["ls", "a\0b"]}, "argument 1 of the command has a NUL byte in it"),
        ({"command": ":", "env": {"A": "a\0b"}}, "the environment variable A has a NUL byte in it"),
        ({"command": ":", "env": {"A=B": "a"}}, "'A=B' cannot be the name of an environment variable"),
        ({"command": ":", "env": ["A=B"]}, "setting 'env': expected an object, got a list"),
        ({"argv": ["no-such-program-here"]}, "there is no program 'no-such-program-here'"),
    ],
)
def test_what_cannot_be_run_is_said(failure: Any, settings: dict[str, Any], message: str) -> None:
    error = failure(settings)
    assert error.message == message
    assert not error.retryable


def test_output_is_heard_as_it_comes(run: Any) -> None:
    heard: list[tuple[str, bytes]] = []
    run({"command": "echo out; echo err >&2"}, log=lambda stream, data: heard.append((stream, data)))
    assert sorted(heard) == [("stderr", b"err\n"), ("stdout", b"out\n")]


def test_secrets_are_hidden_before_anything_is_cut(failure: Any) -> None:
    vault = Vault({"T": "hunter22" * 4})
    error = failure({"command": f"echo {'x' * 970} {'hunter22' * 4} >&2; exit 1"}, mask=vault.mask)
    assert "hunter" not in error.message
    assert "hunter" not in error.stderr
    assert error.stderr.endswith(" ***\n")


def test_output_without_end_is_kept_by_its_ends_without_half_a_line(run: Any, failure: Any) -> None:
    lots = "i=0; while [ $i -lt 12000 ]; do printf '%01023d\\n' $i; i=$((i+1)); done"
    text = run({"command": lots}).value
    assert 9_000_000 < len(text) < 10_600_000
    lines = text.split("\n")
    assert all(len(line) == 1023 or "bytes left out" in line for line in lines)
    assert lines[-1].endswith("11999")
    error = failure({"command": lots, "output": "json"})
    assert error.type == "SizeError"
    result = run({"command": f"{{ {lots}; }} >&2"})
    assert len(result.stderr) <= STDERR_KEPT + 1


def test_the_end_of_a_text_begins_with_a_line() -> None:
    assert end_of("short", 10) == "short"
    assert end_of("aaaa\nbbbb\ncccc", 12) == "…bbbb\ncccc"
    assert end_of("a" * 20, 10) == "…" + "a" * 10


def test_a_cancelled_command_is_gone(make_world: Callable[..., World], project: Path) -> None:
    async def main() -> None:
        children = Children()
        try:
            started = asyncio.Event()
            world = make_world(children=children, env={"PATH": PATH})
            ctx = AttemptContext(world, "n", log=lambda stream, data: started.set())
            settings = {"command": "echo started; sleep 1000; touch canary"}
            task = asyncio.ensure_future(Command().run(ctx, settings, None))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            await children.close()

    asyncio.run(main())
    assert listing(project) == []


def test_json_that_looks_like_a_result_is_data(run: Any) -> None:
    data = {"value": 1, "exit_code": 5, "stderr": "x", "status": "failed"}
    assert run({"argv": show(repr(data)), "output": "json"}).value == data
    assert json.loads(run({"argv": show(repr(data))}).value) == data
