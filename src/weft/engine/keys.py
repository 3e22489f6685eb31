"""Idempotency keys: the same for every attempt of a node instance, across retries, resumes and machines."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from weft.core.state import Instance


class Keys:
    """The keys of one run: the digest of run id, path and definition.

    A node that was undone and runs again has another key, as the other side must not take it for a repetition.
    """

    __slots__ = ("_run_id", "undone")

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self.undone: Counter[str] = Counter()
        """How often each path has been compensated."""

    def key(self, instance: Instance) -> str:
        """32 hex digits."""
        undone = self.undone[instance.path] if self.undone else 0
        parts = (self._run_id, instance.path, instance.node.digest, str(undone) if undone else "")
        return sha256("\0".join(parts).encode()).hexdigest()[:32]
