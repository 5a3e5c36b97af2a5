"""Models that answer so many calls, and the same request more than once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sgdflow.errors import CallFailed
from sgdflow.llm import LLM, Message, Reply, Spent

_APART = 10_000_000
"""Between the sample numbers of a request and of the same one asked again."""
OVER = "probe"
"""The kind of failure of a call that there was none left for."""


class Capped:
    """Lets so many calls through; each one after them fails by itself."""

    def __init__(self, llm: LLM, most: int) -> None:
        self._llm, self._most = llm, most
        self.made = 0
        """Calls so far, those included that were answered from memory."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return the reply; raises CallFailed where no call is left."""
        if self.made >= self._most:
            raise CallFailed(f"no call is left (probe.calls={self._most})", OVER)
        self.made += 1
        return await self._llm.complete(role, messages, node=node, sample=sample)

    def spent(self) -> Mapping[str, Spent]:
        """Return what has been used so far, by role."""
        return self._llm.spent()


@dataclass(frozen=True, slots=True)
class Again:
    """Asks what was asked before, with sample numbers of its own."""

    llm: LLM

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return another reply to the same request."""
        return await self.llm.complete(role, messages, node=node, sample=sample + _APART)

    def spent(self) -> Mapping[str, Spent]:
        """Return what has been used so far, by role."""
        return self.llm.spent()
