"""Many texts joined through summaries of groups, so that no prompt shows more than a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, TypeVar

from sgdflow.errors import NodeFailed
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Answered, Ask, Call

FEWEST = 4
"""Of fewer, the square root gives groups of one."""

T = TypeVar("T")
Shown = Callable[[Sequence[Any]], Mapping[str, Any]]
"""Returns what the template is shown of a group that is not summed up yet."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a text says in the place of several, as templates see it."""

    text: str
    of: int
    """How many they are."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What all were joined to, and the calls it took."""

    summary: Summary
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """Sums up groups of the square root of their number, then the summaries, down to one."""

    ask: Ask
    largest: int = 8
    """What a group has at most, whatever the square root."""

    async def join(
        self, parts: Sequence[Any], shown: Shown, node: str, llm: LLM, sample: int = 0
    ) -> Joined:
        """Return one summary; `node` is what its calls are counted for. Raises NodeFailed."""
        calls: list[Call] = []
        given = [(shown(group), len(group)) for group in self.groups(parts)]
        while True:
            summaries = await self._summed_up(given, node, llm, sample, calls)
            if len(summaries) == 1:
                return Joined(summaries[0], tuple(calls))
            rest = shown(())
            given = [
                ({**rest, "summaries": list(group)}, sum(one.of for one in group))
                for group in self._above(summaries)
            ]

    def calls(self, parts: int) -> int:
        """Return how many calls so many parts take; none where they are left as they are."""
        if parts < FEWEST:
            return 0
        made, left = 0, len(list(self.groups(range(parts))))
        while left > 1:
            made, left = made + left, len(list(self._above(range(left))))
        return made + 1

    def groups(self, parts: Sequence[T]) -> Iterator[Sequence[T]]:
        """Yield the parts in order, in groups that are as equal as can be, none of them larger."""
        size = max(1, min(isqrt(len(parts)), self.largest))
        number = max(1, len(parts) // size)
        if -(-len(parts) // number) > self.largest:
            number = -(-len(parts) // size)
        least, more = divmod(len(parts), number)
        start = 0
        for place in range(number):
            end = start + least + (place < more)
            yield parts[start:end]
            start = end

    def problems(self, sample: Mapping[str, Any], owner: str) -> Iterator[str]:
        """Yield what is wrong with the template, for texts and for summaries of them."""
        yield from self.ask.problems({**sample, "summaries": [], "count": 2}, owner)
        above = {"summaries": [Summary("...", 2)], "count": 4}
        yield from self.ask.problems({**sample, **above}, owner)

    def _above(self, summaries: Sequence[T]) -> Iterator[Sequence[T]]:
        """Yield the groups of summaries: one, where they have room in it."""
        if len(summaries) <= self.largest:
            yield summaries
        else:
            yield from self.groups(summaries)

    async def _summed_up(
        self,
        given: Sequence[tuple[Mapping[str, Any], int]],
        node: str,
        llm: LLM,
        sample: int,
        calls: list[Call],
    ) -> Sequence[Summary]:
        """Return a summary of each group; the calls are noted, also where some were in vain."""

        async def one(variables: Mapping[str, Any], count: int) -> Answered | NodeFailed:
            try:
                more = {"summaries": [], **variables, "count": count}
                return await self.ask.send(llm, node, more, sample=sample)
            except NodeFailed as error:
                return error

        found = await together(one(variables, count) for variables, count in given)
        for answered in found:
            calls += answered.calls if isinstance(answered, NodeFailed) else [answered.call]
        failed = next((one for one in found if isinstance(one, NodeFailed)), None)
        if failed is not None:
            raise NodeFailed(f"summary: {failed}", tuple(calls), failed.kind)
        texts = (one.texts[""] for one in found if isinstance(one, Answered))
        counts = (count for _, count in given)
        return [Summary(text, count) for text, count in zip(texts, counts, strict=True)]
