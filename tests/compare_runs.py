"""Made-up runs for the tests of comparisons."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sgdflow.comparison import Comparison, Goal, compare, parse
from sgdflow.comparison.common import Read, unread
from sgdflow.tracking.reading import Group, RecordedRun


def run(score: float | None, seed: int = 0, status: str = "FINISHED", **params: str) -> RecordedRun:
    """Make a run; `method="x"` sets method.name, `a__b="x"` sets a.b."""
    full = {"method": "semantic", "task": "tariff", "graph": "tariff", "llm": "openai"} | params
    named = {k if "__" in k else f"{k}.name": v for k, v in full.items()}
    config = {key.replace("__", "."): value for key, value in named.items()}
    config |= {"seed": str(seed), "task.data.seed": str(seed), "tracking.experiment": str(score)}
    metrics = {"total/calls_forward": 100.0 + seed, "total/calls_optimizer": 3.0}
    metrics |= {"total/tokens_forward_prompt": 1000.0, "total/tokens_forward_completion": 500.0}
    metrics |= {"total/seconds": 2.5, "total/cost": 0.01}
    if score is not None:
        metrics["score_final/test"] = score
    name = f"{full['method']}-{full['task']}-{seed}"
    number = hashlib.md5(repr((name, score, params)).encode(), usedforsecurity=False)
    return RecordedRun(number.hexdigest(), name, status, "", config, metrics)


def table(
    runs: list[RecordedRun], *words: str, goal: Goal | None = None, read: Read = unread
) -> Comparison:
    return compare(Group("Made up", tuple(runs)), parse(words), goal, read)


def scores(comparison: Comparison) -> Mapping[Any, Any]:
    return {
        " ".join(str(value) for values in place for value in values): (
            round(cell.score.mean, 6),
            cell.score.n,
        )
        for place, cell in comparison.cells.items()
    }


TWO = [
    *(run(score, seed) for seed, score in enumerate((0.9, 0.8, 1.0))),
    *(run(score, seed, method="no_gradient") for seed, score in enumerate((0.5, 0.6, 0.4))),
]
