"""What a shipped scorer takes for the answer of an output, and how it compares, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sgdflow.data import forms, scoring
from sgdflow.data.answers import (
    TRUE_OR_FALSE,
    YES_OR_NO,
    bare,
    find_number,
    find_option,
    find_truth,
    plain,
)
from sgdflow.data.dates import find_dates

_LONGEST = 200


class Read(NamedTuple):
    """What was read, and how it compares."""

    read_as: str | None
    """None: no answer of the kind was found."""
    compared_as: str
    taken: str
    """Which one is taken where an output holds several."""
    plain: bool
    """Whether the output holds nothing else."""


def read(scorer: Callable[..., Any], output: Any, target: Any) -> Read | None:
    """Return what a scorer reads in an output; None for a scorer that is not known here."""
    if isinstance(scorer, scoring.AnyOf | scoring.AnyFitted):
        first = next(iter(scoring.acceptable(target)), None)
        score = scorer.score if isinstance(scorer, scoring.AnyFitted) else scoring.like_target
        return read(score, output, first)
    kind = _kind(scorer, target)
    if kind is None:
        return None
    find, compared_as, taken = _FORMS[kind]
    text = "" if output is None else plain(str(output))
    found = find(text)
    if found is None:
        return Read(None, compared_as, taken, False)
    return Read(found[:_LONGEST], compared_as, taken, _letters(found) == _letters(text))


def read_as(scorer: Callable[..., Any], output: Any, target: Any) -> str | None:
    """Return what a scorer takes for the answer; the output's words for one not known here."""
    found = read(scorer, output, target)
    return " ".join(str(output).split())[:_LONGEST] if found is None else found.read_as


def expected_as(scorer: Callable[..., Any], target: Any) -> str:
    """Return what a target looks like where an output is right; the first of several."""
    first = next(iter(scoring.acceptable(target)), "")
    return read_as(scorer, first, target) or " ".join(str(first).split())[:_LONGEST]


def _kind(scorer: Callable[..., Any], target: Any) -> str | None:
    """Return the kind of answer that a scorer looks for."""
    if isinstance(scorer, scoring.LikeTarget):
        scorer = scorer.take([target]).score
    if isinstance(scorer, scoring.Mostly):
        scorer = scorer.of(target)
    if isinstance(scorer, scoring.Dated):
        return "date"
    name = next((name for name, one in scoring.SCORERS.items() if one is scorer), None)
    return forms.form_of_text(plain(str(target))) if name == "text" else name


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _number(text: str) -> str | None:
    found = find_number(text)
    return None if found is None else found.replace(",", "")


def _text(text: str) -> str | None:
    return bare(text) or None


def _yes_no(text: str) -> str | None:
    return {True: "yes", False: "no", None: None}[find_truth(text, YES_OR_NO)]


def _true_false(text: str) -> str | None:
    return {True: "true", False: "false", None: None}[find_truth(text, TRUE_OR_FALSE)]


def _date(text: str) -> str | None:
    return next((day.isoformat() for day in find_dates(text, None)), None)


_LAST = "the one after 'answer:', else the last"
_ENDS = "its first or last word"
_WHOLE = "all of it, or what follows 'answer:'"
_FORMS: Mapping[str, tuple[Callable[[str], str | None], str, str]] = {
    "number": (_number, "a number", _LAST),
    "code": (find_number, "a code of digits", _LAST),
    "option": (find_option, "an option letter", "the one after 'answer:', else the only one"),
    "yes_no": (_yes_no, "yes/no", _ENDS),
    "true_false": (_true_false, "true/false", _ENDS),
    "date": (_date, "a date", _LAST),
    "exact": (_text, "a text", "all of it"),
    "brackets": (_text, "brackets", _WHOLE),
    "words": (_text, "a list of words", _WHOLE),
    "text": (_text, "a text", _WHOLE),
}
"""Kind -> what finds it, what it is, and which one is taken where there are several."""
