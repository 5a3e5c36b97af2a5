"""One step: sample, forward, loss, backward, propose, gate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from random import Random

from sgdflow.data import Example
from sgdflow.descent.budget import Meter
from sgdflow.descent.method import Method, Problem
from sgdflow.descent.scoring import repeated
from sgdflow.descent.steps import Gating, Tried
from sgdflow.descent.trial import Trial, put_to_the_first_gate, put_to_the_gate
from sgdflow.errors import NodeFailed
from sgdflow.executor.backward import backward_pass
from sgdflow.executor.evaluation import Evaluation, Evaluator, Outcome
from sgdflow.executor.forward import PromptForward
from sgdflow.executor.graph import Parameters
from sgdflow.executor.loss import unread
from sgdflow.executor.progress import Progress, counted
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.update import (
    Decision,
    Evidence,
    Learned,
    Past,
    Proposal,
    Situation,
    gather_evidence,
    shuffled,
)


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

    async def take(self, parameters: Parameters, history: tuple[Past, ...]) -> tuple[Tried, Past]:
        """Take one step up to the gate's decision."""
        method = self._method
        self._progress.step(len(history) + 1, method.stop.steps)
        random = Random(f"{self._problem.seed}/step/{len(history) + 1}")
        batch = self._batch(random)
        current = await self._evaluate(parameters, batch)
        sampled = set(method.sample.draw(current, random))
        names = method.select.before(self._problem.optimised, random)
        done = self._progress.expect("learning", len(sampled))
        learned = await together(
            counted(self._learn(example, current.outcomes[example.id], parameters, names), done)
            for example in batch
            if example.id in sampled
        )
        evidence = method.select.after(self._evidence(learned, names, random), random)
        situation = Situation(
            self._problem.graph,
            parameters,
            evidence,
            len(history) + 1,
            names,
            learned,
            history,
            lambda proposed: self._candidate(proposed, batch),
            random,
        )
        scored = self._meter.gate_calls
        self._progress.expect("rewriting", 0)
        proposal = await method.update.propose(situation, self._llm)
        trial = await self._decide(situation, proposal, current, batch)
        gating = self._gating(trial, proposal, self._meter.gate_calls - scored)
        proposed = {**parameters, **proposal.changes}
        tried = Tried(current, learned, evidence, parameters, proposed, proposal, trial, gating)
        return tried, Past(
            situation.step,
            parameters,
            evidence,
            proposal,
            trial.decision,
            _mean(trial.current),
            _mean(trial.candidate),
        )

    async def _decide(
        self,
        situation: Situation,
        proposal: Proposal,
        current: Evaluation,
        batch: Sequence[Example],
    ) -> Trial:
        """Ask the gate about a proposal, if there is one."""
        update = self._method.update
        gate = self._method.gate.after(_turned_down(situation.history), self._method.stop.steps)
        if not proposal.changes:
            return Trial(Decision(False, _why_nothing(self._method, situation, proposal)))
        proposed = {**situation.parameters, **proposal.changes}
        unscored = gate.rule == "always" and self._method.batch is not None
        splits = self._problem.splits
        examples = splits.validation if gate.examples == "validation" and not unscored else batch
        known = {example.id: example for example in (*batch, *examples)}

        async def score(ids: Collection[str]) -> Evaluation:
            with self._meter.gating():
                chosen = [known[i] for i in ids]
                return await repeated(self._evaluate, proposed, chosen, gate.repeats)

        compared = await repeated(self._evaluate, situation.parameters, examples, gate.repeats)
        if gate.first is not None:
            failures = {one.forward.example: one.score for one in situation.learned}
            failures = {i: score for i, score in failures.items() if score < 1}
            if turned_down := await put_to_the_first_gate(failures, compared, score):
                return turned_down
        if unscored:  # no later step scores this batch, and this one need not
            return Trial(Decision(True, "the gate is always open"))
        to_the_end = update.goes_by_scores and gate.rule != "paired"
        return await put_to_the_gate(gate, compared, score, to_the_end=to_the_end)

    async def _candidate(self, proposed: Parameters, examples: Sequence[Example]) -> Evaluation:
        with self._meter.gating():
            return await self._evaluate(proposed, examples)

    def _gating(self, trial: Trial, proposal: Proposal, calls: int) -> Gating:
        if trial.current is None or trial.seen is None:
            return Gating(calls)
        graph = self._problem.graph
        reached = graph.reach(proposal.changes)
        nodes = sum(isinstance(graph.nodes[name].forward, PromptForward) for name in reached)
        total, evaluated = len(trial.current.outcomes), len(trial.seen.outcomes)
        return Gating(calls, total, evaluated, trial.spared * nodes)

    def _batch(self, random: Random) -> tuple[Example, ...]:
        train, size = self._problem.splits.train, self._method.batch
        if size is None or size >= len(train):
            return train
        chosen = set(random.sample(range(len(train)), size))
        return tuple(example for i, example in enumerate(train) if i in chosen)

    async def _learn(
        self, example: Example, outcome: Outcome, parameters: Parameters, names: Collection[str]
    ) -> Learned:
        graph, how = self._problem.graph, self._method.differentiation
        assert outcome.score is not None  # only scored examples are sampled
        passed = outcome.passed
        unanswered = passed.failures.get(graph.output)
        learned = Learned(passed, outcome.score, unanswered=unanswered)
        output = passed.produced(passed.end(graph.output))
        reading = (
            unread(unanswered, graph.output)
            if unanswered
            else self._problem.score.reading(output, example.target)
        )
        try:
            feedback = await self._method.loss.feedback(
                example, output, outcome.score, self._llm, reading
            )
        except NodeFailed as error:
            return replace(learned, failure=f"loss: {error}", calls=error.calls)
        learned = replace(learned, feedback=feedback.value, calls=feedback.calls)
        if how is None:
            return learned
        backward = await backward_pass(
            graph, parameters, outcome.passed, feedback.value, names, how, self._llm
        )
        return replace(learned, backward=backward)

    def _evidence(
        self, learned: Sequence[Learned], names: Collection[str], random: Random
    ) -> Evidence:
        backward = {one.forward.example: one.backward for one in learned if one.backward}
        evidence = gather_evidence(
            self._problem.graph,
            [one.forward for one in learned],
            None if self._method.differentiation is None else backward,
            names,
            self._method.aggregate_examples,
        )
        return shuffled(evidence, random) if self._method.shuffle else evidence


def _turned_down(history: Sequence[Past]) -> int:
    return sum(bool(past.proposal.changes) and not past.decision.accepted for past in history)


def _mean(evaluation: Evaluation | None) -> float | None:
    summary = evaluation.summary() if evaluation else None
    return summary.mean if summary else None


def _why_nothing(method: Method, situation: Situation, proposal: Proposal) -> str:
    """Say why a step has no proposal to score."""
    learned = situation.learned
    if proposal.skipped:
        name, reason = next(iter(proposal.skipped.items()))
        return f"no usable proposal ({name}: {reason})"
    if not learned and method.sample.count:
        return "no example was sampled: none of the batch scored below 1"
    if not situation.evidence and method.differentiation is not None:
        failures = [one.failure for one in learned if one.failure]
        failures += [
            f"{failure.origin}: {failure.reason}"
            for one in learned
            if one.backward
            for failure in one.backward.failures.values()
        ]
        return "no gradient reached a parameter" + (f" ({failures[0]})" if failures else "")
    return "the proposal changes nothing"
