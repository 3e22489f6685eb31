"""The flow front: documents (`.flow.md`) to programs."""

from weft.fronts.flow.front import Loaded, compare, load_document

__all__ = ["Loaded", "compare", "load_document"]
