"""What a probe found, before anybody puts it into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["interact", "add up", "cannot be told", "nothing moved", "not tried"]


@dataclass(frozen=True, slots=True)
class Start:
    """How far the start is from perfect."""

    mean: float
    examples: int
    low: float
    high: float
    """Of the 95 % interval."""
    failed: int
    """Examples without a score; no part of the others."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """Answers that could not be read, by kind."""
    form: float = 0.0
    """Share of what is lacking that they lack."""
    readable: bool = True
    """Whether it is known how answers are read."""
    advice: str = ""
    """What may be done about the most frequent kind."""

    @property
    def lacking(self) -> float:
        """Return what is missing to a perfect score."""
        return 1 - self.mean

    @property
    def most(self) -> float:
        """Return the most that is missing, at 95 % certainty on either side."""
        return 1 - self.low


@dataclass(frozen=True, slots=True)
class Noise:
    """How far answers to the same requests differ."""

    examples: int
    moved: int
    """How many of them scored otherwise the second time."""
    variance: float
    """Of the score of one example."""
    wrong: int
    """How many were not right the first time."""
    lucky: int
    """How many of these were right the second time."""
    nodes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Node -> how often its value differed, of how many times it was given the same values."""

    @property
    def share(self) -> float:
        """Return the share of examples that scored otherwise."""
        return self.moved / self.examples


@dataclass(frozen=True, slots=True)
class Pair:
    """Whether what one node is told changes what another one's text is worth."""

    nodes: tuple[str, str]
    verdict: Verdict
    why: str = ""
    """Why it was not tried."""
    examples: int = 0
    alone: tuple[float, float] = (0.0, 0.0)
    """Mean gain of the one wording, and of the other."""
    both: float = 0.0
    """Mean gain of both together."""
    unlike: int = 0
    """Examples on which both together gain something else than the sum."""
    p: float = 1.0
    """Of a two-sided test that they add up, corrected for all that was tested."""
    at_most: float = 1.0
    """The largest share of examples on which they may interact, at 95 % certainty."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Whether an improvement can be shown."""

    by: Literal["confirm", "gate"]
    examples: int
    level: float
    gain: float
    power: float
    visible: float | None
    """The smallest gain, in whole points, that is shown with the declared power; None: none is."""
    needed: int | None
    """Examples that it takes for this gain; None: more than ten thousand."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One recommendation."""

    key: str
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether to run, and how."""

    verdict: Literal["worth a run", "not yet", "not worth it"]
    because: str
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found."""

    start: Start
    noise: Noise | None
    pairs: tuple[Pair, ...]
    sights: tuple[Sight, ...]
    luck: float | None
    """How likely the gate lets a proposal pass that changes nothing; None where it has a level."""
    calls: int
    wordings: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """What was tried, by parameter."""
    guessed: bool = False
    """Whether simulated models were asked that know nothing of any of the examples."""
