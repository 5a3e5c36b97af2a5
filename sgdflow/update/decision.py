"""What a gate says of a proposal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Moved:
    """How many examples score higher than before, and how many lower."""

    up: int
    down: int

    @classmethod
    def between(
        cls, before: Mapping[str, float], after: Mapping[str, float], among: Collection[str]
    ) -> Moved:
        """Count them; what could be scored before and has no score now counts as 0."""
        gains = [after.get(i, 0.0) - before[i] for i in among if i in before]
        return cls(
            sum(gain > _ROUNDING for gain in gains), sum(gain < -_ROUNDING for gain in gains)
        )

    def __str__(self) -> str:
        """Return "3 up, 1 down"."""
        return f"{self.up} up, {self.down} down"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided, and why, in words."""

    accepted: bool
    reason: str
    most: float | None = None
    """The highest mean that the proposal could still have had, where not all was scored."""
    gain: float | None = None
    """The sum of gains on the examples seen, where the rule is paired."""
    needed: float | None = None
    """The sum that would have been enough; None: none would."""
    moved: Moved | None = None
    """How many examples gained and lost; None where nothing was compared."""
    constant: str = ""
    """What nearly all answers have become with the proposal, in words; part of the reason."""
    before: int | None = None
    """The step that turned the same down from the same evidence; None: there is none."""
