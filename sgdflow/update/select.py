"""Which of the optimised parameters a step updates."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from sgdflow.executor.gradients import wish
from sgdflow.executor.intervention import REFUTED
from sgdflow.update.evidence import Evidence, Item

UNDECIDED = ("undecided", "not settle", "cannot be told")


@dataclass(frozen=True, slots=True)
class Select:
    """all; random: `count` of them, drawn anew each step; blamed: the `count` most blamed.

    The blame of a parameter is the number of its gradients that ask for a change, those aside
    that its node passed on: where one of the nodes before it was asked for a change in the same
    example. What a node says of itself is passed on by nobody, and what a trial refuted is no
    blame. Equals stand in random order, so that no parameter is preferred for its place.
    """

    rule: Literal["all", "random", "blamed"] = "all"
    count: int = 1
    dismissive: str = "nothing should change"
    """What a gradient without a wish says, in any case of letters, that asks for no change."""
    undecided: tuple[str, ...] = UNDECIDED
    """What one says that cannot tell: it asks nobody for a change. A single word counts where the
    gradient begins with it, several words wherever they stand."""

    def before(self, optimised: Sequence[str], random: Random) -> tuple[str, ...]:
        """Return the parameters that the backward pass works for, in declared order."""
        if self.rule != "random" or self.count >= len(optimised):
            return tuple(optimised)
        chosen = set(random.sample(list(optimised), self.count))
        return tuple(name for name in optimised if name in chosen)

    def after(
        self, evidence: Evidence, random: Random, before: Mapping[str, Collection[str]]
    ) -> Evidence:
        """Return the evidence of the parameters that are rewritten.

        `before`: the nodes that each may have passed its blame on to.
        """
        if self.rule != "blamed" or self.count >= len(evidence):
            return evidence
        names = list(evidence)
        random.shuffle(names)
        blame = self.blame(evidence, before)
        names.sort(key=lambda name: -blame[name])
        chosen = set(names[: self.count])
        return {name: items for name, items in evidence.items() if name in chosen}

    def blame(self, evidence: Evidence, before: Mapping[str, Collection[str]]) -> Mapping[str, int]:
        """Return how many gradients ask each parameter for a change."""
        asked = {
            (item.example, item.node)
            for items in evidence.values()
            for item in items
            if self._blaming(item)
        }

        def own(item: Item) -> int:
            if not self._blaming(item):
                return 0
            passed_on = any((item.example, name) in asked for name in before.get(item.node, ()))
            return sum(
                self.asks(gradient.value)
                for gradient in item.gradients
                if gradient.source == item.node or not passed_on
            )

        return {name: sum(map(own, items)) for name, items in evidence.items()}

    def _blaming(self, item: Item) -> bool:
        """Return whether an item asks for a change that no trial speaks against."""
        return item.verdict not in REFUTED and self.asking(item) > 0

    def asks(self, value: object) -> bool:
        """Return whether a gradient asks for a change: by its form, or else by what it says."""
        said = str(value)
        if (asked := wish(said)) is not None:
            return asked == "change"
        return not any(_says(said, phrase) for phrase in (self.dismissive, *self.undecided))

    def asking(self, item: Item) -> int:
        """Return how many of an item's gradients ask for a change."""
        return sum(self.asks(gradient.value) for gradient in item.gradients)


def _says(value: str, phrase: str) -> bool:
    """Return whether a text says a phrase: a declared word begins it, also with marks around."""
    said, phrase = value.lower(), phrase.lower().strip()
    if re.search(r"\s", phrase):
        return phrase in said
    return re.match(rf"\W*{re.escape(phrase)}(?!\w)", said) is not None
