"""`weft run` and `weft resume`: what is shown of a run, to people and to machines, and how the command ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_pipe_gets_a_line_per_event_and_a_summary(hello):
    said = hello("run", "hello.flow.md")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "OFFSET  hello  run RUN started\n"
        "OFFSET  greet  started\n"
        "OFFSET  greet  succeeded  N s\n"
        "OFFSET  hello  succeeded\n"
        "hello succeeded in N s: 1 succeeded (run RUN)\n"
        "output: Hello, world!\n"
    )


def test_without_progress_only_the_summary(hello):
    said = hello("run", "hello.flow.md", "--no-progress")
    assert said.out == "hello succeeded in N s: 1 succeeded (run RUN)\noutput: Hello, world!\n"


def test_json_is_one_object_with_every_field_and_nothing_else(hello):
    said = hello("run", "hello.flow.md", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n") == 1
    result = json.loads(said.out)
    assert 0 < result.pop("duration") < 10
    assert 0 < result["nodes"]["greet"].pop("duration") < 10
    assert result == {
        "schema": "weft.run/1",
        "run": "RUN",
        "workflow": "hello",
        "status": "succeeded",
        "exit_code": 0,
        "output": "Hello, world!",
        "started_at": "TIME",
        "completed_at": "TIME",
        "waves": 1,
        "current_wave": 0,
        "nodes": {
            "greet": {
                "kind": "command",
                "status": "succeeded",
                "output": "Hello, world!",
                "error": None,
                "attempts": 1,
                "reason": "new",
                "started_at": "TIME",
                "completed_at": "TIME",
            }
        },
        "nodes_left_out": 0,
        "errors": [],
        "rollback": None,
    }


def test_events_as_json_are_a_line_each_with_type_time_and_path(hello):
    said = hello("run", "hello.flow.md", "--events", "--json")
    assert (said.code, said.err) == (0, "")
    events = lines(said.out)
    assert [event["type"] for event in events] == ["RunStarted", "AttemptStarted", "AttemptSucceeded", "RunFinished"]
    assert all(event["at"] == "TIME" for event in events)
    assert events[2].pop("duration") > 0
    assert events[2] == {
        "type": "AttemptSucceeded",
        "at": "TIME",
        "path": "greet",
        "attempt": 1,
        "output": "Hello, world!",
        "exit_code": 0,
        "stderr": "",
    }


FAILED = """\
failed: each[1]/work (attempt 1): CommandError: the command ended with exit code 1
  at failing.flow.md:6
  | line 2
  log: .weft/runs/RUN/logs/each[1]%2Fwork.1.log
failed: flaky (attempt 2): CommandError: the command ended with exit code 7
  at failing.flow.md:9
  | to the log
  log: .weft/runs/RUN/logs/flaky.2.log
go on with: weft resume RUN
"""


def test_a_failed_run_lists_every_failed_path_its_log_and_the_way_on(failing):
    said = failing("run", "failing.flow.md", "--no-progress")
    assert said.code == 1
    # each failed at index 1, so index 2 never started
    assert said.out == "failing failed in N s: 3 failed, 2 succeeded, 2 skipped (run RUN)\n"
    by_path = sorted(said.err.replace("go on with: weft resume RUN\n", "").split("failed: ")[1:])
    expected = sorted(FAILED.replace("go on with: weft resume RUN\n", "").split("failed: ")[1:])
    assert by_path == expected
    assert said.err.endswith("go on with: weft resume RUN\n")


def test_a_failed_run_as_json_lists_failed_nodes_first_and_every_error(failing):
    result = failing.json("run", "failing.flow.md", "--json", code=1)
    assert (result["status"], result["exit_code"]) == ("failed", 1)
    assert [node["status"] for node in result["nodes"].values()] == ["failed"] * 3 + ["succeeded"] * 2 + ["skipped"] * 2
    assert {error["path"]: (error["type"], error["attempt"]) for error in result["errors"]} == {
        "each[1]/work": ("CommandError", 1),
        "flaky": ("CommandError", 2),
    }
    assert set(result["errors"][0]) == {"path", "type", "message", "attempt"}
    assert result["nodes"]["flaky"]["error"]["status"] == 7
    assert result["nodes"]["after"]["reason"].startswith("never started: ")


def test_a_run_that_was_not_kept_cannot_be_resumed_and_says_so(failing):
    said = failing("run", "failing.flow.md", "--no-progress", "--journal", "none")
    assert said.code == 1
    assert said.err.endswith("nothing was kept of this run (journal none): it cannot be resumed\n")
    assert not (failing.folder / ".weft").exists()


def test_the_way_on_names_the_journal_where_it_is_not_the_usual_one(failing):
    said = failing("run", "failing.flow.md", "--no-progress", "--journal", "else where")
    assert said.err.endswith("go on with: weft resume RUN --journal 'else where'\n")
    (run,) = (failing.folder / "else where" / "runs").iterdir()
    assert failing("show", run.name, "--journal", "else where", "--json").code == 0


def test_an_invalid_document_as_json_is_the_object_of_check(weft):
    weft.write("bad", '<comand id="a">x</comand>')
    ran = weft("run", "bad.flow.md", "--json")
    checked = weft("check", "bad.flow.md", "--json")
    assert (ran.code, ran.err, ran.out) == (65, "", checked.out)
    assert json.loads(ran.out)["schema"] == "weft.check/1"


def test_an_invalid_document_shows_every_mistake_and_runs_nothing(weft):
    weft.write("bad", '<transform:value id="a">1 +</transform:value>\n<transform:value id="b">zz</transform:value>')
    said = weft("run", "bad.flow.md")
    assert (said.code, said.out) == (65, "")
    assert said.err.count("bad.flow.md:") == 3
    assert said.err.splitlines()[-1] == "weft: bad.flow.md: 2 errors"
    assert not (weft.folder / ".weft").exists()


def test_warnings_are_shown_and_the_run_goes_on(weft):
    weft.write("warned", '<transform:value id="a">1</transform:value>\n<transform:value id="b">2</transform:value>')
    said = weft("run", "warned.flow.md", "--no-progress")
    assert said.code == 0
    assert "warning WEFT" in said.err
    assert weft("run", "warned.flow.md", "--json").err == ""


def test_what_a_run_was_given_reaches_it(weft):
    weft.write(
        "given",
        '<transform:value id="all">{limit: $config.limit, title: title}</transform:value>',
        "config: {limit: 3}\ninput: {title: string}",
    )
    result = weft.json("run", "given.flow.md", "--json", "--set", "limit=70", "--input", '{"title": "T"}')
    assert result["output"] == {"limit": 70, "title": "T"}


def test_escape_sequences_in_outputs_and_errors_reach_no_stream(weft):
    weft.write(
        "evil",
        r"""
        <command id="title">printf '\033]0;owned\007\342\200\256'</command>
        <command id="fails" needs="title">printf 'evil\033[2J\233' >&2; exit 1</command>
        """,
    )
    for args in (["run", "evil.flow.md"], ["show", "last"], ["logs", "last"], ["why", "last", "fails"]):
        said = weft(*args)
        assert not any(c in said.out + said.err for c in "\x1b\x07\u202e\x9b"), args
    for args in (["run", "evil.flow.md", "--json"], ["show", "last", "--events", "--json"]):
        said = weft(*args)
        assert not any(c in said.out + said.err for c in "\x1b\x07\u202e\x9b"), args
        for line in said.out.splitlines():
            json.loads(line)


# -- dry runs ----------------------------------------------------------------------------------------------------------

EFFECTS = """
<source:http id="get" url="https://api.example.com/v1/items" save="items.json"/>
<source:file id="rows" path="data/in.csv" format="csv"/>
<command id="build" needs="get">make all
make install</command>
<python id="code">
```python
def main():
    return open("/tmp/weft-dry-run", "w")
```
</python>
<sink:file id="out" input="rows" path="out/{{ $config.name }}.json"/>
"""


def test_a_dry_run_says_what_would_be_touched_and_touches_nothing(weft):
    weft.write(
        "effects", EFFECTS, "config: {name: x}\nsecrets: [API_TOKEN]\nruntime: {env: [HOME], hosts: [api.example.com]}"
    )
    before = sorted(path.name for path in weft.folder.rglob("*"))
    said = weft("run", "effects.flow.md", "--dry-run", "--jobs", "4")
    assert said.code == 0
    assert said.out == (
        "effects: 5 nodes in 2 waves, dataflow, 4 jobs at once; nothing is run\n"
        "  wave 0: get, rows, code\n"
        "  wave 1: build, out\n"
        "speaks to:\n"
        "  get: api.example.com\n"
        "reads:\n"
        "  rows: data/in.csv\n"
        "writes:\n"
        "  get: items.json\n"
        "  out: out/{{ $config.name }}.json\n"
        "runs commands:\n"
        "  build: make all\n"
        "         make install\n"
        "runs Python:\n"
        "  code: 2 lines of code\n"
        "secrets: API_TOKEN\n"
        "environment: HOME\n"
        "only these hosts: api.example.com\n"
        "time: unknown, as it has not run yet\n"
    )
    assert sorted(path.name for path in weft.folder.rglob("*")) == before


def test_a_dry_run_as_json(weft):
    weft.write("effects", EFFECTS, "config: {name: x}\nsecrets: [API_TOKEN]")
    said = weft("run", "effects.flow.md", "--dry-run", "--json", "--jobs", "4")
    result = json.loads(said.out)
    assert (said.code, result["schema"], result["waves"]) == (
        0,
        "weft.app.preview/1",
        [["get", "rows", "code"], ["build", "out"]],
    )
    assert result["effects"][0] == {"what": "host", "node": "get", "text": "api.example.com"}
    assert (result["secrets"], result["jobs"], result["hosts"]) == (["API_TOKEN"], 4, None)
    assert result["estimate"] == {"seconds": None, "path": ["get", "build"], "known": 0, "leaves": 5}


def test_after_a_run_a_dry_run_knows_how_long_it_takes(hello):
    hello("run", "hello.flow.md")
    said = hello("run", "hello.flow.md", "--dry-run")
    assert said.out.splitlines()[-1] == "time: about N s, along greet (1 of 1 duration known)"


# -- resume ------------------------------------------------------------------------------------------------------------


def test_a_resume_runs_exactly_what_is_missing(weft):
    weft.write(
        "twice",
        """
        <command id="first">echo first >> ran</command>
        <command id="second" needs="first">echo second >> ran; test -e fixed</command>
        <command id="third" needs="second">echo third >> ran</command>
        """,
    )
    assert weft("run", "twice.flow.md").code == 1
    (weft.folder / "fixed").touch()
    said = weft("resume", "last")
    assert (said.code, said.err) == (0, "")
    assert (weft.folder / "ran").read_text().split() == ["first", "second", "second", "third"]
    assert said.out.splitlines()[0] == "OFFSET  twice  resumed"
    assert said.out.splitlines()[-1] == "twice succeeded in N s: 3 succeeded (run RUN)"


def test_a_changed_document_is_refused_with_the_difference_and_can_be_accepted(failing):
    assert failing("run", "failing.flow.md").code == 1
    path = failing.folder / "failing.flow.md"
    path.write_text(path.read_text().replace("done; exit 7", "done; exit 0"))
    said = failing("resume", "last")
    assert (said.code, said.out) == (65, "")
    assert said.err == (
        "weft: PROJECT/failing.flow.md is not the document that ran\n"
        "  ~ flaky (command): command is different\n"
        "hint: --accept-changes runs what changed and what depends on it again; or restore the document\n"
    )
    result = failing.json("resume", "last", "--accept-changes", "--json", code=1)
    assert [error["path"] for error in result["errors"]] == ["each[1]/work"]


def test_a_run_that_has_ended_well_cannot_be_resumed(hello):
    hello("run", "hello.flow.md")
    said = hello("resume", "last")
    assert (said.code, said.out) == (64, "")
    assert said.err == "weft: run RUN has ended as succeeded\nhint: start a new run, or see weft show\n"


def test_the_five_reasons_why_a_run_cannot_be_resumed_differ(hello):
    hello("run", "hello.flow.md")
    hello("run", "hello.flow.md")
    messages = {hello("resume", run).err.splitlines()[0].split("RUN")[0] for run in ("zzz", "2", "last")}
    assert len(messages) == 3


# -- streams, signals --------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(weft):
    """A project whose document waits until a file is there."""
    weft.write(
        "slow",
        """
        <command id="begins">echo $$ > began; while ! test -e go; do sleep 0.02; done</command>
        <command id="ends" needs="begins">echo ended > ended</command>
        """,
    )
    return weft


def test_a_reader_that_leaves_does_not_end_the_run(hello):
    hello.write("many", "\n".join(f'<command id="c{i}">echo {i}</command>' for i in range(20)))
    process = hello.start("run", "many.flow.md", "--jobs", "2")
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    assert hello.json("show", "last", "--json")["status"] == "succeeded"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nothing(hello, closed):
    import sys

    command = f'exec "$0" -m weft run hello.flow.md {closed}'
    done = subprocess.run(["/bin/sh", "-c", command, sys.executable], cwd=hello.folder, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hello.json("show", "last", "--json")["output"] == "Hello, world!"


def test_a_result_that_cannot_be_written_is_an_error(hello):
    with Path("/dev/full").open("wb") as full:
        process = hello.start("run", "hello.flow.md", "--json", stdout=full)
        assert process.wait(60) == 74
    assert process.stderr.read() == b"weft: cannot write to standard output: no space left on device\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_starts_nothing_new_lets_go_on_what_runs_and_names_the_way_on(slow, wait_until, number, code):
    process = slow.start("run", "slow.flow.md")
    wait_until((slow.folder / "began").exists)
    process.send_signal(number)
    assert process.stderr.readline().startswith(b"weft: leaving")
    (slow.folder / "go").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert slow.normal(out.decode()).splitlines()[-1] == "slow interrupted: 1 succeeded (run RUN)"
    assert slow.normal(err.decode()) == "interrupted; go on with: weft resume RUN\n"
    assert not (slow.folder / "ended").exists()
    assert slow("resume", "last").code == 0
    assert (slow.folder / "ended").exists()


def test_a_second_signal_stops_what_runs(slow, wait_until):
    process = slow.start("run", "slow.flow.md", "--json")
    wait_until((slow.folder / "began").exists)
    child = int((slow.folder / "began").read_text())
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: process.poll() is not None or _signal_again(process))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    result = msgspec.json.decode(out)
    assert (result["status"], result["exit_code"]) == ("interrupted", 143)
    assert slow.normal(err.decode()).splitlines() == [
        "weft: leaving: 1 step may end within N s; Ctrl-C again stops them",
        "weft: leaving: stopping what runs",
        "interrupted; go on with: weft resume RUN",
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def _signal_again(process):
    import time

    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    return False


def test_a_reader_that_stands_still_does_not_stop_the_run(weft, wait_until):
    weft.write("chatty", "\n".join(f'<transform:value id="v{i}">{i}</transform:value>' for i in range(1500)))
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    process = weft.start("run", "chatty.flow.md", stdout=write, stderr=subprocess.DEVNULL)
    os.close(write)
    wait_until(lambda: '"status":"succeeded","exit_code":0' in weft("show", "last", "--json").raw)
    assert process.poll() is None  # it still has something to tell
    with os.fdopen(read, "rb") as file:
        text = file.read()
    assert process.wait(60) == 0
    assert text.count(b"\n") > 1500
