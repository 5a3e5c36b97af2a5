"""Examples that stand twice: within a split, in two splits, or with two answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import combinations

from sgdflow.data import Example, Splits
from sgdflow.data.examples import SPLITS
from sgdflow.errors import listed, plural
from sgdflow.inspection.findings import Finding

_SHOWN = 3

Placed = tuple[str, Example]
"""A split, and one of its examples."""


def data_findings(splits: Splits, inputs: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong with the examples; those with the same inputs are the same.

    Of those that are drawn at random the same may come up again: that alone is no mistake.
    """
    alike: dict[str, list[Placed]] = {}
    for split in SPLITS:
        for example in getattr(splits, split):
            given = [example.inputs.get(name) for name in inputs]
            key = json.dumps(given, sort_keys=True, default=str)
            alike.setdefault(key, []).append((split, example))
    several = [found for found in alike.values() if len(found) > 1]
    kept = [[one for one in found if not one[1].drawn] for found in several]
    for first, second in combinations(SPLITS, 2):
        yield from _leaks(kept, first, second)
    yield from _twice(kept)
    yield from _contradictions(several)


def _leaks(several: Sequence[Sequence[Placed]], first: str, second: str) -> Iterator[Finding]:
    shared = []
    for found in several:
        own = next((one for split, one in found if split == first), None)
        other = next((one for split, one in found if split == second), None)
        if own is not None and other is not None:
            shared.append(f"{own.place} and {other.place}")
    if shared:
        yield Finding(
            f"task.data: {plural(len(shared), 'example')} of {second} also in {first}, so that "
            f"what is learned from is what is scored: {_some(shared)}. Leave one of each pair out."
        )


def _twice(several: Sequence[Sequence[Placed]]) -> Iterator[Finding]:
    for split in SPLITS:
        pairs = []
        for found in several:
            own = [one for where, one in found if where == split]
            pairs += [f"{own[0].place} and {own[1].place}"] if len(own) > 1 else []
        if pairs:
            yield Finding(
                f"task.data: {plural(len(pairs), 'example')} of {split} more than once, which "
                f"counts them more: {_some(pairs)}.",
                wrong=False,
            )


def _contradictions(several: Sequence[Sequence[Placed]]) -> Iterator[Finding]:
    pairs = []
    for found in several:
        (_, first), *others = found
        other = next((one for _, one in others if one.target != first.target), None)
        pairs += [f"{first.place} and {other.place}"] if other is not None else []
    if pairs:
        yield Finding(
            f"task.data: {plural(len(pairs), 'question')} with two different answers, one of which "
            f"is always scored as wrong: {_some(pairs)}. Decide which is right.",
            wrong=False,
        )


def _some(pairs: Sequence[str]) -> str:
    more = f", and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return f"{listed(pairs[:_SHOWN])}{more}"
