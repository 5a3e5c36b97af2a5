"""The response store: what was answered once is not asked, or paid, again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal, TypeVar

from sgdflow.llm.answers import Answered, Failed, answered, as_json, failed, read_row
from sgdflow.llm.claims import Claims
from sgdflow.llm.database import FAILED, Place, Replies, Row
from sgdflow.llm.reader import Reader
from sgdflow.llm.sharing import tell
from sgdflow.llm.sqlite import Unusable

log = logging.getLogger(__name__)

DEFAULT = "replies.db"
"""Its file, in the working directory."""
Mode = Literal["use", "refresh", "replay"]
T = TypeVar("T")
_NAMED = 3
"""Rows that hold no reply and are named one by one."""


class Store:
    """Replies by request, shared with other processes.

    use: stored replies are used. refresh: only those since `since`, the start of the run.
    replay: nothing is written, and the file has to be there.
    Raises ConfigError where the file cannot be used: nothing has been spent yet. What fails
    later is a warning.
    """

    def __init__(self, place: Place, mode: Mode = "use", since: float = 0.0) -> None:
        self.place = place
        self.replays = mode == "replay"
        """Whether only stored replies are to be had."""
        self._since = since if mode == "refresh" else 0.0
        self._reader = Reader(Replies(place, write=not self.replays))
        self._writer = None if self.replays else Writer(Replies(place), self._since)
        self._claims = None if self.replays else Claims(place, self._since)
        self._readable = True
        self._spoilt: list[str] = []

    async def find(self, key: str) -> Answered | Failed | None:
        """Return what was answered before; in a replay also that nothing was."""
        found = await self._get(key, answered)
        if found is None and self.replays:
            return await self._get(FAILED + key, lambda answer, time: failed(answer))
        return found

    async def claimed(self, key: str) -> bool:
        """Return whether a request is this one's to make; False as soon as its reply is stored.

        Whoever has made it, or makes it no longer, gives it back.
        """
        if self._claims is None or key in self._spoilt:
            return True
        return await self._claims.won(key)

    def give_back(self, key: str) -> None:
        """Let others make a request that this one had claimed."""
        if self._claims is not None:
            self._claims.give_back(key)

    async def elsewhere(self, model: str, endpoint: str) -> Sequence[str | None]:
        """Return the endpoints that have answered for a model, where this one never has."""
        with suppress(Unusable):
            found = await self._reader.read(lambda replies: replies.endpoints(model))
            return [] if endpoint in found else found
        return []

    async def _get(self, key: str, read: Callable[[str, float], T]) -> T | None:
        try:
            found = await self._reader.read(lambda replies: replies.get(key, self._since))
        except Unusable as error:
            if self._readable:
                log.warning(
                    "%s cannot be read (%s). The run goes on without it.", self.place, error
                )
            self._readable = False
            return None
        try:
            return None if found is None else read(*found)
        except ValueError as error:
            self._spoilt.append(key)
            if len(self._spoilt) <= _NAMED:
                log.warning(
                    "%s: %s holds no reply (%s) and is passed over.", self.place, key, error
                )
            return None

    async def keep(self, key: str, request: str, given: Answered) -> Answered:
        """Commit what was answered; return what to use: the first answer to be committed."""
        if self._writer is None:
            return given
        now = time.time()
        row = Row(key, given.model, request, as_json(given), now)
        there = await self._writer.put(row)
        return replace(given, time=now) if there is row.answer else answered(there, now)

    async def note(self, key: str, request: str, model: str, given: Failed) -> None:
        """Commit that a request got no reply."""
        if self._writer is not None:
            row = Row(FAILED + key, model, request, as_json(given), time.time())
            await self._writer.put(row)

    def close(self) -> None:
        """Commit what is left and close the file."""
        if (spoilt := len(self._spoilt)) > _NAMED:
            log.warning("%s: %d rows hold no reply.", self.place, spoilt)
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        if self._claims is not None:
            self._claims.close()


@dataclass(frozen=True, slots=True)
class _Waiting:
    row: Row
    committed: asyncio.Future[str] | None
    """Gets the answer that is in the file; None where nobody waits for it."""


class Writer:
    """Commits all rows that wait, together.

    When the file fails, that is said once, and nobody waits for it any longer; what it has not
    taken is offered again with each further row and at the end.
    """

    def __init__(self, replies: Replies, since: float) -> None:
        self._replies, self._since = replies, since
        self._pool = ThreadPoolExecutor(1, "sgdflow-replies")
        self._lock = Lock()
        self._waiting: list[_Waiting] = []
        self._writing = False
        self._refused: list[Row] = []

    async def put(self, row: Row) -> str:
        """Return, once it is committed, the answer that the file holds for the request."""
        if self._refused:
            self._add(_Waiting(row, None))
            return row.answer
        committed = asyncio.get_running_loop().create_future()
        self._add(_Waiting(row, committed))
        found: str = await committed
        return found

    def close(self) -> None:
        """Wait until all is committed, and leave one whole file."""
        self._pool.shutdown(wait=True)
        if self._refused:
            self._write([])
        if self._refused:
            log.warning("%d replies were not stored.", len(self._refused))
        self._replies.close()

    def _add(self, waiting: _Waiting) -> None:
        with self._lock:
            self._waiting.append(waiting)
            if self._writing:
                return
            self._writing = True
        self._pool.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                batch, self._waiting = self._waiting, []
                self._writing = bool(batch)
            if not batch:
                return
            kept = zip(batch, self._write([w.row for w in batch]), strict=True)
            tell([(one.committed, answer) for one, answer in kept if one.committed is not None])

    def _write(self, rows: list[Row]) -> list[str]:
        """Return the answers that the file holds, or those given where it takes none."""
        before = self._refused
        try:
            kept = self._replies.put([*before, *rows], self._since, _is_whole)
        except Unusable as error:
            self._refused = [*before, *rows]
            if not before:
                log.warning(
                    "%s takes no more replies (%s). The run goes on; what is answered from here "
                    "on would be paid again by a run that is started again.",
                    self._replies.place,
                    error,
                )
            return [row.answer for row in rows]
        self._refused = []
        if before:
            log.warning("%s takes replies again; none is missing.", self._replies.place)
        return kept[len(before) :]


def _is_whole(row: Row) -> bool:
    try:
        read_row(row)
    except ValueError:
        return False
    return True
