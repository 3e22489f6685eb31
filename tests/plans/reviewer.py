"""A reviewer with one behaviour per task: its argument is JSON, from a task's number to [exit code, what it prints].

A list of such pairs is one for each call; the last stays. `"hang"` does not end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

told = json.loads(sys.argv[1]).get(os.environ["WEFT_PLAN_TASK"], [0, ""])
if told == "hang":
    time.sleep(600)
if told and isinstance(told[0], list):
    counter = Path(sys.argv[2], f"calls-{os.environ['WEFT_PLAN_TASK']}")
    count = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(count + 1))
    told = told[min(count, len(told) - 1)]
print(told[1])
sys.exit(told[0])
