"""A sqlite file that the processes of a machine share, and what is asked of any database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from sgdflow.errors import ConfigError

Unusable = sqlite3.Error
"""What is raised where a database cannot be used; a server's, too."""
PATIENCE = 30.0
"""Seconds that a writer waits for others."""
_VERSION = 1


class Found(Protocol):
    """What a query brings."""

    @property
    def rowcount(self) -> int:
        """Return how many rows were changed."""

    def fetchone(self) -> Any:
        """Return the next row, None where there is none."""

    def fetchall(self) -> Sequence[Any]:
        """Return all rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """An open database, in which one can do something alone; one thread uses it at a time."""

    def execute(self, query: str, values: Sequence[Any] = (), /) -> Found:
        """Run a query with ? for each of the values."""

    def alone(self) -> AbstractContextManager[None]:
        """Do together what nobody else comes between; nothing of it, where it fails."""

    def make(self, *tables: str) -> None:
        """Make the tables that are not there yet."""

    def shrink(self) -> None:
        """Give back the room of what was deleted."""

    def single(self) -> None:
        """Make it one file that can be copied and read from a place that is read-only."""

    def close(self) -> None:
        """Close it; what was committed stays."""


class SqliteFile:
    """An open file of sqlite's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.execute = connection.execute

    @classmethod
    def made(cls, file: Path, *first: str) -> SqliteFile:
        """Open a file, made where it is not there; the first queries make its tables."""
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = _connected(file.absolute().as_uri())
        end = time.monotonic() + PATIENCE
        while True:
            try:
                # Does not wait its turn where several processes make the file at once.
                connection.execute("PRAGMA journal_mode = WAL")
                # A commit outlives the process; the last ones may be lost with the machine's power.
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                for query in first:
                    connection.execute(query).fetchone()
                _check_version(connection, file)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                connection.execute("COMMIT")
                return cls(connection)
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

    @classmethod
    def to_read(cls, file: Path, first: str) -> SqliteFile:
        """Open a file that is there, also from a place that is read-only."""
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
                connection.execute(first).fetchone()
                _check_version(connection, file)
            except sqlite3.OperationalError as error:
                connection.close()
                if how == "immutable=1" or "no such table" in str(error):
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return cls(connection)
        raise AssertionError

    @classmethod
    def there(cls, file: Path) -> SqliteFile:
        """Open a file that is there, to write."""
        connection = _connected(file.absolute().as_uri())
        connection.execute("PRAGMA synchronous = NORMAL")
        return cls(connection)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Do together what no other process comes between; nothing of it, where it fails."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.execute("ROLLBACK")
            raise

    def make(self, *tables: str) -> None:
        """Make the tables that are not there yet."""
        with self.alone():
            for table in tables:
                self.execute(table)

    def shrink(self) -> None:
        """Give back the room of what was deleted."""
        self.execute("VACUUM")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def single(self) -> None:
        """Make it one file that can be copied and read from a place that is read-only."""
        self.execute("PRAGMA journal_mode = DELETE")

    def close(self) -> None:
        """Close the file; what was committed is in the file itself, not in one beside it."""
        with suppress(sqlite3.Error):
            # Without waiting: whoever still reads does it at the end of its own.
            self.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._connection.close()


def _connected(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True
    )


def _check_version(connection: sqlite3.Connection, file: Path) -> None:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise ConfigError(
            f"{file} has format {version}; this version of sgdflow knows format {_VERSION}."
        )
