"""Examples that the infrastructure kept from an answer: they are asked again, once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sgdflow.data import Example
from sgdflow.llm.failures import KINDS


class Scored(Protocol):
    """What came of an example."""

    @property
    def score(self) -> float | None:
        """Its score, where it has one."""

    @property
    def kind(self) -> str:
        """A short word for why it has none."""

    @property
    def behind(self) -> str:
        """The kind of what kept a judge from its score; empty for all else."""


T = TypeVar("T", bound=Scored)


@dataclass(frozen=True, slots=True)
class Lost:
    """Remembers what was asked again: a request that never gets through must hold up no run."""

    asked: set[tuple[Hashable, str]] = field(default_factory=set)

    def settled(self, key: Hashable, known: Mapping[str, T]) -> Mapping[str, T]:
        """Return what is known, of some parameters, and is not to be asked for again.

        What would fail alike another time, such as code that raises, is settled.
        """
        return {
            name: one
            for name, one in known.items()
            if one.score is not None
            or not _passes(one.behind or one.kind)
            or (key, name) in self.asked
        }

    def todo(
        self, key: Hashable, known: Mapping[str, Scored], examples: Sequence[Example]
    ) -> Sequence[Example]:
        """Return the examples that are asked now, and note which of them again."""
        settled = self.settled(key, known)
        found = [one for one in examples if one.id not in settled]
        self.asked.update((key, one.id) for one in found if one.id in known)
        return found


def _passes(kind: str) -> bool:
    """Say whether what a call failed of may be over later."""
    return kind in KINDS and KINDS[kind].retries > 0
