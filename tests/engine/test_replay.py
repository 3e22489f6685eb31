"""What a replay keeps for later."""

from __future__ import annotations

from weft.engine.replay import Parked
from weft.event_types import AttemptStarted, AttemptSucceeded, ChoiceMade, LoopChecked


def test_of_two_answers_to_one_question_the_later_one_stands() -> None:
    parked = Parked()
    skipped, other, taken = ChoiceMade("a", taken=-1, when=True), ChoiceMade("a", taken=1), ChoiceMade("a", 0, True)
    for event in (skipped, other, taken):
        parked.add(event)
    assert parked.pop("a") == [other, taken]
    rounds = [LoopChecked("a", round=0, go_on=True), LoopChecked("a", 1, True), LoopChecked("a", 0, False)]
    for event in rounds:
        parked.add(event)
    assert parked.pop("a") == rounds[1:]


def test_what_answers_nothing_is_kept_in_order() -> None:
    parked = Parked()
    attempts = [AttemptStarted("a", 1), AttemptSucceeded("a", 1), AttemptStarted("a", 2), AttemptSucceeded("a", 2)]
    for event in attempts:
        parked.add(event)
    assert parked.take("a") is attempts[3]
    assert not parked
