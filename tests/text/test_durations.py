from __future__ import annotations

import pytest

from weft.errors import ExpressionError
from weft.text.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5),
        ("1m", 60),
        ("2h", 7200),
        ("1d", 86_400),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("1d2h3m4s5ms", 93_784.005),
        ("90m", 5400),
        ("0s", 0),
        (" 5s ", 5),
        ("PT1H", 3600),
        ("PT1H30M", 5400),
        ("PT0.5S", 0.5),
        ("P1D", 86_400),
        ("P1DT2H", 93_600),
        ("3650d", 3650 * 86_400),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert isinstance(parse_duration(text), float)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "5 minutes", "-1s", "+1s", "1e3s", "5S", "1H", "30m1h", "1h1h", "1 h", "1h 30m", "s", "ms",
        "h5",
        "1.s", ".5s", "1,5s", "\u0665s", "1h30", "P", "PT", "P1", "PT1", "P1DT", "pt1h", "P1Y", "P1M", "P1W",
        "5s\n5s",
        "inf", "nan", "1ss", "5msm", "1" * 70 + "s", "\x1b[31m5s",
    ],
)  # fmt: skip
def test_anything_else_is_an_error_that_shows_the_grammar(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_duration(text)
    assert caught.value.code == "WEFT430"
    assert caught.value.hint == "write it like 500ms, 5s, 1m, 2h, 1d, 1h30m, 1.5s or PT1H"
    assert caught.value.message.isprintable()
    assert (caught.value.start, caught.value.end) == (0, max(len(text), 1))


def test_a_bare_number_asks_for_its_unit() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_duration("5")
    assert caught.value.message == "'5' is not a duration"
    assert caught.value.hint == "give it a unit: 5s, or write one of 500ms, 5s, 1m, 2h, 1d, 1h30m, 1.5s or PT1H"


@pytest.mark.parametrize("text", ["99999999d", "3651d", "999999999999h", "1" * 60 + "ms"])
def test_a_duration_beyond_ten_years_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_duration(text)
    assert (caught.value.message, caught.value.hint) == (f"{text!r} is too long for a duration", "at most 3650d")
