"""Who asks what is not answered yet, among all processes that share a store of replies.

Whoever comes second waits for the first one's reply. A claim ends with its call, with its
process, or with its last sign of life; a reply that is there counts before any claim.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread

from sgdflow.llm.database import Place, beside
from sgdflow.llm.reader import Spared
from sgdflow.llm.sharing import tell
from sgdflow.llm.sqlite import Database, Unusable
from sgdflow.processes import machine, runs

log = logging.getLogger(__name__)

BEAT, STALE = 10.0, 60.0
"""Seconds between two signs of life, and from the last one until a claim counts no longer."""
_SOONEST, _LATEST, _SHARE = 0.02, 0.5, 0.25
"""How long to wait before looking again: a share of what was waited, within these seconds."""
_TABLE = """
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, holder TEXT NOT NULL, machine TEXT NOT NULL, process BIGINT NOT NULL,
    beat DOUBLE PRECISION NOT NULL
)"""
_TAKE = """
INSERT INTO claims (key, holder, machine, process, beat) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    holder = excluded.holder, machine = excluded.machine, process = excluded.process,
    beat = excluded.beat"""
_Asked = tuple[str, "asyncio.Future[bool | None]"]


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who holds a claim."""

    name: str
    machine: str
    process: int

    @classmethod
    def here(cls) -> _Holder:
        return cls(uuid.uuid4().hex, machine(), os.getpid())


class Claims:
    """The claims of one user of a store.

    Nobody who holds a claim waits for another one, nor for a turn that somebody without a claim
    could have: no two can wait for each other. Where the database cannot be used, all is allowed.
    """

    def __init__(self, place: Place, since: float = 0.0) -> None:
        """Open the database of a store that is there; replies from before `since` do not count."""
        self._place, self._since, self._me = place, since, _Holder.here()
        self._connection: Database | None = None
        self._spared = Spared(place)
        self._changed = Condition()
        self._asked: list[_Asked] = []
        self._given_back: list[str] = []
        self._owed: list[str] = []
        """What could not be given back yet, and is with what comes next."""
        self._over = False
        self._usable = True
        self._beaten = 0.0
        self._thread: Thread | None = None

    async def won(self, key: str) -> bool:
        """Return whether a request is this one's to make; False as soon as its reply is stored."""
        began = time.monotonic()
        while True:
            decided = asyncio.get_running_loop().create_future()
            self._hand_over([(key, decided)], ())
            try:
                mine: bool | None = await decided
            except BaseException:
                self.give_back(key)
                raise
            if mine is not None:
                return mine
            waited = time.monotonic() - began
            await asyncio.sleep(min(_LATEST, max(_SOONEST, waited * _SHARE)))

    def give_back(self, key: str) -> None:
        """Let others make a request that this one made, or makes no longer."""
        self._hand_over((), [key])

    def close(self) -> None:
        """Give everything back."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _hand_over(self, asked: Iterable[_Asked], back: Iterable[str]) -> None:
        with self._changed:
            self._asked.extend(asked)
            self._given_back.extend(back)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="sgdflow-claims", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not (self._asked or self._given_back or self._over):
                    self._changed.wait(BEAT)
                # Who has been cancelled wants nothing any more, and has given it back.
                asked = [one for one in self._asked if not one[1].cancelled()]
                back = [*self._owed, *self._given_back]
                self._asked, self._given_back, self._owed = [], [], []
                over = self._over
            found = self._try([key for key, _ in asked], back, over)
            tell([(decided, mine) for (_, decided), mine in zip(asked, found, strict=True)])
            if over and not asked:
                if self._connection is not None:
                    self._connection.close()
                return

    def _try(self, keys: Sequence[str], back: Sequence[str], over: bool) -> list[bool | None]:
        try:
            with self._spared.asking():
                return self._decided(keys, back, over)
        except Unusable as error:
            self._owed = [*back]
            if self._usable:
                self._usable = False
                log.warning(
                    "%s takes no claims (%s). The run goes on; what another process asks at the "
                    "same moment may be paid twice.",
                    self._place,
                    error,
                )
            return [True for _ in keys]

    def _decided(self, keys: Sequence[str], back: Sequence[str], over: bool) -> list[bool | None]:
        """Say of each request: mine to make, answered (False), or another one's (None)."""
        connection = self._connection = self._connection or self._opened()
        dead: dict[tuple[str, int], bool] = {}
        due = time.monotonic() - self._beaten > BEAT
        if not (due or over or back):  # then perhaps nothing has to be written
            found = {key: self._state(connection, key, dead) for key in keys}
            if not any(found.values()):
                return [found[key] for key in keys]
        found = {}
        with connection.alone():
            drop = "DELETE FROM claims WHERE holder = ?"
            for key in back:
                connection.execute(f"{drop} AND key = ?", (self._me.name, key))
            if over:
                connection.execute(drop, (self._me.name,))
            for key in dict.fromkeys(keys):
                found[key] = self._state(connection, key, dead)
                if found[key]:
                    self._take(connection, key)
            if due:
                beat = "UPDATE claims SET beat = ? WHERE holder = ?"
                connection.execute(beat, (time.time(), self._me.name))
                self._beaten = time.monotonic()
        return [found[key] for key in keys]

    def _state(
        self, connection: Database, key: str, dead: dict[tuple[str, int], bool]
    ) -> bool | None:
        answered = "SELECT 1 FROM replies WHERE key = ? AND time >= ?"
        if connection.execute(answered, (key, self._since)).fetchone():
            return False
        claim = "SELECT holder, machine, process, beat FROM claims WHERE key = ?"
        there = connection.execute(claim, (key,)).fetchone()
        if there is None or there[0] == self._me.name:
            return True
        holder, beat = _Holder(str(there[0]), str(there[1]), int(there[2])), float(there[3])
        who = holder.machine, holder.process
        if who not in dead:
            dead[who] = holder.machine == self._me.machine and not runs(holder.process)
        # By the clocks of two machines, where it is another one's: they should agree.
        return True if dead[who] or abs(time.time() - beat) > STALE else None

    def _take(self, connection: Database, key: str) -> None:
        row = (key, self._me.name, self._me.machine, self._me.process, time.time())
        connection.execute(_TAKE, row)

    def _opened(self) -> Database:
        return beside(self._place, _TABLE)
