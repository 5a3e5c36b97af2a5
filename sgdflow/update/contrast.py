"""What other candidates made of the examples that a text is written anew from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sgdflow.prompting.values import as_text, shortened
from sgdflow.update.rule import Rival, Situation

_LONGEST = 300
"""Characters of an output that is shown."""


@dataclass(frozen=True, slots=True)
class Done:
    """How an example went with another text, as templates see it."""

    number: int
    """That of the example among those that are shown."""
    score: float
    """Of the whole answer."""
    output: str
    """Of the same node."""

    @property
    def right(self) -> bool:
        """Return whether nothing was wrong with the answer."""
        return self.score >= 1


@dataclass(frozen=True, slots=True)
class Contrast:
    """Another text of a parameter and what it did, as templates see it."""

    text: str
    done: tuple[Done, ...]
    beside: tuple[str, ...]
    """Other parameters that the candidate has other texts of."""


def contrasts(situation: Situation, name: str, count: int) -> Sequence[Contrast]:
    """Return at most so many other texts of a parameter whose outcomes are known.

    Those that got more of the examples right come first, and of equals the newest.
    """
    known = dict.fromkeys([str(situation.parameters[name])])
    found: list[Contrast] = []
    for rival in reversed(situation.rivals):
        text = str(rival.parameters[name])
        if text not in known and (done := tuple(_done(situation, name, rival))):
            known[text] = None
            found.append(Contrast(text, done, tuple(_beside(situation, name, rival))))
    found.sort(key=lambda one: -sum(done.right for done in one.done))
    return found[:count]


def _done(situation: Situation, name: str, rival: Rival) -> Iterator[Done]:
    for number, item in enumerate(situation.evidence.get(name, ()), 1):
        outcome = rival.known.outcomes.get(item.example)
        if outcome is None or outcome.score is None or item.node not in (v := outcome.values):
            continue
        output = shortened(str(as_text(v[item.node])), _LONGEST)
        yield Done(number, outcome.score, output)


def _beside(situation: Situation, name: str, rival: Rival) -> Iterator[str]:
    for other, text in rival.parameters.items():
        if other != name and text != situation.parameters[other]:
            yield other
