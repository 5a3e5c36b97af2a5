"""Two processes that want the same at the same moment: one asks, the other waits for its reply."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import clusters
import pytest

from sgdflow.llm import Message, Reply, Spent, Usage, claims
from sgdflow.llm.answers import Answered
from sgdflow.llm.backend import Answer
from sgdflow.llm.claims import Claims
from sgdflow.llm.client import Client
from sgdflow.llm.database import Place, Replies, Row, beside
from sgdflow.llm.failures import Failure, Noticed
from sgdflow.llm.models import Limits, ModelSpec
from sgdflow.llm.server import Server, Session
from sgdflow.llm.store import Store

ROOT = Path(__file__).resolve().parents[2]
# A process with a client, whose backend asks the endpoint for each of the words it is given.
CLIENT = """
import asyncio, sys, urllib.request
from contextlib import closing
from pathlib import Path
from sgdflow.llm import Message, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client
from sgdflow.llm.models import Limits, ModelSpec
from sgdflow.llm.server import Server
from sgdflow.llm.store import Store

class Asking:
    def load(self, specs): pass
    def price_of(self, spec): return None
    async def ask(self, spec, messages, *, sample, key, seconds):
        url = f"{sys.argv[2]}/{messages[-1].content}"
        read = lambda: urllib.request.urlopen(url, timeout=60).read().decode()
        return Answer(await asyncio.to_thread(read), "stop", Usage(1, 1), 0.5)
    async def close(self): pass

async def main():
    spec = ModelSpec("openai/m", api_base="http://one/v1", parameters={"temperature": 0.0})
    place = Server(sys.argv[1]) if "://" in sys.argv[1] else Path(sys.argv[1])
    with closing(Store(place)) as store:
        how = Limits(concurrency=4), {}, store
        async with Client({"forward": spec}, *how, backend=Asking()) as llm:
            print("begins", flush=True)
            asked = (llm.complete("forward", [Message("user", w)], node="n") for w in sys.argv[3:])
            replies = await asyncio.gather(*asked)
            print(*(reply.text for reply in replies), llm.spent()["forward"].calls, flush=True)

asyncio.run(main())
"""


@dataclass
class Endpoint:
    """Answers each word after a while, and counts."""

    url: str = ""
    seconds: float = 0.5
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def counting() -> Iterator[Endpoint]:
    found = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path[1:])
            number = len(found.asked)
            time.sleep(found.seconds)
            try:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(f"{self.path[1:]}-{number}".encode())
            except OSError:  # whoever asked was killed
                pass

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


def address(place: Place) -> str:
    return place.uri if isinstance(place, Server) else str(place)


def start(place: Place, endpoint: Endpoint, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, address(place), endpoint.url, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out.splitlines()[-1]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with clusters.postgres() as uri:
        yield Server(uri)


@pytest.fixture(params=["a file", "a server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return where no replies are kept yet."""
    if request.param == "a file":
        return tmp_path / "r.db"
    server: Server = request.getfixturevalue("server")
    with closing(Session(server)) as session:
        session.execute("DROP SCHEMA IF EXISTS sgdflow CASCADE")
    return server


def test_what_two_processes_ask_at_once_is_sent_once(counting: Endpoint, place: Place) -> None:
    """Both go on with the same replies, and count the same."""
    words = [f"w{number}" for number in range(12)]
    started = [start(place, counting, *words) for _ in range(3)]
    one, *others = [said(process) for process in started]
    assert others == [one, one]
    assert sorted(counting.asked) == sorted(words)
    with closing(beside(place)) as store:
        assert store.execute("SELECT count(*) FROM claims").fetchone()[0] == 0


def test_the_claims_of_a_killed_process_are_taken_over_at_once(
    counting: Endpoint, place: Place
) -> None:
    """It was about some and had claimed all; what it had stored is not asked again."""
    counting.seconds = 3.0
    words = [f"w{number}" for number in range(8)]
    first = start(place, counting, *words)
    while len(counting.asked) < 6:  # four are answered, the others under way
        assert first.poll() is None
        time.sleep(0.02)
    second = start(place, counting, *words)
    assert second.stdout is not None
    assert second.stdout.readline() == "begins\n"
    first.send_signal(signal.SIGKILL)  # and nobody asks after it: it stays a zombie
    began = time.monotonic()
    assert said(second).endswith(" 8")
    assert time.monotonic() - began < claims.STALE
    first.communicate()
    with closing(beside(place)) as store:
        stored = [str(key) for (key,) in store.execute("SELECT request FROM replies")]
    assert len(stored) == 8
    assert len(counting.asked) <= 8 + 4
    assert set(counting.asked) == set(words)


@pytest.fixture
def made(place: Place) -> Place:
    """Return where replies may be kept."""
    Replies(place).close()
    return place


async def within(claim: Claims, key: str, seconds: float) -> bool | None:
    try:
        return await asyncio.wait_for(claim.won(key), seconds)
    except TimeoutError:
        return None


def test_a_claim_is_held_until_it_is_given_back_or_answered(made: Place) -> None:
    async def main() -> None:
        with closing(Claims(made)) as one, closing(Claims(made)) as two:
            assert await one.won("a")
            assert await one.won("a")  # its own
            assert await two.won("b")
            assert await within(two, "a", 0.3) is None
            assert await within(one, "a", 0.3)  # whoever gave up waiting has taken nothing
            waiting = asyncio.create_task(two.won("a"))
            one.give_back("a")
            assert await asyncio.wait_for(waiting, 60)
            waiting = asyncio.create_task(one.won("a"))
            await asyncio.sleep(0.1)
            replies = Replies(made)
            replies.put([Row("a", "m", "{}", "{}", time.time())])
            replies.close()
            assert not await asyncio.wait_for(waiting, 60)
            assert await within(one, "b", 0.3) is None
        with closing(Claims(made)) as three:
            assert await three.won("b")  # all were given back at the end

    asyncio.run(main())


def test_a_reply_from_before_the_run_does_not_end_a_claim_that_refreshes(made: Place) -> None:
    replies = Replies(made)
    replies.put([Row("a", "m", "{}", "{}", time.time() - 100)])
    replies.close()

    async def main() -> None:
        with closing(Claims(made, time.time() - 50)) as one, closing(Claims(made)) as two:
            assert await one.won("a")
            assert not await two.won("a")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("machine", "age", "free"),
    [("another", 1.0, False), ("another", claims.STALE + 30, True)],
    ids=["a sign of life from another machine", "none for long"],
)
def test_whoever_gives_no_sign_of_life_holds_nothing(
    machine: str, age: float, free: bool, made: Place
) -> None:
    async def main() -> None:
        with closing(Claims(made)) as one, closing(Claims(made)) as two:
            assert await one.won("a")
            with closing(beside(made)) as store:
                store.execute(
                    "UPDATE claims SET machine = ?, beat = ?", (machine, time.time() - age)
                )
            assert bool(await within(two, "a", 60.0 if free else 2.0)) == free

    asyncio.run(main())


def test_a_claim_is_kept_alive_as_long_as_it_takes(
    made: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.05)

    async def main() -> None:
        with closing(Claims(made)) as one:
            assert await one.won("a")
            first = beat()
            await asyncio.to_thread(until_later_than, first)

    def until_later_than(first: float) -> None:
        while beat() == first:
            time.sleep(0.05)

    def beat() -> float:
        with closing(beside(made)) as store:
            [found] = store.execute("SELECT beat FROM claims").fetchone()
        return float(found)

    asyncio.run(main())


def test_a_store_that_takes_no_claims_keeps_nobody_from_asking(
    made: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(beside(made)) as store:
        store.execute("CREATE TABLE claims (other TEXT)")

    async def main() -> None:
        with closing(Claims(made)) as one:
            assert await one.won("a")
            assert await one.won("b")

    asyncio.run(main())
    [told] = caplog.messages
    assert told.startswith(f"{made} takes no claims (")
    assert re.search(r"holder\b.*\)\. The run goes on;", told)


def test_a_row_that_holds_no_reply_is_asked_for(made: Place) -> None:
    """It is there, so that nobody waits; it is none, so that somebody has to ask."""
    replies = Replies(made)
    replies.put([Row("a", "m", "{}", "no reply", time.time())])
    replies.close()

    async def main() -> bool:
        with closing(Store(made)) as store:
            assert await store.find("a") is None
            return await store.claimed("a")

    assert asyncio.run(main())


def held(file: Path) -> sqlite3.Connection:
    """Return a connection that keeps all writers of a file waiting."""
    lock = sqlite3.connect(file, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    return lock


def keys_of(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM claims ORDER BY key")]


def test_a_reply_is_found_while_the_writer_waits(tmp_path: Path) -> None:
    file = tmp_path / "replies.db"

    async def main() -> None:
        answer = Answered(Reply("before"), Spent(1), "openai/m")
        with closing(Store(file)) as store:
            await store.keep("old", "{}", answer)
            with closing(held(file)) as lock:
                waiting = asyncio.create_task(store.keep("new", "{}", answer))
                claiming = asyncio.create_task(store.claimed("other"))
                await asyncio.sleep(0.2)
                found = await asyncio.wait_for(store.find("old"), 2)
                assert found == answer
                assert not waiting.done()  # the writer has waited all the time
                assert not claiming.done()
                lock.execute("COMMIT")
            await waiting
            assert await claiming
            assert await store.find("new") == answer

    asyncio.run(main())


def test_who_was_cancelled_before_its_turn_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "replies.db"

    async def main() -> bool:
        with closing(Store(file)) as store, closing(Store(file)) as other:
            assert await store.claimed("first")
            with closing(held(file)) as lock:  # so that claims pile up behind another one
                busy = asyncio.create_task(store.claimed("busy"))
                await asyncio.sleep(0.2)
                gone = asyncio.create_task(store.claimed("gone"))
                await asyncio.sleep(0.1)
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
                lock.execute("COMMIT")
            assert await busy
            return await asyncio.wait_for(other.claimed("gone"), 20)

    assert asyncio.run(main())


def test_what_could_not_be_given_back_is_given_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "replies.db"
    monkeypatch.setattr(claims, "BEAT", 0.3)

    async def main() -> bool:
        with closing(Store(file)) as store, closing(Store(file)) as other:
            assert await store.claimed("one")
            with closing(sqlite3.connect(file, isolation_level=None)) as renamed:
                renamed.execute("ALTER TABLE claims RENAME TO elsewhere")
                store.give_back("one")
                await asyncio.sleep(0.5)
                renamed.execute("ALTER TABLE elsewhere RENAME TO claims")
            return await asyncio.wait_for(other.claimed("one"), 20)

    assert asyncio.run(main())


def test_the_reply_of_a_fallback_is_waited_for_too(tmp_path: Path) -> None:
    sent: list[tuple[int, str]] = []

    class Asking:
        def __init__(self, number: int) -> None:
            self.number = number

        def load(self, specs: object) -> None: ...

        def price_of(self, spec: object) -> None: ...

        async def close(self) -> None: ...

        async def ask(self, spec: ModelSpec, messages: object, **how: object) -> Answer:
            sent.append((self.number, spec.model))
            await asyncio.sleep(0.5)
            if spec.model == "openai/a":
                raise Noticed(Failure("content_filter"))
            return Answer("hi", "stop", Usage(1, 1), 0.1)

    def model(name: str, *others: ModelSpec) -> ModelSpec:
        base, told = "http://one/v1", {"temperature": 0.0}
        return ModelSpec(name, base, parameters=told, fallbacks=others)

    async def client(number: int) -> str:
        spec = model("openai/a", model("openai/b"))
        with closing(Store(tmp_path / "replies.db")) as store:
            how: Any = Limits(), {}, store, 0, (), Asking(number)
            async with Client({"forward": spec}, *how) as llm:
                return (await llm.complete("forward", [Message("user", "q")], node="n")).text

    async def main() -> list[str]:
        return list(await asyncio.gather(client(1), client(2)))

    assert asyncio.run(main()) == ["hi", "hi"]
    assert len(sent) == 2
    assert len({number for number, _ in sent}) == 1
    assert keys_of(tmp_path / "replies.db") == []
