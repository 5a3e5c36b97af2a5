"""Many texts joined through summaries of groups, so that no prompt shows more than a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, TypeVar

from sgdflow.errors import OVERFLOW, NodeFailed
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call

FEWEST = 4
"""Of fewer, the square root gives groups of one."""
MANY = 64
"""Of more pieces of work none is shown by itself, also where no tree is declared."""

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
    fewest: int = FEWEST
    """Of fewer, all are left as they are."""

    async def join(
        self, parts: Sequence[Any], shown: Shown, node: str, llm: LLM, sample: int = 0
    ) -> Joined:
        """Return one summary; `node` is what its calls are counted for. Raises NodeFailed."""
        calls: list[Call] = []
        rest = shown(())

        def above(group: Sequence[Summary]) -> Mapping[str, Any]:
            return {**rest, "summaries": list(group)}

        groups = list(self.groups(parts))
        summaries = await self._summed_up(groups, _Asking(shown, node, llm, sample), calls)
        while len(summaries) > 1:
            before, asking = len(summaries), _Asking(above, node, llm, sample)
            summaries = await self._summed_up(list(self._above(summaries)), asking, calls)
            if len(summaries) >= before:
                told = f"summary: no two summaries fit the {self.ask.role} model's context window"
                raise NodeFailed(told, tuple(calls), OVERFLOW)
        return Joined(summaries[0], tuple(calls))

    def calls(self, parts: int) -> int:
        """Return how many calls so many parts take; none where they are left as they are."""
        if parts < self.fewest:
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
        self, groups: Sequence[Sequence[Any]], ask: _Asking, calls: list[Call]
    ) -> Sequence[Summary]:
        """Return a summary of each group; the calls are noted, also where some were in vain."""
        found = await together(self._one(group, ask) for group in groups)
        for group in found:
            calls += group.calls
        failed = next((group.error for group in found if group.error is not None), None)
        if failed is not None:
            raise NodeFailed(f"summary: {failed}", tuple(calls), failed.kind)
        return [summary for group in found for summary in group.summaries]

    async def _one(self, group: Sequence[Any], ask: _Asking) -> _Summed:
        """Sum up a group; one that is too much for the model's context window is halved."""
        if len(group) == 1 and isinstance(group[0], Summary):
            return _Summed((group[0],))
        variables = {"summaries": [], **ask.shown(group)}
        count = sum(one.of if isinstance(one, Summary) else 1 for one in group)
        try:
            answered = await self.ask.send(
                ask.llm, ask.node, {**variables, "count": count}, sample=ask.sample
            )
        except NodeFailed as error:
            if error.kind != OVERFLOW or len(group) == 1:
                return _Summed((), error.calls, error)
            middle = len(group) // 2
            parts = (group[:middle], group[middle:])
            one, other = await together(self._one(part, ask) for part in parts)
            return _Summed(
                (*one.summaries, *other.summaries),
                (*error.calls, *one.calls, *other.calls),
                one.error or other.error,
            )
        return _Summed((Summary(answered.texts[""], count),), (answered.call,))


@dataclass(frozen=True, slots=True)
class _Asking:
    """Whom to ask for summaries, and what of."""

    shown: Shown
    node: str
    llm: LLM
    sample: int


@dataclass(frozen=True, slots=True)
class _Summed:
    """What came of a group: one summary, or those of its parts."""

    summaries: tuple[Summary, ...]
    calls: tuple[Call, ...] = ()
    error: NodeFailed | None = None
