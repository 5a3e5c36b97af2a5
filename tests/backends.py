"""What a backend has to have besides an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgdflow.llm import Message
from sgdflow.llm.backend import Answer
from sgdflow.llm.models import ModelSpec, Price


class Answering:
    """A backend without prices, connections or anything to load; how it answers is left open."""

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Do nothing."""

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Answer a request: left to those that are built on this."""
        raise NotImplementedError

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return no price."""
        return None

    async def close(self) -> None:
        """Do nothing."""
