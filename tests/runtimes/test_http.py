from __future__ import annotations

import asyncio
import base64
import gzip
import json
import shutil
import ssl
import subprocess
import zlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtimes.support import bound, listing
from weft.errors import AttemptError
from weft.runtimes import exchange, network
from weft.runtimes.base import AttemptContext, World
from weft.runtimes.exchange import retry_after
from weft.runtimes.failures import MAX_BYTES
from weft.runtimes.http import expected
from weft.runtimes.network import checked_url
from weft.runtimes.registry import get


class Seen(msgspec.Struct):
    """A request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> Seen | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, body)


class Server:
    """A server on loopback that answers as it is told, byte by byte; `seen` has what it was asked."""

    def __init__(self, handler: Handler, certificate: Path | None = None) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self._handler = handler
        self._writers: list[asyncio.StreamWriter] = []
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while (seen := await read_request(reader)) is not None:
                self.seen.append(seen)
                await self._handler(seen, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


def plain(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Handler:
    """Answers one after the other, the last one for ever."""
    left = list(answers)

    async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        writer.write(answer.replace(b"{port}", str(writer.get_extra_info("sockname")[1]).encode()))

    return handle


def as_json(value: object, status: str = "200 OK", *headers: str) -> bytes:
    return plain(status, json.dumps(value).encode(), "Content-Type: application/json", *headers)


Ask = Callable[..., Any]


@pytest.fixture
def ask(make_world: Callable[..., World]) -> Ask:
    """`ask(handler, settings, kind=, input=)`: the result and the server."""

    def run(handler: Handler, settings: dict[str, Any] | None = None, given: object = None, **options: Any) -> Any:
        async def main() -> Any:
            world = make_world(hosts=options.get("hosts"), resources=None)
            async with Server(handler, options.get("certificate")) as server:
                timeout = options.get("timeout")
                deadline = None if timeout is None else world.clock.monotonic() + timeout
                ctx = AttemptContext(world, "n", key=options.get("key", ""), deadline=deadline)
                url = f"http://127.0.0.1:{server.port}/path"
                made = {"url": url, **(settings or {})}
                made["url"] = made["url"].replace("{port}", str(server.port))
                runtime = get(options.get("kind", "source:http"))()
                try:
                    for _ in range(options.get("times", 1)):
                        result = await runtime.run(ctx, made, given)
                finally:
                    await world.resources.aclose()
                return result, server

        return asyncio.run(main())

    return run


@pytest.fixture
def refusal(ask: Ask) -> Callable[..., AttemptError]:
    def run(*args: Any, **options: Any) -> AttemptError:
        with pytest.raises(AttemptError) as caught:
            ask(*args, **options)
        return caught.value

    return run


# -- what is sent --------------------------------------------------


def test_json_is_read_where_the_server_says_so(ask: Ask) -> None:
    assert ask(answering(as_json({"a": [1]})))[0] == {"a": [1]}
    for name in ("application/problem+json", "text/json; charset=utf-8", "application/vnd.api+json"):
        assert ask(answering(plain("200 OK", b"[1]", f"Content-Type: {name}")))[0] == [1]
    assert ask(answering(plain("200 OK", b"[1]", "Content-Type: text/plain")))[0] == "[1]"
    assert ask(answering(plain("200 OK", b"[1]")))[0] == "[1]"
    assert ask(answering(plain("204 No Content", b"", "Content-Type: application/json")))[0] is None


def test_a_request_says_who_asks_and_takes_what_we_can_unpack(ask: Ask) -> None:
    _, server = ask(answering(as_json(1)))
    seen = server.seen[0]
    assert (seen.method, seen.target, seen.body) == ("GET", "/path", b"")
    assert seen.headers["user-agent"] == "weft"
    assert seen.headers["accept-encoding"] == "gzip, deflate"
    assert "idempotency-key" not in seen.headers


def test_params_are_added_to_the_query(ask: Ask) -> None:
    params = {"q": "a b&c=ä", "n": 5, "none": None, "many": [1, "two", None], "yes": True}
    _, server = ask(answering(as_json(1)), {"url": "http://127.0.0.1:{port}/p?x=1#frag", "params": params})
    assert server.seen[0].target == "/p?x=1&q=a+b%26c%3D%C3%A4&n=5&many=1&many=two&yes=true"


@pytest.mark.parametrize(
    ("settings", "body", "content_type"),
    [
        ({"body": {"a": 1}}, b'{"a":1}', "application/json"),
        ({"body": [1, None]}, b"[1,null]", "application/json"),
        ({"body": "text ä"}, "text ä".encode(), "text/plain; charset=utf-8"),
        ({"json": "text"}, b'"text"', "application/json"),
        ({"body": "<a/>", "headers": {"Content-Type": "text/xml"}}, b"<a/>", "text/xml"),
        (
            {"body": {"a": "x y", "n": 1}, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            b"a=x+y&n=1",
            "application/x-www-form-urlencoded",
        ),
    ],
)
def test_bodies(ask: Ask, settings: dict[str, Any], body: bytes, content_type: str) -> None:
    _, server = ask(answering(as_json(1)), {"method": "PUT", **settings})
    seen = server.seen[0]
    assert (seen.method, seen.body, seen.headers["content-type"]) == ("PUT", body, content_type)


def test_headers_are_text_and_null_leaves_one_out(ask: Ask) -> None:
    _, server = ask(answering(as_json(1)), {"headers": {"X-N": 5, "X-None": None, "X-Yes": True, "Accept": "a/b"}})
    headers = server.seen[0].headers
    assert (headers["x-n"], headers["x-yes"], headers["accept"]) == ("5", "true", "a/b")
    assert "x-none" not in headers


def test_a_sink_sends_its_input_under_its_key(ask: Ask, project: Path, attempt: Any) -> None:
    result, server = ask(
        answering(as_json({"id": 7}, "201 Created", "X-A: 1", "X-A: 2")), {}, [1], kind="sink:http", key="k1"
    )
    assert result == {
        "status": 201,
        "headers": {"content-length": "9", "content-type": "application/json", "x-a": "1, 2"},
        "body": {"id": 7},
    }
    seen = server.seen[0]
    assert (seen.method, seen.body) == ("POST", b"[1]")
    assert seen.headers["idempotency-key"] == "k1"
    given = {"body": "x", "headers": {"Idempotency-Key": "mine"}}
    seen = ask(answering(as_json(1)), given, [1], kind="sink:http", key="k1")[1].seen[0]
    assert (seen.body, seen.headers["idempotency-key"]) == (b"x", "mine")
    seen = ask(answering(as_json(1)), {"method": "DELETE"}, [1], kind="sink:http")[1].seen[0]
    assert (seen.method, seen.body) == ("DELETE", b"")
    (project / "a.jsonl").write_text("1\n2\n")
    rows = attempt("source:file", {"path": "a.jsonl"}, lazy=True)
    assert ask(answering(as_json(1)), {}, rows, kind="sink:http")[1].seen[0].body == b"[1,2]"


def test_one_connection_serves_several_requests(ask: Ask) -> None:
    _, server = ask(answering(as_json(1)), times=5)
    assert (len(server.seen), server.connections) == (5, 1)


def test_cookies_are_not_kept(ask: Ask) -> None:
    _, server = ask(answering(as_json(1, "200 OK", "Set-Cookie: a=b")), times=2)
    assert "cookie" not in server.seen[1].headers


def test_what_was_saved_is_a_file(ask: Ask, project: Path) -> None:
    body = bytes(range(256)) * 10
    result, _ = ask(answering(plain("200 OK", body, "Content-Type: image/png")), {"save": "out/a.png"})
    assert result == {"path": "out/a.png", "bytes": 2560}
    assert (project / "out/a.png").read_bytes() == body


def test_saving_stays_in_the_project(refusal: Any, tmp_path: Path) -> None:
    assert refusal(answering(plain("200 OK", b"x")), {"save": "../outside/x"}).type == "PathError"
    assert listing(tmp_path / "outside") == ["secret.txt"]


def test_extract_sees_the_body(ask: Ask) -> None:
    assert ask(answering(as_json({"items": [{"a": 1}]})), {"extract": bound("$body.items[0].a")})[0] == 1


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X": "a\r\nEvil: 1"}, "the header 'X' has a line break in it"),
        ({"X\r\nEvil": "a"}, "'X\\r\\nEvil' is no name of a header"),
        ({"X Y": "a"}, "'X Y' is no name of a header"),
        ({"Content-Length": "5"}, "the header 'Content-Length' is set by the client"),
        ({"transfer-encoding": "chunked"}, "the header 'transfer-encoding' is set by the client"),
    ],
)
def test_headers_cannot_change_the_request(refusal: Any, headers: dict[str, str], message: str) -> None:
    error = refusal(answering(as_json(1)), {"headers": headers})
    assert error.message == message
    assert not error.retryable


# -- who may be asked --------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "the URL 'file:///etc/passwd' is neither http nor https"),
        ("gopher://h/", "the URL 'gopher://h/' is neither http nor https"),
        ("ftp://h/", "the URL 'ftp://h/' is neither http nor https"),
        ("//h/x", "the URL '//h/x' has no http:// or https:// in front"),
        ("h/x", "the URL 'h/x' has no http:// or https:// in front"),
        ("", "the URL '' is empty"),
        ("http://", "the URL 'http://' names no host"),
        ("http:///x", "the URL 'http:///x' names no host"),
        ("http://user:pw@h/", "the URL of h has a user or password in it"),
        ("http://user@h/", "the URL of h has a user or password in it"),
        ("http://h/a\r\nb", "the URL 'http://h/a\\r\\nb' has a space, backslash or control character in it"),
        ("http://h/a b", "the URL 'http://h/a b' has a space, backslash or control character in it"),
        ("http://h\\@evil/", "the URL 'http://h\\\\@evil/' has a space, backslash or control character in it"),
        ("http://h:99999/", None),
        ("http://h:x/", None),
        ("http://[::1/", None),
        ("http://" + "a" * 9000, None),
    ],
)
def test_urls_that_are_no_web_addresses_are_refused(url: str, message: str | None) -> None:
    with pytest.raises(AttemptError) as caught:
        checked_url(url, None)
    assert caught.value.type == "UrlError"
    assert message in (None, caught.value.message)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518",
        "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[fe80::1]",
        "100.100.100.200", "0.0.0.0", "0", "[::]", "224.0.0.1", "255.255.255.255",
    ],
)  # fmt: skip
def test_no_spelling_of_a_metadata_address_is_connected_to(refusal: Any, host: str) -> None:
    error = refusal(answering(as_json(1)), {"url": f"http://{host}:{{port}}/"}, timeout=5)
    assert error.type in ("AddressError", "UrlError")
    assert not error.retryable


def test_loopback_is_asked_in_any_spelling(ask: Ask) -> None:
    for host in ("127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "localhost"):
        assert ask(answering(as_json(1)), {"url": f"http://{host}:{{port}}/"})[0] == 1


def test_a_name_is_resolved_once_and_that_address_is_connected_to(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def resolver(self: Any, host: str, port: int, **kwargs: Any) -> Any:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in answers[len(asked) - 1]]

    original = asyncio.base_events.BaseEventLoop.getaddrinfo

    async def selective(self: Any, host: Any, port: Any, **kwargs: Any) -> Any:
        if host == "rebind.example":
            return await resolver(self, host, port)
        return await original(self, host, port, **kwargs)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", selective)
    url = "http://rebind.example:{port}/"
    assert ask(answering(as_json(1)), {"url": url})[0] == 1
    assert asked == ["rebind.example"]
    with pytest.raises(AttemptError) as caught:
        ask(answering(as_json(1)), {"url": url})
    assert caught.value.message == (
        "the host 'rebind.example' may not be asked: 169.254.169.254 is link-local (where clouds keep their metadata)"
    )
    assert caught.value.type == "AddressError"


def test_a_host_that_does_not_exist_may_be_tried_again(refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*args: Any, **kwargs: Any) -> Any:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", failing)
    error = refusal(answering(as_json(1)), {"url": "http://nowhere.example/"})
    assert error.message == "the host 'nowhere.example' cannot be found: Name or service not known"
    assert (error.type, error.retryable, error.unknown) == ("ConnectionError", True, False)


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        (["api.example.com"], "https://api.example.com/x", True),
        (["api.example.com"], "https://API.example.com./x", True),
        (["api.example.com"], "https://evil.com/api.example.com", False),
        (["api.example.com"], "https://api.example.com.evil.com/", False),
        (["*.example.com"], "https://a.b.example.com/", True),
        (["*.example.com"], "https://example.com/", False),
        (["*.example.com"], "https://badexample.com/", False),
        (["localhost:8080"], "http://localhost:8080/", True),
        (["localhost:8080"], "http://localhost:8081/", False),
        (["localhost:80"], "http://localhost/", True),
        (["::1"], "http://[::1]:5/", True),
        (["[::1]:5"], "http://[::1]:5/", True),
        ([], "http://localhost/", False),
    ],
)
def test_only_the_hosts_of_the_document_are_asked(hosts: list[str], url: str, allowed: bool) -> None:
    if allowed:
        checked_url(url, hosts)
        return
    with pytest.raises(AttemptError, match=r"is not among runtime\.hosts"):
        checked_url(url, hosts)


def test_proxies_of_the_environment_are_ignored(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(answering(as_json(1)))[0] == 1


# -- redirects --------------------------------------------------


def redirect(to: str, status: str = "302 Found") -> bytes:
    return plain(status, b"", f"Location: {to}")


def test_redirects_are_followed(ask: Ask) -> None:
    result, server = ask(
        answering(redirect("/b"), redirect("c?x=1"), redirect("http://127.0.0.1:{port}/d"), as_json(1))
    )
    assert result == 1
    assert [seen.target for seen in server.seen] == ["/path", "/b", "/c?x=1", "/d"]


def test_redirects_end(refusal: Any) -> None:
    error = refusal(answering(redirect("/path")))
    assert error.message.endswith("/path redirects more than 5 times")
    assert (error.type, error.retryable) == ("RedirectError", False)


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd", "http://169.254.169.254/latest/meta-data/", "//169.254.169.254/", "gopher://127.0.0.1/",
        "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://u:p@127.0.0.1/",
    ],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_url(refusal: Any, target: str) -> None:
    error = refusal(answering(redirect(target)), timeout=5)
    assert error.type in ("UrlError", "AddressError")
    assert not error.retryable


def test_a_redirect_leads_only_to_allowed_hosts(refusal: Any) -> None:
    error = refusal(answering(redirect("http://localhost:{port}/")), hosts=("127.0.0.1",))
    assert error.message == "the host 'localhost' is not among runtime.hosts"


SECRETS = {"Authorization": "Bearer s3cret", "Cookie": "a=b", "X-Api-Key": "k", "Accept": "a/b", "X-Other": "o"}


def test_credentials_stay_with_their_host(ask: Ask) -> None:
    _, server = ask(answering(redirect("/same"), as_json(1)), {"headers": SECRETS})
    assert server.seen[1].headers["authorization"] == "Bearer s3cret"
    assert server.seen[1].headers["x-api-key"] == "k"
    auth = {"type": "basic", "username": "u", "password": "p"}
    for settings in ({"headers": SECRETS}, {"auth": auth, "headers": SECRETS}):
        _, server = ask(answering(redirect("http://localhost:{port}/"), as_json(1)), settings)
        away = server.seen[1].headers
        assert away["accept"] == "a/b"
        assert not {"authorization", "cookie", "x-api-key", "x-other", "idempotency-key"} & away.keys()
        assert away["host"].startswith("localhost:")


@pytest.mark.parametrize(
    ("status", "method", "after", "body"),
    [
        ("301 Moved", "POST", "GET", b""),
        ("302 Found", "POST", "GET", b""),
        ("303 See Other", "PUT", "GET", b""),
        ("307 Temporary", "POST", "POST", b"x"),
        ("308 Permanent", "PUT", "PUT", b"x"),
        ("302 Found", "PUT", "PUT", b"x"),
    ],
)
def test_a_redirect_keeps_or_changes_the_method(ask: Ask, status: str, method: str, after: str, body: bytes) -> None:
    _, server = ask(answering(redirect("/b", status), as_json(1)), {"method": method, "body": "x"})
    assert (server.seen[1].method, server.seen[1].body) == (after, body)


def test_a_redirect_that_is_expected_is_an_answer(ask: Ask) -> None:
    result, _ = ask(answering(redirect("/b")), {"expect": 302}, kind="sink:http")
    assert (result["status"], result["headers"]["location"]) == (302, "/b")


def test_from_https_to_http_nothing_is_carried() -> None:
    import httpx2

    before, after = httpx2.URL("https://h/a"), httpx2.URL("http://h/a")
    request = exchange.Request("GET", "https://h/a", {"authorization": "x", "accept": "y"})
    assert exchange._redirected(request, 302, before, after).headers == {"accept": "y"}
    with pytest.raises(AttemptError, match="redirects a body from https to http"):
        exchange._redirected(exchange.Request("POST", "https://h/a", {}, b"x"), 307, before, after)
    upgraded = exchange.Request("GET", "http://h/a", {"authorization": "x"})
    assert exchange._redirected(upgraded, 301, after, before).headers == {"authorization": "x"}


# -- what goes wrong --------------------------------------------------


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        ("400 Bad Request", False), ("401 Unauthorized", False), ("403 Forbidden", False), ("404 Not Found", False),
        ("408 Request Timeout", True), ("409 Conflict", False), ("413 Too Large", False), ("425 Too Early", True),
        ("429 Too Many Requests", True), ("500 Error", True), ("502 Bad Gateway", True), ("503 Unavailable", True),
        ("504 Timeout", True), ("304 Not Modified", False),
    ],
)  # fmt: skip
def test_statuses_and_whether_another_try_may_help(refusal: Any, status: str, retryable: bool) -> None:
    error = refusal(answering(plain(status)))
    assert (error.type, error.status, error.retryable) == ("HttpError", int(status[:3]), retryable)
    assert error.message.startswith("GET http://127.0.0.1:")


def test_an_error_quotes_the_answer_without_secrets(make_world: Any) -> None:
    async def main() -> None:
        world = make_world(mask=lambda text: text.replace("hunter22", "***"))
        async with Server(answering(plain("404 Not Found", b"no\n  hunter22 here " + b"x" * 1000))) as server:
            url = f"http://127.0.0.1:{server.port}/a?key=hunter22"
            with pytest.raises(AttemptError) as caught:
                await get("source:http")().run(AttemptContext(world, "n"), {"url": url}, None)
            await world.resources.aclose()
        assert caught.value.message.startswith(
            f"GET http://127.0.0.1:{server.port}/a answered 404 Not Found: no *** here xxx"
        )
        assert len(caught.value.message) < 300

    asyncio.run(main())


def test_expected_statuses(ask: Ask, refusal: Any) -> None:
    assert ask(answering(as_json([], "404 Not Found")), {"expect": "2xx 404"})[0] == []
    assert refusal(answering(as_json([])), {"expect": [404]}).status == 200
    assert expected("200, 4xx") == ("200", "4xx")
    assert expected([200, "5XX"]) == ("200", "5xx")
    for bad in ("ok", "2x", 99, "", [True]):
        with pytest.raises(AttemptError, match="is no HTTP status"):
            expected(bad)


def test_retry_after_is_seconds_or_a_date(refusal: Any) -> None:
    assert refusal(answering(plain("503 Unavailable", b"", "Retry-After: 7"))).retry_after == 7
    now = 1_700_000_000.0
    date = {"date": formatdate(now, usegmt=True)}
    assert retry_after({"retry-after": formatdate(now + 90, usegmt=True), **date}, 0.0) == 90
    assert retry_after({"retry-after": formatdate(now + 90, usegmt=True)}, now) == 90
    assert retry_after({"retry-after": formatdate(now - 90, usegmt=True), **date}, now) == 0
    assert retry_after({"retry-after": "99999999999"}, now) == 86_400
    for bad in ("", "soon", "-5", "1e5", "٣", "nan", "Mon, 99 Foo 2020"):
        assert retry_after({"retry-after": bad}, now) is None


def test_a_slow_body_meets_the_deadline_of_the_whole(refusal: Any) -> None:
    async def dripping(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    error = refusal(dripping, timeout=0.05)
    assert (error.type, error.retryable, error.unknown) == ("TimeoutError", True, True)
    assert error.message.startswith("GET http://127.0.0.1:")
    assert error.message.split("/path")[1].startswith(" took longer than 0.0")


def test_a_server_that_says_nothing_meets_the_deadline(refusal: Any) -> None:
    async def silent(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    assert refusal(silent, timeout=0.05).type == "TimeoutError"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000,
    ],
)
def test_a_broken_answer_is_a_broken_connection(refusal: Any, answer: bytes) -> None:
    async def breaking(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        raise ConnectionError

    error = refusal(breaking, timeout=5)
    assert (error.type, error.retryable, error.unknown) == ("ConnectionError", True, True)
    assert ": the connection broke: " in error.message


def test_nobody_listens(refusal: Any) -> None:
    error = refusal(answering(b""), {"url": "http://127.0.0.1:1/"})
    assert (error.type, error.retryable, error.unknown) == ("ConnectionError", True, False)
    assert error.message.startswith("GET http://127.0.0.1:1/: cannot connect: ")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of localhost that nobody has signed, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([openssl, *command.split(), *files], cwd=tmp_path, capture_output=True, check=True)
    both = tmp_path / "both.pem"
    both.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    return both


def test_a_certificate_that_nobody_has_signed_is_not_trusted(refusal: Any, certificate: Path) -> None:
    error = refusal(answering(as_json(1)), {"url": "https://localhost:{port}/"}, certificate=certificate)
    assert (error.type, error.retryable) == ("TLSError", False)
    assert error.message == "no safe connection to localhost: self-signed certificate"


def test_a_certificate_must_name_the_host(
    ask: Ask, refusal: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(answering(as_json(1)), {"url": "https://localhost:{port}/"}, certificate=certificate)[0] == 1
    error = refusal(answering(as_json(1)), {"url": "https://127.0.0.1:{port}/"}, certificate=certificate)
    assert (error.type, error.retryable) == ("TLSError", False)
    assert error.message.startswith("no safe connection to 127.0.0.1: IP address mismatch")


def test_a_handshake_that_never_ends_meets_the_deadline(refusal: Any) -> None:
    assert refusal(answering(b""), {"url": "https://127.0.0.1:{port}/"}, timeout=0.05).type == "TimeoutError"


def packed(body: bytes, encoding: str) -> bytes:
    return plain("200 OK", body, f"Content-Encoding: {encoding}", "Content-Type: text/plain")


def test_packed_answers_are_unpacked(ask: Ask) -> None:
    text = "x" * 100_000 + "ä"
    raw = zlib.compressobj(wbits=-15)
    for body, encoding in (
        (gzip.compress(text.encode()), "gzip"),
        (gzip.compress(text.encode()), "x-gzip"),
        (zlib.compress(text.encode()), "deflate"),
        (raw.compress(text.encode()) + raw.flush(), "DEFLATE"),
        (text.encode(), "identity"),
    ):
        assert ask(answering(packed(body, encoding)))[0] == text


def test_a_small_answer_that_unfolds_into_a_large_one_is_refused(refusal: Any) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(100)) + packer.flush()
    assert len(bomb) < 200_000
    error = refusal(answering(packed(bomb, "gzip")), timeout=20)
    assert (error.type, error.retryable) == ("SizeError", False)
    assert error.message.endswith("/path is larger than 64 MiB")


def test_an_endless_answer_is_refused(refusal: Any) -> None:
    async def endless(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"x" * (1 << 20)
        for _ in range(2 * MAX_BYTES >> 20):
            writer.write(b"100000\r\n" + chunk + b"\r\n")
            await writer.drain()

    assert refusal(endless, timeout=20).type == "SizeError"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_other_packings_are_refused(refusal: Any, encoding: str) -> None:
    error = refusal(answering(packed(b"x", encoding)))
    assert error.type == "FormatError"
    assert error.message.endswith(f"/path is packed as {encoding!r}")


def test_what_cannot_be_unpacked_may_be_tried_again(refusal: Any) -> None:
    error = refusal(answering(packed(b"not gzip at all", "gzip")))
    assert (error.type, error.retryable) == ("FormatError", True)


def test_what_is_called_json_and_is_not_is_shown(refusal: Any) -> None:
    body = b"<html>\n<title>Log in</title>"
    error = refusal(answering(plain("200 OK", body, "Content-Type: application/json")))
    assert error.type == "FormatError"
    assert error.message.endswith(
        "line 1, column 1: not JSON: expecting value; it begins with '<html> <title>Log in</title>', "
        "the server calls it application/json"
    )
    error = refusal(answering(plain("200 OK", b'{"a": NaN}', "Content-Type: application/json")))
    assert "NaN is not a number of JSON" in error.message


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("ä".encode("latin-1"), "text/plain; charset=iso-8859-1", "ä"),
        ("ä".encode("cp1252"), 'text/plain; charset="windows-1252"', "ä"),
        ("ä".encode(), "text/plain; charset=nonsense", "ä"),
        ("ä".encode(), "text/plain; charset=ascii", "ä"),
        ("ä".encode(), "text/plain; charset=hex", "ä"),
        ("\ufeffä".encode(), "text/plain", "ä"),
    ],
)
def test_a_wrong_charset_is_forgiven(ask: Ask, body: bytes, content_type: str, text: str) -> None:
    assert ask(answering(plain("200 OK", body, f"Content-Type: {content_type}")))[0] == text


def test_bytes_that_are_no_text_are_to_be_saved(refusal: Any) -> None:
    error = refusal(answering(plain("200 OK", b"\xff\xd8\xff", "Content-Type: image/jpeg")))
    assert (error.type, error.hint) == ("FormatError", 'save it to a file: save: "name"')
    assert error.message.endswith("/path is not text in UTF-8")


def test_a_cancelled_request_leaves_nothing_open(make_world: Any) -> None:
    async def main() -> None:
        world = make_world()
        asked = asyncio.Event()

        async def silent(seen: Seen, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await asyncio.Event().wait()

        async with Server(silent) as server:
            settings = {"url": f"http://127.0.0.1:{server.port}/"}
            task = asyncio.ensure_future(get("source:http")().run(AttemptContext(world, "n"), settings, None))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await world.resources.aclose()

    asyncio.run(main())


# -- credentials --------------------------------------------------


def test_bearer_and_basic(ask: Ask) -> None:
    _, server = ask(answering(as_json(1)), {"auth": {"type": "bearer", "token": "t0ken"}})
    assert server.seen[0].headers["authorization"] == "Bearer t0ken"
    _, server = ask(answering(as_json(1)), {"auth": {"type": "basic", "username": "ü", "password": "p:w"}})
    assert server.seen[0].headers["authorization"] == "Basic " + base64.b64encode("ü:p:w".encode()).decode()


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"type": "digest"}, "setting 'auth': the type is 'digest'"),
        ({"token": "x"}, "setting 'auth': the type is None"),
        ({"type": "bearer"}, "setting 'auth': bearer needs 'token'"),
        ({"type": "bearer", "token": ""}, "setting 'auth': bearer needs 'token'"),
        ({"type": "basic", "username": "u"}, "setting 'auth': basic needs 'password'"),
        ({"type": "bearer", "token": "x", "tokn": 1}, "setting 'auth': bearer has no 'tokn'"),
        (
            {"type": "bearer", "token": "a\r\nb"},
            "setting 'auth': 'token' has a space, a line break or a character that no header takes",
        ),
    ],
)
def test_auth_that_is_wrong_names_what(refusal: Any, auth: dict[str, Any], message: str) -> None:
    assert refusal(answering(as_json(1)), {"auth": auth}).message == message


OAUTH = {
    "type": "oauth2",
    "token_url": "http://127.0.0.1:{port}/token",
    "client_id": "id:1",
    "client_secret": "s/c",
    "scope": "a b",
}


def test_a_token_is_fetched_once_and_used_until_it_ends(make_world: Any) -> None:
    async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
        token = {"access_token": f"t{seen.body.count(b'scope')}", "token_type": "Bearer", "expires_in": 3600}
        writer.write(as_json(token if seen.target == "/token" else "ok"))

    async def main() -> list[Seen]:
        world = make_world()
        async with Server(handle) as server:
            auth = {**OAUTH, "token_url": f"http://127.0.0.1:{server.port}/token"}
            settings = {"url": f"http://127.0.0.1:{server.port}/api", "auth": auth}
            source, ctx = get("source:http")(), AttemptContext(world, "n")
            await asyncio.gather(*(source.run(ctx, settings, None) for _ in range(5)))
            await world.resources.aclose()
            return server.seen

    seen = asyncio.run(main())
    assert [request.target for request in seen].count("/token") == 1
    fetched = next(request for request in seen if request.target == "/token")
    assert fetched.body == b"grant_type=client_credentials&scope=a+b"
    assert fetched.headers["authorization"] == "Basic " + base64.b64encode(b"id%3A1:s%2Fc").decode()
    assert {request.headers["authorization"] for request in seen if request.target == "/api"} == {"Bearer t1"}


def test_a_token_server_that_refuses_is_an_error(refusal: Any) -> None:
    def settings() -> dict[str, Any]:
        return {"auth": {**OAUTH, "token_url": "http://127.0.0.1:1/token"}}

    assert refusal(answering(as_json(1)), settings()).type == "ConnectionError"


def test_the_client_is_one_for_the_run(make_world: Any) -> None:
    async def main() -> None:
        world = make_world()
        assert network.client_of(world.resources) is network.client_of(world.resources)
        await world.resources.aclose()

    asyncio.run(main())


def test_certificates_are_verified() -> None:
    context = pytest.importorskip("httpx2").create_ssl_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
