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
from sgdflow.update.condense import condensed, grouped
from sgdflow.update.constraints import kept
from sgdflow.update.demonstrations import bootstrapped, texts


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal that nobody has judged."""

    proposal: Proposal
    evidence: Evidence
    """That it was written from."""
    why: str = ""
    """Why it is not tried, where something was written."""

    def left_out(self, why: str) -> Draft:
        """Return it without its changes."""
        return replace(self, proposal=replace(self.proposal, changes={}), why=why)


@dataclass(frozen=True, slots=True)
class Drafting:
    """Lets the update rule write, once for each alternative of a step."""

    problem: Problem
    method: Method
    llm: LLM

    async def drafts(self, situation: Situation) -> Sequence[Draft]:
        """Return what the rule writes, and what is chosen beside it; one draft at least."""
        chosen = await self._chosen(situation)
        if not situation.optimised:
            return [self._whole(Proposal({}), situation, chosen)]
        own = {n: items for n, items in situation.evidence.items() if n in situation.optimised}
        summed = await condensed(replace(situation, evidence=own), self.method.tree, self.llm)
        asked = replace(situation, evidence=summed.evidence)
        if self.method.apart is None or not summed.evidence:
            proposal = await self._proposed(asked)
            return [self._whole(summed.beside(proposal), situation, chosen)]
        told = await self.method.apart.alternatives(asked, self.llm)
        # Each has a chance of its own, whoever is answered first.
        randoms = [Random(situation.random.random()) for _ in told.each]
        written = await together(
            self._written(one, replace(asked, random=random))
            for one, random in zip(told.each, randoms, strict=True)
        )
        drafts = [
            replace(self._whole(proposal, situation, chosen), evidence=one.evidence)
            for one, proposal in zip(told.each, written, strict=True)
        ] or [self._whole(Proposal({}), situation, chosen)]
        first = summed.beside(told.beside(drafts[0].proposal))
        # What was asked for all of them counts once.
        others = (replace(one, proposal=_without(one.proposal, chosen)) for one in drafts[1:])
        return [replace(drafts[0], proposal=first), *others]

    async def _chosen(self, situation: Situation) -> Proposal:
        """Return another choice of demonstrations."""
        graph, optimised = self.problem.graph, self.problem.optimised
        written = texts(graph, optimised)
        names = [name for name in optimised if name not in written]
        if self.method.choice is None:
            return Proposal(bootstrapped(situation, names))
        return await self.method.choice.choose(situation, names, self.llm)

    async def _written(self, one: Alternative, situation: Situation) -> Proposal:
        """Return what the rule writes from one alternative."""
        own = replace(situation, evidence=one.evidence, causes=one.causes)
        return replace(await self._proposed(own), causes=one.causes)

    async def _proposed(self, situation: Situation) -> Proposal:
        """Return what the rule writes, of summaries where all of it is too long a prompt."""
        update, llm = self.method.update, self.llm
        proposal = await update.propose(situation, llm)
        return await grouped(proposal, situation, update, self.method.overflow, llm)

    def _whole(self, proposal: Proposal, situation: Situation, chosen: Proposal) -> Draft:
        """Return what was written, as far as it may be, with what was chosen."""
        own = kept(proposal, situation)
        whole = replace(own, changes={**own.changes, **chosen.changes})
        return Draft(whole.after(chosen.skipped, chosen.calls), situation.evidence)


def _without(proposal: Proposal, chosen: Proposal) -> Proposal:
    calls = {name: made for name, made in proposal.calls.items() if name not in chosen.calls}
    return replace(proposal, calls=calls)
