"""The arrows of the house: who may import whom; and what a start must not import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "weft"
GROUND = {
    "errors", "event_types", "commands", "policy", "kinds", "values", "redaction", "results", "clock", "globs", "cancellation",
    "calls", "pool", "workers", "budget",
}  # fmt: skip
ALLOWED: dict[str, set[str]] = {
    "text": set(),
    "graph": set(),
    "core": {"graph"},
    "journal": set(),
    "backends": set(),
    "runtimes": {"text", "backends"},
    "engine": {"undo", "journal", "backends", "runtimes", "core", "graph", "text"},
    "fronts": {"graph", "text"},
    "testing": {"backends", "core", "graph", "journal", "workflow"},
    "app": {"fronts", "engine", "journal", "runtimes", "backends", "graph", "text"},
    "undo": set(),
    "workflow": {"app", "fronts", "engine", "backends", "graph", "text"},
    "cli": {"app", "engine", "graph", "text"},
    "__main__": {"cli"},
    "__init__": {"undo", "budget", "cancellation", "engine", "fronts", "pool", "runtimes", "workflow"},  # lazily
}
PROGRAMS = {SOURCE / "backends" / "keeper", SOURCE / "backends" / "worker"}
"""Folders that are run by themselves, in a Python that does not find Weft."""
FRONTS = {"flow", "python", "plan"}
KNOWN_GROUND_TO_TEXT = {("errors", "text")}
"""`errors.DocumentError` names `Diagnostic` in an annotation only."""


def imports(path: Path, *, typing: bool) -> set[tuple[str, str]]:
    """(module, name) of every import of our own in a file; with `typing` also those for annotations only."""
    tree = ast.parse(path.read_text())
    skipped = set()
    if not typing:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                skipped |= {id(n) for n in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and (source := source_of(node, path)).split(".")[0] == "weft":
            for alias in node.names:
                inner = SOURCE.joinpath(*source.split(".")[1:], alias.name)
                own = inner.is_dir() or inner.with_suffix(".py").exists()
                found.add((f"{source}.{alias.name}" if own or source == "weft" else source, alias.name))
        elif isinstance(node, ast.Import):
            found |= {(a.name, "") for a in node.names if a.name.startswith("weft.")}
    return found


def source_of(node: ast.ImportFrom, path: Path) -> str:
    """The module that an import takes its names from. Relative ones are for programs that run without Weft."""
    if not node.level:
        return node.module or ""
    assert path.parent in PROGRAMS, "only a program that runs without Weft imports by relative names"
    assert node.level == 1
    return ".".join(("weft", *path.relative_to(SOURCE).parent.parts, node.module or ""))


def room(path: Path) -> str:
    """The top-level part of the house that a file stands in."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    here = room(path)
    targets = {module.split(".")[1] for module, _ in imports(path, typing=True)}
    targets -= {here, "__version__"} | GROUND
    allowed = ALLOWED.get(here, set())
    if here in GROUND:
        targets -= {target for ground, target in KNOWN_GROUND_TO_TEXT if ground == here}
        if here == "commands":
            targets -= {"core"}  # annotations only: commands carry the core's instances
    assert targets <= allowed, f"{here} must not import {sorted(targets - allowed)}"


@pytest.mark.parametrize("path", sorted((SOURCE / "fronts").rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_fronts_do_not_know_each_other(path: Path) -> None:
    own = path.relative_to(SOURCE / "fronts").parts[0]
    others = {m.split(".")[2] for m, _ in imports(path, typing=True) if m.startswith("weft.fronts.")}
    assert others <= {own}


@pytest.mark.parametrize(
    "path", sorted(f for p in PROGRAMS for f in p.glob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_a_program_that_runs_without_weft_imports_itself_only(path: Path) -> None:
    own = ".".join(("weft", *path.relative_to(SOURCE).parent.parts))
    asked_for = {"weft.cancellation"}  # by ctx.token, in functions of a workflow, which have Weft where they run
    found = {module for module, _ in imports(path, typing=False) if not module.startswith(f"{own}.")}
    assert found <= (asked_for if path.name == "calling.py" else set())


def test_there_are_no_cycles_between_modules() -> None:
    names = {
        ".".join(("weft", *p.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): p
        for p in SOURCE.rglob("*.py")
    }
    graph = {
        name: {module for module, _ in imports(path, typing=False) if module in names and module != name}
        for name, path in names.items()
    }
    done: set[str] = set()
    trail: list[str] = []

    def visit(name: str) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        trail.append(name)
        for target in sorted(graph[name]):
            visit(target)
        trail.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


HEAVY = ("rich", "httpx2", "multiprocessing", "importlib.metadata", "pydantic", "hypothesis", "pytest", "tempfile")


def loaded_by(*arguments: str, cwd: Path) -> set[str]:
    """The modules that a command line has imported by its end."""
    code = (
        "import sys, os\n"
        "sys.argv[0] = 'weft'\n"
        "leave = os._exit\n"
        "def tell(code):\n"
        "    print('\\n'.join(sys.modules), file=sys.stderr); sys.stderr.flush(); leave(code)\n"
        "os._exit = tell\n"
        "from weft.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "tell(0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    return set(ran.stderr.split())


def test_importing_weft_imports_nothing_of_others(tmp_path: Path) -> None:
    code = "import sys; import weft; print(*sorted(m for m in sys.modules if '.' not in m))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"asyncio", "msgspec", "click", "yaml", "sqlite3", *HEAVY}.isdisjoint(out)


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("--version",), ("asyncio", "sqlite3", "yaml")),
        (("check", "hello.flow.md"), ("asyncio", "sqlite3")),
        (("run", "hello.flow.md"), ()),
    ],
)
def test_a_start_imports_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...], more: tuple[str, ...]) -> None:
    (tmp_path / "hello.flow.md").write_text(
        '<workflow>\n<transform:template id="hello">Hello</transform:template>\n</workflow>\n'
    )
    loaded = loaded_by(*arguments, cwd=tmp_path)
    assert "click" in loaded
    assert sorted(m for m in (*HEAVY, *more) if m in loaded) == []
