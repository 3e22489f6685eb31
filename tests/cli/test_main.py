"""The command as a whole: help, wrong words, what goes wrong and what it means, what is imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import weft as package
from weft.cli.main import COMMANDS


def test_the_version(weft):
    assert weft("--version").out == f"weft {package.__version__}\n"


def test_help_lists_every_command_with_a_line(weft):
    said = weft("--help")
    assert said.code == 0
    for name, (_, text) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", said.out, re.MULTILINE), name


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_line_in_the_help_is_what_the_command_says_of_itself(weft, name):
    said = weft(name, "--help")
    assert said.code == 0
    first = said.out.split("\n\n")[1].strip().splitlines()[0].rstrip(".")
    assert said.out.startswith(f"Usage: weft {name}")
    assert first


WRONG = [
    (["fooo"], 64, "weft: no such command: 'fooo'\nhint: see `weft --help`\n"),
    (["rnu"], 64, "weft: no such command: 'rnu'\nhint: did you mean `weft run`?\n"),
    (["x.flow.md"], 64, "weft: no such command: 'x.flow.md'\nhint: did you mean `weft run x.flow.md`?\n"),
    (["--foo"], 64, "weft: no such option '--foo'\nhint: see `weft --help`\n"),
    # run
    (["run"], 64, "weft: missing argument 'FILE'\nhint: see `weft run --help`\n"),
    (["run", "helo.flow.md"], 66, "weft: there is no file 'helo.flow.md'\nhint: did you mean 'hello.flow.md'?\n"),
    (["run", "."], 66, "weft: '.' is a folder, not a document\nhint: name a file inside it\n"),
    (
        ["run", "hello.flow.md", "--jbos", "2"],
        64,
        "weft: no such option '--jbos'\nhint: did you mean --jobs or --json?\n",
    ),
    (
        ["run", "hello.flow.md", "--jobs", "0"],
        64,
        "weft: invalid value for '--jobs': 0 is not in the range x>=1\nhint: see `weft run --help`\n",
    ),
    (
        ["run", "hello.flow.md", "--jobs", "x"],
        64,
        "weft: invalid value for '--jobs': 'x' is not a valid whole number\nhint: see `weft run --help`\n",
    ),
    (
        ["run", "hello.flow.md", "--set", "a.b"],
        64,
        "weft: --set 'a.b': not a NAME=VALUE\nhint: like --set threshold=70\n",
    ),
    (
        ["run", "hello.flow.md", "--timeout", "5"],
        64,
        "weft: --timeout: timeout is '5', which is not a duration\n"
        "hint: give it a unit: 5s, or write one of 500ms, 5s, 1m, 2h, 1d, 1h30m, 1.5s or PT1H\n",
    ),
    (
        ["run", "hello.flow.md", "--journal", "postgres://x"],
        64,
        "weft: --journal: 'postgres://x': journals at an address are not supported yet\nhint: name a folder\n",
    ),
    (["run", "hello.flow.md", "--input", "@no.json"], 66, "weft: --input: there is no file no.json\n"),
    (["run", "hello.flow.md", "--env-file", "no.env"], 66, "weft: --env-file: there is no file no.env\n"),
    (
        ["run", "hello.flow.md", "more"],
        64,
        "weft: got unexpected extra argument (more)\nhint: see `weft run --help`\n",
    ),
    # resume, show, logs, why, cancel, decide: no runs yet
    (["resume"], 64, "weft: missing argument 'RUN'\nhint: see `weft resume --help`\n"),
    (["resume", "last"], 66, "weft: there are no runs in PROJECT/.weft\nhint: start one with `weft run`\n"),
    (["resume", "last", "--takeover"], 64, "weft: no such option '--takeover'\nhint: did you mean --take-over?\n"),
    (["show"], 64, "weft: missing argument 'RUN'\nhint: see `weft show --help`\n"),
    (["show", "last"], 66, "weft: there are no runs in PROJECT/.weft\nhint: start one with `weft run`\n"),
    (["show", "last", "--jsn"], 64, "weft: no such option '--jsn'\nhint: did you mean --json?\n"),
    (["logs"], 64, "weft: missing argument 'RUN'\nhint: see `weft logs --help`\n"),
    (["logs", "last"], 66, "weft: there are no runs in PROJECT/.weft\nhint: start one with `weft run`\n"),
    (["logs", "last", "a", "b"], 64, "weft: got unexpected extra argument (b)\nhint: see `weft logs --help`\n"),
    (["why", "last"], 64, "weft: missing argument 'PATH'\nhint: see `weft why --help`\n"),
    (["why", "last", "x"], 66, "weft: there are no runs in PROJECT/.weft\nhint: start one with `weft run`\n"),
    (["why", "last", "x", "y"], 64, "weft: got unexpected extra argument (y)\nhint: see `weft why --help`\n"),
    (["cancel"], 64, "weft: missing argument 'RUN'\nhint: see `weft cancel --help`\n"),
    (["cancel", "last"], 66, "weft: there are no runs in PROJECT/.weft\nhint: start one with `weft run`\n"),
    (["cancel", "last", "--reason"], 64, "weft: option '--reason' requires an argument\n"),
    (["decide", "last", "x"], 64, "weft: missing argument 'done|retry|fail'\nhint: see `weft decide --help`\n"),
    (["decide", "last", "x", "yes"], 64, "weft: 'yes' is not an answer\nhint: answer done, retry or fail\n"),
    (
        ["decide", "last", "x", "retry", "--value", "1"],
        64,
        "weft: --value goes with done\nhint: a retry or a failure has no output\n",
    ),
    (["runs", "x"], 64, "weft: got unexpected extra argument (x)\nhint: see `weft runs --help`\n"),
    (["runs", "--jsn"], 64, "weft: no such option '--jsn'\nhint: did you mean --json?\n"),
    (["runs", "--journal", ""], 64, "weft: --journal: an empty name\nhint: name a folder, or none\n"),
    # documents
    (["check"], 64, "weft: missing argument 'FILE...'\nhint: see `weft check --help`\n"),
    (["check", "no.flow.md"], 66, "weft: there is no file 'no.flow.md'\nhint: did you mean 'hello.flow.md'?\n"),
    (["check", "."], 66, "weft: '.' is a folder, not a document\nhint: name a file inside it\n"),
    (["graph"], 64, "weft: missing argument 'FILE'\nhint: see `weft graph --help`\n"),
    (["graph", "no"], 66, "weft: there is no file 'no'\n"),
    (
        ["graph", "hello.flow.md", "--format", "svg"],
        64,
        "weft: invalid value for '--format': 'svg' is not one of 'text', 'mermaid', 'dot', 'json'\n"
        "hint: see `weft graph --help`\n",
    ),
    (["nodes", "comand"], 66, "weft: no node kind is called 'comand'\nhint: did you mean command?\n"),
    (["nodes", "zzzz"], 66, "weft: no node kind is called 'zzzz'\nhint: `weft nodes` lists all kinds\n"),
    (["nodes", "a", "b"], 64, "weft: got unexpected extra argument (b)\nhint: see `weft nodes --help`\n"),
    # this machine
    (["doctor", "x"], 64, "weft: got unexpected extra argument (x)\nhint: see `weft doctor --help`\n"),
    (["limits", "--xyz"], 64, "weft: no such option '--xyz'\nhint: see `weft limits --help`\n"),
    (["config", "--origin"], 64, "weft: no such option '--origin'\nhint: did you mean --show-origin or --config?\n"),
    (["completion"], 64, None),
    (
        ["completion", "tcsh"],
        64,
        "weft: invalid value for '{bash|zsh|fish}': 'tcsh' is not one of 'bash', 'zsh', 'fish'\n"
        "hint: see `weft completion --help`\n",
    ),
]


@pytest.mark.parametrize(("args", "code", "message"), WRONG, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_every_mistake_has_a_message_and_its_code(hello, args, code, message):
    said = hello(*args)
    assert (said.code, said.out) == (code, "")
    if message is not None:
        assert said.err == message


def test_without_a_command_the_help_is_shown_and_the_code_is_that_of_a_wrong_command_line(weft):
    said = weft()
    assert said.code == 64
    assert "Commands:" in said.err + said.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_document_that_may_not_be_read(hello):
    (hello.folder / "hello.flow.md").chmod(0)
    assert hello("run", "hello.flow.md").code == 77


# -- bugs, and other ends ----------------------------------------------------------------------------------------------


@pytest.fixture
def broken(hello, monkeypatch):
    """`weft check` has a bug; what it raises is to be set."""
    import weft.app.documents

    raised: list[BaseException] = []

    def load(path):
        raise raised[0]

    monkeypatch.setattr(weft.app.documents, "load", load)
    return hello, raised


def test_a_bug_of_ours_shows_no_traceback_and_says_where_it_was_written(broken, tmp_path, monkeypatch):
    weft, raised = broken
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    raised.append(KeyError("some data"))
    said = weft("check", "hello.flow.md")
    found = re.fullmatch(
        r"weft: internal error ([0-9a-f]{8}), a bug of Weft's: KeyError\nhint: please report it with (\S+)\n", said.err
    )
    assert found is not None
    assert said.code == 70
    written = Path(found[2].replace("PROJECT", str(tmp_path)))
    assert found[1] in written.name
    assert "KeyError: 'some data'" in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o600


def test_a_bug_that_quotes_a_secret_hides_it(broken, tmp_path, monkeypatch):
    weft, raised = broken
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = ValueError("token is hunter22")
    error.mask = lambda text: text.replace("hunter22", "***")
    raised.append(error)
    weft("check", "hello.flow.md")
    (written,) = tmp_path.glob("weft-*.txt")
    assert "token is ***" in written.read_text()


def test_where_nothing_can_be_written_a_bug_is_still_told(broken, monkeypatch):
    weft, raised = broken
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    raised.append(ValueError("x"))
    said = weft("check", "hello.flow.md")
    assert (said.code, said.err.splitlines()[1]) == (70, "hint: please report it")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "weft: interrupted\n"),
        (OSError(28, "No space left on device", "/x"), 74, "weft: no space left on device: /x\n"),
        (PermissionError(13, "Permission denied", "/x"), 77, "weft: permission denied: /x\n"),
        (MemoryError(), 74, "weft: out of memory\nhint: give it less at once: fewer jobs, smaller outputs\n"),
        (BrokenPipeError(32, "Broken pipe"), 0, ""),
        (ExceptionGroup("g", [PermissionError(13, "Permission denied", "/x")]), 77, "weft: permission denied: /x\n"),
    ],
)
def test_what_else_can_happen(broken, error, code, message):
    weft, raised = broken
    raised.append(error)
    said = weft("check", "hello.flow.md")
    assert (said.code, said.out, said.err) == (code, "", message)


def test_escape_sequences_in_names_do_not_reach_the_terminal(weft):
    said = weft("check", "a\x1b]0;title\x07\u202eb")
    assert said.code == 66
    assert not any(c in said.err for c in "\x1b\x07\u202e")


def test_a_document_whose_name_is_not_utf8_is_refused_before_anything_is_made(hello):
    (hello.folder / "hello.flow.md").rename(hello.folder / "a\udcff.flow.md")
    said = hello("run", "a\udcff.flow.md", "--json")
    assert (said.code, said.out) == (65, "")
    assert said.err == "weft: the document's name, or that of a folder around it, is not UTF-8\nhint: rename it\n"
    assert not (hello.folder / ".weft").exists()


def test_a_working_directory_that_is_gone(weft, monkeypatch):
    gone = weft.folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = weft("runs")
    assert (said.code, said.err) == (66, "weft: the working directory has been removed\nhint: go to another one\n")


def test_a_journal_at_an_address_names_its_source(hello, monkeypatch):
    monkeypatch.setenv("WEFT_JOURNAL", "postgres://x")
    said = hello("run", "hello.flow.md")
    assert said.code == 65
    assert said.err.startswith("weft: WEFT_JOURNAL: journals at an address are not supported yet\n")


# -- what is imported --------------------------------------------------------------------------------------------------

_NEVER = {"rich", "httpx2", "multiprocessing", "importlib.metadata"}
_NOT_FOR_WORDS = {"asyncio", "sqlite3", "yaml", "msgspec", "ssl"} | _NEVER


def imported(weft, *args):
    """The modules that a command imports, as Python itself says."""
    command = [sys.executable, "-X", "importtime", "-m", "weft", *args]
    done = subprocess.run(command, cwd=weft.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("args", [["--version"], ["--help"]])
def test_version_and_help_import_next_to_nothing(hello, args):
    assert imported(hello, *args) & _NOT_FOR_WORDS == set()


def test_a_check_imports_no_loop_and_no_database(hello):
    assert imported(hello, "check", "hello.flow.md") & (_NEVER | {"asyncio", "sqlite3"}) == set()


def test_a_run_imports_nothing_that_the_document_does_not_need(hello):
    assert imported(hello, "run", "hello.flow.md") & _NEVER == set()


def test_importing_weft_imports_no_other_package():
    code = "import sys, weft; print([m for m in sys.modules if m.partition('.')[0] in ('msgspec', 'click', 'yaml')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_module_is_the_command(hello):
    said = hello.process("check", "hello.flow.md", "--json")
    assert (said.code, msgspec.json.decode(said.raw)["valid"]) == (0, True)
