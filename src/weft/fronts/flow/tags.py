"""The tags of the language, literally: what each may hold, carry and stand in.

Leaves are not here: what a leaf may be told comes from the runtimes as `KindSpec`s. Only the names of those that the
language has are listed, so that one which this version lacks is said to be missing, not unknown.
"""

from __future__ import annotations

import msgspec

CODES: dict[str, str] = {
    "WEFT101": "not UTF-8",
    "WEFT102": "UTF-16 or UTF-32",
    "WEFT103": "a NUL byte",
    "WEFT104": "the document is too large",
    "WEFT105": "not a regular file",
    "WEFT110": "front matter that is never closed, or does not begin on the first line",
    "WEFT111": "not valid YAML",
    "WEFT112": "an alias or anchor in YAML",
    "WEFT113": "a tag in YAML",
    "WEFT114": "a duplicate key in YAML",
    "WEFT115": "a merge key in YAML",
    "WEFT116": "more than one YAML document",
    "WEFT117": "a number that is not finite or has more than 64 bits",
    "WEFT118": "YAML nested too deep, or with too many values",
    "WEFT119": "a list or an object as a key in YAML",
    "WEFT120": "an unknown key in the front matter",
    "WEFT121": "a front matter value of the wrong shape",
    "WEFT122": "a word that is none of the accepted ones in the front matter",
    "WEFT123": "a name in the front matter that no expression could use",
    "WEFT124": "an unquoted template in YAML",
    "WEFT201": "no `<workflow>`",
    "WEFT202": "a code fence that is never closed",
    "WEFT203": "a comment that is never closed",
    "WEFT204": "a declaration (`<!DOCTYPE`, `<!ENTITY`)",
    "WEFT205": "a tag that is badly written",
    "WEFT206": "an element that is never closed",
    "WEFT207": "elements that cross",
    "WEFT208": "an end tag without its element",
    "WEFT209": "nested too deep",
    "WEFT210": "an unknown tag",
    "WEFT211": "a tag of the language that this version does not support",
    "WEFT212": "a tag in the wrong place",
    "WEFT213": "an element that is missing inside another",
    "WEFT214": "an element that may be there only once",
    "WEFT215": "a node type that is missing or unknown",
    "WEFT216": "text where an element takes none",
    "WEFT217": "too many nodes",
    "WEFT220": "an unknown attribute",
    "WEFT221": "an attribute or setting that is given twice",
    "WEFT222": "a missing attribute",
    "WEFT223": "an attribute without a quoted value",
    "WEFT230": "a missing id",
    "WEFT231": "an id that is not allowed",
    "WEFT232": "a duplicate id",
    "WEFT240": "no nodes (warning)",
    "WEFT241": "a second `<workflow>` (warning)",
    "WEFT242": "a tag in a leaf that is close to one of its settings (warning)",
    "WEFT243": "a node's tag in the text of a leaf (warning)",
    "WEFT299": "too many problems to list them all",
}
"""Code and meaning of every diagnostic about the file, its front matter, its tags and its structure."""


class TagSpec(msgspec.Struct, frozen=True):
    """One tag that is no leaf.

    `role`: a *node* has an id and common attributes, a *part* is what a node is made of. `body`: takes nodes.
    `parts`: the parts that may stand in it; `inside`: the elements a part stands in. `settings` may be written as
    attributes or as child elements, `attributes` as attributes only; `required` are those that must be there.
    """

    role: str
    body: bool = False
    parts: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    takes_id: bool = False
    needs_id: bool = False
    supported: bool = True


def _block(
    *,
    body: bool = False,
    parts: tuple[str, ...] = (),
    settings: tuple[str, ...] = (),
    attributes: tuple[str, ...] = (),
    required: tuple[str, ...] = (),
    needs_id: bool = True,
    supported: bool = True,
) -> TagSpec:
    return TagSpec("node", body, parts, (), settings, attributes, required, True, needs_id, supported)


def _part(
    inside: tuple[str, ...],
    *,
    body: bool = True,
    parts: tuple[str, ...] = (),
    attributes: tuple[str, ...] = (),
    required: tuple[str, ...] = (),
    takes_id: bool = False,
    supported: bool = True,
) -> TagSpec:
    return TagSpec("part", body, parts, inside, (), attributes, required, takes_id, False, supported)


TAGS: dict[str, TagSpec] = {
    "workflow": TagSpec("part", body=True),
    # blocks
    "parallel": _block(parts=("branch",), settings=("wait", "merge", "concurrency")),
    "branch": _part(("parallel",), attributes=("name",), takes_id=True),
    "foreach": _block(body=True, settings=("collection", "item", "index", "concurrency"), required=("collection",)),
    "if": _block(parts=("then", "else"), settings=("condition",), required=("condition",)),
    "then": _part(("if",)),
    "else": _part(("if",)),
    "switch": _block(parts=("case", "default")),
    "case": _part(("switch",), attributes=("when",), required=("when",), takes_id=True),
    "default": _part(("switch",)),
    "loop": _block(body=True, settings=("max",), attributes=("break",)),
    "context": _block(body=True),
    "while": _block(body=True, settings=("condition", "max"), required=("condition",)),
    "break": TagSpec("node", attributes=("when", "all"), takes_id=True),
    # common children
    "on-error": _part(("node",), body=False, parts=("retry", "fallback")),
    "retry": _part(("on-error",), body=False, attributes=("max", "backoff", "base", "cap", "jitter", "when")),
    "fallback": _part(("on-error",), attributes=("node",)),
    "compensate": _part(("node",)),
    # of the language, not of this version
    "phase": _block(body=True, needs_id=False, supported=False),
    "timeout": _block(body=True, parts=("on-timeout",), supported=False),
    "on-timeout": _part(("timeout",), supported=False),
    "checkpoint": _block(parts=("action",), supported=False),
    "action": _part(("checkpoint",), supported=False),
    "include": _block(parts=("bind",), supported=False),
    "call": _block(parts=("bind",), supported=False),
    "bind": _part(("include", "call"), supported=False),
    "finally": TagSpec("node", body=True, takes_id=True, supported=False),
}

LEAVES = (
    "source:file", "source:files", "source:http", "source:database", "source:value",
    "transform:template", "transform:value", "transform:map", "transform:filter", "transform:reduce", "transform:ai",
    "sink:file", "sink:http", "sink:database", "command", "python", "delay", "set",
)  # fmt: skip
"""Every leaf of the language, whether this version has it or not."""

PREFIXES = ("source", "transform", "sink")
NO_ID_NEEDED = frozenset({"set", "break"})

COMMON = (
    "input", "needs", "when", "timeout", "retry", "on-failure", "effect", "cache", "limit", "description",
)  # fmt: skip
"""Attributes that every node takes."""
LEAF_ONLY = frozenset({"retry", "effect", "cache", "limit"})
COMMON_CHILDREN = ("on-error", "compensate")

RESERVED_IDS = frozenset(
    {"in", "not", "and", "or", "if", "else", "true", "false", "null", "input", "True", "False", "None"}
)

MAX_NESTING = 64
MAX_NODES = 100_000

_HTML = """
    a abbr acronym address area article aside audio b base basefont bdi bdo big blockquote body br button canvas
    caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset
    figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input
    ins kbd label legend li link main map mark marquee menu meta meter nav noscript object ol optgroup option output p
    param picture pre progress q rp rt ruby s samp script search section select slot small source span strike strong
    style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video
    wbr
"""
HTML = frozenset(_HTML.split())
"""The names of HTML elements: in prose they are prose, however close to one of ours."""

_SCHEMES = "http https ftp ftps mailto tel sms urn data file ssh git irc doi news ws wss"
SCHEMES = frozenset(_SCHEMES.split())
"""`<mailto:...>` is a link, no tag."""


class Near:
    """Which of the listed names a word is a slip of the pen away from: one edit, two from six letters on."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = tuple((name, frozenset(name), 2 if len(name) >= 6 else 1) for name in dict.fromkeys(names))
        self._known: dict[str, str | None] = {}

    def find(self, word: str) -> str | None:
        """The nearest name, or None. Swapped neighbours count as one edit; capitals do not count."""
        if word not in self._known:
            # Nobody misspells thousands of different words; somebody may want to make this slow.
            if len(self._known) >= 5000:
                return None
            self._known[word] = self._find(word.lower())
        return self._known[word]

    def _find(self, word: str) -> str | None:
        best, least = None, 3
        letters = frozenset(word)
        for name, own, allowed in self._names:
            # One edit changes the length by one at most, and the set of letters by two.
            if abs(len(name) - len(word)) > allowed or len(letters ^ own) > 2 * allowed:
                continue
            edits = _edits(word, name)
            if edits <= allowed and edits < least:
                best, least = name, edits
        return best


def _edits(a: str, b: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before2, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before2[j - 2] + 1)
            row.append(cost)
    return row[-1]
