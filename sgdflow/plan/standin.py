"""A stand-in for models: counts requests, sends none, and waits for nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.llm.ledger import Ledger
from sgdflow.llm.models import Limits, ModelSpec, Price, estimated_tokens
from sgdflow.llm.queue import Line
from sgdflow.update.edits import Form, NumberedLine


@dataclass(frozen=True)
class Assumed:
    """What is taken for granted about replies."""

    seconds: float = 2.0
    """One call takes."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Of one reply, by role."""
    other_tokens: int = 100
    """Of one reply of a role that is not among them."""


class StandIn:
    """Takes requests as the client does: the same one once at temperature 0, within the limits.

    A reply is made up from the request, of the assumed length; another request gets another one.
    """

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        limits: Limits,
        assumed: Assumed,
        prices: Mapping[str, Price | None],
    ) -> None:
        """Declare the models and the price of each role; None: not known."""
        self._models, self._limits, self._assumed, self._prices = models, limits, assumed, prices
        self._line: Line | None = None
        self._asked: Counter[str] = Counter()
        self._known: dict[str, asyncio.Task[Reply]] = {}
        self._spent = Ledger(models)

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return a made-up reply, after as long as a call is assumed to take."""
        key = self._key(role, messages, node, sample)
        if key not in self._known:
            self._known[key] = asyncio.create_task(self._call(role, messages, key))
        return await self._known[key]

    def spent(self) -> Mapping[str, Spent]:
        """Return what the requests so far would have taken, by role."""
        return self._spent.spent()

    def _key(self, role: str, messages: Sequence[Message], node: str, sample: int) -> str:
        spec = self._models[role]
        which: Any = sample
        if not spec.repeats(messages):
            self._asked[f"{role} {node}"] += 1
            which = [sample, node, self._asked[f"{role} {node}"]]
        return next(spec.requests(messages, which)).key

    async def _call(self, role: str, messages: Sequence[Message], key: str) -> Reply:
        if self._line is None:  # belongs to the event loop
            self._line = Line(self._limits, self._models)
        longest = self._models[role].parameters.get("max_tokens")
        most = longest if isinstance(longest, int) else None
        prompt = estimated_tokens(*(message.content for message in messages))
        turn = await self._line.enter(role, prompt + (most or 0))
        await asyncio.sleep(self._assumed.seconds)
        assumed = self._assumed.tokens.get(role, self._assumed.other_tokens)
        usage = Usage(prompt, assumed if most is None else min(assumed, most))
        self._line.leave(turn, tokens=prompt + usage.completion, succeeded=True)
        price = self._prices[role]
        self._spent.add(role, Spent(1, usage, None if price is None else price.of(usage)))
        return Reply(made_up(key, usage.completion), usage)


@dataclass(frozen=True, slots=True)
class AnyForm:
    """Shows what the declared form of a new text does, and takes any reply for one."""

    real: Form

    def lines(self, text: str) -> Sequence[NumberedLine]:
        """Return the lines that a prompt shows."""
        return self.real.lines(text)

    def text(self, reply: str, before: str) -> str:
        """Return the reply."""
        return reply


def made_up(key: str, tokens: int) -> str:
    """Return a text of so many tokens that belongs to the key."""
    return (key[:16] + " and so on" * tokens)[: 4 * tokens]


class NoWaiting(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next event instead of waiting for it."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the time on that clock, in seconds."""
        return self._jumping.now


class _Jumping(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.now += timeout
            timeout = 0
        return super().select(timeout)
