"""A real `weft run` that is killed, resumed and killed again, and a world that remembers what was done to it.

The world is a file opened with O_APPEND (each step writes one line when it begins and one when it has ended: path,
attempt, idempotency key) and a counting server on loopback. `Rig.check` holds what the world saw against what the
journal said at the moment of each kill.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from weft import event_types as events
from weft.errors import NotFoundError
from weft.journal.sqlite import SqliteStore

WEFT = str(Path(sys.executable).with_name("weft"))
STEP = 'echo "start $WEFT_PATH $WEFT_ATTEMPT $WEFT_KEY" >> "$SINK"; {work}; ' + (
    'echo "end $WEFT_PATH $WEFT_ATTEMPT $WEFT_KEY" >> "$SINK"; {answer}'
)
PYTHON = """
```python
import os, time

def note(word, ctx):
    with open(os.environ["SINK"], "a") as sink:
        sink.write(f"{{word}} {{ctx.path}} {{ctx.attempt}} {{ctx.key}}\\n")

def main({names}, ctx):
    note("start", ctx)
    time.sleep({seconds})
    note("end", ctx)
    return {answer}
```
"""


def step(answer: str = "echo done", seconds: float = 0.02, work: str = "") -> str:
    """The text of a command that tells the world of itself."""
    return STEP.format(work=f"sleep {seconds}; {work}" if work else f"sleep {seconds}", answer=answer)


def python(names: str, answer: str, seconds: float = 0.02) -> str:
    """The code of a python node that tells the world of itself."""
    return PYTHON.format(names=names, answer=answer, seconds=seconds)


class Line(NamedTuple):
    """What a step said: `start` or `end`."""

    word: str
    path: str
    attempt: int
    key: str


class Kill(NamedTuple):
    """What was known at a kill: lines of the world, paths whose success was journaled, paths that were undone, and the
    answers the server had given."""

    lines: int
    succeeded: frozenset[str]
    undone: Counter[str]
    posts: Counter[str]


class _Quiet(ThreadingHTTPServer):
    """Clients of ours are killed in the middle of a request."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Server:
    """Counts requests by idempotency key and path."""

    def __init__(self) -> None:
        self.posts: Counter[str] = Counter()
        self.paths: dict[str, set[str]] = {}
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                key = self.headers["idempotency-key"]
                with lock:
                    outer.posts[key] += 1
                    outer.paths.setdefault(self.path, set()).add(key)
                body = b'{"ok": true}'
                self.send_response_only(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Ended(NamedTuple):
    """How a process ended: `code` as a shell shows it (-9: killed), its `--json` object, its standard error."""

    code: int
    result: dict[str, Any]
    err: str


class Rig:
    """One document in one folder, run by real processes."""

    def __init__(self, folder: Path, text: str, server: Server | None = None, **env: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.sink = folder / "sink"
        self.server = server
        self.kills: list[Kill] = []
        self.document = folder / "doc.flow.md"
        self.document.write_text(text)
        (folder / "weft.toml").write_text("")
        self.env = {**os.environ, "SINK": str(self.sink), **env}
        self.env.pop("WEFT_JOURNAL", None)

    # -- processes --------------------------------------------------------------------------------------------------

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A `weft` process in this folder."""
        with (self.folder / ".err").open("wb") as err, (self.folder / ".out").open("wb") as out:
            return subprocess.Popen(
                [WEFT, *words], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def ended(self, process: subprocess.Popen[bytes], timeout: float = 60) -> Ended:
        """Wait for it."""
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            raise AssertionError(f"it hangs; standard error: {(self.folder / 'err').read_text()}") from None
        out, err = (self.folder / ".out").read_text(), (self.folder / ".err").read_text()
        result = json.loads(out) if out.startswith("{") else {}
        return Ended(code, result, err)

    def run(self) -> Ended:
        """The document, undisturbed."""
        return self.ended(self.start("run", "doc.flow.md", "--json"))

    def go_on(self) -> subprocess.Popen[bytes]:
        """A process that resumes the run; that starts it when there is none, and only shows it when it has ended."""
        try:
            SqliteStore(self.folder / ".weft").resolve("last")
        except NotFoundError:
            return self.start("run", "doc.flow.md", "--json")
        if any(isinstance(event, events.RunFinished) for event in self.events()[-1:]):
            return self.start("show", "last", "--json")
        return self.start("resume", "last", "--json")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it on the spot, and remember what was known then."""
        process.kill()
        process.wait()
        self.remember()

    def remember(self) -> None:
        """What is known now, with nobody writing."""
        lines = len(self.lines())
        posts = Counter(self.server.posts) if self.server is not None else Counter()
        succeeded: set[str] = set()
        undone: Counter[str] = Counter()
        for event in self.events():
            if isinstance(event, events.AttemptSucceeded):
                succeeded.add(event.path)
            elif isinstance(event, events.CompensationSucceeded):
                undone[event.path] += 1
                succeeded.discard(event.path)
        self.kills.append(Kill(lines, frozenset(succeeded), undone, posts))

    def run_under_kills(self, delays: Iterator[float], final: tuple[int, ...] = (0,)) -> Ended:
        """Run and resume with kills after these delays until it has ended. `final`: exit codes of an end."""
        for delay in delays:
            process = self.go_on()
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                self.kill(process)
                continue
            ended = self.ended(process)
            return self._final(ended, final)
        return self._final(self.ended(self.go_on()), final)

    def _final(self, ended: Ended, final: tuple[int, ...]) -> Ended:
        code = ended.result.get("exit_code", ended.code)
        assert code in final, f"exit code {code}: {ended.err}"
        return ended

    # -- what was seen ----------------------------------------------------------------------------------------------

    def lines(self) -> list[Line]:
        """What the steps said."""
        if not self.sink.exists():
            return []
        words = [line.split() for line in self.sink.read_text().splitlines()]
        return [Line(word, path, int(attempt), key) for word, path, attempt, key in words]

    def events(self) -> list[events.Event]:
        """The journal of the run; empty when there is none yet."""
        store = SqliteStore(self.folder / ".weft")
        try:
            run = store.resolve("last")
        except NotFoundError:
            return []
        reader = store.reader(run)
        try:
            return [event for batch in reader.read() for event in batch]
        finally:
            reader.close()

    def check(self, undo: Mapping[str, str] | None = None) -> None:
        """No step whose success was journaled before a kill began again after it; keys never change.

        `undo`: ids of nodes with the ids of their compensations, of which the same holds.
        """
        lines = self.lines()
        for kill in self.kills:
            done = set(kill.succeeded)
            for path in kill.undone:
                head, slash, last = path.rpartition("/")
                done.add(head + slash + (undo or {})[last])
            again = [line for line in lines[kill.lines :] if line.word == "start" and line.path in done]
            assert not again, f"ran again although it was done: {again}"
        keys: dict[str, set[str]] = {}
        for line in lines:
            keys.setdefault(line.path, set()).add(line.key)
        assert all(len(found) == 1 for found in keys.values()), f"the key changed: {keys}"
        if self.server is not None:
            assert all(len(found) == 1 for found in self.server.paths.values()), "a sink's key changed"


def calm(result: dict[str, Any]) -> dict[str, Any]:
    """What of a result does not depend on time: status, output, and of each node status, output and error."""
    nodes = {
        path: (node["kind"], node["status"], node["output"], node["error"] and node["error"]["message"])
        for path, node in result["nodes"].items()
    }
    rollback = result["rollback"] and {word: sorted(paths) for word, paths in result["rollback"].items()}
    return {"status": result["status"], "output": result["output"], "nodes": nodes, "rollback": rollback}


def alive(marker: str) -> list[int]:
    """Processes whose environment has `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    marker.encode() in (entry / "environ").read_bytes()
                    and b"Z (zombie)" not in (entry / "status").read_bytes()
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_until(true: Any, seconds: float = 20.0) -> None:
    """Look until it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)


@contextmanager
def counting_server() -> Iterator[Server]:
    """A server for a test."""
    server = Server()
    try:
        yield server
    finally:
        server.close()
