"""A method: a named choice of everything that a step of semantic gradient descent does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Literal

from sgdflow.data import Splits
from sgdflow.descent.budget import Budget
from sgdflow.descent.confirm import Confirm
from sgdflow.descent.pool import PoolRules
from sgdflow.executor.backward import Differentiation
from sgdflow.executor.elsewhere import Elsewhere, Spread
from sgdflow.executor.evaluation import AT_ONCE, Evaluator, First
from sgdflow.executor.graph import Graph
from sgdflow.executor.intervention import Verification
from sgdflow.executor.loss import Loss
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress
from sgdflow.executor.scores import Scorer
from sgdflow.executor.tree import Tree
from sgdflow.llm import LLM
from sgdflow.update import Gate, Select, UpdateRule
from sgdflow.update.apart import Apart
from sgdflow.update.choice import Choice
from sgdflow.update.demonstrations import texts
from sgdflow.update.evidence import ItemAggregation
from sgdflow.update.paired import fixed_order
from sgdflow.update.tally import tally

_MOST_PARTS = 16
"""Parts of a joint proposal that are tried apart."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Which examples of a batch a step learns from."""

    examples: Literal["failing", "random"] = "failing"
    """failing: scored below 1."""
    count: int = 2
    """0: none; for update rules that go by scores alone."""
    order: Literal["random", "waiting"] = "random"
    """waiting: those come first that were sampled least often."""
    draws: int = 1
    """How often others are drawn, at most, where a sample teaches nothing."""

    def draw(
        self,
        evaluation: Evaluation,
        random: Random,
        waited: Mapping[str, int] | None = None,
        without: Collection[str] = (),
        stale: Collection[str] = (),
    ) -> tuple[str, ...]:
        """Return at most `count` example ids, in the order of the batch.

        `waited` says how often an example was sampled before; those in `without` are left out.
        Where all that is left was sampled for these parameters (`stale`), half of it is drawn:
        the same failures together would teach the same again.
        """
        scores = evaluation.scores
        pool = [i for i, s in scores.items() if s < 1] if self.examples == "failing" else [*scores]
        pool = [i for i in pool if i not in without]
        drawn = random.sample(pool, min(self.count, len(pool)))
        if self.order == "waiting":
            times = waited or {}
            if 1 < len(pool) <= self.count and all(i in stale for i in pool):
                drawn = random.sample(pool, (len(pool) + 1) // 2)
            else:
                drawn = sorted(fixed_order(pool), key=lambda i: times.get(i, 0))[: self.count]
        chosen = set(drawn)
        return tuple(i for i in pool if i in chosen)


@dataclass(frozen=True, slots=True)
class Proposals:
    """How many proposals a step makes, and of which form."""

    parents: int = 1
    """Candidates that a step starts from."""
    each: int = 1
    """Proposals for each of them, from examples of their own."""
    form: Literal["joint", "single"] = "joint"
    """joint: all new texts together; single: each by itself, and together those that pass."""
    fallback: bool = False
    """Whether a joint proposal that is turned down is tried text by text."""

    def parts(self, changes: Sequence[str]) -> Sequence[Sequence[str]]:
        """Return the names of the texts that are tried together where the whole is not taken.

        Each by itself; of a joint proposal that has very many, groups of like size, so that the
        gate is not asked more often the larger a graph is.
        """
        number = len(changes) if self.form == "single" else min(len(changes), _MOST_PARTS)
        ends = [len(changes) * place // number for place in range(number + 1)]
        return [changes[start:end] for start, end in pairwise(ends)]

    def tests(self, parameters: int) -> int:
        """Return how often a step may ask the gate where so many parameters may change."""
        number = parameters if self.form == "single" else min(parameters, _MOST_PARTS)
        more = number + 1 if parameters > 1 else 0
        whole = int(self.form == "joint" or not more)
        parts = more if self.form == "single" or self.fallback else 0
        return self.parents * self.each * (whole + parts)


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
    unconfirmed: str = ""
    """Why there is no confirmation, although one was declared."""
    shuffle: bool | Literal["nodes"] = False
    """Deal the gradients of each node to the wrong examples, or nodes: to other parameters."""
    lazy: bool = False
    """Training examples are scored only as far as a step needs them."""
    report_train: bool = False
    """Whether a lazy method scores all training examples at the end, for the report."""
    idle: bool = True
    """Whether calls are made that no feedback asks for: backward, and rewrites."""
    proposals: Proposals = field(default_factory=Proposals)
    pool: PoolRules = field(default_factory=PoolRules)
    verification: Verification | None = None
    """None: no gradient is tried out."""
    tree: Tree | None = None
    """What sums up the evidence of many examples; None: it is shown as it is."""
    overflow: Tree | None = None
    """What sums up evidence that does not fit the writer's context window; None: nothing does."""
    apart: Apart | None = None
    """What tells causes apart, each mended by a proposal; None: one proposal for all."""
    choice: Choice | None = None
    """What chooses demonstrations; None: they are taken in turn."""
    legs: tuple[Leg, ...] = ()
    """Methods that take steps one after the other; none: this one takes all."""
    horizon: int | None = None
    """How often all legs together may ask the gate; None: this method is alone."""

    def chosen(self, problem: Problem) -> tuple[str, ...]:
        """Return the parameters that a model chooses, and that gradients are for."""
        if self.choice is None:
            return ()
        written = texts(problem.graph, problem.optimised)
        return tuple(name for name in problem.optimised if name not in written)

    def tests(self, parameters: int) -> int:
        """Return how often a step may ask the gate where so many parameters may change."""
        return self.proposals.tests(parameters) * (self.apart.count if self.apart else 1)

    def asked(self, parameters: int) -> int:
        """Return how often a run may ask the gate where so many parameters may change."""
        return self.horizon or self.stop.steps * self.tests(parameters)

    def compared(self, splits: Splits) -> int:
        """Return on how many examples the gate compares at most."""
        if self.gate.examples == "validation":
            return len(splits.validation)
        if self.gate.examples == "sampled":
            return min(len(splits.train), self.sample.count + self.gate.guard)
        return min(len(splits.train), self.batch or len(splits.train))


@dataclass(frozen=True, slots=True)
class Leg:
    """A method that takes some of the steps of a descent."""

    name: str
    method: Method
    optimised: tuple[str, ...]
    """Names of the parameters that it may change."""
    until: float
    """The share of the budget that may be used when it ends, by it and by all before it."""

    def after(self, steps: int, whole: Method) -> Method:
        """Return the method as it goes on after so many steps of the whole."""
        stop = replace(
            self.method.stop,
            steps=min(steps + self.method.stop.steps, whole.stop.steps),
            score=min(self.method.stop.score, whole.stop.score),
            budget=whole.stop.budget.share(self.until),
        )
        return replace(self.method, stop=stop, confirm=whole.confirm, unconfirmed=whole.unconfirmed)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is optimised, on what."""

    graph: Graph
    score: Scorer
    splits: Splits
    optimised: tuple[str, ...]
    """Names of the parameters that may change."""
    seed: int
    first: First | None = None
    """The examples that are tried before all others."""
    at_once: int = AT_ONCE
    """The examples that are under way at once."""
    elsewhere: Elsewhere | None = None
    """What runs examples in the place of this process."""

    def evaluator(self, llm: LLM, progress: Progress | None = None) -> Evaluator:
        """Return what runs and scores examples."""
        how = self.graph, self.score, llm, progress, self.first, self.at_once
        return Evaluator(*how) if self.elsewhere is None else Spread(self.elsewhere, *how)

    @property
    def targets(self) -> Mapping[str, object]:
        """Return what is expected, by example."""
        splits = self.splits
        return {one.id: one.target for one in (*splits.train, *splits.validation, *splits.test)}

    def constant(self, evaluation: Evaluation) -> str:
        """Return what nearly all answers are although targets differ, in words; else nothing."""
        return tally(evaluation, self.targets, self.graph.output, self.score).constant
