"""A reviewer that finds something once per task: `task-N.txt` in its folder, until `task-N.fixed` is there as well.

    python reviewer.py [json|text|exit-code|always|broken|hang]

`json` (default): an array, exit code 0. `text`: lines. `exit-code`: JSON, and exit code 1 when there is something.
`always` finds it again and again, `broken` ends with exit code 3, `hang` does not end. `REVIEW_LOG` names a file that each
call appends a JSON line to when it starts and when it ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def stamp(event: str, names: list[str]) -> None:
    log = os.environ.get("REVIEW_LOG")
    if log:
        fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, json.dumps({"event": event, "at": time.monotonic(), "found": names}).encode() + b"\n")
        os.close(fd)


def main(mode: str) -> int:
    files = sorted(Path().glob("task-*.txt"))
    found = [file.name for file in files if mode == "always" or not file.with_suffix(".fixed").exists()]
    stamp("start", found)
    if mode == "hang":
        time.sleep(600)
    if mode == "broken":
        print("no licence", file=sys.stderr)
        return 3
    if mode == "text":
        print("\n".join(f"{name}:1: not fixed" for name in found))
    else:
        print(json.dumps([{"id": name, "file": name, "line": 1, "message": "not fixed"} for name in found]))
    stamp("end", found)
    return 1 if mode == "exit-code" and found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "json"))
