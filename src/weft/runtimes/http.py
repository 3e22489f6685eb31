"""`source:http` and `sink:http`."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from contextlib import closing
from typing import Any, ClassVar

from weft.errors import AttemptError
from weft.kinds import KindSpec, Setting
from weft.runtimes.base import AttemptContext, Bound, FileList, FileRows
from weft.runtimes.credentials import authorization
from weft.runtimes.exchange import Answer, Request, checked_headers, exchange
from weft.runtimes.failures import bad_format, bad_setting
from weft.runtimes.formats import in_text, render
from weft.runtimes.network import shown
from weft.runtimes.rows import open_rows
from weft.runtimes.strictjson import strict_json
from weft.runtimes.writing import write
from weft.values import type_name

LARGE = 256 * 1024
"""Bytes of a body that are read by a thread."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_WITH_BODY = ("POST", "PUT", "PATCH")
_JSON = re.compile(r"(?:application|text)/(?:[a-z0-9.+-]+\+)?json(?:-seq)?\Z")
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)\Z")


def _settings(method: str) -> tuple[Setting, ...]:
    return (
        Setting("url", "text", "where; http or https", required=True),
        Setting("method", "enum", "the method", default=method, values=_METHODS),
        Setting("headers", "object", "headers; null leaves one out"),
        Setting("params", "object", "what is added to the URL's query; null leaves one out, a list repeats it"),
        Setting("body", "any", "the body: text as it is, else JSON"),
        Setting("json", "any", "the body, as JSON whatever it is"),
        Setting(
            "auth",
            "object",
            "{type: bearer, token}, {type: basic, username, password} or "
            "{type: oauth2, token_url, client_id, client_secret, scope}",
        ),
        Setting("extract", "expression", "what to keep of $body", local_names=("body",)),
        Setting("expect", "any", "statuses that are fine: `2xx`, `200 404`, [200, 404]", default="2xx"),
        Setting("save", "path", "write the body to this file"),
    )


class HttpSource:
    """`source:http`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="source:http",
        doc="Asks a server. Without a timeout of its own the whole exchange may take 30 s.",
        output="the body: JSON where the server says so, else text; with `save` {path, bytes}",
        main="url",
        settings=_settings("GET"),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The body."""
        answer = await exchange(ctx, await _request(ctx, settings, "GET", {}))
        return await _value(ctx, settings, answer)


class HttpSink:
    """`sink:http`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="sink:http",
        doc="Sends its input to a server, with the attempt's key as Idempotency-Key.",
        output="{status, headers, body}",
        main="url",
        settings=_settings("POST"),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """What the server said."""
        method = settings.get("method") or "POST"
        if not _has_body(settings) and method in _WITH_BODY:
            settings = {**settings, "json": await _whole(ctx, given)}
        own = {"idempotency-key": ctx.key} if ctx.key else {}
        answer = await exchange(ctx, await _request(ctx, settings, "POST", own))
        body = await _value(ctx, settings, answer)
        return {"status": answer.status, "headers": answer.headers, "body": body}


def _has_body(settings: Mapping[str, Any]) -> bool:
    return settings.get("body") is not None or settings.get("json") is not None


async def _whole(ctx: AttemptContext, given: object) -> object:
    """The input as one value."""
    if not isinstance(given, FileRows | FileList):
        return given

    def read() -> list[Any]:
        with closing(open_rows(given, ctx.world)) as rows:
            return list(rows)

    return await ctx.in_thread(read)


async def _request(ctx: AttemptContext, settings: Mapping[str, Any], method: str, own: dict[str, str]) -> Request:
    headers = {**own, **checked_headers(_object(settings, "headers"))}
    body, content_type = _body_of(settings, headers.get("content-type"))
    if content_type is not None:
        headers.setdefault("content-type", content_type)
    auth = _object(settings, "auth")
    if auth:
        headers["authorization"] = await authorization(ctx, auth)
    url = _with_params(in_text(settings["url"]), _object(settings, "params"))
    word = settings.get("method") or method
    return Request(word.upper(), url, headers, body, expected(settings.get("expect")))


def _object(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = settings.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise bad_setting(name, f"expected an object, got a {type_name(value)}")
    return value


def _body_of(settings: Mapping[str, Any], content_type: str | None) -> tuple[bytes | None, str | None]:
    """The body's bytes and the content type that goes with them."""
    if settings.get("json") is not None:
        return render(settings["json"], "json", pretty=False)[:-1], "application/json"
    body = settings.get("body")
    if body is None:
        return None, None
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    if isinstance(body, Mapping) and (content_type or "").startswith("application/x-www-form-urlencoded"):
        return _query(body).encode(), content_type
    return render(body, "json", pretty=False)[:-1], "application/json"


def _with_params(url: str, params: Mapping[str, Any]) -> str:
    query = _query(params)
    if not query:
        return url
    bare, mark, fragment = url.partition("#")
    joint = "" if bare.endswith(("?", "&")) else "&" if "?" in bare else "?"
    return f"{bare}{joint}{query}{mark}{fragment}"


def _query(params: Mapping[str, Any]) -> str:
    from urllib.parse import urlencode

    repeated = ((name, value if isinstance(value, list) else [value]) for name, value in params.items())
    return urlencode([(name, in_text(one)) for name, values in repeated for one in values if one is not None])


def expected(value: object) -> tuple[str, ...]:
    """The statuses of `expect`: `2xx`, `200, 404`, 204, [200, "4xx"]."""
    if value is None:
        return ("2xx",)
    words = value if isinstance(value, list) else re.split(r"[\s,]+", str(value).strip())
    found = tuple(str(word).lower() for word in words)
    for word in found:
        if not _STATUS.match(word):
            raise bad_setting("expect", f"{word!r} is no HTTP status", "write 200, 2xx, or several: 200 404")
    return found


async def _value(ctx: AttemptContext, settings: Mapping[str, Any], answer: Answer) -> object:
    """What the body says, or where it was saved."""
    save = settings.get("save")
    if save:
        return await _save(ctx, save, answer.body)
    large = len(answer.body) > LARGE
    value = await ctx.in_thread(body_value, answer) if large else body_value(answer)
    extract: Bound | None = settings.get("extract")
    return value if extract is None else extract(body=value)


async def _save(ctx: AttemptContext, path: str, body: bytes) -> dict[str, Any]:
    stop = threading.Event()
    try:
        count = await ctx.in_thread(write, ctx.world, path, [body], stop)
    except BaseException:
        stop.set()
        raise
    return {"path": path, "bytes": count}


def body_value(answer: Answer) -> object:
    """A body as JSON or text, by its content type. Raises AttemptError (`FormatError`)."""
    content_type = answer.headers.get("content-type", "")
    media = content_type.partition(";")[0].strip().lower()
    what = f"the answer of {shown(answer.url)}"
    text = _text(answer.body, content_type, what)
    if not _JSON.match(media):
        return text
    if not text.strip():
        return None
    try:
        return strict_json(text, what)
    except AttemptError as error:
        start = " ".join(text[:60].split()) + ("…" if len(text) > 60 else "")
        raise bad_format(f"{error.message}; it begins with {start!r}, the server calls it {media}") from None


def _text(body: bytes, content_type: str, what: str) -> str:
    """The body in the charset that the server names, else in UTF-8; one that names the wrong one is forgiven."""
    named = _CHARSET.search(content_type)
    for charset in (named[1] if named else "utf-8", "utf-8"):
        try:
            return body.decode(charset).removeprefix("\ufeff")
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    said = f", the server says {named[1]}" if named else ""
    raise bad_format(f"{what} is not text in UTF-8{said}", 'save it to a file: save: "name"')
