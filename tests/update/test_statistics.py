"""Tests of paired differences, against counts over all flips and against chance itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from random import Random

import pytest
from scipy import stats

from sgdflow.update.statistics import (
    chance,
    examples_needed,
    gains_needed,
    largest_share,
    level_left,
    like_needed,
    looks,
    luck,
    power,
)


def accepted(waves: Sequence[Sequence[float]], examples: int, level: float) -> bool:
    return any(look.accepted for look in looks(waves, examples, level))


@pytest.mark.parametrize(
    "sizes",
    [
        [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
        [[1, 0, 0.5, 1], [0.25, 1, 1], [1, 0.5, 0.5]],
        [[0.3, 0.2, 0.1, 0.7, 0.1, 0.4, 0.9, 1, 0.05]],
    ],
)
@pytest.mark.parametrize("level", [0.02, 0.05, 0.3])
def test_any_look_accepts_at_most_the_stated_share_of_all_flips(
    sizes: list[list[float]], level: float
) -> None:
    """Every choice of signs is played through; nothing is taken from the code but its verdicts."""
    lengths = [len(wave) for wave in sizes]
    flat = [size for wave in sizes for size in wave]
    total = len(flat)
    found = 0
    for signs in itertools.product((1, -1), repeat=total):
        gains = iter([sign * size for sign, size in zip(signs, flat, strict=True)])
        found += accepted([[next(gains) for _ in range(n)] for n in lengths], total, level)
    assert found / 2**total <= level
    assert level < 0.05 or found


def test_one_look_at_whole_gains_is_the_binomial_test() -> None:
    random = Random(3)
    for _ in range(300):
        n, level = random.randint(1, 40), random.choice([0.01, 0.05, 0.1])
        gains = [random.choice([-1.0, 0.0, 1.0, 1.0]) for _ in range(n)]
        wins, moved = gains.count(1.0), n - gains.count(0.0)
        exact = stats.binomtest(wins, moved, alternative="greater").pvalue if moved else 1.0
        assert chance(gains) == pytest.approx(exact)
        # At a grid of sums a look takes all of them whose probability the level allows.
        assert accepted([gains], n, level) == (exact <= level)


def test_gains_of_several_sizes_are_flipped_by_hand() -> None:
    gains = [0.5, -0.25, 1.0, 0.1, 0.7, -0.1, 0.3]
    sums = [
        sum(sign * abs(gain) for sign, gain in zip(signs, gains, strict=True))
        for signs in itertools.product((1, -1), repeat=len(gains))
    ]
    exact = sum(one >= sum(gains) - 1e-9 for one in sums) / len(sums)
    assert chance(gains) == pytest.approx(exact)


@pytest.mark.parametrize("level", [0.5, 0.05, 0.0304, 0.005, 1e-6])
def test_the_gains_needed_are_needed_and_enough(level: float) -> None:
    needed = gains_needed(level)
    assert accepted([[1.0] * needed], needed, level)
    assert chance([1.0] * needed) <= level
    if needed > 1:
        assert not accepted([[1.0] * (needed - 1)], needed - 1, level)


def test_the_levels_of_tests_that_turn_down_add_up() -> None:
    assert sum(level_left(0.05, i, 12) for i in range(12)) == pytest.approx(0.05)
    assert level_left(0.05, 0, 1) == 0.05
    assert sum(level_left(0.05, i, 1000) for i in range(1000)) == pytest.approx(0.05)


def test_nothing_is_given_up_while_it_goes_well() -> None:
    first, second = looks([[1, 1, 0, 0], [-1, -1, 0, -1]], 16, 0.05)
    assert (first.accepted, first.hopeless, first.gain) == (False, False, 2)
    assert (second.accepted, second.hopeless, second.gain) == (False, True, -1)


@pytest.mark.parametrize(("up", "down"), [(0.3, 0.1), (0.5, 0.0), (0.05, 0.05), (0.9, 0.1)])
@pytest.mark.parametrize("level", [0.05, 0.03125, 0.2])
def test_power_is_the_share_of_all_outcomes_that_the_test_shows(
    up: float, down: float, level: float
) -> None:
    """Every way in which 7 examples can go up, go down or stay is played through."""
    chances = {1.0: up, -1.0: down, 0.0: 1 - up - down}
    for n in (1, 5, 7):
        found = sum(
            math.prod(chances[gain] for gain in gains)
            for gains in itertools.product(chances, repeat=n)
            if chance(gains) <= level
        )
        assert power(n, up, down, level) == pytest.approx(found)


def test_the_examples_needed_give_the_power_and_a_tenth_less_does_not() -> None:
    needed = examples_needed(0.15, 0.05, 0.05, 0.8)
    assert needed is not None
    assert power(needed, 0.15, 0.05, 0.05) >= 0.8 > power(int(0.9 * needed), 0.15, 0.05, 0.05)
    assert examples_needed(0.05, 0.05, 0.01, 0.8) is None  # nothing is gained
    assert power(0, 0.5, 0.0, 0.05) == 0.0


def test_examples_like_those_seen_are_enough_for_the_power() -> None:
    """Of scores with half points: so many are drawn from those seen, again and again."""
    nine_and_four = [1.0] * 9 + [-1.0] * 4 + [0.0] * 7
    assert like_needed(nine_and_four, 0.05, 0.8) == examples_needed(0.45, 0.2, 0.05, 0.8)
    assert like_needed([1.0, -1.0, 0.0], 0.05, 0.8) is None
    assert like_needed([1.0] * 51 + [-1.0] * 50, 0.05, 0.8) is None  # far more than ten thousand
    seen = [1.0] * 4 + [0.5] * 6 + [-0.5] * 3 + [0.0] * 7
    needed = like_needed(seen, 0.05, 0.8)
    assert needed is not None
    draw = Random(0)

    def shown(number: int) -> float:
        return sum(accepted([draw.choices(seen, k=number)], number, 0.05) for _ in range(400)) / 400

    assert shown(needed) == pytest.approx(0.8, abs=0.08)
    assert shown(needed // 2) < 0.7


def test_luck_is_the_share_of_all_flips_that_look_like_a_gain() -> None:
    for n, moved in ((1, 0.3), (6, 0.3), (7, 0.5)):
        chances = {1: moved / 2, -1: moved / 2, 0: 1 - moved}
        found = sum(
            math.prod(chances[one] for one in gains)
            for gains in itertools.product(chances, repeat=n)
            if sum(gains) > 0
        )
        assert luck(n, moved) == pytest.approx(found)
    assert luck(20, 0.0) == 0.0


def test_the_largest_share_is_what_leaves_the_sample_a_chance_of_one_in_twenty() -> None:
    for found, among in ((0, 8), (3, 8), (7, 8)):
        share = largest_share(found, among)
        assert stats.binom.cdf(found, among, share) == pytest.approx(0.05)
    assert largest_share(8, 8) == 1.0
