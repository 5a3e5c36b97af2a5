"""The update gate: whether a proposal replaces the current parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sgdflow.errors import plural
from sgdflow.executor.means import unanswered_words
from sgdflow.executor.outcomes import Evaluation
from sgdflow.update.decision import Decision, Moved
from sgdflow.update.paired import Paired, fixed_order
from sgdflow.update.statistics import gains_needed, level_left

_GROWTH = 16
"""A wave has at least this part of what was scored before it."""
_LOOKS = 6
"""The paired rule looks at least so often, if it may look early at all."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Compares two evaluations of the same examples.

    strict: better by more than the tolerance. not_worse: worse by at most the tolerance.
    always: no comparison. paired: shown to be better, at a stated level.
    """

    rule: Literal["strict", "not_worse", "always", "paired"] = "strict"
    tolerance: float = 0.0
    examples: Literal["batch", "validation", "sampled"] = "batch"
    """Which examples are scored for it; sampled: those learned from, and the guard."""
    wave: int | None = 64
    """Examples scored before it is asked whether the rest can matter; None: all of them."""
    first: Literal["sampled"] | None = None
    """sampled: a proposal has to repair more of what it was written from than it breaks of the
    guard; without a guard, to repair one of the failures."""
    guard: int = 0
    """How many examples that are known to be right stand beside the sampled ones."""
    level: float = 0.05
    """paired: how likely a run may be to accept anything that is not better."""
    repeats: int = 1
    """Scorings of an example on either side; what counts is their mean."""

    def after(self, turned_down: int, tests: int) -> Gate:
        """Return the gate of the next of so many proposals, after some that were turned down."""
        if self.rule != "paired":
            return self
        return replace(self, level=level_left(self.level, turned_down, tests))

    def smallest(self, examples: int, tests: int) -> float | None:
        """Return the smallest gain that the first proposal can show; None where none shows any."""
        if self.rule != "paired" or not examples:
            return None
        return gains_needed(self.after(0, tests).level) / examples

    def decide(self, current: Evaluation, candidate: Evaluation) -> Decision:
        """Return the decision over the examples that the current parameters could be scored on."""
        if current.outcomes.keys() != candidate.outcomes.keys():
            raise ValueError("the gate compares evaluations of the same examples only")
        common = list(current.scores)
        if self.rule == "always":
            return _open(current, candidate)
        if not common:
            return Decision(False, "no example could be scored with the current parameters")
        if self.rule == "paired":
            decision = self._paired(current).verdict(current, candidate)
            assert decision is not None
            return decision
        lost = [i for i in common if i in candidate.failures]
        if lost:
            reason = candidate.failures[lost[0]]
            fail = "fails" if len(common) == 1 else "fail"
            of_all = f"{len(lost)} of {plural(len(common), 'example')}"
            return Decision(False, f"{of_all} {fail} with the proposal ({reason})")
        before = math.fsum(current.scores[i] for i in common) / len(common)
        after = math.fsum(candidate.scores[i] for i in common) / len(common)
        verdict = "better" if after > before else "equal" if after == before else "worse"
        return _compared(self._passes(after - before), verdict, current, candidate, common)

    def certain(self, current: Evaluation, candidate: Evaluation) -> Decision | None:
        """Return a decision that needs no more of the candidate's outcomes; None: none yet.

        Where the rule compares means it is a rejection, and what `decide` would come to: scores
        are at most 1, and sum, division and comparison are monotone, rounding included.
        """
        common = current.scores
        if self.rule == "always":
            return None
        if not common:
            return Decision(False, "no example could be scored with the current parameters")
        if self.rule == "paired":
            return self._paired(current).verdict(current, candidate)
        after = f"after {len(candidate.outcomes)} of {plural(len(current.outcomes), 'example')}"
        for i, reason in candidate.failures.items():
            if i in common:
                words = f"cannot pass: an example fails with the proposal ({reason}), {after}"
                return Decision(False, words)
        scores = candidate.scores
        before = math.fsum(common.values()) / len(common)
        most = math.fsum(scores.get(i, 1.0) for i in common) / len(common)
        if self._passes(most - before):
            return None
        moved = Moved.between(common, scores, scores)
        words = f"cannot pass: {before:.4g} -> at most {most:.4g}, {after} ({moved})"
        return Decision(False, words + _unanswered(candidate), most, moved=moved)

    def waves(self, current: Evaluation) -> Iterator[Sequence[str]]:
        """Yield ids in the order in which they are scored, the lowest current score first.

        Examples without one say nothing about a proposal; they come last. Where nothing can be
        turned down, all come at once. Waves grow with what is scored. The paired rule takes them
        in an order of their own: those on which the current parameters score low can only gain.
        """
        scores = current.scores
        if self.rule == "paired":
            order = fixed_order([*current.outcomes])
        else:
            order = sorted(current.outcomes, key=lambda i: scores.get(i, math.inf))
        size = None if self.rule == "always" else self.wave
        size = size or max(1, len(order))
        if self.rule == "paired" and self.wave is not None:
            size = min(size, math.ceil(len(order) / _LOOKS) or 1)
        start = 0
        while start < len(order):
            # Each wave looks at all scores: equal ones would make that quadratic.
            end = start + max(size, start // _GROWTH)
            yield order[start:end]
            start = end

    def _paired(self, current: Evaluation) -> Paired:
        return Paired(self.level, [*self.waves(current)])

    def _passes(self, gain: float) -> bool:
        # Means of the same scores may differ in the last bit; a tolerance of 0.1 must
        # treat a gain of 0.1 alike however it was computed.
        rounding = 1e-12
        if self.rule == "strict":
            return gain > self.tolerance + rounding
        return gain >= -self.tolerance - rounding


def _open(current: Evaluation, candidate: Evaluation) -> Decision:
    """Say what was compared, although it decides nothing."""
    always = "the gate is always open"
    common = [i for i in current.scores if i in candidate.scores]
    return _compared(True, always, current, candidate, common) if common else Decision(True, always)


def _compared(
    accepted: bool, verdict: str, before: Evaluation, after: Evaluation, common: Sequence[str]
) -> Decision:
    old, new = (math.fsum(e.scores[i] for i in common) / len(common) for e in (before, after))
    moved = Moved.between(before.scores, after.scores, common)
    words = f"{verdict}: {old:.4g} -> {new:.4g} on {plural(len(common), 'example')} ({moved})"
    return Decision(accepted, words + _unanswered(after), moved=moved)


def _unanswered(candidate: Evaluation) -> str:
    """Say what the proposal's models could not answer, which counts as wrong."""
    kinds = candidate.unanswered_kinds
    return f"; with it {unanswered_words(kinds)}" if kinds else ""
