"""Replies that are drawn for one asker, whoever else asks the same, and whenever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sgdflow.llm import LLM, Message, Reply, Spent

_SHIFT = 100_000
"""More than there are samples of one asker."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Models that count what one of several asks, who ask at the same time, by itself.

    It makes a difference only where a model answers at random: which draw an asker gets then
    depends on who it is and how often it has asked, and not on who was faster.
    """

    llm: LLM
    asker: str
    place: int = 0
    """Which of them it is, where a seed that is sent has to tell them apart, too."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return the reply to this asker."""
        first, *others = messages
        mine = (replace(first, asker=self.asker, shift=_SHIFT * self.place), *others)
        return await self.llm.complete(role, mine, node=node, sample=sample)

    def spent(self) -> Mapping[str, Spent]:
        """Return what all have used."""
        return self.llm.spent()
