"""Which rewritten texts are refused before anything is scored with them."""

from __future__ import annotations

import pytest

from sgdflow.errors import ReplyError
from sgdflow.update.checks import check_text

BEFORE = "Join what was filled in. Be quick. Never guess."


@pytest.mark.parametrize(
    "text",
    [
        "Join what was filled in. Never guess.",  # a sentence was cut, others kept
        "Join what was filled in.",
        "Join what was filled in. Be quick. Never guess. Red comes first.",
    ],
)
def test_a_cut_is_a_change_like_an_addition(text: str) -> None:
    check_text(text, BEFORE, ())


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("Be quick. Never guess. Join what was filled in, step by step.", BEFORE),
        ("Think carefully, and give the correct answer.", "Work out a hint that helps."),
        ("Join carefully what was filled in.", "Join what was filled in."),
    ],
)
def test_other_words_for_the_same_are_none(text: str, before: str) -> None:
    with pytest.raises(ReplyError, match="it says no more than the instruction"):
        check_text(text, before, ())
