"""Outcomes of examples, and the scores that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.kept import Kept
from sgdflow.executor.means import Summary, summarise
from sgdflow.llm.failures import KINDS
from sgdflow.prompting.ask import Call

_TOLD = attrgetter("passed", "calls", "score", "failure", "kind", "feedback", "behind")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example, run and scored."""

    run: ForwardPass | Kept
    score: float | None
    """0 for what a model could not answer; None where something else kept it from answering."""
    failure: str | None
    """Why there is no answer."""
    kind: str = ""
    """A short word for it."""
    feedback: str = ""
    """What the scorer said in its own words; empty where it said nothing."""
    judged: tuple[Call, ...] = ()
    """The calls of a judge, where the pass is not packed with them."""
    behind: str = ""
    """The kind of what kept a judge from its score."""

    @property
    def passed(self) -> ForwardPass:
        """Return the pass, unpacked each time that somebody asks."""
        return self.run.passed if isinstance(self.run, Kept) else self.run

    @property
    def values(self) -> Mapping[str, Any]:
        """Return the values of the pass alone."""
        return self.run.values

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return the calls of a judge."""
        return self.run.calls if isinstance(self.run, Kept) else self.judged

    def __eq__(self, other: object) -> bool:
        """Compare what is kept, however that is."""
        return isinstance(other, Outcome) and _TOLD(self) == _TOLD(other)

    @property
    def unanswered(self) -> bool:
        """Return whether the model could not answer, which is wrong, and not missing."""
        return self.failure is not None and self.score is not None

    @property
    def lost(self) -> bool:
        """Return whether the infrastructure kept it from an answer, which may be over later."""
        kind = KINDS.get(self.behind or self.kind)
        return self.score is None and kind is not None and kind.retries > 0


@dataclass(frozen=True)
class Evaluation:
    """Outcomes by example id, in the order of the examples."""

    outcomes: Mapping[str, Outcome]

    @cached_property
    def scores(self) -> Mapping[str, float]:
        """Return the scores there are."""
        return {i: o.score for i, o in self.outcomes.items() if o.score is not None}

    @cached_property
    def failures(self) -> Mapping[str, str]:
        """Return why the others have none."""
        return {i: o.failure or "" for i, o in self.outcomes.items() if o.score is None}

    @cached_property
    def right(self) -> Sequence[Outcome]:
        """Return what was answered right."""
        return [o for o in self.outcomes.values() if o.score is not None and o.score >= 1]

    @cached_property
    def unanswered(self) -> Mapping[str, Outcome]:
        """Return what scored 0 because a model could not answer."""
        return {i: o for i, o in self.outcomes.items() if o.unanswered}

    @property
    def unanswered_kinds(self) -> Mapping[str, int]:
        """Return how many are unanswered, by kind."""
        return dict(sorted(Counter(o.kind for o in self.unanswered.values()).items()))

    def summary(self) -> Summary | None:
        """Return the mean score with its interval; None where nothing was scored."""
        return summarise([*self.scores.values()], len(self.failures), self.unanswered_kinds)
