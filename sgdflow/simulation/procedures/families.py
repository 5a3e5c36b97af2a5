"""The families of questions that the world understands."""

from __future__ import annotations

from sgdflow.simulation.procedures import (
    arithmetic,
    brackets,
    counting,
    lies,
    logic,
    navigation,
    sorting,
    swaps,
    temporal,
)
from sgdflow.simulation.procedures.question import Family

FAMILIES: tuple[Family, ...] = (
    sorting.FAMILY,
    logic.FAMILY,
    arithmetic.FAMILY,
    counting.FAMILY,
    navigation.FAMILY,
    brackets.FAMILY,
    lies.FAMILY,
    swaps.FAMILY,
    temporal.FAMILY,
)
