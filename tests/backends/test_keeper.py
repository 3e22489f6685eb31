"""Nobody outlives the engine, and nobody believes a dead keeper's children to be alive."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import sys

import pytest

from backends.conftest import command_line, eventually, is_alive
from weft.backends.children import Children
from weft.backends.command import run_command
from weft.backends.kept import KEEPER
from weft.backends.survivors import wait_children_gone
from weft.errors import AttemptError, OwnedError

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")]

QUIET = "</dev/null >/dev/null 2>&1"

PROLOGUE = """
import asyncio, os, signal
from pathlib import Path
from weft.backends.children import Children
from weft.backends.command import run_command
from weft.backends.process import WorkerPool
from weft.backends.base import Code

ENV = {"PATH": os.environ["PATH"]}

def engine(*texts, lock=None, program=None, then=None):
    async def main():
        options = {"program": Path(program)} if program else {}
        children = Children(lock_path=lock and Path(lock), **options)
        tasks = [asyncio.create_task(run_command(children, ["/bin/sh", "-c", t], cwd="/", env=ENV)) for t in texts]
        await children.start()
        print(children.keeper_pid, children.token, flush=True)
        if then:
            await then(children)
        await asyncio.gather(*tasks)
    asyncio.run(main())
"""


def stubborn(sleep: str) -> str:
    """A shell that ignores what can be ignored, with children in its group and in all ways outside of it."""
    return (
        f"trap '' TERM INT HUP; {sleep} & setsid {sleep} {QUIET} & (setsid sh -c '{sleep} & exit' &) ; "
        f"env -i setsid {sleep} {QUIET} & wait; wait; {sleep}"
    )


def said(process) -> tuple[int, str]:
    pid, token = process.stdout.readline().split()
    return int(pid), token


def test_killed_the_engine_leaves_nobody(engine, trace):
    program = f"""{PROLOGUE}
async def python(children):
    pool = WorkerPool(children, size=2, cwd="/", env=ENV)
    source = 'import subprocess\\ndef main(): subprocess.run(["setsid", "sleep", "{trace.word}"])'
    asyncio.create_task(pool.call(Code(source, "x"), {{}}))

engine(*[{stubborn(trace.sleep)!r}] * 3, then=python)
"""
    process = engine(program)
    keeper, _ = said(process)
    trace.wait_sleepers(3 * 4 + 1)
    process.kill()
    assert trace.wait_gone() == []
    assert eventually(lambda: not is_alive(keeper))


@pytest.mark.parametrize("seed", range(4 * int(os.environ.get("WEFT_FUZZ_SCALE", "1"))))
def test_killed_at_any_moment_the_engine_leaves_nobody(engine, trace, seed):
    """Commands start and end all the time; the engine kills itself somewhere among them."""
    delay = random.Random(seed).uniform(0, 0.25)
    program = f"""{PROLOGUE}
signal.setitimer(signal.ITIMER_REAL, 0.05 + {delay})
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
async def storm(children):
    while True:
        text = "setsid {trace.sleep} {QUIET} & sleep 0.00$(($$ % 10)); ({trace.sleep} &) ; [ $(($$ % 3)) = 0 ]"
        await asyncio.gather(*[run_command(children, ["/bin/sh", "-c", text], cwd="/", env=ENV) for _ in range(8)])

engine(then=storm)
"""
    process = engine(program)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert trace.wait_gone() == []


@pytest.mark.parametrize("seed", range(2 * int(os.environ.get("WEFT_FUZZ_SCALE", "1"))))
def test_killed_with_its_keeper_the_engine_leaves_no_direct_child(engine, trace, seed):
    """Nobody is left to end them: the kernel does, by the parent-death signal."""
    process = engine(f"{PROLOGUE}\nengine(*[{'exec ' + trace.sleep!r}] * 5)")
    keeper, _ = said(process)
    trace.wait_sleepers(5)
    for pid in (process.pid, keeper):
        os.kill(pid, signal.SIGKILL)
    assert trace.wait_gone() == []


def test_a_keeper_that_does_not_watch_the_engine_leaves_many(engine, trace, variant):
    """The control for the test above: the probe finds them, hence the keeper ended them there."""
    file = variant("            keeper.end_everything()\n", "            time.sleep(60)\n")
    process = engine(f"{PROLOGUE}\nengine({stubborn(trace.sleep)!r}, program={str(file)!r})")
    keeper, _ = said(process)
    trace.wait_sleepers(4)
    process.kill()
    process.wait()
    assert len(trace.wait_gone(0.3)) >= 4
    os.kill(keeper, signal.SIGKILL)


def test_an_engine_that_forked_is_still_seen_to_die(engine, trace):
    """The fork holds the engine's end of the socket; the keeper watches the process as well."""
    program = f"""{PROLOGUE}
async def fork(children):
    if os.fork() == 0:
        signal.pause()

engine({trace.sleep!r}, then=fork)
"""
    process = engine(program)
    said(process)
    trace.wait_sleepers(1)
    process.kill()
    assert trace.wait_gone() == []
    os.killpg(process.pid, signal.SIGKILL)


def test_ctrl_c_reaches_the_engine_only(engine, trace):
    program = f"""{PROLOGUE}
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
engine("trap 'echo interrupted > /dev/stderr; exit' INT; {trace.sleep}; {trace.sleep}")
"""
    process = engine(program)
    keeper, _ = said(process)
    trace.wait_sleepers(1)
    before = trace.living()
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert trace.living() == before
    assert is_alive(keeper)


def test_the_lock_is_free_only_when_the_last_child_is_gone(engine, trace, tmp_path):
    lock = tmp_path / "children.lock"
    process = engine(f"{PROLOGUE}\nengine(*[{stubborn(trace.sleep)!r}] * 5, lock={str(lock)!r})")
    keeper, token = said(process)
    trace.wait_sleepers(20)
    assert lock.read_text() == f"{keeper} {token}\n"
    with lock.open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert trace.living() == []
    assert lock.read_bytes() == b""


def test_a_takeover_waits_for_the_old_owners_children(engine, trace, tmp_path):
    lock = tmp_path / "children.lock"
    wait_children_gone(lock)  # no such file: nobody ever was
    process = engine(f"{PROLOGUE}\nengine({stubborn(trace.sleep)!r}, lock={str(lock)!r})")
    said(process)
    trace.wait_sleepers(4)
    process.kill()
    wait_children_gone(lock)
    assert trace.living() == []


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_a_takeover_ends_what_a_dead_or_stopped_keeper_left(engine, trace, tmp_path, fate):
    lock = tmp_path / "children.lock"
    text = f"setsid {trace.sleep} {QUIET} & (setsid sh -c '{trace.sleep} & exit' &); {trace.sleep}"
    process = engine(f"{PROLOGUE}\nengine({text!r}, lock={str(lock)!r})")
    keeper, _ = said(process)
    trace.wait_sleepers(3)
    os.kill(process.pid, signal.SIGSTOP)  # it cannot clear up after its keeper
    os.kill(keeper, fate)
    process.kill()
    process.wait()
    assert eventually(lambda: len(trace.living()) >= 2)
    wait_children_gone(lock, patience=0.2)
    assert trace.living() == []
    assert not is_alive(keeper)
    assert lock.read_bytes() == b""


def test_a_takeover_refuses_while_somebody_holds_the_lock(tmp_path):
    lock = tmp_path / "children.lock"
    lock.write_text(f"{os.getpid()} 0123456789abcdef\n")
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OwnedError) as caught:
            wait_children_gone(lock, patience=0.05)
    assert caught.value.message == (
        f"process {os.getpid()} of the run's last owner cannot be ended (children.lock is held)"
    )


async def test_a_killed_keeper_is_a_retryable_failure_and_leaves_nobody(env, trace):
    children = Children()
    text = f"setsid {trace.sleep} {QUIET} & (setsid sh -c '{trace.sleep} & exit' &); {trace.sleep}"
    task = asyncio.create_task(run_command(children, ["/bin/sh", "-c", text], cwd="/", env=env))
    while len(trace.sleepers()) < 3:
        await asyncio.sleep(0.005)
    first = children.keeper_pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(AttemptError) as caught:
        await task
    assert trace.living() == []
    assert (caught.value.type, caught.value.retryable, caught.value.unknown) == ("ChildLost", True, True)
    assert caught.value.message == (
        "the process that keeps the children is gone (killed by SIGKILL (9)); the command was ended with it"
    )
    done = await run_command(children, ["/bin/echo", "again"], cwd="/", env=env)
    assert done.stdout.data == b"again\n"
    assert children.keeper_pid != first
    await children.close()


async def test_a_keeper_killed_between_two_commands_is_not_noticed(env):
    children = Children()
    for _ in range(3):
        done = await run_command(children, ["/bin/true"], cwd="/", env=env)
        assert done.exit_code == 0
        os.kill(children.keeper_pid, signal.SIGKILL)
        while children.keeper_pid:
            await asyncio.sleep(0)
    await children.close()


async def test_a_stopped_keeper_does_not_hold_up_a_cancellation_for_ever(env, trace, monkeypatch):
    monkeypatch.setattr("weft.backends.kept.ANSWER_WAIT", 0.1)
    children = Children()
    task = asyncio.create_task(run_command(children, ["/bin/sh", "-c", trace.sleep], cwd="/", env=env, grace=0))
    while not trace.sleepers():
        await asyncio.sleep(0.005)
    os.kill(children.keeper_pid, signal.SIGSTOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.living() == []
    assert (await run_command(children, ["/bin/true"], cwd="/", env=env)).exit_code == 0
    await children.close()


async def test_a_keeper_that_breaks_says_why(env, variant):
    old = "        word, name = fields[0], fields[1]\n"
    children = Children(program=variant(old, "        raise RuntimeError('broken on purpose')\n"))
    with pytest.raises(AttemptError) as caught:
        await run_command(children, ["/bin/true"], cwd="/", env=env)
    assert caught.value.message == (
        "the process that keeps the children is gone (broken on purpose); the command was ended with it"
    )
    await children.close()


async def test_closing_ends_what_runs(env, trace):
    children = Children()
    task = asyncio.create_task(run_command(children, ["/bin/sh", "-c", stubborn(trace.sleep)], cwd="/", env=env))
    while len(trace.sleepers()) < 4:
        await asyncio.sleep(0.005)
    await children.close()
    assert trace.living() == []
    with pytest.raises(AttemptError, match="it was closed"):
        await task
    await children.close()


async def test_a_run_inside_a_run_is_part_of_it(children, env, trace, tmp_path):
    """Inner engine and inner keeper are killed together: what is left is known by the outer job's mark."""
    inner = tmp_path / "inner.py"
    source = str(KEEPER.parents[3])
    text = f"setsid sh -c '{trace.sleep} & exit' {QUIET} &"
    inner.write_text(
        f"import sys; sys.path.insert(0, {source!r})\n{PROLOGUE}\n"
        f"ENV = dict(os.environ)\n"
        f"engine({text + ' sleep 60'!r})\n"
    )
    other = asyncio.create_task(run_command(children, ["/bin/sleep", "60"], cwd="/", env=env))
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        run_command(
            children,
            [sys.executable, str(inner)],
            cwd="/",
            env=env,
            on_output=lambda stream, data: heard.done() or heard.set_result(data),
        )
    )
    keeper = int((await heard).split()[0])
    while not trace.sleepers():
        await asyncio.sleep(0.005)
    parent = int(command_line_parent(keeper))
    os.kill(parent, signal.SIGSTOP)  # it cannot clear up after its keeper
    for pid in (keeper, parent):
        os.kill(pid, signal.SIGKILL)
    done = await task
    assert done.signal == signal.SIGKILL
    assert trace.living() == []
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other


def command_line_parent(keeper: int) -> str:
    """The engine's process number, from the arguments of its keeper."""
    *_, parent, _token, _lock, _end = command_line(keeper).split(b"\0")
    return parent.decode()


async def test_nothing_starts_after_the_end_of_the_engine(tmp_path, env, engine):
    """An engine that dies right after it has asked: its last wish is not granted."""
    program = f"""{PROLOGUE}
from weft.backends.kept import Keeper, KEEPER

async def main():
    keeper = Keeper(KEEPER, None)
    os.kill(keeper.pid, signal.SIGSTOP)
    null = os.open("/dev/null", os.O_RDWR)
    keeper.send("spawn", 0, "/", "0,1,2", 3, "/bin/sh", "-c", "touch {tmp_path}/started", descriptors=[null] * 3)
    print(keeper.pid, keeper.token, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    process = engine(program)
    keeper, _ = said(process)
    process.wait()
    os.kill(keeper, signal.SIGCONT)
    assert eventually(lambda: not is_alive(keeper))
    assert not (tmp_path / "started").exists()
