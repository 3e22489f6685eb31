"""Killed at any moment and resumed, a run ends as if nothing had happened (FAULTS F1, F3, F4).

Fast: a few kills of each document. Torture: hundreds, and a kill at every single commit of one document.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from torture import kill_documents
from torture.rig import Ended, Rig, Server, alive, calm, counting_server, step

SEED = int(os.environ.get("WEFT_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
FEW, MANY = 2, 60
"""Kills of each document in the fast suite, and under torture."""


@pytest.fixture
def server() -> Iterator[Server]:
    with counting_server() as found:
        yield found


def delays(draw: random.Random, count: int, longest: float) -> Iterator[float]:
    """When to kill: anywhere in a sitting, also before it has done anything."""
    return iter([draw.uniform(0.05, longest) for _ in range(count)])


def rounds(
    folder: Path, text: str, kills: int, final: int, server: Server | None = None, *, loose: bool = False, **env: str
) -> list[Rig]:
    """Run a document under kills, again and again, until that many have hit; compare with an undisturbed run."""
    draw = random.Random(SEED)
    undisturbed = Rig(folder / "undisturbed", text, server, **env)
    expected = undisturbed.run()
    assert expected.code == final, expected.err
    longest = expected.result["duration"] + 0.35
    done: list[Rig] = []
    hit = 0
    while hit < kills:
        if server is not None:
            server.paths.clear()
        rig = Rig(folder / str(len(done)), text, server, **env)
        ended = rig.run_under_kills(delays(draw, min(6, kills - hit), longest), (final,))
        hit += max(1, len(rig.kills))
        rig.check(UNDO)
        seen, wanted = calm(ended.result), calm(expected.result)
        if loose:
            seen["nodes"] = wanted["nodes"] = None
        assert seen == wanted, f"seed {SEED}, {rig.folder}"
        done.append(rig)
    print(f"seed {SEED}: {sum(len(r.kills) for r in done)} kills in {len(done)} runs")
    return done


UNDO = {"hotel": "no-hotel", "seat": "no-seat", "car": "no-car"}
DOCUMENTS: dict[str, tuple[str, int]] = {
    "mixed": (kill_documents.MIXED, 0),
    "nested": (kill_documents.NESTED, 0),
    "issues": (kill_documents.ISSUES, 2),
    "pure": (kill_documents.PURE, 0),
    "sinks": (kill_documents.SINKS, 0),
    "saga": (kill_documents.SAGA, 1),
    "rough": (kill_documents.ROUGH, 2),
}
LOOSE = ("rough",)
"""Which of its nodes are cut off in their middle depends on time: compare status and output."""


@pytest.mark.parametrize("name", ["mixed", "issues", "saga", "rough"])
def test_a_run_that_was_killed_a_few_times_ends_as_if_nothing_had_happened(name, tmp_path, server):
    text, final = DOCUMENTS[name]
    rounds(tmp_path, text, FEW, final, server, loose=name in LOOSE, SERVER=server.url)


@pytest.mark.torture
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_run_that_was_killed_again_and_again_ends_as_if_nothing_had_happened(name, tmp_path, server):
    text, final = DOCUMENTS[name]
    rounds(tmp_path, text, MANY, final, server, loose=name in LOOSE, SERVER=server.url)


# -- at every commit ---------------------------------------------------------------------------------------------------

EVERY = kill_documents.document(
    f"""
<command id="first"><on-error><retry max="1" base="1ms" jitter="none"/></on-error>
{step("echo one", work='test "$WEFT_ATTEMPT" -ge 2')}</command>
<foreach id="each" collection="[1, 2, 3]" concurrency="2" needs="first">
  <command id="square" env='{{N: "{{{{ $item }}}}"}}'>{step("echo $((N * N))")}</command>
  <if id="odd" condition="$index == 1">
    <then><command id="yes">{step("echo yes")}</command></then>
    <else><transform:value id="no">'no'</transform:value></else>
  </if>
</foreach>
<loop id="turns" max="2" needs="each"><command id="turn">{step("echo t")}</command></loop>
<transform:value id="all" needs="turns">[first, each, turns]</transform:value>
"""
)
DYING = str(Path(__file__).with_name("dying"))


def commits(rig: Rig, *words: str, at: str = "") -> Ended:
    """Run a command that dies at a commit."""
    before = rig.env
    path = os.pathsep.join(filter(None, (DYING, before.get("PYTHONPATH"))))
    rig.env = {**before, "PYTHONPATH": path, "KILL_AT": at}
    try:
        return rig.ended(rig.start(*words))
    finally:
        rig.env = before


def kill_at(folder: Path, text: str, at: str, expected: dict[str, Any], final: int) -> bool:
    """Kill a run at one commit, resume it, compare; False when it has no such commit."""
    rig = Rig(folder, text)
    ended = commits(rig, "run", "doc.flow.md", "--json", at=at)
    killed = ended.code == -9
    if killed:
        rig.remember()
        ended = rig.ended(rig.go_on())
    assert ended.result["exit_code"] == final, (at, ended.err)
    rig.check(UNDO)
    assert calm(ended.result) == calm(expected), at
    return killed


@pytest.mark.torture
@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize(("text", "final"), [(EVERY, 0), (kill_documents.SAGA, 1)], ids=["blocks", "rollback"])
def test_a_kill_at_every_single_commit_costs_nothing(tmp_path, edge, text, final):
    expected = Rig(tmp_path / "undisturbed", text).run()
    number = 1
    while kill_at(tmp_path / str(number), text, f"{edge}:{number}", expected.result, final):
        number += 1
    print(f"{number - 1} commits")
    assert number > 10


@pytest.mark.parametrize("at", ["before:3", "after:5"])
def test_a_kill_at_a_commit_costs_nothing(tmp_path, at):
    expected = Rig(tmp_path / "undisturbed", EVERY).run()
    assert kill_at(tmp_path / "killed", EVERY, at, expected.result, 0)


@pytest.mark.torture
@pytest.mark.parametrize("edge", ["before", "after"])
def test_a_kill_at_every_commit_of_a_resume_costs_nothing(tmp_path, edge):
    expected = Rig(tmp_path / "undisturbed", EVERY).run()
    for number in range(1, 40):
        rig = Rig(tmp_path / str(number), EVERY)
        assert commits(rig, "run", "doc.flow.md", at="after:4").code == -9
        rig.remember()
        ended = commits(rig, "resume", "last", "--json", at=f"{edge}:{number}")
        killed = ended.code == -9
        if killed:
            rig.remember()
            ended = rig.ended(rig.go_on())
        rig.check()
        assert calm(ended.result) == calm(expected.result), number
        if not killed:
            break
    assert number > 8


# -- once --------------------------------------------------------------------------------------------------------------


def settle(rig: Rig, ended: Ended, decided: Counter[str]) -> None:
    """Answer every question by what the world saw."""
    for path, node in ended.result["nodes"].items():
        if node["status"] != "waiting":
            continue
        lines = [line for line in rig.lines() if line.path == path]
        answer = ["done", "--value", '"closed"' if path == "close" else '"paid"']
        if not any(line.word == "end" for line in lines):
            answer = ["retry"]
            decided[path] += 1
        said = rig.ended(rig.start("decide", "last", path, *answer))
        assert said.code == 0, said.err


def once(folder: Path, draw: random.Random, kills: int) -> tuple[Rig, int]:
    """Kill a document with `once` nodes that often, and decide whenever it asks."""
    rig = Rig(folder, kill_documents.ONCE)
    decided: Counter[str] = Counter()
    asked = 0
    for _ in range(200):
        process = rig.go_on()
        if kills > 0:
            try:
                process.wait(draw.uniform(0.1, 0.7))
            except subprocess.TimeoutExpired:
                kills -= 1
                rig.kill(process)
                continue
        ended = rig.ended(process)
        code = ended.result["exit_code"]
        if code == 0:
            break
        assert code == 4, (code, ended.err)
        asked += 1
        settle(rig, ended, decided)
        if (nxt := rig.ended(rig.start("resume", "last", "--json"))).code == 0:
            ended = nxt
            break
    assert ended.result["output"] == ["before", ["receipt"] * 3, "closed"]
    starts = Counter(line.path for line in rig.lines() if line.word == "start")
    for path in ("pay[0]/charge", "pay[1]/charge", "pay[2]/charge", "close"):
        assert starts[path] <= 1 + decided[path], f"{path} was started {starts[path]} times, seed {SEED}"
    rig.check()
    return rig, asked


def test_a_once_node_is_never_started_twice_without_leave(tmp_path):
    once(tmp_path, random.Random(SEED), 2)


@pytest.mark.torture
def test_a_once_node_is_never_started_twice_without_leave_under_many_kills(tmp_path):
    draw = random.Random(SEED)
    kills = asked = 0
    for number in range(40):
        rig, questions = once(tmp_path / str(number), draw, 4)
        kills += len(rig.kills)
        asked += questions
    print(f"seed {SEED}: {kills} kills, {asked} times asked")
    assert asked > 5


# -- a disk that is full -----------------------------------------------------------------------------------------------


def full_disk(folder: Path, number: int) -> bool:
    """The disk is full at one commit: the run stops with 74, its children are gone, and a resume loses nothing."""
    rig = Rig(folder, EVERY, MARK=str(folder))
    ended = commits(rig, "run", "doc.flow.md", "--json", at=f"full:{number}")
    if ended.code == 0:
        return False
    assert ended.code == 74, ended.err
    assert "no space left on device" in ended.err
    assert alive(f"MARK={folder}") == []
    rig.remember()
    resumed = rig.ended(rig.go_on())
    assert resumed.result["output"] == ["one", ["no", "yes", "no"], "t"]
    rig.check()
    return True


def test_a_full_disk_stops_the_run_and_costs_nothing(tmp_path):
    assert full_disk(tmp_path, 4)


@pytest.mark.torture
def test_a_disk_that_is_full_at_any_commit_stops_the_run_and_costs_nothing(tmp_path):
    number = 1
    while full_disk(tmp_path / str(number), number):
        number += 1
    assert number > 10
