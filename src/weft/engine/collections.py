"""What a foreach goes over, and the list that comes of it.

A collection is evaluated when its foreach opens; a resume evaluates it again, when somebody asks for an item, and
refuses another one. Long lists are kept beside the run, what is read item by item is held only while it is worked on;
so are the results, until the list is put together.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from weft import values
from weft.backends.base import interrupted
from weft.clock import Clock
from weft.core.blocks import Foreach
from weft.core.state import Instance
from weft.engine.records import Encoded, Outputs, Record
from weft.engine.scope import Scope, View
from weft.engine.spool import Spool, SpooledItems
from weft.engine.streams import Stream, is_stream
from weft.errors import AttemptError, ChangedError, WeftError
from weft.event_types import EvaluationFailed, ForeachExpanded, ItemsFound, PathEvent, SecretMark
from weft.graph.work import ForeachWork
from weft.runtimes.base import FileList, FileRows, Rows, World
from weft.runtimes.rows import open_rows

HELD_ITEMS = 10_000
"""Items of a collection that are held in memory; those of a longer one are kept beside it."""


class ItemScope(Scope):
    """The scope of an iteration. Its item is fetched when somebody asks: a replay of a million iterations asks for
    few.
    """

    __slots__ = ("_fetch", "_index", "_index_name", "_item_name")

    def __init__(self, parent: Scope, work: ForeachWork, index: int, fetch: Callable[[int], Any]) -> None:
        super().__init__(parent)
        self._fetch = fetch
        self._index = index
        self._item_name = work.item
        self._index_name = work.index

    def name(self, name: str) -> Any:
        if name == self._item_name:
            return self._fetch(self._index)
        if name == self._index_name:
            return self._index
        assert self.parent is not None
        return self.parent.name(name)

    def special(self, name: str) -> Any:
        if name == "item":
            return self._fetch(self._index)
        if name == "index":
            return self._index
        assert self.parent is not None
        return self.parent.special(name)


class Collection:
    """The items of a running foreach, and the results of its iterations."""

    __slots__ = ("digest", "items", "kept", "marks", "objects", "order", "spool")

    def __init__(self, items: list[Any] | Rows | Stream | None, digest: str, spool: Spool | None) -> None:
        self.items = items
        self.digest = digest
        self.spool = spool
        self.objects: dict[int, Any] = {}
        """The results, in a run that keeps objects by reference."""
        self.order: list[int] = []
        """The indexes in the order in which they were done, where the results are wanted in that."""
        self.marks: dict[int, tuple[SecretMark, ...]] = {}


class Collections:
    """The collections of one run, by the path of their foreach."""

    def __init__(
        self,
        outputs: Outputs,
        world: World,
        clock: Clock,
        *,
        spool: Callable[[], Spool],
        view: Callable[[Instance], View],
        failed: Callable[[Instance, Exception], EvaluationFailed],
    ) -> None:
        self._outputs = outputs
        self._world = world
        self._clock = clock
        self._new_spool = spool
        self._view = view
        self._failed = failed
        self._known: dict[str, Collection] = {}

    # -- items ------------------------------------------------------------------------------------------------------

    def items(self, instance: Instance, at_least: int) -> PathEvent | None:
        """Answer AskItems; None when the answer has to be awaited: `await_items`. Raises WeftError, OSError."""
        collection = self._collect(instance)
        items = collection.items
        assert items is not None
        if not isinstance(items, Stream):
            return ForeachExpanded(path=instance.path, count=len(items), digest=collection.digest, at=self._clock.now())
        if items.waits:
            return None
        try:
            items.read(at_least)
        except Exception as error:  # of the user's iterator
            return self._failed(instance, error)
        return self._found(instance, items)

    async def await_items(self, instance: Instance, at_least: int) -> PathEvent:
        """Answer AskItems with items that have to be awaited."""
        stream = self._known[instance.path].items
        assert isinstance(stream, Stream)
        try:
            await stream.await_read(at_least)
        except Exception as error:  # of the user's generator
            return self._failed(instance, error)
        except (CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # asyncio would end the whole loop, or the task without a word
            return self._failed(instance, interrupted(error))
        return self._found(instance, stream)

    def _found(self, instance: Instance, stream: Stream) -> PathEvent:
        if not stream.over:
            return ItemsFound(path=instance.path, count=stream.found, at=self._clock.now())
        return ForeachExpanded(path=instance.path, count=stream.found, digest=stream.digest, at=self._clock.now())

    def _collect(self, instance: Instance) -> Collection:
        """Evaluate the collection, and compare it with what it was when this is a resume."""
        work = instance.node.work
        assert isinstance(work, ForeachWork)
        known = self._known.get(instance.path)
        if known is not None and isinstance(known.items, Stream):
            return known
        value = work.collection.evaluate(self._view(instance))
        items, digest = self._as_items(value)
        if known is None:
            known = self._known[instance.path] = Collection(None, digest, None)
        elif known.digest != digest and not isinstance(items, Stream):
            raise ChangedError(
                f"the items of {instance.path} are not those it began with",
                hint="restore them, or start a new run",
            )
        known.items = items
        return known

    def _as_items(self, value: Any) -> tuple[list[Any] | Rows | Stream, str]:
        if is_stream(value) and not isinstance(value, FileRows | FileList):
            return Stream(value, named=not self._outputs.by_reference), ""
        if isinstance(value, FileRows | FileList):
            return open_rows(value, self._world), values.digest(type(value).__name__, value)
        if value is None:
            value = []
        elif isinstance(value, dict):
            message = "a foreach takes a list, this is an object (write entries(x) for its pairs)"
            raise AttemptError(message, type="TypeError")
        elif isinstance(value, tuple):
            value = list(value)
        elif not isinstance(value, list):
            value = [value]
        if self._outputs.by_reference:
            return value, ""
        if len(value) > HELD_ITEMS:
            spooled = SpooledItems(value, self._new_spool())
            return spooled, spooled.digest
        return value, values.blob_digest(values.encode(value))

    def item(self, block: Foreach, index: int) -> Any:
        """One item of a collection, which is evaluated again when a resume has not done so yet."""
        collection = self._known.get(block.path)
        if collection is None or collection.items is None:
            collection = self._collect(block)
        assert collection.items is not None
        return collection.items[index]

    def compare(self, alive: Iterable[Instance]) -> None:
        """Before a resume goes on: every foreach that has more to do finds the items it began with.

        Raises ChangedError. What cannot be evaluated now fails its node later, as it would have without a resume.
        """
        for block in alive:
            known = self._known.get(block.path)
            if isinstance(block, Foreach) and known is not None and known.items is None and known.digest:
                try:
                    self._collect(block)
                except ChangedError:
                    raise
                except (WeftError, OSError):
                    continue

    async def reopen(self, alive: Iterable[Instance]) -> None:
        """Before a resume goes on: what is read item by item is read again as far as it had been, for what is not done.

        Raises ChangedError when the items were over and are not those they were.
        """
        for block in alive:
            if not isinstance(block, Foreach) or block.asked == "when" or not _may_stream(block):
                continue
            known = self._collect(block)
            if isinstance(known.items, Stream):
                await known.items.read_again(None if known.digest else block.following, block.is_done)
                if known.digest and known.items.digest != known.digest:
                    raise ChangedError(
                        f"the items of {block.path} are not those it began with",
                        hint="pass the same items, or start a new run",
                    )

    async def close(self) -> None:
        """Nobody reads on."""
        for collection in self._known.values():
            if isinstance(collection.items, Stream):
                await collection.items.aclose()

    def remember(self, event: ForeachExpanded) -> None:
        """A replay met an expansion: the items are read again when one is needed."""
        self._known[event.path] = Collection(None, event.digest, None)

    # -- results ----------------------------------------------------------------------------------------------------

    def keep_result(self, block: Foreach, index: int, last: Record) -> None:
        """An iteration has ended: its value is a place in the list."""
        collection = self._known.get(block.path)
        if collection is None:
            collection = self._known[block.path] = Collection(None, "", None)
        if isinstance(collection.items, Stream):
            collection.items.drop(index)
        if isinstance(block.node.work, ForeachWork) and not block.node.work.ordered:
            collection.order.append(index)
        if self._outputs.by_reference:
            collection.objects[index] = last.output
            return
        if collection.spool is None:
            collection.spool = self._new_spool()
        encoded = last.encoded
        if encoded is None or encoded.blob is not None or encoded.secrets or bytes(encoded.reference) != b"null":
            encoded = self._outputs.inline(last.output)
        if encoded.secrets:
            collection.marks[index] = encoded.secrets
        collection.spool.put(index, bytes(encoded.output))

    def complete(self, block: Foreach) -> Record:
        """The list of a foreach that came to its end."""
        collection = self._known.pop(block.path, None)
        if collection is None:
            return self._outputs.as_record([])
        if collection.items is not None and not isinstance(collection.items, list):
            collection.items.close()
        if collection.order:
            return self._outputs.as_record([self._result_at(collection, i) for i in collection.order])
        if self._outputs.by_reference:
            return self._outputs.as_record([collection.objects.get(i) for i in range(block.size)])
        marks = tuple(
            SecretMark((i, *m.place), m.start, m.name, m.form, m.key) for i, ms in collection.marks.items() for m in ms
        )
        spool = collection.spool
        data = b"[" + b",".join([b"null"] * block.size) + b"]" if spool is None else spool.array(block.size)
        if spool is not None:
            spool.close()
        return Record("succeeded", encoded=self._outputs.encode_bytes(data, marks), keeper=self._outputs, attempts=1)

    def _result_at(self, collection: Collection, index: int) -> Any:
        if self._outputs.by_reference:
            return collection.objects.get(index)
        assert collection.spool is not None
        encoded = Encoded(output=msgspec.Raw(collection.spool.get(index)), secrets=collection.marks.get(index, ()))
        return self._outputs.load(encoded)


def _may_stream(block: Foreach) -> bool:
    """Whether what it goes over was given from outside, so that it may be read item by item."""
    work = block.node.work
    return isinstance(work, ForeachWork) and work.streamed
