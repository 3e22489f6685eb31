"""Random valid documents, and an interpreter of 60 lines that says what they must come to.

A program is a list of nodes; a node is a tuple (kind, id, ...). Every value is a number or a list, and every leaf's value
depends on all it refers to, so a wrong scope, order or result shows in what comes after.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

Node = tuple[Any, ...]


class Failed(Exception):
    """A node failed and nobody holds it; `values` are those of what ended well inside it."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values = values or {}


# -- making -------------------------------------------------------------------------------------------------------------


class Maker:
    """Makes one program. `faults`: how leaves may fail: not at all, `always` (an error) or `gate` (until a file is there).
    `peek`: nodes refer to what is inside earlier blocks, too.
    """

    def __init__(
        self, random: Random, faults: str = "", policies: tuple[str, ...] = ("",), *, peek: bool = True
    ) -> None:
        self.peek = peek
        self.random = random
        self.faults = faults
        self.policies = policies
        self.count = 0

    def program(self) -> list[Node]:
        return self.body([], 0, self.random.randint(2, 7))

    def body(self, seen: list[str], depth: int, size: int) -> list[Node]:
        """Nodes one after the other; `seen` is what they may refer to, and grows with them."""
        nodes: list[Node] = []
        for _ in range(size):
            node = self.node(list(seen), depth)
            nodes.append(node)
            seen += ids(node) if self.peek else [node[1]]
        return nodes

    def node(self, seen: list[str], depth: int) -> Node:
        self.count += 1
        name, pick = f"n{self.count}", self.random.choice
        policy = pick(self.policies)
        kind = "leaf" if depth > 2 else pick(("leaf", "leaf", "leaf", "foreach", "parallel", "if", "loop"))
        refs = tuple(self.random.sample(seen, min(len(seen), self.random.randint(0, 3))))
        if kind == "leaf":
            return (
                "leaf",
                name,
                policy,
                refs,
                self.random.randint(0, 99),
                self.fault(),
                pick(("", "", "", "", "true", "false")),
            )
        inner = lambda: self.body(list(seen), depth + 1, self.random.randint(1, 3))  # noqa: E731
        if kind == "foreach":
            size, wide, stop = self.random.randint(0, 5), pick((1, 1, 2, 8)), pick((None, None, None, 1))
            return ("foreach", name, policy, refs, size, wide, stop, inner())
        if kind == "parallel":
            merge = pick(("array", "concat", "[length($branches), $branches]"))
            return ("parallel", name, policy, merge, [inner() for _ in range(self.random.randint(1, 3))])
        if kind == "if":
            return ("if", name, policy, refs, [inner(), inner()])
        return ("loop", name, policy, self.random.randint(1, 3), inner())

    def fault(self) -> str:
        return self.faults if self.random.random() < 0.15 else ""


def ids(node: Node) -> list[str]:
    """What can be referred to once the node has ended: its id, and what is inside it unless it is a foreach."""
    inside = {"parallel": lambda: node[4], "if": lambda: node[4], "loop": lambda: [node[4]]}.get(node[0], list)()
    return [node[1], *(name for body in inside for each in body for name in ids(each))]


# -- writing ------------------------------------------------------------------------------------------------------------


def number(refs: tuple[str, ...], inside: str = "") -> str:
    """An expression that is a number, whatever the references are."""
    return f"length(json_encode([{', '.join((*refs, *filter(None, [inside])))}]))"


def write(nodes: list[Node], inside: str = "") -> str:
    return "\n".join(written(node, inside) for node in nodes)


def written(node: Node, inside: str) -> str:
    kind, name, policy = node[:3]
    head = f'id="{name}"' + (f' on-failure="{policy}"' if policy else "")
    match kind:
        case "leaf":
            _, _, _, refs, plus, fault, when = node
            head += f' when="{when}"' if when else ""
            if fault == "gate":
                return f'<source:file {head} path="gate" format="json"/>'
            wrong = " / 0" if fault == "always" else ""
            return f"<transform:value {head}>{number(refs, inside)} * 31 % 97 + {plus}{wrong}</transform:value>"
        case "foreach":
            _, _, _, refs, size, wide, stop, body = node
            broken = "" if stop is None else f'<break when="$index == {stop}"/>'
            items = f"range({number(refs)} % {size + 1})"
            return f'<foreach {head} collection="{items}" concurrency="{wide}">{broken}{write(body, "$item")}</foreach>'
        case "parallel":
            branches = "".join(f"<branch>{write(body, inside)}</branch>" for body in node[4])
            return f'<parallel {head} merge="{node[3]}">{branches}</parallel>'
        case "if":
            then, other = (write(body, inside) for body in node[4])
            return f'<if {head} condition="{number(node[3])} % 2 == 0"><then>{then}</then><else>{other}</else></if>'
    return f'<loop {head} max="{node[3]}">{write(node[4], "$iteration")}</loop>'


# -- the model ----------------------------------------------------------------------------------------------------------


class Model:
    """What a program must come to. `values` are the outputs at the top level by id, `issues` counts what was held."""

    def __init__(self, nodes: list[Node], policy: str = "finish", *, gate: bool = True) -> None:
        self.gate = gate
        self.issues = 0
        self.values: dict[str, Any] = {}
        self.lost: set[str] = set()
        for node in nodes:
            if self.lost & set(needs(node)):
                self.lost |= set(ids(node))  # under `continue`, what needs the failed is skipped
                continue
            try:
                self.values.update(self.run(node, self.values, policy, None))
            except Failed:
                if policy != "continue":
                    raise
                self.issues += 1
                self.lost |= set(ids(node))
        self.output = self.values.get(nodes[-1][1])
        self.status = "issues" if self.issues else "succeeded"

    def run(self, node: Node, seen: dict[str, Any], around: str, inside: Any) -> dict[str, Any]:
        """The values that are visible once `node` has ended. Raises Failed."""
        kind, name, own = node[:3]
        policy = own or around
        if kind == "leaf":
            return {name: self.leaf(node, seen, inside)}
        if kind == "parallel":
            ended = [self.body(body, seen, policy, inside) for body in node[4]]
            inner = {key: value for values, _ in ended for key, value in values.items()}
            return {**inner, name: merged(node[3], [value for _, value in ended])}
        if kind == "if":
            inner, value = self.body(node[4][size(node[3], seen) % 2], seen, policy, inside, held=own == "continue")
            return {**inner, name: value}
        if kind == "foreach":
            return {name: self.foreach(node, seen, policy)}
        for turn in range(node[3]):
            inner, value = self.body(node[4], seen, policy, turn)
        return {**inner, name: value}

    def leaf(self, node: Node, seen: dict[str, Any], inside: Any) -> Any:
        _, _, own, refs, plus, fault, when = node
        if when == "false":
            return None
        if fault == "always" or (fault == "gate" and not self.gate):
            if own != "continue":
                raise Failed
            self.issues += 1
            return None
        return 7 if fault == "gate" else size(refs, seen, inside) * 31 % 97 + plus

    def foreach(self, node: Node, seen: dict[str, Any], policy: str) -> list[Any]:
        _, _, _, refs, most, wide, stop, body = node
        values = []
        for item in range(size(refs, seen) % (most + 1)):
            broken = item == stop
            values.append(None if broken else self.body(body, seen, policy, item)[1])
            if broken and wide == 1:
                break
        return values

    def body(
        self, nodes: list[Node], seen: dict[str, Any], policy: str, inside: Any, *, held: bool = True
    ) -> tuple[dict[str, Any], Any]:
        """The values of a body by id, and its own; null when something in it failed and the policy holds it."""
        values: dict[str, Any] = {}
        for node in nodes:
            try:
                values.update(self.run(node, {**seen, **values}, policy, inside))
            except Failed as failed:
                values.update(failed.values)
                if policy != "continue" or not held:
                    raise Failed(values) from None
                self.issues += 1
                return values, None
        return values, values[nodes[-1][1]]


def size(refs: tuple[str, ...], seen: dict[str, Any], inside: Any = None) -> int:
    items = [seen.get(ref) for ref in refs] + ([] if inside is None else [inside])
    return len(json.dumps(items, separators=(",", ":")))


def merged(how: str, values: list[Any]) -> Any:
    if how == "array":
        return values
    if how == "concat":
        return [x for value in values if value is not None for x in (value if isinstance(value, list) else [value])]
    return [len(values), values]


def needs(node: Node) -> list[str]:
    """All that a node and what is inside it refer to."""
    own = (
        list(node[3]) if node[0] in ("leaf", "foreach", "if") and not (node[0] == "leaf" and node[5] == "gate") else []
    )
    bodies = {"foreach": lambda: [node[7]], "loop": lambda: [node[4]], "leaf": list}.get(node[0], lambda: node[4])()
    return [*own, *(name for body in bodies for each in body for name in needs(each))]
