"""The simulated models without a client between, for tests of whole runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sgdflow.descent import Scores, Step
from sgdflow.llm import Message, Reply
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.simulation.worlds import reply


class Watch:
    """Collects the steps that a descent tells of."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def scored(self, initial: Scores) -> None: ...

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


class Simulated(ScriptedLLM):
    """The simulated models; answers what is asked again from memory, as the client does."""

    def __init__(self) -> None:
        super().__init__(lambda role, node, messages: reply(messages, self._seed))
        self._seed = 0
        self._known: dict[object, asyncio.Task[Reply]] = {}

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        key = (role, tuple(messages), sample)
        if key not in self._known:
            self._known[key] = asyncio.create_task(self._complete(role, messages, node, sample))
        return await self._known[key]

    async def _complete(
        self, role: str, messages: Sequence[Message], node: str, sample: int
    ) -> Reply:
        self._seed = sample  # the script is asked before anything is awaited
        return await super().complete(role, messages, node=node, sample=sample)
