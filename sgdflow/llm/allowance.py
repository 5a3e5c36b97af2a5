"""How much calls may take, and what stops them when they have taken it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sgdflow.errors import BudgetSpent
from sgdflow.llm import Spent


@dataclass(frozen=True, slots=True)
class Allowance:
    """What calls may take; None: any amount."""

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    """US dollars."""

    def used_up(self, spent: Spent) -> str:
        """Return which of it is used up, as "5 calls of 5"; an empty string while none is."""
        tokens = spent.usage.prompt + spent.usage.completion
        for used, most, what in (
            (spent.calls, self.calls, "calls"),
            (tokens, self.tokens, "tokens"),
        ):
            if most is not None and used >= most:
                return f"{used} {what} of {most}"
        if self.cost is None:
            return ""
        if spent.cost is None:
            return f"the cost is not known, so that ${self.cost:g} cannot be kept to"
        return f"${spent.cost:.4f} of ${self.cost:g}" if spent.cost >= self.cost else ""


class Cap:
    """Lets no call begin once the allowance is used up; belongs to one event loop."""

    def __init__(self, allowance: Allowance, took: Spent) -> None:
        self._allowance = allowance
        self._took = took
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, spent: Spent) -> None:
        """See what a call took."""
        self._took += spent

    def beside(self, spent: Spent) -> None:
        """See what the one word took that a model is asked for, which is no part of the run."""

    def found(self, spent: Spent) -> None:
        """See what a stored reply had taken."""
        self.add(spent)

    async def enter(self, tokens: int = 0) -> None:
        """Return where a call may begin; raise BudgetSpent where not.

        That is raised when the calls under way have ended: their replies are paid for.
        """
        if not (used_up := self._allowance.used_up(self._took)):
            return
        await self._idle.wait()
        raise BudgetSpent(f"budget: {used_up} (llm.limits.budget)")

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Make a call inside."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def close(self) -> None:
        """Give back what is kept open."""
