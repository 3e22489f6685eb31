from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from weft.backends.children import Children
from weft.backends.thread import ThreadPool
from weft.errors import AttemptError
from weft.runtimes.base import AttemptContext, World
from weft.runtimes.python import Python, signature_in

Run = Callable[..., Any]


@pytest.fixture
def run(make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(settings, input, arguments=, **context)`: what the function returned."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def go(settings: dict[str, Any], given: object = None, **context: Any) -> Any:
        async def main() -> Any:
            children, threads = Children(), ThreadPool(4)
            world = make_world(children=children, threads=threads, env={"PATH": os.defpath})
            try:
                return await Python().run(AttemptContext(world, "n", **context), settings, given)
            finally:
                await world.resources.aclose()
                threads.close()
                await children.close()

        return asyncio.run(main())

    return go


@pytest.fixture
def failure(run: Run) -> Callable[..., AttemptError]:
    def go(*args: Any, **context: Any) -> AttemptError:
        with pytest.raises(AttemptError) as caught:
            run(*args, **context)
        return caught.value

    return go


BOTH = pytest.mark.parametrize("isolation", ["process", "thread"])


@BOTH
def test_parameters_are_found_by_name(run: Run, isolation: str) -> None:
    code = "def main(input, fetch_all, *, limit=3, missing=7):\n    return [input, fetch_all, limit, missing]"
    arguments = {"input": {"a": 1}, "fetch_all": [1], "limit": 5, "unused": object()}
    assert run({"code": code, "isolation": isolation}, arguments=arguments) == [{"a": 1}, [1], 5, 7]


@BOTH
def test_without_other_names_there_is_the_input(run: Run, isolation: str) -> None:
    assert run({"code": "def main(input): return input", "isolation": isolation}, [1]) == [1]
    assert run({"code": "def main(): return 5", "isolation": isolation}, [1]) == 5


@BOTH
def test_given_arguments_come_first(run: Run, isolation: str) -> None:
    code = "def main(input, extra, **rest): return [input, extra, rest]"
    settings = {"code": code, "isolation": isolation, "args": {"input": 1, "extra": 2, "more": 3}}
    assert run(settings, arguments={"input": "other", "unused": 0}) == [1, 2, {"more": 3}]


@BOTH
def test_a_missing_parameter_is_named_with_what_there_is(failure: Any, isolation: str) -> None:
    code = "def main(scors): return 1"
    error = failure({"code": code, "isolation": isolation}, arguments={"input": 1, "scores": 2})
    assert error.message == "main() asks for 'scors', which is not there"
    assert error.hint == "did you mean 'scores'? available: ctx, input, scores"
    assert (error.type, error.retryable) == ("ValidationError", False)


def test_an_argument_that_nobody_takes_is_named(failure: Any) -> None:
    error = failure({"code": "def main(a): return 1", "args": {"a": 1, "b": 2}})
    assert error.message == "setting 'args': main() takes no 'b'"
    error = failure({"code": "def main(a): return 1", "args": [1]})
    assert error.message == "setting 'args': expected an object, got a list"


@BOTH
def test_async_functions_are_awaited(run: Run, isolation: str) -> None:
    code = "import asyncio\nasync def main(input):\n    await asyncio.sleep(0)\n    return input + 1"
    assert run({"code": code, "isolation": isolation}, 1) == 2


@BOTH
def test_ctx_says_which_attempt_this_is(run: Run, isolation: str) -> None:
    code = (
        "def main(ctx):\n"
        "    ctx.log('a line', 5)\n"
        "    ctx.report(progress=0.5)\n"
        "    return [ctx.run_id, ctx.path, ctx.attempt, ctx.key, ctx.deadline]"
    )
    heard: list[tuple[str, bytes]] = []
    settings = {"code": code, "isolation": isolation}
    result = run(settings, attempt=2, key="k", log=lambda stream, data: heard.append((stream, data)))
    assert result == ["r1", "n", 2, "k", None]
    assert [stream for stream, _ in heard] == ["log", "report"]
    assert heard[0][1] == b"a line 5"
    assert msgspec.json.decode(heard[1][1]) == {"progress": 0.5, "metrics": {}}


@BOTH
@pytest.mark.parametrize(
    ("raised", "type_", "retryable"),
    [
        ("ValueError('bad')", "ValueError", False),
        ("OSError('gone')", "OSError", True),
        ("KeyError('k')", "KeyError", False),
    ],
)
def test_an_exception_is_the_failure_of_the_attempt(
    failure: Any, isolation: str, raised: str, type_: str, retryable: bool
) -> None:
    heard: list[bytes] = []
    code = f"def helper():\n    raise {raised}\n\ndef main():\n    helper()\n"
    error = failure(
        {"code": code, "isolation": isolation}, place=("flow.md", 10), log=lambda stream, data: heard.append(data)
    )
    assert (error.type, error.retryable, error.place) == (type_, retryable, "flow.md:11")
    assert error.message in ("bad", "gone", "'k'")
    assert b"Traceback" in b"".join(heard)


@BOTH
def test_code_that_is_no_python_is_refused(failure: Any, isolation: str) -> None:
    error = failure({"code": "def main(:\n  pass", "isolation": isolation}, place=("flow.md", 10))
    assert error.type == "SyntaxError"
    assert error.place == "flow.md:10"
    error = failure({"code": "x = 1", "isolation": isolation})
    assert error.type == "NoFunction"
    assert error.message.startswith("the code defines no function `main`")


@BOTH
def test_what_is_decorated_or_assigned_is_called_all_the_same(run: Run, isolation: str) -> None:
    decorated = (
        "import functools\n"
        "def twice(f):\n"
        "    @functools.wraps(f)\n"
        "    def g(*a, **k): return [f(*a, **k)] * 2\n"
        "    return g\n"
        "@twice\n"
        "def main(input): return input\n"
    )
    assert run({"code": decorated, "isolation": isolation}, 1) == [1, 1]
    assert run({"code": "main = lambda input: input + 1", "isolation": isolation}, 1) == 2


def test_the_signature_is_read_without_running_anything() -> None:
    wanted = signature_in("import nothing_at_all\ndef main(a, /, b, c=1, *d, e, f=2, **g): ...")
    assert wanted is not None
    assert (wanted.names, wanted.required, wanted.everything) == (("a", "b", "c", "e", "f"), ("a", "b", "e"), True)
    for code in ("def other(): ...", "@x\ndef main(): ...", "main = f", "not python", "\0", "(" * 10_000):
        assert signature_in(code) is None


def test_code_runs_in_another_process_and_a_call_in_a_thread(run: Run, project: Path) -> None:
    (project / "beside_me.py").write_text(
        "import os, threading\n"
        "def where(input=None): return [os.getpid(), threading.current_thread() is threading.main_thread()]\n"
        "async def later(input): return input\n"
        "class Tools:\n"
        "    @staticmethod\n"
        "    def add(input, more=1): return input + more\n"
    )
    assert run({"code": "import os\ndef main(): return os.getpid()"}) != os.getpid()
    assert run({"call": "beside_me:where"}) == [os.getpid(), False]
    assert run({"call": "beside_me:later"}, 5) == 5
    assert run({"call": "beside_me:Tools.add"}, 5) == 6
    assert run({"call": "beside_me:Tools.add", "args": {"more": 2}}, 5) == 7
    assert run({"call": "json:dumps", "args": {"obj": [1], "indent": None}}) == "[1]"


def test_an_imported_function_may_run_in_a_process(run: Run) -> None:
    assert run({"call": "os:getpid", "isolation": "process"}) != os.getpid()


@pytest.mark.parametrize(
    ("call", "type_", "message"),
    [
        ("nothing", "ValidationError", "setting 'call': 'nothing' is not `package.module:function`"),
        ("a:b:c", "ValidationError", "setting 'call': 'a:b:c' is not `package.module:function`"),
        ("os; import x:y", "ValidationError", "setting 'call': 'os; import x:y' is not `package.module:function`"),
        ("no_such_module:f", "ImportError", "cannot import 'no_such_module': No module named 'no_such_module'"),
        ("json:nothing", "NoFunction", "there is no function 'nothing' in 'json'"),
        ("json:__doc__", "NoFunction", "there is no function '__doc__' in 'json'"),
    ],
)
def test_a_call_that_leads_nowhere_is_said(failure: Any, call: str, type_: str, message: str) -> None:
    error = failure({"call": call})
    assert (error.type, error.message) == (type_, message)


def test_a_builtin_without_a_signature_gets_nothing(run: Run) -> None:
    assert run({"call": "builtins:dict"}, 5) == {}


def test_results_that_are_no_data_name_their_place(failure: Any) -> None:
    error = failure({"code": "def main(): return {'a': [1, object()]}"})
    assert error.type == "ValidationError"
    assert "$.a[1]" in error.message


def test_data_is_not_code(run: Run, project: Path) -> None:
    data = ["__import__('os').system('touch canary')", "{{ 1 }}", {"__class__": "x"}, "'''\nraise SystemExit\n'''"]
    assert run({"code": "def main(input): return input"}, data) == data
    assert not (project / "canary").exists()


def test_another_interpreter_may_be_chosen(run: Run, failure: Any) -> None:
    code = "import sys\ndef main(): return sys.executable"
    assert run({"code": code, "interpreter": sys.executable}) == sys.executable
    assert failure({"code": code, "interpreter": "/no/such/python"}).type == "CommandNotFound"


def test_workers_are_kept_for_the_run(make_world: Callable[..., World]) -> None:
    async def main() -> None:
        children = Children()
        world = make_world(children=children, env={})
        ctx, settings = AttemptContext(world, "n"), {"code": "import os\ndef main(): return os.getpid()"}
        try:
            pids = [await Python().run(ctx, settings, None) for _ in range(3)]
        finally:
            await world.resources.aclose()
            await children.close()
        assert len(set(pids)) == 1

    asyncio.run(main())


def test_threads_of_two_attempts_run_at_once(make_world: Callable[..., World], project: Path) -> None:
    barrier = threading.Barrier(2, timeout=5)
    sys.modules["the_barrier"] = type(sys)("the_barrier")
    sys.modules["the_barrier"].wait = barrier.wait  # type: ignore[attr-defined]

    async def main() -> None:
        threads = ThreadPool(2)
        ctx = AttemptContext(make_world(threads=threads), "n")
        code = "import the_barrier\ndef main(): return the_barrier.wait() in (0, 1)"
        settings = {"code": code, "isolation": "thread"}
        assert await asyncio.gather(*(Python().run(ctx, settings, None) for _ in range(2))) == [True, True]
        threads.close()

    try:
        asyncio.run(main())
    finally:
        del sys.modules["the_barrier"]
