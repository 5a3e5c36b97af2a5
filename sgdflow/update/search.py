"""COPRO's way: no gradients; several texts a parameter, chosen by their scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.errors import OVERFLOW, NodeFailed
from sgdflow.executor.graph import Graph
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.places import View
from sgdflow.executor.tree import Joined, Summary, Tree
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Answered, Ask, Call
from sgdflow.prompting.dressing import unfenced_like
from sgdflow.prompting.replies import check_length
from sgdflow.update.constraints import check_new, told
from sgdflow.update.prompt_views import SAMPLE_MEMBER, Attempt, members, not_texts
from sgdflow.update.rule import Proposal, Scored, Situation, StepCalls
from sgdflow.update.standing import Frame, about, frames
from sgdflow.update.too_long import whole_or_summed_up


@dataclass(frozen=True, slots=True)
class Search:
    """Coordinate ascent by evaluation: each step works on one parameter, in declared order.

    In the first round over the parameters `breadth` texts are written from the current one,
    in later rounds from the texts tried so far and their scores. Each is scored on the
    step's batch; the best one is proposed.
    """

    ask: Ask
    max_characters: int | None = None
    breadth: int = 4
    depth: int = 3
    """Rounds over all parameters."""
    memory: int | None = None
    """How many of the best texts so far are shown; None: all."""
    overflow: Tree | None = None
    """What sums up texts that do not fit the writer's context window; None: nothing does."""

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        """Return the best text for the parameter whose turn it is."""
        if not situation.optimised or situation.step > self.steps(len(situation.optimised)):
            return Proposal({})
        name = situation.optimised[(situation.step - 1) % len(situation.optimised)]
        stood = await situation.evaluate(situation.parameters)
        written, summary, before = await self._write(name, situation, stood, llm)
        answered = [answer for answer in written if isinstance(answer, Answered)]
        current = situation.parameters[name]
        texts = dict.fromkeys(unfenced_like(answer.texts[""], current) for answer in answered)
        texts.pop(current.strip(), None)
        tried = []
        for text in texts:
            scored = await situation.evaluate({**situation.parameters, name: text})
            tried.append(Scored({name: text}, _comparable(stood, scored)))
        scored_texts = [one for one in tried if one.score is not None]
        best = max(scored_texts, key=lambda one: one.score or 0.0, default=None)
        reasons = [str(one) for one in written if isinstance(one, NodeFailed)]
        skipped = {name: reasons[0]} if reasons and not answered else {}
        changes = {} if best is None else best.changes
        calls = {name: (*before, *(a.call for a in answered))}
        summaries = {} if summary is None else dict.fromkeys(changes, summary)
        return Proposal(changes, skipped, calls, tuple(tried), summaries=summaries)

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        """Yield what is wrong with the template, or with parameters that are no texts."""
        own = {"frames": [Frame("node", "...")], "about": "...", "constraints": ["..."]}
        tried = [Attempt("...", 0.5)]
        for attempts, summary in (([], None), (tried, None), ([], Summary("...", 2))):
            sample = self._variables("parameter", "...", [SAMPLE_MEMBER], attempts, own, summary)
            yield from self.ask.problems({**sample, "variant": 1}, "the update rule")
        if self.overflow is not None:
            shown = {"parameter": sample["parameter"], "attempts": tried}
            yield from self.overflow.problems(shown, "the summary of attempts")
        yield from not_texts(graph, optimised)

    @property
    def goes_by_scores(self) -> bool:
        """Return True: later rounds go by all scores."""
        return True

    def calls(self, parameters: int) -> StepCalls:
        """Return what one step needs at most."""
        return StepCalls(optimizer=self.breadth, evaluations=self.breadth)

    def steps(self, parameters: int) -> int:
        """Return how many steps there are in all."""
        return self.depth * parameters

    async def _write(
        self, name: str, situation: Situation, stood: Evaluation, llm: LLM
    ) -> tuple[Sequence[Answered | NodeFailed], Summary | None, tuple[Call, ...]]:
        """Return what was written, and a summary with its calls where attempts are too long."""
        first = situation.step <= len(situation.optimised)
        attempts = [] if first else self._attempts(name, situation, stood)
        own = {
            "frames": frames(situation, name),
            "about": about(situation, name),
            "constraints": told(situation.graph.parameters[name].constraints),
        }
        nodes, text = members(situation, name), situation.parameters[name]

        async def ask(
            shown: Sequence[Attempt], summary: Summary | None
        ) -> Sequence[Answered | NodeFailed]:
            variables = self._variables(name, text, nodes, shown, own, summary)
            found = await together(
                self._one(name, {**variables, "variant": variant}, situation, llm)
                for variant in range(1, self.breadth + 1)
            )
            failed = [one for one in found if isinstance(one, NodeFailed)]
            if len(failed) == len(found) and failed[0].kind == OVERFLOW:
                calls = tuple(call for one in failed for call in one.calls)
                raise NodeFailed(str(failed[0]), calls, OVERFLOW)
            return found

        async def sum_up(shown: Sequence[Attempt]) -> Joined:
            assert self.overflow is not None
            parameter = {"name": name, "text": text}
            return await self.overflow.join(
                shown,
                lambda group: {"parameter": parameter, "attempts": group},
                name,
                llm,
                situation.sample,
            )

        try:
            return await whole_or_summed_up(
                ask, attempts, None if self.overflow is None else sum_up
            )
        except NodeFailed as error:
            return [error], None, error.calls

    async def _one(
        self, name: str, variables: Mapping[str, Any], situation: Situation, llm: LLM
    ) -> Answered | NodeFailed:
        def accept(texts: Mapping[str, str]) -> None:
            check_length(texts[""], self.max_characters)
            check_new(name, texts[""], situation)

        try:
            return await self.ask.send(llm, name, variables, accept=accept)
        except NodeFailed as error:
            return error

    def _attempts(self, name: str, situation: Situation, stood: Evaluation) -> Sequence[Attempt]:
        """Return the texts tried so far and the current one, the best last."""
        found: dict[str, float | None] = {
            candidate.changes[name]: candidate.score
            for past in situation.history
            for candidate in past.proposal.tried
            if name in candidate.changes and candidate.score is not None
        }
        found[situation.parameters[name]] = _comparable(stood, stood)
        attempts = [Attempt(text, score) for text, score in found.items()]
        ranked = sorted(attempts, key=lambda attempt: attempt.score or 0.0)
        return ranked if self.memory is None else ranked[max(0, len(ranked) - self.memory) :]

    def _variables(
        self,
        name: str,
        text: str,
        nodes: Sequence[View],
        attempts: Sequence[Attempt],
        own: Mapping[str, Any],
        summary: Summary | None = None,
    ) -> Mapping[str, Any]:
        return {
            **own,
            "summary": summary,
            "standing": None,
            "others": [],
            "parameter": {"name": name, "text": text},
            "members": nodes,
            "attempts": attempts,
            "breadth": self.breadth,
            "max_characters": self.max_characters,
        }


def _comparable(stood: Evaluation, candidate: Evaluation) -> float | None:
    """Return the candidate's mean over what was scored before; None where some of it failed."""
    common = list(stood.scores)
    if not common or any(i in candidate.failures for i in common):
        return None
    return math.fsum(candidate.scores[i] for i in common) / len(common)
