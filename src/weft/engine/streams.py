"""Collections that are read item by item: a generator, an async generator, whatever comes one after the other.

Only items that are being worked on are held. How many there are is known when they are over; until then the scheduler
is told how many have been found. Iterators that block, block the loop, as they would in a `for`; async ones are
awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from hashlib import sha256
from typing import Any

from weft import values


def is_stream(value: object) -> bool:
    """Whether the value is read item by item, and is no list, text or object."""
    if isinstance(value, list | tuple | str | bytes | dict):
        return False
    return isinstance(value, AsyncIterable) or hasattr(value, "__iter__")


class Stream:
    """An iterable that is being read. `found` items have been read; `over` when there are no more."""

    def __init__(self, source: Any, *, named: bool) -> None:
        self.found = 0
        self.over = False
        self._items: dict[int, Any] = {}
        self._digest = sha256() if named else None
        self._ahead: AsyncIterator[Any] | None = aiter(source) if isinstance(source, AsyncIterable) else None
        self._iterator: Iterator[Any] | None = None if self._ahead is not None else iter(source)

    @property
    def waits(self) -> bool:
        """Reading has to be awaited."""
        return self._ahead is not None

    @property
    def digest(self) -> str:
        """Names the items, once they are over."""
        return "" if self._digest is None else self._digest.hexdigest()

    def read(self, at_least: int) -> None:
        """Read until so many are found, or they are over. Raises what the iterator raises."""
        assert self._iterator is not None
        while self.found < at_least and not self.over:
            try:
                item = next(self._iterator)
            except StopIteration:
                self.over = True
            else:
                self._keep(item)

    async def await_read(self, at_least: int) -> None:
        """The same, of what has to be awaited."""
        if self._ahead is None:
            self.read(at_least)
            return
        while self.found < at_least and not self.over:
            try:
                item = await anext(self._ahead)
            except StopAsyncIteration:
                self.over = True
            else:
                self._keep(item)

    async def read_again(self, upto: int | None, is_done: Callable[[int], bool]) -> None:
        """After a resume: read what had been read (all of it, with None), and hold only what is not done."""
        while not self.over and (upto is None or self.found < upto):
            await self.await_read(self.found + 1)
            if is_done(self.found - 1):
                self.drop(self.found - 1)

    def _keep(self, item: Any) -> None:
        if self._digest is not None:
            encoded = values.encode(item)
            self._digest.update(len(encoded).to_bytes(8, "big") + encoded)
        self._items[self.found] = item
        self.found += 1

    def __getitem__(self, index: int) -> Any:
        if index >= self.found and self._iterator is not None:
            self.read(index + 1)
        return self._items[index]

    def __len__(self) -> int:
        return self.found

    def drop(self, index: int) -> None:
        """Nobody wants this item any more."""
        self._items.pop(index, None)

    def close(self) -> None:
        """Nobody wants any more of it: a generator runs its `finally`."""
        self._items.clear()
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """The same, of what has to be awaited."""
        self.close()
        close = getattr(self._ahead, "aclose", None)
        if close is not None:
            await close()
