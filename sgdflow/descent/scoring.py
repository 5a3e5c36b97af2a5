"""Scores that the gate compares: one draw of each outcome, or the mean of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from sgdflow.data import Example
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Evaluation, Outcome


async def repeated(
    evaluate: Evaluator, parameters: Parameters, examples: Sequence[Example], repeats: int
) -> Evaluation:
    """Return the first outcome of each example, its score the mean over so many scorings."""
    draws = [await evaluate(parameters, examples, draw) for draw in range(repeats)]
    if repeats == 1:
        return draws[0]
    return Evaluation({i: _joined([draw.outcomes[i] for draw in draws]) for i in draws[0].outcomes})


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome with the mean score; without one where a scoring failed."""
    failed = next((one for one in outcomes if one.score is None), None)
    if failed is not None:
        return failed
    scores = [one.score for one in outcomes if one.score is not None]
    return replace(outcomes[0], score=math.fsum(scores) / len(scores))
