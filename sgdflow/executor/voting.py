"""Self-consistency: several replies to the same prompt, of which the most frequent counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.errors import NodeFailed
from sgdflow.executor.branches import alike
from sgdflow.executor.forward import PromptForward, exchange
from sgdflow.executor.graph import Computed, Operands
from sgdflow.executor.places import View
from sgdflow.executor.walk import together
from sgdflow.llm import LLM


@dataclass(frozen=True, slots=True)
class Vote(PromptForward):
    """A forward function that asks a model several times and takes what it says most often.

    Replies count as one where they differ in case, white space or a final period alone; of
    equals the one that was said first is taken.
    """

    samples: int = 2

    @property
    def requests(self) -> int:
        """Return how many calls a value takes."""
        return self.samples

    @property
    def described(self) -> str:
        """Return who is asked, and how many replies count."""
        return f"{exchange(self.ask)}, the most frequent of {self.samples}"

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return the value of most replies; raises NodeFailed where none could be used."""
        found = await together(
            self._one(node, operands, llm, sample) for sample in range(self.samples)
        )
        values = [one for one in found if isinstance(one, Computed)]
        calls = tuple(call for one in found for call in one.calls)
        if not values:
            failed = next(one for one in found if isinstance(one, NodeFailed))
            raise NodeFailed(str(failed), calls, failed.kind)
        chosen = _most(values)
        # A value's own reply is the last of its calls.
        others = (call for one in found if one is not chosen for call in one.calls)
        return Computed(chosen.value, (*others, *chosen.calls))

    async def _one(
        self, node: View, operands: Operands, llm: LLM, sample: int
    ) -> Computed | NodeFailed:
        try:
            return await self.sampled(node, operands, llm, sample)
        except NodeFailed as error:
            return error


def _most(values: Sequence[Computed]) -> Computed:
    said: dict[str, list[Computed]] = {}
    for one in values:
        said.setdefault(_alike(one.value), []).append(one)
    return max(said.values(), key=len)[0]


def _alike(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=str)
    return alike(value)
