"""What steps give back may be large; what is held of it is not: head and tail are kept, the rest is counted."""

from __future__ import annotations

import json
import re

import pytest

from hostile.project import Project, Said

MEGA = 1_000_000


def left_out(text: str) -> int:
    """The bytes that a text says are missing in its middle."""
    [number] = re.findall(r"\[\.\.\. ([0-9,]+) bytes left out \.\.\.\]", text)
    return int(number.replace(",", ""))


def logged(project: Project) -> list[int]:
    return [path.stat().st_size for path in project.folder.glob(".weft/runs/*/logs/*")]


def ran(project: Project, body: str, megabytes: float, code: int = 0) -> Said:
    said = project.cli("run", str(project.write(body)), "--no-progress")
    assert said.code == code, said.text
    assert said.megabytes < megabytes
    return said


def test_a_command_that_prints_200_mb_leaves_head_tail_and_a_count(project: Project) -> None:
    body = """
    <command id="c">echo first; yes 0123456789abcde | head -c 200000000; echo; echo last</command>
    <transform:value id="n">{size: length(c), first: substring(c, 0, 5), last: substring(c, length(c) - 4)}</transform:value>
    """
    ran(project, body, 200)
    shown = project.cli("show", "last", "--json")
    assert shown.megabytes < 200
    nodes = shown.json["nodes"]
    text = nodes["c"]["output"]
    assert text.startswith("first\n0123456789abcde\n")
    assert text.endswith("\nlast")
    assert len(text) < 11 * MEGA
    assert abs(len(text) + left_out(text) - 200_000_012) < 100
    assert nodes["n"]["output"] == {"size": len(text), "first": "first", "last": "last"}
    assert max(logged(project)) <= 10 * 1024 * 1024


def test_a_command_that_fails_with_200_mb_on_standard_error_is_short_about_it(project: Project) -> None:
    body = '<command id="c">exec >&2; yes 0123456789abcde | head -c 200000000; echo; echo the reason; exit 3</command>'
    said = ran(project, body, 200, code=1)
    assert len(said.err) < 5_000
    assert "the reason" in said.text
    record = project.cli("show", "last", "--json").json
    assert len(json.dumps(record)) < 100_000
    assert max(logged(project)) <= 10 * 1024 * 1024


@pytest.mark.torture
def test_a_function_that_prints_200_mb_is_not_held(project: Project) -> None:
    body = "<python id='p'>\n```python\ndef main():\n    for n in range(2000):\n        print('x' * 100_000)\n    return 1\n```\n</python>"
    ran(project, body, 150)
    assert max(logged(project)) <= 10 * 1024 * 1024


@pytest.mark.torture
def test_a_function_that_returns_50_mb_is_kept_beside_the_journal(project: Project) -> None:
    body = "<python id='p'>\n```python\ndef main():\n    return 'x' * 50_000_000\n```\n</python>\n<transform:value id='n'>length(p)</transform:value>"
    ran(project, body, 300)
    assert project.cli("show", "last", "--json").json["nodes"]["n"]["output"] == 50 * MEGA
    [run] = (project.folder / ".weft" / "runs").iterdir()
    assert (run / "journal.db").stat().st_size < MEGA


def test_a_function_that_returns_too_much_is_told_what_to_do(project: Project) -> None:
    body = "<python id='p'>\n```python\ndef main():\n    return 'x' * 70_000_000\n```\n</python>"
    said = ran(project, body, 300, code=1)
    assert (
        "TooBig: the result has 70,000,002 bytes; the limit is 67,108,864 (write it to a file and return its name)"
        in said.text
    )


@pytest.mark.torture
def test_what_is_used_inside_an_iteration_only_is_not_held_afterwards(project: Project) -> None:
    body = """
    <foreach id="e" collection="range(20000)" concurrency="8">
      <transform:value id="v">repeat("abcdefghij", 1000)</transform:value>
      <transform:value id="n">length(v)</transform:value>
    </foreach>
    <transform:value id="total">sum(e)</transform:value>
    """
    ran(project, body, 300)
    assert project.cli("show", "last", "--json").json["output"] == 200 * MEGA
