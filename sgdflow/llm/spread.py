"""Several addresses of one endpoint: the least busy is asked, one that is down is left out."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from time import monotonic

from sgdflow.llm import Message
from sgdflow.llm.address import plain
from sgdflow.llm.backend import Answer, Backend, Choosing
from sgdflow.llm.failures import classify
from sgdflow.llm.models import ModelSpec

log = logging.getLogger(__name__)

_DOWN = frozenset({"unreachable", "connection"})
_PAUSE, _LONGEST = 1.0, 60.0
"""Seconds for which an address is left out, the first time and at most."""


@dataclass
class _Place:
    """One of the addresses, and how it does."""

    spec: ModelSpec
    busy: int = 0
    turn: int = 0
    """When it was asked last, in calls."""
    pause: float = 0.0
    """For how long it is left out; 0: it is not."""
    until: float = 0.0
    left: float = 0.0
    """When it was left out last."""

    def leave_out(self, began: float, now: float) -> None:
        """Leave it out for longer than before, unless a call that began before that tells of it."""
        if not self.pause or began >= self.left:
            self.pause = min(_LONGEST, 2 * self.pause or _PAUSE)
            self.until, self.left = now + self.pause, now


@dataclass(frozen=True)
class Spread(Choosing):
    """Asks one of a model's addresses, through the same backend.

    One that has failed gets one call, once its pause is over, and the others when that is answered.
    """

    backend: Backend
    clock: Callable[[], float] = monotonic
    _turns: Iterator[int] = field(default_factory=lambda: count(1))
    _places: dict[int, tuple[ModelSpec, Sequence[_Place]]] = field(default_factory=dict)

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Make one attempt; where nothing answers at an address, at the next one."""
        if not spec.others:
            return await self.backend.ask(spec, messages, sample=sample, key=key, seconds=seconds)
        left = list(self._of_model(spec))
        while True:
            place = self._next(left)
            left.remove(place)
            place.busy, place.turn, began = place.busy + 1, next(self._turns), self.clock()
            try:
                answer = await self.backend.ask(
                    place.spec, messages, sample=sample, key=key, seconds=seconds
                )
            except CancelledError:
                if self.clock() - began >= 0.9 * seconds:  # there was no answer in time
                    place.leave_out(began, self.clock())
                raise
            except Exception as error:
                failure = classify(error)
                kind = failure.kind if failure else ""
                if kind in _DOWN:
                    self._is_down(place, spec, began)
                # Where nothing was reached, nothing was asked.
                if kind != "unreachable" or not left:
                    raise
            else:
                place.pause = 0.0
                return answer
            finally:
                place.busy -= 1

    def _next(self, places: Sequence[_Place]) -> _Place:
        now = self.clock()
        ready = [place for place in places if not place.pause or place.until <= now]
        found = min(ready or places, key=lambda place: (place.busy, place.turn))
        if found.pause:
            found.until = now + found.pause
        return found

    def _is_down(self, place: _Place, spec: ModelSpec, began: float) -> None:
        if not place.pause:
            where = plain(place.spec.api_base or "")
            log.warning(
                "%s does not answer for %s (%s) and is left out; from time to time it is tried.",
                where,
                spec.endpoint,
                spec.model,
            )
        place.leave_out(began, self.clock())

    def _of_model(self, spec: ModelSpec) -> Sequence[_Place]:
        if id(spec) not in self._places:
            places = [_Place(replace(spec, api_base=one, others=())) for one in spec.addresses]
            # It holds the model, so that nothing else gets its id.
            self._places[id(spec)] = spec, places
        return self._places[id(spec)][1]

    def _of(self, spec: ModelSpec) -> Backend:
        return self.backend

    def _all(self) -> Iterable[Backend]:
        return (self.backend,)
