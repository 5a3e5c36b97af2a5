"""The mean of scores, with its interval, and what is not part of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

from sgdflow.errors import listed

_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Summary:
    """A mean score with its 95 % interval."""

    mean: float
    n: int
    low: float
    high: float
    failed: int = 0
    """Examples without a score; not part of n."""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    """Examples that scored 0 because a model could not answer, by kind; part of n."""


def summarise(
    scores: Sequence[float], failed: int = 0, unanswered: Mapping[str, int] | None = None
) -> Summary | None:
    """Return mean and Wilson interval.

    For scores between 0 and 1 that are not just 0 or 1 the interval is wider than it need
    be: no such distribution has a larger variance than the binomial one.
    """
    n = len(scores)
    if n == 0:
        return None
    mean = math.fsum(scores) / n
    z2 = _Z95**2
    middle = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    # At the ends the interval reaches the mean exactly; rounding must not say otherwise.
    return Summary(mean, n, min(low, mean), max(high, mean), failed, unanswered or {})


def unanswered_words(kinds: Mapping[str, int]) -> str:
    """Say what was unanswered: "3 unanswered: truncated 2, malformed 1"."""
    by_count = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    told = listed(f"{kind} {count}" for kind, count in by_count)
    return f"{sum(kinds.values())} unanswered: {told}"
