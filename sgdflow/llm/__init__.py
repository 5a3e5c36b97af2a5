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


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more calls."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt + other.prompt, self.completion + other.completion)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str
    usage: Usage = field(default_factory=Usage)
    truncated: bool = False
    """The reply hit its token limit, so its end is missing."""
    cost: float | None = None
    """US dollars; None where no price is known."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one role has used so far, retries included."""

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    """US dollars; None once a call without a known price is part of it."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """What went wrong on the way, by kind."""

    def __add__(self, other: Spent) -> Spent:
        unknown = self.cost is None or other.cost is None
        cost = None if unknown else (self.cost or 0.0) + (other.cost or 0.0)
        faults = Counter(self.faults) + Counter(other.faults)
        return Spent(
            self.calls + other.calls, self.usage + other.usage, cost, dict(sorted(faults.items()))
        )


class LLM(Protocol):
    """Answers chat requests; limits, retries and counting are its own business."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return the reply of the model that plays `role` (forward, backward, optimizer, ...).

        `node` is the node the call is made for, for accounting. `sample` tells apart
        several replies to the same messages. Raises CallFailed or ProviderRefused.
        """

    def spent(self) -> Mapping[str, Spent]:
        """Return what has been used so far, by role."""
