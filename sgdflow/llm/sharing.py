"""One call for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Shared(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class InFlight(Generic[T]):
    """Calls under way, by what they ask; belongs to one event loop."""

    def __init__(self) -> None:
        self._calls: dict[bytes, _Shared[T]] = {}

    async def result(self, key: bytes, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what the call under way for `key` brings; start it if there is none.

        A cancelled caller leaves the call to the others; the last one to leave cancels it.
        """
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Shared(asyncio.create_task(self._run(key, start)))
        call.waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.waiting -= 1
            if not call.waiting and not call.task.done():
                self._forget(key, call.task)
                call.task.cancel()
                await asyncio.gather(call.task, return_exceptions=True)

    async def _run(self, key: bytes, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await start()
        finally:
            self._forget(key, asyncio.current_task())

    def _forget(self, key: bytes, task: asyncio.Task[Any] | None) -> None:
        if key in self._calls and self._calls[key].task is task:
            del self._calls[key]


def tell(found: Iterable[tuple[asyncio.Future[T], T]]) -> None:
    """Tell from another thread what each of some wait for, who may be gone."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[T], T]]] = {}
    for waiting, what in found:
        by_loop.setdefault(waiting.get_loop(), []).append((waiting, what))
    for loop, those in by_loop.items():
        with suppress(RuntimeError):  # the loop may have been closed
            # Together: to wake a loop takes more than all else about it.
            loop.call_soon_threadsafe(_told, those)


def _told(found: Iterable[tuple[asyncio.Future[T], T]]) -> None:
    for waiting, what in found:
        if not waiting.done():
            waiting.set_result(what)
