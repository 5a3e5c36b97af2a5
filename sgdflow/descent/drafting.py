"""What a step proposes: one proposal, or one for each cause that is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from sgdflow.descent.method import Method, Problem
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.update import Evidence, Proposal, Situation
from sgdflow.update.apart import Alternative
from sgdflow.update.condense import condensed
from sgdflow.update.constraints import kept
from sgdflow.update.demonstrations import texts, with_demonstrations


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal that nobody has judged."""

    proposal: Proposal
    evidence: Evidence
    """That it was written from."""


@dataclass(frozen=True, slots=True)
class Drafting:
    """Lets the update rule write, once for each alternative of a step."""

    problem: Problem
    method: Method
    llm: LLM

    async def drafts(self, situation: Situation) -> Sequence[Draft]:
        """Return what the rule writes, and what is chosen beside it; one draft at least."""
        if not situation.optimised:
            return [self._whole(Proposal({}), situation)]
        summed = await condensed(situation, self.method.tree, self.llm)
        asked = replace(situation, evidence=summed.evidence)
        if self.method.apart is None or not summed.evidence:
            proposal = await self.method.update.propose(asked, self.llm)
            return [self._whole(summed.beside(proposal), situation)]
        told = await self.method.apart.alternatives(asked, self.llm)
        # Each has a chance of its own, whoever is answered first.
        randoms = [Random(situation.random.random()) for _ in told.each]
        written = await together(
            self._written(one, replace(asked, random=random))
            for one, random in zip(told.each, randoms, strict=True)
        )
        drafts = [
            replace(self._whole(proposal, situation), evidence=one.evidence)
            for one, proposal in zip(told.each, written, strict=True)
        ] or [self._whole(Proposal({}), situation)]
        first = summed.beside(told.beside(drafts[0].proposal))
        return [replace(drafts[0], proposal=first), *drafts[1:]]

    async def _written(self, one: Alternative, situation: Situation) -> Proposal:
        """Return what the rule writes from one alternative."""
        own = replace(situation, evidence=one.evidence, causes=one.causes)
        proposal = await self.method.update.propose(own, self.llm)
        return replace(proposal, causes=one.causes)

    def _whole(self, proposal: Proposal, situation: Situation) -> Draft:
        graph, optimised = self.problem.graph, self.problem.optimised
        written = texts(graph, optimised)
        others = [name for name in optimised if name not in written]
        proposal = with_demonstrations(kept(proposal, situation), situation, others)
        return Draft(proposal, situation.evidence)
