"""Code and meaning of every diagnostic of a plan. Those of its bytes (`WEFT10x`) are in the flow front's table."""

from __future__ import annotations

CODES: dict[str, str] = {
    "WEFT601": "a plan without a task",
    "WEFT602": "two tasks with one number",
    "WEFT603": "a task number that is 0 or over 999,999",
    "WEFT604": "a task number in other digits than 0 to 9",
    "WEFT605": "a task without text",
    "WEFT606": "a heading that is nearly one of a task",
    "WEFT607": "a line that may have been meant as a task (warning)",
    "WEFT608": "a code fence that is never closed, with tasks behind it",
    "WEFT609": "a code fence that is never closed (warning)",
    "WEFT610": "a task heading in fenced code, or a task in a comment (warning)",
    "WEFT611": "a title that ends nearly like `(parallel)` (warning)",
    "WEFT620": "an option of a task that is given twice",
    "WEFT621": "an option of a task without a value",
    "WEFT622": "a path that cannot be one of the repository",
    "WEFT623": "something else than task numbers in `needs:`",
    "WEFT624": "a task that needs one which is not there",
    "WEFT625": "a task that needs itself or a later one",
    "WEFT626": "tasks that need each other",
    "WEFT627": "a line that may have been meant as an option (warning)",
    "WEFT628": "a task that needs one of its own parallel block (warning)",
}
