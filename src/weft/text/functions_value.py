"""Functions over numbers, objects and types, and the ones that encode and decode."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from weft.text.arguments import fit, items, mapping, number, refused, text, whole
from weft.text.data import is_list, is_number, is_object, show, text_of, to_json, type_name, weight
from weft.text.function import Function, define
from weft.text.scope import Fault, Frame

# ---- numbers


def round_(frame: Frame, value: object, digits: object = 0) -> int | float:
    """Halves away from zero, as written in decimal: 2.5 is 3, 2.675 to two digits is 2.68."""
    from decimal import ROUND_HALF_UP, Context, Decimal

    frame.take(4)
    x, places = number(value), whole(digits)
    if not -20 <= places <= 20:
        raise Fault("WEFT424", f"a number is rounded to -20 to 20 digits, not {places}")
    if type(x) is float and abs(x) >= 2.0**53 and places >= 0:
        return fit(int(x)) if places == 0 else x
    rounded = Decimal(repr(x)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, Context(prec=400))
    return fit(int(rounded)) if places <= 0 else float(rounded)


def floor(_frame: Frame, value: object) -> int | float:
    x = number(value)
    return fit(int(x // 1))


def ceil(_frame: Frame, value: object) -> int | float:
    x = number(value)
    return fit(-int(-x // 1))


def abs_(_frame: Frame, value: object) -> int | float:
    return fit(abs(number(value)))


def sqrt(_frame: Frame, value: object) -> float:
    x = number(value)
    if x < 0:
        raise Fault("WEFT424", f"a negative number has no square root: {show(x)}")
    return float(x**0.5)


def pow_(_frame: Frame, base: object, exponent: object) -> int | float:
    a, b = number(base), number(exponent)
    if type(a) is int and type(b) is int and b >= 0 and a.bit_length() * b > 130:
        if abs(a) > 1:
            raise Fault("WEFT422", f"{a} to the power of {b} does not fit into 64 bits", "use a fraction: 1.0 * x")
        b = b % 2 if a else 1
    try:
        result = a**b
    except OverflowError:
        raise Fault("WEFT422", "the result is too large for a number") from None
    except ZeroDivisionError:
        raise Fault("WEFT421", "0 cannot be raised to a negative power") from None
    if isinstance(result, complex):
        raise Fault("WEFT424", f"a negative number has no power of {show(b)}")
    return fit(result)


def clamp(_frame: Frame, value: object, low: object, high: object) -> int | float:
    a, b = number(low), number(high)
    if a > b:
        raise Fault("WEFT424", f"the lower bound {show(a)} is above the upper bound {show(b)}")
    return min(max(number(value), a), b)


# ---- objects


def keys(frame: Frame, value: object) -> list[object]:
    found = mapping(value)
    frame.take(len(found) // 2)
    return list(found)


def values_(frame: Frame, value: object) -> list[object]:
    found = mapping(value)
    frame.take(len(found) // 2)
    return list(found.values())


def entries(frame: Frame, value: object) -> list[object]:
    found = mapping(value)
    frame.take(4 * len(found))
    return [{"key": key, "value": each} for key, each in found.items()]


def from_entries(frame: Frame, value: object) -> dict[str, object]:
    made: dict[str, object] = {}
    xs = items(value)
    frame.take(2 * len(xs))
    for each in xs:
        if is_object(each) and "key" in each:
            key, of = each["key"], each.get("value")
        elif is_list(each) and len(each) == 2:
            key, of = each
        else:
            raise Fault("WEFT424", f"an entry is {{key, value}} or [key, value], not {show(each)}")
        made[text_of(key, frame)] = of
    return made


def get(frame: Frame, value: object, path: object, default: object = None) -> object:
    steps: Sequence[object] = path if is_list(path) else (path,)
    frame.take(len(steps) // 4)
    found = value
    for step in steps:
        if isinstance(step, str):
            found = found.get(step) if is_object(found) else None
        elif type(step) is int:
            inside = is_list(found) and -len(found) <= step < len(found)
            found = found[step] if inside else None  # type: ignore[index]
        else:
            raise Fault("WEFT424", f"a step of a path is a key or a whole number, not {show(step)}")
    return default if found is None else found


def has(_frame: Frame, value: object, key: object) -> bool:
    if is_list(value):
        return type(key) is int and -len(value) <= key < len(value)
    return isinstance(key, str) and key in mapping(value)


def merge(frame: Frame, *objects: object) -> dict[str, object]:
    made: dict[str, object] = {}
    for each in objects:
        found = mapping(each)
        frame.take(2 * len(found))
        made.update(found)
    return made


def pick(frame: Frame, value: object, *names: object) -> dict[str, object]:
    found, wanted = mapping(value), _names(frame, names)
    frame.take(len(wanted))
    return {name: found[name] for name in wanted if name in found}


def omit(frame: Frame, value: object, *names: object) -> dict[str, object]:
    found, without = mapping(value), frozenset(_names(frame, names))
    frame.take(2 * len(found))
    return {key: each for key, each in found.items() if key not in without}


def _names(frame: Frame, names: tuple[object, ...]) -> list[str]:
    """Keys given one by one or as a list."""
    found: list[str] = []
    for each in names:
        frame.take(len(each) // 2 if is_list(each) else 0)
        found.extend(map(text, each) if is_list(each) else (text(each),))
    return found


# ---- types


def type_of(_frame: Frame, value: object) -> str:
    return type_name(value)


def _is(kind: str) -> Callable[[Frame, object], bool]:
    def check(_frame: Frame, value: object) -> bool:
        return type_name(value) == kind

    return check


def is_empty(_frame: Frame, value: object) -> bool:
    if value is None:
        return True
    return (isinstance(value, str) or is_list(value) or is_object(value)) and not len(value)


def to_text(frame: Frame, value: object) -> str:
    return text_of(value, frame)


_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def to_number(_frame: Frame, value: object) -> int | float | None:
    if value is None or is_number(value):
        return value
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        raise refused("a text", value)
    written = value.strip() if len(value) <= 400 else ""
    match = _NUMBER.fullmatch(written)
    if match is None:
        raise Fault("WEFT424", f"this text is not a number: {show(value)}", "a number is written like -1, 2.5 or 1e3")
    return fit(float(written) if match.group(1) or match.group(2) else int(written))


_TRUE = frozenset(("true", "yes", "on", "1"))
_FALSE = frozenset(("false", "no", "off", "0", ""))


def to_boolean(_frame: Frame, value: object) -> bool:
    if not isinstance(value, str):
        return bool(value)
    word = value[:10].strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Fault(
        "WEFT424",
        f"this text is neither true nor false: {show(value)}",
        "true, yes, on, 1, false, no, off, 0",
    )


def to_list(_frame: Frame, value: object) -> object:
    if value is None:
        return []
    return value if is_list(value) else [value]


def coalesce(_frame: Frame, *values: object) -> object:
    return next((each for each in values if each is not None), None)


# ---- data


def json_encode(frame: Frame, value: object, indent: object = 0) -> str:
    spaces = whole(indent)
    if not 0 <= spaces <= 8:
        raise Fault("WEFT424", f"JSON is indented by 0 to 8 spaces, not {spaces}")
    encoded = to_json(value, frame, spaces)
    frame.take(weight(encoded))
    return encoded


def json_decode(frame: Frame, value: object) -> object:
    import json

    written = text(value)
    frame.take(len(written) // 8)
    try:
        return json.loads(
            written,
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_int=_int,
            parse_float=_float,
        )
    except RecursionError:
        raise Fault("WEFT426", "the JSON text is nested too deep") from None
    except json.JSONDecodeError as error:
        raise Fault(
            "WEFT424", f"this text is not JSON: {error.msg} at character {error.pos}: {show(written)}"
        ) from None


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Fault("WEFT424", f"the JSON text has the key {show(twice)} twice in one object")
    return made


def _no_constant(word: str) -> object:
    raise Fault("WEFT424", f"{word} is no JSON")


def _int(digits: str) -> int | float:
    if len(digits) > 20:
        raise Fault("WEFT422", f"the number {show(digits, 30)[1:-1]} does not fit into 64 bits")
    return fit(int(digits))


def _float(written: str) -> int | float:
    return fit(float(written))


def base64_encode(frame: Frame, value: object) -> str:
    import base64

    frame.take(weight(text(value)))
    return base64.b64encode(_bytes(value)).decode()


def base64_decode(frame: Frame, value: object) -> str:
    import base64

    written = "".join(text(value).split())
    frame.take(weight(written))
    try:
        return base64.b64decode(written.encode(), validate=True).decode()
    except ValueError:
        raise Fault("WEFT424", f"this is not a text in base64: {show(written)}") from None


def _bytes(value: object) -> bytes:
    try:
        return text(value).encode()
    except UnicodeEncodeError:
        raise Fault("WEFT424", "the text has half of a surrogate pair") from None


def url_encode(frame: Frame, value: object) -> str:
    from urllib.parse import quote

    if is_object(value):
        return "&".join(
            f"{url_encode(frame, key)}={url_encode(frame, text_of(each, frame))}"
            for key, each in mapping(value).items()
        )
    written = text_of(value, frame)
    frame.take(1 + len(written) // 4)
    return quote(_bytes(written), safe="")


def url_decode(frame: Frame, value: object) -> str:
    from urllib.parse import unquote_plus

    written = text(value)
    frame.take(len(written) // 4)
    try:
        return unquote_plus(written, errors="strict")
    except UnicodeDecodeError:
        raise Fault("WEFT424", f"this is no URL-encoded text: {show(written)}") from None


_ALGORITHMS = ("sha256", "sha1", "sha512", "md5")


def hash_(frame: Frame, value: object, algorithm: object = "sha256") -> str:
    import hashlib

    if algorithm not in _ALGORITHMS:
        raise Fault("WEFT424", f"there is no hash {show(algorithm)}", f"one of {', '.join(_ALGORITHMS)}")
    written = value if isinstance(value, str) else to_json(value, frame)
    frame.take(weight(written))
    return hashlib.new(str(algorithm), _bytes(written), usedforsecurity=False).hexdigest()


def uuid(frame: Frame) -> object:
    frame.take(4)
    return frame.scope.draw("uuid", _new_uuid)


def _new_uuid() -> str:
    from uuid import uuid4

    return str(uuid4())


def random(frame: Frame, low: object = None, high: object = None) -> object:
    from random import SystemRandom

    frame.take(4)
    if low is None:
        return frame.scope.draw("random", SystemRandom().random)
    least, most = (0, whole(low)) if high is None else (whole(low), whole(high))
    if least > most:
        raise Fault("WEFT424", f"there is no whole number from {least} to {most}")
    return frame.scope.draw("random", lambda: SystemRandom().randint(least, most))


VALUES: tuple[Function, ...] = (
    define("round(number, digits?)", "rounded, halves away from zero; a whole number without digits", round_),
    define("floor(number)", "the next whole number below", floor),
    define("ceil(number)", "the next whole number above", ceil),
    define("abs(number)", "without its sign", abs_),
    define("sqrt(number)", "the square root", sqrt),
    define("pow(base, exponent)", "`base` to the power of `exponent`", pow_),
    define("clamp(number, low, high)", "not below `low`, not above `high`", clamp),
    define("keys(object)", "the list of its keys", keys),
    define("values(object)", "the list of its values", values_),
    define("entries(object)", "the list of {key, value}", entries, makes=True),
    define("from_entries(list)", "an object of a list of {key, value} or [key, value]", from_entries, makes=True),
    define(
        "get(value, path, default?)",
        "the member at a key or index, or at a list of them; null or `default`",
        get,
    ),
    define("has(object, key)", "whether it has the key (a list: the index)", has),
    define("merge(object...)", "one object; later keys win", merge, makes=True),
    define("pick(object, key...)", "only these keys", pick, makes=True),
    define("omit(object, key...)", "without these keys", omit, makes=True),
    define("type_of(value)", "null, boolean, number, text, list or object", type_of),
    define("is_null(value)", "whether it is null", _is("null")),
    define("is_list(value)", "whether it is a list", _is("list")),
    define("is_object(value)", "whether it is an object", _is("object")),
    define("is_text(value)", "whether it is a text", _is("text")),
    define("is_number(value)", "whether it is a number", _is("number")),
    define("is_boolean(value)", "whether it is true or false", _is("boolean")),
    define("is_empty(value)", "whether it is null, or a text, list or object with nothing in it", is_empty),
    define("to_text(value)", "as a template writes it", to_text),
    define("to_number(value)", "the number a text writes; null stays null", to_number),
    define(
        "to_boolean(value)",
        "a text: true yes on 1, false no off 0; anything else: whether it counts as true",
        to_boolean,
    ),
    define(
        "to_list(value)",
        "a list as it is, null as [], anything else as its only element",
        to_list,
        makes=True,
    ),
    define("coalesce(value...)", "the first one that is not null", coalesce),
    define("default(value, otherwise)", "`otherwise` when the value is null", coalesce),
    define("json_encode(value, indent?)", "the value as JSON text", json_encode),
    define("json_decode(text)", "the value of a JSON text", json_decode),
    define("base64_encode(text)", "the text (as UTF-8) in base64", base64_encode),
    define("base64_decode(text)", "the text (of UTF-8) that base64 hides", base64_decode),
    define("url_encode(text)", "safe inside a URL; an object becomes a=1&b=2", url_encode),
    define("url_decode(text)", "the text that was URL-encoded", url_decode),
    define("hash(text, algorithm?)", "its digest in hex: sha256, sha1, sha512 or md5", hash_),
    define("uuid()", "a new random id (recorded)", uuid, recorded=True),
    define(
        "random(low?, high?)",
        "a number from 0 to below 1, or a whole number from low to high (recorded)",
        random,
        recorded=True,
    ),
)
