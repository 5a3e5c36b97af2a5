"""Several addresses of one endpoint: the least busy is asked, one that fails is left out."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from time import monotonic

from sgdflow.llm import Message
from sgdflow.llm.address import plain
from sgdflow.llm.backend import Answer, Backend, Choosing
from sgdflow.llm.failures import KINDS, classify
from sgdflow.llm.models import ModelSpec

log = logging.getLogger(__name__)

_DOWN = frozenset({"unreachable", "connection"})
_ERRS = frozenset({"server", "bad_reply", "rate_limit"})
"""What fails at once: the address would always be the least busy, and draw all calls to itself."""
_PAUSE, _LONGEST = 1.0, 60.0
"""Seconds for which an address is left out, the first time and at most."""


@dataclass
class _Place:
    """One of the addresses, and how it does."""

    address: str
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
    _places: dict[tuple[str, str | None, str], _Place] = field(default_factory=dict)
    _of_spec: dict[int, tuple[ModelSpec, dict[str, ModelSpec]]] = field(default_factory=dict)

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
        specs = self._specs(spec)
        left = [self._place(spec, address) for address in specs]
        while True:
            place = self._next(left)
            left.remove(place)
            place.busy, place.turn, began = place.busy + 1, next(self._turns), self.clock()
            try:
                answer = await self.backend.ask(
                    specs[place.address], messages, sample=sample, key=key, seconds=seconds
                )
            except CancelledError:
                if self.clock() - began >= 0.9 * seconds:  # there was no answer in time
                    self._leave_out(place, spec, began, "does not answer in time")
                raise
            except Exception as error:
                failure = classify(error)
                kind = failure.kind if failure else ""
                if kind in _DOWN:
                    self._leave_out(place, spec, began, "does not answer", at_once=True)
                elif kind in _ERRS:
                    self._leave_out(place, spec, began, f"keeps failing ({KINDS[kind].means})")
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

    def _leave_out(
        self, place: _Place, spec: ModelSpec, began: float, why: str, *, at_once: bool = False
    ) -> None:
        """Leave an address out; what one call may have met by itself is told the second time."""
        before = place.pause
        place.leave_out(began, self.clock())
        if before == (0.0 if at_once else _PAUSE) and place.pause > before:
            log.warning(
                "%s %s for %s (%s) and is left out; from time to time it is tried.",
                plain(place.address),
                why,
                spec.endpoint,
                spec.model,
            )

    def _place(self, spec: ModelSpec, address: str) -> _Place:
        """Return how an address does, which is one thing for all roles of a model."""
        who = spec.model, spec.endpoint, address
        return self._places.setdefault(who, _Place(address))

    def _specs(self, spec: ModelSpec) -> Mapping[str, ModelSpec]:
        if id(spec) not in self._of_spec:
            specs = {one: replace(spec, api_base=one, others=()) for one in spec.addresses}
            # It holds the model, so that nothing else gets its id.
            self._of_spec[id(spec)] = spec, specs
        return self._of_spec[id(spec)][1]

    def _of(self, spec: ModelSpec) -> Backend:
        return self.backend

    def _all(self) -> Iterable[Backend]:
        return (self.backend,)
