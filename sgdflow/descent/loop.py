"""Semantic gradient descent: step after step, until there is a reason to stop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from sgdflow.data import Example
from sgdflow.descent.budget import Meter
from sgdflow.descent.confirm import Confirmation
from sgdflow.descent.method import Method, Problem
from sgdflow.descent.rounds import Rounds, State
from sgdflow.descent.stepper import Stepper
from sgdflow.descent.steps import Gating, Observer, Result, Returned, Scores, Step
from sgdflow.errors import BudgetSpent, every, plural
from sgdflow.executor.evaluation import Evaluation, Summary
from sgdflow.executor.graph import Parameters
from sgdflow.executor.progress import Progress, Unwatched
from sgdflow.llm import LLM
from sgdflow.update import Gate

_AT_ONCE = 8
"""Examples that are scored at once to see whether all are good enough."""


@dataclass
class _Course:
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


class Descent:
    """Runs a method on a problem."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        llm: LLM,
        observer: Observer,
        progress: Progress | None = None,
    ) -> None:
        self._problem, self._method, self._llm = problem, method, llm
        self._progress = progress or Unwatched()
        self._evaluate = problem.evaluator(llm, self._progress)
        self._observer = observer
        self._meter = Meter(llm, problem.graph)
        steps = Stepper(problem, method, llm, self._evaluate, self._meter, self._progress)
        self._rounds = Rounds(problem, method, self._evaluate, steps)

    async def run(self, start: Parameters) -> Result:
        """Descend from these parameters and return the best that were found."""
        course = _Course(start, start)
        try:
            await self._descend(course)
            await self._confirm(course, start)
            await self._complete(course, start)
            if self._method.lazy and self._method.report_train:
                course.initial = await self._scores(start, ended=True)
            if course.best != start:
                course.final = await self._scores(course.best, ended=True)
            else:
                course.final = self._with_what_is_known(course.initial, start)
        except BudgetSpent as error:
            course.reason, course.final = str(error), self._known_scores(course.best)
            course.initial = course.initial or self._known_scores(start)
        assert course.initial is not None
        return Result(
            course.initial,
            course.final or course.initial,
            course.best,
            course.steps,
            course.accepted,
            course.reason,
            self._llm.spent(),
            course.gating,
            course.confirmation,
            course.unconfirmed,
            self._selected_on() if course.accepted else (),
            self._smallest(),
            self._returned(course),
            self._constant(course.final or course.initial),
        )

    def _constant(self, scores: Scores) -> str:
        """Return what nearly all answers are in the end, in words."""
        found = (self._problem.constant(one) for one in scores.evaluations.values())
        return next(filter(None, found), "")

    def _returned(self, course: _Course) -> Returned:
        """Say whose texts are returned, and why."""
        validation = self._problem.splits.validation
        if course.confirmation is not None and not course.confirmation.confirmed:
            why = f"those of step {course.returned} were not confirmed"
            return Returned(0, why)
        if not course.accepted:
            return Returned(0, "no proposal was accepted")
        if self._by_gate:
            return Returned(course.returned, "the last that the gate accepted")
        split = "validation" if validation else "train"
        kind = "validation" if validation else "training"
        known = self._known_scores(course.best).evaluations[split].summary()
        score = f"{known.mean:.4g} on {plural(known.n, f'{kind} example')}, " if known else ""
        if not course.returned:
            return Returned(0, f"{score}no accepted proposal did as well")
        return Returned(course.returned, f"{score}the best of those that were accepted")

    def _selected_on(self) -> tuple[str, ...]:
        """Return the splits whose scores decide what is kept."""
        chosen = bool(self._problem.splits.validation) and self._method.confirm is None
        return ("train", "validation") if chosen else ("train",)

    def _smallest(self) -> float | None:
        """Return the smallest gain that the first proposal could show."""
        method, splits = self._method, self._problem.splits
        return method.gate.smallest(method.compared(splits), method.stop.steps)

    async def _confirm(self, course: _Course, start: Parameters) -> None:
        """Go back to the start where the best is not confirmed to be better."""
        confirm, validation = self._method.confirm, self._problem.splits.validation
        if course.best == start:
            return
        course.unconfirmed = self._method.unconfirmed
        if confirm is None:
            return
        course.unconfirmed = "the budget was used up before"
        before = await self._evaluate(start, validation)
        after = await self._evaluate(course.best, validation)
        course.confirmation = confirm.compare(before, after, course.best)
        course.unconfirmed = ""
        if not course.confirmation.confirmed:
            course.best = start

    async def _complete(self, course: _Course, start: Parameters) -> None:
        """Score what the first scores left out, as no step goes by it."""
        if self._method.confirm is not None and course.initial is not None:
            with self._meter.reporting():
                validation = await self._evaluate(start, self._problem.splits.validation)
            course.initial = Scores({**course.initial.evaluations, "validation": validation})

    async def _descend(self, course: _Course) -> None:
        """Take steps until there is a reason to stop."""
        course.initial = await self._scores(course.best)
        self._observer.scored(course.initial)
        state, number, unaccepted = await self._rounds.start(course.best), 0, 0
        while not (reason := await self._reason_to_stop(state, number, unaccepted)):
            number += 1
            before, best, returned = self._llm.spent(), course.best, course.returned
            proposals, state = await self._rounds.take(number, state)
            validation = None
            unaccepted += not all(one.malformed for one in proposals)
            for one in sorted(proposals, key=lambda one: one.number or 0):
                if one.decision.accepted:
                    unaccepted = 0
                    if await self._at_least_as_good(one.proposed, best):
                        best, returned = one.proposed, number
            if proposals[0].decision.accepted and self._method.confirm is None:
                splits = self._problem.splits
                validation = await self._summary(proposals[0].proposed, splits.validation)
            kept = state.pool.candidates
            self._evaluate.keep(course.start, best, *(one.parameters for one in kept))
            step = Step(
                number,
                proposals[0],
                validation,
                best,
                (before, self._llm.spent()),
                proposals[1:],
                tuple(one.number for one in kept),
            )
            self._observer.stepped(step)
            course.best, course.steps, course.accepted = best, number, state.accepted
            course.returned = returned
            course.gating += step.gating
        course.reason = reason

    async def _reason_to_stop(self, state: State, number: int, unaccepted: int) -> str:
        stop = self._method.stop
        if reason := await self._good_enough(state.pool.foremost.parameters):
            return reason
        if number >= stop.steps:
            only = "the only one was" if stop.steps == 1 else f"all {stop.steps} were"
            return f"steps: {only} taken"
        if stop.patience is not None and unaccepted >= stop.patience:
            return f"patience: {plural(unaccepted, 'step')} in a row without an accepted proposal"
        if number and (used_up := self._meter.reached(stop.budget)):
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
        if summary.mean >= self._method.stop.score and not summary.failed:
            return f"score: {summary.mean:.4g} on {every(summary.n, 'training example')}"
        return ""

    async def _as_far_as_it_matters(self, current: Parameters) -> Evaluation | None:
        """Score the training examples; None as soon as their mean cannot be good enough.

        Where steps score only some of them, the others are scored once those are good enough.
        """
        train = self._problem.splits.train
        if self._method.batch is None and not self._method.lazy:
            return await self._evaluate(current, train)
        while True:
            known = self._evaluate.some(current, train)
            lost = sum(1 - score for score in known.scores.values()) + len(known.failures)
            left = [example for example in train if example.id not in known.outcomes]
            if not left:
                return known
            if not known.outcomes or lost > (1 - self._method.stop.score) * len(train) + 1e-9:
                return None
            await self._evaluate(current, left[:_AT_ONCE])

    async def _scores(self, parameters: Parameters, *, ended: bool = False) -> Scores:
        """Score all splits; what no step goes by is not held against the budget."""
        splits = self._problem.splits
        if self._method.lazy and not (ended and self._method.report_train):
            train = self._evaluate.known(parameters, splits.train) or Evaluation({})
        else:
            reported = self._method.batch is not None or self._method.lazy
            with self._meter.reporting() if reported else nullcontext():
                train = await self._evaluate(parameters, splits.train)
        # What is to confirm the winner is not needed before there is one.
        waits = self._method.confirm is not None and not ended
        validation = await self._evaluate(parameters, () if waits else splits.validation)
        with self._meter.reporting():
            test = await self._evaluate(parameters, splits.test)
        return Scores({"train": train, "validation": validation, "test": test})

    def _with_what_is_known(self, initial: Scores | None, start: Parameters) -> Scores | None:
        """Return the scores of the start with the training scores that steps have come to need."""
        train = self._evaluate.known(start, self._problem.splits.train)
        if initial is None or train is None:
            return initial
        return Scores({**initial.evaluations, "train": train})

    def _known_scores(self, parameters: Parameters) -> Scores:
        """Return the scores of the splits that were scored whole."""
        splits = self._problem.splits
        return Scores(
            {
                name: self._evaluate.known(parameters, getattr(splits, name)) or Evaluation({})
                for name in ("train", "validation", "test")
            }
        )

    async def _summary(self, parameters: Parameters, examples: Sequence[Example]) -> Summary | None:
        return (await self._evaluate(parameters, examples)).summary()

    async def _at_least_as_good(self, new: Parameters, best: Parameters) -> bool:
        """Compare accepted parameters with the best so far, on the same examples."""
        if self._by_gate:
            return True
        splits = self._problem.splits
        examples = splits.validation or splits.train
        before, after = await self._evaluate(best, examples), await self._evaluate(new, examples)
        return not before.scores or Gate("not_worse").decide(before, after).accepted

    @property
    def _by_gate(self) -> bool:
        """Whether the gate alone decides which parameters are the best."""
        method = self._method
        if method.confirm is not None:
            return True  # what confirms may not choose as well
        if self._problem.splits.validation:
            return False
        # Scores on different examples do not compare.
        return method.gate.rule == "paired" or method.batch is not None or method.lazy
