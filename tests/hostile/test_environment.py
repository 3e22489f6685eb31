"""A broken machine around the command line: what can go on goes on, what cannot says why, with the right exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.project import WEFT, Project, Said, clean_environment

BODY = """
<command id="c">echo hi</command>
<python id="p" input="c">
```python
def main(input):
    return input
```
</python>
<foreach id="e" collection="range(3)"><transform:value id="v">[p, $item]</transform:value></foreach>
"""
OUTPUT = [["hi", 0], ["hi", 1], ["hi", 2]]


def calm(said: Said) -> Said:
    """No traceback, no fault of ours, no words of the interpreter."""
    for word in (b"Traceback", b"internal error", b"Exception ignored", b"Error in"):
        assert word not in said.err, said.text
    assert said.code not in (70, -11, -6)
    return said


def within(shell: str) -> tuple[str, ...]:
    """Words in front of a command, to run it from a shell as `exec "$@"`."""
    return ("sh", "-c", shell, "sh")


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": None},
        {"PATH": None},
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TMPDIR": "/nonexistent"},
        {"TZ": "Nowhere/At-All"},
        {"TERM": "\x1b[31m", "COLUMNS": "x", "LINES": "-1"},
        {"PYTHONPATH": "/nonexistent", "PYTHONHASHSEED": "0"},
        {"NO_COLOR": "", "FORCE_COLOR": "1"},
    ],
    ids=lambda env: " ".join(env),
)
def test_a_strange_environment_changes_no_result(project: Project, env: dict[str, str | None]) -> None:
    said = calm(project.cli_run(BODY, "", env=env))
    assert said.code == 0
    assert said.json["output"] == OUTPUT


def test_an_empty_environment_is_enough(project: Project) -> None:
    said = calm(project.cli_run(BODY, "", prefix=("env", "-i")))
    assert said.code == 0
    assert said.json["output"] == OUTPUT


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_what_the_terminal_cannot_show_does_not_end_the_run(project: Project, encoding: str) -> None:
    document = project.write('<command id="c">printf "h\\303\\251 \\342\\230\\203"</command>')
    env = {"PYTHONIOENCODING": encoding}
    for args in (
        ("run", str(document)),
        ("run", str(document), "--json"),
        ("show", "last"),
        ("show", "last", "--json"),
    ):
        assert calm(project.cli(*args, env=env)).code == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("args", [(), ("--json",)], ids=["", "--json"])
def test_closed_streams_change_no_result(project: Project, closed: str, args: tuple[str, ...]) -> None:
    document = project.write(BODY)
    assert calm(project.cli("run", str(document), *args, prefix=within(f'exec "$@" {closed}'))).code == 0
    shown = calm(project.cli("show", "last", "--json"))
    assert shown.json["output"] == OUTPUT


def test_output_that_cannot_be_written_is_said_and_the_run_is_kept(project: Project) -> None:
    document = project.write(BODY)
    said = calm(project.cli("run", str(document), "--json", prefix=within('exec "$@" >/dev/full')))
    assert (said.code, said.text) == (74, "weft: cannot write to standard output: no space left on device\n")
    assert project.cli("show", "last", "--json").json["status"] == "succeeded"
    assert calm(project.cli("run", "nope", prefix=within('exec "$@" 2>/dev/full'))).code == 66


def test_a_reader_that_goes_away_is_no_error(project: Project) -> None:
    assert project.cli_run(BODY).code == 0
    said = calm(project.cli("show", "last", "--events", prefix=within('"$@" | head -c 1; exit 0')))
    assert said.text == ""


@pytest.mark.parametrize(
    ("broken", "code", "says"),
    [
        (".weft", 73, ".weft: file exists"),
        (".weft/runs", 73, "runs: file exists"),
    ],
)
def test_a_journal_that_is_no_folder_is_said(project: Project, broken: str, code: int, says: str) -> None:
    document = project.write(BODY)
    (project.folder / broken).parent.mkdir(exist_ok=True)
    (project.folder / broken).write_text("x")
    said = calm(project.cli("run", str(document)))
    assert said.code == code
    assert says in said.text
    assert (
        "hint: keep runs elsewhere (`--journal FOLDER`, journal=FOLDER), or in memory (`--journal none`, journal=None)"
        in said.text
    )
    assert calm(project.cli("runs")).code == 74
    assert (project.folder / broken).read_text() == "x"
    assert calm(project.cli("run", str(document), "--journal", "none")).code == 0


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write everywhere")
@pytest.mark.parametrize("place", [".", ".weft"])
def test_a_folder_without_permission_is_said(project: Project, place: str) -> None:
    document = project.write("<transform:value id='v'>1</transform:value>")
    folder = project.folder / place
    folder.mkdir(exist_ok=True)
    for each in (project.folder, *list(project.folder.parents)[:4]):
        each.chmod(each.stat().st_mode | 0o055)
    folder.chmod(0o555)
    nobody = () if os.geteuid() else ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    try:
        if project.cli("check", str(document), prefix=nobody).code:
            pytest.skip("another user cannot run this weft, or reach this folder")
        said = calm(project.cli("run", str(document), prefix=nobody))
        assert said.code == 77
        assert ".weft" in said.text
        assert "permission denied" in said.text
        assert calm(project.cli("run", str(document), "--journal", "none", prefix=nobody)).code == 0
    finally:
        folder.chmod(0o755)


def test_rubbish_where_the_history_is_costs_nothing_but_the_history(project: Project) -> None:
    document = project.write(BODY)
    assert project.cli("run", str(document)).code == 0
    (project.folder / ".weft" / "history.db").write_bytes(b"rubbish" * 1000)
    assert calm(project.cli("run", str(document), "--json")).json["output"] == OUTPUT


def test_a_damaged_run_hurts_no_other(project: Project) -> None:
    document = project.write(BODY)
    assert project.cli("run", str(document)).code == 0
    [run] = (project.folder / ".weft" / "runs").iterdir()
    (run / "journal.db").write_bytes(b"rubbish" * 1000)
    assert calm(project.cli("run", str(document))).code == 0
    listed = calm(project.cli("runs"))
    assert listed.code == 0
    assert f"{run.name}            damaged" in listed.out.decode()
    for command in ("show", "resume", "logs"):
        assert calm(project.cli(command, run.name)).code == 74


def test_a_working_directory_that_is_gone_is_said(project: Project) -> None:
    document = project.write(BODY)
    gone = within('mkdir gone; cd gone; rmdir ../gone; exec "$@"')
    assert calm(project.cli("run", str(document), prefix=gone)).code == 0
    said = calm(project.cli("runs", prefix=gone))
    assert (said.code, said.text) == (66, "weft: the working directory has been removed\nhint: go to another one\n")
    assert calm(project.cli("run", "doc.flow.md", prefix=gone)).code == 66


def test_a_very_long_path_is_no_obstacle(project: Project) -> None:
    project.write(BODY)
    name = "d" * 250
    down = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do mkdir -p {name}; cd {name}; done"
    try:
        said = calm(
            project.cli(
                "run", "doc.flow.md", "--json", prefix=within(f'd=$PWD; {down}; cp "$d/doc.flow.md" .; exec "$@"')
            )
        )
        assert (said.code, said.json["output"]) == (0, OUTPUT)
    finally:
        subprocess.run(["rm", "-rf", str(project.folder / name)], check=True)


@pytest.mark.parametrize(
    "name", ["dökü ment ☃", "a'b\"c$(touch made)`touch made`", "-rf", "x\u202ey", "#?%20&", " ", "a\nb"]
)
def test_a_document_may_have_any_name_that_is_text(project: Project, name: str) -> None:
    document = project.folder / f"{name}.flow.md"
    project.write(BODY).rename(document)
    said = calm(project.cli("run", "--json", "--", document.name))
    assert (said.code, said.json["output"]) == (0, OUTPUT)
    for view in (("show", "last"), ("runs",), ("show", "last", "--events")):
        said = calm(project.cli(*view))
        assert said.code == 0
        assert "\u202e" not in said.out.decode()
    assert not (project.folder / "made").exists()


def test_a_document_whose_name_is_no_text_is_refused(project: Project) -> None:
    name = os.fsdecode(b"caf\xe9.flow.md")
    project.write(BODY).rename(project.folder / name)
    said = calm(project.cli("run", name))
    assert said.code == 65
    assert said.text == "weft: the document's name, or that of a folder around it, is not UTF-8\nhint: rename it\n"


def test_files_with_strange_names_are_read_or_named_in_the_error(project: Project) -> None:
    folder = project.folder / "data"
    folder.mkdir()
    for name in ("☃.txt", "a b.txt", "$(touch made).txt", "'; touch made; '.txt", "-rf.txt", "{{ 1 }}.txt", "*.txt"):
        (folder / name).write_text(name)
    body = """
    <source:files id="f" pattern="data/*" format="text"/>
    <foreach id="e" collection="f"><source:file id="r" path="{{ $item.path }}" format="text"/></foreach>
    """
    said = calm(project.cli_run(body))
    assert said.json["output"] == sorted(path.name for path in folder.iterdir())
    (folder / "new\nline\x1b[31m.txt").write_text("")
    said = calm(project.cli_run(body))
    assert said.code == 1
    assert b"\x1b" not in said.out + said.err
    assert "has a control character in it" in said.json["errors"][0]["message"]
    assert not (project.folder / "made").exists()


def test_runs_at_once_in_one_project_do_not_see_each_other(project: Project) -> None:
    project.write('<command id="c">echo "$WEFT_RUN"</command>')
    command = [*WEFT, "run", "doc.flow.md", "--json"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": clean_environment(), "cwd": project.folder}
    running = [subprocess.Popen(command, **options) for _ in range(6)]  # type: ignore[call-overload]
    said = [process.communicate(timeout=60) for process in running]
    assert [(process.returncode, err) for process, (_, err) in zip(running, said, strict=True)] == [(0, b"")] * 6
    import json

    results = [json.loads(out) for out, _ in said]
    assert all(result["output"] == result["run"] for result in results)
    assert len({result["run"] for result in results}) == 6
    assert len(json.loads(project.cli("runs", "--json").out)) == 6


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where one can be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_run_on_a_full_disk_stops_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    project = Project(small_disk / "project")
    document = project.write(
        '<foreach id="e" collection="range(3000)"><transform:value id="v">repeat("abcdefghij", 100)</transform:value></foreach>'
        '<transform:value id="n">length(e)</transform:value>'
    )
    said = calm(project.cli("run", str(document)))
    assert said.code == 74
    assert "database or disk is full" in said.text
    assert "hint: see to the disk, then `weft resume" in said.text
    assert calm(project.cli("show", "last")).code == 0
    again = calm(project.cli("resume", "last"))
    assert again.code in (73, 74)
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    done = calm(project.cli("resume", "last", "--json"))
    assert (done.code, done.json["output"]) == (0, 3000)
    subprocess.run("head -c 200000000 /dev/zero > fill", shell=True, cwd=small_disk, capture_output=True, check=False)
    assert calm(project.cli("run", str(document))).code == 73
