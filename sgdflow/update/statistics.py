"""Exact tests of paired score differences, seen in waves or all at once.

What they promise, and why, stands in docs/methods.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

_GRID = 100
"""Gains are compared in hundredths."""
_ROUNDING = 12
"""Decimals beyond which a difference of scores is the rounding of their sums."""
_RESAMPLES = 99_999
_SPENDING = 2
"""Of the level, this power of the share of examples seen may be spent so far."""
_MOST_EXAMPLES = 10_000
_IN_SIGHT = 0.25
"""Part of what the last look needs that gains going on at their rate have to come to."""
Shares = dict[int, float]
"""Sum of gains, in units of the grid -> how likely it is, without any sum that was enough."""


@dataclass(frozen=True, slots=True)
class Look:
    """What all gains up to some moment come to."""

    accepted: bool
    hopeless: bool
    """Were they to go on like this, they would come to far less than the last look needs."""
    gain: float
    """Their sum."""
    needed: float | None
    """The smallest sum that is enough now; None: none is."""


def looks(waves: Sequence[Sequence[float]], examples: int, level: float) -> Iterator[Look]:
    """Yield a look after each wave of gains; `examples` is how many there are in all.

    Where gains are as likely losses of the same size, that any look accepts has probability
    `level` at most. What is enough at a look is worked out from all flips of the signs seen so far.
    """
    shares: Shares = {0: 1.0}
    total = seen = squares = 0
    spent = 0.0
    for wave in waves:
        units = [round(gain * _GRID) for gain in wave]
        for unit in filter(None, units):
            shares = _flipped(shares, abs(unit))
        total, seen = total + sum(units), seen + len(units)
        squares += sum(unit * unit for unit in units)
        share = seen / examples
        needed, taken = _cut(shares, level * share**_SPENDING - spent)
        spent += taken
        wanted = (
            _IN_SIGHT * NormalDist().inv_cdf(1 - level) * math.sqrt(max(squares, _GRID**2) / share)
        )
        yield Look(
            needed is not None and total >= needed,
            seen < examples and total / share < wanted,
            total / _GRID,
            None if needed is None else needed / _GRID,
        )


def level_left(level: float, turned_down: int, tests: int) -> float:
    """Return the level of the next test after so many that turned their proposal down.

    With at most so many tests, the levels of those that turn something down add up to `level`:
    what is accepted gives its level back. The first ones have most.
    """
    return level / (turned_down + 1) / math.fsum(1 / (i + 1) for i in range(max(1, tests)))


def chance(gains: Sequence[float]) -> float:
    """Return the p-value of a one-sided sign-flip test: gains are as likely losses.

    Exact where all gains are of one size, and up to 16 that are not 0; else from random flips
    with a fixed seed, counted so that the p-value holds.
    """
    moved = [rounded for gain in gains if (rounded := round(gain, _ROUNDING))]
    if not moved:
        return 1.0
    if len({abs(gain) for gain in moved}) == 1:
        wins = sum(gain > 0 for gain in moved)
        ways: int = sum(math.comb(len(moved), k) for k in range(wins, len(moved) + 1))
        return ways / int(2 ** len(moved))  # whole numbers: it is exact however many there are
    from scipy.stats import permutation_test

    tested = permutation_test(
        (moved,),
        _sum,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=5_000,
        rng=0,
    )
    return float(tested.pvalue)


def gains_needed(level: float) -> int:
    """Return how many whole gains, and no loss, it takes at this level."""
    return max(1, math.ceil(-math.log2(level) - 1e-9))


def power(examples: int, up: float, down: float, level: float) -> float:
    """Return how likely a one-sided sign test shows a gain, where scores are 0 or 1.

    Each of the examples goes up, or down, with these probabilities, whatever the others do.
    """
    from scipy.stats import binom

    moved = min(1.0, up + down)
    if examples < 1 or moved <= 0:
        return 0.0
    counts = range(1, examples + 1)
    # A probability that is the level itself is enough; rounding must not say otherwise.
    needed = binom.isf(level * (1 + 1e-9), counts, 0.5) + 1
    shown = binom.sf(needed - 1, counts, up / (up + down))
    return float((binom.pmf(counts, examples, moved) * shown).sum())


def examples_needed(up: float, down: float, level: float, wanted: float) -> int | None:
    """Return a number of examples that gives this power, and hardly more than it takes.

    None where up to ten thousand are not enough. Power does not quite rise from one number to
    the next, as counts are whole.
    """
    low, high = 0, 8
    while power(high, up, down, level) < wanted:
        low, high = high, 2 * high
        if high > _MOST_EXAMPLES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle, up, down, level) < wanted:
            low = middle
        else:
            high = middle
    return high


def like_needed(gains: Sequence[float], level: float, wanted: float) -> int | None:
    """Return how many examples give this power where they gain and lose as these did.

    Exact where all gains are of one size, else by the normal approximation. None where these
    gained nothing, or up to ten thousand are not enough.
    """
    moved = [rounded for gain in gains if (rounded := round(gain, _ROUNDING))]
    mean = math.fsum(moved) / (len(gains) or 1)
    if mean <= 0:
        return None
    if len({abs(gain) for gain in moved}) == 1:
        up = sum(gain > 0 for gain in moved) / len(gains)
        return examples_needed(up, len(moved) / len(gains) - up, level, wanted)
    squares = math.fsum(gain * gain for gain in moved) / len(gains)
    quantile = NormalDist().inv_cdf
    wide = quantile(1 - level) * math.sqrt(squares)
    wide += quantile(wanted) * math.sqrt(max(0.0, squares - mean * mean))
    needed = max(gains_needed(level), math.ceil((wide / mean) ** 2))
    return needed if needed <= _MOST_EXAMPLES else None


def luck(examples: int, moved: float) -> float:
    """Return how likely more examples go up than down where either is as likely.

    Each goes one way or the other with the probability `moved`.
    """
    from scipy.stats import binom

    even = range(0, examples + 1, 2)
    halves = [one // 2 for one in even]
    equal = (binom.pmf(even, examples, moved) * binom.pmf(halves, even, 0.5)).sum()
    return max(0.0, (1 - float(equal)) / 2)


def largest_share(found: int, among: int) -> float:
    """Return the largest share that 95 % certainty leaves where so many of a sample have it."""
    from scipy.stats import beta

    return 1.0 if found >= among else float(beta.ppf(0.95, found + 1, among - found))


def _flipped(shares: Shares, unit: int) -> Shares:
    """Add a gain of this size, or a loss of it."""
    found: Shares = {}
    for total, share in shares.items():
        for moved in (total - unit, total + unit):
            found[moved] = found.get(moved, 0.0) + share / 2
    return found


def _cut(shares: Shares, level: float) -> tuple[int | None, float]:
    """Take out the highest sums that have at most this share; return the lowest, and the share."""
    lowest, taken = None, 0.0
    for total in sorted(shares, reverse=True):
        if taken + shares[total] > level:
            break
        lowest, taken = total, taken + shares.pop(total)
    return lowest, taken


def _sum(values: Any, axis: int) -> Any:
    return values.sum(axis=axis)
