"""One budget and one rate for all jobs of a sweep, kept in the database of their store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sgdflow.errors import BudgetSpent
from sgdflow.llm import Spent, Usage
from sgdflow.llm.allowance import Cap
from sgdflow.llm.database import Place, beside
from sgdflow.llm.models import Limits
from sgdflow.llm.sqlite import Database, Unusable

log = logging.getLogger(__name__)

T = TypeVar("T")
_MINUTE = 60.0
_SOONEST = 0.05
_TABLES = (
    """
CREATE TABLE IF NOT EXISTS spending (
    account TEXT PRIMARY KEY, calls BIGINT NOT NULL, tokens BIGINT NOT NULL,
    cost DOUBLE PRECISION NOT NULL, unknown BIGINT NOT NULL
)""",
    """
CREATE TABLE IF NOT EXISTS begun (
    account TEXT NOT NULL, time DOUBLE PRECISION NOT NULL, tokens BIGINT
)""",
)


class Together(Cap):
    """Lets no call begin once all who share an account have used their allowance up.

    What is really sent counts, and whatever is counted stays: a sweep that is started again has
    spent what it had. Belongs to one event loop.
    """

    def __init__(self, limits: Limits, place: Place, account: str) -> None:
        super().__init__(limits.budget, Spent())
        self._limits, self._place, self._account = limits, place, account
        self._pool = ThreadPoolExecutor(1, "sgdflow-together")
        self._connection: Database | None = None

    def add(self, spent: Spent) -> None:
        """Add what a call took; that it was made was counted when it began."""
        tokens = spent.usage.prompt + spent.usage.completion
        if tokens or spent.cost is None or spent.cost:
            self._pool.submit(self._told, lambda: self._added(tokens, spent.cost))

    def beside(self, spent: Spent) -> None:
        """Add what the one word took: it was sent."""
        self.add(spent)

    def found(self, spent: Spent) -> None:
        """See what a stored reply had taken, which is paid for."""

    async def enter(self, tokens: int = 0) -> None:
        """Return where a call may begin; raise BudgetSpent where not."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                wait, over = await loop.run_in_executor(self._pool, self._begin, tokens)
            except Unusable as error:
                wait, over = 0.0, f"{self._place} cannot say what others took ({error})"
            if over:
                await self._idle.wait()
                raise BudgetSpent(
                    f"budget: {over}, of all jobs together (llm.limits.budget, llm.limits.shared)"
                )
            if not wait:
                return
            await asyncio.sleep(wait)

    def close(self) -> None:
        """Write down what is left."""
        self._pool.shutdown(wait=True)
        if self._connection is not None:
            self._connection.close()

    def _begin(self, tokens: int) -> tuple[float, str]:
        """Count a call that may begin; return how long to wait, or what is used up."""

        def begin(connection: Database) -> tuple[float, str]:
            query = "SELECT calls, tokens, cost, unknown FROM spending WHERE account = ?"
            calls, used, cost, unknown = connection.execute(query, (self._account,)).fetchone()
            took = Spent(int(calls), Usage(int(used), 0), None if unknown else float(cost))
            if over := self._allowance.used_up(took):
                return 0.0, over
            if wait := self._wait(connection, tokens):
                return wait, ""
            if self._limits.requests_per_minute or self._limits.tokens_per_minute:
                now = (self._account, time.time(), tokens)
                connection.execute("INSERT INTO begun VALUES (?, ?, ?)", now)
            more = "UPDATE spending SET calls = calls + 1 WHERE account = ?"
            connection.execute(more, (self._account,))
            return 0.0, ""

        return self._alone(begin)

    def _wait(self, connection: Database, tokens: int) -> float:
        """Return the seconds until there is room in the last minute."""
        now = time.time()
        connection.execute("DELETE FROM begun WHERE time <= ?", (now - _MINUTE,))
        for most, amount, each in (
            (self._limits.requests_per_minute, 1, "1"),
            (self._limits.tokens_per_minute, tokens, "tokens"),
        ):
            if most is None:
                continue
            query = f"SELECT time, {each} FROM begun WHERE account = ? ORDER BY time"
            begun = connection.execute(query, (self._account,)).fetchall()
            over = sum(used for _, used in begun) + min(amount, most) - most
            for began, used in begun:
                if over <= 0:
                    break
                over -= used
                if over <= 0:
                    return max(_SOONEST, min(_MINUTE, float(began) + _MINUTE - now))
        return 0.0

    def _added(self, tokens: int, cost: float | None) -> None:
        more = "UPDATE spending SET tokens = tokens + ?, cost = cost + ?, unknown = unknown + ? "
        values = (tokens, cost or 0.0, int(cost is None), self._account)
        self._alone(lambda connection: connection.execute(f"{more}WHERE account = ?", values))

    def _told(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Unusable as error:
            log.warning("%s does not take what a call took (%s).", self._place, error)

    def _alone(self, what: Callable[[Database], T]) -> T:
        """Do something that no other process comes between."""
        connection = self._connection = self._connection or self._opened()
        with connection.alone():
            return what(connection)

    def _opened(self) -> Database:
        connection = beside(self._place, *_TABLES)
        first = "INSERT INTO spending VALUES (?, 0, 0, 0.0, 0) ON CONFLICT (account) DO NOTHING"
        connection.execute(first, (self._account,))
        return connection
