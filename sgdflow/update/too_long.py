"""Prompts that do not fit a writer's context window: asked once more, with a summary in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sgdflow.errors import OVERFLOW, NodeFailed
from sgdflow.executor.tree import MANY, Joined, Summary
from sgdflow.prompting.ask import Call

T = TypeVar("T")


async def whole_or_summed_up(
    ask: Callable[[Sequence[Any], Summary | None], Awaitable[T]],
    parts: Sequence[Any],
    sum_up: Callable[[Sequence[Any]], Awaitable[Joined]] | None,
) -> tuple[T, Summary | None, tuple[Call, ...]]:
    """Ask with all parts, or else with what sums them up; return the calls before the answer, too.

    Of too many nobody is asked with all of them.

    Raises NodeFailed, with all calls, where neither can be asked.
    """
    before: tuple[Call, ...] = ()
    try:
        if sum_up is None or len(parts) <= MANY:
            return await ask(parts, None), None, ()
    except NodeFailed as error:
        if error.kind != OVERFLOW or sum_up is None or len(parts) < 2:
            raise
        before = error.calls
    try:
        joined = await sum_up(parts)
        before = (*before, *joined.calls)
        return await ask((), joined.summary), joined.summary, before
    except NodeFailed as error:
        raise NodeFailed(str(error), (*before, *error.calls), error.kind) from error
