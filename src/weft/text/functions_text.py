"""Functions over texts."""

from __future__ import annotations

from weft.text.arguments import items, refused, text, whole
from weft.text.data import is_list, is_object, text_of, weight
from weft.text.function import Function, define
from weft.text.regex import match, search
from weft.text.scope import Fault, Frame


def upper(frame: Frame, value: object) -> str:
    frame.take(weight(text(value)))
    return text(value).upper()


def lower(frame: Frame, value: object) -> str:
    frame.take(weight(text(value)))
    return text(value).lower()


def trim(frame: Frame, value: object) -> str:
    frame.take(weight(text(value)))
    return text(value).strip()


def replace(frame: Frame, value: object, old: object, new: object) -> str:
    source, out, put = text(value), text(old), text(new)
    if not out:
        raise Fault("WEFT424", "an empty text cannot be replaced", "say which text is to go")
    frame.take(weight(source))
    count = source.count(out)
    _take_characters(frame, count * len(put), put)
    return source.replace(out, put)


def split(frame: Frame, value: object, separator: object) -> list[str]:
    source, by = text(value), text(separator)
    frame.take(weight(source))
    if not by:
        frame.take(len(source))
        return list(source)
    frame.take(source.count(by))
    return source.split(by) if source else []


def join(frame: Frame, values: object, separator: object = "") -> str:
    parts: list[str] = []
    between = text(separator)
    xs = items(values)
    frame.take(len(xs) // 2)
    for each in xs:
        part = text_of(each, frame)
        _take_characters(frame, len(part) + len(between), part)
        parts.append(part)
    return between.join(parts)


def truncate(frame: Frame, value: object, length: object, ending: object = "…") -> str:
    source, most, tail = text(value), whole(length), text(ending)
    if most < 0:
        raise Fault("WEFT424", f"a length cannot be {most}")
    if len(source) <= most:
        return source
    frame.take(most >> 4)
    return (source[: max(most - len(tail), 0)] + tail)[:most]


def starts_with(frame: Frame, value: object, part: object) -> bool:
    frame.take(len(text(part)) >> 10)
    return text(value).startswith(text(part))


def ends_with(frame: Frame, value: object, part: object) -> bool:
    frame.take(len(text(part)) >> 10)
    return text(value).endswith(text(part))


def substring(frame: Frame, value: object, start: object, end: object = None) -> str:
    cut = text(value)[whole(start) : None if end is None else whole(end)]
    frame.take(weight(cut))
    return cut


def pad_start(frame: Frame, value: object, length: object, fill: object = " ") -> str:
    source = text(value)
    return _padding(frame, source, length, fill) + source


def pad_end(frame: Frame, value: object, length: object, fill: object = " ") -> str:
    source = text(value)
    return source + _padding(frame, source, length, fill)


def _padding(frame: Frame, source: str, length: object, fill: object) -> str:
    by, wanted = text(fill), whole(length) - len(source)
    if wanted <= 0:
        return ""
    if not by:
        raise Fault("WEFT424", "an empty text cannot pad")
    _take_characters(frame, wanted + len(source), by + source[:0])
    return (by * (wanted // len(by) + 1))[:wanted]


def repeat(frame: Frame, value: object, times: object) -> str:
    source, count = text(value), whole(times)
    if count < 0:
        raise Fault("WEFT424", f"a text cannot be repeated {count} times")
    _take_characters(frame, len(source) * count, source)
    return source * count


def _take_characters(frame: Frame, count: int, like: str) -> None:
    """Pay for `count` characters of the kind that `like` has."""
    frame.take(count >> (5 if like.isascii() else 3))


def lines(frame: Frame, value: object) -> list[str]:
    source = text(value)
    frame.take(weight(source))
    plain = source.replace("\r\n", "\n").replace("\r", "\n")
    frame.take(plain.count("\n") // 2)
    found = plain.split("\n")
    if not found[-1]:
        found.pop()
    return found


def words(frame: Frame, value: object) -> list[str]:
    source = text(value)
    frame.take(len(source) // 4)
    return source.split()


def slug(frame: Frame, value: object) -> str:
    import unicodedata

    source = text(value)
    frame.take(len(source) // 2)
    plain = unicodedata.normalize("NFKD", source.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    return "-".join("".join(c if c.isalnum() else " " for c in plain).split())


def length(_frame: Frame, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str) or is_list(value) or is_object(value):
        return len(value)
    raise refused("a text, list or object", value)


def is_match(frame: Frame, value: object, pattern: object, flags: object = "") -> bool:
    return search(text(value), text(pattern), text(flags), frame) is not None


TEXT: tuple[Function, ...] = (
    define("upper(text)", "the text in capital letters", upper),
    define("lower(text)", "the text in small letters", lower),
    define("trim(text)", "without white space at both ends", trim),
    define("replace(text, old, new)", "every `old` replaced by `new`; plain text, no pattern", replace),
    define("split(text, separator)", 'the parts between separators; "" gives the characters', split),
    define("join(list, separator?)", "the elements as one text", join),
    define("truncate(text, length, ending?)", "at most `length` characters, `ending` (…) included", truncate),
    define("starts_with(text, part)", "whether it begins with `part`", starts_with),
    define("ends_with(text, part)", "whether it ends with `part`", ends_with),
    define(
        "substring(text, start, end?)",
        "characters from `start` (0) to before `end`; negative: from the end",
        substring,
    ),
    define("pad_start(text, length, fill?)", "filled up at the start to `length` characters", pad_start),
    define("pad_end(text, length, fill?)", "filled up at the end to `length` characters", pad_end),
    define("repeat(text, times)", "the text again and again", repeat),
    define("lines(text)", "the list of its lines, without their ends", lines),
    define("words(text)", "the list of what white space separates", words),
    define("slug(text)", "small ASCII letters, digits and single hyphens", slug),
    define("length(value)", "characters of a text, elements of a list, keys of an object; 0 for null", length),
    define("match(text, pattern, flags?)", "the first match: [whole, group 1, ...], or null; flags: i m s", match),
    define("test(text, pattern, flags?)", "whether the pattern matches anywhere; flags: i m s", is_match),
)
