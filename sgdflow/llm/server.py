"""A PostgreSQL database that several machines share; the one place that knows SQLAlchemy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sgdflow.errors import ConfigError
from sgdflow.llm.sqlite import PATIENCE, Unusable
from sgdflow.secrets import masked

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")
_FORM = "such as postgresql://USER@HOST/DATABASE"
_SCHEMA = "sgdflow"
"""Apart from what else is in the database: MLflow's tables, say."""
_SESSION = (
    f"SET search_path TO {_SCHEMA}",
    # A commit outlives the process; the last ones may be lost with the server's power.
    "SET synchronous_commit TO off",
    f"SET lock_timeout TO {int(PATIENCE * 1000)}",
    f"SET statement_timeout TO {int(2 * PATIENCE * 1000)}",
    # Who is gone in the middle of something holds nobody up.
    f"SET idle_in_transaction_session_timeout TO {int(PATIENCE * 1000)}",
)
_CONNECTED = {
    "connect_timeout": 10,
    # A server that is gone without a word is noticed while one waits for its answer, too.
    "tcp_user_timeout": int(PATIENCE * 1000),
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
}
"""What the connection itself bears, in seconds; `tcp_user_timeout` in milliseconds."""
_NAME = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
_TURN = "SELECT pg_advisory_xact_lock(7310868)"


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a database; as a text it is without its password."""

    uri: str = field(repr=False)

    def __str__(self) -> str:
        return masked(self.uri)


def problem(uri: str) -> str:
    """Say what is wrong with an address; empty where nothing is."""
    if uri.partition(":")[0] in ("postgresql", "postgres", "postgresql+psycopg") and "://" in uri:
        return ""
    return (
        f"llm.store.uri={masked(uri)} is not the address of a PostgreSQL database, {_FORM}. On one "
        "machine none is needed: a file does, llm.store.path=FILE."
    )


@dataclass
class Rows:
    """What a query has brought."""

    rows: Sequence[Sequence[Any]]
    rowcount: int

    def fetchone(self) -> Sequence[Any] | None:
        """Return the first row, if there is one."""
        return next(iter(self.rows), None)

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """Return all rows."""
        return self.rows

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return iter(self.rows)


class Session:
    """Works in a database, over a connection that is made anew where it was lost.

    Raises what a sqlite file does. One thread uses it at a time.
    """

    def __init__(self, server: Server) -> None:
        """Get ready to connect; raises ConfigError where that takes what is not there."""
        self._engine, self._password = _engine(server)
        self._held: Connection | None = None

    def execute(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """Run a query with ? for each of the values."""
        asked = query.replace("%", "%%").replace("?", "%s")

        def run(connection: Connection) -> Rows:
            found = connection.exec_driver_sql(asked, tuple(values))
            rows = found.fetchall() if found.returns_rows else ()
            return Rows(rows, found.rowcount)

        if self._held is not None:
            with self._explained():
                return run(self._held)

        def once() -> Rows:
            with self._engine.connect() as connection:
                return run(connection)

        with self._explained():
            return _twice(once)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Do together what nobody else comes between; nothing of it, where it fails."""
        with self._explained():
            connection = _twice(self._turn)
        try:
            with connection:
                self._held = connection
                yield
                with self._explained():
                    connection.commit()
        finally:
            self._held = None

    def make(self, *tables: str) -> None:
        """Make the tables that are not there yet; raise where one may not write into them.

        Who may not make any can still write into those that are there: a server refuses them even
        an IF NOT EXISTS.
        """
        with self.alone():
            if not self.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", (_SCHEMA,)).rows:
                self.execute(f"CREATE SCHEMA {_SCHEMA}")
            query = "SELECT tablename FROM pg_tables WHERE schemaname = ?"
            there = {name for (name,) in self.execute(query, (_SCHEMA,))}
            for table in tables:
                [name] = _NAME.findall(table)
                if name not in there:
                    self.execute(table)
                self.execute(f"INSERT INTO {name} SELECT * FROM {name} WHERE false")

    def shrink(self) -> None:
        """Leave that to the server."""

    def single(self) -> None:
        """Leave it as it is: a server's database is no file."""

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def _turn(self) -> Connection:
        """Return a connection in whose transaction no other one is."""
        connection = self._engine.connect()
        try:
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            connection.exec_driver_sql(_TURN)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            said = " ".join(str(getattr(error, "orig", None) or error).split())
            if self._password:
                said = said.replace(self._password, "***")
            raise Unusable(said) from None


def _twice(what: Callable[[], T]) -> T:
    """Do something, and once more where the connection turns out to be gone."""
    from sqlalchemy.exc import DBAPIError

    try:
        return what()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return what()


def _engine(server: Server) -> tuple[Engine, str]:
    from sqlalchemy import create_engine, event, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(server.uri).set(drivername="postgresql+psycopg")
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=0,
            connect_args=_CONNECTED,
        )
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"llm.store.uri={server} needs the package psycopg: pip install 'sgdflow[postgres]'."
        ) from error
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            f"llm.store.uri={server} cannot be read: expected is one {_FORM}."
        ) from error

    @event.listens_for(engine, "connect")
    def begin(connection: Any, record: Any) -> None:
        for words in _SESSION:
            connection.execute(words)
        connection.commit()

    return engine, str(url.password or "")
