"""What a client has asked and learned; what several have, who share out a run, can be joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from sgdflow.llm import Reply, Usage
from sgdflow.llm.ledger import Accounts, Bill, Calls, Session
from sgdflow.llm.packing import Packing, unpacked


@dataclass(frozen=True, slots=True)
class Part:
    """What one of several has come to know since it was last asked."""

    answered: Mapping[str, Reply]
    asked: Mapping[str, int]
    bills: Mapping[str, Bill]
    calls: Calls


class Replies(Mapping[str, Reply]):
    """Replies by the request, packed: a run has many, and is asked for few of them again."""

    def __init__(self) -> None:
        self._packing = Packing()
        self._packed: dict[str, bytes] = {}

    def keep(self, key: str, reply: Reply) -> None:
        """Keep a reply, unless there is one."""
        if key not in self._packed:
            used = reply.usage.prompt, reply.usage.completion, reply.usage.cached
            said = reply.text, used, reply.truncated, reply.cost, reply.seconds
            self._packed[key] = self._packing.packed(said)

    def clear(self) -> None:
        """Drop all."""
        self._packed.clear()

    def __getitem__(self, key: str) -> Reply:
        text, used, *others = unpacked(self._packed[key], self._packing.like)
        return Reply(text, Usage(*used), *others)

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class Known:
    """The replies that a run has had, how often it has asked, and what that took."""

    def __init__(self, roles: Iterable[str]) -> None:
        roles = tuple(roles)
        self.accounts, self.session = Accounts(roles), Session(roles)
        self.answered = Replies()
        """By the request."""
        self.asked: Counter[str] = Counter()
        """How often each request was made whose replies are not meant to be alike."""
        self._told = 0
        self._asked_before: Counter[str] = Counter()

    def forget(self) -> None:
        """Drop replies and bills; sums stay."""
        self.answered.clear()
        self._told = 0
        self.accounts.forget()

    def resume(self, asked: Mapping[str, int]) -> None:
        """Go on counting where the whole run has come to."""
        self.asked = Counter(asked)
        self._asked_before = Counter(asked)

    def part(self) -> Part:
        """Return what is new since the last part, and leave it out of the next one."""
        new = islice(self.answered, self._told, None)
        answered = {key: self.answered[key] for key in new}
        self._told = len(self.answered)
        asked = self.asked - self._asked_before
        return Part(answered, asked, self.accounts.drained(), self.session.drained())

    def take(self, part: Part) -> None:
        """Join what another one has come to know."""
        for key, reply in part.answered.items():
            self.answered.keep(key, reply)
        self.asked.update(part.asked)
        self.accounts.take(part.bills)
        self.session.take(part.calls)
