"""All functions of the expression language, by name. Expressions can call nothing else."""

from __future__ import annotations

from weft.errors import nearest
from weft.text.function import Function
from weft.text.functions_list import LISTS
from weft.text.functions_text import TEXT
from weft.text.functions_time import TIMES
from weft.text.functions_value import VALUES

FUNCTIONS: dict[str, Function] = {each.name: each for each in (*TEXT, *LISTS, *VALUES, *TIMES)}

_ELSEWHERE = {
    "len": "length", "size": "length", "str": "to_text", "string": "to_text", "int": "to_number",
    "float": "to_number", "bool": "to_boolean", "list": "to_list", "any": "some", "all": "every",
    "toUpperCase": "upper", "toLowerCase": "lower", "strip": "trim", "push": "concat", "append": "concat",
    "sorted": "sort", "reversed": "reverse", "items": "entries", "fromEntries": "from_entries",
    "ifnull": "coalesce", "typeof": "type_of", "isinstance": "type_of", "mean": "avg", "average": "avg",
    "distinct": "unique", "uniq": "unique", "stringify": "json_encode", "tojson": "json_encode",
    "dumps": "json_encode", "parse": "json_decode", "loads": "json_decode", "fromjson": "json_decode",
    "trunc": "floor", "regex": "match", "date": "format_time", "strftime": "format_time", "indexOf": "index_of",
    "foldl": "reduce", "fold": "reduce", "limit": "take", "drop": "skip", "substr": "substring",
}  # fmt: skip
"""What other languages call them."""


def suggestion(name: str) -> str | None:
    """The function that somebody who wrote `name` may have meant."""
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    close = nearest(name, list(FUNCTIONS))
    return close[0] if close else None
