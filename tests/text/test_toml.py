"""Lines of keys in TOML."""

from __future__ import annotations

import pytest

from weft.errors import InputError
from weft.text.source import Source
from weft.text.toml import read_toml

TEXT = '''# a = 1

jobs = 3 # [not.a.table]
text = """
[fake]
x = 1 \\"""
"""
raw = \'\'\'
y = 2
\'\'\'
list = [
  "a = 1", # ]
  [1, 2],
]
[plan]
  model = "m"
"quoted key" = 'x'
inner.deep = {a = 1, b = [2]}
[ agents . "my agent" ]
plan = []

[[rows]]
a = 1
[[rows]]
a = 2
'''


def test_every_key_has_its_line() -> None:
    read = read_toml(Source("weft.toml", TEXT))
    assert read.lines == {
        ("jobs",): 3,
        ("text",): 4,
        ("raw",): 8,
        ("list",): 11,
        ("plan",): 15,
        ("plan", "model"): 16,
        ("plan", "quoted key"): 17,
        ("plan", "inner", "deep"): 18,
        ("agents", "my agent"): 19,
        ("agents", "my agent", "plan"): 20,
        ("rows",): 22,
        ("rows", "a"): 23,
    }
    assert read.data["agents"]["my agent"] == {"plan": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "weft.toml: Invalid value (at end of document)"),
        ("a = " + "[" * 20_000, "weft.toml: nested too deeply"),
    ],
)
def test_what_is_no_toml_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_toml(Source("weft.toml", text))
    assert caught.value.message == message
    assert caught.value.hint == "correct the file, or move it away"


def test_a_number_of_too_many_digits_is_refused() -> None:
    with pytest.raises(InputError, match=r"^weft\.toml: "):
        read_toml(Source("weft.toml", "a = " + "1" * 5000))
