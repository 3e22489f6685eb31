# ruff: noqa: PTH120 - few imports
"""An exception as data."""

from __future__ import annotations

import os
from typing import Any

MAX_TRACEBACK = 64 * 1024
OURS = os.path.dirname(__file__)
"""The folder of the worker's own code."""


class Refused(Exception):
    """An answer that is an error of its own kind, not an exception of the user's code."""

    def __init__(self, kind: str, message: str, place: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.place = place
        self.hint = hint


def described(error: BaseException, request: dict[str, Any]) -> dict[str, Any]:
    """An exception as data: the user's frames only, in the document's lines."""
    if isinstance(error, Refused):
        return {"type": error.kind, "message": str(error), "place": error.place, "hint": error.hint, "classes": None}
    file = request["file"] or ""
    try:
        message = str(error)
    except Exception:
        message = "(its text could not be made)"
    return {
        "type": type(error).__name__,
        "message": message[:MAX_TRACEBACK],
        "place": place_of(error, file),
        "hint": None,
        "classes": [kind.__name__ for kind in type(error).__mro__],
        "traceback": traceback_of(error, file, request),
        "interrupted": not isinstance(error, Exception),
    }


def place_of(error: BaseException, file: str) -> str | None:
    """`file:line` of the innermost frame in the user's code."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file}:{error.lineno}"
    found = None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            found = f"{file}:{step.tb_lineno}"
        step = step.tb_next
    return found


def traceback_of(error: BaseException, file: str, request: dict[str, Any]) -> str:
    import linecache
    import traceback

    if "source" in request:
        lines = [""] * (request["line"] - 1) + request["source"].splitlines()
        linecache.cache[file] = (0, None, [line + "\n" for line in lines], file)
    whole = traceback.TracebackException.from_exception(error, limit=-200)
    todo, seen = [whole], set()
    while todo:
        part = todo.pop()
        seen.add(id(part))
        part.stack[:] = users_frames(part.stack, file)
        inner = [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
        todo += [x for x in inner if x is not None and id(x) not in seen]
    try:
        return "".join(whole.format())[-MAX_TRACEBACK:]
    finally:
        linecache.cache.pop(file, None)


def users_frames(frames: Any, file: str) -> list[Any]:
    """From the first frame in the user's file on; without one, all that are not ours."""
    for index, frame in enumerate(frames):
        if frame.filename == file:
            return list(frames[index:])
    return [frame for frame in frames if not frame.filename.startswith(OURS) and "importlib" not in frame.filename]
