"""What a gate says of a proposal."""

from __future__ import annotations

from dataclasses import dataclass


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
