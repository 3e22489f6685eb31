"""A flow document, read: what was written and where, nothing checked against anything yet.

Texts are raw (`Text`): expressions, templates, durations and YAML in them are read by the checker and the compiler,
which find each character's place through `Text.at`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from weft.text.source import Source, Text
from weft.text.yaml import Marked, Scalar

ConfigType = Literal["string", "number", "integer", "boolean", "object", "array"]


class Declared(msgspec.Struct, frozen=True):
    """One declared config value or argument. `default` counts only where `has_default`."""

    name: str
    key: Scalar
    type: ConfigType | None = None
    has_default: bool = False
    default: Any = None
    required: bool = False
    enum: tuple[Any, ...] | None = None
    description: str | None = None
    place: Marked | None = None
    """The default's place, where there is one, else the declaration's."""


class Front(msgspec.Struct, frozen=True):
    """The front matter.

    The fields are read and of the right shape, or left at their default when they were wrong (a diagnostic says so).
    `values` and `keys` have every key as it was written, with places; `extra` those that begin with `x-`.
    """

    name: str
    version: str = "0"
    description: str | None = None
    config: dict[str, Declared] = {}
    input: dict[str, Declared] = {}
    output: Text | None = None
    secrets: dict[str, Scalar] = {}
    runtime: dict[str, Marked] = {}
    limits: dict[str, Marked] = {}
    schedule: str = "dataflow"
    on_failure: str = "finish"
    rollback: str = "all"
    values: dict[str, Marked] = {}
    keys: dict[str, Scalar] = {}
    start: int = 0
    end: int = 0

    @property
    def extra(self) -> dict[str, Any]:
        """The keys that begin with `x-`, as plain data."""
        return {key: value.value for key, value in self.values.items() if key.startswith("x-")}


class Element(msgspec.Struct, frozen=True):
    """A node, or a part of one (`branch`, `then`, `on-error`, `retry`, ...).

    `tag` is the name as written, `kind` what it means (`source:file` for both spellings; `switch` also for a
    `<branch>` outside a parallel). `attributes` has what was written as an attribute (but `id` and `type`),
    `settings` the settings however they were written: as attribute, as child, or as the node's own text, which stands
    under the kind's main setting. `children` are the nodes of a body, or the parts (`branch`, `then`, `case`,
    `retry`, `fallback`) in their order. It spans `start` to `end`; its `<name` ends at `head`. A `damaged` one had
    errors, and parts of it may be missing.
    """

    kind: str
    tag: str
    start: int
    head: int
    end: int
    id: Text | None = None
    attributes: dict[str, Text] = {}
    settings: dict[str, Text] = {}
    text: Text | None = None
    children: tuple[Element, ...] = ()
    on_error: Element | None = None
    compensate: Element | None = None
    leaf: bool = False
    damaged: bool = False

    @property
    def name(self) -> str:
        """The id, or the kind for a node without one."""
        return self.id.value if self.id is not None else self.kind

    def part(self, kind: str) -> Element | None:
        """The first child of that kind."""
        return next((child for child in self.children if child.kind == kind), None)


class Document(msgspec.Struct, frozen=True):
    """A whole document. `ids` has every element that has an id, `prose` the spans of text around and between the
    top-level nodes. When `complete` is false there were errors, and parts of the document may be missing.
    """

    source: Source
    front: Front
    nodes: tuple[Element, ...]
    ids: dict[str, Element]
    start: int
    end: int
    prose: tuple[tuple[int, int], ...] = ()
    complete: bool = True
