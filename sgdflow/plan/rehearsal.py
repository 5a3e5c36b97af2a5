"""A rehearsal: a run with made-up replies, which is counted and never sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sgdflow.descent import Descent, Scores, Step
from sgdflow.descent.method import Method, Problem
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.llm import LLM, Spent
from sgdflow.plan.pretending import differentiation, pretended
from sgdflow.plan.scores import PretendedScore
from sgdflow.plan.standin import NoWaiting, StandIn
from sgdflow.update import Decision, Gate, Proposal, Situation, StepCalls
from sgdflow.update import evidence as items

Taken = Mapping[str, Spent]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is taken for granted about proposals."""

    accepted: float
    """Share of the proposals that the gate takes."""
    changed: float = 1.0
    """Share of the parameters that a proposal changes, at least one."""
    at_once: bool = False
    """Others are turned down as early as can be, instead of after a full evaluation."""


@dataclass(frozen=True, slots=True)
class Moment:
    """All that a rehearsal had taken at some moment."""

    taken: Taken
    seconds: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was counted: before the first step, after each step, and at the end."""

    moments: tuple[Moment, ...]
    stop_reason: str
    troubles: tuple[str, ...]
    """Why some prompts could not be rendered with made-up values."""


def rehearse(
    problem: Problem,
    method: Method,
    start: Parameters,
    llm: Callable[[], StandIn],
    scenario: Scenario,
    steps: int,
) -> Rehearsal:
    """Go through a run of at most so many steps; the budget, too, ends it.

    The graph is a pretended one: what it renders in one rehearsal, it does not in the next.
    """
    judges = tuple(map(pretended, problem.score.judges()))
    shown = replace(
        problem,
        score=PretendedScore(bool(scenario.accepted), judges),
        first=None,
    )
    rehearsed = _rehearsed(method, scenario)
    rehearsed = replace(rehearsed, stop=replace(rehearsed.stop, steps=steps))
    with asyncio.Runner(loop_factory=NoWaiting) as runner:
        return runner.run(_run(shown, rehearsed, start, llm()))


def _rehearsed(method: Method, scenario: Scenario) -> Method:
    """Return a method whose models take any reply, and whose gate decides as it is told."""
    # Patience is a matter of the scenario; a score that is good enough, of luck.
    stop = replace(method.stop, patience=None, score=2.0)
    declared = method.gate
    wave, first = (declared.wave, declared.first) if scenario.at_once else (None, None)
    same = {one.name: getattr(declared, one.name) for one in fields(declared)}
    gate = _Decided(**{**same, "wave": wave, "first": first}, scenario=scenario)
    legs = (replace(leg, method=_rehearsed(leg.method, scenario)) for leg in method.legs)
    return replace(
        method,
        loss=pretended(method.loss),
        differentiation=differentiation(method),
        aggregate_examples=items.collect,
        verification=pretended(method.verification),
        tree=pretended(method.tree),
        apart=pretended(method.apart),
        choice=None,  # nothing is right here, to choose among
        update=_Thinned(pretended(method.update), scenario.changed),
        gate=gate,
        stop=stop,
        legs=tuple(legs),
    )


async def _run(problem: Problem, method: Method, start: Parameters, llm: StandIn) -> Rehearsal:
    watch = _Watch(llm)
    result = await Descent(problem, method, llm, watch).run(start)
    watch.note()
    return Rehearsal(tuple(watch.moments), result.stop_reason, tuple(watch.troubles))


@dataclass(frozen=True, slots=True)
class _Watch:
    llm: StandIn
    moments: list[Moment] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def note(self) -> None:
        self.moments.append(Moment(self.llm.spent(), asyncio.get_running_loop().time()))

    def scored(self, initial: Scores) -> None:
        self.note()
        for evaluation in initial.evaluations.values():
            self._trouble(evaluation)

    def stepped(self, step: Step) -> None:
        self.note()
        tried = step.tried
        self._trouble(tried.current)
        self.troubles.extend(one.failure for one in tried.learned if one.failure)
        for one in tried.learned:
            failures = one.backward.failures.values() if one.backward else ()
            self.troubles.extend(failure.reason for failure in failures)
        self.troubles.extend(tried.proposal.skipped.values())

    def _trouble(self, evaluation: Evaluation) -> None:
        outcomes = evaluation.outcomes.values()
        self.troubles.extend(one.failure for one in outcomes if one.failure is not None)


@dataclass(frozen=True, slots=True)
class _Thinned:
    """An update rule of whose changes a share is kept, each parameter in its turn."""

    rule: Any
    share: float

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        proposal: Proposal = await self.rule.propose(situation, llm)
        names = list(proposal.changes)
        each = self.share * len(names)
        begin, end = int((situation.step - 1) * each), int(situation.step * each)
        kept = {names[i % len(names)] for i in range(begin, max(end, begin + 1)) if names}
        return replace(proposal, changes={n: v for n, v in proposal.changes.items() if n in kept})

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        return iter(())

    def calls(self, parameters: int) -> StepCalls:
        return self.rule.calls(parameters)  # type: ignore[no-any-return]

    @property
    def goes_by_scores(self) -> bool:
        return self.rule.goes_by_scores  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _Decided(Gate):
    """Takes its share of the proposals, spread evenly."""

    scenario: Scenario = field(default_factory=lambda: Scenario(1.0))
    asked: list[None] = field(default_factory=list)

    def decide(self, current: Evaluation, candidate: Evaluation) -> Decision:
        self.asked.append(None)
        number, share = len(self.asked), self.scenario.accepted
        return Decision(int(number * share + 0.5) > int((number - 1) * share + 0.5), "")

    def certain(self, current: Evaluation, candidate: Evaluation) -> Decision | None:
        sure = self.scenario.at_once and (candidate.outcomes or not current.outcomes)
        return Decision(False, "") if sure else None
