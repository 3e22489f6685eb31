"""A fresh project for every test, and a server to talk to: those of the hostile tests."""

from __future__ import annotations

from hostile.conftest import project as project
from hostile.conftest import server as server
