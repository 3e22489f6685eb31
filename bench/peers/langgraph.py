# mypy: ignore-errors
"""LangGraph, each step checkpointed in SQLite before the next one starts (`durability="sync"`).

Case `fan` sends one message per task to one node, in one step; `fan-functional` awaits so many `@task` calls.
"""

from __future__ import annotations

import asyncio
import operator
from pathlib import Path
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from bench.peers.cases import atimed, go, needs


class State(TypedDict):
    done: Annotated[int, operator.add]


async def nothing(state: object) -> dict[str, int]:
    return {"done": 1}


def fan(count: int) -> StateGraph:
    graph = StateGraph(State)
    graph.add_node("one", nothing)
    graph.add_conditional_edges(START, lambda state: [Send("one", {"done": i}) for i in range(count)], ["one"])
    graph.add_edge("one", END)
    return graph


def chain(count: int) -> StateGraph:
    graph = StateGraph(State)
    for i in range(count):
        graph.add_node(f"n{i}", nothing)
        graph.add_edge(f"n{i - 1}" if i else START, f"n{i}")
    graph.add_edge(f"n{count - 1}", END)
    return graph


def layered(side: int) -> StateGraph:
    graph = StateGraph(State)
    for layer in range(side):
        for i in range(side):
            graph.add_node(f"n{layer}_{i}", nothing)
            graph.add_edge([f"n{a}_{b}" for a, b in needs(layer, i, side)] or START, f"n{layer}_{i}")
    for i in range(side):
        graph.add_edge(f"n{side - 1}_{i}", END)
    return graph


def functional(count: int, saver: AsyncSqliteSaver):
    one = task(nothing)

    @entrypoint(checkpointer=saver)
    async def many(number: int) -> int:
        return len(await asyncio.gather(*[one(i) for i in range(number)]))

    return many


async def run(case: str, size: int, folder: Path) -> float:
    config = {"configurable": {"thread_id": "1"}, "recursion_limit": 2 * size + 10}
    async with AsyncSqliteSaver.from_conn_string(str(folder / "langgraph.db")) as saver:
        await saver.setup()
        if case == "fan-functional":
            graph, given = functional(size, saver), size
        else:
            make = {"fan": fan, "chain": chain, "layered": layered}[case]
            graph, given = make(size).compile(checkpointer=saver), {"done": 0}
        result = None

        async def once() -> None:
            nonlocal result
            result = await graph.ainvoke(given, config, durability="sync")

        seconds = await atimed(once)
        expected = size * size if case == "layered" else size
        found = result["done"] if isinstance(result, dict) else result
        assert found == expected, f"{found} of {expected} tasks ran"
        return seconds


go(run, "langgraph", "langgraph-checkpoint-sqlite")
