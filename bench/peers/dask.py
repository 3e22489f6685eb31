# mypy: ignore-errors
"""Dask, in memory: a distributed cluster inside this process, without sockets; `-threads`: its threaded scheduler."""

from __future__ import annotations

import dask
from dask.threaded import get
from distributed import Client, LocalCluster

from bench.peers.cases import asked, needs, tell, timed


def nothing(*needed: object) -> int:
    return 1


def layers(case: str, size: int) -> dict[str, tuple]:
    """The whole graph, as Dask's low-level one: name -> (function, *names)."""
    if case == "fan":
        return {f"n{i}": (nothing,) for i in range(size)}
    if case == "chain":
        return {f"n{i}": (nothing, f"n{i - 1}") if i else (nothing,) for i in range(size)}
    return {
        f"n{layer}_{i}": (nothing, *[f"n{a}_{b}" for a, b in needs(layer, i, size)])
        for layer in range(size)
        for i in range(size)
    }


def threads(case: str, size: int) -> float:
    graph = layers(case, size)
    results: list[object] = []
    seconds = timed(lambda: results.extend(get(graph, list(graph))))
    assert sum(results) == len(graph)
    return seconds


def distributed(case: str, size: int) -> float:
    graph = layers(case, size)
    where = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        LocalCluster(n_workers=1, threads_per_worker=4, processes=False, **where) as cluster,
        Client(cluster) as client,
    ):
        client.submit(nothing).result()
        results: list[object] = []
        seconds = timed(lambda: results.extend(client.get(graph, list(graph))))
    assert sum(results) == len(graph)
    return seconds


dask.config.set({"distributed.comm.timeouts.connect": "30s"})
case, size, folder = asked()
name, _, kind = case.partition("-")
tell(threads(name, size) if kind else distributed(name, size), "dask", "distributed")
