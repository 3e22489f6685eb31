"""Draws docs/live.svg: the live view of a real run of examples/census.flow.md.

    python docs/picture.py

The run goes on in a temporary folder. When two thirds of the modules are read, the view is asked for a picture,
as it is for a terminal, and rich writes it as SVG.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from threading import Lock

from rich.console import Console
from rich.terminal_theme import MONOKAI

from weft.app import Request, run
from weft.cli.live import State, picture
from weft.engine.report import Report
from weft.event_types import Event

HERE = Path(__file__).parent
WIDTH, HEIGHT = 76, 14
DONE = 400
"""Nodes that have ended when the picture is taken."""

FORMAT = """\
<svg class="{unique_id}" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; white-space: pre; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich's own, without fonts from the network."""


class Camera:
    """Watches a run and keeps one picture of it."""

    def __init__(self) -> None:
        self._state = State()
        self._lock = Lock()
        self.console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
        self.taken = False

    def event(self, report: Report, event: Event) -> None:
        """Take in an event; take the picture when enough is done."""
        with self._lock:
            self._state.add(report, event)
            if not self.taken and report.counts.get("succeeded", 0) >= DONE:
                self.taken = True
                for line in picture(self._state, time.time(), WIDTH, HEIGHT, "⠹"):
                    self.console.print(line, no_wrap=True)

    def log(self, path: str, stream: str, chunk: bytes) -> None:
        """Keep what was printed last, as the live view does."""
        if chunk.strip():
            self._state.last = (path, chunk[-2000:])


def main() -> None:
    """Run, draw, write."""
    camera = Camera()
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "census.flow.md")
        shutil.copy(HERE.parent / "examples" / "census.flow.md", document)
        os.chdir(folder)
        outcome = run(document, Request(), watch=camera.event, on_log=camera.log)
        os.chdir(HERE)
    if not camera.taken:
        sys.exit(f"the run ended ({outcome.result.status}) before a picture could be taken")
    svg = camera.console.export_svg(
        title="weft run census.flow.md", theme=MONOKAI, code_format=FORMAT, unique_id="weft"
    )
    (HERE / "live.svg").write_text(svg)


if __name__ == "__main__":
    main()
