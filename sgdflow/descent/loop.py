"""Semantic gradient descent: leg after leg, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from sgdflow.descent.budget import Meter
from sgdflow.descent.method import Leg, Method, Problem
from sgdflow.descent.steps import Observer, Result, Returned, Scores, Smallest
from sgdflow.descent.stretch import Course, Stretch, chosen_by
from sgdflow.errors import BudgetSpent, plural
from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Joined, Progress, Unwatched
from sgdflow.executor.walk import together
from sgdflow.llm import LLM


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

    async def run(self, start: Parameters) -> Result:
        """Descend from these parameters and return the best that were found."""
        course = Course(start, start)
        try:
            course.initial = await self._scores(start)
            self._observer.scored(course.initial)
            for leg in self._method.legs or (Leg("", self._method, self._problem.optimised, 1.0),):
                await self._stretch(leg, course.steps).go(course)
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

    def _stretch(self, leg: Leg, steps: int) -> Stretch:
        """Return what takes the steps of a leg, after so many steps."""
        return Stretch(
            replace(self._problem, optimised=leg.optimised),
            leg.method if not leg.name else leg.after(steps, self._method),
            self._llm,
            self._evaluate,
            self._meter,
            self._observer,
            self._progress,
            leg.name,
        )

    def _constant(self, scores: Scores) -> str:
        """Return what nearly all answers are in the end, in words."""
        found = (self._problem.constant(one) for one in scores.evaluations.values())
        return next(filter(None, found), "")

    def _returned(self, course: Course) -> Returned:
        """Say whose texts are returned, and why."""
        if course.confirmation is not None and not course.confirmation.confirmed:
            why = f"those of step {course.returned} were not confirmed"
            return Returned(0, why)
        if not course.accepted:
            return Returned(0, "no proposal was accepted")
        split = chosen_by(self._problem, self._method)
        if not split:
            return Returned(course.returned, "the last that the gate accepted")
        kind = "training" if split == "train" else split
        known = self._known_scores(course.best).evaluations[split].summary()
        score = f"{known.mean:.4g} on {plural(known.n, f'{kind} example')}, " if known else ""
        if not course.returned:
            return Returned(0, f"{score}no accepted proposal did as well")
        return Returned(course.returned, f"{score}the best of those that were accepted")

    def _selected_on(self) -> tuple[str, ...]:
        """Return the splits whose scores decide what is kept."""
        chosen = bool(self._problem.splits.validation) and self._method.confirm is None
        return ("train", "validation") if chosen else ("train",)

    def _smallest(self) -> Smallest | None:
        """Return the smallest gain that the first proposal could show."""
        method, problem = self._method, self._problem
        tests, examples = method.asked(len(problem.optimised)), method.compared(problem.splits)
        gain = method.gate.smallest(examples, tests)
        if gain is None:
            return None
        split: Literal["train", "validation"]
        split = "validation" if method.gate.examples == "validation" else "train"
        return Smallest(gain, examples, split, method.gate.level)

    async def _confirm(self, course: Course, start: Parameters) -> None:
        """Go back to the start where the best is not confirmed to be better."""
        confirm, validation = self._method.confirm, self._problem.splits.validation
        if course.best == start:
            return
        course.unconfirmed = self._method.unconfirmed
        if confirm is None:
            return
        course.unconfirmed = "the budget was used up before"
        # Each draws by itself: what it is answered depends on nobody who asks the same meanwhile.
        evaluate = self._evaluate.apart(2, Joined(self._progress))
        before, after = await together(evaluate(one, validation) for one in (start, course.best))
        course.confirmation = confirm.compare(before, after, course.best)
        course.unconfirmed = ""
        if not course.confirmation.confirmed:
            course.best = start

    async def _complete(self, course: Course, start: Parameters) -> None:
        """Score what the first scores left out, as no step goes by it."""
        if self._method.confirm is not None and course.initial is not None:
            with self._meter.reporting():
                validation = await self._evaluate(start, self._problem.splits.validation)
            course.initial = Scores({**course.initial.evaluations, "validation": validation})

    async def _scores(self, parameters: Parameters, *, ended: bool = False) -> Scores:
        """Score all splits; what no step goes by is not held against the budget.

        Splits that count alike are scored together, as none of them waits for another.
        """
        splits = self._problem.splits
        spared = self._method.lazy and not (ended and self._method.report_train)
        train = () if spared else splits.train
        reported = self._method.batch is not None or self._method.lazy
        # What is to confirm the winner is not needed before there is one.
        waits = self._method.confirm is not None and not ended
        validation = () if waits else splits.validation
        await self._evaluate(parameters, (*(() if reported else train), *validation))
        with self._meter.reporting():
            await self._evaluate(parameters, (*(train if reported else ()), *splits.test))
        known = self._evaluate.known(parameters, splits.train) if spared else None
        return Scores(
            {
                "train": known or await self._evaluate(parameters, train),
                "validation": await self._evaluate(parameters, validation),
                "test": await self._evaluate(parameters, splits.test),
            }
        )

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
