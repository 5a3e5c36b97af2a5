"""What was made for the objects that were asked about last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_MOST = 8
"""Candidates that are scored side by side rarely are more."""


@dataclass(frozen=True, slots=True)
class Recent(Generic[T]):
    """Keeps what was made for a few objects, which are told apart by identity."""

    entries: list[tuple[object, dict[Any, T]]] = field(default_factory=list)

    def of(self, asked: object) -> dict[Any, T]:
        """Return what was made for an object so far, to be added to."""
        for one, made in self.entries:
            if one is asked:
                return made
        made = {}
        self.entries[:] = [*self.entries[1 - _MOST :], (asked, made)]
        return made
