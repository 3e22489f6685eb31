"""What a node kind declares about itself: its settings, its main setting, its effect.

Runtimes declare, documents are checked against the declarations, `weft nodes` prints them. The records live in the
ground because the checker (a front) and the runtimes (the world) must not know each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

SettingType = Literal[
    "text", "number", "integer", "boolean", "list", "object", "any", "duration", "expression", "path", "enum"
]
"""How a setting's text is read.

`text` and `path` are templates; `number, integer, boolean, list, duration` take their literal or one `{{ }}`;
`list, object, any` are YAML whose scalars are templates; `expression` is bare and may be evaluated per item.
"""

Effect = Literal["pure", "idempotent", "once"]


class Setting(msgspec.Struct, frozen=True, omit_defaults=True):
    """One setting of a node kind."""

    name: str
    type: SettingType
    doc: str = ""
    required: bool = False
    default: object = None
    values: tuple[str, ...] = ()
    """The accepted words of an `enum`."""
    local_names: tuple[str, ...] = ()
    """`$`-names that only this expression sees (`item` for a map, `body` for `extract`)."""
    template: bool = True
    """False: `{{` in it is an error (a value never becomes shell text or code)."""


class KindSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node kind as documents see it: `source:file`, `command`, ..."""

    kind: str
    settings: tuple[Setting, ...]
    doc: str = ""
    output: str = ""
    """What its output is, for people."""
    main: str | None = None
    """The setting that may be the node's own text."""
    effect: Effect = "idempotent"
    takes_input: bool = True
    one_of: tuple[tuple[str, ...], ...] = ()
    """Groups of settings of which exactly one must be given."""

    def setting(self, name: str) -> Setting | None:
        """The setting of that name, or None."""
        return next((s for s in self.settings if s.name == name), None)


Kinds = Mapping[str, KindSpec]
