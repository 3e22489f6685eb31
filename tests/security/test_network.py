"""What data can make a document ask: loopback and private networks, yes; link-local and metadata addresses, never."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from hostile.project import Project
from hostile.server import Echo

ASK = '<source:value id="u">URL</source:value><source:http id="n" url="{{ u }}" timeout="5s"/>'
SEND = '<source:value id="u">URL</source:value><sink:http id="n" url="{{ u }}" input="u" timeout="5s"/>'

METADATA = (
    "169.254.169.254",
    "169.254.1.1",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.16689662",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[::ffff:0:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::169.254.169.254]",
    "[2002:a9fe:a9fe::]",
    "[2001:0:a9fe:a9fe::]",
    "[2001::5601:5601]",
    "[fe80::1]",
    "[fe80::5efe:a9fe:a9fe]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "169.254.169.254.",
    "169.254.169.254%2f",
    "１６９.２５４.１６９.２５４",
    "169。254。169。254",
    "169.254.169.254%00",
)
OTHER = (
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "gopher://127.0.0.1:70/x",
    "ftp://127.0.0.1/x",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/x",
    "data:text/plain,x",
    "javascript:1",
    "//127.0.0.1/x",
    "127.0.0.1",
    "",
    "http://",
    "http:///x",
    "http://user:password@127.0.0.1/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1/\r\nX-Injected: 1",
    "http://127.0.0.1/ HTTP/1.1\r\nHost: x",
    "http://127.0.0.1\\@169.254.169.254/",
    "http://[::1",
    "http://" + "a" * 300 + "/",
    "http://127.0.0.1/" + "a" * 9000,
)


def ask(project: Project, url: str, front: str = "", shape: str = ASK) -> str:
    """The type of the error; empty when there was an answer."""
    outcome = project.run(shape.replace("URL", json.dumps(url)), front, journal="none")
    error = outcome.result.nodes["n"].error
    return error.type if error is not None else ""


@pytest.mark.parametrize("host", METADATA)
def test_a_metadata_address_is_refused_however_it_is_spelled(project: Project, host: str) -> None:
    for url in (f"http://{host}/latest/meta-data/", f"http://{host}:8080/"):
        assert ask(project, url) in ("AddressError", "UrlError", "ConnectionError")
    assert ask(project, f"http://{host}/", shape=SEND) in ("AddressError", "UrlError", "ConnectionError")


@pytest.mark.parametrize("host", METADATA[:-5])
def test_it_is_refused_for_what_it_is_and_not_because_nobody_answers(project: Project, host: str) -> None:
    assert ask(project, f"http://{host}/") in ("AddressError", "UrlError")


@pytest.mark.parametrize("url", OTHER, ids=lambda url: ascii(url[:40]))
def test_what_is_no_address_of_a_web_server_is_refused(project: Project, url: str) -> None:
    assert ask(project, url) in ("UrlError", "ConnectionError", "AddressError", "ValidationError")


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/", "http://2852039166/", "file:///etc/passwd", "gopher://x/", "//[fe80::1]/"]
)
def test_a_redirect_leads_to_none_of_them(project: Project, server: Echo, target: str) -> None:
    assert ask(project, f"{server.url}/to?url={quote(target, safe='')}") in ("AddressError", "UrlError")
    assert len(server.asked) == 1


def test_a_redirect_within_loopback_is_followed(project: Project, server: Echo) -> None:
    server.answers["text"] = b"here"
    assert ask(project, f"{server.url}/to?url={quote(server.url + '/text', safe='')}") == ""
    assert [asked.target.partition("?")[0] for asked in server.asked] == ["/to", "/text"]


def test_a_redirect_to_another_host_gets_no_credentials(project: Project, server: Echo) -> None:
    other = server.url.replace("127.0.0.1", "localhost") + "/text"
    server.answers["text"] = b"here"
    outcome = project.run(
        f"""<source:http id="n" url="{server.url}/to?url={quote(other, safe="")}">
        <headers>{{Authorization: Bearer token-token, X-Api-Key: key-key-key, Cookie: a=b}}</headers></source:http>""",
        journal="none",
    )
    assert outcome.result.status == "succeeded"
    first, second = server.asked
    assert {"authorization", "x-api-key", "cookie"} <= set(first.headers)
    assert not {"authorization", "x-api-key", "cookie"} & set(second.headers)


def test_only_the_hosts_of_the_document_are_asked_where_it_names_them(project: Project, server: Echo) -> None:
    server.answers["text"] = b"here"
    port = server.url.rpartition(":")[2]
    front = "runtime: {hosts: [localhost]}"
    there = f"http://localhost:{port}/text"
    assert ask(project, there, front) == ""
    assert ask(project, f"{server.url}/text", front) == "UrlError"
    assert ask(project, f"http://localhost:{port}/to?url={quote(server.url + '/text', safe='')}", front) == "UrlError"
    assert ask(project, there.replace("localhost", "localhost.evil.example"), front) == "UrlError"
    assert len(server.asked) == 2


def test_the_proxies_of_the_environment_are_not_used(
    project: Project, server: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["text"] = b"here"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://169.254.169.254:3128")
    assert ask(project, f"{server.url}/text") == ""
