"""Bounds on time are part of the long proofs only: the machines of the fast suite are shared and noisy."""

from __future__ import annotations

import os
import time


def within(seconds: float, began: float, what: object = "") -> None:
    """Assert that less than `seconds` have passed since `began` (of `time.perf_counter`), where time is being proven."""
    if os.environ.get("WEFT_TIMED"):
        assert time.perf_counter() - began < seconds, what
