"""What the attempts of a run printed: one file each, beside the journal. Writes nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import msgspec


class LogFile(msgspec.Struct, frozen=True):
    """What one attempt printed."""

    path: str
    attempt: int
    file: Path


def log_files(folder: Path, path: str | None = None) -> list[LogFile]:
    """The logs of a run, the oldest first; with `path` those of that node and of everything inside it."""
    found = []
    try:
        entries = list((folder / "logs").iterdir())
    except OSError:
        return []
    for file in entries:
        name, _, number = file.name.removesuffix(".log").rpartition(".")
        if file.suffix != ".log" or not number.isdigit():
            continue
        log = LogFile(unquote(name), int(number), file)
        if path is None or log.path == path or log.path.startswith((path + "/", path + "[")):
            found.append((file.stat().st_mtime_ns, log))
    return [log for _, log in sorted(found, key=lambda pair: (pair[0], pair[1].path, pair[1].attempt))]


def log_of(folder: Path, path: str, attempt: int) -> Path | None:
    """What one attempt printed; None when that was nothing."""
    from weft.engine.logs import log_name

    file = folder / "logs" / log_name(path, attempt)
    return file if file.is_file() else None
