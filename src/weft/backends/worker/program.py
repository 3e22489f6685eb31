# ruff: noqa: PTH109, S112 - few imports
"""The loop of a worker: a request, a call, an answer.

A request is a JSON object: `source, file, line, function` or `module, function, file`; `arguments`, `context`, `limit`.
While it runs: `L` and a log text, `P` and a report as JSON. The answer: `R` and the result as JSON, or `E` and the
error as JSON; in small letters when the call left something behind (threads, processes), so that the engine does not
use this worker again.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from .calling import MODULE, Context, perform
from .channel import Channel
from .failing import described


class Surroundings:
    """What a call may change for the next one, and is put back."""

    def __init__(self) -> None:
        self.folder = os.getcwd()
        self.environment = dict(os.environ)
        self.path = list(sys.path)

    def restore(self) -> None:
        if self.environment != os.environ:
            os.environ.clear()
            os.environ.update(self.environment)
        sys.path[:] = self.path
        try:
            if os.getcwd() == self.folder:
                return
        except OSError:
            pass
        os.chdir(self.folder)


def left_behind() -> bool:
    """Whether threads or child processes of the call are still there."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        return True
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        else:
            os.waitpid(-1, os.WNOHANG)
    except OSError:
        return False
    return True


def answer(request: dict[str, Any], channel: Channel) -> tuple[bytes, bytes]:
    """Kind and body of the frame that answers a request."""
    try:
        return b"R", perform(request, Context(channel, request["context"]))
    except BaseException as error:
        return b"E", json.dumps(described(error, request)).encode("ascii")


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed or replaced by the user's code
            continue


def main() -> None:
    """Answer until the engine closes the socket."""
    channel = Channel(int(sys.argv[1]))
    sys.path[0] = os.getcwd()  # not the folder of this file: what stands beside the document can be imported
    sys.argv[1:] = []
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    surroundings = Surroundings()
    while True:
        frame = channel.receive()
        if frame is None:
            os._exit(0)
        kind, body = answer(json.loads(frame), channel)
        flush()
        sys.modules.pop(MODULE, None)
        try:
            surroundings.restore()
            dirty = left_behind()
        except OSError:  # the folder is gone
            dirty = True
        channel.send(kind.lower() if dirty else kind, body)
