"""Confirmation: the winner of a run against its start, on examples that decided nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.update.statistics import chance, gains_needed, like_needed

WANTED = 0.8
"""How likely examples that are called enough are to confirm what they are said to."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """Whether a run that found something returns it."""

    level: float = 0.05
    """How likely a winner that is not better than the start may be confirmed."""
    required: bool = True
    """Whether examples that can confirm nothing are refused, or the run goes without."""

    def compare(
        self, start: Evaluation, winner: Evaluation, parameters: Parameters
    ) -> Confirmation:
        """Test the winner, whose parameters these are, on the same examples as the start."""
        before = start.scores
        after = {i: winner.scores.get(i, 0.0) for i in before}
        gains = [after[i] - before[i] for i in before]
        p, n = chance(gains), max(1, len(before))
        return Confirmation(
            p <= self.level,
            p,
            len(before),
            sum(before.values()) / n,
            sum(after.values()) / n,
            self.level,
            gains_needed(self.level) / n,
            parameters,
            sum(gain > 0 for gain in gains),
            sum(gain < 0 for gain in gains),
            like_needed(gains, self.level, WANTED),
        )


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What came of it."""

    confirmed: bool
    p: float
    """Of a one-sided sign-flip test."""
    examples: int
    before: float
    after: float
    level: float
    smallest: float
    """The smallest gain that could have been confirmed, if nothing had got worse."""
    parameters: Parameters
    """The winner's."""
    better: int
    """Examples that scored higher with the winner."""
    worse: int
    needed: int | None
    """How many would be enough for such a gain; None: none was seen, or ten thousand are not."""
