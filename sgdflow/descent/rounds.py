"""A step over the pool: which candidates it starts from, and what becomes of its proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from sgdflow.descent.method import Method, Problem
from sgdflow.descent.pool import Candidate, Pool
from sgdflow.descent.race import Race
from sgdflow.descent.stepper import Stepper
from sgdflow.descent.steps import Pooled, Tried
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.executor.lanes import Shared
from sgdflow.executor.walk import together
from sgdflow.update import Past


@dataclass(frozen=True, slots=True)
class State:
    """Where a descent stands between two steps."""

    pool: Pool
    history: tuple[Past, ...] = ()
    accepted: int = 0
    merges: frozenset[tuple[int, int]] = frozenset()
    """Pairs of candidates whose merge was tried."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """Takes steps over a pool."""

    problem: Problem
    method: Method
    evaluate: Evaluator
    steps: Stepper
    race: Race

    async def start(
        self,
        parameters: Parameters,
        number: int = 0,
        accepted: int = 0,
        history: tuple[Past, ...] = (),
    ) -> State:
        """Return the state before the first step; `number` is that of the candidate."""
        scores = await self._scores(parameters, self.evaluate)
        first = Candidate(number, parameters, scores)
        return State(Pool.of(self.method.pool, first), history, accepted)

    async def take(self, number: int, state: State) -> tuple[tuple[Tried, ...], State]:
        """Make the proposals of a step, all of them at once; return them, the best one first."""
        pool, graph = state.pool, self.problem.graph
        if self.method.pool.merge and (pairs := pool.merges(state.merges, graph)):
            tried, state = await self._merge(number, state, *pairs[0])
            return (tried,), state
        how, made = self.method.proposals, list[Tried]()
        random = Random(f"{self.problem.seed}/pool/{number}")
        parents = state.pool.choose(how.parents, random)
        starts = [one for one in parents for _ in range(how.each)]
        if len(starts) == 1:
            others = state.pool.besides(starts[0])
            drafted = await self.steps.take(number, starts[0].parameters, state.history, others)
            judged: Sequence[tuple[Candidate, Tried, Past]]
            judged = [(starts[0], *one) for one in drafted]
        else:
            raced = await self.race.run(number, starts, state.pool, state.history)
            judged = raced.judged
            # Those who have passed are scored at once, too, and known when they are let in.
            passed = (tried for _, tried, _ in judged if tried.decision.accepted)
            await together(self._scores(one.proposed, raced.evaluate) for one in passed)
        for parent, tried, past in judged:
            part = "part" if tried.decision.accepted and tried.tested else "joint"
            tried = replace(tried, parents=(parent.number,), why=part)
            tried, state = await self._decided(tried, past, state)
            made.append(tried)
        made.sort(key=lambda one: (not one.decision.accepted, -one.gain))
        return tuple(made), state

    async def _merge(
        self, number: int, state: State, one: Candidate, other: Candidate
    ) -> tuple[Tried, State]:
        changes = state.pool.merged(one, other)
        tried, past = await self.steps.merge(number, one.parameters, changes, state.history)
        pair = (min(one.number, other.number), max(one.number, other.number))
        state = replace(state, merges=state.merges | {pair})
        tried = replace(tried, parents=(one.number, other.number), why="merge")
        return await self._decided(tried, past, state)

    async def _decided(self, tried: Tried, past: Past, state: State) -> tuple[Tried, State]:
        """Let an accepted proposal into the pool."""
        state = replace(state, history=(*state.history, past))
        if not tried.decision.accepted:
            return tried, state
        number = state.accepted + 1
        scores = await self._scores(tried.proposed, self.evaluate)
        candidate = Candidate(
            number,
            tried.proposed,
            scores,
            tried.parents,
            past.step,
            tuple(tried.proposal.changes),
            tried.why,
        )
        state = replace(state, pool=state.pool.add(candidate), accepted=number)
        pooled = Pooled(self._split, candidate.mean, len(scores)) if scores else None
        return replace(tried, number=number, pooled=pooled), state

    async def _scores(
        self, parameters: Parameters, evaluate: Evaluator | Shared
    ) -> Mapping[str, float]:
        """Return the scores that the pool chooses by, if it does."""
        if not self.method.pool.scored:
            return {}
        found = await evaluate(parameters, getattr(self.problem.splits, self._split))
        return dict(found.scores)

    @property
    def _split(self) -> Literal["train", "validation"]:
        """Return the split that the pool goes by: what confirms may not choose as well."""
        confirms = self.method.confirm is not None
        return "train" if confirms or not self.problem.splits.validation else "validation"
