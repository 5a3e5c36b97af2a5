"""What a descent tells of itself: each step, the scores, the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from sgdflow.descent.confirm import Confirmation
from sgdflow.descent.trial import Trial
from sgdflow.executor.graph import Parameters
from sgdflow.executor.means import Summary
from sgdflow.executor.outcomes import Evaluation
from sgdflow.llm import Spent
from sgdflow.update import Decision, Evidence, Learned, Proposal


@dataclass(frozen=True, slots=True)
class Gating:
    """What it took to decide on proposals."""

    calls: int = 0
    """Forward calls for scores of proposals, those that the update rule asked for included."""
    examples: int = 0
    """That the gate decides by."""
    evaluated: int = 0
    """Those of them that were scored before the decision was certain."""
    spared: int = 0
    """Calls for the others at most: one for each node that the proposal reaches."""

    def __add__(self, other: Gating) -> Gating:
        return Gating(
            self.calls + other.calls,
            self.examples + other.examples,
            self.evaluated + other.evaluated,
            self.spared + other.spared,
        )


@dataclass(frozen=True, slots=True)
class Tested:
    """A part of a proposal that the gate was asked about besides the whole."""

    changes: tuple[str, ...]
    """Names of the parameters."""
    trial: Trial

    @property
    def decision(self) -> Decision:
        """Return the gate's decision."""
        return self.trial.decision


@dataclass(frozen=True, slots=True)
class Pooled:
    """The score that the pool chooses by."""

    split: Literal["train", "validation"]
    mean: float
    n: int


@dataclass(frozen=True, slots=True)
class Tried:
    """A step up to the gate's decision."""

    current: Evaluation
    """Of the batch with the parameters as they stood."""
    learned: tuple[Learned, ...]
    evidence: Evidence
    parameters: Parameters
    proposed: Parameters
    proposal: Proposal
    trial: Trial
    gating: Gating
    tested: tuple[Tested, ...] = ()
    """What was asked about before this trial, each in turn; the trial is of what is proposed."""
    parents: tuple[int, ...] = (0,)
    """Numbers of the candidates that it was made from."""
    number: int | None = None
    """That of the candidate it became; None where it was turned down."""
    why: str = "joint"
    """joint; part: some of its texts; merge."""
    repeats: bool = False
    """Whether the proposal before it was learned from the same examples."""
    pooled: Pooled | None = None
    """Of the candidate it became; None where the pool goes by no scores."""

    @property
    def candidate(self) -> Evaluation | None:
        """Return that of the gate's examples with the proposal; None where not all were scored."""
        return self.trial.candidate

    @property
    def decision(self) -> Decision:
        """Return the gate's decision."""
        return self.trial.decision

    @property
    def gain(self) -> float:
        """Return what it gained on the gate's examples that were scored."""
        return self.trial.gain

    @property
    def malformed(self) -> bool:
        """Return whether there was nothing to decide because no reply could be used."""
        return bool(self.proposal.skipped) and not self.proposal.changes


@dataclass(frozen=True, slots=True)
class Step:
    """The record of one step."""

    number: int
    tried: Tried
    validation: Summary | None
    """Of the accepted proposal; None without one or without validation examples."""
    best: Parameters
    spent: tuple[Mapping[str, Spent], Mapping[str, Spent]]
    """All that the run had used when the step began and when it ended."""
    others: tuple[Tried, ...] = ()
    """Further proposals of the step, in the order in which they were made."""
    pool: tuple[int, ...] = (0,)
    """Numbers of the candidates that are kept after it."""
    leg: str = ""
    """The leg of the descent that it belongs to, where there are several."""

    @property
    def proposals(self) -> tuple[Tried, ...]:
        """Return all proposals, the one that stands for the step first."""
        return (self.tried, *self.others)

    @property
    def gating(self) -> Gating:
        """Return what it took to decide on all proposals."""
        return sum((one.gating for one in self.proposals), Gating())


@dataclass(frozen=True, slots=True)
class Scores:
    """Outcomes of one set of parameters, by split, and their scores; None for an empty split."""

    evaluations: Mapping[str, Evaluation]

    @property
    def train(self) -> Summary | None:
        """Return the score on the training examples."""
        return self.evaluations["train"].summary()

    @property
    def validation(self) -> Summary | None:
        """Return the score on the validation examples."""
        return self.evaluations["validation"].summary()

    @property
    def test(self) -> Summary | None:
        """Return the score on the test examples."""
        return self.evaluations["test"].summary()


@dataclass(frozen=True, slots=True)
class Returned:
    """Whose texts a run returns, and why."""

    step: int
    """0: those that it began with."""
    why: str


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest gain that a gate could have shown."""

    gain: float
    examples: int
    split: Literal["train", "validation"]
    level: float


@dataclass(frozen=True, slots=True)
class Result:
    """How a descent ended."""

    initial: Scores
    final: Scores
    parameters: Parameters
    steps: int
    accepted: int
    stop_reason: str
    spent: Mapping[str, Spent]
    gating: Gating
    confirmation: Confirmation | None = None
    """None where none was declared, or nothing was found that could be confirmed."""
    unconfirmed: str = ""
    """Why what was found is returned without, although a confirmation was declared."""
    selected_on: tuple[str, ...] = ()
    """Splits whose scores decided what was kept."""
    smallest: Smallest | None = None
    """None where the gate shows nothing."""
    returned: Returned | None = None
    """None where that is not known."""
    constant: str = ""
    """What nearly all answers on the training examples are in the end, in words."""


class Observer(Protocol):
    """Sees a descent as it goes."""

    def scored(self, initial: Scores) -> None:
        """See the scores before the first step."""

    def stepped(self, step: Step) -> None:
        """See a step as soon as it is decided."""
