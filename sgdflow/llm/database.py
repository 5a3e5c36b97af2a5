"""The database that holds replies; it knows nothing of models or runs.

Processes share it: a reader sees what any of them has committed, writers wait for each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sgdflow.errors import ConfigError
from sgdflow.llm.server import Server, Session
from sgdflow.llm.sqlite import Database, SqliteFile, Unusable

Place = Path | Server
"""Where replies are kept: a sqlite file, or a server's database."""
_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, request TEXT NOT NULL, answer TEXT NOT NULL,
    time DOUBLE PRECISION NOT NULL
)"""
# The first answer stays, so that all who ask the same go on with the same; one from before
# `since` gives way.
_PUT = """
INSERT INTO replies (key, model, request, answer, time) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    model = excluded.model, request = excluded.request, answer = excluded.answer,
    time = excluded.time
WHERE replies.time < ?"""
FAILED = "failed:"
"""How the keys of requests begin that got no reply."""
_COLUMNS = "key, model, request, answer, time"
_CHECK = f"SELECT {_COLUMNS} FROM replies LIMIT 1"


@dataclass(frozen=True, slots=True)
class Row:
    """One answered request."""

    key: str
    model: str
    request: str
    """Canonical JSON."""
    answer: str
    """JSON."""
    time: float
    """When it was answered, in seconds since 1970."""


class Replies:
    """An open database of replies; the methods raise Unusable.

    One thread uses it at a time.
    """

    def __init__(self, place: Place, *, write: bool = True) -> None:
        """Open the database, made where `write`; raises ConfigError where that cannot be."""
        self.place = place
        with _explained(place):
            self._database = _opened(place, write=write)

    def get(self, key: str, since: float = 0.0) -> tuple[str, float] | None:
        """Return the answer to a request and its time, unless that is before `since`."""
        query = "SELECT answer, time FROM replies WHERE key = ? AND time >= ?"
        found = self._database.execute(query, (key, since)).fetchone()
        return None if found is None else (str(found[0]), _number(found[1]))

    def put(
        self, rows: Iterable[Row], since: float = 0.0, whole: Callable[[Row], bool] | None = None
    ) -> list[str]:
        """Commit rows together; return the answers that are in the file for them now.

        A row that is there gives way where it is not `whole`.
        """
        kept = []
        execute = self._database.execute
        with self._database.alone():
            for row in rows:
                values = (row.key, row.model, row.request, row.answer, row.time, since)
                there = None if execute(_PUT, values).rowcount else self.get(row.key)
                if there and whole and not whole(replace(row, answer=there[0])):
                    execute("DELETE FROM replies WHERE key = ?", (row.key,))
                    execute(_PUT, values)
                    there = None
                kept.append(there[0] if there else row.answer)
        return kept

    def rows(self, prefix: str = "") -> Iterator[Row]:
        """Yield the rows whose key starts so, oldest first."""
        query = f"SELECT {_COLUMNS} FROM replies WHERE substr(key, 1, ?) = ? ORDER BY time, key"
        for key, model, request, answer, when in self._database.execute(
            query, (len(prefix), prefix)
        ):
            yield Row(str(key), str(model), str(request), str(answer), _number(when))

    def count(self) -> int:
        """Return how many replies there are."""
        query = f"SELECT count(*) FROM replies WHERE key NOT LIKE '{FAILED}%'"
        return int(self._database.execute(query).fetchone()[0])

    def endpoints(self, model: str) -> Sequence[str | None]:
        """Return where some of a model's replies have come from; None where it was not noted."""
        query = (
            f"SELECT answer FROM replies WHERE model = ? AND key NOT LIKE '{FAILED}%' LIMIT 1000"
        )
        found: dict[str | None, None] = {}
        for (answer,) in self._database.execute(query, (model,)):
            with suppress(ValueError, TypeError, RecursionError, AttributeError):
                found[json.loads(answer).get("endpoint")] = None
        return list(found)

    def prune(self, before: float) -> int:
        """Delete what was answered before that time and return how many those were."""
        deleted = self._database.execute("DELETE FROM replies WHERE time < ?", (before,)).rowcount
        self._database.shrink()
        return deleted

    def single(self) -> None:
        """Make it one file that can be copied and read from a place that is read-only."""
        self._database.single()

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def beside(place: Place, *tables: str) -> Database:
    """Open a database of replies that is there, for what is noted beside them in these tables."""
    database = Session(place) if isinstance(place, Server) else SqliteFile.there(place)
    try:
        database.make(*tables)
    except BaseException:
        database.close()
        raise
    return database


def _opened(place: Place, *, write: bool) -> Database:
    if isinstance(place, Path):
        return (
            SqliteFile.made(place, _TABLE, _CHECK) if write else SqliteFile.to_read(place, _CHECK)
        )
    session = Session(place)
    try:
        if write:
            session.make(_TABLE)
        session.execute(_CHECK)
    except BaseException:
        session.close()
        raise
    return session


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


@contextmanager
def _explained(place: Place) -> Iterator[None]:
    try:
        yield
    except (Unusable, OSError) as error:
        said = str(error).strip().rstrip(".?")
        if isinstance(place, Server):
            raise ConfigError(
                f"Replies cannot be stored in {place} (llm.store.uri): {said}. Where a password is "
                "missing, PGPASSWORD or ~/.pgpass may hold it; on one machine a file does, "
                "llm.store.path=FILE."
            ) from error
        raise ConfigError(
            f"Replies cannot be stored in {place}: {said}. Choose another file with "
            "llm.store.path=FILE, or run with llm.store.mode=off (then nothing is kept, and a run "
            "that is started again pays again)."
        ) from error
