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


class Joined:
    """Shows what several do at the same time as one piece of work, of the kind begun last."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._work = progress, ""
        self._total = 0
        self._scores: list[float | None] = []
        self._advance: Advance = lambda score: None

    def step(self, number: int, most: int) -> None:
        """Leave it to who takes the step, which is one."""

    def expect(self, work: str, total: int) -> Advance:
        """Add what is to be done to what is left of the same kind."""
        if work != self._work or len(self._scores) >= self._total:
            self._work, self._total, self._scores = work, 0, []
        self._total += total
        self._advance = self._progress.expect(work, self._total)
        for score in self._scores:
            self._advance(score)
        shown = self._scores

        def done(score: float | None) -> None:
            if shown is self._scores:  # and no other work has begun since
                shown.append(score)
                self._advance(score)

        return done


async def counted(work: Awaitable[T], done: Advance) -> T:
    """Return what the work brings, and say that it is done."""
    result = await work
    done(None)
    return result
