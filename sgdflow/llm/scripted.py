"""A language model that says what it was told to say, for tests and examples."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.llm.models import estimated_tokens

Said = str | Reply | Exception
Script = Mapping[str, Sequence[Said]] | Callable[[str, str, Sequence[Message]], Said]


@dataclass(frozen=True, slots=True)
class Request:
    """What `complete` was asked."""

    role: str
    node: str
    messages: tuple[Message, ...]
    sample: int = 0


class ScriptedLLM:
    """Answers from a script and records what it was asked.

    The script gives each role its replies in order, or is a function
    `(role, node, messages) -> reply`. A reply is a text, a `Reply`, or an error to raise.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        """All requests so far, in order."""
        self._script = script
        self._left: dict[str, Iterator[Said]] = {}
        if not callable(script):
            self._left = {role: iter(replies) for role, replies in script.items()}
        self._spent: dict[str, dict[str, Spent]] = {}

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return the next reply of the script; LookupError where it has none left."""
        self.requests.append(Request(role, node, tuple(messages), sample))
        said = self._next(role, node, messages)
        await asyncio.sleep(0)  # other tasks run meanwhile, as with a real model
        spent = self._spent.setdefault(role, {})
        faults = {"malformed": 1} if messages[-1].again else {}
        spent[node] = spent.get(node, Spent()) + Spent(calls=1, faults=faults)
        if isinstance(said, Exception):
            raise said
        reply = said if isinstance(said, Reply) else _reply(messages, said)
        again = reply.usage if messages[-1].again else Usage()
        spent[node] += Spent(usage=reply.usage, cost=reply.cost, again=again)
        return reply

    def spent(self) -> Mapping[str, Spent]:
        """Return what has been used so far, by role."""
        return {role: sum(nodes.values(), Spent()) for role, nodes in self._spent.items()}

    def by_node(self) -> Mapping[str, Mapping[str, Spent]]:
        """Return what has been used so far, by role and node."""
        return {role: dict(sorted(nodes.items())) for role, nodes in self._spent.items()}

    def latencies(self) -> Mapping[str, Sequence[float]]:
        """Return nothing: no call was really made."""
        return {}

    def _next(self, role: str, node: str, messages: Sequence[Message]) -> Said:
        if callable(self._script):
            return self._script(role, node, messages)
        for said in self._left.get(role, iter(())):
            return said
        raise LookupError(f"The script has no reply left for the role {role} (node {node}).")


def _reply(messages: Sequence[Message], text: str) -> Reply:
    prompt = estimated_tokens(*(message.content for message in messages))
    return Reply(text, Usage(prompt, estimated_tokens(text)), cost=0.0)
