"""One step: sample, forward, loss, backward, propose, gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from sgdflow.data import Example
from sgdflow.descent.budget import Meter
from sgdflow.descent.drafting import Draft, Drafting
from sgdflow.descent.judge import Judge, Judgement, refused, rejections
from sgdflow.descent.learning import Lesson, Teacher
from sgdflow.descent.method import Method, Problem
from sgdflow.descent.steps import Gating, Tested, Tried
from sgdflow.descent.trial import Trial
from sgdflow.errors import listed
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.executor.lanes import Lane, Shared
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress
from sgdflow.llm import LLM
from sgdflow.llm.apart import Apart
from sgdflow.update import Decision, Past, Proposal, Situation
from sgdflow.update.demonstrations import texts
from sgdflow.update.rule import Rival


@dataclass(frozen=True, slots=True)
class Taught:
    """What a proposal can be written from."""

    situation: Situation
    lesson: Lesson


class Stepper:
    """Takes the steps of a method on a problem."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        llm: LLM,
        evaluate: Evaluator,
        meter: Meter,
        progress: Progress,
    ) -> None:
        self._problem, self._method, self._llm = problem, method, llm
        self._evaluate, self._meter, self._progress = evaluate, meter, progress
        self._teacher = Teacher(problem, method, llm, evaluate, progress)
        self._judge = Judge(problem, method, evaluate, meter)
        self._drafting = Drafting(problem, method, llm)

    def lane(self, shared: Shared, variant: int, progress: Progress) -> Stepper:
        """Return what makes one of several proposals that are made at the same time."""
        problem, llm = self._problem, Apart(self._llm, f"proposal {variant}", variant)
        evaluate = Lane(shared, problem.graph, problem.score, llm)
        return Stepper(problem, self._method, llm, evaluate, self._meter, progress)

    async def take(
        self,
        number: int,
        parameters: Parameters,
        history: tuple[Past, ...],
        others: Sequence[Parameters] = (),
    ) -> Sequence[tuple[Tried, Past]]:
        """Make a proposal, or one for each cause that is told apart, up to the gate's decision."""
        self._progress.step(number, self._method.stop.steps)
        taught = await self.learn(number, parameters, history, others)
        scored, down = self._meter.gate_calls, sum(past.turned_down for past in history)
        made: list[tuple[Tried, Past]] = []
        for draft in await self.drafts(taught):
            tried, past = await self.judged(draft, taught, down, scored=scored)
            made.append(once_more(tried, past) if made else (tried, past))
            down, scored = down + past.turned_down, self._meter.gate_calls
        return made if self._method.pool.keep > 1 else alone(made)

    async def learn(
        self,
        number: int,
        parameters: Parameters,
        history: tuple[Past, ...],
        others: Sequence[Parameters],
        variant: int = 0,
        ahead: int = 0,
    ) -> Taught:
        """Learn from examples; `ahead` proposals for the same parameters have the first choice."""
        method = self._method
        random = _random(self._problem.seed, number, variant)
        names = method.select.before(texts(self._problem.graph, self._problem.optimised), random)
        lesson = await self._teacher.lesson(
            parameters, (*names, *method.chosen(self._problem)), history, random, ahead
        )
        situation = Situation(
            self._problem.graph,
            parameters,
            lesson.evidence,
            number,
            names,
            lesson.learned,
            history,
            lambda proposed: self._candidate(proposed, lesson.batch),
            random,
            lesson.current,
            {example.id: example.target for example in lesson.batch},
            self._problem.splits.train,
            self._problem.score,
            variant,
            rivals=tuple(Rival(one, self._evaluate.some(one, lesson.batch)) for one in others),
        )
        return Taught(situation, lesson)

    async def drafts(self, taught: Taught) -> Sequence[Draft]:
        """Write a proposal, or one for each cause."""
        self._progress.expect("rewriting", 0)
        return await self._drafting.drafts(taught.situation)

    async def judged(
        self, draft: Draft, taught: Taught, down: int, among: int = 1, *, scored: int
    ) -> tuple[Tried, Past]:
        """Put a draft to the gate; `scored` is what scores had taken before it was written."""
        situation, lesson, proposal = taught.situation, taught.lesson, draft.proposal
        if draft.evidence != lesson.evidence:
            lesson = lesson.only(draft.evidence)
        nothing = _nothing(self._method, situation, proposal, lesson)
        nothing = Trial(Decision(False, draft.why)) if draft.why else nothing
        judgement = Judgement(proposal, nothing, ())
        if proposal.changes:
            asked = situation.parameters, proposal, lesson, down, refused(situation.history)
            judgement = await self._judge.judge(*asked, among)
        tried = self._tried(
            situation.parameters, lesson, judgement, self._meter.gate_calls - scored
        )
        tried = replace(tried, learned=situation.learned, evidence=situation.evidence)
        silent = not situation.evidence and self._teacher.silent(
            situation.learned, situation.optimised
        )
        return tried, replace(_past(situation, proposal, judgement), silent=silent)

    async def merge(
        self,
        number: int,
        parameters: Parameters,
        changes: Mapping[str, Any],
        history: tuple[Past, ...],
    ) -> tuple[Tried, Past]:
        """Propose what another candidate changed; nothing is learned for it."""
        random = Random(f"{self._problem.seed}/merge/{number}")
        batch, current = await self._teacher.scored(parameters, random)
        lesson, scored = Lesson(batch, current, (), {}), self._meter.gate_calls
        proposal, down = Proposal(changes), sum(past.turned_down for past in history)
        judgement = await self._judge.whole(parameters, proposal, lesson, down, refused(history))
        tried = self._tried(parameters, lesson, judgement, self._meter.gate_calls - scored)
        situation = Situation(self._problem.graph, parameters, {}, number, (), (), history)
        return tried, _past(situation, proposal, judgement)

    def _tried(
        self, parameters: Parameters, lesson: Lesson, judgement: Judgement, calls: int
    ) -> Tried:
        proposal, trial = judgement.proposal, judgement.trial
        return Tried(
            lesson.current,
            lesson.learned,
            lesson.evidence,
            parameters,
            {**parameters, **proposal.changes},
            proposal,
            trial,
            self._gating(judgement, calls),
            judgement.tested,
        )

    async def _candidate(self, proposed: Parameters, examples: Sequence[Example]) -> Evaluation:
        with self._meter.gating():
            return await self._evaluate(proposed, examples)

    def _gating(self, judgement: Judgement, calls: int) -> Gating:
        """Add up what all trials took; what they were made of is counted once."""
        last = Tested(tuple(judgement.proposal.changes), judgement.trial)
        trials = (self._spared(one) for one in judgement.tested or (last,))
        return sum(trials, Gating(calls))

    def _spared(self, tested: Tested) -> Gating:
        trial = tested.trial
        if trial.current is None or trial.seen is None:
            return Gating()
        graph = self._problem.graph
        reached = graph.reach(tested.changes)
        nodes = sum(graph.nodes[name].forward.requests for name in reached)
        total, evaluated = len(trial.current.outcomes), len(trial.seen.outcomes)
        return Gating(0, total, evaluated, trial.spared * nodes)


def _random(seed: int, number: int, variant: int) -> Random:
    """Return what a step draws with; each of its proposals draws on its own."""
    return Random(f"{seed}/step/{number}/{variant}" if variant else f"{seed}/step/{number}")


def once_more(tried: Tried, past: Past) -> tuple[Tried, Past]:
    """Return what became of a further proposal from the same lesson, which counts once."""
    return replace(tried, repeats=True), replace(past, evidence={}, sampled=())


def alone(made: Sequence[tuple[Tried, Past]]) -> Sequence[tuple[Tried, Past]]:
    """Let the best of those that pass stand alone, where only one of them can be kept."""
    passed = [tried for tried, _ in made if tried.decision.accepted]
    best = max(passed, key=lambda one: one.gain, default=None)

    def decided(tried: Tried, past: Past) -> tuple[Tried, Past]:
        if tried is best or not tried.decision.accepted:
            return tried, past
        better = "another proposal of the step gains as much or more an example"
        words = f"{tried.decision.reason}; {better}"
        decision = replace(tried.decision, accepted=False, reason=words)
        trial = replace(tried.trial, decision=decision)
        return replace(tried, trial=trial), replace(past, decision=decision)

    return [decided(*one) for one in made]


def _past(situation: Situation, proposal: Proposal, judgement: Judgement) -> Past:
    taken = judgement.trial.decision.accepted
    trials = [judgement.trial, *(one.trial for one in judgement.tested)]
    return replace(
        _put(situation, judgement.proposal if taken else proposal, judgement.trial),
        sampled=tuple(one.forward.example for one in situation.learned),
        turned_down=len(list(rejections(judgement))) if proposal.changes else 0,
        refused=tuple(trial.asked for trial in trials if not trial.decision.accepted),
        dropped=tuple(_dropped(situation, proposal, judgement)) if taken else (),
    )


def _put(situation: Situation, proposal: Proposal, trial: Trial) -> Past:
    """Return what became of a proposal at the gate, for those who write the next one."""
    return Past(
        situation.step,
        situation.parameters,
        situation.evidence,
        proposal,
        trial.decision,
        _mean(trial.current),
        _mean(trial.candidate),
        most=trial.decision.most,
        went=trial.went,
    )


def _dropped(situation: Situation, proposal: Proposal, judgement: Judgement) -> Iterator[Past]:
    """Yield the texts of a proposal that were left out of what was accepted, as tried alone."""
    alone = {one.changes: one.trial for one in judgement.tested}
    for name, text in proposal.changes.items():
        trial = alone.get((name,))
        if trial is None or name in judgement.proposal.changes:
            continue
        if trial.decision.accepted:
            reason = f"{trial.decision.reason}; with the step's other texts it gained less"
            trial = replace(trial, decision=replace(trial.decision, accepted=False, reason=reason))
        yield _put(situation, Proposal({name: text}), trial)


def _mean(evaluation: Evaluation | None) -> float | None:
    summary = evaluation.summary() if evaluation else None
    return summary.mean if summary else None


def _nothing(method: Method, situation: Situation, proposal: Proposal, lesson: Lesson) -> Trial:
    if lesson.known and not situation.evidence:
        names = listed(lesson.known)
        why = f"nothing new: {names} had this evidence in an earlier step, and was not asked again"
        return Trial(Decision(False, why))
    return Trial(Decision(False, _why_nothing(method, situation, proposal)))


def _why_nothing(method: Method, situation: Situation, proposal: Proposal) -> str:
    """Say why a step has no proposal to score."""
    learned = situation.learned
    if proposal.skipped:
        name, reason = next(iter(proposal.skipped.items()))
        return f"no usable proposal ({name}: {reason})"
    if not learned and method.sample.count:
        if failures := [*situation.standing.failures.values()]:
            return f"no example was sampled: {len(failures)} could not be scored ({failures[0]})"
        return "no example was sampled: none of the batch scored below 1"
    if not situation.evidence and method.differentiation is not None:
        failures = [one.failure for one in learned if one.failure]
        failures += [
            f"{failure.origin}: {failure.reason}"
            for one in learned
            if one.backward
            for failure in one.backward.failures.values()
        ]
        if not failures and any(one.backward and one.backward.gradients for one in learned):
            return "no gradient asks for a change"
        return "no gradient reached a parameter" + (f" ({failures[0]})" if failures else "")
    return "the proposal changes nothing"
