"""Examples, what a source offers of them, and the splits of a run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgdflow.errors import DataError, did_you_mean, listed, plural

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Example:
    """One query with the answer that is expected."""

    id: str
    """Unique in its task; inputs may repeat, ids may not."""
    inputs: Mapping[str, Any]
    """Values of the graph's inputs, by name."""
    target: Any
    where: str = field(default="", compare=False)
    """The file and line it comes from, for error messages."""
    drawn: bool = field(default=False, compare=False)
    """Whether it was drawn at random, so that the same may well come up again."""

    @property
    def place(self) -> str:
        """Return where it stands, for error messages."""
        return self.where or f"example {self.id}"


@dataclass(frozen=True, slots=True)
class Splits:
    """Disjoint examples of one run."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Pools:
    """What a source offers: one pool to be divided, or parts that it keeps apart itself."""

    shared: tuple[Example, ...] = ()
    train: tuple[Example, ...] = ()
    validation: tuple[Example, ...] = ()
    """Empty: the validation split is cut from train."""
    test: tuple[Example, ...] = ()
    """Empty: the test split is cut from train."""

    def __post_init__(self) -> None:
        """Refuse a source that is both."""
        if self.shared and (self.train or self.validation or self.test):
            raise DataError("A source has either one shared pool or parts of its own, not both.")


def draw(pools: Pools, sizes: Mapping[str, int | None], seed: int) -> Splits:
    """Return splits of the given sizes; a size of None takes all that is left of its pool.

    Each pool is shuffled once, in an order that depends on the seed alone, and cut in the
    order train, validation, test: a larger test split leaves the other two as they are.
    """
    _check_sizes(sizes)
    _check_ids(pools)
    drawn: dict[str, tuple[Example, ...]] = {}
    for pool, examples, splits in _sources(pools):
        shuffled = list(examples)
        # Text seeds are hashed by the generator itself; whole numbers lose their sign there.
        random.Random(f"{seed}/{pool}").shuffle(shuffled)
        start = 0
        for split, size in _cuts(len(shuffled), {name: sizes[name] for name in splits}).items():
            drawn[split] = tuple(shuffled[start : start + size])
            start += size
    for split in ("train", "test"):
        if not drawn[split]:
            raise DataError(f"task.splits.{split} is empty; a run needs at least one example.")
    return Splits(**drawn)


def _sources(pools: Pools) -> Iterator[tuple[str, Sequence[Example], list[str]]]:
    if pools.shared:
        yield "shared", pools.shared, list(SPLITS)
        return
    own = [split for split in ("validation", "test") if getattr(pools, split)]
    yield "train", pools.train, [split for split in SPLITS if split not in own]
    for split in own:
        yield split, getattr(pools, split), [split]


def _cuts(total: int, sizes: Mapping[str, int | None]) -> dict[str, int]:
    """Return the size of each split that is cut from one pool of `total` examples."""
    open_ended = [split for split, size in sizes.items() if size is None]
    if len(open_ended) > 1:
        keys = " and ".join(f"task.splits.{split}" for split in open_ended)
        all_of_them, rest = ("both", "other") if len(open_ended) == 2 else ("all", "others")
        raise DataError(
            f"{keys} are {all_of_them} null, but only one of them can have all that is left of "
            f"the same examples. Give the {rest} a number."
        )
    taken: dict[str, int] = {}
    for split, size in sizes.items():
        left = total - sum(taken.values())
        if size is not None and size > left:
            before = "".join(f", {name} takes {taken[name]}" for name in taken)
            raise DataError(
                f"task.splits.{split} asks for {plural(size, 'example')}, but there are {left} "
                f"(of {total} in all{before})."
            )
        taken[split] = size or 0
    left = total - sum(taken.values())
    return {split: left if size is None else size for split, size in sizes.items()}


def _check_sizes(sizes: Mapping[str, int | None]) -> None:
    for split in sizes:
        if split not in SPLITS:
            raise DataError(
                f"task.splits has no split '{split}'.{did_you_mean(str(split), SPLITS)} "
                f"Known: {listed(SPLITS)}."
            )
    for split in SPLITS:
        if split not in sizes:
            raise DataError(f"task.splits.{split} is missing; give a number or null.")
        size = sizes[split]
        if size is not None and (type(size) is not int or size < 0):
            raise DataError(
                f"task.splits.{split} is {size!r}; expected a number from 0 up, "
                "or null for all that is left."
            )


def _check_ids(pools: Pools) -> None:
    seen: dict[str, str] = {}
    for part in ("shared", *SPLITS):
        for example in getattr(pools, part):
            if example.id in seen:
                where = " and ".join(dict.fromkeys((seen[example.id], part)))
                raise DataError(
                    f"Two examples have the id '{example.id}' (part: {where}); ids must be "
                    "unique, or the splits would not be disjoint. A table's ids come from "
                    "the column that task.id names; null numbers the rows."
                )
            seen[example.id] = part
