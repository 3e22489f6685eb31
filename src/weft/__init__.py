"""Weft: many steps at once, safely, and nothing forgotten."""

__version__ = "0.1.0"
