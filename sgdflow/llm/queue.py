"""The queue of calls in front of a provider: how many at once, how much a minute, who is next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from sgdflow.llm.models import Limits, Share

_MINUTE = 60.0


class Window:
    """Keeps what is used in any 60 seconds to a limit; times are given by the caller."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[list[float]] = deque()
        self._used = 0.0

    def wait(self, amount: float, now: float) -> float:
        """Return the seconds until there is room; what exceeds the limit alone waits for all."""
        self._forget(now)
        over = self._used + min(amount, self._limit) - self._limit
        if over <= 0:
            return 0.0
        for began, used in self._entries:
            over -= used
            if over <= 0:
                return began + _MINUTE - now
        return _MINUTE

    def take(self, amount: float, now: float) -> list[float]:
        """Use so much; return the entry, to be corrected when the true amount is known."""
        self._used += amount
        self._entries.append([now, amount])
        return self._entries[-1]

    def correct(self, entry: list[float], amount: float) -> None:
        """Say what was really used."""
        if self._entries and entry[0] >= self._entries[0][0]:
            self._used += amount - entry[1]
            entry[1] = amount

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0][0] <= now - _MINUTE:
            self._used -= self._entries.popleft()[1]


_START = 64


class Slots:
    """Slots for calls; more while calls succeed, half as many when a provider says 429.

    Until the first 429 each success adds one, so that the number doubles with each round of
    calls; from then on a whole round adds one.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = float(min(most, _START))
        """How many there are."""
        self.busy = 0
        self._steady = False
        self._cut = float("-inf")

    @property
    def free(self) -> bool:
        """Whether a call may begin."""
        return self.busy < int(self.now)

    def succeeded(self) -> None:
        """See a reply."""
        self.now = min(self.most, self.now + (1 / self.now if self._steady else 1))

    def throttled(self, began: float, now: float) -> None:
        """See that a call which began then was refused as one too many.

        Calls that were under way together are one sign, not many.
        """
        if began >= self._cut:
            self.now, self._steady, self._cut = max(1.0, self.now / 2), True, now


@dataclass(frozen=True)
class Turn:
    """A call that may be made."""

    role: str
    began: float
    tokens: list[tuple[Window, list[float]]] = field(default_factory=list)


@dataclass(frozen=True)
class _Waiting:
    number: int
    tokens: int
    turn: asyncio.Future[Turn]


@dataclass(frozen=True)
class _Rates:
    requests: Window | None
    tokens: Window | None

    def wait(self, tokens: int, now: float) -> float:
        by_requests = self.requests.wait(1, now) if self.requests else 0.0
        return max(by_requests, self.tokens.wait(tokens, now) if self.tokens else 0.0)

    def take(self, turn: Turn, tokens: int, now: float) -> None:
        if self.requests:
            self.requests.take(1, now)
        if self.tokens:
            turn.tokens.append((self.tokens, self.tokens.take(tokens, now)))


class Line:
    """Lets calls go in the order they came, those of a role that has to wait after others.

    Belongs to one event loop.
    """

    def __init__(self, limits: Limits, roles: Iterable[str]) -> None:
        shares = {role: limits.roles.get(role, Share()) for role in roles}
        self._most, self._busy = limits.concurrency, 0
        self._slots = {
            role: Slots(min(share.concurrency or self._most, self._most))
            for role, share in shares.items()
        }
        self._total = _rates(limits)
        self._rates = {role: _rates(share) for role, share in shares.items()}
        self._queues: dict[str, deque[_Waiting]] = {role: deque() for role in shares}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, role: str, tokens: int) -> Turn:
        """Wait for a turn, which has to be given back with `leave`."""
        self._number += 1
        turn = asyncio.get_running_loop().create_future()
        self._queues[role].append(_Waiting(self._number, tokens, turn))
        self._admit()
        try:
            found: Turn = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(turn.result())
            raise
        return found

    def leave(
        self, turn: Turn, *, tokens: int | None = None, succeeded: bool = False, full: bool = False
    ) -> None:
        """Give a turn back; say the tokens it used, whether it succeeded or was one too many."""
        slots = self._slots[turn.role]
        slots.busy -= 1
        self._busy -= 1
        if succeeded:
            slots.succeeded()
        if full:
            slots.throttled(turn.began, asyncio.get_running_loop().time())
        if tokens is not None:
            for window, entry in turn.tokens:
                window.correct(entry, tokens)
        self._admit()

    @property
    def busy(self) -> int:
        """How many calls are under way."""
        return self._busy

    def concurrency(self) -> Mapping[str, tuple[int, int]]:
        """Return the calls that each role may make at once now, and at most."""
        return {role: (int(slots.now), slots.most) for role, slots in self._slots.items()}

    def _admit(self) -> None:
        if self._busy >= self._most:  # who ends a call calls again
            return
        now = asyncio.get_running_loop().time()
        blocked: set[str] = set()
        soonest = inf
        while head := self._head(blocked):
            role, waiting = head
            wait = self._wait(role, waiting.tokens, now)
            if wait > 0:
                blocked.add(role)
                soonest = min(soonest, wait)
                continue
            self._queues[role].popleft()
            waiting.turn.set_result(self._take(role, waiting.tokens, now))
        if soonest < inf:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(soonest, self._admit)

    def _head(self, blocked: set[str]) -> tuple[str, _Waiting] | None:
        """Return who came first of those whose role need not wait."""
        first: tuple[str, _Waiting] | None = None
        for role, queue in self._queues.items():
            while queue and queue[0].turn.cancelled():
                queue.popleft()
            if queue and role not in blocked and (not first or queue[0].number < first[1].number):
                first = role, queue[0]
        return first

    def _wait(self, role: str, tokens: int, now: float) -> float:
        """Return the seconds to wait: 0 for none, inf until another call has ended."""
        if self._busy >= self._most or not self._slots[role].free:
            return inf
        return max(self._total.wait(tokens, now), self._rates[role].wait(tokens, now))

    def _take(self, role: str, tokens: int, now: float) -> Turn:
        turn = Turn(role, now)
        self._busy += 1
        self._slots[role].busy += 1
        self._total.take(turn, tokens, now)
        self._rates[role].take(turn, tokens, now)
        return turn


def _rates(limits: Limits | Share) -> _Rates:
    requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
    return _Rates(Window(requests) if requests else None, Window(tokens) if tokens else None)
