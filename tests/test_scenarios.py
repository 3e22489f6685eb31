"""Documents as people get them wrong, each with the whole of what Weft says about it.

`scenarios/NAME.flow.md` stands beside `NAME.expected`, the rendered diagnostics; `scenarios/valid/` has documents
without any, beside their graphs. `WEFT_BLESS=1` writes the expectations anew; whoever does that reads every line of the
change as somebody would who is stuck: is the place right, the cause clear, the next step said?
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from weft.errors import DocumentError
from weft.fronts.flow import check, tags
from weft.fronts.flow.front import load_document
from weft.graph.model import Graph
from weft.runtimes import registry
from weft.text import expressions
from weft.text.source import Source, decode, render

FOLDER = Path(__file__).parent / "scenarios"
BROKEN = sorted(FOLDER.glob("*.flow.md"))
VALID = sorted((FOLDER / "valid").glob("*.flow.md"))
BLESS = bool(os.environ.get("WEFT_BLESS"))

ELSEWHERE = {
    "WEFT207": "elements that cross are told as WEFT206 and WEFT208",
    "WEFT104": "two megabytes are not kept here; see text/test_source.py",
    "WEFT105": "a device, likewise",
    "WEFT216": "only kinds of others take no text, see fronts/flow/test_parser.py",
    "WEFT118": "a hundred levels, see text/test_yaml.py",
    "WEFT209": "64 levels, see fronts/flow/test_parser.py",
    "WEFT217": "100,000 nodes, likewise",
    "WEFT299": "a hundred errors, likewise",
    "WEFT335": "100 nodes, see fronts/flow/test_check.py",
    "WEFT403": "64 levels, see text/test_expressions.py",
    **{f"WEFT{code}": "an error of a run" for code in (*range(420, 428), 430)},
}


def name_of(path: Path) -> str:
    return path.name.removesuffix(".flow.md")


def said_about(path: Path) -> str:
    try:
        source = decode(path.name, path.read_bytes())
    except DocumentError as error:
        return "\n\n".join(render(d, None) for d in error.diagnostics) + "\n"
    loaded = load_document(source, registry.specs)
    assert (loaded.program is None) is any(d.severity == "error" for d in loaded.diagnostics)
    return "\n\n".join(render(d, source) for d in loaded.diagnostics) + "\n"


def compare(path: Path, suffix: str, said: str) -> None:
    expected = path.with_name(name_of(path) + suffix)
    if BLESS:
        expected.write_text(said)
    assert said == expected.read_text()


@pytest.mark.parametrize("path", BROKEN, ids=name_of)
def test_a_broken_document_is_told_all_that_is_wrong_with_it(path: Path) -> None:
    compare(path, ".expected", said_about(path))


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_a_valid_document_has_its_graph(path: Path) -> None:
    source = decode(path.name, path.read_bytes())
    loaded = load_document(source, registry.specs)
    assert "\n\n".join(render(d, source) for d in loaded.diagnostics) == ""
    assert loaded.program is not None
    compare(path, ".graph", "\n".join(drawn(loaded.program.graph)) + "\n")


def drawn(graph: Graph, margin: str = "") -> list[str]:
    """`id (kind) <- needs`, what is inside indented below."""
    lines = []
    for index, node in enumerate(graph.nodes):
        needs = [graph.nodes[at].id for at in graph.needs[index]] if not graph.chain else []
        given = getattr(node.work, "input", None)
        more = (f" <- {' '.join(needs)}" if needs else "") + (f" | {given}" if given else "")
        more += " lazy" if getattr(node.work, "lazy", False) else ""
        lines.append(f"{margin}{node.id} ({node.label}){more}")
        parts = [("", body) for body in node.bodies]
        parts += [(word, body) for word, body in (("fallback", node.fallback), ("undo", node.compensation)) if body]
        for number, (word, body) in enumerate(parts):
            lines.append(f"{margin}  {word or number}:")
            lines += drawn(body, margin + "    ")
    return lines


def test_every_code_is_met_here_or_elsewhere() -> None:
    codes = {*tags.CODES, *check.CODES, *expressions.CODES}
    met = {code for path in FOLDER.glob("*.expected") for code in re.findall(r"WEFT\d\d\d", path.read_text())}
    assert met - codes == set()
    assert met & ELSEWHERE.keys() == set()
    assert codes - met - ELSEWHERE.keys() == set()


def test_no_code_has_two_meanings() -> None:
    assert not tags.CODES.keys() & check.CODES.keys()
    assert not expressions.CODES.keys() & {*tags.CODES, *check.CODES}


def test_every_code_that_is_given_is_in_the_table() -> None:
    folder = Path(check.__file__).parent
    used = {code for file in folder.glob("*.py") for code in re.findall(r'"(WEFT[345]\d\d)"', file.read_text())}
    assert used - expressions.CODES.keys() == set(check.CODES)


def test_checking_opens_nothing_and_runs_nothing() -> None:
    """Neither the documents' commands, code and imports nor anything they name is touched, whatever they say."""
    script = """
        import sys
        from pathlib import Path
        from weft.fronts.flow.front import load_document
        from weft.runtimes import registry
        from weft.text.source import Source

        registry.all_specs()
        sources = [Source(name, Path(name).read_text(errors="replace")) for name in sys.argv[1:]]
        library = tuple({*map(str, Path(sys.prefix).parents), sys.prefix, sys.base_prefix, *filter(None, sys.path)})
        watching = False

        def watch(event, arguments):
            if not watching:
                return
            reading = event == "open" and (arguments[1] or "r").strip("bt") == "r"
            if reading and str(arguments[0]).endswith((".py", ".pyc", ".so")):
                return  # a module of ours or of the library
            if event == "open" or event.split(".")[0] in ("socket", "subprocess", "shutil", "tempfile", "webbrowser"):
                raise SystemExit(f"{event} {arguments}")
            if event.startswith("os.") and event not in ("os.listdir", "os.scandir", "os.getxattr"):
                raise SystemExit(f"{event} {arguments}")
            if event == "exec" and getattr(arguments[0], "co_filename", "").startswith("<"):
                named = arguments[0].co_filename
                if not named.startswith(("<frozen", "<string>", "<attrs", "<collections")):
                    raise SystemExit(f"{event} {arguments}")

        sys.addaudithook(watch)
        watching = True
        for source in sources:
            load_document(source, registry.specs)
        watching = False
        print(len(sources))
    """
    paths = [str(path) for path in (*BROKEN, *VALID)]
    command = [sys.executable, "-c", textwrap.dedent(script), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(paths)}\n", "")


def test_an_empty_name_is_no_reason_to_fail() -> None:
    assert load_document(Source("", "<workflow/>"), registry.specs).program is not None
