"""Makespans of uneven workflows in virtual time, to the least that any schedule could need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench.table import Table
from weft.graph.model import Graph
from weft.testing import load_trace
from weft.testing.makespans import measure
from weft.testing.shapes import recorded_shapes
from weft.workflow import Workflow

GATES = {4: 1.02, 16: 1.05, 64: 1.05}
"""Jobs to the most that a scheduler may need which knows every duration."""


def traces(table: Table) -> None:
    """Over the recorded runs in the folder `WEFT_TRACES`, else over generated workflows of the same shapes."""
    samples, origin = _samples()
    for jobs, most in GATES.items():
        found = measure(samples, jobs)
        what = f"{len(samples)} {origin} workflows, {jobs} jobs, makespan: "
        table.add(what + "perfect", f"{found.perfect:.4f} x", f"<= {most} x", reached=found.perfect <= most)
        between = found.perfect <= found.learnt <= found.none
        table.add(what + "learnt", f"{found.learnt:.4f} x", "in between", reached=between)
        table.add(what + "none", f"{found.none:.4f} x", "<= waves", reached=found.none <= found.waves)
        table.add(what + "waves", f"{found.waves:.4f} x")


def _samples() -> tuple[list[tuple[Workflow | Graph, Mapping[str, float]]], str]:
    folder = os.environ.get("WEFT_TRACES")
    if not folder:
        return list(recorded_shapes().values()), "drawn"
    found = [load_trace(path) for path in sorted(Path(folder).glob("*.json"))]
    if not found:
        raise SystemExit(f"there are no traces (*.json) in {folder!r}, which WEFT_TRACES names")
    return list(found), "recorded"
