"""Semantic gradients, and how those that arrive at one variable join."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sgdflow.prompting.values import MOST, NOT_SHOWN, rest

LOSS = "loss"
"""The source of the gradient that the backward pass starts from."""


@dataclass(frozen=True, slots=True)
class Gradient:
    """What one successor (or the loss) says of how a variable should change."""

    source: str
    value: Any
    heard: str = field(default="", compare=False)
    """The feedback on the answer in it, where code alone has handed that on."""


Gradients = tuple[Gradient, ...]


def heard(gradients: Gradients) -> list[str]:
    """Return the feedback on the answer, where nobody has said since how it came about."""
    said = [str(one.value) if one.source == LOSS else one.heard for one in gradients]
    return [one for one in said if one]


Wish = Literal["change", "keep", "unclear"]
_BEGINS = re.compile(r"\W*(?:(CHANGE|KEEP|UNCLEAR)\b|(?i:(change|keep|unclear))(?:\W*:|\W*$))")
_THEN = re.compile(r"^\W*CHANGE:", re.MULTILINE)
_STRONGEST: tuple[Wish, ...] = ("change", "unclear", "keep")


def wish(text: str) -> Wish | None:
    """Return what the form of a gradient asks for: the word that it begins with; None: it has none.

    One that says what to keep first asks for a change where a later line begins with `CHANGE:`.
    """
    first = _BEGINS.match(text)
    if first is None:
        return None
    if _THEN.search(text):
        return "change"
    said = (first[1] or first[2]).lower()
    return next(one for one in _STRONGEST if one == said)


def joint_wish(gradients: Gradients) -> Wish | None:
    """Return what several gradients ask for together; None: the form of some does not say it."""
    said = [wish(str(gradient.value)) for gradient in gradients]
    if "change" in said:
        return "change"
    return None if None in said else next((one for one in _STRONGEST if one in said), None)


def limited(gradients: Gradients) -> Gradients:
    """Return what a prompt shows: of many those first that ask for a change, and the number left.

    Many are joined before. These are those that could not be, or that ask for nothing.
    """
    if len(gradients) <= MOST:
        return gradients
    first = sorted(gradients, key=lambda one: joint_wish((one,)) not in ("change", None))
    return (*first[:MOST], *(Gradient(said, NOT_SHOWN) for said in rest(gradients)))


Aggregation = Callable[[Gradients], Any]


def collect(gradients: Gradients) -> Gradients:
    """Keep every gradient, in order."""
    return gradients


def distinct(gradients: Gradients) -> Gradients:
    """Keep the first of gradients that say the same."""
    first: dict[str, Gradient] = {}
    for gradient in gradients:
        first.setdefault(str(gradient.value), gradient)
    return tuple(first.values())


def total(gradients: Gradients) -> Any:
    """Add numeric gradients up."""
    return sum(gradient.value for gradient in gradients)


AGGREGATIONS: Mapping[str, Aggregation] = {"collect": collect, "distinct": distinct, "sum": total}


def as_gradients(aggregated: Any) -> Gradients:
    """Return an aggregated gradient as templates show it: as a list."""
    if isinstance(aggregated, tuple) and all(isinstance(g, Gradient) for g in aggregated):
        return aggregated
    return (Gradient("all", aggregated),)
