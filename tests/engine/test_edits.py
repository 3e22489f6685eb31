"""Any edit of a document in the middle of a run: after a resume with the changes accepted, the output is that of the
edited document run afresh, and nothing ran again but what was edited and what depends on it."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import chdir
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.conftest import Flows
from engine.crashes import Died, dies
from weft import app
from weft import event_types as events

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))


class Item:
    """A top-level node: what it says, what it refers to, and what stands around it."""

    def __init__(self, name: str, value: int, needs: tuple[str, ...], shape: str) -> None:
        self.name = name
        self.value = value
        self.needs = needs
        self.shape = shape

    def text(self) -> str:
        """The node in the document."""
        n, v = self.name, f"[{', '.join([str(self.value), *self.needs])}]"
        leaf = f'<transform:value id="{n}">{v}</transform:value>'
        if self.shape == "foreach":
            first = f'<transform:value id="{n}_x">[$item, {v}]</transform:value>'
            second = f'<transform:value id="{n}_y">[{n}_x]</transform:value>'
            return f'<foreach id="{n}" collection="[1, 2, 3]" concurrency="2">{first}{second}</foreach>'
        if self.shape == "if":
            return (
                f'<if id="{n}" condition="{self.value} % 2 == 0">'
                f'<then><transform:value id="{n}_t">{v}</transform:value></then>'
                f'<else><transform:value id="{n}_e">[{v}, 0]</transform:value></else></if>'
            )
        if self.shape == "parallel":
            return (
                f'<parallel id="{n}"><branch><transform:value id="{n}_l">{v}</transform:value></branch>'
                f'<branch><transform:value id="{n}_r">[{self.value}]</transform:value></branch></parallel>'
            )
        return leaf


def document(items: list[Item]) -> str:
    names = ", ".join(item.name for item in items)
    return "\n".join([*(item.text() for item in items), f'<transform:value id="all">[{names}]</transform:value>'])


@st.composite
def documents(draw: st.DrawFn) -> list[Item]:
    count = draw(st.integers(2, 6))
    items: list[Item] = []
    for i in range(count):
        earlier = [item.name for item in items]
        needs = tuple(sorted(draw(st.sets(st.sampled_from(earlier), max_size=2)))) if earlier else ()
        shape = draw(st.sampled_from(["leaf", "leaf", "foreach", "if", "parallel"]))
        items.append(Item(f"n{i}", draw(st.integers(0, 9)), needs, shape))
    return items


@st.composite
def edits(draw: st.DrawFn, items: list[Item]) -> tuple[list[Item], set[str]]:
    """The items after one edit, and the names of those that the edit touched itself."""
    items = list(items)
    at = draw(st.integers(0, len(items) - 1))
    old = items[at]
    match draw(st.sampled_from(["value", "remove", "add", "rename"])):
        case "value":
            items[at] = Item(old.name, old.value + draw(st.integers(1, 3)), old.needs, old.shape)
            return items, {old.name}
        case "remove" if len(items) > 1:
            users = {item.name for item in items if old.name in item.needs}
            del items[at]
            kept = [Item(i.name, i.value, tuple(n for n in i.needs if n != old.name), i.shape) for i in items]
            return kept, users
        case "add":
            items.insert(at, Item("fresh", 7, (), draw(st.sampled_from(["leaf", "foreach"]))))
            return items, {"fresh"}
        case _:
            new = [
                Item(
                    "other" if i.name == old.name else i.name,
                    i.value,
                    tuple("other" if n == old.name else n for n in i.needs),
                    i.shape,
                )
                for i in items
            ]
            return new, {"other"} | {item.name for item in items if old.name in item.needs}


def touched(items: list[Item], own: set[str]) -> set[str]:
    """Everything that depends on what was edited."""
    found = set(own)
    for item in items:  # they refer backwards only
        if found & set(item.needs):
            found.add(item.name)
    return found


def successes(flows: Flows) -> Counter[str]:
    return Counter(e.path for e in flows.events() if isinstance(e, events.AttemptSucceeded))


@settings(max_examples=15 * SCALE, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_edited_run_ends_as_the_edited_document_would(data):
    before = data.draw(documents())
    after, own = data.draw(edits(before))
    crash_at = data.draw(st.integers(1, 12))
    with tempfile.TemporaryDirectory() as name, chdir(name):
        flows = Flows(Path(name))
        expected = flows.run(document(after)).result.output
        path = flows.write(document(before))
        seen = 0

        def at(event: Any) -> bool:
            nonlocal seen
            seen += isinstance(event, events.AttemptSucceeded) and event.path != "all"
            return seen >= crash_at

        try:
            outcome = app.run(path, app.Request(jobs=2), audience=app.Audience(watch=dies(at)))
        except Died:
            pass
        else:
            assert outcome.exit_code == 0
            return
        if isinstance(flows.events()[-1], events.RunFinished):
            return
        done = successes(flows)
        flows.write(document(after))
        result = flows.resume(accept_changes=True).result
        assert result.output == expected
        again = {p for p, count in successes(flows).items() if count > 1}
        affected = touched(after, own)
        for p in again:
            top = p.partition("[")[0].partition("_")[0]
            assert top in affected or top == "all", f"{p} ran again"
        assert sum(done.values()) >= 1
