"""What the function of a `python` node asks for: found by reading its code as a syntax tree, which runs nothing.

A parameter named like a node is a reference to it like any other, and so a dependency. A function that is imported
(`call`) is not read, as that would mean to import it: it gets what is there without any dependency.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from weft.errors import nearest
from weft.fronts.flow.names import refusal
from weft.fronts.flow.placed import ConfigValue, Name, NodeOutput
from weft.fronts.flow.reading import MANY, Entry, Reader, Sight
from weft.graph.work import Evaluable
from weft.text.source import Text, quoted
from weft.text.yaml import Mapping, load

if TYPE_CHECKING:
    import ast

MAIN = "main"
_CALL = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
MAX_PARAMETERS = 500
"""No function has more; so many are looked up."""


def read_parameters(reader: Reader, entry: Entry) -> None:
    """Fills the entry's arguments: parameter name to what it gets. Reports parameters that nothing is known for."""
    settings = entry.seat.element.settings
    code = settings.get("code")
    call = settings.get("call")
    if call is not None and call.value.strip() and "{{" not in call.value and not _CALL.fullmatch(call.value.strip()):
        message = f"`call` is {quoted(call.value.strip(), 40)}; it must be package.module:function"
        reader.error("WEFT503", message, call)
    if code is None or "code" not in entry.settings:
        _give_everything(reader, entry)
        return
    elsewhere = "interpreter" in settings or "interpreter" in reader.document.front.runtime
    tree = _tree(reader, code, elsewhere=elsewhere)
    if tree is None:
        _give_everything(reader, entry)
        return
    function = _main(tree)
    if function is None:
        _check_defined(reader, code, tree)
        _give_everything(reader, entry)
        return
    given = _given(reader, settings.get("args"))
    for parameter, required in _parameters(function)[:MAX_PARAMETERS]:
        if parameter.arg not in given and parameter.arg != "ctx":
            _provide(reader, entry, code, parameter, required=required)


def _tree(reader: Reader, code: Text, *, elsewhere: bool) -> ast.Module | None:
    import ast

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code.value)
    except SyntaxError as error:
        if not elsewhere:
            at = _index(code.value, error.lineno or 1, (error.offset or 1) - 1)
            start, end = code.span(at, at + 1)
            message = f"the Python code cannot be read: {error.msg}"
            reader.notes.error("WEFT508", message, start, end)
    except (ValueError, RecursionError, MemoryError):
        if not elsewhere:
            reader.error("WEFT508", "the Python code cannot be read: it is nested too deeply", code)
    return None


def _index(code: str, line: int, column: int) -> int:
    """The index in the code of a line (from 1) and a column in characters."""
    at = 0
    for _ in range(line - 1):
        feed = code.find("\n", at)
        if feed < 0:
            break
        at = feed + 1
    return max(0, min(at + column, len(code) - 1))


def _main(tree: ast.Module) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The last plain definition of `main`; None where the text alone does not say what it takes."""
    import ast

    found = None
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == MAIN:
            found = statement
    return None if found is None or found.decorator_list else found


def _check_defined(reader: Reader, code: Text, tree: ast.Module) -> None:
    """Reports code in which nothing can be `main`."""
    import ast

    if any(isinstance(node, ast.Name | ast.alias | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
           and MAIN in (getattr(node, "id", ""), getattr(node, "name", ""), getattr(node, "asname", ""))
           for statement in tree.body for node in ast.walk(statement)):  # fmt: skip
        return
    hint = "begin it with `def main(input):` and return the output"
    reader.error("WEFT509", "the Python code defines no function `main`", code, hint)


def _give_everything(reader: Reader, entry: Entry) -> None:
    for name in sorted(entry.seat.body.names):
        entry.arguments[name] = Name(name)
    entry.reads_input = True
    for name in reader.document.front.config:
        entry.arguments.setdefault(name, ConfigValue(name))


def _given(reader: Reader, args: Text | None) -> frozenset[str]:
    """The names that `<args>` gives; wrong YAML is reported elsewhere."""
    if args is None or args.value.lstrip().startswith("{{"):
        return frozenset()
    try:
        root = load(args.value, source=reader.source, offset=args.at)
    except Exception:
        return frozenset()
    return frozenset(root.entries) if isinstance(root, Mapping) else frozenset()


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[ast.arg, bool]]:
    """The parameters that can be given by name, each with whether it must be."""
    a = function.args
    plain = [*a.posonlyargs, *a.args]
    found = [(arg, index < len(plain) - len(a.defaults)) for index, arg in enumerate(plain)]
    found += [(arg, default is None) for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    return found


def _place(code: Text, parameter: ast.arg) -> tuple[int, int]:
    """Where a parameter stands in the document. The syntax tree counts columns in bytes."""
    start = _index(code.value, parameter.lineno, 0)
    end = code.value.find("\n", start)
    line = code.value[start : end if end >= 0 else len(code.value)]
    column = parameter.col_offset
    if not line.isascii():
        column = len(line.encode("utf-8", "replace")[:column].decode("utf-8", "replace"))
    return code.span(start + column, start + column + len(parameter.arg))


def _provide(reader: Reader, entry: Entry, code: Text, parameter: ast.arg, *, required: bool) -> None:
    """Finds what a parameter gets: input, item or index, node, argument of the document, config value."""
    name = parameter.arg
    seat = entry.seat
    start, end = _place(code, parameter)
    made: Evaluable | None = None
    if name in seat.body.names:
        entry.reads_input = entry.reads_input or name == "input"
        made = Name(name)
    elif ids := _nodes_called(reader, entry, name):
        if len(ids) > 1:
            message = f"the parameter `{name}` could be the node `{ids[0]}` or `{ids[1]}`"
            hint = f'say which: <args>{name}: "{{{{ {ids[0]} }}}}"</args>'
            reader.notes.error("WEFT510", message, start, end, hint=hint)
            return
        if not required and refusal(seat, reader.outline.ids[ids[0]]) is not None:
            return
        if not reader.use(Sight(entry), ids[0], start, end, how="parameter"):
            return
        made = NodeOutput(ids[0])
    elif name in reader.document.front.config:
        made = ConfigValue(name)
    if made is not None:
        entry.arguments[name] = made
    elif required:
        _report_unknown(reader, entry, name, start, end)


def _nodes_called(reader: Reader, entry: Entry, name: str) -> list[str]:
    """The ids that a parameter's name may mean."""
    known = reader.outline.ids
    return [each for each in (name, *reader.hyphenated.get(name, ())) if each in known and each != entry.seat.id]


def _report_unknown(reader: Reader, entry: Entry, name: str, start: int, end: int) -> None:
    if reader.is_lost(name):
        return
    seat = entry.seat
    known = ["ctx", *seat.body.names, *reader.document.front.config]
    known += [each.replace("-", "_") for each in list(reader.outline.ids)[:MANY] if each != seat.id]
    close = nearest(name, known)
    if name == "context":
        close = ["ctx"]
    hint = f"did you mean `{close[0]}`?" if close else f'give it: <args>{name}: "{{{{ … }}}}"</args>'
    message = f"`main` asks for `{name}`, which is no node, argument or config value"
    reader.notes.error("WEFT509", message, start, end, hint=hint)
