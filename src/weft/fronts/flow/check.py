"""Everything that can be known to be wrong with a document before it runs.

The parser has said what is wrong with the text; here its meaning is looked at: what nodes refer to, what waits for
what, what is computed, and how the nodes are set. All of it is found in one go and said at once. What was spoilt by a
mistake that the parser has reported is left alone, lest one error be followed by three that come of it.

Nothing is opened and nothing is run, whatever the document says.
"""

from __future__ import annotations

from weft.fronts.flow.ast import Document, Element
from weft.fronts.flow.names import MAX_SETS
from weft.fronts.flow.nodes import NodeReader
from weft.fronts.flow.options import RunOptions, read_options
from weft.fronts.flow.order import Edges, edges, report_cycles
from weft.fronts.flow.outline import Outline, Seat, outline
from weft.fronts.flow.placed import Placed
from weft.fronts.flow.reading import Entry, Reader, Sight, Use
from weft.fronts.flow.usage import report_unused
from weft.kinds import Kinds
from weft.text.notes import Notes
from weft.text.source import Diagnostic, Text

CODES: dict[str, str] = {
    "WEFT301": "a reference to something that is not there",
    "WEFT302": "a reference to a later node of a sequence",
    "WEFT303": "a reference into another branch or case",
    "WEFT304": "a reference into a foreach from outside",
    "WEFT305": "a reference to the node itself, or to one around or inside it",
    "WEFT306": "a reference to a fallback or a compensation",
    "WEFT307": "a reference to something that has no output",
    "WEFT310": "nodes that wait for each other",
    "WEFT320": "a node that cannot be the fallback it is named as",
    "WEFT321": "a break outside a loop, or across a branch",
    "WEFT322": "a foreach over a text",
    "WEFT323": "a concurrency below 1",
    "WEFT324": "a parallel that waits for more branches than it has, or merges what it does not have",
    "WEFT325": "one name for two things",
    "WEFT326": "a name that no expression could use",
    "WEFT330": "an undeclared secret",
    "WEFT331": "an undeclared config value",
    "WEFT332": "an undeclared environment variable",
    "WEFT333": "an undeclared limit",
    "WEFT334": "a $context value that nothing sets",
    "WEFT335": "a $context value that too many nodes may have set",
    "WEFT340": "a retry of a node that must not run twice",
    "WEFT341": "a retry that cannot be",
    "WEFT342": "something that this version does not use (warning)",
    "WEFT343": "something that cannot be in a compensation",
    "WEFT350": "a sink without an input (warning)",
    "WEFT351": "a node whose output nobody reads (warning)",
    "WEFT352": "a loop with neither max nor break (warning)",
    "WEFT412": "a $ name that means nothing here",
    "WEFT413": "braces around an expression",
    "WEFT501": "a missing setting",
    "WEFT502": "two settings of which only one can be given",
    "WEFT503": "a value of the wrong type",
    "WEFT504": "a word that is none of the accepted ones",
    "WEFT505": "a duration or a rate that cannot be read",
    "WEFT506": "a template where none can be",
    "WEFT508": "Python code that cannot be read",
    "WEFT509": "a parameter that nothing is known for, or no function",
    "WEFT510": "a parameter that could be two nodes",
}
"""Code and meaning of every diagnostic given here. Others are in `tags.CODES` and `text.expressions.CODES`."""


class Analysis:
    """A document, looked at as a whole: what the compiler builds the graph from."""

    __slots__ = (
        "document", "entries", "notes", "options", "outline", "output", "output_entry", "sets", "waits",
    )  # fmt: skip

    def __init__(self, document: Document, made: Outline, reader: Reader) -> None:
        self.document = document
        self.outline = made
        self.notes = reader.notes
        self.sets = reader.sets
        self.entries: dict[Seat, Entry] = {}
        self.waits: Edges = {}
        self.options = RunOptions()
        self.output: Placed | None = None
        self.output_entry = Entry(_nowhere(made), None)
        """What the document's `output` reads."""


def check(document: Document, kinds: Kinds) -> list[Diagnostic]:
    """All errors and warnings about the meaning of a document, in its order. Never raises; runs nothing."""
    return analyse(document, kinds).notes.sorted()


def analyse(document: Document, kinds: Kinds) -> Analysis:
    """Looks at a document as a whole; what is wrong is in the result's `notes`."""
    notes = Notes(document.source)
    made = outline(document, notes)
    reader = Reader(document, made, notes)
    result = Analysis(document, made, reader)
    nodes = NodeReader(reader, kinds)
    for seat in made.seats:
        if notes.full:
            return result
        entry = result.entries[seat] = nodes.read(seat)
        around = seat.body.owner
        outer = None if around is None or seat.body.kind == "compensation" else result.entries[around].given
        entry.given = entry.input or outer
    _read_context(result, reader)
    result.options = read_options(document, notes)
    _read_output(result, reader)
    _check_names(result, reader)
    result.waits = edges(made, result.entries.values())
    report_cycles(made, result.waits, notes)
    if document.complete and not notes.failed:
        report_unused(result.entries, result.output_entry, notes, has_input=bool(document.front.input))
    return result


def _nowhere(made: Outline) -> Seat:
    """A seat behind all others, for what belongs to no node."""
    seat = Seat(Element("output", "output", 0, 0, 0), made.root)
    seat.order = seat.last = len(made.seats)
    return seat


def _read_context(result: Analysis, reader: Reader) -> None:
    """Makes every reader of a `$context` name depend on the nodes that may have set it."""
    for seat, entry in result.entries.items():
        for name, (start, end) in entry.context.items():
            sets = reader.sets.before(seat, name)
            if not sets and entry.whole_context:
                continue
            if not sets:
                others = "a later node, or one in another branch or iteration, does"
                message = f"nothing sets $context.{name} before it is read here"
                reader.notes.error("WEFT334", message, start, end, hint=f"{others}: set it before this node")
            elif len(sets) > MAX_SETS:
                message = f"more than {MAX_SETS} nodes may have set $context.{name}"
                hint = "let one of them set it whatever happens, without a `when`"
                reader.notes.error("WEFT335", message, start, end, hint=hint)
            else:
                entry.uses += [Use(other, "context", start, end) for other in sets if other is not seat]


def _read_output(result: Analysis, reader: Reader) -> None:
    """The document's `output`."""
    text = result.document.front.output
    if text is None:
        return
    entry = result.output_entry
    result.output = reader.expression(text, Sight(entry))
    for name, (start, end) in entry.context.items():
        if not entry.whole_context and not reader.sets.at_end(result.outline, name):
            message = f"nothing sets $context.{name} for the whole document"
            hint = "what a branch or an iteration sets stays in it: set it outside"
            reader.notes.error("WEFT334", message, start, end, hint=hint)


def _check_names(result: Analysis, reader: Reader) -> None:
    """Reports names that could be two things: arguments, nodes, items."""
    made, notes = result.outline, reader.notes
    arguments = result.document.front.input
    for name, declared in arguments.items():
        if (seat := made.ids.get(name)) is not None and seat.element.id is not None:
            line = notes.line(declared.key.start)
            message = f"`{name}` is a node here and an argument of the document (`input` in line {line})"
            _taken(reader, message, seat.element.id)
    for seat in made.seats:
        if seat.kind != "foreach":
            continue
        for word in ("item", "index"):
            text = seat.element.settings.get(word)
            if text is not None:
                _check_item(result, reader, seat, text)


def _check_item(result: Analysis, reader: Reader, seat: Seat, text: Text) -> None:
    name = text.value.strip()
    made = result.outline
    if (other := made.ids.get(name)) is not None:
        line = reader.notes.line(other.element.start)
        _taken(reader, f"`{name}` is also the node in line {line}", text)
    elif name in result.document.front.input:
        _taken(reader, f"`{name}` is also an argument of the document", text)
    elif name in seat.body.names and name != "input":
        outer = next(s for s in seat.around() if s.kind == "foreach" and name in s.bodies[0].names - s.body.names)
        _taken(reader, f"`{name}` is also an item or index of the foreach {outer.name} around this one", text)


def _taken(reader: Reader, message: str, text: Text) -> None:
    reader.error("WEFT325", message, text, "give one of them another name")
