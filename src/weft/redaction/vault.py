"""The secrets of a run, and all that is done with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from weft.errors import ValidationError
from weft.event_types import SecretMark
from weft.redaction.forms import MIN_LENGTH, Form, derived, forms_of
from weft.redaction.masking import MASK, StreamMasker, mask
from weft.redaction.sealing import Opening, Sealing
from weft.redaction.search import Search

_NUMERIC = re.compile(r"[-+0-9.eE]+\Z")


class Vault:
    """The secrets of a run, by name. Immutable. Without secrets everything in here costs one comparison.

    Raises ValidationError for a secret that is too short or is not text.
    """

    __slots__ = ("_bytes", "_forms", "_numeric", "_secrets", "_text")

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})
        for name, text in self._secrets.items():
            _check(name, text)
        self._numeric = any(_NUMERIC.match(text) for text in self._secrets.values())
        self._forms: list[Form] | None = None
        self._text: Search[str] | None = None
        self._bytes: Search[bytes] | None = None

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._secrets)})"

    def mask(self, text: str) -> str:
        """`text` with every occurrence hidden, and every piece of one that a cut has left."""
        if not self._secrets:
            return text
        return mask(text, self._in_text(), (form.text for form in self._all_forms()))

    def mask_bytes(self, data: bytes) -> bytes:
        """`data`, UTF-8 or any bytes around it, with every occurrence hidden."""
        return self._in_bytes().replaced(data, MASK.encode()) if self._secrets else data

    def stream(self) -> StreamMasker:
        """A masker for output that comes in pieces."""
        return StreamMasker(self._in_bytes() if self._secrets else None)

    def seal(self, value: Any) -> tuple[Any, tuple[SecretMark, ...]]:
        """`value` (JSON data, left as it is) with every occurrence hidden, and the marks that bring them back."""
        if not self._secrets:
            return value, ()
        sealing = Sealing(self._in_text(), numbers=self._numeric)
        sealed = sealing.sealed(value)
        return sealed, tuple(sealing.marks)

    def open(self, value: Any, marks: tuple[SecretMark, ...] | list[SecretMark]) -> Any:
        """What was sealed. Raises ValidationError when a secret is not there or a mark does not fit."""
        return Opening(marks, self._spelled).opened(value) if marks else value

    def _spelled(self, name: str, form: str) -> str:
        secret = self._secrets.get(name)
        if secret is None:
            raise ValidationError(
                f"the secret {name!r} is needed to read what was journaled", hint="set it as for the first run"
            )
        try:
            return derived(secret, form)
        except (KeyError, IndexError, ValueError):
            raise ValidationError(
                f"the secret {name!r} has changed its shape: it has no form {form!r} any more"
            ) from None

    def _all_forms(self) -> list[Form]:
        if self._forms is None:
            found: dict[str, Form] = {}
            for name, secret in self._secrets.items():
                for form, text in forms_of(secret):
                    found.setdefault(text, Form(name, form, text))
            self._forms = list(found.values())
        return self._forms

    def _in_text(self) -> Search[str]:
        if self._text is None:
            self._text = Search([(form.text, form) for form in self._all_forms()])
        return self._text

    def _in_bytes(self) -> Search[bytes]:
        if self._bytes is None:
            self._bytes = Search([(form.text.encode(), form) for form in self._all_forms()])
        return self._bytes


def _check(name: str, text: str) -> None:
    if len(text) < MIN_LENGTH or not text.strip():
        raise ValidationError(
            f"the secret {name!r} is shorter than {MIN_LENGTH} characters",
            path=f"$.secrets.{name}",
            hint="hiding so short a text would hide ordinary words: make it a config value, or longer",
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(f"the secret {name!r} is not text", path=f"$.secrets.{name}") from None
