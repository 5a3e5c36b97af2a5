"""How models are reached: what a way to reach them has to offer, and which is whose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from sgdflow.llm import Message, Usage
from sgdflow.llm.failures import Failure
from sgdflow.llm.models import ModelSpec, Price


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered."""

    text: str
    finish: str
    usage: Usage
    cost: float | None
    counted: bool = True
    """Whether the provider said how many tokens these were; otherwise they are estimated."""
    instead: Failure | None = None
    """What came in place of a text."""
    model: str = field(default="", compare=False)
    """Who answered, in the provider's words."""


class Backend(Protocol):
    """A way to reach models: what differs between one transport and another."""

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Get ready to ask these models; raises where what that takes is not installed."""

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Make one attempt; what `failures.classify` does not know is taken for a defect."""

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return what the model's tokens cost, None where nobody knows; nothing is called."""

    async def close(self) -> None:
        """Close what the event loop has opened."""


@runtime_checkable
class KnowsWindows(Protocol):
    """A backend that knows how much models read."""

    def window_of(self, spec: ModelSpec) -> int | None:
        """Return how many tokens the model reads, None where nobody knows; nothing is called."""


def window_of(backend: Backend, spec: ModelSpec) -> int | None:
    """Return how many tokens a model reads, None where its backend does not know."""
    return backend.window_of(spec) if isinstance(backend, KnowsWindows) else None


@runtime_checkable
class KnowsSight(Protocol):
    """A backend that knows which models see."""

    def sees(self, spec: ModelSpec) -> bool:
        """Return whether the model is known to take images; nothing is called."""


def sees(backend: Backend, spec: ModelSpec) -> bool:
    """Return whether a model takes images, as it was declared or as its backend knows."""
    if spec.sees is not None:
        return spec.sees
    return isinstance(backend, KnowsSight) and backend.sees(spec)


class Choosing(ABC):
    """Asks each model through one of several backends."""

    @abstractmethod
    def _of(self, spec: ModelSpec) -> Backend:
        """Return the backend that reaches a model."""

    @abstractmethod
    def _all(self) -> Iterable[Backend]:
        """Return all of them."""

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Get each backend ready to ask its own models."""
        for spec in specs:
            self._of(spec).load([spec])

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Make one attempt."""
        backend = self._of(spec)
        return await backend.ask(spec, messages, sample=sample, key=key, seconds=seconds)

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return what the model's tokens cost, None where nobody knows; nothing is called."""
        return self._of(spec).price_of(spec)

    def window_of(self, spec: ModelSpec) -> int | None:
        """Return how many tokens the model reads, None where nobody knows; nothing is called."""
        return window_of(self._of(spec), spec)

    def sees(self, spec: ModelSpec) -> bool:
        """Return whether the model is known to take images; nothing is called."""
        return sees(self._of(spec), spec)

    async def close(self) -> None:
        """Close what all of them have opened."""
        for backend in self._all():
            await backend.close()


@dataclass(frozen=True)
class ByProvider(Choosing):
    """Asks each model through the backend of its provider."""

    own: Mapping[str, Backend]
    """By provider."""
    others: Backend
    """For all other providers."""

    def _of(self, spec: ModelSpec) -> Backend:
        return self.own.get(spec.provider, self.others)

    def _all(self) -> Iterable[Backend]:
        return (*self.own.values(), self.others)
