"""An update rule of the user's, in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sgdflow.errors import NodeFailed
from sgdflow.executor.functions import Function
from sgdflow.executor.graph import Graph
from sgdflow.llm import LLM
from sgdflow.update.rule import Proposal, Situation, StepCalls


@dataclass(frozen=True, slots=True)
class CallableUpdate:
    """(situation, llm) -> a mapping from parameters to new values, or a Proposal."""

    function: Function

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        """Return what the function returns, if it may; what it raises is the reason for none."""
        try:
            found = await self.function(situation, llm)
        except NodeFailed as error:
            return Proposal({}, dict.fromkeys(situation.optimised, str(error)))
        proposal = found if isinstance(found, Proposal) else self._proposal(found)
        current = situation.parameters
        skipped = dict(proposal.skipped) | {
            name: f"{self.function.name} proposed it, but it is not to be changed"
            for name in proposal.changes
            if name not in situation.optimised
        }
        changes = {
            name: value
            for name, value in proposal.changes.items()
            if name in situation.optimised and value != current[name]
        }
        return Proposal(changes, skipped, proposal.calls, proposal.tried)

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        """Yield why the function cannot be called."""
        yield from self.function.problems("situation", "llm")

    @property
    def goes_by_scores(self) -> bool:
        """Return True: the function is given the history."""
        return True

    def calls(self, parameters: int) -> StepCalls:
        """Return nothing: it is not known what the function does."""
        return StepCalls()

    def _proposal(self, found: object) -> Proposal:
        if isinstance(found, Mapping):
            return Proposal(dict(found))
        reason = f"{self.function.name} returned {found!r}, not a mapping of parameters"
        return Proposal({}, {"(all)": reason})
