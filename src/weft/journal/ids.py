"""Run ids: `20261120-111530-k3f9ab`. UTC time to the second, two letters for the fraction, four by chance.

They sort by time (to the millisecond, as text), can be typed, and are names of folders. The chance part is
drawn from the operating system: ids of two machines that start in the same millisecond differ with a
probability of 1 - 1e-6, and within one store a collision is noticed when the folder is made."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence

from weft.errors import NotFoundError, nearest

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_SHOWN = 5


def new_id(now: float) -> str:
    """An id for a run that starts at Unix time `now`."""
    seconds, fraction = divmod(now, 1)
    place = int(fraction * 1024)
    chance = int.from_bytes(os.urandom(3), "big")
    letters = [place >> 5, place & 31, *(chance >> shift & 31 for shift in (15, 10, 5, 0))]
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime(seconds)) + "".join(_LETTERS[n] for n in letters)


def resolve(runs: Sequence[str], prefix: str, place: str) -> str:
    """The one of `runs` (newest first) that `prefix` means: `last`, a whole id, or the start of only one.

    Raises NotFoundError that lists the candidates; `place` names where the runs are.
    """
    if not runs:
        raise NotFoundError(f"there are no runs in {place}", hint="start one with `weft run`")
    if prefix == "last":
        return runs[0]
    if prefix in runs:
        return prefix
    found = [run for run in runs if prefix and run.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        message = f"{len(found)} runs in {place} start with {prefix!r}: {_some(found)}"
        raise NotFoundError(message, hint="give more of the id")
    close = nearest(prefix, runs)
    hint = f"did you mean {close[0]!r}?" if close else f"the last runs are {_some(runs)}"
    raise NotFoundError(f"no run in {place} starts with {prefix!r}", hint=hint)


def unknown(run_id: str, place: str) -> NotFoundError:
    """The error for a run that is not there."""
    return NotFoundError(f"there is no run {run_id!r} in {place}", hint="list them with `weft runs`")


def _some(runs: Sequence[str]) -> str:
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(runs[:_SHOWN]) + more
