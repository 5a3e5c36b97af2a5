"""What is said of a winner: how it did, what would have been enough, and where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product

import pytest

from sgdflow.descent.confirm import Confirm
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.runs.closing import confirmation_words, gate_words

KEPT = (
    "its texts are in unconfirmed.yaml: sgdflow evaluate with parameters=RUN/unconfirmed.yaml "
    "scores them on more examples"
)


def scored(scores: Sequence[float]) -> Evaluation:
    nothing = ForwardPass("an example", {}, {}, {})
    return Evaluation({f"{i}": Outcome(nothing, score, None) for i, score in enumerate(scores)})


def told(before: Sequence[float], after: Sequence[float]) -> list[str]:
    found = Confirm().compare(scored(before), scored(after), {"a": "text"})
    return [line.strip() for line in confirmation_words({"confirmation": asdict(found)})]


def test_a_gain_that_was_not_confirmed_says_what_would_have_been_enough() -> None:
    """Twenty examples, 12 right; 8 get better and 3 worse, which is a gain of 0.250."""
    before = [1.0] * 12 + [0.0] * 8
    after = [0.0] * 3 + [1.0] * 17
    p = sum(math.comb(11, k) for k in range(8, 12)) / 2**11
    assert told(before, after) == [
        "winner      not confirmed, the start is returned: 0.600 -> 0.850 on 20 validation "
        f"examples (8 better, 3 worse), p = {p:.2g}, level 0.05",
        "5 of 20 better and none worse would have been enough (a gain of 0.250 where scores are "
        "0 or 1); what gets worse counts against it",
        "a gain like this one takes about 58 validation examples, to be confirmed with "
        "probability 0.8 (task.splits.validation)",
        KEPT,
    ]


def test_what_is_called_enough_is() -> None:
    """All flips of the signs of five gains, and of four."""
    for better, confirmed in ((5, True), (4, False)):
        flips = [sum(signs) >= better for signs in product((1, -1), repeat=better)]
        assert (sum(flips) / len(flips) <= 0.05) == confirmed
        words = told([0.0] * 20, [1.0] * better + [0.0] * (20 - better))
        assert words[0].startswith("winner      confirmed: ") == confirmed
        assert (len(words) == 1) == confirmed


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([0.0] * 4, [1.0] * 4, "so few can confirm nothing: it takes 5 that get better, none"),
        (
            [0.0] * 101 + [1.0] * 100,
            [1.0] * 101 + [0.0] * 100,
            "a gain like this one is hardly confirmed by ten thousand validation examples either",
        ),
    ],
)
def test_what_nothing_can_confirm_is_said(
    before: Sequence[float], after: Sequence[float], said: str
) -> None:
    assert any(line.startswith(said) for line in told(before, after))


def test_a_loss_is_not_called_a_gain() -> None:
    assert not [line for line in told([1.0] * 20, [0.0] * 20) if "like this one" in line]


def test_the_gate_says_what_it_shows_at_best() -> None:
    gate = {"calls": 6, "share": 0.5, "examples": 8, "evaluated": 8, "smallest": 0.625}
    assert gate_words({"gate": gate | {"spared": 0}}) == (
        "6 of all calls (50%); at best it shows a gain of 0.625 (scores of 0 or 1, none worse)"
    )
