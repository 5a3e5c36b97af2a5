"""The language-model protocol; everything outside this package knows only these names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str
    again: bool = field(default=False, compare=False)
    """It says why the last reply could not be used; a conversation that ends so is counted."""
    longer: int = field(default=0, compare=False)
    """How often the room for the reply may be doubled, the last one having been cut off."""
    form: str = field(default="", compare=False)
    """The response format that is asked for after it, as JSON; empty: none."""
    images: tuple[str, ...] = ()
    """Shown with it, as data URLs."""
    temperature: float | None = field(default=None, compare=False)
    """That a conversation with it is answered at; None: that of the model."""
    asker: str = field(default="", compare=False)
    """Whose conversation it begins, where several ask the same at the same time; see `Apart`."""
    shift: int = field(default=0, compare=False)
    """What is added to the sample of its conversation where that is answered at random."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more calls."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    """Those of the prompt that the provider had in its cache."""

    def __add__(self, other: Usage) -> Usage:
        if not (other.prompt or other.completion or other.cached):
            return self
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt - other.prompt,
            self.completion - other.completion,
            self.cached - other.cached,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str
    usage: Usage = Usage()
    truncated: bool = False
    """The reply hit its token limit, so its end is missing."""
    cost: float | None = None
    """US dollars; None where no price is known."""
    seconds: float | None = field(default=None, compare=False)
    """How long the call took that brought it, waiting in line aside; None where that is not known.
    It is stored, so that a reply that is used again took what it took."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls have used, retries included."""

    calls: int = 0
    usage: Usage = Usage()
    cost: float | None = 0.0
    """US dollars; None once a call without a known price is part of it."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """What went wrong on the way, by kind."""
    again: Usage = Usage()
    """Tokens, of all these, of calls that asked again for a reply which could not be used."""

    def __add__(self, other: Spent) -> Spent:
        unknown = self.cost is None or other.cost is None
        cost = None if unknown else (self.cost or 0.0) + (other.cost or 0.0)
        faults = self.faults
        if other.faults:
            faults = dict(sorted((Counter(faults) + Counter(other.faults)).items()))
        usage, again = self.usage + other.usage, self.again + other.again
        return Spent(self.calls + other.calls, usage, cost, faults, again)

    def __sub__(self, other: Spent) -> Spent:
        unknown = self.cost is None or other.cost is None
        cost = None if unknown else (self.cost or 0.0) - (other.cost or 0.0)
        usage, again = self.usage - other.usage, self.again - other.again
        return Spent(self.calls - other.calls, usage, cost, again=again)


class LLM(Protocol):
    """Answers chat requests; limits, retries and counting are its own business."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return the reply of the model that plays `role` (forward, backward, optimizer, ...).

        `node` is what the call is made for, for accounting: a node, `loss` for a feedback, or,
        where new texts are written, the parameter (`graph` for all of them together). `sample`
        tells apart several replies to the same messages. Raises CallFailed; ProviderRefused
        or BudgetSpent where no other call can succeed either.
        """

    def spent(self) -> Mapping[str, Spent]:
        """Return what has been used so far, by role."""


class Metered(LLM, Protocol):
    """Models that also tell for what they were called."""

    def by_node(self) -> Mapping[str, Mapping[str, Spent]]:
        """Return what has been used so far, by role and what the calls were made for.

        The sums over a role are those of `spent`. What several nodes asked alike, and was asked
        once, counts for the first of them by name.
        """

    def latencies(self) -> Mapping[str, Sequence[float]]:
        """Return the seconds that calls really made and answered took, by role, in order."""
