"""`weft logs`: what the steps of a run printed."""

from __future__ import annotations

import codecs
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weft.cli.options import journal_option, run_argument
from weft.cli.terminal import Out, log_text, one_line, streams, styled

if TYPE_CHECKING:
    from weft.app.inspection import Inspection
    from weft.app.logs import LogFile

EVERY = 0.2
"""Seconds between two looks at the logs of a run that goes on."""
_PIECE = 64 * 1024
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:]{0,40})?\Z|\r\Z")
"""The beginning of a colour or of a line end, of which the rest is in the next piece."""


@click.command()
@run_argument
@click.argument("path", metavar="[PATH]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on showing until the run has ended.")
@journal_option
def logs(run: str, path: str | None, follow: bool, journal: str | None) -> int:
    """Show what the steps of RUN printed; with PATH, that node and what is inside it."""
    from weft.app.inspection import inspect, unknown_path

    now = streams()
    seen = inspect(run, journal)
    try:
        assert seen.folder is not None
        seen.refresh()
        printer = Printer(now.out)
        shown = _show(seen, seen.folder, path, printer, follow=follow)
        if not shown:
            known = list(seen.report.result().nodes)
            if path is not None and not any(one == path or one.startswith((path + "/", path + "[")) for one in known):
                raise unknown_path(path, known, seen.run_id)
            who = f"run {seen.run_id}" if path is None else one_line(path)
            now.err.line(f"{who} printed nothing")
    finally:
        seen.close()
    return 0


def _show(seen: Inspection, folder: Path, path: str | None, printer: Printer, *, follow: bool) -> int:
    """Print what there is, and with `follow` what comes; how many files there were."""
    from weft.app.logs import log_files

    while True:
        going_on = follow and seen.standing() == "running"
        found = log_files(folder, path)
        for log in found:
            printer.show(log)
        if not going_on or printer.out.gone:
            printer.finish()
            return len(found)
        time.sleep(EVERY)
        seen.refresh()


class Printer:
    """Prints the files of several attempts, each from where it stopped last, under a heading."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self._offsets: dict[Path, int] = {}
        self._decoders: dict[Path, codecs.IncrementalDecoder] = {}
        self._held: dict[Path, str] = {}
        self._last: Path | None = None
        self._open_line = False

    def show(self, log: LogFile) -> None:
        """Print what is new in a file."""
        offset = self._offsets.get(log.file, 0)
        try:
            with log.file.open("rb") as file:
                file.seek(offset)
                while (data := file.read(_PIECE)) and not self.out.gone:
                    offset += len(data)
                    self._print(log, data)
        except OSError:
            return
        self._offsets[log.file] = offset

    def finish(self) -> None:
        """End the last line."""
        if self._last is not None and (held := self._held.pop(self._last, "")):
            self._send(log_text(held))
        if self._open_line:
            self.out.send(b"\n")
            self._open_line = False

    def _print(self, log: LogFile, data: bytes) -> None:
        if self._last != log.file:
            self.finish()
            self._last = log.file
            head = f"== {one_line(log.path)} (attempt {log.attempt})"
            self._send(styled(head, "dim", self.out) + "\n")
        decoder = self._decoders.get(log.file)
        if decoder is None:
            decoder = self._decoders[log.file] = codecs.getincrementaldecoder("utf-8")("replace")
        text = self._held.pop(log.file, "") + decoder.decode(data)
        if cut := _UNFINISHED.search(text):
            self._held[log.file] = text[cut.start() :]
            text = text[: cut.start()]
        text = log_text(text)
        self._send(text)
        if text:
            self._open_line = not text.endswith("\n")

    def _send(self, text: str) -> None:
        self.out.send(text.encode(self.out.encoding, "backslashreplace"))
