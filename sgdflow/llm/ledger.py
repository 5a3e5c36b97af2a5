"""Adds up what calls took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from sgdflow.llm import Spent


class Ledger:
    """Calls, tokens and cost by role; exact, so that the order of calls makes no difference."""

    def __init__(self, roles: Iterable[str]) -> None:
        self._sums = {role: Spent(cost=None) for role in roles}
        self._costs: dict[str, Fraction | None] = {role: Fraction() for role in self._sums}

    def add(self, role: str, spent: Spent) -> None:
        """Add what a call took; an unknown cost makes the sum unknown."""
        self._sums[role] += spent
        sofar = self._costs[role]
        unknown = sofar is None or spent.cost is None
        self._costs[role] = None if unknown else (sofar or 0) + Fraction(spent.cost or 0)

    def spent(self) -> Mapping[str, Spent]:
        """Return the sums by role."""
        return {role: self._sum(role) for role in self._sums}

    def total(self) -> Spent:
        """Return the sum over all roles."""
        whole = Ledger(["all"])
        for spent in self.spent().values():
            whole.add("all", spent)
        return whole.spent()["all"]

    def _sum(self, role: str) -> Spent:
        cost = self._costs[role]
        return replace(self._sums[role], cost=None if cost is None else float(cost))
