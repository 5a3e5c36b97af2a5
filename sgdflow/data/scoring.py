"""Scores of an output against a target: 1 where the answer read out of the output is right.

No output (None, empty text) and no readable answer score 0 like a wrong answer. A target
that a scorer cannot use raises ValueError, whatever the output: the data, not the model, is
wrong then. How an answer is marked ("answer is", "answer:", "####", a LaTeX box) stands in
`answers`; docs/scoring.md has all of it in a table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sgdflow.data import forms
from sgdflow.data.scorers import (
    code,
    date,
    exact,
    number,
    option,
    plain_target,
    text,
    true_false,
    yes_no,
)

__all__ = [
    "SCORERS",
    "AnyFitted",
    "AnyOf",
    "Dated",
    "LikeTarget",
    "Mostly",
    "Taken",
    "any_of",
    "code",
    "date",
    "exact",
    "like_target",
    "number",
    "option",
    "text",
    "tried",
    "true_false",
    "yes_no",
]


@dataclass(frozen=True, slots=True)
class Taken:
    """How a task's targets are taken, once for all of them."""

    score: Callable[[Any, Any], float]
    said: str
    """In words: "200 numbers"."""
    unsure: bool
    """Whether somebody could have meant them otherwise."""


@dataclass(frozen=True, slots=True)
class LikeTarget:
    """Scores by the form that the targets of a task have; `take` decides it for all of them."""

    def __call__(self, output: Any, target: Any) -> float:
        """Score by the form of this target alone."""
        return self.take([target]).score(output, target)

    def take(self, targets: Sequence[Any]) -> Taken:
        """Return the scorer for targets of a task, which takes them in one way."""
        decided = forms.decide([plain_target(target) for target in targets])
        score: Callable[[Any, Any], float] = SCORERS[decided.scorer]
        if decided.scorer == "date":
            score = Dated(decided.day_first)
        if decided.mostly is not None:
            score = Mostly(decided.mostly, score)
        return Taken(score, decided.said, decided.unsure)


@dataclass(frozen=True, slots=True)
class Mostly:
    """Scores the targets that have the form of a task, and compares the others as text."""

    form: str
    score: Callable[[Any, Any], float]

    def of(self, target: Any) -> Callable[[Any, Any], float]:
        """Return what scores outputs for a target."""
        return self.score if forms.fits(self.form, plain_target(target)) else text

    def __call__(self, output: Any, target: Any) -> float:
        """Score in the one way or the other."""
        return self.of(target)(output, target)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Scores 1 if one of a list of acceptable answers is met; each is read as in like_target."""

    def __call__(self, output: Any, target: Any) -> float:
        """Score by the form of the answers of this target alone."""
        return self.take([target]).score(output, target)

    def take(self, targets: Sequence[Any]) -> Taken:
        """Return the scorer for targets of a task, which takes all their answers in one way."""
        taken = like_target.take([one for target in targets for one in acceptable(target)])
        said = f"{forms.counted(len(targets), 'list')} of acceptable answers: {taken.said}"
        return Taken(AnyFitted(taken.score), said, taken.unsure)


@dataclass(frozen=True, slots=True)
class AnyFitted:
    """Scores 1 if one of a list of acceptable answers is met, each scored in one way."""

    score: Callable[[Any, Any], float]

    def __call__(self, output: Any, target: Any) -> float:
        """Return the best of their scores."""
        answers = acceptable(target)
        if not answers:
            raise ValueError("target [] holds no acceptable answer")
        return max(self.score(output, one) for one in answers)


@dataclass(frozen=True, slots=True)
class Dated:
    """Scores dates of a task in which 05/01/2021 is always read in one way."""

    day_first: bool | None

    def __call__(self, output: Any, target: Any) -> float:
        """Return the score as `date` does."""
        return date(output, target, self.day_first)


def acceptable(target: Any) -> Sequence[Any]:
    """Return the acceptable answers: a list, a text that is one in JSON, or one answer alone."""
    if isinstance(target, str) and target.lstrip().startswith("["):
        try:
            found = json.loads(target)
        except (ValueError, RecursionError):
            found = target
        target = found if isinstance(found, list) else target
    return [*target] if isinstance(target, list | tuple | set | frozenset) else (target,)


like_target = LikeTarget()
any_of = AnyOf()
SCORERS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "number": number,
        "code": code,
        "option": option,
        "yes_no": yes_no,
        "true_false": true_false,
        "date": date,
        "exact": exact,
        "text": text,
        "any_of": any_of,
        "like_target": like_target,
    }
)
"""By the names that task.score takes."""


def tried(score: Callable[[Any, Any], float], targets: Iterable[Any]) -> Mapping[int, str]:
    """Return why targets cannot be used, by their position."""
    problems = {}
    for position, target in enumerate(targets):
        try:
            score("", target)
        except ValueError as error:
            problems[position] = str(error)
    return problems
