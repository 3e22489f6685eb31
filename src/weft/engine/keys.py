"""Idempotency keys: the same for every attempt of a node instance, across retries, resumes and machines."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from weft.core.state import Instance
from weft.graph.model import node_paths


class Keys:
    """The keys of one run: the digest of run id, path and definition.

    A node that runs again because it was undone, or because somebody changed it (or the block around it), has another
    key: the other side must not take that for a repetition.
    """

    __slots__ = ("_edits", "_run_id", "_undone")

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._undone: Mapping[str, int] = {}
        self._edits: Mapping[str, int] = {}

    def take_up(self, undone: Mapping[str, int], edits: Mapping[str, int]) -> None:
        """How often each path was compensated, and how often each node id was changed, in earlier sittings."""
        self._undone = undone
        self._edits = edits

    def key(self, instance: Instance) -> str:
        """32 hex digits."""
        path = instance.path
        undone = self._undone.get(path, 0) if self._undone else 0
        edits = sum(self._edits.get(name, 0) for name in node_paths(path)) if self._edits else 0
        again = f"{undone}/{edits}" if undone or edits else ""
        parts = (self._run_id, path, instance.node.digest, again)
        return sha256("\0".join(parts).encode()).hexdigest()[:32]
