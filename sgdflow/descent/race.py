"""Several proposals of a step: made at once, and scored at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from sgdflow.descent.budget import Meter
from sgdflow.descent.drafting import Draft
from sgdflow.descent.method import Method
from sgdflow.descent.pool import Candidate, Pool
from sgdflow.descent.stepper import Stepper, alone, once_more
from sgdflow.descent.steps import Gating, Tried
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.lanes import Shared
from sgdflow.executor.progress import Joined, Progress
from sgdflow.executor.walk import together
from sgdflow.update import Past

Judged = tuple[Tried, Past]

_SAME = "another proposal of the step says the same of the same candidate"


@dataclass(frozen=True, slots=True)
class Raced:
    """What became of the proposals of a step, in the order of their starts."""

    judged: Sequence[tuple[Candidate, Tried, Past]]
    evaluate: Shared


@dataclass(frozen=True, slots=True)
class Race:
    """Has the proposals of a step made and scored at once.

    Each sees what was known as the step began, so that nothing depends on who is answered first.
    """

    method: Method
    steps: Stepper
    evaluate: Evaluator
    meter: Meter
    progress: Progress

    async def run(
        self, number: int, starts: Sequence[Candidate], pool: Pool, history: tuple[Past, ...]
    ) -> Raced:
        """Make a proposal for each start, or one for each cause; all learn before any is tried.

        Then it is known how many there are, which share what is left of the gate's level.
        """
        self.progress.step(number, self.method.stop.steps)
        joined = Joined(self.progress)
        shared = Shared(self.evaluate, len(starts), joined)
        lanes = [self.steps.lane(shared, variant, joined) for variant in range(len(starts))]
        begun = Counter[int]()
        learning = []
        for variant, (lane, start) in enumerate(zip(lanes, starts, strict=True)):
            asked = number, start.parameters, history, pool.besides(start)
            learning.append(lane.learn(*asked, variant, begun[start.number]))
            begun[start.number] += 1
        taught = await together(learning)
        before = self.meter.gate_calls
        by_scores = self.method.update.goes_by_scores
        with self.meter.gating() if by_scores else nullcontext():
            drafts = await together(
                lane.drafts(one) for lane, one in zip(lanes, taught, strict=True)
            )
        down = sum(past.turned_down for past in history)
        written = [(at, draft) for at, drafted in enumerate(drafts) for draft in drafted]
        entries = [*_each_once(written, starts)]
        # What changes nothing is not tried, and takes no place.
        changes = (bool(draft.proposal.changes) for _, draft in entries)
        *places, among = accumulate(changes, initial=0)
        with self.meter.gating():  # of all together: one call may serve several
            judged = await together(
                lanes[at].judged(draft, taught[at], down + place, among, scored=before)
                for place, (at, draft) in zip(places, entries, strict=True)
            )
        calls = self.meter.gate_calls - before
        apart = [*_apart(judged, entries)]
        made = [*_counted(apart, places, among, calls)]
        kept = made if self.method.pool.keep > 1 else alone(made)
        found = zip(entries, kept, strict=True)
        return Raced([(starts[at], *one) for (at, _), one in found], shared)


def _each_once(
    written: Sequence[tuple[int, Draft]], starts: Sequence[Candidate]
) -> Iterator[tuple[int, Draft]]:
    """Yield the drafts; what an earlier one proposes from the same candidate is left out.

    Where a writer does not answer at random, the same evidence brings the same text.
    """
    made = list[tuple[int, Mapping[str, Any]]]()
    for at, draft in written:
        proposed = starts[at].number, draft.proposal.changes
        same = bool(draft.proposal.changes) and proposed in made
        made.append(proposed)
        yield at, draft.left_out(_SAME) if same else draft


def _apart(judged: Sequence[Judged], entries: Sequence[tuple[int, Draft]]) -> Iterator[Judged]:
    """Yield what became of each proposal; what several have learned together counts once.

    What was left out was no try of its evidence.
    """
    before: int | None = None
    for (tried, past), (at, draft) in zip(judged, entries, strict=True):
        past = replace(past, evidence={}) if draft.why else past
        yield once_more(tried, past) if at == before else (tried, past)
        before = before if draft.why else at


def _counted(
    judged: Sequence[Judged], places: Sequence[int], among: int, calls: int
) -> Iterator[Judged]:
    """Yield what became of each proposal, with what it took of the calls and of the level.

    The calls stand with the first. Of so many proposals each has used every so-manieth place in
    the count by which the level is spent: the last place that was used has to be counted, too.
    """
    reached, left = 0, calls
    for place, (tried, past) in zip(places, judged, strict=True):
        gating = replace(tried.gating, calls=0) + Gating(left)
        last = place + 1 + (past.turned_down - 1) * among if past.turned_down else 0
        more = max(0, last - reached)
        reached, left = reached + more, 0
        yield replace(tried, gating=gating), replace(past, turned_down=more)
