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
from torture.rig import Ended, Rig, Server, calm, counting_server
from weft import events

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


def rounds(folder: Path, text: str, kills: int, final: int, server: Server | None = None, **env: str) -> list[Rig]:
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
        assert calm(ended.result) == calm(expected.result), f"seed {SEED}, {rig.folder}"
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
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_run_that_was_killed_a_few_times_ends_as_if_nothing_had_happened(name, tmp_path, server):
    text, final = DOCUMENTS[name]
    rounds(tmp_path, text, FEW, final, server, SERVER=server.url)


@pytest.mark.torture
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_run_that_was_killed_again_and_again_ends_as_if_nothing_had_happened(name, tmp_path, server):
    text, final = DOCUMENTS[name]
    rounds(tmp_path, text, MANY, final, server, SERVER=server.url)
