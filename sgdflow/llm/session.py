"""What one process really sent, and how long the answers took."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import ceil

from sgdflow.llm.ledger import Ledger


class Session:
    """Counts calls really made; nothing in it is part of a run's result."""

    def __init__(self, roles: Iterable[str]) -> None:
        roles = tuple(roles)
        self.sent = Ledger(roles)
        self.stored = 0
        """Replies that the store had."""
        self._latencies = {role: array("d") for role in roles}

    @property
    def latencies(self) -> Mapping[str, Sequence[float]]:
        """Seconds of each answered call, by role, in the order of the answers."""
        return self._latencies

    def answered(self, role: str, seconds: float) -> None:
        """See how long an answered call took, waiting in line aside."""
        self._latencies[role].append(seconds)

    def words(self) -> str:
        """Say it in a line."""
        sent = self.sent.total()
        cost = "cost unknown" if sent.cost is None else f"${sent.cost:.4g}"
        words = f"{sent.calls} calls ({cost}), {self.stored} replies from the store"
        if took := list(chain.from_iterable(self._latencies.values())):
            half, most = percentile(took, 50), percentile(took, 95)
            words += f"; half of them within {half:.2g} s, 95 % within {most:.2g} s"
        return words


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that at least so many percent of them do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * share / 100) - 1)]
