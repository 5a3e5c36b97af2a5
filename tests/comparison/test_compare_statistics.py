"""The statistics of comparisons, against hand-worked numbers and independent computations."""

from __future__ import annotations

import itertools
import math
import random
from statistics import fmean

import pytest
from scipy import stats

from sgdflow.comparison.statistics import (
    estimate,
    holm,
    median_reached,
    paired_difference,
    smallest_p,
)


def flips_as_extreme(differences: list[float]) -> float:
    """Count by hand what share of all sign flips has a mean at least as far from 0."""
    n, found = len(differences), 0
    far = abs(fmean(differences)) - 1e-12
    for signs in itertools.product((1, -1), repeat=n):
        mean = sum(s * d for s, d in zip(signs, differences, strict=True)) / n
        found += abs(mean) >= far
    return float(found / 2**n)


def test_an_interval_worked_by_hand() -> None:
    # mean 0.6, deviation 0.1, standard error 0.1 / sqrt(4); t(0.975, 3) = 3.182446
    values = [0.6 - 0.1 * math.sqrt(0.75), 0.6 - 0.1 * math.sqrt(0.75)]
    values += [0.6 + 0.1 * math.sqrt(0.75), 0.6 + 0.1 * math.sqrt(0.75)]
    found = estimate(values)
    assert found.low is not None
    assert found.high is not None
    assert (round(found.mean, 9), found.n) == (0.6, 4)
    assert found.low == pytest.approx(0.6 - 3.182446 * 0.05, abs=1e-6)
    assert found.high == pytest.approx(0.6 + 3.182446 * 0.05, abs=1e-6)


def test_an_interval_against_scipy_and_the_scale() -> None:
    values = [0.91, 0.97, 0.86, 1.0, 0.99]
    low, high = stats.t.interval(0.95, 4, loc=fmean(values), scale=stats.sem(values))
    found = estimate(values)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert high > 1
    assert estimate(values, bounds=(0.0, 1.0)).high == 1.0


def test_too_little_to_say_anything() -> None:
    one = estimate([0.7])
    assert (one.mean, one.low, one.high, one.n, one.flat) == (0.7, None, None, 1, False)
    same = estimate([0.1 + 0.2, 0.3, 0.3])
    assert (same.low, same.high, same.flat) == (same.mean, same.mean, True)
    single = paired_difference([0.5])
    assert (single.estimate.mean, single.estimate.low, single.p) == (0.5, None, None)
    equal = paired_difference([0.0, 1e-16, 0.0])
    assert (equal.estimate.mean, equal.p, equal.exact) == (0.0, 1.0, True)


def test_sign_flips_worked_by_hand() -> None:
    # Four differences of one sign: only all and none flipped are as extreme, 2 of 16.
    assert paired_difference([0.1, 0.2, 0.3, 0.4]).p == pytest.approx(2 / 16)
    # 3, 2, 1, -1: the sum 5 is reached again by flipping -1 or nothing, and mirrored:
    # 7 (flip -1), 5 (none), 5 (flip 1 and -1), and their negatives: 6 of 16.
    assert paired_difference([0.3, 0.2, 0.1, -0.1]).p == pytest.approx(6 / 16)
    # A zero halves nothing: it doubles every count.
    assert paired_difference([0.1, 0.2, 0.3, 0.4, 0.0]).p == pytest.approx(2 / 16)
    # Pairing decides: the same scores, differently paired.
    assert paired_difference([0.1] * 6).p == pytest.approx(2 / 64)


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_sign_flips_against_counting_all(n: int) -> None:
    drawn = random.Random(n)
    differences = [round(drawn.gauss(0.02, 0.05), 3) for _ in range(n)]
    found = paired_difference(differences)
    assert found.exact
    assert found.p == pytest.approx(flips_as_extreme(differences))


def test_many_pairs_are_sampled_and_give_the_same_each_time() -> None:
    drawn = random.Random(1)
    differences = [drawn.gauss(0.05, 0.15) for _ in range(40)]
    found = paired_difference(differences)
    assert not found.exact
    assert found.p is not None
    # The t-test asks the same of normal differences.
    assert found.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert paired_difference(differences) == found
    assert paired_difference([-d for d in differences]).p == pytest.approx(found.p, abs=0.01)
    assert paired_difference([0.1] * 40).p == smallest_p(40)


def test_the_smallest_p_is_the_one_of_equal_differences() -> None:
    for n in (2, 3, 6, 16):
        found = paired_difference([0.25] * n)
        assert found.p == pytest.approx(smallest_p(n))
        assert found.exact
    sampled = paired_difference([0.25] * 17)
    assert sampled.p is not None
    assert (smallest_p(17) <= sampled.p < 0.0001, sampled.exact) == (True, False)


def test_holm_worked_by_hand() -> None:
    # 0.01 x 4, 0.02 x 3, 0.03 x 2 = 0.06 (not less than before), 0.5
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx((0.06, 0.04, 0.5, 0.06))
    assert holm([0.5, None, 0.25]) == (0.5, None, 0.5)
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_never_is_later_than_any_number() -> None:
    assert median_reached([10, None, 20]) == 20
    assert median_reached([10, None, None]) is None
    assert median_reached([10, 20, 30, None]) == 25
    assert median_reached([10, None]) is None
    assert median_reached([None]) is None
