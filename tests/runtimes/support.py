"""What the tests of the runtimes share and is no fixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weft.runtimes.base import Bound
from weft.text.expressions import MappingScope, parse


def bound(text: str, **names: Any) -> Bound:
    """An expression over these names."""
    return Bound(parse(text, names=names), MappingScope(names=names))


def listing(folder: Path | str) -> list[str]:
    """The names in a folder, sorted."""
    return sorted(path.name for path in Path(folder).iterdir())
