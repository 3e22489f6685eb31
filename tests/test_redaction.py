from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weft.errors import ValidationError
from weft.event_types import SecretMark
from weft.redaction import MASK, Vault
from weft.redaction.forms import derived
from weft.values import encode

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))

SECRET = "p/4?\"ß+ \\'~x"
SECRETS = {
    "TOKEN": "tok-abc/123+xyz",
    "ODD": SECRET,
    "PIN": "481516",
    "KEY": "-----BEGIN KEY-----\nabcdefgh/+==\n12\nlast line of it\n",
    "LONGER": "tok-abc/123+xyz-and-more",
    "STARS": "***###***",
}
VAULT = Vault(SECRETS)


def spellings(secret: str) -> dict[str, str]:
    raw = secret.encode()
    return {
        "plain": secret,
        "json": json.dumps(secret)[1:-1],
        "json, not ascii": json.dumps(secret, ensure_ascii=False)[1:-1],
        "quote": urllib.parse.quote(secret),
        "quote all": urllib.parse.quote(secret, safe=""),
        "quote_plus": urllib.parse.quote_plus(secret),
        "quote, small": re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote(secret, safe="")),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "base64, no padding": base64.b64encode(raw).decode().rstrip("="),
        "base64, url": base64.urlsafe_b64encode(raw).decode(),
        "base64, in the middle 1": base64.b64encode(b"x" + raw + b"yz").decode(),
        "base64, in the middle 2": base64.b64encode(b"xy" + raw + b"yz!").decode(),
        "base64, in the middle 3": base64.urlsafe_b64encode(b"\xff\xfe\xfd" + raw + b"\xff\xff").decode(),
    }


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("form", spellings(SECRET))
def test_every_form_of_a_secret_is_hidden_and_comes_back(name: str, form: str) -> None:
    text = f"before {spellings(SECRETS[name])[form]} after"
    sealed, marks = VAULT.seal({"a": [text]})
    assert marks
    assert VAULT.open(sealed, marks) == {"a": [text]}
    assert SECRETS[name] not in json.dumps(sealed)
    assert SECRETS[name] not in VAULT.mask(text)
    assert MASK in VAULT.mask(text)
    assert VAULT.mask_bytes(text.encode()).decode() == VAULT.mask(text)


def test_base64_leaves_at_most_the_two_characters_shared_with_the_neighbours() -> None:
    secret = "correct horse battery"
    vault = Vault({"S": secret})
    for before in (b"", b"a", b"ab", b"abc"):
        for after in (b"", b"z", b"zy", b"zyx"):
            encoded = base64.b64encode(before + secret.encode() + after).decode()
            masked = vault.mask(encoded)
            hidden = 8 * (len(before) + len(secret)) // 6 - (8 * len(before) + 5) // 6
            assert len(masked.replace(MASK, "")) <= len(encoded) - hidden
            assert masked.count(MASK) == 1


def test_a_value_without_secrets_is_the_same_object() -> None:
    value = {"a": ["nothing", {"b": "here ***"}]}
    sealed, marks = VAULT.seal(value)
    assert sealed is value
    assert marks == ()
    assert Vault().seal(value) == (value, ())
    assert VAULT.open(value, ()) is value


def test_the_value_given_is_not_changed() -> None:
    value = {"a": [SECRETS["TOKEN"]], SECRETS["ODD"]: {"b": 1}}
    before = json.dumps(value)
    VAULT.seal(value)
    assert json.dumps(value) == before


def test_data_that_looks_like_a_mark_survives() -> None:
    token = SECRETS["TOKEN"]
    mark = msgspec.to_builtins(SecretMark(("a",), 0, "TOKEN"))
    value = {"a": f"*** {token} ***{token}***", "***": mark, "b": ["***", token, f"{token}{token}"]}
    sealed, marks = VAULT.seal(value)
    assert token not in json.dumps(sealed)
    assert VAULT.open(sealed, marks) == value
    assert sealed["***"] == mark


def test_keys_keep_their_order_and_stay_different() -> None:
    token, odd = SECRETS["TOKEN"], SECRETS["ODD"]
    value = {"***": 1, token: 2, odd: {token: token}, "****": 4, f"{token}{odd}": 5, f"{odd}{token}": 6, "z": token}
    sealed, marks = VAULT.seal(value)
    text = json.dumps(sealed, ensure_ascii=False)
    assert len(sealed) == len(value)
    assert token not in text
    assert odd not in text
    opened = VAULT.open(sealed, marks)
    assert opened == value
    assert list(opened) == list(value)


def test_a_number_that_is_a_secret_is_hidden_and_stays_a_number() -> None:
    value = [481516, 481516.0, -481516, 148151623, 5, True, "481516"]
    sealed, marks = VAULT.seal(value)
    assert "481516" not in json.dumps(sealed)
    opened = VAULT.open(sealed, marks)
    assert opened == value
    assert [type(item) for item in opened] == [type(item) for item in value]


def test_the_longest_of_two_secrets_that_begin_alike_is_hidden() -> None:
    assert VAULT.mask(f"<{SECRETS['LONGER']}> <{SECRETS['TOKEN']}>") == "<***> <***>"


def test_the_lines_of_a_secret_are_hidden_alone() -> None:
    assert VAULT.mask("  abcdefgh/+==\r\n| last line of it |") == "  ***\r\n| *** |"
    assert VAULT.mask("12 is a line of its own and too short") == "12 is a line of its own and too short"
    assert VAULT.mask(SECRETS["KEY"]) == MASK


def test_marks_hold_nothing_of_a_secret() -> None:
    for secret in SECRETS.values():
        for spelled in spellings(secret).values():
            _, marks = VAULT.seal({"at": spelled})
            stored = msgspec.json.encode(marks).decode()
            assert not any(s[:6] in stored for s in spellings(secret).values())


def test_opening_without_the_secret_says_which() -> None:
    sealed, marks = VAULT.seal(SECRETS["TOKEN"])
    with pytest.raises(ValidationError, match=r"^the secret 'TOKEN' is needed to read what was journaled\n"):
        Vault({"OTHER": "something"}).open(sealed, marks)


def test_a_mark_that_does_not_fit_is_refused() -> None:
    for value, mark in (
        ({"a": "none here"}, SecretMark(("a",), 0, "TOKEN")),
        ({"a": 5}, SecretMark(("a", 0), 0, "TOKEN")),
        ({"a": 5}, SecretMark(("a",), 0, "TOKEN")),
    ):
        with pytest.raises(ValidationError, match=r"^the mark of a secret does not fit at \$\.a"):
            VAULT.open(value, [mark])


@pytest.mark.parametrize("text", ["", "short", "      ", "\n\n\n\n\n\n\n"])
def test_a_secret_that_would_mask_ordinary_text_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"^the secret 'S' is shorter than 6 characters\n"):
        Vault({"S": text})


def test_a_secret_that_is_not_text_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"^the secret 'S' is not text$"):
        Vault({"S": "ab\udcffcdef"})


def test_a_vault_shows_only_names() -> None:
    assert repr(VAULT) == "Vault(TOKEN, ODD, PIN, KEY, LONGER, STARS)"
    assert VAULT
    assert not Vault()


texts = st.text(max_size=12)
pieces = st.one_of(
    texts,
    st.sampled_from(["***", "*", "+1", "481", "tok-abc/", "tok-abc/123+xy"]),
    st.sampled_from([s for secret in SECRETS.values() for s in spellings(secret).values()]),
)
strings = st.lists(pieces, max_size=4).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | strings | st.just(481516),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300 * SCALE, deadline=None)
@given(values)
@example({"***": {"****": SECRETS["TOKEN"]}, SECRETS["TOKEN"]: "*"})
def test_what_was_sealed_opens_to_the_same(value: object) -> None:
    sealed, marks = VAULT.seal(value)
    opened = VAULT.open(sealed, msgspec.json.decode(msgspec.json.encode(marks), type=tuple[SecretMark, ...]))
    assert encode(opened) == encode(value)


@settings(max_examples=150 * SCALE, deadline=None)
@given(st.text(min_size=6, max_size=40).filter(lambda t: t.strip()), st.binary(max_size=5), st.binary(max_size=5))
def test_any_secret_can_be_hidden_in_any_form(secret: str, before: bytes, after: bytes) -> None:
    vault = Vault({"S": secret})
    whole = [base64.b64encode(before + secret.encode() + after).decode()]
    for text in (*spellings(secret).values(), *whole):
        sealed, marks = vault.seal([text])
        assert marks
        assert vault.open(sealed, marks) == [text]


@settings(max_examples=200 * SCALE, deadline=None)
@given(st.lists(pieces, max_size=6).map("".join), st.data())
def test_a_stream_is_masked_as_a_whole_however_it_is_cut(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    masker = VAULT.stream()
    out = b"".join(masker.feed(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True))
    assert out + masker.flush() == VAULT.mask(text).encode()


def test_a_stream_holds_back_only_what_could_become_a_secret() -> None:
    masker = VAULT.stream()
    assert masker.feed(b"hello tok-a") == b"hello "
    assert masker.feed(b"xyz\n") == b"tok-axyz\n"
    assert masker.feed(b"a line\n") == b"a line\n"
    assert masker.feed(b"tok-abc/123+xyz") == b""
    assert masker.feed(b"!") == b"***!"
    assert masker.feed(b"tok-abc/123+xyz") == b""
    assert masker.flush() == b"***"


def test_without_secrets_nothing_is_held_back() -> None:
    masker = Vault().stream()
    assert masker.feed(b"anything") == b"anything"
    assert masker.flush() == b""
    assert Vault().mask("anything") == "anything"


def test_a_form_is_computed_from_the_secret_alone() -> None:
    assert derived("ab/cd ef", "url-low") == "ab%2fcd%20ef"
    assert derived("first line\nsecond", "plain@2") == "second"
    assert derived("secret", "base64-0") == "c2VjcmV0"


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ('not text "tok-abc/123+x…"', 'not text "***…"'),
        ("'tok-abc/12…' is no path", "'***…' is no path"),
        ("'…c/123+xyz-and-more'", "'…***'"),
        ("…bc/123+xyz…", "…***…"),
        ("tok-…tok-…", "***…***…"),
        ("tok…", "tok…"),
        ("token … and more", "token … and more"),
        ("taken…", "taken…"),
        (f"not {SECRET!r} but {SECRET[:7]!r}…", "not '***' but " + repr(SECRET[:7]) + "…"),
        ("…", "…"),
    ],
)
def test_a_piece_of_a_secret_that_a_cut_has_left_is_hidden(message: str, masked: str) -> None:
    assert VAULT.mask(message) == masked


def test_a_text_full_of_cuts_is_masked_in_time_that_grows_with_its_length() -> None:
    text = "tok-abc…" * 7_000
    assert VAULT.mask(text) == "***…" * 7_000
