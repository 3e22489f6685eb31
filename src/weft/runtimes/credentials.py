"""The `auth` setting: what a request says about who sends it.

A token got for a client (OAuth 2.0, RFC 6749 section 4.4) is kept for the run and asked for anew shortly
before it ends; those who need it at the same time wait for one request.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from weft.errors import AttemptError
from weft.runtimes.exchange import Request, exchange
from weft.runtimes.failures import bad_format, bad_setting
from weft.runtimes.formats import in_text
from weft.runtimes.strictjson import strict_json
from weft.values import digest

if TYPE_CHECKING:
    import asyncio

    from weft.runtimes.base import AttemptContext

EARLY = 30.0
"""Seconds before its end at which a token is no longer used."""

_NEEDED = {
    "bearer": ("token",),
    "basic": ("username", "password"),
    "oauth2": ("token_url", "client_id", "client_secret"),
}
_OPTIONAL = {"bearer": (), "basic": (), "oauth2": ("scope", "audience")}


class Tokens:
    """The run's tokens, by what they were got with: the header's value and when it ends (monotonic)."""

    __slots__ = ("held", "locks")

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, float]] = {}
        self.locks: dict[str, asyncio.Lock] = {}


async def authorization(ctx: AttemptContext, auth: Mapping[str, Any]) -> str:
    """The value of the header `Authorization`. Raises AttemptError."""
    kind = checked(auth)
    if kind == "bearer":
        return f"Bearer {_word(auth, 'token')}"
    if kind == "basic":
        pair = f"{in_text(auth['username'])}:{in_text(auth['password'])}"
        return "Basic " + b64encode(pair.encode()).decode()
    return await _token(ctx, auth)


def checked(auth: Mapping[str, Any]) -> str:
    """The type of `auth`, which has what that type needs."""
    kind = auth.get("type")
    if kind not in _NEEDED:
        raise bad_setting("auth", f"the type is {kind!r}", "use bearer, basic or oauth2")
    for name in _NEEDED[kind]:
        if auth.get(name) in (None, ""):
            raise bad_setting("auth", f"{kind} needs {name!r}")
    for name in auth:
        if name not in ("type", *_NEEDED[kind], *_OPTIONAL[kind]):
            raise bad_setting("auth", f"{kind} has no {name!r}", f"it takes {', '.join(_NEEDED[kind])}")
    return str(kind)


def _word(auth: Mapping[str, Any], name: str) -> str:
    text = in_text(auth[name]).strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise bad_setting("auth", f"{name!r} has a space, a line break or a character that no header takes")
    return text


async def _token(ctx: AttemptContext, auth: Mapping[str, Any]) -> str:
    import asyncio

    tokens = ctx.resources.obtain("http tokens", Tokens, _forget)
    name = digest(auth)
    async with tokens.locks.setdefault(name, asyncio.Lock()):
        held = tokens.held.get(name)
        if held is None or held[1] <= ctx.clock.monotonic():
            held = await _fetched(ctx, auth)
            tokens.held[name] = held
    return held[0]


async def _fetched(ctx: AttemptContext, auth: Mapping[str, Any]) -> tuple[str, float]:
    fields = {"grant_type": "client_credentials"}
    fields |= {name: in_text(auth[name]) for name in _OPTIONAL["oauth2"] if auth.get(name)}
    pair = f"{quote(in_text(auth['client_id']), safe='')}:{quote(in_text(auth['client_secret']), safe='')}"
    request = Request(
        "POST",
        in_text(auth["token_url"]),
        {
            "authorization": "Basic " + b64encode(pair.encode()).decode(),
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        },
        urlencode(fields).encode(),
    )
    answer = await exchange(ctx, request)
    value = strict_json(answer.body.decode("utf-8", "replace"), "the answer of the token server")
    if not isinstance(value, dict) or not isinstance(value.get("access_token"), str):
        raise bad_format("the token server answered without an access_token")
    if str(value.get("token_type", "bearer")).lower() != "bearer":
        raise AttemptError(f"the token server gives {value['token_type']!r} tokens", type="FormatError")
    lasts = value.get("expires_in")
    seconds = float(lasts) if isinstance(lasts, int | float) else 300.0
    return f"Bearer {_word(value, 'access_token')}", ctx.clock.monotonic() + max(0.0, seconds - EARLY)


async def _forget(tokens: Tokens) -> None:
    tokens.held.clear()
