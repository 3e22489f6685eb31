"""Commands: what they are given, what is kept of them, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from weft.backends.children import Children
from weft.backends.command import Capture, run_command
from weft.errors import AttemptError

pytestmark = pytest.mark.anyio

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")


async def shell(children: Children, text: str, env: dict[str, str], **options):
    return await run_command(children, ["/bin/sh", "-c", text], cwd="/", env=env, **options)


async def stopped(task: asyncio.Task) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Heard:
    """An `on_output` that can be waited for."""

    def __init__(self) -> None:
        self.data = b""
        self._new = asyncio.Event()

    def __call__(self, stream: str, data: bytes) -> None:
        self.data += data
        self._new.set()

    async def wait_for(self, word: bytes) -> None:
        while word not in self.data:
            await self._new.wait()
            self._new.clear()


# -- results -----------------------------------------------------------------------------------------------------------


async def test_a_result_has_both_streams_and_the_exit_code(children, env):
    done = await shell(children, "echo out; echo err >&2; exit 3", env)
    assert (done.exit_code, done.signal, done.stdout.data, done.stderr.data) == (3, None, b"out\n", b"err\n")
    assert str(done) == "ended with exit code 3"


async def test_a_command_killed_by_a_signal_says_which(children, env):
    done = await shell(children, "kill -9 $$", env)
    assert (done.exit_code, done.signal) == (None, signal.SIGKILL)
    assert str(done) == "was killed by SIGKILL (9)"


async def test_output_is_byte_exact(children, env, tmp_path):
    data = os.urandom(300_000) + b"\0\xff no newline"
    (tmp_path / "data").write_bytes(data)
    done = await run_command(children, ["cat", "data"], cwd=tmp_path, env=env)
    assert done.stdout.data == data


async def test_stdin_is_given_whole(children, env):
    data = os.urandom(1_000_000)
    done = await run_command(children, ["cat"], cwd="/", env=env, stdin=data)
    assert done.stdout.data == data


async def test_without_stdin_a_reader_sees_its_end(children, env):
    done = await run_command(children, ["cat"], cwd="/", env=env)
    assert (done.exit_code, done.stdout.data) == (0, b"")


async def test_a_command_that_does_not_read_its_stdin_ends(children, env):
    for text in ("exit 0", "exec 0<&-; echo x", "head -c 1"):
        done = await shell(children, text, env, stdin=b"y" * 3_000_000)
        assert done.exit_code == 0


async def test_head_and_tail_are_kept_and_the_rest_is_counted(children, env):
    done = await shell(children, "seq 1 100000", env, output_limit=1000)
    kept = done.stdout
    assert (len(kept.head), len(kept.tail), kept.total) == (500, 500, 588_895)
    assert kept.head.startswith(b"1\n2\n")
    assert kept.tail.endswith(b"\n100000\n")
    assert kept.dropped == 587_895
    assert b"\n[... 587,895 bytes left out ...]\n" in kept.data


def test_capture_keeps_everything_up_to_its_limit_whatever_the_chunks():
    for limit in (0, 1, 2, 7, 10):
        for chunk in (1, 3, 20):
            data = bytes(range(48, 48 + 20))
            capture = Capture(limit)
            for start in range(0, len(data), chunk):
                capture.feed(data[start : start + chunk])
            kept = capture.result()
            assert kept.total == 20
            assert kept.head == data[: limit // 2]
            assert kept.tail == data[20 - (limit - limit // 2) :]
    whole = Capture(20)
    whole.feed(data)
    assert whole.result().data == data


@linux
@pytest.mark.parametrize(("limit", "flat"), [(1 << 20, True), (1 << 30, False)])
def test_memory_does_not_follow_the_output(engine, limit, flat):
    """The second case is the control: an unlimited capture is seen by this probe."""
    program = f"""
import asyncio, re
from pathlib import Path
from weft.backends.children import Children
from weft.backends.command import run_command

def peak():  # of this program; ru_maxrss would begin with the peak of whoever started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

async def main():
    children = Children()
    await run_command(children, ["/bin/true"], cwd="/", env={{}})
    before = peak()
    for _ in range(2):
        await run_command(children, ["head", "-c", "50000000", "/dev/zero"], cwd="/", env={{"PATH": "/bin:/usr/bin"}},
                          output_limit={limit})
    print(peak() - before)
    await children.close()
asyncio.run(main())
"""
    grown, _ = engine(program).communicate(timeout=20)
    assert (int(grown) < 10_000) is flat, f"{grown} KiB"


async def test_what_a_listener_raises_is_raised_when_the_command_has_ended(children, env, tmp_path):
    def refuse(stream: str, data: bytes) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await run_command(
            children, ["/bin/sh", "-c", "echo a; sleep 0.05; touch done"], cwd=tmp_path, env=env, on_output=refuse
        )
    assert (tmp_path / "done").exists()


async def test_output_is_heard_while_the_command_runs(children, env, trace):
    heard = Heard()
    task = asyncio.create_task(shell(children, f"echo first; {trace.sleep}", env, on_output=heard))
    await heard.wait_for(b"first\n")
    await stopped(task)


# -- what a child is given ---------------------------------------------------------------------------------------------


async def test_a_child_has_the_given_environment_and_the_marks_only(env):
    children = Children(marker={"WEFT_RUN": "r1"})
    done = await run_command(children, ["env"], cwd="/", env={**env, "A": "ü\n1", "WEFT_RUN": "other"})
    token = children.token
    await children.close()
    assert sorted(done.stdout.data.decode().split("\n")) == sorted(
        ["A=ü", "1", f"PATH={env['PATH']}", "WEFT_RUN=r1", f"WEFT_JOB={token}.0", ""]
    )


@linux
async def test_a_child_has_three_descriptors_and_a_session_of_its_own(children, env, tmp_path):
    leaks = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]  # the engine's own, not inherited
    program = "import os; print(sorted(os.listdir('/proc/self/fd')), os.getsid(0) == os.getpid() == os.getpgrp())"
    done = await run_command(children, [sys.executable, "-I", "-S", "-c", program], cwd="/", env=env)
    for leak in leaks:
        os.close(leak)
    assert done.stdout.data == b"['0', '1', '2', '3'] True\n"  # 3 is that of the listing itself


@linux
async def test_a_child_starts_with_default_signals(children, env):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        done = await run_command(children, ["cat", "/proc/self/status"], cwd="/", env=env)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    lines = dict(line.split(":\t", 1) for line in done.stdout.data.decode().splitlines() if ":\t" in line)
    # Bit 31 is signal 32, which the C library keeps for itself.
    held = [int(lines[name], 16) & ~(1 << 31) for name in ("SigBlk", "SigIgn", "SigCgt")]
    assert held == [0, 0, 0]


@linux
async def test_the_keeper_carries_no_secret(children, env, monkeypatch):
    monkeypatch.setenv("CANARY", "s3cret")
    await run_command(children, ["/bin/true"], cwd="/", env={**env, "CANARY": "s3cret"})
    keeper = Path(f"/proc/{children.keeper_pid}")
    assert b"s3cret" not in (keeper / "environ").read_bytes() + (keeper / "cmdline").read_bytes()


# -- what cannot be started --------------------------------------------------------------------------------------------


async def refused(children: Children, argv: list, *, cwd="/", env) -> tuple[str, str, bool]:
    with pytest.raises(AttemptError) as caught:
        await run_command(children, argv, cwd=cwd, env=env)
    return caught.value.type, caught.value.message, caught.value.retryable


async def test_what_cannot_be_started_says_why(children, env, tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "script").write_text("#!/no/such/shell\n")
    (tmp_path / "plain").write_text("no first line")
    for name in ("script", "plain"):
        (tmp_path / name).chmod(0o755)

    async def why(*argv: str, cwd: Path | str = tmp_path):
        return await refused(children, list(argv), cwd=cwd, env={"PATH": "/usr/bin:/bin"})

    assert await why("nope") == ("CommandNotFound", "there is no program 'nope'", False)
    assert await why("./nope") == ("CommandNotFound", "there is no program './nope'", False)
    assert await why("./text") == ("NotExecutable", "'./text' cannot be executed: permission denied", False)
    assert await why("./plain") == ("NotExecutable", "'./plain' cannot be executed: exec format error", False)
    assert await why("./script") == (
        "NotExecutable",
        "'./script' cannot be executed: the interpreter in its first line does not exist",
        False,
    )
    assert await why("true", cwd="/nope") == ("BadFolder", "cannot run in '/nope': no such file or directory", False)
    assert await why("a\0b") == ("BadArgument", "argument 0 of the command has a NUL byte in it", False)
    assert await why() == ("BadArgument", "there is no command to run: its first word is missing", False)
    assert await why("echo", "x" * 131_072) == (
        "TooBig",
        "argument 1 of the command has 131,072 bytes; the system takes 131,071",
        False,
    )
    kind, message, retryable = await why("echo", *["x" * 130_000] * 100)
    assert (kind, retryable) == ("TooBig", False)
    assert message == (
        "the arguments and environment of 'echo' have 13,000,124 bytes together, more than the system takes"
    )
    done = await run_command(children, ["echo", "x" * 131_071], cwd="/", env=env)
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("", "1", "'' cannot be the name of an environment variable"),
        ("A=B", "1", "'A=B' cannot be the name of an environment variable"),
        ("A", "x\0y", "the environment variable A has a NUL byte in it"),
        ("A", "x" * 140_000, "the environment variable A has 140,002 bytes; the system takes 131,071"),
    ],
)
async def test_an_environment_that_cannot_be_given_says_why(children, name, value, message):
    assert (await refused(children, ["/bin/true"], env={name: value}))[1] == message


async def test_the_path_of_the_given_environment_is_searched(children, tmp_path):
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    done = await run_command(children, ["mine"], cwd="/", env={"PATH": f"/nope:{tmp_path}"})
    assert done.stdout.data == b"found\n"


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_cancelled_a_command_may_clean_up_and_is_gone(children, env, trace):
    heard = Heard()
    text = f"trap 'echo cleaned; exit' TERM; echo ready; {trace.sleep} & wait"
    task = asyncio.create_task(shell(children, text, env, on_output=heard))
    await heard.wait_for(b"ready\n")
    trace.wait_sleepers(1)  # a shell that has just forked loses a signal
    await stopped(task)
    assert heard.data == b"ready\ncleaned\n"
    assert trace.living() == []


async def test_the_grace_is_also_for_the_rest_of_the_group(children, env, trace):
    heard = Heard()
    text = f"(trap 'sleep 0.1; echo cleaned; exit' TERM; echo ready; {trace.sleep} & wait) & wait"
    task = asyncio.create_task(shell(children, text, env, on_output=heard))
    await heard.wait_for(b"ready\n")
    trace.wait_sleepers(1)  # a shell that has just forked loses a signal
    await stopped(task)
    assert heard.data == b"ready\ncleaned\n"


async def test_who_ignores_term_is_killed_after_the_grace(children, env, trace):
    heard = Heard()
    text = f"trap '' TERM; echo ready; {trace.sleep}; {trace.sleep}"
    task = asyncio.create_task(shell(children, text, env, on_output=heard, grace=0.2))
    await heard.wait_for(b"ready\n")
    began = asyncio.get_running_loop().time()
    await stopped(task)
    assert 0.2 <= asyncio.get_running_loop().time() - began < 2
    assert trace.living() == []


async def test_a_second_cancellation_cuts_the_grace_short(children, env, trace):
    heard = Heard()
    text = f"trap '' TERM; trap 'echo more' CONT; echo ready; while :; do {trace.sleep} & wait; done"
    task = asyncio.create_task(shell(children, text, env, on_output=heard, grace=60))
    await heard.wait_for(b"ready\n")
    task.cancel()
    await heard.wait_for(b"more\n")
    began = asyncio.get_running_loop().time()
    await stopped(task)
    assert asyncio.get_running_loop().time() - began < 5
    assert trace.living() == []


async def test_a_stopped_command_is_gone_after_a_cancellation(children, env, trace):
    heard = Heard()
    task = asyncio.create_task(shell(children, f"echo ready; kill -STOP $$; {trace.sleep}", env, on_output=heard))
    await heard.wait_for(b"ready\n")
    began = asyncio.get_running_loop().time()
    await stopped(task)
    assert asyncio.get_running_loop().time() - began < 2


async def test_cancelled_while_it_starts_a_command_is_gone(children, env, trace):
    await children.start()
    for turns in range(12):
        task = asyncio.create_task(shell(children, trace.sleep, env, grace=0))
        for _ in range(turns):
            await asyncio.sleep(0)
        await stopped(task)
        assert trace.living() == []


async def test_a_grandchild_that_holds_the_pipe_is_waited_for_a_second_and_killed(children, env, trace):
    began = asyncio.get_running_loop().time()
    done = await shell(children, f"echo here; {trace.sleep} &", env)
    assert 0.9 < asyncio.get_running_loop().time() - began < 3
    assert (done.exit_code, done.stdout.data, trace.living()) == (0, b"here\n", [])


QUIET = "</dev/null >/dev/null 2>&1"


@linux
@pytest.mark.parametrize(
    "escape",
    [
        "{sleep} {quiet} &",
        "setsid {sleep} {quiet} &",
        "(setsid sh -c '{sleep} {quiet} & exit 0' {quiet} &)",
        "env -i setsid {sleep} {quiet} &",
    ],
)
async def test_no_way_to_escape_outlives_the_command(children, env, trace, escape, tmp_path):
    text = escape.format(sleep=trace.sleep, quiet=QUIET)
    done = await shell(children, f"{text}\nuntil pgrep -f 'sleep {trace.word}' >{tmp_path}/out; do :; done", env)
    assert done.exit_code == 0
    assert trace.living() == []


@linux
async def test_the_probe_for_strays_bites(env, trace, variant):
    """The control: a keeper that knows no stray leaves it until the end of the engine."""
    children = Children(program=variant("        facts = stat_of(pid)\n        if facts is None:", "        if True:"))
    done = await shell(children, f"setsid {trace.sleep} {QUIET} & sleep 0.05", env)
    assert (done.exit_code, done.strays, len(trace.living())) == (0, 0, 1)
    await children.close()
    assert trace.living() == []


@linux
async def test_a_stray_of_one_command_does_not_cost_another_its_processes(children, env, trace):
    heard = Heard()
    other = asyncio.create_task(
        shell(children, f"setsid {trace.sleep} {QUIET} & echo ready; wait; echo lost", env, on_output=heard)
    )
    await heard.wait_for(b"ready\n")
    trace.wait_sleepers(1)
    mine = trace.living()
    done = await shell(children, "setsid sleep 60 </dev/null >/dev/null 2>&1 & sleep 0.05", env)
    assert done.strays == 1
    assert trace.living() == mine
    await stopped(other)
    assert trace.living() == []


@linux
async def test_a_stray_without_environment_is_killed_with_its_cancelled_command_beside_others(children, env, trace):
    """Its parent is alive when the signal goes out: it is known by descent."""
    other_heard, heard = Heard(), Heard()
    other = asyncio.create_task(shell(children, "echo ready; read x || sleep 60", env, on_output=other_heard))
    await other_heard.wait_for(b"ready\n")
    text = f"env -i setsid {trace.sleep} {QUIET} & echo ready; wait"
    task = asyncio.create_task(shell(children, text, env, on_output=heard))
    await heard.wait_for(b"ready\n")
    trace.wait_sleepers(1)
    await stopped(task)
    assert trace.living() == []
    assert not other.done()
    await stopped(other)


# -- shortage ----------------------------------------------------------------------------------------------------------


@linux
def test_two_hundred_commands_with_few_descriptors_all_end(engine):
    program = """
import asyncio, resource
from weft.backends.children import Children
from weft.backends.command import run_command

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    children = Children()
    commands = [run_command(children, ["/bin/sh", "-c", f"cat; sleep 0.01; exit {i % 7}"], cwd="/",
                            env={"PATH": "/bin:/usr/bin"}, stdin=b"%d" % i) for i in range(200)]
    ended = await asyncio.gather(*commands)
    assert [int(one.stdout.data) for one in ended] == list(range(200))
    assert [one.exit_code for one in ended] == [i % 7 for i in range(200)]
    spare = [open("/dev/null") for _ in range(30)]
    print("all ended")
    await children.close()
asyncio.run(main())
"""
    said, _ = engine(program).communicate(timeout=20)
    assert said == "all ended\n"


async def test_a_system_without_descriptors_is_a_retryable_failure(children, env, monkeypatch):
    await children.start()

    def no_pipe() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", no_pipe)
    kind, message, retryable = await refused(children, ["/bin/true"], env=env)
    assert (kind, retryable) == ("Resources", True)
    assert message == "cannot open pipes for a command: too many open files"


async def test_a_system_without_processes_is_waited_for_or_a_retryable_failure(env, tmp_path, variant):
    """A keeper that cannot fork while another job runs; RLIMIT_NPROC does not bind root, so it is made to fail."""
    keeper = variant(
        "            pid = os.fork()\n",
        "            if self.jobs or b'none' in os.listdir(os.fsencode(sys.argv[4]).rpartition(b'/')[0]):\n"
        "                raise OSError(errno.EAGAIN, '')\n"
        "            pid = os.fork()\n",
    )
    children = Children(program=keeper, lock_path=tmp_path / "lock")
    ended = await asyncio.gather(
        *(run_command(children, ["/bin/sh", "-c", f"exit {i}"], cwd="/", env=env) for i in range(8))
    )
    assert [one.exit_code for one in ended] == list(range(8))
    (tmp_path / "none").touch()
    kind, message, retryable = await refused(children, ["/bin/true"], env=env)
    assert (kind, retryable) == ("Resources", True)
    assert message == "cannot start '/bin/true': resource temporarily unavailable"
    await children.close()
