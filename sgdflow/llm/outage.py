"""Waiting for an endpoint that gives no reply to anybody, and telling it from a bad request."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from time import monotonic

from sgdflow.errors import EndpointDown
from sgdflow.llm.failures import Failure, at, reason
from sgdflow.llm.models import ModelSpec
from sgdflow.llm.sharing import InFlight
from sgdflow.secrets import Redactor

log = logging.getLogger(__name__)

KINDS = frozenset({"connection", "rate_limit", "server", "timeout", "unreachable"})
"""What an endpoint does that is down: none of it need be about a request."""
_LONGEST_PAUSE = 60.0

Ask = Callable[[str, ModelSpec], Awaitable[Failure | None]]
"""Asks a model, for a role, for one word; returns why there is none."""


class Outages:
    """Waits until an endpoint answers again; belongs to one event loop.

    All who wait for the same endpoint wait together, and one of them asks it for a word now and
    then: a request that an endpoint fails each time is not taken for an outage.
    """

    def __init__(self, longest: float | None, pause: float, ask: Ask, redact: Redactor) -> None:
        """Wait so many seconds at most, first `pause`; None: for nothing."""
        self._longest, self._pause, self._ask, self._redact = longest, pause or 1.0, ask, redact
        self._waiting: InFlight[bool] = InFlight()
        self._answered: set[str] = set()
        self._random = random.Random()

    def answered(self, spec: ModelSpec) -> None:
        """See that an endpoint has said something of its own."""
        self._answered.add(_who(spec))

    async def over(self, role: str, spec: ModelSpec, failure: Failure) -> bool | None:
        """Return as soon as the endpoint answers, whether it had to be waited for.

        None where no waiting can help. Raises EndpointDown when it has taken too long.
        """
        first = failure.kind == "unreachable" and _who(spec) not in self._answered
        if self._longest is None or failure.kind not in KINDS or first:
            return None
        return await self._waiting.result(
            _who(spec).encode(), lambda: self._wait(role, spec, failure)
        )

    async def _wait(self, role: str, spec: ModelSpec, failure: Failure) -> bool:
        longest, began, pause = self._longest or 0.0, monotonic(), self._pause
        who = self._redact(f"{spec.model} at {at(spec)}")
        found = await self._ask(role, spec)
        if found is None:
            return False
        why = self._redact(reason(failure, role, spec))
        log.warning(
            "%s gives no reply: %s The run waits for it, up to %s (llm.limits.outage).",
            who,
            why,
            _time(longest),
        )
        while found is not None:
            left = began + longest - monotonic()
            if left <= 0:
                raise EndpointDown(
                    f"{who} (llm.models.{role}) gave no reply to anybody for {_time(longest)} "
                    f"(llm.limits.outage): {self._redact(reason(found, role, spec))} Nothing is "
                    "lost: the same command goes on where this one stopped."
                )
            asked = min(found.after or 0.0, _LONGEST_PAUSE)
            spread = self._random.uniform(0.75, 1.0)
            await asyncio.sleep(min(left, max(asked, pause * spread)))
            pause = min(pause * 2, _LONGEST_PAUSE)
            found = await self._ask(role, spec)
        log.warning("%s answers again after %s.", who, _time(monotonic() - began))
        return True


def _who(spec: ModelSpec) -> str:
    return f"{spec.provider} {spec.answers}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} seconds"
    return f"{seconds / 60:.3g} minutes"
