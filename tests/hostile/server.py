"""A server on loopback that remembers what it was asked and answers what the path says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Asked:
    """A request as it came."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body


class Echo:
    """`/echo` sends the body back, `/status/N` says N and sends headers and body back, `/to?url=` redirects,
    `/text` and `/json` send what `answers` has under that name.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[Asked] = []
        self.answers: dict[str, bytes] = {}

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        parts = urlsplit(asked.target)
        kind = asked.headers.get("content-type", "application/json")
        if parts.path.startswith("/status/"):
            said = repr(asked.headers).encode() + b" " + asked.target.encode() + b" " + asked.body
            return int(parts.path.removeprefix("/status/")), {"Content-Type": "text/plain; charset=utf-8"}, said
        if parts.path == "/to":
            return 302, {"Location": parse_qs(parts.query)["url"][0]}, b""
        if parts.path in ("/text", "/json"):
            kind = "text/plain; charset=utf-8" if parts.path == "/text" else "application/json"
            return 200, {"Content-Type": kind}, self.answers[parts.path[1:]]
        return 200, {"Content-Type": kind}, asked.body


@contextmanager
def echo_server() -> Iterator[Echo]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, self.rfile.read(size))
            echo.asked.append(asked)
            status, more, body = echo.answer(asked)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _any  # noqa: N815 - the library's names

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    echo = Echo(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield echo
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
