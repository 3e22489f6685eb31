"""The way out: one HTTP client per run whose connections are checked where they are made.

The name of a host is resolved here, the addresses are checked (addresses.py), and the connection goes to one
of exactly those, so that a name that answers differently the second time (DNS rebinding) gains nothing; TLS
still verifies the name. What is checked at the URL (scheme, credentials, `runtime.hosts`) is checked for
every redirect again by exchange.py.

The environment's proxies are ignored: through one, the address connected to would be the proxy's, and nothing
checked.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from weft.errors import AttemptError
from weft.runtimes.addresses import refusal

if TYPE_CHECKING:
    import httpcore2
    import httpx2

    from weft.runtimes.base import Resources

MAX_URL = 8192
KEPT_ALIVE = 32
"""Connections that wait for the next request, for at most KEPT_SECONDS."""
KEPT_SECONDS = 15.0

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def checked_url(text: str, hosts: Sequence[str] | None) -> httpx2.URL:
    """`text` as a URL that may be asked. Raises AttemptError (`UrlError`)."""
    import httpx2

    text = text.strip(" ")
    if problem := _malformed(text):
        raise AttemptError(f"the URL {shown(text)!r} {problem}", type="UrlError")
    try:
        url = httpx2.URL(text)
        host, port = url.host.rstrip(".").lower(), url.port
    except (httpx2.InvalidURL, ValueError, UnicodeError) as error:
        raise AttemptError(f"the URL {shown(text)!r} cannot be read: {error}", type="UrlError") from None
    if url.userinfo:
        raise AttemptError(
            f"the URL of {host} has a user or password in it", type="UrlError", hint="use auth: {type: basic, …}"
        )
    if port is not None and not 0 < port < 65536:
        raise AttemptError(f"the URL {shown(text)!r} has a port that does not exist", type="UrlError")
    if not host:
        raise AttemptError(f"the URL {shown(text)!r} names no host", type="UrlError")
    if hosts is not None and not _allowed(url.raw_host.decode("ascii").rstrip(".").lower(), port, url.scheme, hosts):
        raise AttemptError(
            f"the host {host!r} is not among runtime.hosts", type="UrlError", hint="allowed: " + ", ".join(hosts)
        )
    return url


def shown(text: str) -> str:
    """A URL for messages: without its query, cut at 200 characters."""
    bare = text.partition("?")[0]
    return bare if len(bare) <= 200 else bare[:200] + "…"


def make_client() -> httpx2.AsyncClient:
    """A client without cookies' use, proxies, redirects or timeouts of its own: exchange.py has the deadline."""
    import httpx2

    return httpx2.AsyncClient(transport=_transport(), trust_env=False, timeout=None, follow_redirects=False)


def client_of(resources: Resources) -> httpx2.AsyncClient:
    """The run's client, closed with the run."""
    return resources.obtain("http", make_client, lambda client: client.aclose())


def _malformed(text: str) -> str | None:
    if not text:
        return "is empty"
    if len(text) > MAX_URL:
        return f"is longer than {MAX_URL:,} characters"
    if _UNSAFE.search(text):
        return "has a space, backslash or control character in it"
    scheme = _SCHEME.match(text)
    if scheme is None:
        return "has no http:// or https:// in front"
    if scheme[1].lower() not in ("http", "https"):
        return "is neither http nor https"
    return None


def _allowed(host: str, port: int | None, scheme: str, hosts: Iterable[str]) -> bool:
    """`hosts`: names, `*.name` for what is below it, `name:port` for one port only."""
    number = port or (443 if scheme == "https" else 80)
    for entry in hosts:
        pattern, colon, wanted = entry.strip().lower().rpartition(":")
        if not colon or not wanted.isdigit() or (":" in pattern and not pattern.endswith("]")):
            pattern, wanted = entry.strip().lower(), ""
        if wanted and int(wanted) != number:
            continue
        pattern = pattern.strip("[]").rstrip(".")
        if host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:])):
            return True
    return False


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of `host` that may be connected to. Raises AttemptError when there are none."""
    import asyncio
    import socket

    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AttemptError(
            f"the host {host!r} cannot be found: {reason}", type="ConnectionError", retryable=True
        ) from None
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    allowed = [address for address in addresses if refusal(address) is None]
    if not allowed:
        reasons = ", ".join(f"{address} is {refusal(address)}" for address in addresses)
        raise AttemptError(
            f"the host {host!r} may not be asked: {reasons}",
            type="AddressError",
            hint="link-local, metadata and reserved addresses are refused",
        )
    return allowed


def _closing(stream: httpcore2.AsyncNetworkStream) -> httpcore2.AsyncNetworkStream:
    """The stream, closed when a cancellation (our deadline) meets its TLS handshake: the library leaves it
    open.
    """
    handshake = stream.start_tls

    async def start_tls(*args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        try:
            return await handshake(*args, **kwargs)
        except BaseException:
            await stream.aclose()
            raise

    stream.start_tls = start_tls  # type: ignore[method-assign]
    return stream


def _network() -> Any:
    """The way connections are made. The classes are made in functions because their bases cost 100 ms to
    import.
    """
    import httpcore2

    class CheckedNetwork(httpcore2.AsyncNetworkBackend):
        """Connects to addresses that were looked at."""

        def __init__(self) -> None:
            self._inner = httpcore2.AnyIOBackend()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,  # noqa: ASYNC109 - the signature of the library
            local_address: str | None = None,
            socket_options: Any = None,
        ) -> httpcore2.AsyncNetworkStream:
            failed: Exception | None = None
            for address in await resolved(host, port):
                try:
                    return _closing(await self._inner.connect_tcp(address, port, timeout=timeout))
                except httpcore2.ConnectError as error:
                    failed = error
            assert failed is not None
            raise failed

        async def sleep(self, seconds: float) -> None:
            await self._inner.sleep(seconds)

    return CheckedNetwork()


def _transport() -> Any:
    """The transport of the client."""
    import httpcore2
    import httpx2

    class Body(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in self._stream:
                yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    class CheckedTransport(httpx2.AsyncBaseTransport):
        """A pool of checked connections; its errors are those of httpcore2."""

        def __init__(self) -> None:
            self._pool = httpcore2.AsyncConnectionPool(
                ssl_context=httpx2.create_ssl_context(),
                max_connections=None,
                max_keepalive_connections=KEPT_ALIVE,
                keepalive_expiry=KEPT_SECONDS,
                network_backend=_network(),
            )

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            url = request.url
            answer = await self._pool.handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
            return httpx2.Response(
                answer.status, headers=answer.headers, stream=Body(answer.stream), extensions=answer.extensions
            )

        async def aclose(self) -> None:
            await self._pool.aclose()

    return CheckedTransport()
