"""Whether a proposal is taken: as a whole, or such parts of it as pass the gate."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from typing import Any

from sgdflow.data import Example
from sgdflow.descent.budget import Meter
from sgdflow.descent.learning import Lesson
from sgdflow.descent.method import Method, Problem
from sgdflow.descent.scoring import repeated
from sgdflow.descent.steps import Tested
from sgdflow.descent.trial import Trial, put_to_the_first_gate, put_to_the_gate
from sgdflow.executor.evaluation import Evaluator, known_by
from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.update import Decision, Gate, Past, Proposal


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a proposal."""

    proposal: Proposal
    """What the last trial was about: the whole, or the part that was taken."""
    trial: Trial
    tested: tuple[Tested, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """Puts proposals to the gate."""

    problem: Problem
    method: Method
    evaluate: Evaluator
    meter: Meter

    async def judge(
        self,
        parameters: Parameters,
        proposal: Proposal,
        lesson: Lesson,
        turned_down: int,
        before: Mapping[str, int],
        among: int = 1,
    ) -> Judgement:
        """Try the forms of a proposal that the method declares, until one is taken.

        `turned_down` says how often the run has turned something down; of so many proposals that
        are tried at once, `among`, each counts on by that many, so that no two get the same.
        `before` says in which step something was turned down, by what the gate was asked.
        """
        how = self.method.proposals
        case = _Case(parameters, lesson, before, among)
        several = len(proposal.changes) > 1
        if how.form == "joint" or not several:
            trial = await self._trial(case, proposal.changes, turned_down)
            if trial.decision.accepted or not (how.fallback and several):
                return Judgement(proposal, trial, ())
            whole = Tested(tuple(proposal.changes), trial)
            parts = await self._parts(case, proposal, turned_down + case.takes(trial))
            return parts.after(whole, proposal, trial)
        parts = await self._parts(case, proposal, turned_down)
        return parts.after(None, proposal, None)

    async def whole(
        self,
        parameters: Parameters,
        proposal: Proposal,
        lesson: Lesson,
        turned_down: int,
        before: Mapping[str, int],
    ) -> Judgement:
        """Try a proposal that was not written from examples, as it is, on the whole batch."""
        case = _Case(parameters, lesson, before)
        gate = replace(self.method.gate, first=None)
        if gate.examples == "sampled":
            gate = replace(gate, examples="batch")
        asked = replace(self, method=replace(self.method, gate=gate))
        trial = await asked._trial(case, proposal.changes, turned_down)
        return Judgement(proposal, trial, ())

    async def _parts(self, case: _Case, proposal: Proposal, turned_down: int) -> _Parts:
        """Try each part of the new texts by itself, and then all that pass together."""
        tested: list[Tested] = []
        passed: dict[tuple[str, ...], Trial] = {}
        for names in map(tuple, self.method.proposals.parts(tuple(proposal.changes))):
            part = {name: proposal.changes[name] for name in names}
            trial = await self._trial(case, part, turned_down)
            tested.append(Tested(names, trial))
            turned_down += case.takes(trial)
            if trial.decision.accepted:
                passed[names] = trial
        best = max(passed, key=lambda names: passed[names].gain, default=None)
        if best is None:
            return _Parts(tuple(tested), None, None)
        chosen, trial = {name: proposal.changes[name] for name in best}, passed[best]
        if len(passed) > 1:
            together = {name: proposal.changes[name] for names in passed for name in names}
            joint = await self._trial(case, together, turned_down)
            tested.append(Tested(tuple(together), joint))
            if joint.decision.accepted and joint.gain >= trial.gain:
                chosen, trial = together, joint
        return _Parts(tuple(tested), replace(proposal, changes=chosen), trial)

    async def _trial(self, case: _Case, changes: Mapping[str, Any], turned_down: int) -> Trial:
        """Ask the gate about some changes; say where answers have become constant.

        What it was asked before, in vain, it turns down again from what it knows, without a call.
        """
        proposed, examples = {**case.parameters, **changes}, self._examples(case)
        known = self.evaluate.some(proposed, examples).outcomes.keys()
        trial = await self._asked(case, proposed, examples, turned_down)
        if trial.seen is None:
            return trial
        seen, words = trial.seen.outcomes, [trial.decision.reason]
        lost = any(outcome.lost for outcome in seen.values())  # it may be answered later
        asked = "" if lost else case.asked(self.method.gate, proposed, examples)
        if found := self.problem.constant(trial.seen):
            words.append(found)
        step = case.before.get(asked)
        if trial.decision.accepted or not seen.keys() <= known:
            step = None
        words += [f"turned down before in step {step}"] if step else []
        said = replace(trial.decision, reason="; ".join(words), constant=found, before=step)
        return replace(trial, decision=said, asked=asked)

    async def _asked(
        self, case: _Case, proposed: Parameters, examples: Sequence[Example], turned_down: int
    ) -> Trial:
        method = self.method
        gate = method.gate.after(turned_down, method.asked(len(self.problem.optimised)))
        known = {example.id: example for example in (*case.lesson.batch, *examples)}

        async def score(ids: Collection[str]) -> Evaluation:
            with self.meter.gating():
                chosen = [known[i] for i in ids]
                return await repeated(self.evaluate, proposed, chosen, gate.repeats)

        compared = await repeated(self.evaluate, case.parameters, examples, gate.repeats)
        if gate.first is not None:
            guard = case.guard(gate.guard)
            if turned := await put_to_the_first_gate(case.failures, compared, score, guard):
                return turned
        if self._unscored:  # no later step scores this batch, and this one need not
            return Trial(Decision(True, "the gate is always open"))
        to_the_end = method.update.goes_by_scores and gate.rule != "paired"
        return await put_to_the_gate(gate, compared, score, to_the_end=to_the_end)

    @property
    def _unscored(self) -> bool:
        """Return whether a proposal is taken as it is."""
        return self.method.gate.rule == "always" and self.method.batch is not None

    def _examples(self, case: _Case) -> Sequence[Example]:
        """Return the examples that the gate decides by."""
        gate = self.method.gate
        if self._unscored:
            return case.lesson.batch
        if gate.examples == "validation":
            return self.problem.splits.validation
        if gate.examples == "sampled":
            chosen = {
                *(one.forward.example for one in case.lesson.learned),
                *case.guard(gate.guard),
            }
            return [example for example in case.lesson.batch if example.id in chosen]
        return case.lesson.batch


@dataclass(frozen=True, slots=True)
class _Case:
    """What all trials of a step have in common."""

    parameters: Parameters
    lesson: Lesson
    before: Mapping[str, int]
    among: int = 1

    def takes(self, trial: Trial) -> int:
        """Return how many places in the level a trial takes: what was tried before takes none."""
        decision = trial.decision
        return 0 if decision.accepted or decision.before else self.among

    def asked(self, gate: Gate, proposed: Parameters, examples: Sequence[Example]) -> str:
        """Return what the gate is asked, in short: all that its decision follows from."""
        ids = [one.id for one in examples]
        first = (self.failures, self.guard(gate.guard)) if gate.first else ()
        what = gate, first, ids
        texts = known_by(self.parameters), known_by(proposed)
        return sha256(repr((*texts, what)).encode()).hexdigest()

    @property
    def failures(self) -> Mapping[str, float]:
        """Return the sampled examples that are not right, with their scores."""
        learned = self.lesson.learned
        return {one.forward.example: one.score for one in learned if one.score < 1}

    def guard(self, count: int) -> Sequence[str]:
        """Return so many examples of the batch that are known to be right; the same each time."""
        right = [i for i, score in self.lesson.current.scores.items() if score >= 1]
        sampled = {one.forward.example for one in self.lesson.learned}
        right = [i for i in right if i not in sampled]
        random = Random(repr(sorted(sampled)))
        return random.sample(right, min(count, len(right)))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The trials of parts, and the one that is taken."""

    tested: tuple[Tested, ...]
    proposal: Proposal | None
    trial: Trial | None

    def after(self, whole: Tested | None, proposal: Proposal, trial: Trial | None) -> Judgement:
        """Return the judgement where the whole, if it was tried, was turned down."""
        tested = (*([whole] if whole else []), *self.tested)
        if self.proposal is not None and self.trial is not None:
            return Judgement(self.proposal, self.trial, tested)
        if trial is None:
            return Judgement(proposal, Trial(_none_passes(self.tested)), tested)
        words = f"{trial.decision.reason}; {_none_passes(self.tested).reason}"
        return Judgement(
            proposal, replace(trial, decision=replace(trial.decision, reason=words)), tested
        )


def _none_passes(tested: Sequence[Tested]) -> Decision:
    texts = sum(len(one.changes) for one in tested)
    parts = f"{len(tested)} groups of its" if texts > len(tested) else "its"
    return Decision(False, f"none of {parts} {texts} texts passes by itself")


def rejections(judgement: Judgement) -> Iterator[Decision]:
    """Yield each decision of a judgement that turned something down which was not before."""
    decisions = [one.decision for one in judgement.tested]
    if judgement.trial.decision not in decisions:
        decisions.append(judgement.trial.decision)
    yield from (one for one in decisions if not one.accepted and not one.before)


def refused(history: Sequence[Past]) -> Mapping[str, int]:
    """Return the first step that turned something down, by what the gate was asked."""
    return {asked: past.step for past in reversed(history) for asked in past.refused if asked}
