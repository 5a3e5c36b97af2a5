"""A stretch of a descent: steps of one method, until there is a reason to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sgdflow.data import Example
from sgdflow.descent.budget import Meter
from sgdflow.descent.confirm import Confirmation
from sgdflow.descent.exhausted import unteachable
from sgdflow.descent.method import Method, Problem
from sgdflow.descent.race import Race
from sgdflow.descent.rounds import Rounds, State
from sgdflow.descent.stepper import Stepper
from sgdflow.descent.steps import Gating, Observer, Scores, Step
from sgdflow.errors import every, plural
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.executor.means import Summary
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress
from sgdflow.llm import LLM
from sgdflow.update import Gate, Past

_AT_ONCE = 8
"""Examples that are scored at once to see whether all are good enough."""


@dataclass
class Course:
    """How far a descent has come; a step that was not decided is no part of it."""

    start: Parameters
    best: Parameters
    initial: Scores | None = None
    final: Scores | None = None
    steps: int = 0
    accepted: int = 0
    reason: str = ""
    gating: Gating = field(default_factory=Gating)
    confirmation: Confirmation | None = None
    returned: int = 0
    """The step whose texts are the best; 0: those that it began with."""
    unconfirmed: str = ""
    candidate: int = 0
    """The number of the best one."""
    history: tuple[Past, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Takes steps with one method, from where the descent has come to."""

    problem: Problem
    method: Method
    llm: LLM
    evaluate: Evaluator
    meter: Meter
    observer: Observer
    progress: Progress
    name: str = ""
    """Empty where a descent has one leg."""

    async def go(self, course: Course) -> None:
        """Take steps until there is a reason to stop."""
        stepper = Stepper(
            self.problem, self.method, self.llm, self.evaluate, self.meter, self.progress
        )
        race = Race(self.method, stepper, self.evaluate, self.meter, self.progress)
        rounds = Rounds(self.problem, self.method, self.evaluate, stepper, race)
        state = await rounds.start(course.best, course.candidate, course.accepted, course.history)
        number, unaccepted, begun = course.steps, 0, len(course.history)
        repeated = tuple[Past, ...]()
        while not (reason := await self._reason_to_stop(state, number, unaccepted, repeated)):
            number += 1
            before, best, returned = self.llm.spent(), course.best, course.returned
            candidate = course.candidate
            proposals, state = await rounds.take(number, state)
            # Where no model was called, what this leg has come to would come to the same again.
            repeated = state.history[begun:] if self.llm.spent() == before else ()
            validation = None
            unaccepted += not all(one.malformed for one in proposals)
            for one in sorted(proposals, key=lambda one: one.number or 0):
                if one.decision.accepted:
                    unaccepted = 0
                    if await self._at_least_as_good(one.proposed, best):
                        best, returned, candidate = one.proposed, number, one.number or 0
            if proposals[0].decision.accepted and self.method.confirm is None:
                splits = self.problem.splits
                validation = await self._summary(proposals[0].proposed, splits.validation)
            kept = state.pool.candidates
            self.evaluate.keep(course.start, best, *(one.parameters for one in kept))
            step = Step(
                number,
                proposals[0],
                validation,
                best,
                (before, self.llm.spent()),
                proposals[1:],
                tuple(one.number for one in kept),
                self.name,
            )
            self.observer.stepped(step)
            course.best, course.steps, course.accepted = best, number, state.accepted
            course.returned, course.candidate, course.history = returned, candidate, state.history
            course.gating += step.gating
        course.reason = reason

    async def _reason_to_stop(
        self, state: State, number: int, unaccepted: int, repeated: Sequence[Past]
    ) -> str:
        stop, current = self.method.stop, state.pool.newest.parameters
        if reason := await self._good_enough(state.pool.foremost.parameters):
            return reason
        if number >= stop.steps:
            only = "the only one was" if stop.steps == 1 else f"all {stop.steps} were"
            return f"steps: {only} taken"
        if stop.patience is not None and unaccepted >= stop.patience:
            return f"patience: {plural(unaccepted, 'step')} in a row without an accepted proposal"
        asked = self.problem, self.method, self.evaluate
        if repeated and (failures := unteachable(*asked, current, repeated)):
            told = "the only failure" if failures == 1 else f"none of the {failures} failures"
            return f"gradients: {told} {'asks for no' if failures == 1 else 'asks for a'} change"
        if number and (used_up := self.meter.reached(stop.budget)):
            return used_up
        return ""

    async def _good_enough(self, current: Parameters) -> str:
        train = await self._as_far_as_it_matters(current)
        if train is None:
            return ""
        summary = train.summary()
        if summary is None:
            why = next(iter(train.failures.values()))
            return f"failures: no training example could be scored ({why})"
        if summary.mean >= self.method.stop.score and not summary.failed:
            return f"score: {summary.mean:.4g} on {every(summary.n, 'training example')}"
        return ""

    async def _as_far_as_it_matters(self, current: Parameters) -> Evaluation | None:
        """Score the training examples; None as soon as their mean cannot be good enough.

        Where steps score only some of them, the others are scored once those are good enough.
        """
        train = self.problem.splits.train
        if self.method.batch is None and not self.method.lazy:
            return await self.evaluate(current, train)
        while True:
            known = self.evaluate.some(current, train)
            lost = sum(1 - score for score in known.scores.values()) + len(known.failures)
            left = [example for example in train if example.id not in known.outcomes]
            if not left:
                return known
            if not known.outcomes or lost > (1 - self.method.stop.score) * len(train) + 1e-9:
                return None
            await self.evaluate(current, left[:_AT_ONCE])

    async def _summary(self, parameters: Parameters, examples: Sequence[Example]) -> Summary | None:
        return (await self.evaluate(parameters, examples)).summary()

    async def _at_least_as_good(self, new: Parameters, best: Parameters) -> bool:
        """Compare accepted parameters with the best so far, on the same examples."""
        split = chosen_by(self.problem, self.method)
        if not split:
            return True
        examples = getattr(self.problem.splits, split)
        before, after = await self.evaluate(best, examples), await self.evaluate(new, examples)
        return not before.scores or Gate("not_worse").decide(before, after).accepted


def chosen_by(problem: Problem, method: Method) -> Literal["", "train", "validation"]:
    """Return the split whose scores say which parameters are the best; empty: the gate alone."""
    if method.confirm is None and problem.splits.validation:
        return "validation"  # what confirms may not choose as well
    if method.pool.scored:
        return "train"  # the last one accepted may come from one of the lesser candidates
    # Scores on different examples do not compare.
    partly = method.gate.rule == "paired" or method.batch is not None or method.lazy
    return "" if method.confirm is not None or partly else "train"
