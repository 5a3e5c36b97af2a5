"""A method: a named choice of everything that a step of semantic gradient descent does."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from sgdflow.data import Splits
from sgdflow.descent.budget import Budget
from sgdflow.descent.confirm import Confirm
from sgdflow.executor.backward import Differentiation
from sgdflow.executor.evaluation import Evaluation, First
from sgdflow.executor.graph import Graph
from sgdflow.executor.loss import Loss, Score
from sgdflow.update import Gate, Select, UpdateRule
from sgdflow.update.evidence import ItemAggregation


@dataclass(frozen=True, slots=True)
class Sample:
    """Which examples of a batch a step learns from."""

    examples: Literal["failing", "random"] = "failing"
    """failing: scored below 1."""
    count: int = 2
    """0: none; for update rules that go by scores alone."""

    def draw(self, evaluation: Evaluation, random: Random) -> tuple[str, ...]:
        """Return at most `count` example ids, in the order of the batch."""
        scores = evaluation.scores
        pool = [i for i, s in scores.items() if s < 1] if self.examples == "failing" else [*scores]
        chosen = set(random.sample(pool, min(self.count, len(pool))))
        return tuple(i for i in pool if i in chosen)


@dataclass(frozen=True, slots=True)
class Stop:
    """When the descent ends; whichever comes first."""

    steps: int = 10
    patience: int | None = None
    """Steps in a row without an accepted proposal; malformed proposals aside."""
    score: float = 1.0
    """Mean training score that is good enough."""
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class Method:
    """A named choice of everything a step does."""

    name: str
    sample: Sample
    loss: Loss
    differentiation: Differentiation | None
    """None: no backward pass; the update rule sees examples without gradients."""
    aggregate_examples: ItemAggregation
    update: UpdateRule
    gate: Gate
    stop: Stop
    batch: int | None = None
    """Training examples a step scores; None: all."""
    select: Select = field(default_factory=Select)
    confirm: Confirm | None = None
    """None: what was found is returned as it is."""
    shuffle: bool = False
    """Deal the gradients of each node to the wrong examples; a control."""

    def compared(self, splits: Splits) -> int:
        """Return on how many examples the gate compares at most."""
        if self.gate.examples == "validation":
            return len(splits.validation)
        return min(len(splits.train), self.batch or len(splits.train))


@dataclass(frozen=True, slots=True)
class Problem:
    """What is optimised, on what."""

    graph: Graph
    score: Score
    splits: Splits
    optimised: tuple[str, ...]
    """Names of the parameters that may change."""
    seed: int
    first: First | None = None
    """The examples that are tried before all others."""
