"""One invocation of an agent: what it is given, how it ends, what is kept, and that nothing of it lives on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.scripted import Scripted
from backends.conftest import Trace, eventually
from weft.backends.children import Children
from weft.errors import AttemptError
from weft.redaction import Vault
from weft.runtimes.agent import (
    ARGUMENT_LIMIT,
    LastLine,
    Ran,
    Usage,
    agent_environment,
    answer_of,
    deliver,
    final_object,
    run_agent,
    usage_of,
    visible,
)

pytestmark = pytest.mark.anyio


class Stage:
    """Scripted agents that run in a folder."""

    def __init__(self, children: Children, folder: Path) -> None:
        self.children = children
        self.folder = folder / "work"
        self.folder.mkdir()
        self.scripted = Scripted(folder / "script")

    async def run(self, *steps: list[Any], phase: str = "execute", prompt: str = "Task 1", **options: Any) -> Ran:
        self.scripted.set({"*": list(steps)})
        options.setdefault("stdin", prompt)
        return await run_agent(
            self.children, self.scripted.argv(phase), cwd=self.folder, env=self.scripted.env, **options
        )


@pytest.fixture
def stage(children: Children, tmp_path: Path) -> Stage:
    return Stage(children, tmp_path)


@pytest.fixture
def trace() -> Any:
    trace = Trace()
    yield trace
    for pid in trace.living():
        os.kill(pid, signal.SIGKILL)


async def test_an_agent_that_works(stage: Stage) -> None:
    ran = await stage.run(["write", "task-{task}.txt", "by {phase}\n"], ["print", "done"], ["error", "a note"])
    assert (stage.folder / "task-1.txt").read_text() == "by execute\n"
    assert (ran.exit_code, ran.signal, ran.timed_out, ran.dropped, ran.left) == (0, None, False, 0, 0)
    assert (ran.stdout, ran.stderr, ran.text) == ("done\n", "a note\n", "done\n")
    assert str(ran) == "ended with exit code 0"
    (span,) = stage.scripted.spans()
    assert (span.phase, span.task, span.cwd) == ("execute", "1", str(stage.folder))
    assert span.end is not None
    assert 0 < span.end - span.start <= ran.duration


async def test_any_exit_code_is_a_result(stage: Stage) -> None:
    assert (await stage.run(["exit", 1])).exit_code == 1
    ran = await run_agent(stage.children, ["/bin/sh", "-c", "kill -9 $$"], cwd=stage.folder, env=stage.scripted.env)
    assert (ran.exit_code, ran.signal, str(ran)) == (None, 9, "was killed by SIGKILL (9)")


# -- what cannot start -------------------------------------------------------------------------------------------------


async def failing(stage: Stage, *argv: str, **options: Any) -> tuple[str, str, str | None]:
    with pytest.raises(AttemptError) as caught:
        await run_agent(stage.children, argv, **{"cwd": stage.folder, "env": {"PATH": "/bin"}, **options})
    return caught.value.type, caught.value.message, caught.value.hint


async def test_what_cannot_start_names_the_setting_to_change(stage: Stage) -> None:
    assert await failing(stage, "no-such-agent", "-p") == (
        "CommandNotFound",
        "there is no program 'no-such-agent'",
        "searched in PATH: /bin; install it, or set `agent_cmd`",
    )
    text = stage.folder / "text"
    text.write_text("#!/bin/sh\n")
    assert await failing(stage, str(text), key="agents.mine.plan") == (
        "NotExecutable",
        f"'{text}' cannot be executed: permission denied",
        f"chmod +x {text}; or set `agents.mine.plan` to another program",
    )
    assert await failing(stage, "true", cwd=stage.folder / "gone") == (
        "BadFolder",
        f"cannot run in '{stage.folder}/gone': no such file or directory",
        "something has deleted or closed the folder",
    )
    kind, message, hint = await failing(stage, "true", "x" * 131_072)
    assert (kind, message) == ("TooBig", "argument 1 of the command has 131,072 bytes; the system takes 131,071")
    assert hint is not None
    assert hint.endswith("have it read its prompt from standard input or a file")


# -- prompts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stdin", "file"])
async def test_a_prompt_over_128_kib_arrives_whole(stage: Stage, how: str, tmp_path: Path) -> None:
    prompt = "Task 1\n" + "ä" * 200_000
    argv = [*stage.scripted.argv("execute"), *(["--prompt-file"] if how == "file" else [])]
    given = deliver(argv, prompt, how, tmp_path / "prompts" / "1.txt")
    stage.scripted.set({"*": [["write", "prompt.txt", "{prompt}"]]})
    ran = await run_agent(stage.children, given.argv, cwd=stage.folder, env=stage.scripted.env, stdin=given.stdin)
    assert ran.exit_code == 0, ran.stderr
    assert (stage.folder / "prompt.txt").read_text() == prompt
    if how == "file":
        assert (tmp_path / "prompts" / "1.txt").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in (tmp_path / "prompts").iterdir()] == ["1.txt"]


def test_a_prompt_as_an_argument_is_bounded_and_never_an_option(tmp_path: Path) -> None:
    unused = tmp_path / "unused"
    assert deliver(["agent"], "x" * ARGUMENT_LIMIT, "argument", unused).argv == ("agent", "x" * ARGUMENT_LIMIT)
    assert deliver(["agent"], "--rm", "argument", unused).argv == ("agent", "\n--rm")
    with pytest.raises(AttemptError) as caught:
        deliver(["agent"], "ä" * (ARGUMENT_LIMIT // 2) + "x", "argument", unused)
    assert (caught.value.type, caught.value.message) == (
        "TooBig",
        "the prompt has 102,401 bytes, more than an argument may have (102,400)",
    )
    assert caught.value.hint == (
        "have the agent read it from standard input or a file: `prompt` of the agent in the configuration"
    )
    assert not unused.exists()


async def test_standard_input_is_closed_when_there_is_no_prompt_in_it(stage: Stage) -> None:
    ran = await run_agent(stage.children, ["cat"], cwd=stage.folder, env=stage.scripted.env, seconds=10)
    assert (ran.exit_code, ran.stdout) == (0, "")


def test_an_agent_is_not_bound_to_the_repository_of_who_started_us() -> None:
    env = {"PATH": "/bin", "GIT_DIR": "/x", "GIT_INDEX_FILE": "/y", "GIT_AUTHOR_NAME": "A", "GIT_SSH_COMMAND": "ssh"}
    assert agent_environment(env) == {"PATH": "/bin", "GIT_AUTHOR_NAME": "A", "GIT_SSH_COMMAND": "ssh"}


# -- misbehaviour ------------------------------------------------------------------------------------------------------


async def test_grandchildren_that_hold_the_pipes_are_ended(stage: Stage, trace: Trace) -> None:
    ran = await stage.run(["grandchild", trace.word], ["print", "done"])
    assert (ran.exit_code, ran.stdout) == (0, "done\n")
    assert ran.duration < 5
    assert trace.wait_gone() == []


async def test_an_agent_that_hangs_is_ended_with_all_that_came_of_it(stage: Stage, trace: Trace) -> None:
    ran = await stage.run(
        ["grandchild", trace.word], ["ignore_term"], ["print", "before"], ["hold", 60], seconds=0.4, grace=0.2
    )
    assert (ran.exit_code, ran.signal, ran.timed_out, ran.stdout) == (None, None, True, "before\n")
    assert str(ran) == "did not end within 0.4 s"
    assert ran.duration < 5
    assert trace.wait_gone() == []
    (span,) = stage.scripted.spans()
    assert span.end is None


async def test_an_agent_that_obeys_term_has_its_last_words_kept(stage: Stage, tmp_path: Path) -> None:
    program = "trap 'echo goodbye; exit 0' TERM; echo hello; while :; do sleep 0.01; done"
    ran = await run_agent(
        stage.children, ["/bin/sh", "-c", program], cwd=stage.folder, env=stage.scripted.env, seconds=0.3,
        transcript=tmp_path / "t.log",
    )  # fmt: skip
    assert (ran.timed_out, ran.stdout) == (True, "hello\ngoodbye\n")
    text = (tmp_path / "t.log").read_text()
    assert "--- output ---\nhello\n" in text
    assert "\ngoodbye\n" in text


async def test_a_cancelled_agent_leaves_nothing(stage: Stage, trace: Trace, tmp_path: Path) -> None:
    task = asyncio.ensure_future(
        stage.run(["grandchild", trace.word], ["hold", 60], transcript=tmp_path / "t.log", grace=0.2)
    )
    while not trace.sleepers():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.wait_gone() == []
    assert (tmp_path / "t.log").exists()


async def test_fifty_megabytes_of_output_are_bounded_everywhere(stage: Stage, tmp_path: Path) -> None:
    shown: list[str] = []
    ran = await stage.run(
        ["print", "first line"], ["bytes", 50_000_000], ["print", "last line"], transcript=tmp_path / "t.log",
        on_line=shown.append,
    )  # fmt: skip
    limit = 10 * 1024 * 1024
    assert ran.exit_code == 0
    assert ran.dropped == 50_000_021 - limit
    assert ran.stdout.startswith("first line\n")
    assert ran.stdout.endswith("\nlast line\n")
    assert f"\n[... {ran.dropped:,} bytes left out ...]\n" in ran.stdout
    text = (tmp_path / "t.log").read_text()
    assert len(text) < 1.6 * limit
    assert text.endswith("\nlast line\n")
    assert "first line\n" in text
    assert "bytes left out ...]\n" in text
    assert shown[-1] == "last line"


async def test_binary_output_and_no_newline_survive(stage: Stage, tmp_path: Path) -> None:
    shown: list[str] = []
    ran = await stage.run(
        ["binary", 100_000], ["print_raw", "no newline"], transcript=tmp_path / "t.log", on_line=shown.append
    )
    assert ran.exit_code == 0
    assert ran.stdout.endswith("no newline")
    assert "\ufffd" in ran.stdout
    json.dumps(ran.stdout).encode()
    assert (tmp_path / "t.log").read_bytes().endswith(bytes(range(256)) + b"no newline")
    assert all(line.isprintable() for line in shown)
    assert shown[-1].endswith("no newline")


async def test_terminal_escapes_do_not_reach_the_live_view(stage: Stage) -> None:
    shown: list[str] = []
    evil = "\x1b]0;title\x07\x1b[31mred\x1b[0m \x1b[2J\x1b]52;c;ZXZpbA==\x1b\\\x9b5mtext\u202e\x07"
    ran = await stage.run(["print", evil], on_line=shown.append)
    assert shown == ["red text\ufffd\ufffd"]
    assert ran.stdout == evil + "\n"  # the record has what was said


def test_visible_text_has_no_control_character_whatever_is_cut_off() -> None:
    whole = "a\x1b[1;31mb\x1b]8;;http://x\x1b\\c\x1bP1$r\x1b\\d\x1b(Be\tf"
    assert visible(whole) == "abcde f"
    for end in range(len(whole)):
        assert visible(whole[:end]).isprintable()
        assert visible(whole[end:]).isprintable()


def test_the_last_line_is_handed_on_as_it_grows() -> None:
    shown: list[str] = []
    lines = LastLine(shown.append)
    for chunk in (b"one\ntw", b"o", b"\n\n", b"10%\r20%\r", b"\xc3", b"\xa4\n", b"x" * 100_000, b"\nend"):
        lines.take("stdout", chunk)
    assert [line[:10] for line in shown] == ["tw", "two", "two", "20%", "\ufffd", "ä", "x" * 10, "end"]
    assert max(map(len, shown)) <= 4096


async def test_what_a_listener_raises_is_raised_at_the_end_and_harms_no_output(stage: Stage, tmp_path: Path) -> None:
    def broken(line: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stage.run(["print", "one"], ["print", "two"], on_line=broken, transcript=tmp_path / "t.log")
    assert (tmp_path / "t.log").read_text().endswith("one\ntwo\n")


# -- transcripts -------------------------------------------------------------------------------------------------------


async def test_a_transcript_is_written_as_it_comes_and_named_when_whole(stage: Stage, tmp_path: Path) -> None:
    final = tmp_path / "transcripts" / "task-1" / "execute.log"
    gate = tmp_path / "gate"
    task = asyncio.ensure_future(
        stage.run(["print", "thinking"], ["wait_for", str(gate)], ["print", "done"], transcript=final)
    )
    partial = final.with_name("execute.log.partial")
    while not (partial.exists() and b"thinking" in partial.read_bytes()):
        await asyncio.sleep(0.01)
    assert not final.exists()
    gate.write_text("")
    ran = await task
    assert ran.transcript == str(final)
    head, _, rest = final.read_text().partition("\n")
    assert json.loads(head) == {"argv": stage.scripted.argv("execute"), "cwd": str(stage.folder)}
    assert rest == "--- standard input ---\nTask 1\n--- output ---\nthinking\ndone\n"
    assert not partial.exists()
    assert final.stat().st_mode & 0o777 == 0o600


async def test_a_secret_is_masked_in_the_transcript_the_live_view_and_the_error(stage: Stage, tmp_path: Path) -> None:
    vault = Vault({"TOKEN": "s3cr3t-t0ken-value"})
    shown: list[str] = []
    ran = await stage.run(
        ["print", "it is s3cr3t-t0ken-value"], ["error", "s3cr3t-t0ken-value"], vault=vault, on_line=shown.append,
        transcript=tmp_path / "t.log",
    )  # fmt: skip
    assert "s3cr3t" not in (tmp_path / "t.log").read_text() + ran.stderr + "".join(shown)
    assert "it is " in (tmp_path / "t.log").read_text()


async def test_a_transcript_that_cannot_be_written_costs_nothing_else(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = await stage.run(["print", "done"], transcript=tmp_path / "file" / "t.log")
    assert (ran.exit_code, ran.stdout, ran.transcript) == (0, "done\n", None)
    ran = await stage.run(["print", "done"], transcript=Path("/dev/full/x.log"))
    assert (ran.exit_code, ran.transcript) == (0, None)


# -- usage -------------------------------------------------------------------------------------------------------------


async def test_what_an_agent_reports_is_read(stage: Stage) -> None:
    ran = await stage.run(["print", "working"], ["report", "the plan"])
    assert ran.usage == Usage(100, 20, 0.25)
    assert ran.text == "the plan"


@pytest.mark.parametrize(
    ("stdout", "usage", "answer"),
    [
        ("", None, None),
        ("plain text", None, None),
        ("[1, 2]", None, None),
        ("{broken", None, None),
        ('{"result": 5}', None, None),
        ('{\n  "response": "hi",\n  "usage": {"prompt_tokens": 3, "completion_tokens": 4}\n}\n', Usage(3, 4), "hi"),
        ('{"type":"start"}\n{"type":"turn.completed","usage":{"input_tokens":7,"output_tokens":1}}\n', Usage(7, 1), None),
        ('[{"type":"a"},{"result":"r","total_cost_usd":1.5}]', Usage(cost=1.5), "r"),
        ('{"usage":{"input_tokens":5,"cache_read_input_tokens":100,"cache_creation_input_tokens":1}}', Usage(106), None),
        ('{"usage":{"input_tokens":-1,"output_tokens":true},"total_cost_usd":"much"}', None, None),
        ('{"usage":[1],"total_cost_usd":1e400}', None, None),
        ('{"total_cost_usd":0}', Usage(cost=0), None),
        ("[" * 100_000, None, None),
    ],
)  # fmt: skip
def test_reports_of_every_shape(stdout: str, usage: Usage | None, answer: str | None) -> None:
    report = final_object(stdout)
    assert (usage_of(report), answer_of(report)) == (usage, answer)


# -- together ----------------------------------------------------------------------------------------------------------


async def test_agents_run_beside_each_other_and_their_stamps_say_so(children: Children, tmp_path: Path) -> None:
    from agents.scripted import most_at_once

    scripted = Scripted(tmp_path / "script", {"execute": [["hold", 0.3]]})
    await asyncio.gather(*(
        run_agent(children, scripted.argv("execute"), cwd=tmp_path, env=scripted.env, stdin=f"Task {n}") for n in range(3)
    ))  # fmt: skip
    spans = scripted.spans()
    assert sorted(span.task for span in spans) == ["0", "1", "2"]
    assert most_at_once(spans) == 3
    for n in (3, 4):
        await run_agent(children, scripted.argv("execute"), cwd=tmp_path, env=scripted.env, stdin=f"Task {n}")
    assert most_at_once(scripted.spans()[3:]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_no_descriptor_is_left_open(stage: Stage, tmp_path: Path) -> None:
    await stage.run(["print", "x"], transcript=tmp_path / "t.log")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        await stage.run(["print", "x"], transcript=tmp_path / "t.log")
    assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)
