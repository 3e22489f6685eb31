"""Order from data: which tasks must not change places, and which must not overlap, given what they read and write.

The order of addition is the order that the user meant. Two tasks that touch the same thing keep it, if one of them
writes: RAW (the later reads what the earlier wrote), WAR (the later overwrites what the earlier reads), WAW (both
write). An edge always goes from the earlier to the later, so declarations can never make a cycle, whatever they are.
A mutex says only "not at the same time": it is no edge but a lock (`mutex_keys`), so it cannot contradict the data.

`hazards` lists every pair, for people. `hazard_edges` has far fewer that order the same pairs, by way of others:
each name keeps its last writer and the readers since. What came before the last writer of a name is ordered before
that writer already, and so before whatever is ordered behind it. A name with wildcards is a name of its own that is
looked at together with all it meets.

The kinds are those of instruction pipelines: J. L. Hennessy and D. A. Patterson, "Computer Architecture", on data
hazards.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from weft.errors import DuplicateTaskError, ValidationError
from weft.globs import Name, meet, parse

HazardKind = Literal["RAW", "WAR", "WAW", "MUTEX"]
Field = Literal["reads", "writes", "mutexes"]

_CLASHES: tuple[tuple[HazardKind, Field, Field], ...] = (
    ("RAW", "writes", "reads"),
    ("WAR", "reads", "writes"),
    ("WAW", "writes", "writes"),
    ("MUTEX", "mutexes", "mutexes"),
)
"""What the earlier task does and what the later one does, by kind."""


class Access(msgspec.Struct, frozen=True):
    """What one task touches: names as in `weft.globs`. Lists become tuples, each name once, as `./a//b` is `a/b`.

    Raises ValidationError for what is no list of names.
    """

    id: str
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    mutexes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for field in ("reads", "writes", "mutexes"):
            msgspec.structs.force_setattr(self, field, declared(self.id, field, getattr(self, field)))


class Hazard(msgspec.Struct, frozen=True):
    """Two tasks that clash; `first` stands earlier in program order. `on` has the names, the earlier task's first."""

    kind: HazardKind
    first: str
    second: str
    on: tuple[str, ...]


def declared(task: str, field: str, names: object) -> tuple[str, ...]:
    """The names that a task gave for `field`, each once and cleaned. Raises ValidationError, naming task and place."""
    if isinstance(names, str):
        raise ValidationError(
            f"task {task!r}: {field} is the text {names!r}, not a list of names",
            path=f"$.{field}",
            hint=f"write {field}=[{names!r}]",
        )
    if not isinstance(names, list | tuple):
        raise ValidationError(
            f"task {task!r}: {field} is {type(names).__name__}, not a list of names",
            path=f"$.{field}",
            hint=f'write {field}=["name"]',
        )
    cleaned: dict[str, None] = {}
    for number, name in enumerate(names):
        place = f"{field}[{number}]"
        if not isinstance(name, str):
            problem = f"task {task!r}: {place} is {type(name).__name__}, not a name"
            raise ValidationError(problem, path=f"$.{place}", hint="a name is a text")
        try:
            cleaned[parse(name).text] = None
        except ValidationError as error:
            raise ValidationError(
                f"task {task!r}: {place}: {error.message}", path=f"$.{place}", hint=error.hint
            ) from None
    return tuple(cleaned)


def hazards(accesses: Sequence[Access]) -> list[Hazard]:
    """Every pair of tasks that clash, once per kind, ordered by first task, second task, kind (RAW, WAR, WAW, MUTEX).

    `accesses` stand in program order. The list can be as long as the square of theirs. Raises DuplicateTaskError.
    """
    _refuse_twins(accesses)
    near = _meetings(accesses)
    found: dict[tuple[int, int, int], dict[str, None]] = {}
    for number, (_, before, after) in enumerate(_CLASHES):
        earlier: dict[str, list[int]] = {}
        for j, access in enumerate(accesses):
            for name in getattr(access, after):
                for other in near[name]:
                    for i in earlier.get(other, ()):
                        found.setdefault((i, j, number), {}).update({other: None, name: None})
            for name in getattr(access, before):
                earlier.setdefault(name, []).append(j)
    return [
        Hazard(_CLASHES[number][0], accesses[i].id, accesses[j].id, tuple(names))
        for (i, j, number), names in sorted(found.items(), key=lambda item: item[0])
    ]


def hazard_edges(accesses: Sequence[Access]) -> list[tuple[str, str]]:
    """(earlier, later) ids that order every pair of `hazards` but MUTEX, directly or by way of others.

    At most a few edges per access of a plain name, in time near linear in their number; a name with wildcards costs
    as much as all the names it meets. Ordered by later, then earlier task. Raises DuplicateTaskError.
    """
    _refuse_twins(accesses)
    state = _State(_meetings(accesses))
    return [(accesses[i].id, access.id) for j, access in enumerate(accesses) for i in sorted(state.take(j, access))]


def mutex_keys(accesses: Sequence[Access]) -> dict[str, tuple[str, ...]]:
    """The locks that each task holds while it runs, by id, sorted: taken in that order they cannot deadlock.

    Two tasks share a lock exactly if their mutexes meet. A plain mutex is one lock, its name. One with wildcards
    takes its own, that of every plain mutex it meets, and one for each other with wildcards, named `first & second`.
    """
    _refuse_twins(accesses)
    near = _meetings(accesses)
    wild = {name for name in near if parse(name).wild}
    mutexes = {name for access in accesses for name in access.mutexes}
    keys: dict[str, set[str]] = {}
    for name in mutexes:
        keys[name] = {name}
        if name in wild:
            others = [other for other in near[name] if other in mutexes and other != name]
            keys[name] |= {" & ".join(sorted([name, other])) if other in wild else other for other in others}
    return {
        access.id: tuple(sorted({key for name in access.mutexes for key in keys[name]}))
        for access in accesses
        if access.mutexes
    }


class _State:
    """For each name its writers and readers so far, by place in program order."""

    __slots__ = ("_near", "_readers", "_writer")

    def __init__(self, near: Mapping[str, Sequence[str]]) -> None:
        self._near = near
        self._writer = dict.fromkeys(near, -1)
        """The last one; -1: nobody."""
        self._readers: dict[str, list[int]] = {name: [] for name in near}
        """Since the last writer."""

    def take(self, j: int, access: Access) -> set[int]:
        """The tasks that must end before task `j` starts, which is the next in program order."""
        before: set[int] = set()
        for name in access.reads:
            before.update(self._behind(name, reads=True))
        for name in access.writes:
            before.update(self._behind(name, reads=False))
        for name in access.writes:
            self._writer[name] = j
            self._readers[name].clear()
        for name in access.reads:
            if self._writer[name] != j:
                self._readers[name].append(j)
        return before

    def _behind(self, name: str, *, reads: bool) -> Iterator[int]:
        """Whom an access to `name` waits for. What came before its own last writer is ordered by that one."""
        own = self._writer[name]
        for other in self._near[name]:
            writer = self._writer[other]
            since = [] if reads else self._readers[other]
            late = since[bisect_right(since, max(own, writer)) :]
            yield from late
            if writer >= own and writer >= 0 and not late:
                yield writer


def _refuse_twins(accesses: Sequence[Access]) -> None:
    seen: set[str] = set()
    for access in accesses:
        if access.id in seen:
            raise DuplicateTaskError(access.id)
        seen.add(access.id)


def _meetings(accesses: Sequence[Access]) -> dict[str, list[str]]:
    """For each name, the names that can mean the same thing: itself first.

    Two names can only meet if what stands before the first wildcard of one is the beginning of the other's. So names
    are sorted by that, and each one with wildcards looks only at its own stretch, and at those whose beginning is
    shorter; plain names never meet another plain one.
    """
    texts = dict.fromkeys(
        [name for access in accesses for name in (*access.reads, *access.writes, *access.mutexes)],
    )
    near = {text: [text] for text in texts}
    names = [parse(text) for text in texts]
    wild = [name for name in names if name.wild]
    if not wild:
        return near
    order = sorted(names, key=lambda name: name.fixed)
    beginnings = [name.fixed for name in order]
    for one in wild:
        for other in _stretch(one, order, beginnings):
            # two with wildcards are met from the shorter beginning only, or from both when these are equal
            if one.text != other.text and meet(one, other):
                near[one.text].append(other.text)
                if not other.wild or len(other.fixed) > len(one.fixed):
                    near[other.text].append(one.text)
    return near


def _stretch(one: Name, order: Sequence[Name], beginnings: Sequence[tuple[str, ...]]) -> Iterable[Name]:
    """The names that begin with the fixed parts of `one`."""
    fixed = one.fixed
    at = bisect_left(beginnings, fixed)
    while at < len(order) and beginnings[at][: len(fixed)] == fixed:
        yield order[at]
        at += 1
