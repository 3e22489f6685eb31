"""Python code in workers: what it is given, what comes back, and what happens to a worker."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import datetime
import enum
import json
import os
import signal
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import values
from weft.backends.base import Code, Reference
from weft.backends.process import WORKER, WorkerPool
from weft.backends.worker import results
from weft.errors import AttemptError, ValidationError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pool(children, env, tmp_path):
    pool = WorkerPool(children, size=2, cwd=tmp_path, env=env)
    yield pool
    await pool.close()


async def value(pool: WorkerPool, source: str, arguments: dict | None = None, **options):
    return json.loads(await pool.call(Code(source, "doc.flow.md", 10), arguments or {}, **options))


async def failure(pool: WorkerPool, source: str, arguments: dict | None = None, **options) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        await value(pool, source, arguments, **options)
    return caught.value


# -- what goes in and what comes out -----------------------------------------------------------------------------------


async def test_a_function_gets_the_arguments_that_it_takes(pool):
    given_ = {"a": 1, "b": [2], "c": None}
    assert await value(pool, "def main(a): return a", given_) == 1
    assert await value(pool, "def main(): return 'none'", given_) == "none"
    assert await value(pool, "def main(b, z=3): return [b, z]", given_) == [[2], 3]
    assert await value(pool, "def main(a, /, b, *, c, d=4): return [a, b, c, d]", given_) == [1, [2], None, 4]
    assert await value(pool, "def main(a, /, **rest): return [a, rest]", given_) == [1, {"b": [2], "c": None}]
    assert await value(pool, "def main(*args): return list(args)", given_) == []
    assert await value(pool, "class main:\n def __new__(cls, a): return a", given_) == 1
    decorated = "import functools\ndef same(f):\n @functools.wraps(f)\n def g(**k): return f(**k)\n return g\n"
    assert await value(pool, decorated + "@same\ndef main(a, c): return [a, c]", given_) == [1, None]


async def test_a_missing_argument_names_it_and_what_there_is(pool):
    error = await failure(pool, "def main(fetsh): pass", {"fetch": 1, "input": 2})
    assert (error.type, error.message, error.hint) == (
        "BadArgument",
        "`main` takes `fetsh`, and nothing here has that name",
        "did you mean `fetch`?",
    )
    assert (await failure(pool, "def main(*, x): pass", {"b": 1, "a": 2})).hint == "it can take: a, b"


async def test_an_async_function_is_awaited(pool):
    assert await value(pool, "import asyncio\nasync def main(a):\n await asyncio.sleep(0)\n return a", {"a": 5}) == 5


async def test_the_context_has_the_facts_and_speaks_while_it_runs(pool):
    heard = []
    source = (
        "def main(ctx):\n ctx.log('a', 1)\n ctx.report(progress=0.5, metrics={'n': 1})\n return [ctx.path, ctx.key]"
    )
    facts = {"path": "a/b", "key": "k"}
    assert await value(pool, source, context=facts, on_output=lambda *said: heard.append(said)) == ["a/b", "k"]
    assert heard == [("log", b"a 1"), ("report", b'{"progress":0.5,"metrics":{"n":1}}')]


async def test_what_it_prints_comes_before_its_result_and_belongs_to_its_call(pool):
    source = """
import os, sys
def main(n):
    print("out", n)
    print("ü", file=sys.stderr, end="")
    os.system(f"echo child {n}")
    return n
"""
    for number in range(20):
        heard = {"stdout": b"", "stderr": b""}

        def hear(stream, data, heard=heard):
            heard[stream] += data

        assert await value(pool, source, {"n": number}, on_output=hear) == number
        assert heard == {"stdout": f"out {number}\nchild {number}\n".encode(), "stderr": "ü".encode()}


async def test_stdin_is_empty(pool):
    assert await value(pool, "import sys\ndef main(): return sys.stdin.read()") == ""


async def test_each_call_has_a_namespace_of_its_own(pool):
    source = "n = []\ndef main():\n n.append(1)\n return len(n)"
    assert [await value(pool, source) for _ in range(3)] == [1, 1, 1]


async def test_folder_environment_and_path_are_put_back(pool, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    spoil = "def main():\n os.chdir('elsewhere'); os.environ['X'] = '1'; sys.path.clear()\n return os.getpid()"
    spoil = "import os, sys\n" + spoil
    look = "import os, sys\ndef main(): return [os.getpid(), os.getcwd(), 'X' in os.environ, bool(sys.path)]"
    pid = await value(pool, spoil)
    assert await value(pool, look) == [pid, str(tmp_path), False, True]


async def test_what_stands_beside_the_document_can_be_imported(pool, tmp_path):
    (tmp_path / "mine.py").write_text(
        "x = 5\ndef double(n): return 2 * n\nclass A:\n @staticmethod\n def f(): return 1\n"
    )
    assert await value(pool, "import mine\ndef main(): return mine.x") == 5
    assert json.loads(await pool.call(Reference("mine", "double"), {"n": 4, "m": 1})) == 8
    assert json.loads(await pool.call(Reference("mine", "A.f"), {})) == 1
    with pytest.raises(AttemptError, match="there is no function `nope` in `mine`"):
        await pool.call(Reference("mine", "nope"), {})


async def test_a_function_of_the_main_script_can_be_called(pool, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("def f(a): return [a, __name__]\nif __name__ == '__main__':\n raise SystemExit('ran')\n")
    assert json.loads(await pool.call(Reference("__main__", "f", str(script)), {"a": 1})) == [1, "__mp_main__"]


async def test_a_large_value_goes_both_ways(pool):
    text = "x" * 5_000_000
    assert await value(pool, "def main(t): return t", {"t": text}) == text


async def test_dataclasses_and_dates_are_encoded_in_the_worker(pool):
    source = """
from __future__ import annotations
import dataclasses, datetime
@dataclasses.dataclass
class Row:
    when: datetime.datetime
def main(): return [Row(datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc))]
"""
    assert await value(pool, source) == [{"when": "2024-01-02T00:00:00Z"}]


# -- encoding, without a process ---------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Row:
    a: object
    b: object = None


class Record(msgspec.Struct):
    a: object


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=9)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.timedeltas(datetime.timedelta(-9999), datetime.timedelta(9999))
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.sampled_from([Colour.RED, Level.HIGH])
    | st.sets(st.integers(0, 9), max_size=1)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.builds(Row, inner, inner)
        | st.builds(Record, inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200 * int(os.environ.get("WEFT_FUZZ_SCALE", "1")), deadline=None)
@given(trees)
def test_a_result_is_encoded_as_the_engine_would(tree):
    assert json.loads(results.encode([tree])) == json.loads(values.encode([tree]))


DEEP: list = []
for _ in range(150):
    DEEP = [DEEP]
KEYS, HUGE, SMALL = {1: 2}, [2**64], [-(2**63) - 1]
CYCLE: list = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "bad",
    [
        object(),
        {"rows": [1, 2, {"when": object()}]},
        [float("nan")],
        {"a": [float("-inf")]},
        KEYS,
        {"a": {None: 1}},
        HUGE,
        SMALL,
        "\ud800",
        {"\ud800": 1},
        [len],
        iter([]),
        1j,
        DEEP,
        CYCLE,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_json_is_refused_at_the_same_place_as_by_the_engine(bad):
    with pytest.raises(results.Refused) as caught:
        results.encode(bad)
    assert (caught.value.kind, caught.value.hint) == ("ValidationError", "return JSON data")
    elsewhere = any(bad is one for one in (HUGE, SMALL, KEYS, DEEP, CYCLE))  # the engine takes these, or tells no place
    if not elsewhere:
        with pytest.raises(ValidationError) as ours:
            values.encode(bad)
        assert (caught.value.place, str(caught.value).casefold()) == (ours.value.path, str(ours.value).casefold())


@pytest.mark.parametrize("file", sorted(WORKER.parent.glob("*.py")), ids=lambda file: file.name)
def test_the_worker_is_python_of_the_oldest_supported_interpreter(file):
    ast.parse(file.read_text(), feature_version=(3, 8))


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_an_exception_has_its_place_in_the_document_and_its_own_frames_only(pool):
    heard = []
    source = "def main():\n    inner()\n\ndef inner():\n    raise KeyError('k')"
    error = await failure(pool, source, on_output=lambda *said: heard.append(said))
    assert (error.type, error.message, error.place, error.retryable) == ("KeyError", "'k'", "doc.flow.md:14", False)
    ((stream, text),) = heard
    lines = [line for line in text.decode().splitlines() if set(line.strip()) - set("^~")]
    assert stream == "stderr"
    assert lines == [
        "Traceback (most recent call last):",
        '  File "doc.flow.md", line 11, in main',
        "    inner()",
        '  File "doc.flow.md", line 14, in inner',
        "    raise KeyError('k')",
        "KeyError: 'k'",
    ]


async def test_an_exception_of_an_async_function_and_a_chain_show_the_users_frames(pool):
    heard = []
    source = """
async def main():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise OSError("disk") from error
"""
    error = await failure(pool, source, on_output=lambda stream, data: heard.append(data.decode()))
    assert (error.type, error.message, error.place, error.retryable) == ("OSError", "disk", "doc.flow.md:15", True)
    assert "ZeroDivisionError" in heard[0]
    assert str(WORKER.parent) not in heard[0]
    assert "asyncio" not in heard[0]


@pytest.mark.parametrize(
    ("source", "kind", "message", "place", "retryable"),
    [
        ("def main(:", "SyntaxError", "invalid syntax (doc.flow.md, line 10)", "doc.flow.md:10", False),
        ("import nope_nope", "ModuleNotFoundError", "No module named 'nope_nope'", "doc.flow.md:10", False),
        ("x = 1", "NoFunction", "the code defines no function `main`", "doc.flow.md:10", False),
        ("main = 1", "NoFunction", "the code defines no function `main`", "doc.flow.md:10", False),
        ("def main(): raise ConnectionError('c')", "ConnectionError", "c", "doc.flow.md:10", True),
        ("def main(): raise Exception", "Exception", "Exception", "doc.flow.md:10", True),
        (
            "def main(): raise SystemExit(3)",
            "SystemExit",
            "the function tried to end the program (SystemExit: 3)",
            "doc.flow.md:10",
            False,
        ),
        (
            "def main(): raise KeyboardInterrupt",
            "KeyboardInterrupt",
            "the function tried to end the program (KeyboardInterrupt)",
            "doc.flow.md:10",
            False,
        ),
        (
            "def main(): return {'rows': [1, {'when': 1j}]}",
            "ValidationError",
            "complex is not JSON data at $.rows[1].when",
            "$.rows[1].when",
            False,
        ),
        (
            "def main(): return 'x' * 67_108_863",
            "TooBig",
            "the result has 67,108,865 bytes; the limit is 67,108,864",
            None,
            False,
        ),
        (
            "class E(Exception):\n def __str__(self): raise ValueError\ndef main(): raise E",
            "E",
            "(its text could not be made)",
            "doc.flow.md:12",
            True,
        ),
        ("def main(): main()", "RecursionError", "maximum recursion depth exceeded", "doc.flow.md:10", False),
    ],
)
async def test_failures_say_what_where_and_whether_to_try_again(pool, source, kind, message, place, retryable):
    error = await failure(pool, source)
    assert (error.type, error.message, error.place, error.retryable) == (kind, message, place, retryable)
    assert await value(pool, "def main(): return 'still works'") == "still works"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os\ndef main(): os._exit(7)", "the Python worker ended with exit code 7 during the call"),
        (
            "import os\ndef main(): os.kill(os.getpid(), 9)",
            "the Python worker was killed by SIGKILL (9) during the call",
        ),
        (
            "import os\ndef main():\n os.write(2, b'bad\\nthing\\n')\n os._exit(1)",
            "the Python worker ended with exit code 1 during the call (it said: thing)",
        ),
        (
            "import ctypes\ndef main(): ctypes.string_at(0)",
            "the Python worker was killed by SIGSEGV (11) during the call (it said: Fatal Python error: Segmentation "
            "fault)",
        ),
    ],
)
async def test_a_dead_worker_is_a_retryable_failure_and_replaced(pool, source, message):
    error = await failure(pool, source)
    assert (error.type, error.message, error.retryable, error.unknown) == ("WorkerDied", message, True, True)
    assert await value(pool, "def main(): return 1") == 1


async def test_code_that_closes_everything_is_a_dead_worker(pool, trace):
    source = f"import os, time\ndef main():\n os.closerange(0, 99)\n os.system('{trace.sleep} &')\n time.sleep(60)"
    error = await failure(pool, source)
    assert (error.type, error.message) == ("WorkerDied", "the Python worker closed its connection during the call")
    assert trace.living() == []


async def test_a_worker_that_announces_too_much_is_ended(pool):
    source = "import os, time\ndef main():\n os.write(3, b'\\xff' * 4)\n time.sleep(60)"
    error = await failure(pool, source)
    assert (error.type, error.message) == ("TooBig", "the worker sent a frame of 4,294,967,295 bytes")
    assert pool.idle == 0


async def test_an_argument_that_is_not_json_fails_before_a_worker_is_started(pool, children):
    with pytest.raises(TypeError):
        await pool.call(Code("def main(a): pass", "x"), {"a": object()})
    assert children.keeper_pid is None


async def test_an_interpreter_that_does_not_exist_says_so(children, env):
    pool = WorkerPool(children, size=1, interpreter="/no/python", cwd="/", env=env)
    error = await failure(pool, "def main(): pass")
    assert (error.type, error.message) == ("CommandNotFound", "there is no program '/no/python'")


async def test_a_system_without_descriptors_is_a_retryable_failure(pool, monkeypatch):
    def no_pipe():
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", no_pipe)
        error = await failure(pool, "def main(): pass")
    assert (error.type, error.message, error.retryable) == (
        "Resources",
        "cannot open the pipes of a worker: too many open files",
        True,
    )
    assert await value(pool, "def main(): return 1") == 1


# -- the life of a worker ----------------------------------------------------------------------------------------------

PID = "import os\ndef main(): return os.getpid()"


async def test_a_worker_is_started_on_demand_and_kept(pool):
    assert pool.idle == 0
    pids = {await value(pool, PID) for _ in range(5)}
    assert (len(pids), pool.idle) == (1, 1)


async def test_two_calls_run_at_once_and_a_third_waits(pool, tmp_path):
    """Each of the first two waits for the other; they end only if they run side by side."""
    source = """
import os, pathlib, time
def main(me, other):
    pathlib.Path(me).touch()
    while other and not pathlib.Path(other).exists():
        time.sleep(0.001)
    return os.getpid()
"""
    third = asyncio.create_task(asyncio.sleep(0))
    first = asyncio.create_task(value(pool, source, {"me": "a", "other": "b"}))
    second = asyncio.create_task(value(pool, source, {"me": "b", "other": "a"}))
    await third
    third = asyncio.create_task(value(pool, source, {"me": "c", "other": None}))
    pids = {await first, await second}
    assert len(pids) == 2
    assert await third in pids


async def test_cancelled_a_call_is_dead_with_all_that_it_started(pool, trace):
    source = f"""
import os, signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def main():
    subprocess.Popen(["sleep", "{trace.word}"])
    subprocess.Popen(["setsid", "sleep", "{trace.word}"])
    while True: pass
"""
    task = asyncio.create_task(value(pool, source))
    while len(trace.sleepers()) < 2:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.living() == []
    assert pool.idle == 0
    assert await value(pool, "def main(): return 1") == 1


async def test_cancelled_while_it_waits_or_starts_a_call_takes_no_place(pool):
    for turns in range(10):
        tasks = [asyncio.create_task(value(pool, PID)) for _ in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert len({*await asyncio.gather(*(value(pool, PID) for _ in range(4)))}) <= 2


@pytest.mark.parametrize(
    "what",
    [
        "threading.Thread(target=time.sleep, args=[60]).start()",
        "subprocess.Popen(['sleep', '60'])",
    ],
    ids=["thread", "process"],
)
async def test_a_worker_that_something_was_left_in_is_not_used_again(pool, what):
    source = f"import os, subprocess, threading, time\ndef main():\n {what}\n return os.getpid()"
    pid = await value(pool, source)
    assert pool.idle == 0
    assert await value(pool, PID) != pid


async def test_an_idle_worker_that_was_killed_is_replaced(pool):
    pid = await value(pool, PID)
    os.kill(pid, signal.SIGKILL)
    (worker,) = pool._idle
    await worker.child.wait()
    while worker.usable:
        await asyncio.sleep(0)
    assert await value(pool, PID) != pid


async def test_the_worker_runs_where_weft_is_not_installed(children, env, tmp_path):
    pool = WorkerPool(children, size=1, interpreter="python3", cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    try:
        found = await value(pool, "import sys\ndef main(): return [*sys.version_info[:2]]")
    except AttemptError as error:
        if error.type == "CommandNotFound":
            pytest.skip("there is no other Python")
        raise
    assert found >= [3, 8]
    await pool.close()


if sys.platform != "linux":
    del test_cancelled_a_call_is_dead_with_all_that_it_started
