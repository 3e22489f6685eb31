"""Pages with a generated part say what the code says. `WEFT_BLESS=1` writes them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from weft.core.status import diagram
from weft.fronts.flow import check, tags
from weft.text import expressions

DOCS = Path(__file__).parents[2] / "docs"


def lifecycle() -> str:
    return f"```mermaid\n{diagram()}```"


def codes() -> str:
    rows = {**tags.CODES, **check.CODES, **expressions.CODES}
    lines = [f"| `{code}` | {meaning} |" for code, meaning in sorted(rows.items())]
    return "\n".join(["| code | meaning |", "|---|---|", *lines])


@pytest.mark.parametrize(("page", "make"), [("lifecycle.md", lifecycle), ("errors.md", codes)])
def test_a_generated_part_is_todays(page: str, make: Callable[[], str]) -> None:
    path = DOCS / page
    text = path.read_text()
    made = f"<!-- generated -->\n{make()}\n<!-- end -->"
    whole = re.sub(r"<!-- generated -->.*?<!-- end -->", lambda _: made, text, flags=re.DOTALL)
    if os.environ.get("WEFT_BLESS"):
        path.write_text(whole)
        return
    assert text == whole
