from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from runtimes.support import listing
from weft.errors import AttemptError
from weft.runtimes import writing
from weft.runtimes.base import AttemptContext, FileList, FileRows, World
from weft.runtimes.failures import MAX_BYTES
from weft.runtimes.file import SMALL, FileSink
from weft.runtimes.rows import STEP, open_rows
from weft.runtimes.writing import Stopped, write


def fill(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")


# -- source:file --------------------------------------------------


def test_each_format_is_read(attempt: Any, project: Path) -> None:
    fill(
        project,
        a_json='{"a": 1}',
        a_jsonl="1\n2\n",
        a_csv="x,y\n1,2\n",
        a_yaml="on: no\n",
        a_txt="plain\n",
        a_log="a\nb\n",
    )
    assert attempt("source:file", {"path": "a.json"}) == {"a": 1}
    assert attempt("source:file", {"path": "a.jsonl", "format": "auto"}) == [1, 2]
    assert attempt("source:file", {"path": "a.csv"}) == [{"x": "1", "y": "2"}]
    assert attempt("source:file", {"path": "a.yaml"}) == {"on": "no"}
    assert attempt("source:file", {"path": "a.txt"}) == "plain\n"
    assert attempt("source:file", {"path": "a.log", "format": "lines"}) == ["a", "b"]
    assert attempt("source:file", {"path": "a.json", "format": "text"}) == '{"a": 1}'


def test_a_large_file_is_read_by_a_thread(attempt: Any, project: Path) -> None:
    value = ["x" * 100] * (SMALL // 50)
    (project / "a.json").write_text(json.dumps(value))
    assert attempt("source:file", {"path": "a.json"}) == value


def test_a_file_that_is_too_large_is_refused(refused: Any, project: Path) -> None:
    with (project / "a.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    error = refused("source:file", {"path": "a.txt"})
    assert error.type == "SizeError"
    assert error.message == "'a.txt' is larger than 64 MiB"
    assert error.hint == "as lines, jsonl or csv, read by a foreach, it is streamed"


def test_errors_name_the_file_and_the_line(refused: Any, project: Path) -> None:
    fill(project, d__a_json='{\n  "a": 1,\n  "a": 2}')
    error = refused("source:file", {"path": "d/a.json"})
    assert error.message == "'d/a.json', line 3, column 3: not JSON: the name 'a' occurs twice in one object"
    assert not error.retryable
    assert refused("source:file", {"path": "none.json"}).type == "NotFoundError"


# -- rows that stay in their file --------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.jsonl", '\ufeff1\n\n{"a": "ä"}\r\n  \n3', [1, {"a": "ä"}, 3]),
        ("a.csv", '\ufeffx,y\r\n1,"a\r\nb"\r\n\r\n2,ä\r\n', [{"x": "1", "y": "a\r\nb"}, {"x": "2", "y": "ä"}]),
        ("a.csv", "x,y\r1,2\r3,4\r", [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}]),
        ("a.csv", "", []),
        ("a.csv", "x,y\n", []),
        ("a.lines", "a\r\n\nb\rc\u2028\nd", ["a", "", "b\rc\u2028", "d"]),
        ("a.lines", "", []),
    ],
)
def test_rows_read_lazily_are_those_read_at_once(
    attempt: Any, world: World, project: Path, name: str, text: str, rows: list[Any]
) -> None:
    (project / name).write_bytes(text.encode())
    settings = {"path": name, "format": "lines" if name == "a.lines" else "auto"}
    lazy = attempt("source:file", settings, lazy=True)
    assert isinstance(lazy, FileRows)
    assert lazy.count == len(rows)
    opened = open_rows(lazy, world)
    assert list(opened) == rows
    assert list(opened) == rows
    assert [opened[index] for index in reversed(range(len(rows)))] == rows[::-1]
    opened.close()
    assert attempt("source:file", settings) == rows


def test_only_formats_with_rows_are_lazy(attempt: Any, project: Path) -> None:
    fill(project, a_json="[1]", a_txt="x")
    assert attempt("source:file", {"path": "a.json"}, lazy=True) == [1]
    assert attempt("source:file", {"path": "a.txt"}, lazy=True) == "x"


@pytest.fixture
def many(project: Path, attempt: Any) -> FileRows:
    with (project / "many.csv").open("w") as file:
        file.write("n,text\n")
        for number in range(5 * STEP):
            file.write(f'{number},"row\n{number}"\n')
    rows: FileRows = attempt("source:file", {"path": "many.csv"}, lazy=True)
    return rows


def test_rows_are_found_in_any_order(many: FileRows, world: World) -> None:
    rows = open_rows(many, world)
    assert len(rows) == many.count == 5 * STEP
    for index in (0, 1, 4 * STEP + 3, 3, STEP, STEP - 1, 5 * STEP - 1, 2 * STEP, -1, 0):
        number = index % (5 * STEP)
        assert rows[index] == {"n": str(number), "text": f"row\n{number}"}
    with pytest.raises(IndexError):
        rows[5 * STEP]
    looked = []
    for row in rows:
        looked.append(row["n"])
        if row["n"] == "1000":
            assert rows[5]["n"] == "5"
    assert looked == [str(number) for number in range(5 * STEP)]
    rows.close()


def test_a_bad_row_is_found_when_the_file_is_read_first(refused: Any, project: Path) -> None:
    fill(project, a_jsonl='{"a": 1}\n{"a": 1, "a": 2}\n')
    error = refused("source:file", {"path": "a.jsonl"}, lazy=True)
    assert error.message == "'a.jsonl', line 2, column 10: not JSON: the name 'a' occurs twice in one object"
    (project / "b.csv").write_bytes(b"a\nb\n\xff\n")
    error = refused("source:file", {"path": "b.csv"}, lazy=True)
    assert error.message == "'b.csv', line 3: not UTF-8 at byte 4 (0xff)"


def test_a_file_that_was_changed_is_refused(many: FileRows, world: World, project: Path) -> None:
    path = project / "many.csv"
    rows = open_rows(many, world)
    assert rows[0]["n"] == "0"
    text = path.read_text()
    path.write_text(text.replace("row", "ROW"))
    os.utime(path, ns=(1, 1))
    with pytest.raises(AttemptError) as caught:
        list(rows)
    rows.close()
    assert caught.value.type == "ChangedFileError"
    assert caught.value.message == "the file 'many.csv' has changed since it was read"
    with pytest.raises(AttemptError, match="has changed"):
        open_rows(many, world)
    path.write_text(text)
    again = open_rows(many, world)
    assert again[7]["n"] == "7"
    again.close()
    path.unlink()
    with pytest.raises(AttemptError, match="no such file"):
        open_rows(many, world)


def test_a_file_touched_but_not_changed_goes_on(many: FileRows, world: World, project: Path) -> None:
    os.utime(project / "many.csv", ns=(1, 1))
    rows = open_rows(many, world)
    assert sum(1 for _ in rows) == 5 * STEP
    rows.close()


def test_the_rows_of_a_replaced_file_stay_those_that_were_opened(many: FileRows, world: World, project: Path) -> None:
    rows = open_rows(many, world)
    (project / "new").write_text("n,text\n")
    (project / "new").rename(project / "many.csv")
    assert rows[3 * STEP]["n"] == str(3 * STEP)
    rows.close()


# -- source:files --------------------------------------------------


@pytest.fixture
def tree(project: Path) -> Path:
    fill(
        project,
        b_json="2",
        a_json="1",
        c_txt="x",
        d__a_json="3",
        d__e__a_json="4",
        d__e__f_csv="",
    )
    (project / ".hidden.json").write_text("5")
    (project / "d" / ".git").mkdir()
    (project / "d" / ".git" / "x.json").write_text("6")
    return project


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.json", ["a.json", "b.json"]),
        ("[ab].json", ["a.json", "b.json"]),
        ("?.txt", ["c.txt"]),
        ("**/*.json", ["a.json", "b.json", "d/a.json", "d/e/a.json"]),
        ("**", ["a.json", "b.json", "c.txt", "d/a.json", "d/e/a.json", "d/e/f.csv"]),
        ("d/**/a.json", ["d/a.json", "d/e/a.json"]),
        ("*/a.json", ["d/a.json"]),
        ("d/*/*", ["d/e/a.json", "d/e/f.csv"]),
        (".*.json", [".hidden.json"]),
        ("d/.git/*", ["d/.git/x.json"]),
        ("./d/../a.json", ["a.json"]),
        ("none/*", []),
        ("d", []),
        ("a.json/*", []),
    ],
)
def test_patterns_name_files(attempt: Any, tree: Path, pattern: str, paths: list[str]) -> None:
    found = attempt("source:files", {"pattern": pattern})
    assert [entry["path"] for entry in found] == paths
    assert all(
        entry == {"path": entry["path"], "name": Path(entry["path"]).name, "size": entry["size"]} for entry in found
    )


def test_found_files_are_read_when_a_format_is_given(attempt: Any, tree: Path, world: World) -> None:
    whole = [
        {"path": "a.json", "name": "a.json", "size": 1, "content": 1},
        {"path": "b.json", "name": "b.json", "size": 1, "content": 2},
    ]
    assert attempt("source:files", {"pattern": "*.json", "format": "auto"}) == whole
    lazy = attempt("source:files", {"pattern": "*.json", "format": "auto"}, lazy=True)
    assert isinstance(lazy, FileList)
    opened = open_rows(lazy, world)
    assert list(opened) == whole
    assert opened[1] == whole[1]
    (tree / "b.json").write_text("200")
    with pytest.raises(AttemptError, match=r"^the file 'b\.json' has changed since it was read\n"):
        opened[1]


def test_files_are_found_from_the_folder_of_the_document(make_world: Any, attempt: Any, tree: Path) -> None:
    inner = make_world(folder=tree / "d", project=tree)
    assert [e["path"] for e in attempt("source:files", {"pattern": "*.json"}, world=inner)] == ["a.json"]
    outer = attempt("source:files", {"pattern": "../*.json"}, world=inner)
    assert [e["path"] for e in outer] == [str(tree / "a.json"), str(tree / "b.json")]
    assert attempt("source:file", {"path": outer[0]["path"]}, world=inner) == 1


def test_a_pattern_leads_nowhere_else(refused: Any, attempt: Any, tree: Path) -> None:
    assert refused("source:files", {"pattern": "../outside/*"}).type == "PathError"
    assert refused("source:files", {"pattern": "*/../../outside/*"}).type == "ValidationError"
    assert refused("source:files", {"pattern": "a**/b"}).message == (
        "setting 'pattern': 'a**/b': '**' stands alone between slashes"
    )
    (tree / "out").symlink_to("../outside")
    assert "out" not in {e["path"].split("/")[0] for e in attempt("source:files", {"pattern": "**"})}
    error = refused("source:files", {"pattern": "*/*"})
    assert error.type == "PathError"
    (tree / "out").unlink()
    (tree / "loop").symlink_to(".")
    assert len(attempt("source:files", {"pattern": "**/*.json"})) == 4
    (tree / "inside").symlink_to("d")
    assert [e["path"] for e in attempt("source:files", {"pattern": "in*/a.json"})] == ["inside/a.json"]
    os.mkfifo(tree / "pipe.json")
    (tree / "gone.json").symlink_to("nothing")
    assert [e["path"] for e in attempt("source:files", {"pattern": "*.json"})] == ["a.json", "b.json"]


# -- sink:file --------------------------------------------------


def test_a_sink_writes_what_the_suffix_says(attempt: Any, project: Path) -> None:
    rows = [{"a": 1, "b": None}]
    assert attempt("sink:file", {"path": "out/x/a.json"}, rows) == {"path": "out/x/a.json", "bytes": 38}
    assert (project / "out/x/a.json").read_text() == '[\n  {\n    "a": 1,\n    "b": null\n  }\n]\n'
    attempt("sink:file", {"path": "a.json", "pretty": False}, rows)
    assert (project / "a.json").read_text() == '[{"a":1,"b":null}]\n'
    attempt("sink:file", {"path": "a.csv"}, rows)
    assert (project / "a.csv").read_text() == "a,b\n1,\n"
    attempt("sink:file", {"path": "a.jsonl"}, rows)
    assert (project / "a.jsonl").read_text() == '{"a":1,"b":null}\n'
    attempt("sink:file", {"path": "a.yaml"}, rows)
    assert (project / "a.yaml").read_text() == "-\n  a: 1\n  b: null\n"
    attempt("sink:file", {"path": "a.txt"}, "exactly\r\nthis")
    assert (project / "a.txt").read_bytes() == b"exactly\r\nthis"


def test_nothing_of_the_data_is_evaluated_again(attempt: Any, project: Path) -> None:
    text = "{{ 1 + 1 }} $(touch x) `touch x` \\{{ <b> &amp;"
    attempt("sink:file", {"path": "a.txt"}, text)
    assert attempt("source:file", {"path": "a.txt"}) == text
    attempt("sink:file", {"path": "a.yaml"}, {text: [text]})
    assert attempt("source:file", {"path": "a.yaml"}) == {text: [text]}


def test_a_file_keeps_its_mode_and_a_new_one_gets_the_usual(attempt: Any, project: Path) -> None:
    before = os.umask(0o027)
    try:
        attempt("sink:file", {"path": "new.txt"}, "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((project / "new.txt").stat().st_mode) == 0o640
    (project / "new.txt").chmod(0o755)
    attempt("sink:file", {"path": "new.txt"}, "y")
    assert stat.S_IMODE((project / "new.txt").stat().st_mode) == 0o755


def test_a_link_is_followed_and_stays_a_link(attempt: Any, refused: Any, project: Path, tmp_path: Path) -> None:
    (project / "real.txt").write_text("old")
    (project / "link").symlink_to("real.txt")
    attempt("sink:file", {"path": "link"}, "new")
    assert (project / "link").is_symlink()
    assert (project / "real.txt").read_text() == "new"
    (project / "out").symlink_to(tmp_path / "outside" / "secret.txt")
    assert refused("sink:file", {"path": "out"}, "x").type == "PathError"
    (project / "fresh").symlink_to(tmp_path / "outside" / "new.txt")
    assert refused("sink:file", {"path": "fresh", "append": True}, "x").type == "PathError"
    assert listing(tmp_path / "outside") == ["secret.txt"]
    assert (tmp_path / "outside" / "secret.txt").read_text() == "outside"


@pytest.mark.parametrize("path", [".git/hooks/post-commit", ".weft/runs/x", "a/.git/config"])
def test_nothing_writes_into_the_repository_or_the_journal(refused: Any, project: Path, path: str) -> None:
    error = refused("sink:file", {"path": path}, "x")
    assert error.type == "PathError"
    assert "which no node writes to" in error.message


def test_what_is_no_file_is_not_replaced(refused: Any, project: Path) -> None:
    os.mkfifo(project / "pipe")
    (project / "folder").mkdir()
    for name in ("pipe", "folder"):
        for append in (True, False):
            assert refused("sink:file", {"path": name, "append": append}, "x").type == "PathError"
    assert listing(project) == ["folder", "pipe"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(project: Path, world: World) -> None:
    (project / "a.txt").write_text("old")

    def pieces() -> Any:
        yield b"new" * 200_000
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AttemptError) as caught:
        write(world, "a.txt", pieces(), threading.Event())
    assert caught.value.type == "StorageFullError"
    assert caught.value.message == "cannot write 'a.txt': no space left on device"
    assert not caught.value.retryable
    assert listing(project) == ["a.txt"]
    assert (project / "a.txt").read_text() == "old"


def test_a_full_disk_is_an_error_of_its_own(refused: Any, make_world: Any) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    error = refused("sink:file", {"path": "/dev/full"}, "x", world=make_world(allowed_paths=(Path("/dev"),)))
    assert error.type == "PathError"


def test_a_failed_append_is_cut_off_again(project: Path, world: World) -> None:
    (project / "a.txt").write_text("old")

    def pieces(there: int) -> Any:
        yield b"new" * 200_000
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AttemptError, match="no space left"):
        writing.append(world, "a.txt", pieces, threading.Event())
    assert (project / "a.txt").read_text() == "old"


def test_a_cancelled_sink_changes_nothing(project: Path, world: World) -> None:
    (project / "a.txt").write_text("old")
    stop = threading.Event()

    def pieces() -> Any:
        yield b"new" * 200_000
        stop.set()
        yield b"more"

    with pytest.raises(Stopped):
        write(world, "a.txt", pieces(), stop)
    assert listing(project) == ["a.txt"]
    assert (project / "a.txt").read_text() == "old"


def test_the_thread_of_a_cancelled_sink_is_told(project: Path, make_world: Any) -> None:
    class Held:
        """A pool whose only call waits until it is let go."""

        def __init__(self) -> None:
            self.go = threading.Event()
            self.ended = threading.Event()

        async def call(self, function: Any, arguments: Any) -> Any:
            def later() -> Any:
                self.go.wait(5)
                try:
                    return function(**arguments)
                finally:
                    self.ended.set()

            return await asyncio.to_thread(later)

    async def main() -> None:
        held = Held()
        ctx = AttemptContext(make_world(threads=held), "n")
        task = asyncio.ensure_future(FileSink().run(ctx, {"path": "a.txt"}, "x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.go.set()
        await asyncio.to_thread(held.ended.wait, 5)

    asyncio.run(main())
    assert listing(project) == []


def test_appending_adds_whole_rows(attempt: Any, project: Path) -> None:
    for number in (1, 2):
        attempt("sink:file", {"path": "a.csv", "append": True}, [{"a": number, "b": "x"}])
    attempt("sink:file", {"path": "a.csv", "append": True}, {"b": "y", "a": 3})
    assert (project / "a.csv").read_text() == "a,b\n1,x\n2,x\n3,y\n"
    (project / "a.jsonl").write_text('{"a":1}')
    assert attempt("sink:file", {"path": "a.jsonl", "append": True}, {"a": 2}) == {"path": "a.jsonl", "bytes": 9}
    assert (project / "a.jsonl").read_text() == '{"a":1}\n{"a":2}\n'
    for text in ("a", "b\n"):
        attempt("sink:file", {"path": "new/log.txt", "append": True}, text)
    assert (project / "new/log.txt").read_text() == "ab\n"
    attempt("sink:file", {"path": "x.txt", "append": True, "format": "lines"}, ["1", "2"])
    assert (project / "x.txt").read_text() == "1\n2\n"


def test_appending_to_what_has_no_end_is_refused(refused: Any, project: Path) -> None:
    error = refused("sink:file", {"path": "a.json", "append": True}, [1])
    assert error.message == "setting 'append': a json file has one value and no end to add to"
    (project / "a.csv").write_text("a,b\n")
    error = refused("sink:file", {"path": "a.csv", "append": True}, [{"c": 1}])
    assert error.message == "row 0 has 'c', which is no column of the file"
    assert (project / "a.csv").read_text() == "a,b\n"


def test_rows_go_from_file_to_file(attempt: Any, many: FileRows, project: Path) -> None:
    attempt("sink:file", {"path": "copy.jsonl"}, many)
    assert len((project / "copy.jsonl").read_text().splitlines()) == many.count
    attempt("sink:file", {"path": "copy.json"}, many)
    assert len(json.loads((project / "copy.json").read_text())) == many.count
    attempt("sink:file", {"path": "copy.csv"}, many)
    assert (project / "copy.csv").read_bytes() == (project / "many.csv").read_bytes()
    attempt("sink:file", {"path": "copy.csv", "append": True}, many)
    assert (project / "copy.csv").stat().st_size == 2 * (project / "many.csv").stat().st_size - len("n,text\n")
    attempt("sink:file", {"path": "copy.yaml"}, many)
    assert (project / "copy.yaml").read_text().startswith('-\n  "n": "0"\n  text: |-\n    row\n    0\n')


def test_concurrent_appends_do_not_mix(world: World, project: Path) -> None:
    async def main() -> None:
        sink = FileSink()
        rows = [[{"n": n, "text": "x" * 5000}] * 20 for n in range(20)]
        ctx = AttemptContext(world, "n")
        await asyncio.gather(*(sink.run(ctx, {"path": "a.jsonl", "append": True}, batch) for batch in rows))

    asyncio.run(main())
    numbers = [json.loads(line)["n"] for line in (project / "a.jsonl").read_text().splitlines()]
    assert len(numbers) == 400
    assert all(len(set(numbers[start : start + 20])) == 1 for start in range(0, 400, 20))
