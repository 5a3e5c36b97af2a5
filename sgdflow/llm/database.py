"""The sqlite file that holds replies; it knows nothing of models or runs.

Processes share it: a reader sees what any of them has committed, writers wait for each other.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sgdflow.errors import ConfigError

_VERSION = 1
_PATIENCE = 30.0  # seconds that a writer waits for others
_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, request TEXT NOT NULL, answer TEXT NOT NULL,
    time REAL NOT NULL
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
    """An open file of replies; the methods raise what sqlite3 raises.

    One thread uses it at a time.
    """

    def __init__(self, file: Path, *, write: bool = True) -> None:
        """Open the file, and make it where `write`; raises ConfigError where that cannot be."""
        self.file = file
        with _explained(file):
            self._connection = _opened(file) if write else _opened_to_read(file)

    def get(self, key: str, since: float = 0.0) -> tuple[str, float] | None:
        """Return the answer to a request and its time, unless that is before `since`."""
        query = "SELECT answer, time FROM replies WHERE key = ? AND time >= ?"
        found = self._connection.execute(query, (key, since)).fetchone()
        return None if found is None else (str(found[0]), _number(found[1]))

    def put(
        self, rows: Iterable[Row], since: float = 0.0, whole: Callable[[Row], bool] | None = None
    ) -> list[str]:
        """Commit rows together; return the answers that are in the file for them now.

        A row that is there gives way where it is not `whole`.
        """
        kept = []
        execute = self._connection.execute
        with alone(self._connection):
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
        for key, model, request, answer, when in self._connection.execute(
            query, (len(prefix), prefix)
        ):
            yield Row(str(key), str(model), str(request), str(answer), _number(when))

    def count(self) -> int:
        """Return how many replies there are."""
        query = f"SELECT count(*) FROM replies WHERE key NOT LIKE '{FAILED}%'"
        return int(self._connection.execute(query).fetchone()[0])

    def endpoints(self, model: str) -> Sequence[str | None]:
        """Return where some of a model's replies have come from; None where it was not noted."""
        replies = f"SELECT answer FROM replies WHERE model = ? AND key NOT LIKE '{FAILED}%'"
        query = f"SELECT DISTINCT json_extract(answer, '$.endpoint') FROM ({replies} LIMIT 1000)"
        return [
            found
            for (found,) in self._connection.execute(f"{query} WHERE json_valid(answer)", (model,))
        ]

    def prune(self, before: float) -> int:
        """Delete what was answered before that time and return how many those were."""
        deleted = self._connection.execute("DELETE FROM replies WHERE time < ?", (before,)).rowcount
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(deleted)

    def single(self) -> None:
        """Make it one file that can be copied and read from a place that is read-only."""
        self._connection.execute("PRAGMA journal_mode = DELETE")

    def close(self) -> None:
        """Close the file; what was committed is in the file itself, not in one beside it."""
        with suppress(sqlite3.Error):
            # Without waiting: whoever still reads does it at the end of its own.
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._connection.close()


@contextmanager
def alone(connection: sqlite3.Connection) -> Iterator[None]:
    """Do together what no other process comes between; nothing of it, where it fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def beside(file: Path) -> sqlite3.Connection:
    """Open a file of replies that is there for what is noted beside them."""
    connection = _connected(file.absolute().as_uri())
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _connected(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, uri=True
    )


def _opened(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = _connected(file.absolute().as_uri())
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            # Does not wait its turn where several processes make the file at once.
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit outlives the process; the last ones may be lost with the machine's power.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_TABLE)
            _check_version(connection, file)
            connection.execute(f"SELECT {_COLUMNS} FROM replies LIMIT 0")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
            return connection
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                connection.close()
                raise
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            time.sleep(0.01)
        except BaseException:
            connection.close()
            raise


def _opened_to_read(file: Path) -> sqlite3.Connection:
    if not file.is_file():
        raise ConfigError(f"There is no store of replies at {file}.")
    # Where the folder is read-only too, sqlite cannot make its helper files.
    for how in ("mode=ro", "immutable=1"):
        beside = file.with_name(f"{file.name}-wal")
        if how == "immutable=1" and beside.is_file() and beside.stat().st_size:
            raise ConfigError(
                f"{file} has replies in {beside.name} that cannot be read where nothing can be "
                "written: copy both files to another folder."
            )
        connection = _connected(f"{file.absolute().as_uri()}?{how}")
        try:
            connection.execute(f"SELECT {_COLUMNS} FROM replies LIMIT 1").fetchone()
            _check_version(connection, file)
        except sqlite3.OperationalError as error:
            connection.close()
            if how == "immutable=1" or "no such table" in str(error):
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError


def _check_version(connection: sqlite3.Connection, file: Path) -> None:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise ConfigError(
            f"{file} has format {version}; this version of sgdflow knows format {_VERSION}."
        )


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(
            f"Replies cannot be stored in {file}: {error}. Choose another file with "
            "llm.store.path=FILE, or run with llm.store.mode=off (then nothing is kept, and a run "
            "that is started again pays again)."
        ) from error
