"""How a store is read while calls are under way: a server's database, without their waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sgdflow.llm.database import Place, Replies
from sgdflow.llm.server import Server
from sgdflow.llm.sqlite import Unusable

T = TypeVar("T")
_TIMES = 3
"""How much longer a server is left alone than it took to learn that it does not answer."""


class Spared:
    """Leaves a server that did not answer alone for a while; a file is there or is not.

    One that is started anew refuses at once, and is asked again at once.
    """

    def __init__(self, place: Place) -> None:
        self._times = _TIMES if isinstance(place, Server) else 0
        self._until = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask within it what may raise Unusable; raises that at once while it is left alone."""
        began = time.monotonic()
        if began < self._until:
            raise Unusable("it did not answer a moment ago")
        try:
            yield
        except Unusable:
            now = time.monotonic()
            self._until = now + self._times * (now - began)
            raise


class Reader:
    """Reads replies for one event loop at a time."""

    def __init__(self, replies: Replies) -> None:
        self._replies, self._spared = replies, Spared(replies.place)
        served = isinstance(replies.place, Server)
        self._pool = ThreadPoolExecutor(1, "sgdflow-reader") if served else None

    async def read(self, what: Callable[[Replies], T]) -> T:
        """Return what is read; raises Unusable."""
        if self._pool is None:  # which takes less than a thread would
            return what(self._replies)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, what)

    def close(self) -> None:
        """Close the database."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._replies.close()

    def _read(self, what: Callable[[Replies], T]) -> T:
        with self._spared.asking():
            return what(self._replies)
