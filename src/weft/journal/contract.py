"""What every journal must do: a suite to subclass, for Weft's own implementations and for yours.

    class TestMyStore(JournalContract):
        @pytest.fixture
        def store(self):
            return MyStore(...)

        def raise_epoch(self, store, run_id):
            ...

Needs pytest to be run and nothing to be imported. Each test gets an empty store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from weft.errors import (
    CannotCreateError,
    CorruptJournalError,
    FencedError,
    JournalError,
    NotFoundError,
    OwnedError,
    WeftError,
)
from weft.event_types import AttemptStarted, AttemptSucceeded, Event, RunFinished, RunStarted, encode_batch
from weft.journal.base import Cached, Contribution, Journal, JournalReader, Store
from weft.values import BlobRef


def begin(store: Store, run_id: str = "r1") -> Journal:
    """A run with one batch of one event."""
    return store.create(run_id, [RunStarted(run=run_id, workflow="w")])


def ended(path: str, output: bytes = b"null") -> AttemptSucceeded:
    """An attempt that ended well."""
    return AttemptSucceeded(path=path, output=msgspec.Raw(output), at=1.5, duration=0.25)


def told(source: Journal | JournalReader, *after: int) -> list[bytes]:
    """All events that a journal or reader gives now, each as JSON: equal when the facts are."""
    return [encode_batch([event]) for batch in source.read(*after) for event in batch]


def as_json(*events: Event) -> list[bytes]:
    return [encode_batch([event]) for event in events]


def refused(kind: type[WeftError], call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """The error that a call raises, which must be of this kind."""
    try:
        call(*args, **named)
    except kind as error:
        return error
    raise AssertionError(f"{call} did not raise {kind.__name__}")


class JournalContract:
    """Subclass with a fixture `store` and `raise_epoch`."""

    def raise_epoch(self, store: Any, run_id: str) -> None:
        """Raise the epoch of a run as another owner would, behind the back of the present one."""
        raise NotImplementedError

    def test_events_come_back_in_the_order_of_their_appends(self, store: Store) -> None:
        journal = begin(store)
        events: list[Event] = [ended(f"n[{i}]", b'{"i": %d}' % i) for i in range(50)]
        for start in range(0, 50, 7):
            journal.append(events[start : start + 7])
        assert told(journal) == as_json(RunStarted(run="r1", workflow="w"), *events)

    def test_a_run_that_was_closed_reads_the_same_when_opened_again(self, store: Store) -> None:
        journal = begin(store)
        journal.append([ended("a"), ended("b")])
        before = told(journal)
        journal.close()
        again = store.open("r1")
        assert told(again) == before
        again.append([ended("c")])
        assert told(again) == before + as_json(ended("c"))

    def test_a_run_that_was_closed_can_be_read_without_opening_it(self, store: Store) -> None:
        journal = begin(store)
        journal.append([ended("a")])
        before = told(journal)
        journal.close()
        reader = store.reader("r1")
        assert told(reader) == before
        reader.close()

    def test_every_opening_for_writing_raises_the_epoch(self, store: Store) -> None:
        journal = begin(store)
        assert journal.epoch == 1
        for epoch in (2, 3):
            journal.close()
            journal = store.open("r1")
            assert journal.epoch == epoch

    def test_an_append_under_an_old_epoch_is_refused_and_writes_nothing(self, store: Store) -> None:
        journal = begin(store)
        journal.append([ended("a")])
        self.raise_epoch(store, "r1")
        refused(FencedError, journal.append, [ended("b")])
        refused(FencedError, journal.append, [ended("c")])
        journal.close()
        reader = store.reader("r1")
        assert told(reader) == as_json(RunStarted(run="r1", workflow="w"), ended("a"))
        reader.close()

    def test_a_run_that_is_open_cannot_be_opened_again(self, store: Store) -> None:
        journal = begin(store)
        error = refused(OwnedError, store.open, "r1")
        assert error.owner
        assert error.hint
        assert store.owner("r1") == error.owner
        journal.append([ended("a")])
        refused(OwnedError, store.remove, "r1")
        journal.close()
        assert store.owner("r1") is None

    def test_a_closed_journal_refuses_appends_and_may_be_closed_twice(self, store: Store) -> None:
        journal = begin(store)
        journal.close()
        journal.close()
        refused(JournalError, journal.append, [ended("a")])

    def test_an_empty_batch_is_nothing(self, store: Store) -> None:
        journal = begin(store)
        journal.append([])
        journal.append([ended("a")])
        journal.append([])
        assert [batch for batch in journal.read() if not batch] == []
        assert len(told(journal)) == 2

    def test_a_large_batch_and_large_outputs_come_back_whole(self, store: Store) -> None:
        journal = begin(store)
        many: list[Event] = [ended(f"n[{i}]") for i in range(5_000)]
        large: list[Event] = [ended("large", b'"' + b"x" * 60_000 + b'"') for _ in range(64)]
        journal.append(many)
        journal.append(large)
        assert told(journal)[1:] == as_json(*many, *large)

    def test_any_text_comes_back_the_same(self, store: Store) -> None:
        text = "né\u0000\u2028\u202e\U0001f9f5 \"'\\ --; DROP TABLE batch"
        journal = begin(store)
        journal.append([AttemptStarted(path="a", reason=text), RunFinished(status=text)])
        *_, started, finished = (event for batch in journal.read() for event in batch)
        assert isinstance(started, AttemptStarted)
        assert isinstance(finished, RunFinished)
        assert (started.reason, finished.status) == (text, text)

    def test_a_reader_follows_a_run_that_is_being_written(self, store: Store) -> None:
        journal = begin(store)
        reader = store.reader("r1")
        assert len(told(reader)) == 1
        assert told(reader) == []
        for number in range(5):
            journal.append([ended(f"n[{number}]"), ended(f"m[{number}]")])
            assert told(reader) == as_json(ended(f"n[{number}]"), ended(f"m[{number}]"))
        journal.close()
        assert told(reader) == []
        reader.close()

    def test_a_reader_can_start_again_and_go_on_from_a_position(self, store: Store) -> None:
        journal = begin(store)
        reader = store.reader("r1")
        assert reader.position == 0
        first = told(reader)
        position = reader.position
        journal.append([ended("a")])
        assert told(reader, position) == as_json(ended("a"))
        assert told(reader, 0) == first + as_json(ended("a"))
        other = store.reader("r1")
        assert told(other, position) == as_json(ended("a"))
        other.close()
        reader.close()

    def test_a_blob_comes_back_to_owner_and_reader(self, store: Store) -> None:
        journal = begin(store)
        data = bytes(range(256)) * 1_000
        ref = journal.put_blob(data)
        assert ref.size == len(data)
        assert journal.put_blob(data) == ref
        assert journal.get_blob(ref) == data
        assert journal.get_blob(journal.put_blob(b"")) == b""
        reader = store.reader("r1")
        assert reader.get_blob(ref) == data
        reader.close()

    def test_a_blob_that_is_not_there_is_damage_and_not_an_empty_value(self, store: Store) -> None:
        journal = begin(store)
        ref = journal.put_blob(b"abc")
        refused(CorruptJournalError, journal.get_blob, BlobRef("0" * 64, 3))
        refused(CorruptJournalError, journal.get_blob, BlobRef(ref.sha256, 4))
        refused(CorruptJournalError, journal.get_blob, BlobRef("../" + ref.sha256, 3))

    def test_runs_are_listed_newest_first(self, store: Store) -> None:
        assert store.runs() == []
        names = ["20260101-000000-aaaaaa", "20260101-000001-aaaaaa", "20270101-000000-aaaaaa"]
        for name in (names[1], names[0], names[2]):
            begin(store, name).close()
        assert store.runs() == names[::-1]
        assert store.resolve("last") == names[2]

    def test_a_prefix_means_the_only_run_that_starts_with_it(self, store: Store) -> None:
        for name in ("20260101-000000-aaaaaa", "20260101-000001-aaaaaa", "x"):
            begin(store, name).close()
        assert store.resolve("20260101-000001") == "20260101-000001-aaaaaa"
        assert store.resolve("x") == "x"
        error = refused(NotFoundError, store.resolve, "2026")
        assert "2 runs" in str(error)
        assert "20260101-000000-aaaaaa" in str(error)
        for unknown in ("zzz", "", "../x", "20260101-000000-aaaaaaa"):
            refused(NotFoundError, store.resolve, unknown)

    def test_an_unknown_run_is_not_found_whatever_is_asked(self, store: Store) -> None:
        refused(NotFoundError, store.resolve, "last")
        begin(store).close()
        for unknown in ("r2", "", "..", "../runs/r1", ".tmp-r1", "r1/", "r\x00"):
            refused(NotFoundError, store.open, unknown)
            refused(NotFoundError, store.reader, unknown)
            refused(NotFoundError, store.remove, unknown)
            refused(NotFoundError, store.owner, unknown)

    def test_two_runs_never_have_one_id(self, store: Store) -> None:
        begin(store)
        refused(CannotCreateError, begin, store)
        assert store.new_id() != store.new_id()

    def test_new_ids_sort_by_time(self, store: Store) -> None:
        ids = [store.new_id() for _ in range(3)]
        stems = [name[:15] for name in ids]
        assert stems == sorted(stems)
        assert all(len(name) == 22 for name in ids)

    def test_a_removed_run_is_gone(self, store: Store) -> None:
        begin(store).close()
        store.remove("r1")
        assert store.runs() == []
        refused(NotFoundError, store.reader, "r1")
        begin(store).close()

    def test_two_runs_do_not_see_each_other(self, store: Store) -> None:
        one, two = begin(store, "one"), begin(store, "two")
        one.append([ended("a")])
        two.append([ended("b")])
        one.append([ended("c")])
        assert told(one)[1:] == as_json(ended("a"), ended("c"))
        assert told(two)[1:] == as_json(ended("b"))

    def test_the_history_gives_the_median_of_the_last_five_durations(self, store: Store) -> None:
        history = store.history
        assert history.durations(["a", "b"]) == {}
        history.record("r1", Contribution({"a": [1.0], "b": [2.0, 4.0], "c": []}))
        assert history.durations(["a", "b", "c", "d"]) == {"a": 1.0, "b": 3.0}
        history.record("r2", Contribution({"a": [9.0, 9.0, 5.0, 5.0, 5.0]}))
        assert history.durations(["a"]) == {"a": 5.0}
        history.record("r3", Contribution())
        assert history.durations([]) == {}

    def test_the_history_keeps_outputs_for_the_cache(self, store: Store) -> None:
        history = store.history
        assert history.cached("k") is None
        ref = history.put_blob(b"large")
        inline = Cached(1.5, "r1", msgspec.Raw(b'{"x":1}'))
        history.record("r1", Contribution(outputs={"k": inline, "b": Cached(2.5, "r1", blob=ref)}))
        found, large = history.cached("k"), history.cached("b")
        assert found is not None
        assert (bytes(found.output), found.run, found.at) == (b'{"x":1}', "r1", 1.5)
        assert large is not None
        assert large.blob == ref
        assert history.get_blob(ref) == b"large"
        history.record("r2", Contribution(outputs={"k": Cached(3.5, "r2", msgspec.Raw(b"2"))}))
        newer = history.cached("k")
        assert newer is not None
        assert newer.run == "r2"
