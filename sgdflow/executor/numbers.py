"""Numbers that are optimised: a parameter whose texts are numbers within declared bounds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from sgdflow.errors import listed

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_EXACT = 1e-6
"""How far from a step a number may be, in steps: 0.1 is none of a computer's."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Those that a parameter may be: between two bounds, in steps or not; or one of a list."""

    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    listed: tuple[float, ...] = ()
    """The only ones; empty: all between the bounds."""

    def __str__(self) -> str:
        if self.listed:
            return f"one of {listed(map(plain, self.listed))}"
        bounds = f"from {plain(self.low)} to {plain(self.high)}"
        if self.whole and self.step == 1:
            return f"a whole number {bounds}"
        steps = f", in steps of {plain(self.step)}" if self.step is not None else ""
        return f"a number {bounds}{steps}"

    @property
    def whole(self) -> bool:
        """Return whether all of them are whole numbers."""
        return all(float(one).is_integer() for one in self.listed or (self.low, self.step or 0.5))

    @property
    def largest(self) -> float:
        """Return the largest of them."""
        return max(self.listed or (self.high,))

    def read(self, text: str) -> float:
        """Return the number that a text is, whole ones as int; raises ValueError for another."""
        said = text.strip()
        if not _NUMBER.fullmatch(said):
            raise ValueError(f"it is no number; write {self} and nothing else")
        number = float(said)
        if not self._has(number):
            raise ValueError(f"it is not {self}")
        if said != plain(number):
            raise ValueError(f"the number is written {plain(number)}")
        return int(number) if number.is_integer() else number

    def _has(self, number: float) -> bool:
        if self.listed:
            return number in self.listed
        if not self.low <= number <= self.high:
            return False
        if self.step is None:
            return True
        steps = (number - self.low) / self.step
        return math.isclose(steps, round(steps), rel_tol=0, abs_tol=_EXACT)


def plain(number: float) -> str:
    """Return a number as it is written in parameters."""
    exact = float(number)
    return str(int(exact)) if exact.is_integer() else format(Decimal(repr(exact)), "f")
