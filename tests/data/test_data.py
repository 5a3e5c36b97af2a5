"""Examples divided into splits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdflow.data import Example, Pools, draw
from sgdflow.errors import DataError

ROOT = Path(__file__).parents[2]


def examples(name: str, count: int) -> tuple[Example, ...]:
    return tuple(Example(f"{name}/{n}", {"question": f"{name} {n}"}, n) for n in range(count))


def ids(split: tuple[Example, ...]) -> list[str]:
    return [example.id for example in split]


def error(function: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def test_draw_divides_one_pool() -> None:
    pool = examples("q", 10)
    splits = draw(Pools(shared=pool), {"train": 3, "validation": 2, "test": None}, seed=0)
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [3, 2, 5]
    assert sorted(ids(splits.train + splits.validation + splits.test)) == sorted(ids(pool))


def test_draw_keeps_the_parts_of_the_source() -> None:
    pools = Pools(train=examples("a", 9), validation=examples("b", 5), test=examples("c", 6))
    splits = draw(pools, {"train": 4, "validation": None, "test": 2}, seed=1)
    assert {id.split("/")[0] for id in ids(splits.train)} == {"a"}
    assert {id.split("/")[0] for id in ids(splits.validation)} == {"b"}
    assert {id.split("/")[0] for id in ids(splits.test)} == {"c"}
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [4, 5, 2]


def test_draw_cuts_absent_parts_from_train() -> None:
    without_validation = Pools(train=examples("a", 9), test=examples("c", 6))
    splits = draw(without_validation, {"train": 4, "validation": None, "test": None}, seed=1)
    assert sorted(ids(splits.train + splits.validation)) == ids(examples("a", 9))
    assert sorted(ids(splits.test)) == ids(examples("c", 6))
    without_test = Pools(train=examples("a", 9), validation=examples("b", 5))
    splits = draw(without_test, {"train": 4, "validation": 0, "test": None}, seed=1)
    assert (len(splits.test), splits.validation) == (5, ())
    assert not set(ids(splits.test)) & set(ids(splits.train))


def test_draw_depends_on_the_seed_alone() -> None:
    pools, sizes = Pools(shared=examples("q", 50)), {"train": 5, "validation": 5, "test": 5}
    drawn = {seed: ids(draw(pools, sizes, seed).train) for seed in (-1, 0, 1, 2)}
    assert len({tuple(train) for train in drawn.values()}) == 4
    # Fixed, so that results of earlier versions can be repeated.
    assert drawn[0] == ["q/34", "q/37", "q/31", "q/6", "q/10"]
    code = (
        "from sgdflow.data import *\n"
        "pools = Pools(shared=tuple(Example(f'q/{n}', {}, n) for n in range(50)))\n"
        "splits = draw(pools, {'train': 5, 'validation': 5, 'test': 5}, 0)\n"
        "import sys; sys.stdout.write(' '.join(e.id for e in splits.train))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.split() == drawn[0]


def test_a_larger_test_split_leaves_the_others_as_they_are() -> None:
    pools = Pools(shared=examples("q", 50))
    small = draw(pools, {"train": 5, "validation": 5, "test": 5}, seed=3)
    large = draw(pools, {"train": 5, "validation": 5, "test": None}, seed=3)
    assert (small.train, small.validation) == (large.train, large.validation)
    assert large.test[:5] == small.test


@given(
    total=st.integers(2, 60),
    test_part=st.integers(0, 20),
    validation_part=st.integers(0, 20),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(),
    rest=st.sampled_from(["train", "validation", "test", None]),
)
def test_draw_property(
    total: int,
    test_part: int,
    validation_part: int,
    shares: tuple[float, float],
    seed: int,
    rest: str | None,
) -> None:
    if test_part or validation_part:
        pools = Pools(
            train=examples("a", total),
            validation=examples("b", validation_part),
            test=examples("c", test_part),
        )
    else:
        pools = Pools(shared=examples("a", total))
    sizes: dict[str, int | None] = {"train": 1 + int(shares[0] * (total - 2)), "test": 1}
    left = total - 1 - (sizes["train"] or 0)
    sizes["validation"] = int(shares[1] * (validation_part or left))
    if rest is not None:
        sizes[rest] = None
    splits = draw(pools, sizes, seed)
    everything = ids(splits.train + splits.validation + splits.test)
    assert len(everything) == len(set(everything))
    for split, size in sizes.items():
        assert size in (None, len(getattr(splits, split)))
    if rest is not None and pools.shared:
        assert len(everything) == total
    assert draw(pools, sizes, seed) == splits


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"train": 4, "validation": 30, "test": None},
            "task.splits.validation asks for 30 examples, but there are 6 "
            "(of 10 in all, train takes 4).",
        ),
        (
            {"train": 11, "validation": 0, "test": None},
            "task.splits.train asks for 11 examples, but there are 10 (of 10 in all).",
        ),
        (
            {"train": None, "validation": 5, "test": 6},
            "task.splits.test asks for 6 examples, but there are 5 "
            "(of 10 in all, train takes 0, validation takes 5).",
        ),
        (
            {"train": 4, "validation": None, "test": None},
            "task.splits.validation and task.splits.test are both null, but only one of them "
            "can have all that is left of the same examples. Give the other a number.",
        ),
        (
            {"train": None, "validation": None, "test": None},
            "task.splits.train and task.splits.validation and task.splits.test are all null, but "
            "only one of them can have all that is left of the same examples. Give the others a "
            "number.",
        ),
        (
            {"train": 0, "validation": 5, "test": 5},
            "task.splits.train is empty; a run needs at least one example.",
        ),
        (
            {"train": 4, "validation": 6, "test": None},
            "task.splits.test is empty; a run needs at least one example.",
        ),
        (
            {"train": 4, "valdation": 6, "test": None},
            "task.splits has no split 'valdation'. Did you mean 'validation'? "
            "Known: train, validation, test.",
        ),
        (
            {"train": 4, "test": None},
            "task.splits.validation is missing; give a number or null.",
        ),
        (
            {"train": -1, "validation": 0, "test": 1},
            "task.splits.train is -1; expected a number from 0 up, or null for all that is left.",
        ),
        (
            {"train": True, "validation": 0, "test": 1},
            "task.splits.train is True; expected a number from 0 up, or null for all that is left.",
        ),
        (
            {"train": 0.5, "validation": 0, "test": 1},
            "task.splits.train is 0.5; expected a number from 0 up, or null for all that is left.",
        ),
    ],
)
def test_draw_refuses_sizes(sizes: Any, message: str) -> None:
    assert error(draw, Pools(shared=examples("q", 10)), sizes, seed=0) == message


def test_draw_names_what_one_part_of_the_source_holds() -> None:
    pools = Pools(train=examples("a", 9), test=examples("c", 6))
    message = error(draw, pools, {"train": 4, "validation": 0, "test": 7}, seed=0)
    assert message == "task.splits.test asks for 7 examples, but there are 6 (of 6 in all)."


def test_draw_refuses_ids_that_occur_twice() -> None:
    sizes = {"train": 1, "validation": 0, "test": 1}
    advice = (
        "ids must be unique, or the splits would not be disjoint. A table's ids come from "
        "the column that task.id names; null numbers the rows."
    )
    twice = Pools(train=examples("a", 3), test=examples("a", 1))
    assert error(draw, twice, sizes, seed=0) == (
        f"Two examples have the id 'a/0' (part: train and test); {advice}"
    )
    twice = Pools(shared=examples("a", 3) + examples("a", 1))
    assert error(draw, twice, sizes, seed=0) == (
        f"Two examples have the id 'a/0' (part: shared); {advice}"
    )


def test_pools_are_shared_or_kept_apart() -> None:
    message = "A source has either one shared pool or parts of its own, not both."
    assert error(Pools, shared=examples("a", 1), test=examples("b", 1)) == message
