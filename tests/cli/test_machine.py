"""`weft doctor`, `limits`, `config` and `completion`."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess

import pytest


def test_the_doctor_finds_this_machine_healthy(weft):
    said = weft("doctor")
    assert (said.code, said.err) == (0, "")
    names = [line[9:].split()[0] for line in said.out.splitlines()]
    assert names == [
        "python", "platform", "sqlite", "journal", "processes", "git",
        "click", "msgspec", "PyYAML", "httpx2", "rich", "settings",
    ]  # fmt: skip
    report = weft.json("doctor", "--json")
    assert report["healthy"] is True
    assert not (weft.folder / ".weft").exists()


@pytest.mark.parametrize(("version", "told"), [((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False)])
def test_an_sqlite_with_the_wal_bug_is_named_with_why_it_does_not_matter(weft, monkeypatch, version, told):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setattr(sqlite3, "sqlite_version", ".".join(map(str, version)))
    line = next(line for line in weft("doctor").out.splitlines() if " sqlite " in line)
    assert ("one writer" in line) is told
    assert line.startswith("ok")


@pytest.mark.parametrize(
    ("kind", "code", "start"),
    [
        ("ext4", 0, "ok"),
        ("overlay", 0, "warning"),
        ("tmpfs", 0, "warning"),
        ("nfs4", 1, "FAILS"),
        ("fuse.sshfs", 1, "FAILS"),
    ],
)
def test_the_journals_file_system_is_judged(weft, monkeypatch, kind, code, start):
    monkeypatch.setattr("weft.journal.folder.filesystem", lambda path, mounts="": kind)
    said = weft("doctor")
    line = next(line for line in said.out.splitlines() if " journal " in line)
    assert (said.code, line.split()[0]) == (code, start)
    assert kind in line


def test_wrong_settings_are_a_finding(weft):
    (weft.folder / "weft.toml").write_text("jbos = 3\n")
    said = weft("doctor")
    assert said.code == 1
    assert said.out.splitlines()[-1] == "FAILS    settings   PROJECT/weft.toml: unknown setting 'jbos'"


def test_limits_lists_those_of_the_design_with_their_values(weft):
    said = weft("limits")
    assert (said.code, said.err) == (0, "")
    values = {limit["name"]: limit["value"] for limit in weft.json("limits", "--json")}
    assert values == values | {
        "document": 2 * 2**20,
        "nesting": 64,
        "nodes": 100_000,
        "value depth": 100,
        "inline value": 64 * 2**10,
        "expression cost": 1_000_000,
        "response": 64 * 2**20,
        "captured output": 10 * 2**20,
    }
    assert len(said.out.splitlines()) == len(values)


def test_every_setting_knows_where_it_comes_from(weft, monkeypatch):
    (weft.folder / "weft.toml").write_text('jobs = 3\nallow-path = ["/data", "/tmp"]\ntimeout = "1h"\n')
    monkeypatch.setenv("WEFT_TIMEOUT", "90s")
    said = weft("config", "--show-origin")
    assert said.code == 0
    assert said.out == (
        "project        PROJECT\n"
        "journal        -                         (default)\n"
        "jobs           3                         (weft.toml)\n"
        "schedule       -                         (default)\n"
        "timeout        90                        (WEFT_TIMEOUT)\n"
        "grace          10                        (default)\n"
        "durability     -                         (default)\n"
        "allow-path     /data, /tmp               (weft.toml)\n"
        "env-file       -                         (default)\n"
        "secrets-file   -                         (default)\n"
    )
    settings = weft.json("config", "--json")["settings"]
    assert settings["timeout"] == {"value": 90.0, "origin": "WEFT_TIMEOUT"}


def test_without_origins_only_the_values(weft):
    assert weft("config").out.splitlines()[1:3] == ["journal        -", "jobs           -"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs = 'x'", "weft: weft.toml: jobs is 'x'; it must be a whole number of 1 or more\n"),
        ("jobs = true", "weft: weft.toml: jobs is True; it must be a whole number of 1 or more\n"),
        ("schedule = 'wave'", "weft: weft.toml: schedule is 'wave'; it must be dataflow or waves\n"),
        ("[jobs]\nx = 1", "weft: PROJECT/weft.toml: jobs is a table, it must be a value\n"),
    ],
)
def test_a_wrong_setting_names_its_source(weft, text, message):
    (weft.folder / "weft.toml").write_text(text)
    said = weft("config")
    assert (said.code, said.out, said.err) == (65, "", message)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_understood_by_their_shells(weft, shell):
    said = weft("completion", shell)
    assert said.code == 0
    assert "_WEFT_COMPLETE" in said.out
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=said.out, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, "")


def test_completion_completes_commands_and_runs(hello):
    hello("run", "hello.flow.md")
    env = {"_WEFT_COMPLETE": "bash_complete", "COMP_WORDS": "weft sh", "COMP_CWORD": "1"}
    assert hello.process(env=env).out.split() == ["plain,show"]
    env |= {"COMP_WORDS": "weft show ", "COMP_CWORD": "2"}
    assert hello.process(env=env).out.split() == ["plain,last", "plain,RUN"]
