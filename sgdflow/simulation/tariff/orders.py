"""Orders and the graph that prices them, generated from a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any, Literal

from sgdflow.data import Example, Pools
from sgdflow.simulation.tariff.parts import PARTS

Family = Literal["sum", "product"]
ASSUMED: Mapping[Family, int] = {"sum": 10, "product": 2}
"""What a worker assumes where it knows nothing; one class of each part really costs that."""
ABSENT: Mapping[Family, int] = {"sum": 0, "product": 1}
_VALUES: Mapping[Family, range] = {"sum": range(3, 41), "product": range(3, 10)}

Tariff = Mapping[str, Mapping[str, int]]
"""Part -> class -> price (or factor)."""


def orders(*, family: Family, parts: int, count: int, seed: int, most: int | None = None) -> Pools:
    """Return priced orders; the tariff itself is nowhere in them.

    Every order has some of the parts: one part in about a third of the orders, so that
    knowledge can start there, and all numbers of parts up to `most` (or all) in the others.
    """
    if family not in ASSUMED:
        raise ValueError(f"family is {family!r}; there are {', '.join(ASSUMED)}")
    if most is not None and not 1 <= most <= parts:
        raise ValueError(f"most is {most}; an order of this tariff has 1 to {parts} parts")
    random = Random(f"{seed}/tariff/{family}/{parts}")
    tariff = _tariff(family, _names(parts), random)
    examples = []
    for index in range(count):
        chosen = _order(tariff, most or parts, random)
        text = "Price this order. " + " ".join(
            f"{part.capitalize()}: {chosen.get(part, 'none')}." for part in tariff
        )
        values = [tariff[part][kind] for part, kind in chosen.items()]
        total = sum(values) if family == "sum" else math.prod(values)
        inputs = {"order": text, "question": text}
        examples.append(Example(f"tariff/{index}", inputs, str(total), drawn=True))
    return Pools(shared=tuple(examples))


def desk(*, name: str, family: Family, parts: int) -> Mapping[str, Any]:
    """Return the declaration of a graph with one analyst for each part and a desk."""
    if family == "sum":
        price, combine = "Price the {part} of the order.", "Add up the prices of the parts."
    else:
        price, combine = "Give the factor for the {part} of the order.", "Multiply the factors."
    analysts = {
        part: {
            "predecessors": ["order"],
            "parameters": {"instruction": price.format(part=part)},
        }
        for part in _names(parts)
    }
    final = {"predecessors": list(analysts), "parameters": {"instruction": combine}}
    return {
        "name": name,
        "inputs": ["order"],
        "nodes": {**analysts, "desk": final},
        "output": "desk",
    }


def _names(parts: int) -> tuple[str, ...]:
    if not 1 <= parts <= len(PARTS):
        raise ValueError(f"parts is {parts}; the tariff has 1 to {len(PARTS)} parts")
    return tuple(PARTS)[:parts]


def _tariff(family: Family, parts: tuple[str, ...], random: Random) -> Tariff:
    tariff = {}
    for part in parts:
        classes = list(PARTS[part])
        pool = [value for value in _VALUES[family] if value != ASSUMED[family]]
        values = [*random.sample(pool, len(classes) - 1), ASSUMED[family]]
        random.shuffle(values)
        tariff[part] = dict(zip(classes, values, strict=True))
    return tariff


def _order(tariff: Tariff, most: int, random: Random) -> Mapping[str, str]:
    size = 1 if random.random() < 0.25 else random.randint(1, most)
    present = set(random.sample(list(tariff), size))
    return {part: random.choice(list(tariff[part])) for part in tariff if part in present}
