# mypy: ignore-errors
"""Dask, in memory: a local cluster of one worker process with four threads; `-threads`: its threaded scheduler."""

from __future__ import annotations

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
    here = {"host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=1, threads_per_worker=4, **here) as cluster, Client(cluster) as client:
        client.submit(nothing).result()
        return timed(lambda: submitted(client, layers(case, size)))


def submitted(client: Client, graph: dict[str, tuple]) -> None:
    """As its pages say: a future per task, handed to those that need it."""
    futures: dict[str, object] = {}
    for name, (function, *needed) in graph.items():
        futures[name] = client.submit(function, *[futures[need] for need in needed], key=name, pure=False)
    assert sum(client.gather(list(futures.values()))) == len(graph)


if __name__ == "__main__":  # the worker imports this module, too
    case, size, folder = asked()
    name, _, kind = case.partition("-")
    tell(threads(name, size) if kind else distributed(name, size), "dask", "distributed")
