"""What was found: one message, with its place and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One message."""

    text: str
    wrong: bool = True
    """Whether results would be wrong or missing; otherwise somebody should look."""
