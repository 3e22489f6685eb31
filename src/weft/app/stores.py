"""Where runs are kept, and finding one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from weft import event_types as events
from weft.app import project
from weft.errors import InputError, NotResumableError, UsageError

if TYPE_CHECKING:
    from weft.app.project import Project
    from weft.graph.work import Program
    from weft.journal.base import Durability, Store

Place = str | Path | None
"""A folder as a program names it; None: in memory."""


def store_of(place: Project, program: Program | None = None) -> Store:
    """Where a project keeps its runs. Raises InputError."""
    if place.journal is None:
        return _store(None, "power")
    if "://" in str(place["journal"] or ""):
        origin = place.settings["journal"].origin
        raise InputError(f"{origin}: journals at an address are not supported yet", hint="name a folder, or none")
    durability = place["durability"] or (program.durability if program is not None else None) or "power"
    if durability not in ("power", "process"):
        raise InputError(f"durability is {durability!r}; it must be power or process")
    return _store(place.journal, "process" if durability == "process" else "power")


def store_at(place: Place, durability: str | None = None) -> Store:
    """The runs at a place that a program names. Raises InputError for one that cannot be a place."""
    if place is not None and not isinstance(place, str | Path):
        raise InputError(f"journal is {place!r}; it must be a folder", hint='journal=".weft"')
    if "://" in str(place):
        raise InputError(f"journal={str(place)!r}: journals at an address are not supported yet", hint="name a folder")
    return _store(None if place is None else Path(place).absolute(), "process" if durability == "process" else "power")


def _store(folder: Path | None, durability: Durability) -> Store:
    if folder is None:
        from weft.journal.memory import MemoryStore

        return MemoryStore()
    import weft
    from weft.journal.sqlite import SqliteStore

    return SqliteStore(folder, durability=durability, weft=weft.__version__)


def here(journal: str | None = None) -> tuple[Project, Store]:
    """The project of the working directory and its runs. Raises UsageError when none are kept."""
    place = project.find(Path.cwd(), {"journal": journal})
    if place.journal is None:
        raise UsageError("runs without a journal are not kept", hint="name the folder with --journal")
    return place, store_of(place)


def locate(run_id: str, journal: str | None = None) -> tuple[Project, Store, str]:
    """The project of the working directory, its runs, and the full id of a run named by a prefix or `last`."""
    place, store = here(journal)
    return place, store, store.resolve(run_id)


def first_event(store: Store, run_id: str) -> events.RunStarted:
    """How a run began. Raises NotResumableError when its journal does not say."""
    reader = store.reader(run_id)
    try:
        batch = next(iter(reader.read()), None)
    finally:
        reader.close()
    if not batch or not isinstance(batch[0], events.RunStarted):
        raise NotResumableError(f"run {run_id} has no beginning")
    return batch[0]
