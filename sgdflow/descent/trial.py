"""A proposal on trial: scored for the gate, and no further than the decision needs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from sgdflow.errors import plural
from sgdflow.executor.outcomes import Evaluation
from sgdflow.update import Decision, Gate
from sgdflow.update.decision import Moved
from sgdflow.update.rule import Went

Score = Callable[[Collection[str]], Awaitable[Evaluation]]
"""Scores the proposal on the examples with these ids."""

_WORST = 2
"""Examples that are shown of those that a rejected proposal made worse."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a proposal at the gate."""

    decision: Decision
    current: Evaluation | None = None
    """Of the gate's examples with the parameters as they stood; None where none were scored."""
    seen: Evaluation | None = None
    """Of those that were scored with the proposal."""
    asked: str = ""
    """What the gate was asked, in short."""

    @property
    def candidate(self) -> Evaluation | None:
        """Return the proposal's evaluation; None where it is not that of all examples."""
        return None if self.spared else self.seen

    @property
    def gain(self) -> float:
        """Return what the proposal gained on an example, of those that were scored with it.

        A gate that may stop early has scored the fewer the clearer the gain was.
        """
        if self.current is None or self.seen is None:
            return 0.0
        before, after = self.current.scores, self.seen.scores
        gains = [after.get(i, 0.0) - before[i] for i in self.seen.outcomes if i in before]
        return math.fsum(gains) / len(gains) if gains else 0.0

    @property
    def went(self) -> tuple[Went, ...]:
        """Return how some examples went with a rejected proposal.

        First the two that lost most, of those that it left wrong and did not improve; then the one
        that gained most. Empty where nothing was rejected.
        """
        if self.decision.accepted or self.current is None or self.seen is None:
            return ()
        before, after = self.current.scores, self.seen.scores
        gains = {i: after[i] - before[i] for i in self.seen.outcomes if i in before and i in after}
        wrong = sorted((i for i in gains if after[i] < 1 and gains[i] <= 0), key=gains.__getitem__)
        best = max(gains, key=gains.__getitem__, default="")
        shown = [*wrong[:_WORST], *([best] if gains.get(best, 0.0) > 0 else [])]
        return tuple(Went(self.seen.outcomes[i].passed, gains[i] > 0) for i in shown)

    @property
    def spared(self) -> int:
        """Return how many examples were not scored, the decision being certain."""
        if self.current is None or self.seen is None:
            return 0
        return len(self.current.outcomes) - len(self.seen.outcomes)


async def put_to_the_gate(
    gate: Gate, current: Evaluation, score: Score, *, to_the_end: bool = False
) -> Trial:
    """Score wave by wave until all is scored or nothing more can make the proposal pass.

    The decision is that of the full evaluation. Waves, and not cancelled calls, so that what
    is called does not depend on who answers first.
    """
    scored: list[str] = []
    seen = await score(scored)
    for wave in () if to_the_end else gate.waves(current):
        if certain := gate.certain(current, seen):
            return Trial(certain, current, seen)
        scored += wave
        seen = await score(scored)
    seen = await score(current.outcomes)
    return Trial(gate.decide(current, seen), current, seen)


async def put_to_the_first_gate(
    failures: Mapping[str, float], current: Evaluation, score: Score, guard: Collection[str] = ()
) -> Trial | None:
    """Turn a proposal down that repairs none of these failures, or breaks as much as it repairs.

    None: it may go on. A failure, given with its score, is repaired where it scores higher than
    before; `guard` are examples that scored 1.
    """
    after = (await score([*failures, *guard])).scores
    gains = {i: after.get(i, 0.0) - before for i, before in failures.items()}
    broken = sum(1 - after.get(i, 0.0) for i in guard)
    repaired = sum(gains.values()) if guard else sum(gain > 0 for gain in gains.values())
    if not failures or repaired > broken:
        return None
    looked_at = {*failures, *guard}
    moved = Moved.between(current.scores, after, looked_at)
    words = f"repairs none of the {plural(len(failures), 'sampled failure')} ({moved})"
    if guard and repaired > 0:
        words = f"breaks as much as it repairs: {repaired:.4g} gained, {broken:.4g} lost ({moved})"
    return Trial(
        Decision(False, words, moved=moved),
        current,
        await score([i for i in current.outcomes if i in looked_at]),
    )
