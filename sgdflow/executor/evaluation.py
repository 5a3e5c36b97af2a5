"""Scores of a graph with given parameters on given examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from sgdflow.data import Example
from sgdflow.errors import NodeFailed
from sgdflow.executor.forward import ForwardPass, forward_pass
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.loss import Score
from sgdflow.executor.progress import Advance, Progress, Unwatched
from sgdflow.executor.walk import together
from sgdflow.llm import LLM

_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example, run and scored."""

    passed: ForwardPass
    score: float | None
    failure: str | None
    """Why there is no score; a failure is never a score of 0."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Outcomes by example id, in the order of the examples."""

    outcomes: Mapping[str, Outcome]

    @property
    def scores(self) -> Mapping[str, float]:
        """Return the scores there are."""
        return {i: o.score for i, o in self.outcomes.items() if o.score is not None}

    @property
    def failures(self) -> Mapping[str, str]:
        """Return why the others have none."""
        return {i: o.failure for i, o in self.outcomes.items() if o.failure is not None}

    def summary(self) -> Summary | None:
        """Return the mean score with its interval; None where nothing was scored."""
        return summarise(list(self.scores.values()), len(self.failures))


@dataclass(frozen=True, slots=True)
class Summary:
    """A mean score with its 95 % interval."""

    mean: float
    n: int
    low: float
    high: float
    failed: int = 0
    """Examples without a score; not part of n."""


def summarise(scores: Sequence[float], failed: int = 0) -> Summary | None:
    """Return mean and Wilson interval.

    For scores between 0 and 1 that are not just 0 or 1 the interval is wider than it need
    be: no such distribution has a larger variance than the binomial one.
    """
    n = len(scores)
    if n == 0:
        return None
    mean = math.fsum(scores) / n
    z2 = _Z95**2
    middle = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    # At the ends the interval reaches the mean exactly; rounding must not say otherwise.
    return Summary(mean, n, min(low, mean), max(high, mean), failed)


class Evaluator:
    """Runs and scores examples, and remembers outcomes for the parameters it is told to keep."""

    def __init__(
        self, graph: Graph, score: Score, llm: LLM, progress: Progress | None = None
    ) -> None:
        self._graph, self._score, self._llm = graph, score, llm
        self._progress = progress or Unwatched()
        self._known: dict[str, dict[str, Outcome]] = {}

    async def __call__(self, parameters: Parameters, examples: Sequence[Example]) -> Evaluation:
        """Return an outcome for each example; known outcomes are not computed again."""
        known = self._known.setdefault(_key(parameters), {})
        todo = [example for example in examples if example.id not in known]
        if not todo:
            return Evaluation({example.id: known[example.id] for example in examples})
        done = self._progress.expect("scoring", len(todo))
        outcomes = await together(self._one(parameters, example, done) for example in todo)
        known.update({example.id: o for example, o in zip(todo, outcomes, strict=True)})
        return Evaluation({example.id: known[example.id] for example in examples})

    def known(self, parameters: Parameters, examples: Sequence[Example]) -> Evaluation | None:
        """Return the outcomes that are known, None where one of them is not."""
        known = self._known.get(_key(parameters), {})
        if any(example.id not in known for example in examples):
            return None
        return Evaluation({example.id: known[example.id] for example in examples})

    def keep(self, *parameters: Parameters) -> None:
        """Forget the outcomes of all other parameters."""
        keys = {_key(p) for p in parameters}
        self._known = {key: known for key, known in self._known.items() if key in keys}

    async def _one(self, parameters: Parameters, example: Example, done: Advance) -> Outcome:
        outcome = await self._outcome(parameters, example)
        done(outcome.score)
        return outcome

    async def _outcome(self, parameters: Parameters, example: Example) -> Outcome:
        passed = await forward_pass(self._graph, parameters, example.id, example.inputs, self._llm)
        if self._graph.output in passed.failures:
            failure = passed.failures[self._graph.output]
            return Outcome(passed, None, f"{failure.origin}: {failure.reason}")
        try:
            score = await self._score(passed.values[self._graph.output], example.target)
        except NodeFailed as error:
            return Outcome(passed, None, f"score: {error}")
        return Outcome(passed, score, None)


def _key(parameters: Parameters) -> Any:
    return repr(sorted(parameters.items()))
