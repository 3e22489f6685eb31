"""Ctrl-C in somebody's program ends what runs, and leaves a run that goes on: also where a loop runs already."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import weft

PROGRAM = """
import asyncio, signal, sys
import weft

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would this

flow = weft.Workflow("naps")

@flow.task
async def quick():
    return 1

@flow.task
async def nap(quick):
    print("asleep", flush=True)
    try:
        await asyncio.sleep(600 if sys.argv[1:] else 0)
    finally:
        print("awake", flush=True)
    return quick + 1

def run():
    try:
        flow.run(journal=".weft")
    except KeyboardInterrupt:
        print("interrupted", flush=True)

async def cell():
    run()

if __name__ == "__main__":
    if sys.argv[1] == "plain":
        run()
    else:
        asyncio.new_event_loop().run_until_complete(cell())
"""


@pytest.mark.parametrize("where", ["plain", "loop"])
def test_an_interrupted_program_ends_what_runs_and_can_be_resumed(where: str, tmp_path: Path) -> None:
    program = tmp_path / "naps.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.communicate(timeout=10)[0] == "awake\ninterrupted\n"
        finally:
            process.kill()
    assert process.returncode == 0
    again = "import naps, weft; print(weft.resume_sync('last', naps.flow).outputs)"
    resumed = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert resumed.stdout.splitlines()[-1] == "{'quick': 1, 'nap': 2}"
    started = [e.path for e in weft.events("last", journal=tmp_path / ".weft") if type(e).__name__ == "AttemptStarted"]
    assert started == ["quick", "nap", "nap"]
