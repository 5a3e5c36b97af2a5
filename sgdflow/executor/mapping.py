"""A map: a model is asked once for each item of a list, and the value is the list of outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgdflow.errors import NodeFailed, did_you_mean, listed, plural, shortly
from sgdflow.executor.forward import PromptForward, exchange
from sgdflow.executor.graph import Computed, Node, Operands
from sgdflow.executor.places import View
from sgdflow.executor.samples import Anything
from sgdflow.executor.walk import together
from sgdflow.llm import LLM


@dataclass(frozen=True, slots=True)
class Each(PromptForward):
    """A forward function that asks a model about each item of a predecessor's list, all at once."""

    each: str = ""
    """The predecessor; in the prompt an item stands in its place."""
    most: int = 1
    """Items of a list that may be asked about."""

    @property
    def requests(self) -> int:
        """Return how many calls a value takes at most."""
        return self.most

    @property
    def described(self) -> str:
        """Return who is asked, about what."""
        items = plural(self.most, "item")
        return f"{exchange(self.ask)}, for each of at most {items} of {self.each}"

    @property
    def is_text(self) -> bool:
        """Return False: the value is a list."""
        return False

    @property
    def has_fields(self) -> bool:
        """Return False: it is none of a single reply."""
        return False

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return the outputs, in the order of the items; raises NodeFailed where one fails."""
        items = self._items(operands.predecessors[self.each])
        found = await together(self._one(node, operands, llm, item) for item in items)
        calls = tuple(call for one in found for call in one.calls)
        if failed := next((one for one in found if isinstance(one, NodeFailed)), None):
            raise NodeFailed(str(failed), calls, failed.kind)
        return Computed([one.value for one in found if isinstance(one, Computed)], calls)

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what is wrong with the template for this node, or with the list's name."""
        if self.each not in node.predecessors:
            yield (
                f"each: '{self.each}' is no predecessor of the node."
                f"{did_you_mean(self.each, node.predecessors)} "
                f"Predecessors: {listed(node.predecessors)}."
            )
        yield from PromptForward.problems(self, node)

    async def _one(
        self, node: View, operands: Operands, llm: LLM, item: Any
    ) -> Computed | NodeFailed:
        given = {**operands.predecessors, self.each: item}
        try:
            return await self.sampled(node, replace(operands, predecessors=given), llm, 0)
        except NodeFailed as error:
            return error

    def _items(self, value: Any) -> Sequence[Any]:
        if isinstance(value, Anything):  # stands for as many as there may be
            return [Anything(f"{value} {number}") for number in range(self.most)]
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise NodeFailed(f"'{self.each}' is {shortly(repr(value))}, no list to go through")
        if len(value) > self.most:
            raise NodeFailed(
                f"'{self.each}' has {plural(len(value), 'item')}, more than the {self.most} that "
                "the node declares (forward.most)"
            )
        return value
