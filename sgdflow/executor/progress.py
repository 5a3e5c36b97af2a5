"""How far work has come, for whoever watches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
Advance = Callable[[float | None], None]
"""Says that one more is done, and its score if it has one."""


class Progress(Protocol):
    """Watches; it is told of every example, so it has to be quick, and never fails."""

    def step(self, number: int, most: int) -> None:
        """See that a step begins, of so many at most."""

    def expect(self, work: str, total: int) -> Advance:
        """See that so many are to be done; the result is called as each is."""


class Unwatched:
    """Watches nothing."""

    def step(self, number: int, most: int) -> None:
        """See nothing."""

    def expect(self, work: str, total: int) -> Advance:
        """See nothing."""
        return lambda score: None


async def counted(work: Awaitable[T], done: Advance) -> T:
    """Return what the work brings, and say that it is done."""
    result = await work
    done(None)
    return result
