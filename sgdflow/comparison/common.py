"""Scores of runs over the examples that all of them scored: no other difference means anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from sgdflow.comparison.outcomes import SEED, Outcome
from sgdflow.tracking.reading import RecordedRun

Examples = Mapping[str, float]
"""Final scores by example."""
Read = Callable[[RecordedRun], Examples | None]
"""Returns what a run scored; None where it does not say."""


def unread(run: RecordedRun) -> None:
    """Return that nothing is known of single examples."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two mean scores that may be compared."""

    first: float
    second: float
    fewer: bool = False
    """Over fewer examples than one of the runs has scored."""


@dataclass(frozen=True, slots=True)
class Common:
    """Finds the examples that runs have in common, where they may not have all."""

    read: Read
    known: dict[str, Examples | None] = field(default_factory=dict)

    def compared(self, first: Sequence[Outcome], second: Sequence[Outcome]) -> Compared | None:
        """Return the mean score of either side; None where nothing was scored by both."""
        outcomes = [*first, *second]
        if not _may_differ(outcomes):
            return Compared(_mean(first), _mean(second))
        found = [self._examples(outcome) for outcome in outcomes]
        scores = [one for one in found if one is not None]
        if len(scores) < len(found):
            return None
        shared = [i for i in scores[0] if all(i in one for one in scores)]
        if not shared:
            return None
        means = [fmean(one[i] for i in shared) for one in scores]
        fewer = any(len(one) > len(shared) for one in scores)
        return Compared(fmean(means[: len(first)]), fmean(means[len(first) :]), fewer)

    def _examples(self, outcome: Outcome) -> Examples | None:
        if outcome.run.id not in self.known:
            self.known[outcome.run.id] = self.read(outcome.run)
        return self.known[outcome.run.id]


def _may_differ(outcomes: Sequence[Outcome]) -> bool:
    """Say whether runs may have scored different examples."""
    return any(outcome.failed for outcome in outcomes) or len(set(map(_drawn, outcomes))) > 1


def _drawn(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """Return what decides which examples a run has."""
    params = outcome.run.params
    return tuple((k, v) for k, v in sorted(params.items()) if k == SEED or k.startswith("task."))


def _mean(outcomes: Sequence[Outcome]) -> float:
    return fmean(outcome.score for outcome in outcomes)
