"""The scheduler: a walk over a directed acyclic graph, used in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sgdflow.errors import CODE, NodeFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a variable has no result."""

    origin: str
    """The variable where it began; the others only depend on it."""
    reason: str
    calls: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    """The exchanges that were made in vain."""
    kind: str = CODE
    """A short word to count by."""


@dataclass(frozen=True, slots=True)
class Walked(Generic[T]):
    """The outcome of a walk, in the order of the variables it was given."""

    results: Mapping[str, T]
    failures: Mapping[str, Failure]


async def walk(
    upstream: Mapping[str, Sequence[str]], visit: Callable[[str], Awaitable[T]]
) -> Walked[T]:
    """Visit each variable as soon as all that is upstream of it has been visited.

    A visit that raises NodeFailed fails its variable and what depends on it; everything
    else goes on. Any other exception cancels the walk.
    """
    results: dict[str, T] = {}
    failures: dict[str, Failure] = {}
    tasks: dict[str, asyncio.Task[None]] = {}

    async def run(name: str) -> None:
        for before in upstream[name]:
            await tasks[before]
            if before in failures:
                failures[name] = failures[before]
                return
        try:
            results[name] = await visit(name)
        except NodeFailed as error:
            failures[name] = Failure(name, str(error), error.calls, error.kind)

    if len(upstream) == 1:  # which waits for nothing, and needs no task
        await run(next(iter(upstream)))
    else:
        async with task_group() as group:
            for name in upstream:
                tasks[name] = group.create_task(run(name))
    return Walked(
        {name: results[name] for name in upstream if name in results},
        {name: failures[name] for name in upstream if name in failures},
    )


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> tuple[T, ...]:
    """Run all at once and return their results in order; the first exception cancels the rest."""
    async with task_group() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return tuple(task.result() for task in tasks)


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a task group that raises its first exception itself, not a group around it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
