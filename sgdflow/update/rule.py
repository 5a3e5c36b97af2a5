"""The update-rule protocol: what a rule may go by, and what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Protocol

from sgdflow.data.examples import Example
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.scores import ReadsPlainly
from sgdflow.executor.tree import Summary
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Call
from sgdflow.update.decision import Decision
from sgdflow.update.evidence import Evidence, Item, Learned
from sgdflow.update.tally import Reader


@dataclass(frozen=True, slots=True)
class Scored:
    """New values that a rule had scored itself."""

    changes: Mapping[str, Any]
    score: float | None
    """Mean score on the step's batch; None where examples failed."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why some of the answers were wrong, as far as a parameter goes; mended by itself."""

    label: str
    """Empty where nothing was told apart."""
    words: str
    """What the writer of the new text is told of it."""
    items: tuple[Item, ...]
    """The evidence that it is behind."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """New values for some parameters, and why others have none."""

    changes: Mapping[str, Any]
    """Only what differs from the current parameters."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Parameter name -> why there is no new text for it."""
    calls: Mapping[str, tuple[Call, ...]] = field(default_factory=dict)
    tried: tuple[Scored, ...] = ()
    """What the rule scored to choose these changes."""
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """What is to be mended, by parameter, where a step tells causes apart."""
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    """What the writers were shown in the place of many pieces of work, by parameter."""
    too_long: tuple[str, ...] = ()
    """Those of the skipped whose prompt did not fit the writer's context window."""

    def after(self, skipped: Mapping[str, str], calls: Mapping[str, tuple[Call, ...]]) -> Proposal:
        """Return the proposal with what came before it: calls, and reasons for no new text."""
        names = dict.fromkeys((*calls, *self.calls))
        made = {name: (*calls.get(name, ()), *self.calls.get(name, ())) for name in names}
        return replace(self, skipped={**skipped, **self.skipped}, calls=made)


@dataclass(frozen=True, slots=True)
class Went:
    """How an example went with a proposal that was turned down."""

    passed: ForwardPass
    better: bool
    """Than without the proposal; otherwise it was worse, or no better."""


@dataclass(frozen=True, slots=True)
class Past:
    """A step that was taken before."""

    step: int
    parameters: Parameters
    """As they stood."""
    evidence: Evidence
    proposal: Proposal
    decision: Decision
    before: float | None = None
    after: float | None = None
    """Mean scores on the gate's examples; None where the proposal did not come to the gate."""
    sampled: tuple[str, ...] = ()
    """The examples that it was written from."""
    turned_down: int = 0
    """How often the gate turned something down."""
    refused: tuple[str, ...] = ()
    """What the gate was asked, in short, each time that it turned something down."""
    most: float | None = None
    """The highest mean that it could have had, where not all was scored."""
    went: tuple[Went, ...] = ()
    """Where it was turned down: how some examples went with it, the worst one first."""
    silent: bool = False
    """Whether all of what was sampled was differentiated, and no gradient asked for a change."""
    dropped: tuple[Past, ...] = ()
    """Texts of the same reply that were turned down, each alone, where the others were accepted."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another candidate, and what is known of how it did on the step's examples."""

    parameters: Parameters
    known: Evaluation


Evaluate = Callable[[Parameters], Awaitable[Evaluation]]


async def _no_batch(parameters: Parameters) -> Evaluation:
    raise LookupError("this situation has no batch to score parameters on")


@dataclass(frozen=True, slots=True)
class Situation:
    """What an update rule may go by."""

    graph: Graph
    parameters: Parameters
    evidence: Evidence
    step: int = 1
    """The number of the step, from 1."""
    optimised: Sequence[str] = ()
    """The parameters that this step may change."""
    learned: tuple[Learned, ...] = ()
    """The sampled examples, in the order of the batch."""
    history: tuple[Past, ...] = ()
    """All earlier steps, the latest last."""
    evaluate: Evaluate = _no_batch
    """Scores parameters on the step's batch; what is known is not computed again."""
    random: Random = field(default_factory=lambda: Random(0))
    """The step's own, derived from the seed."""
    standing: Evaluation = field(default_factory=lambda: Evaluation({}))
    """What is known of the parameters as they stand."""
    targets: Mapping[str, Any] = field(default_factory=dict)
    """What was expected, by example."""
    training: Sequence[Example] = ()
    """All training examples, also those that the step did not score."""
    reader: Reader = field(default_factory=ReadsPlainly)
    """Reads outputs and targets as they are read for their scores."""
    variant: int = 0
    """Which of the step's proposals this is."""
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """What this proposal is to mend, by parameter; none: all that the evidence shows."""
    rivals: tuple[Rival, ...] = ()
    """Other candidates that are kept, the newest last."""

    @property
    def sample(self) -> int:
        """Return what tells apart requests of several steps that are alike.

        Those of several proposals of a step are one, unless they are answered at random.
        """
        return self.step


class UpdateRule(Protocol):
    """Proposes new parameters."""

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        """Return a proposal; a malformed reply skips its parameter with the reason."""

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        """Yield what would go wrong with this graph, before anything is computed."""

    def calls(self, parameters: int) -> StepCalls:
        """Return what one step needs at most where so many parameters may change."""

    @property
    def goes_by_scores(self) -> bool:
        """Whether proposals depend on the scores of earlier ones, also of those turned down."""


@dataclass(frozen=True, slots=True)
class StepCalls:
    """What an update rule uses in one step, at most; malformed replies aside."""

    optimizer: int = 0
    """Calls of its own."""
    evaluations: int = 0
    """Scorings of the batch, besides the gate's."""
