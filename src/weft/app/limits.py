"""All limits in one place, with what they are set to."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from weft.app import project


class LimitSetting(msgspec.Struct, frozen=True):
    """A limit: its value in its unit, and what happens beyond it."""

    name: str
    value: float
    unit: str
    beyond: str


def limits() -> list[LimitSetting]:
    """Every limit. Raises InputError when the project's settings are wrong."""
    from weft.backends.base import RESPONSE_LIMIT
    from weft.backends.command import OUTPUT_LIMIT
    from weft.engine import logs
    from weft.engine.report import KEPT
    from weft.fronts.flow.tags import MAX_NESTING, MAX_NODES
    from weft.text.scope import STEPS
    from weft.text.source import MAX_DOCUMENT
    from weft.values import MAX_DEPTH, MAX_INLINE

    place = project.find(Path.cwd())
    jobs = project.effective_jobs(place, None)
    return [
        LimitSetting("document", MAX_DOCUMENT, "bytes", "is refused before anything is read"),
        LimitSetting("nesting", MAX_NESTING, "levels", "is an error of the document"),
        LimitSetting("nodes", MAX_NODES, "nodes", "are an error of the document"),
        LimitSetting("value depth", MAX_DEPTH, "levels", "is an error that names the place"),
        LimitSetting("inline value", MAX_INLINE, "bytes", "is kept in a file beside the journal"),
        LimitSetting("expression cost", STEPS, "steps", "ends the evaluation with an error"),
        LimitSetting("response", RESPONSE_LIMIT, "bytes", "fails the step, and is not tried again"),
        LimitSetting("captured output", OUTPUT_LIMIT, "bytes per stream", "head and tail are kept"),
        LimitSetting("log", logs.LIMIT, "bytes per attempt", "is counted and not kept"),
        LimitSetting("listed nodes", KEPT, "nodes", "are counted; failed ones are listed first"),
        LimitSetting("jobs", jobs, "running steps", f"wait ({os.cpu_count() or 1} cores; --jobs)"),
        LimitSetting("grace", place["grace"], "seconds", "what still runs after a Ctrl-C is stopped"),
    ]
