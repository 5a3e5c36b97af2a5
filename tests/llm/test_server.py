"""A database of PostgreSQL in place of the file of replies."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import clusters
import pytest

from sgdflow.config.models import build_calling
from sgdflow.config.schema import LLMConf
from sgdflow.errors import BudgetSpent, ConfigError
from sgdflow.llm import Reply, Spent, Usage
from sgdflow.llm.allowance import Allowance
from sgdflow.llm.answers import Answered, as_json
from sgdflow.llm.database import Replies, Row
from sgdflow.llm.models import Limits
from sgdflow.llm.server import _CONNECTED, Server, Session
from sgdflow.llm.sqlite import Unusable
from sgdflow.llm.store import Store
from sgdflow.llm.together import Together

NOWHERE = "postgresql://me:hidden@127.0.0.1:1/replies"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with clusters.postgres() as uri:
        yield Server(uri)


def test_rows_come_back_as_from_a_file(server: Server, tmp_path: Path) -> None:
    """Whatever stands in them; of two answers the first one stays."""
    texts = ["100 % ? :name 'quoted' \\ %s", "\u2028 \x00 \ud800 é 😀"]
    answer = [as_json(Answered(Reply(text), Spent(1), "m", "here", 0.0)) for text in texts]
    rows = [Row(f"k{n}", "m", json.dumps(texts[n]), answer[n], n + 0.123456789) for n in (0, 1)]
    rows.append(Row("failed:k2", "m", "{}", "{}", 1764200000.123456))
    found = []
    for place in (tmp_path / "r.db", server):
        with closing(Replies(place)) as replies:
            replies.put(rows[:1])
            kept = replies.put([Row("k0", "m", "{}", "second", 5.0), *rows[1:]])
            newer = replies.put([Row("k1", "m", "{}", "newer", 6.0)], since=2.0)
            held = list(replies.rows()), replies.count(), replies.endpoints("m"), replies.get("k0")
            found.append((kept, newer, held, list(replies.rows("failed")), replies.prune(2.0)))
    assert found[1] == found[0]
    assert found[0][0] == [answer[0], answer[1], "{}"]
    assert found[0][1] == ["newer"]


def test_a_lost_connection_is_made_anew_and_half_of_something_is_nothing(server: Server) -> None:
    with closing(Session(server)) as one, closing(Session(server)) as other:
        one.execute("CREATE TABLE IF NOT EXISTS notes (note TEXT)")

        def ended() -> None:
            query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = ?"
            [process] = one.execute("SELECT pg_backend_pid()").fetchall()[0]
            assert other.execute(query, (process,)).fetchall()[0][0] == 1

        ended()
        assert one.execute("SELECT count(*) FROM notes").fetchall()[0][0] == 0
        ended()
        with one.alone():
            one.execute("INSERT INTO notes VALUES (?)", ("whole",))

        def half() -> None:
            with one.alone():
                one.execute("INSERT INTO notes VALUES (?)", ("half",))
                ended()
                one.execute("SELECT 1")

        with pytest.raises(Unusable, match="terminat"):
            half()
        assert [*one.execute("SELECT note FROM notes")] == [("whole",)]


def test_a_budget_is_one_for_all_who_share_a_database(server: Server) -> None:
    limits = Limits(budget=Allowance(calls=7), shared=True, requests_per_minute=1000)
    Replies(server).close()

    async def until_spent(cap: Together) -> int:
        for made in range(50):
            try:
                await cap.enter(10)
            except BudgetSpent:
                return made
            with cap.passed():
                await asyncio.sleep(0)
            cap.add(Spent(1, Usage(5, 5), 0.25))
        return 50

    async def main() -> int:
        with ExitStack() as stack:
            caps = [stack.enter_context(closing(Together(limits, server, "s"))) for _ in range(3)]
            return sum(await asyncio.gather(*map(until_spent, caps)))

    assert asyncio.run(main()) == 7


def test_a_replay_needs_replies_that_are_there(server: Server) -> None:
    with closing(Session(server)) as session:
        session.execute("DROP SCHEMA IF EXISTS sgdflow CASCADE")
    with pytest.raises(
        ConfigError, match=r'\(llm\.store\.uri\): relation "replies" does not exist'
    ):
        Store(server, "replay")


def test_first_starts_at_once_make_the_tables_once(server: Server) -> None:
    def start(_: int) -> None:
        Store(server).close()

    with closing(Session(server)) as session, ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            session.execute("DROP SCHEMA IF EXISTS sgdflow CASCADE")
            assert len([*pool.map(start, range(8))]) == 8


def test_who_may_make_nothing_uses_what_is_there(server: Server) -> None:
    """A reader's role, that of a writer to whom everything was made, and a read-only session."""
    with closing(Together(Limits(shared=True), server, "a")) as cap, closing(Store(server)) as own:
        asyncio.run(_paid(own, cap))
    with closing(Session(server)) as session:
        session.execute("REVOKE CREATE ON DATABASE postgres FROM public")
        for role, rights in (("reader", "SELECT"), ("writer", "SELECT, INSERT, UPDATE, DELETE")):
            session.execute(f"CREATE ROLE {role} LOGIN")
            session.execute(f"GRANT USAGE ON SCHEMA sgdflow TO {role}")
            session.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA sgdflow TO {role}")
    reader, writer = (
        Server(server.uri.replace("sgdflow@", f"{role}@")) for role in ("reader", "writer")
    )
    still = Server(f"{server.uri}?options=-c%20default_transaction_read_only%3Don")
    for place in (reader, still, writer):
        with closing(Store(place, "replay")) as store:
            assert isinstance(asyncio.run(store.find("paid")), Answered)
    with closing(Together(Limits(shared=True), writer, "b")) as cap, closing(Store(writer)) as own:
        asyncio.run(_paid(own, cap))
    for place, why in ((reader, "permission denied for table"), (still, "read-only transaction")):
        with pytest.raises(ConfigError, match=rf"\(llm\.store\.uri\): .*{why}"):
            Store(place)


async def _paid(store: Store, cap: Together) -> None:
    assert await store.claimed("new")
    store.give_back("new")
    await cap.enter(1)
    await store.keep("paid", "{}", Answered(Reply("told"), Spent(1), "m", "here", 0.0))


class Relay:
    """A way to a server that can fall silent."""

    def __init__(self, server: Server) -> None:
        self._port = int(server.uri.rpartition(":")[2].partition("/")[0])
        self._writers: list[asyncio.StreamWriter] = []
        self._silent = False

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self._silent:
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(back)
        await asyncio.gather(self._passed(reader, back), self._passed(there, writer))

    async def _passed(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while text := await source.read(65536):
                to.write(text)
        to.close()

    def hush(self) -> None:
        self._silent = True
        self.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def test_nobody_waits_for_a_server_that_does_not_answer(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop goes on; who asks then learns it together, and who asks later at once."""
    monkeypatch.setitem(_CONNECTED, "connect_timeout", 4)
    relay = Relay(server)
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.05)
            gaps.append(time.monotonic() - began)

    async def ask(store: Store) -> float:
        began = time.monotonic()
        found = await asyncio.gather(*(store.find(f"k{at}") for at in range(20)))
        others = await store.elsewhere("m", "here")
        mine = await asyncio.gather(*(store.claimed(f"k{at}") for at in range(20)))
        assert (set(found), set(mine), list(others)) == ({None}, {True}, [])
        return time.monotonic() - began

    async def main() -> float:
        listening = await asyncio.start_server(relay.connected, "127.0.0.1")
        [port] = {one.getsockname()[1] for one in listening.sockets}
        way = Server(re.sub(r":\d+/", f":{port}/", server.uri))
        store = await asyncio.to_thread(Store, way)
        ticking = asyncio.create_task(tick())
        await ask(store)
        relay.hush()
        await ask(store)
        later = await ask(store)
        ticking.cancel()
        await asyncio.to_thread(store.close)
        relay.close()
        listening.close()
        return later

    assert asyncio.run(main()) < 3
    assert max(gaps) < 3
    said = " ".join(record.getMessage() for record in caplog.records)
    assert said.count("cannot be read (") == said.count("takes no claims (") == 1
    assert "asyncio" not in {record.name for record in caplog.records}


def test_who_cannot_be_reached_is_named_without_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ConfigError) as told:
        Store(Server(NOWHERE))
    assert str(told.value).startswith(
        "Replies cannot be stored in postgresql://me:***@127.0.0.1:1/replies (llm.store.uri): "
        "connection failed: "
    )
    assert "PGPASSWORD or ~/.pgpass" in str(told.value)
    assert "hidden" not in f"{told.value!r} {Server(NOWHERE)!r}"


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError) as told:
        Store(Server(NOWHERE))
    assert str(told.value) == (
        "llm.store.uri=postgresql://me:***@127.0.0.1:1/replies needs the package psycopg: "
        "pip install 'sgdflow[postgres]'."
    )


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (
            {"uri": "mysql://me:hidden@host/db"},
            "llm.store.uri=mysql://me:***@host/db is not the address of a PostgreSQL database, "
            "such as postgresql://USER@HOST/DATABASE. On one machine none is needed: a file does, "
            "llm.store.path=FILE.",
        ),
        (
            {"uri": NOWHERE, "path": "r.db"},
            "llm.store: replies are kept in one place. Say llm.store.path=null, or "
            "llm.store.uri=null.",
        ),
    ],
    ids=["another database", "a file, too"],
)
def test_what_is_no_place_is_refused(store: dict[str, str], told: str) -> None:
    conf = LLMConf.model_validate({"name": "n", "models": {}, "store": store})
    with pytest.raises(ConfigError) as refused:
        build_calling({}, conf, 0)
    assert str(refused.value) == told
