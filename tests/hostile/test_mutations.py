"""Documents of this repository, torn up at random: whatever comes out, reading it gives a program or diagnostics with
places in the text, never an exception, and soon.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from hostile.corpus import TEXTS
from weft.app.documents import load
from weft.text.source import render

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("tests/scenarios/**/*.flow.md"), *ROOT.glob("examples/*.flow.md")])
VALID = [path for path in DOCUMENTS if path.parent.name in ("valid", "examples")]
PARTS = [line for path in DOCUMENTS for line in path.read_bytes().splitlines(keepends=True)]
PIECES = [
    b"<", b">", b"/>", b"</", b"<!--", b"-->", b"```\n", b"~~~", b"`", b"{{", b"}}", b'"', b"'", b"&lt;", b"&#", b"---\n", b": ",
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\t", b"\xe2\x80\xa8", b"\xc2\x85", b"<workflow>", b"</workflow>", b"<if id='x'>",
    b"<then>", b"</branch>", b"<foreach id='x' collection='x'>", b" id='a'", b" when='", b"$item", b"$secrets.X", b"=> ", b"?.", b"...",
    b"99999999999999999999", b"1e999", b"-", b"(" * 70, b"[" * 110, b"{a: " * 110, b" " * 5000, b"a" * 5000, b"<b>" * 200, b"\n" * 1000,
    *(text.encode("utf-8", "surrogatepass") for text in TEXTS[::7]),
]  # fmt: skip
SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))
COUNT = 600 * SCALE
SECONDS = 5.0
"""On a quiet machine the slowest takes well under one."""


def mutated(random: Random) -> bytes:
    data = bytearray(random.choice(random.choice((DOCUMENTS, VALID))).read_bytes())
    for _ in range(random.choice((1, 1, 1, 2, 3, 8, 30))):
        at = random.randint(0, len(data))
        upto = min(len(data), at + random.choice((1, 2, 5, 20, 200)))
        match random.randint(0, 7):
            case 0:
                del data[at:upto]
            case 1:
                data[at:at] = random.choice(PIECES)
            case 2:
                data[at:upto] = random.choice(PIECES)
            case 3:
                data[at:at] = data[at:upto] * random.choice((1, 1, 2, 50))
            case 4:
                data[at:at] = random.choice(PARTS)
            case 5:
                data[at:upto] = bytes(reversed(data[at:upto]))
            case 6 if data:
                data[at % len(data)] = random.randrange(256)
            case 7:
                lines = data.splitlines(keepends=True)
                random.shuffle(lines)
                data = bytearray(b"".join(lines))
    return bytes(data)


@pytest.mark.parametrize("part", range(3))
def test_a_torn_document_gives_a_program_or_diagnostics_with_places_in_it(tmp_path: Path, part: int) -> None:
    path = tmp_path / "torn.flow.md"
    valid = 0
    slowest = (0.0, 0)
    for seed in range(part, COUNT, 3):
        path.write_bytes(mutated(Random(seed)))
        began = time.perf_counter()
        loaded = load(path)
        slowest = max(slowest, (time.perf_counter() - began, seed))
        errors = [one for one in loaded.diagnostics if one.severity == "error"]
        assert (loaded.program is None) == bool(errors), seed
        valid += loaded.program is not None
        for one in loaded.diagnostics:
            assert one.message.isprintable(), (seed, one)
            assert one.line >= 1, (seed, one)
            assert one.column >= 1, (seed, one)
            assert (one.end_line, one.end_column) >= (one.line, one.column), (seed, one)
            if loaded.source is not None:
                shown = render(one, loaded.source)
                assert all(line.isprintable() for line in shown.splitlines()), (seed, shown)
    print(f"slowest: {slowest[0]:.3f} s, seed {slowest[1]}; {valid} valid")
    assert slowest[0] < SECONDS, slowest
    assert valid, "every one was refused: the test shows little"
