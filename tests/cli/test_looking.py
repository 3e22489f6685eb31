"""`weft runs`, `show`, `why` and `logs`."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture
def ran(failing):
    """A project in which one run has failed, another succeeded."""
    failing.write("hello", '<command id="greet">echo "Hello, world!"</command>')
    assert failing("run", "hello.flow.md").code == 0
    assert failing("run", "failing.flow.md").code == 1
    return failing


# -- runs --------------------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first(ran):
    said = ran("runs")
    assert (said.code, said.err) == (0, "")
    rows = [line.split()[:3] for line in said.out.splitlines()]
    assert rows == [["run", "workflow", "status"], ["RUN", "failing", "failed"], ["RUN", "hello", "succeeded"]]


def test_runs_as_json_are_a_list(ran):
    listed = json.loads(ran("runs", "--json").out)
    assert listed == [
        {
            "run": "RUN",
            "workflow": name,
            "status": status,
            "exit_code": code,
            "started_at": "TIME",
            "completed_at": "TIME",
            "errors": errors,
            "document": f"PROJECT/{name}.flow.md",
        }
        for name, status, code, errors in [("failing", "failed", 1, 2), ("hello", "succeeded", 0, 0)]
    ]


def test_where_nothing_has_run_there_are_no_runs(weft):
    said = weft("runs")
    assert (said.code, said.out, said.err) == (0, "", "there are no runs yet; start one with `weft run FILE`\n")
    assert weft("runs", "--json").out == "[]\n"


def test_a_damaged_run_is_listed_as_damaged_and_hides_no_other(ran):
    (ran.folder / ".weft" / "runs" / ran("runs", "--json").raw.split('"')[3] / "journal.db").write_bytes(
        b"nonsense" * 999
    )
    rows = [line.split() for line in ran("runs").out.splitlines()]
    assert [row[-1] if row[1] == "damaged" else row[2] for row in rows[1:]] == ["damaged", "succeeded"]
    said = ran("show", "last")
    assert (said.code, said.out) == (74, "")


# -- show --------------------------------------------------------------------------------------------------------------


def test_show_prints_a_run(ran):
    said = ran("show", ran("runs", "--json").raw.split('"run":"')[2][:22])
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0] == "hello succeeded in N s: 1 succeeded (run RUN)"
    assert said.out.splitlines()[1:3] == ["document: PROJECT/hello.flow.md", "started: TIME, ended: TIME"]
    assert said.out.splitlines()[5:] == [
        "",
        "path   kind     status     attempts  took     why",
        "greet  command  succeeded  1         N s  new",
        "",
        "output: Hello, world!",
    ]


def test_show_of_a_failed_run_lists_the_failures_and_the_way_on(ran):
    out = ran("show", "last").out
    assert "failed: flaky (attempt 2): CommandError: the command ended with exit code 7\n" in out
    assert out.endswith("go on with: weft resume RUN\n")


def test_show_as_json_is_what_the_run_printed(failing):
    ran = failing("run", "failing.flow.md", "--json")
    shown = failing("show", "last", "--json")
    assert (shown.code, shown.raw) == (0, ran.raw)


def test_show_events_is_a_line_per_event(ran):
    text = ran("show", "last", "--events")
    assert text.out.splitlines()[0] == "OFFSET  failing  run RUN started"
    assert text.out.splitlines()[-1] == "OFFSET  failing  failed"
    events = [json.loads(line) for line in ran("show", "last", "--events", "--json").out.splitlines()]
    assert len(events) == len(text.out.splitlines())
    assert (events[0]["type"], events[-1]["type"], events[-1]["status"]) == ("RunStarted", "RunFinished", "failed")


@pytest.fixture
def going_on(weft, wait_until):
    """A project with a run that goes on until the file `go` is there."""
    weft.write(
        "slow",
        '<command id="begins">echo began; touch began; while ! test -e go; do sleep 0.02; done; echo ended</command>',
    )
    weft.start("run", "slow.flow.md")
    wait_until((weft.folder / "began").exists)
    return weft


def test_a_run_that_goes_on_is_running_and_has_no_exit_code(going_on):
    result = going_on.json("show", "last", "--json")
    assert (result["status"], result["exit_code"], result["completed_at"]) == ("running", None, None)
    assert result["nodes"]["begins"]["status"] == "running"
    assert going_on("runs").out.splitlines()[1].split()[2] == "running"


def test_show_follows_a_run_to_its_end(going_on):
    process = going_on.start("show", "last", "-f", "--events")
    assert process.stdout.readline().endswith(b" started\n")
    (going_on.folder / "go").touch()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert going_on.normal(out.decode()).splitlines()[-1] == "OFFSET  slow  succeeded"


def test_logs_follow_a_run_to_its_end(going_on):
    process = going_on.start("logs", "last", "-f")
    assert process.stdout.readline() == b"== begins (attempt 1)\n"
    assert process.stdout.readline() == b"began\n"
    (going_on.folder / "go").touch()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"ended\n", b"")


def test_a_run_whose_process_was_killed_is_interrupted(going_on):
    going_on.processes[0].kill()
    going_on.processes[0].wait(10)
    assert going_on.json("show", "last", "--json")["status"] == "interrupted"
    assert going_on("show", "last").out.endswith("interrupted; go on with: weft resume RUN\n")
    assert going_on("show", "last", "-f").code == 0


def test_a_second_resume_names_the_owner(going_on):
    said = going_on("resume", "last")
    owner = going_on.processes[0].pid
    assert (said.code, said.out) == (75, "")
    assert said.err.startswith(f"weft: run RUN belongs to process {owner} on ")
    assert "--take-over" in said.err.splitlines()[1]


# -- why ---------------------------------------------------------------------------------------------------------------


def test_why_tells_the_attempts_of_a_node(ran):
    said = ran("why", "last", "flaky")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "flaky (command): failed\n"
        "  why: retry 1 of 1\n"
        "  attempt 1 started TIME failed after N s: CommandError: the command ended with exit code 7;"
        " tried again after N s\n"
        "  attempt 2 started TIME (retry 1 of 1) failed after N s: CommandError: the command ended with exit code 7\n"
    )


def test_why_tells_what_a_node_waited_for(ran):
    assert ran("why", "last", "after").out == (
        "after (transform:template): skipped\n  why: never started: each[1]/work failed\n  after: each (failed)\n"
    )


def test_why_tells_what_made_a_block_fail(ran):
    assert ran("why", "last", "each").out == (
        "each (foreach): failed\n  because each[1]/work failed\n  after: numbers (succeeded)\n"
        "  the collection had 3 items\n"
    )


def test_why_as_json(ran):
    story = json.loads(ran("why", "last", "each[1]/work", "--json").out)
    (attempt,) = story.pop("attempts")
    assert story == {
        "run": "RUN",
        "path": "each[1]/work",
        "kind": "command",
        "status": "failed",
        "reason": "new",
        "needs": [],
        "waited": [],
        "notes": [],
        "cause": None,
    }
    assert (attempt["number"], attempt["outcome"], attempt["error"]["type"]) == (1, "failed", "CommandError")


def test_why_of_an_unknown_path_suggests_near_ones(ran):
    said = ran("why", "last", "flakey")
    assert (said.code, said.out) == (66, "")
    assert said.err == "weft: there is no node 'flakey' in run RUN\nhint: did you mean flaky?\n"


def test_why_needs_only_the_runs_own_folder(ran):
    (ran.folder / "failing.flow.md").unlink()
    assert ran("why", "last", "after").out.endswith("  after: each (failed)\n")
    shutil.rmtree(ran.folder / ".weft" / "runs" / ran("runs", "--json").raw.split('"')[3] / "logs")
    assert ran("why", "last", "flaky").code == 0


# -- logs --------------------------------------------------------------------------------------------------------------


def test_logs_of_one_node_show_every_attempt(ran):
    said = ran("logs", "last", "flaky")
    assert (said.code, said.err) == (0, "")
    assert said.out == "== flaky (attempt 1)\nto the log\n== flaky (attempt 2)\nto the log\n"


def test_logs_of_a_block_show_what_is_inside(ran):
    assert ran("logs", "last", "each").out == (
        "== each[0]/work (attempt 1)\nline 1\n== each[1]/work (attempt 1)\nline 2\n"
    )


def test_a_node_that_printed_nothing_says_so(ran):
    said = ran("logs", "last", "numbers")
    assert (said.code, said.out, said.err) == (0, "", "numbers printed nothing\n")


def test_logs_of_an_unknown_path_suggest_near_ones(ran):
    said = ran("logs", "last", "flakey")
    assert (said.code, said.err) == (66, "weft: there is no node 'flakey' in run RUN\nhint: did you mean flaky?\n")


def test_a_secret_is_in_no_log_and_no_output(weft, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter22secret")
    weft.write(
        "s", '<command id="a"><env>T: "{{ $secrets.TOKEN }}"</env>echo "is $T"; exit 1</command>', "secrets: [TOKEN]"
    )
    for args in (
        ["run", "s.flow.md"],
        ["logs", "last"],
        ["show", "last", "--json"],
        ["show", "last", "--events", "--json"],
    ):
        said = weft(*args)
        assert "hunter22secret" not in said.out + said.err
        assert "is ***" in said.out + said.err or args[0] == "show"


def test_colours_and_line_ends_that_are_cut_by_a_piece_are_still_recognised(weft, monkeypatch):
    import io

    from weft.app.logs import LogFile
    from weft.cli.logs import Printer
    from weft.cli.terminal import Out

    text = b"\x1b[1;31mred\x1b[0m\r\nnext\r\n\x1b[32mgreen\x1b[0m\x1b"
    file = weft.folder / "x.1.log"
    file.write_bytes(text)
    for size in range(1, 12):
        monkeypatch.setattr("weft.cli.logs._PIECE", size)
        stream = io.StringIO()
        printer = Printer(Out(stream))
        printer.show(LogFile("x", 1, file))
        printer.finish()
        assert stream.getvalue() == "== x (attempt 1)\nred\nnext\ngreen\\e\n", size


def test_a_takeover_ends_the_owner_and_goes_on(going_on, wait_until):
    (going_on.folder / "began").unlink()
    second = going_on.start("resume", "last", "--take-over", "--json")
    assert going_on.processes[0].wait(20) == -9
    wait_until((going_on.folder / "began").exists)
    (going_on.folder / "go").touch()
    out, err = second.communicate(timeout=60)
    assert (second.returncode, err) == (0, b"")
    assert json.loads(out)["nodes"]["begins"]["attempts"] == 1
