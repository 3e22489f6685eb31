"""For all tests: no test of the fast suite fails because the machine is slow."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("weft", deadline=None)
settings.load_profile("weft")
