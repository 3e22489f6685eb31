"""Functions over lists. A lambda is given each item and its index and may leave the index out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.text.arguments import fit, items, number, refused, whole
from weft.text.data import equal, identity, is_list, is_object, measure, show, text_of, type_name, weight
from weft.text.function import Function, ItemFunction, define
from weft.text.scope import Fault, Frame


def _made(frame: Frame, count: int) -> None:
    """Pay for a list of `count` places."""
    frame.take(count // 2)


def first(_frame: Frame, values: object) -> object:
    xs = _text_or_list(values)
    return xs[0] if len(xs) else None


def last(_frame: Frame, values: object) -> object:
    xs = _text_or_list(values)
    return xs[-1] if len(xs) else None


def _text_or_list(value: object) -> Sequence[object]:
    return value if isinstance(value, str) else items(value)


def slice_(frame: Frame, values: object, start: object, end: object = None) -> object:
    return _cut(frame, values, whole(start), None if end is None else whole(end))


def take(frame: Frame, values: object, count: object) -> object:
    return _cut(frame, values, 0, max(whole(count), 0))


def skip(frame: Frame, values: object, count: object) -> object:
    return _cut(frame, values, max(whole(count), 0), None)


def _cut(frame: Frame, values: object, low: int | None, high: int | None) -> object:
    xs = _text_or_list(values)
    size = len(range(*slice(low, high).indices(len(xs))))
    if isinstance(xs, str):
        frame.take(size >> 3)
        return xs[low:high]
    _made(frame, size)
    return list(xs[low:high])


def flatten(frame: Frame, values: object, depth: object = 1) -> list[object]:
    xs = items(values)
    _made(frame, len(xs))
    found = list(xs)
    for _ in range(min(whole(depth), 100)):
        frame.take(len(found))
        if not any(is_list(each) for each in found):
            break
        _made(frame, sum(len(x) if is_list(x) else 1 for x in found))
        flat: list[object] = []
        for each in found:
            if is_list(each):
                flat.extend(each)
            else:
                flat.append(each)
        found = flat
    return found


def unique(frame: Frame, values: object, by: ItemFunction | None = None) -> list[object]:
    seen: dict[object, object] = {}
    for index, each in enumerate(items(values)):
        key = each if by is None else by(each, index)
        frame.take(2)
        measure(key, frame)
        seen.setdefault(identity(key), each)
    return list(seen.values())


def reverse(frame: Frame, values: object) -> object:
    xs = _text_or_list(values)
    if isinstance(xs, str):
        frame.take(weight(xs))
        return xs[::-1]
    _made(frame, len(xs))
    return list(reversed(xs))


def contains(frame: Frame, values: object, value: object) -> bool:
    """The `in` operator."""
    if values is None:
        return False
    if isinstance(values, str):
        if not isinstance(value, str):
            raise refused("a text", value)
        frame.take(weight(values))
        return value in values
    if is_object(values):
        return isinstance(value, str) and value in values
    if not is_list(values):
        raise refused("a text, list or object", values)
    return index_of(frame, values, value) >= 0


def index_of(frame: Frame, values: object, value: object) -> int:
    if isinstance(values, str):
        if not isinstance(value, str):
            raise refused("a text", value)
        frame.take(weight(values))
        return values.find(value)
    xs = items(values)
    _made(frame, len(xs))
    for index, each in enumerate(xs):
        if equal(each, value, frame):
            return index
    return -1


def sort(frame: Frame, values: object, order: object = "asc") -> list[object]:
    xs = list(items(values))
    return _sorted(frame, xs, xs, order)


def sort_by(frame: Frame, values: object, by: ItemFunction, order: object = "asc") -> list[object]:
    xs = list(items(values))
    return _sorted(frame, xs, [by(each, index) for index, each in enumerate(xs)], order)


def _sorted(frame: Frame, xs: list[object], keys: list[object], order: object) -> list[object]:
    """`xs` in the order of `keys`; equal ones stay as they were, nulls come last either way."""
    if order not in ("asc", "desc"):
        raise Fault("WEFT424", f"an order is asc or desc, not {show(order)}")
    frame.take(len(xs) + sum(len(key) >> 5 for key in keys if isinstance(key, str)))
    present = [at for at, key in enumerate(keys) if key is not None]
    _alike([keys[at] for at in present])
    try:
        present.sort(key=lambda at: keys[at], reverse=order == "desc")  # type: ignore[arg-type, return-value]
    except TypeError:
        raise Fault("WEFT424", "the keys to sort by cannot be compared with each other") from None
    return [xs[at] for at in present] + [xs[at] for at, key in enumerate(keys) if key is None]


def _alike(keys: Sequence[object]) -> None:
    """A Fault unless all are numbers, or all texts, or all lists of such, column by column."""
    kinds = {type(key) for key in keys}
    if kinds <= {int, float} or kinds <= {str}:
        return
    names = sorted({type_name(key) for key in keys})
    if names == ["list"]:
        for column in range(max(map(len, keys), default=0)):  # type: ignore[arg-type]
            _flat([key[column] for key in keys if len(key) > column])  # type: ignore[index, arg-type]
        return
    raise Fault(
        "WEFT424",
        f"only numbers, or only texts, can be sorted, not {' and '.join(names)}",
        "sort_by(xs, x => x.key) sorts by something inside",
    )


def _flat(keys: Sequence[object]) -> None:
    kinds = {type(key) for key in keys}
    if not (kinds <= {int, float} or kinds <= {str}):
        names = sorted({type_name(key) for key in keys})
        raise Fault("WEFT424", f"only numbers, or only texts, can be sorted, not {' and '.join(names)}")


def range_(frame: Frame, start: object, stop: object = None, step: object = 1) -> list[int]:
    low, high = (0, whole(start)) if stop is None else (whole(start), whole(stop))
    by = whole(step)
    if by == 0:
        raise Fault("WEFT424", "a range cannot go in steps of 0")
    numbers = range(low, high, by)
    low_steps = max(0, (high - low + by - (1 if by > 0 else -1)) // by)
    _made(frame, low_steps)
    return list(numbers)


def zip_(frame: Frame, *lists: object) -> list[object]:
    columns = [items(each) for each in lists]
    count = min((len(each) for each in columns), default=0)
    _made(frame, count * (len(columns) + 8))
    return [list(row) for row in zip(*columns, strict=False)]


def product(frame: Frame, *lists: object) -> list[object]:
    columns = [items(each) for each in lists]
    count = 1 if columns else 0
    for each in columns:
        count *= len(each)
    _made(frame, count * (len(columns) + 8))
    rows: list[list[object]] = [[]] if count else []
    for column in columns if count else ():
        rows = [[*row, each] for row in rows for each in column]
    return list(rows)


def chunk(frame: Frame, values: object, size: object) -> list[object]:
    xs, each = items(values), whole(size)
    if each < 1:
        raise Fault("WEFT424", f"a chunk has at least 1 element, not {each}")
    _made(frame, len(xs) + 8 * (len(xs) // each))
    return [list(xs[at : at + each]) for at in range(0, len(xs), each)]


def compact(frame: Frame, values: object) -> list[object]:
    xs = items(values)
    _made(frame, len(xs))
    return [each for each in xs if each is not None]


def concat(frame: Frame, *values: object) -> object:
    frame.take(1)
    if all(isinstance(each, str) for each in values):
        texts = [str(each) for each in values]
        frame.take(sum(map(weight, texts)))
        return "".join(texts)
    joined: list[object] = []
    for each in values:
        xs = items(each)
        _made(frame, len(xs))
        joined.extend(xs)
    return joined


def count(frame: Frame, values: object, test: ItemFunction | None = None) -> int:
    xs = items(values)
    if test is None:
        return len(xs)
    return sum(1 for index, each in enumerate(xs) if test(each, index))


def _numbers(frame: Frame, values: object, of: ItemFunction | None) -> list[int | float]:
    xs = items(values)
    _made(frame, len(xs))
    if of is None:
        return [number(each) for each in xs]
    return [number(of(each, index)) for index, each in enumerate(xs)]


def sum_(frame: Frame, values: object, of: ItemFunction | None = None) -> int | float:
    return fit(sum(_numbers(frame, values, of)))


def avg(frame: Frame, values: object, of: ItemFunction | None = None) -> int | float | None:
    found = _numbers(frame, values, of)
    return fit(fit(sum(found)) / len(found)) if found else None


def min_(frame: Frame, *values: object) -> object:
    return _extreme(frame, values, min)


def max_(frame: Frame, *values: object) -> object:
    return _extreme(frame, values, max)


def _extreme(frame: Frame, values: tuple[object, ...], choose: Callable[..., Any]) -> object:
    xs = items(values[0]) if len(values) == 1 else values
    _made(frame, len(xs))
    present = [each for each in xs if each is not None]
    _flat(present)
    return choose(present) if present else None


def map_(_frame: Frame, values: object, of: ItemFunction) -> list[object]:
    return [of(each, index) for index, each in enumerate(items(values))]


def filter_(_frame: Frame, values: object, test: ItemFunction) -> list[object]:
    return [each for index, each in enumerate(items(values)) if test(each, index)]


def reduce(_frame: Frame, values: object, step: ItemFunction, *initial: object) -> object:
    xs = items(values)
    if not initial and not len(xs):
        return None
    acc = initial[0] if initial else xs[0]
    for index in range(0 if initial else 1, len(xs)):
        acc = step(acc, xs[index], index)
    return acc


def find(_frame: Frame, values: object, test: ItemFunction) -> object:
    return next((each for index, each in enumerate(items(values)) if test(each, index)), None)


def some(frame: Frame, values: object, test: ItemFunction | None = None) -> bool:
    if test is None:
        return any(_each(frame, values))
    return any(test(each, index) for index, each in enumerate(items(values)))


def every(frame: Frame, values: object, test: ItemFunction | None = None) -> bool:
    if test is None:
        return all(_each(frame, values))
    return all(test(each, index) for index, each in enumerate(items(values)))


def _each(frame: Frame, values: object) -> Sequence[object]:
    xs = items(values)
    frame.take(len(xs) // 16)
    return xs


def group_by(frame: Frame, values: object, by: ItemFunction) -> dict[str, list[object]]:
    groups: dict[str, list[object]] = {}
    for index, each in enumerate(items(values)):
        groups.setdefault(text_of(by(each, index), frame), []).append(each)
    frame.take(4 * len(groups))
    return groups


def index_by(frame: Frame, values: object, by: ItemFunction) -> dict[str, object]:
    return {text_of(by(each, index), frame): each for index, each in enumerate(items(values))}


LISTS: tuple[Function, ...] = (
    define("first(list)", "its first element (of a text: character), null when empty", first),
    define("last(list)", "its last element (of a text: character), null when empty", last),
    define("slice(list, start, end?)", "elements from `start` to before `end`; of a text: characters", slice_),
    define("flatten(list, depth?)", "lists inside it opened, one level unless `depth` says more", flatten),
    define("unique(list, (item, index) => key?)", "each value (or each key) once, the first one kept", unique),
    define("reverse(list)", "from the last to the first; of a text: its characters", reverse),
    define("contains(list, value)", "whether it has the element; a text: the part; an object: the key", contains),
    define("includes(text, part)", "the same as contains", contains),
    define(
        "index_of(list, value)",
        "the index of the first such element (of a text: part), -1 when there is none",
        index_of,
    ),
    define("sort(list, order?)", 'numbers or texts in order "asc" or "desc"; nulls last', sort),
    define(
        "sort_by(list, (item, index) => key, order?)",
        "in the order of the keys; a key may be a list; nulls last",
        sort_by,
    ),
    define("count(list, (item, index) => test?)", "how many elements (for which the test is true)", count),
    define(
        "range(start, stop?, step?)",
        "whole numbers from `start` to before `stop`; range(n) starts at 0",
        range_,
    ),
    define("zip(list...)", "rows of one element of each list, as long as the shortest", zip_, makes=True),
    define("product(list...)", "all rows with one element of each list", product, makes=True),
    define("chunk(list, size)", "lists of at most `size` elements", chunk, makes=True),
    define("take(list, count)", "the first `count` elements; of a text: characters", take),
    define("skip(list, count)", "all but the first `count` elements; of a text: characters", skip),
    define("compact(list)", "without nulls", compact),
    define("concat(list...)", "lists, or texts, joined", concat, makes=True),
    define("sum(list, (item, index) => number?)", "the sum; 0 of none", sum_),
    define("avg(list, (item, index) => number?)", "the average; null of none", avg),
    define("min(list...)", "the smallest element, or argument; nulls do not count", min_),
    define("max(list...)", "the largest element, or argument; nulls do not count", max_),
    define("map(list, (item, index) => value)", "the list of the values", map_, makes=True),
    define("filter(list, (item, index) => test)", "the elements for which the test is true", filter_),
    define(
        "reduce(list, (acc, item, index) => value, initial?)",
        "one value, step by step; `initial` or the first element begins",
        reduce,
    ),
    define("find(list, (item, index) => test)", "the first element for which the test is true, else null", find),
    define("some(list, (item, index) => test?)", "whether the test is true for one at least", some),
    define("every(list, (item, index) => test?)", "whether the test is true for all", every),
    define(
        "group_by(list, (item, index) => key)",
        "an object: the elements by their key, as lists",
        group_by,
        makes=True,
    ),
    define(
        "index_by(list, (item, index) => key)",
        "an object: the last element of each key",
        index_by,
        makes=True,
    ),
)
