"""One request and its answer: redirects, deadline, size, and what went wrong in words.

The whole exchange has one deadline, also a body that comes byte by byte. Bodies are unpacked here, a piece at
a time, so that a small answer cannot unfold into a large one: the limit holds behind the unpacking.

At a redirect to another origin everything that the document put into the headers is left out but a few
harmless ones: a key in `X-Api-Key` is a credential as much as `Authorization` is. A body is not sent from
https to http.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from weft.errors import AttemptError
from weft.runtimes.failures import MAX_BYTES, too_large
from weft.runtimes.network import checked_url, client_of, shown

if TYPE_CHECKING:
    import httpx2

    from weft.runtimes.base import AttemptContext

TIMEOUT = 30.0
MAX_REDIRECTS = 5
MAX_WAIT = 86_400.0
"""Seconds of a `Retry-After` that are taken seriously."""
RETRYABLE = frozenset({408, 425, 429})
HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent", "content-language"})
"""Headers that go along to another origin."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_BREAK = re.compile(r"[\r\n\0]")
_OWN = frozenset({"content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "accept-encoding"})


class Request(msgspec.Struct, frozen=True):
    """What to ask. `headers` have lower-case names."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    expect: tuple[str, ...] = ("2xx",)

    def expects(self, status: int) -> bool:
        """Whether `status` is one of those asked for."""
        return any(word in (str(status), f"{status // 100}xx") for word in self.expect)


class Answer(msgspec.Struct, frozen=True):
    """What came back. `headers` have lower-case names; several of one name are joined by commas."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str


async def exchange(ctx: AttemptContext, request: Request) -> Answer:
    """The answer, after redirects, with an expected status. Raises AttemptError."""
    import asyncio

    left = ctx.remaining()
    seconds = TIMEOUT if left is None else left
    try:
        async with asyncio.timeout(seconds):
            answer = await _follow(ctx, request)
    except TimeoutError:
        raise AttemptError(
            f"{request.method} {shown(request.url)} took longer than {seconds:g} s",
            type="TimeoutError",
            retryable=True,
            unknown=True,
        ) from None
    if not request.expects(answer.status):
        raise _unexpected(ctx, request, answer)
    return answer


async def _follow(ctx: AttemptContext, request: Request) -> Answer:
    url = checked_url(request.url, ctx.world.hosts)
    for _ in range(MAX_REDIRECTS + 1):
        answer = await _ask(ctx, request, url)
        location = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or not location or _explicit(request, answer.status):
            return answer
        try:
            target = str(url.join(location))
        except Exception as error:  # whatever a strange header makes the library say
            raise AttemptError(f"a redirect of {shown(request.url)} cannot be read: {error}", type="UrlError") from None
        before, url = url, checked_url(target, ctx.world.hosts)
        request = _redirected(request, answer.status, before, url)
    raise AttemptError(f"{shown(request.url)} redirects more than {MAX_REDIRECTS} times", type="RedirectError")


def _explicit(request: Request, status: int) -> bool:
    return str(status) in request.expect or "3xx" in request.expect


def _redirected(request: Request, status: int, before: httpx2.URL, after: httpx2.URL) -> Request:
    """The request that a redirect leads to."""
    method, body, headers = request.method, request.body, request.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name != "content-type"}
    if _origin(before) != _origin(after) and not _upgraded(before, after):
        headers = {name: value for name, value in headers.items() if name in HARMLESS}
    if body is not None and before.scheme == "https" and after.scheme == "http":
        raise AttemptError(
            f"{shown(str(before))} redirects a body from https to http", type="RedirectError", hint="use the new URL"
        )
    return msgspec.structs.replace(request, method=method, body=body, headers=headers, url=str(after))


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _upgraded(before: httpx2.URL, after: httpx2.URL) -> bool:
    """From http to https of the same host, both at their own ports."""
    return _origin(before)[::2] == ("http", 80) and _origin(after) == ("https", before.host, 443)


async def _ask(ctx: AttemptContext, request: Request, url: httpx2.URL) -> Answer:
    """One request, one answer."""
    import httpcore2
    import httpx2

    client = client_of(ctx.resources)
    headers = {"user-agent": "weft", "accept": "*/*", "accept-encoding": "gzip, deflate", **request.headers}
    sent = httpx2.Request(request.method, url, headers=headers, content=request.body)
    try:
        response = await client.send(sent, stream=True)
        try:
            body = await _body(response, url)
        finally:
            await response.aclose()
    except (httpx2.LocalProtocolError, httpcore2.LocalProtocolError) as error:
        raise AttemptError(f"the request cannot be sent: {error}", type="ValidationError") from None
    except (httpx2.TransportError, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise _broken(request.method, url, error) from None
    return Answer(response.status_code, _joined(response.headers.multi_items()), body, str(url))


async def _body(response: httpx2.Response, url: httpx2.URL) -> bytes:
    """The whole body, unpacked."""
    unpack = _unpacker(response.headers.get("content-encoding", ""), str(url))
    body = bytearray()
    async for part in response.aiter_raw():
        for piece in unpack(part):
            body += piece
            if len(body) > MAX_BYTES:
                raise too_large(f"the answer of {shown(str(url))}")
    return bytes(body)


def _unpacker(encoding: str, url: str) -> Any:
    word = encoding.strip().lower()
    if word in ("", "identity"):
        return lambda part: (part,)
    if word in ("gzip", "x-gzip", "deflate"):
        return _Inflate(word == "deflate", url)
    raise AttemptError(f"the answer of {shown(url)} is packed as {encoding[:80]!r}", type="FormatError")


class _Inflate:
    """Unpacks gzip or deflate (with the zlib header or, as some servers send it, without) in bounded pieces."""

    __slots__ = ("_deflate", "_inflate", "_url")

    def __init__(self, deflate: bool, url: str) -> None:
        self._deflate = deflate
        self._inflate: Any = None if deflate else zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._url = url

    def __call__(self, part: bytes) -> Iterator[bytes]:
        if not part:
            return
        if self._inflate is None:
            zlib_header = part[0] & 0x0F == 8 and part[0] >> 4 <= 7
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS)
        try:
            while part and not self._inflate.eof:
                yield self._inflate.decompress(part, 1 << 20)
                part = self._inflate.unconsumed_tail
        except zlib.error as error:
            raise AttemptError(
                f"the answer of {shown(self._url)} cannot be unpacked: {error}", type="FormatError", retryable=True
            ) from None


def _broken(method: str, url: httpx2.URL, error: Exception) -> AttemptError:
    """A connection that was not made, or was lost."""
    import ssl

    import httpcore2

    reason = str(error) or type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AttemptError):
            return cause
        if isinstance(cause, ssl.SSLError):
            verify = isinstance(cause, ssl.SSLCertVerificationError)
            reason = str(getattr(cause, "verify_message", None) or cause.reason or cause)
            return AttemptError(f"no safe connection to {url.host}: {reason}", type="TLSError", retryable=not verify)
        cause = cause.__cause__ or cause.__context__
    connecting = isinstance(error, httpcore2.ConnectError)
    return AttemptError(
        f"{method} {shown(str(url))}: {'cannot connect' if connecting else 'the connection broke'}: {reason}",
        type="ConnectionError",
        retryable=True,
        unknown=not connecting,
    )


def _unexpected(ctx: AttemptContext, request: Request, answer: Answer) -> AttemptError:
    from http import HTTPStatus

    try:
        phrase = " " + HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    said = " ".join(ctx.world.mask(answer.body[:4096].decode("utf-8", "replace")).split())[:200]
    return AttemptError(
        f"{request.method} {shown(answer.url)} answered {answer.status}{phrase}" + (f": {said}" if said else ""),
        type="HttpError",
        status=answer.status,
        retryable=answer.status in RETRYABLE or answer.status >= 500,
        retry_after=retry_after(answer.headers, ctx.clock.now()),
    )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the other side asks to wait: a number, or a date (compared with the sender's own `Date`)."""
    from email.utils import parsedate_to_datetime

    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        if value.replace(".", "", 1).isdigit() and value.isascii():
            return min(float(value), MAX_WAIT)
        due = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    with suppress(KeyError, ValueError, TypeError, OverflowError):
        now = parsedate_to_datetime(headers["date"]).timestamp()
    return min(max(0.0, due - now), MAX_WAIT)


def checked_headers(given: Mapping[str, Any]) -> dict[str, str]:
    """The document's headers; null leaves one out. Raises AttemptError for what would change the request's
    shape.
    """
    from weft.runtimes.formats import in_text

    headers: dict[str, str] = {}
    for name, value in given.items():
        if value is None:
            continue
        text = in_text(value).strip()
        if not _TOKEN.match(name):
            raise AttemptError(f"{name!r} is no name of a header", type="ValidationError")
        if _BREAK.search(text):
            raise AttemptError(f"the header {name!r} has a line break in it", type="ValidationError")
        if name.lower() in _OWN:
            raise AttemptError(f"the header {name!r} is set by the client", type="ValidationError")
        headers[name.lower()] = text
    return headers


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined
