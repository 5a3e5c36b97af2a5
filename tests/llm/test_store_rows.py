"""Whose replies a store holds, what in it is none, and how it is left."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sgdflow.cli.cache import cache
from sgdflow.errors import ConfigError
from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.llm.answers import Answered, Failed, answered, as_json
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.database import Replies, Row
from sgdflow.llm.store import Store
from sgdflow.simulation.server import create_app, running

ASK = [Message("user", "What is six times seven?")]
LIMITS = Limits(retries=0, backoff=0.001)
GIVEN = Answered(Reply("stored", Usage(3, 4)), Spent(1, Usage(3, 4), 0.1), "openai/m", "")
DAY = 1_780_000_000.0


def spec(**more: Any) -> ModelSpec:
    return ModelSpec("openai/m", parameters={"temperature": 0}, **more)


def key(model: ModelSpec, said: Sequence[Message] = ASK) -> str:
    return next(model.requests(said, 0)).key


def old_row(model: ModelSpec) -> Row:
    """A row as earlier versions stored it: no endpoint in the request, none in the answer."""
    request = next(spec(price=model.price).requests(ASK, 0))
    answer = json.loads(as_json(GIVEN))
    del answer["endpoint"]
    del answer["spent"]["again"]
    return Row(request.key, model.model, request.text, json.dumps(answer), DAY)


def asked(file: Path, *, at: str | None = None, name: str | None = None) -> tuple[str, int, str]:
    """Ask a server, `at` its own address or another; return reply, calls and the last words."""
    numbers = [0]

    def reply(messages: Sequence[Message], sample: int) -> str:
        numbers[0] += 1
        return "fresh"

    async def main() -> tuple[str, int, str]:
        async with running(create_app(reply)) as url:
            model = spec(api_base=url, endpoint=name or at)
            with closing(Store(file)) as store:
                async with Client({"forward": model}, LIMITS, {}, store) as llm:
                    text = (await llm.complete("forward", ASK, node="n")).text
                    return text, numbers[0], llm.session()

    return asyncio.run(main())


def test_a_stub_does_not_answer_for_the_provider(tmp_path: Path) -> None:
    """A dry run against a local stub leaves nothing that a run against another address takes."""
    file = tmp_path / "r.db"
    assert asked(file, at="http://stub")[:2] == ("fresh", 1)
    with closing(Store(file, "replay")) as store:
        assert asyncio.run(store.find(key(spec()))) is None  # the provider's own address
        assert asyncio.run(store.find(key(spec(api_base="http://stub/v1")))) is None
    text, calls, words = asked(file, at="http://stub")
    assert (text, calls) == ("fresh", 0)
    assert "1 reply from the store (of http://stub, 20" in words
    assert asked(file, at="http://other")[1] == 1


def test_rows_of_earlier_versions_count_as_the_providers_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.db"
    with closing(Replies(file)) as replies:
        replies.put([old_row(spec())])
    with closing(Store(file)) as store:
        found = asyncio.run(store.find(key(spec())))
        assert isinstance(found, Answered)
        assert (found.reply.text, found.endpoint, found.time) == ("stored", None, DAY)
        assert asyncio.run(store.find(key(spec(api_base="http://h/v1")))) is None
        assert asyncio.run(store.elsewhere("openai/m", "http://h/v1")) == [None]
    caplog.set_level(logging.WARNING)
    assert asked(file, name="mine")[:2] == ("fresh", 1)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "has replies of openai/m, but from an endpoint that was not noted" in said
    assert "they are not used for mine" in said
    # Whoever knows that it was the same server says so.
    other = tmp_path / "other.db"
    with closing(Replies(other)) as replies:
        replies.put([old_row(spec())])
    assert cache(["claim", "mine", "--store", str(other)]) == 0
    assert "1 reply now counted as those of mine, too" in capsys.readouterr().out
    text, calls, words = asked(other, name="mine")
    assert (text, calls) == ("stored", 0)
    assert "(of mine, 2026-05-" in words
    assert cache(["claim", "yours", "--of", "mine", "--store", str(other)]) == 0
    assert asked(other, name="yours")[:2] == ("stored", 0)


@pytest.mark.parametrize(
    ("claimed", "of", "named"),
    [
        ("http://me:pw@H:80/v1/", None, "http://h/v1"),
        ("http://h/v1/chat/completions", "http://OLD:80/v1/", "http://h/v1"),
        ("https://api.openai.com/v1", "http://old/v1/", "https://api.openai.com/v1"),
    ],
)
def test_an_address_is_claimed_as_requests_note_it(
    claimed: str, of: str | None, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, model = tmp_path / "r.db", spec(api_base=of)
    given = GIVEN if of is None else replace(GIVEN, endpoint=model.answers)
    (request,) = model.requests(ASK, 0)
    row = Row(request.key, "openai/m", request.text, as_json(given), DAY)
    with closing(Replies(file)) as replies:
        replies.put([old_row(model) if of is None else row])
    words = ["claim", claimed, *(["--of", of] if of else []), "--store", str(file)]
    assert cache(words) == 0
    told = f"{file}: 1 reply now counted as those of {named}, too\n"
    assert capsys.readouterr().out == told
    with closing(Store(file)) as store:
        found = asyncio.run(store.find(key(spec(api_base=claimed))))
    assert isinstance(found, Answered)
    assert (found.reply.text, found.endpoint) == ("stored", spec(api_base=claimed).answers)


def test_a_reply_whose_request_held_a_secret_is_claimed_for_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its key is that of what was sent, which the file does not hold."""
    file, row = tmp_path / "r.db", old_row(spec())
    sealed = replace(row, key="sealed", request=row.request.replace("six", "[key:0123]"))
    with closing(Replies(file)) as replies:
        replies.put([row, sealed, replace(row, key="spoilt", request="no JSON")])
    assert cache(["claim", "mine", "--store", str(file)]) == 0
    said = capsys.readouterr().out
    assert "1 reply now counted as those of mine, too\n" in said
    assert "  not counted: 2 replies whose request is not stored as it was sent" in said
    assert said.endswith("(sealed, spoilt)\n")
    with closing(Replies(file)) as replies:
        assert replies.count() == 4


def test_a_request_that_got_no_reply_is_no_reply_of_another_endpoint(tmp_path: Path) -> None:
    here = "http://h/v1"
    with closing(Store(tmp_path / "r.db")) as store:
        failed = Failed("nothing", "server", Spent(5))
        asyncio.run(store.note(key(spec(api_base=here)), "{}", "openai/m", failed))
        assert asyncio.run(store.elsewhere("openai/m", here)) == []
        asyncio.run(store.keep("other", "{}", GIVEN))
        assert asyncio.run(store.elsewhere("openai/m", here)) == [""]


SPOILT: list[Any] = [
    "", "no JSON", "[]", "null", "{}", "[" * 100_000, '{"reply": 5}', b"\xff\x00", None, 7, 0.5,
    as_json(GIVEN).replace('"stored"', "5"), as_json(GIVEN).replace("0.1", "NaN"),
    as_json(GIVEN).replace("0.1", "-1"), as_json(GIVEN).replace(": 3", ": 3.5"),
    as_json(GIVEN).replace(": 3", ": 1" + "0" * 400), as_json(GIVEN).replace("false", '"no"'),
]  # fmt: skip


@pytest.mark.parametrize("spoilt", SPOILT, ids=range(len(SPOILT)))
def test_a_row_that_holds_no_reply_is_named_passed_over_and_replaced(
    spoilt: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, name = tmp_path / "r.db", key(spec(endpoint="e", api_base="http://h/v1"))
    with closing(Replies(file)) as replies:
        replies.put([Row("other", "openai/m", "{}", as_json(GIVEN), DAY)])
        rows = [(name, "openai/m", "{}", "x", DAY), ("bad", b"\xff", "{}", "x", "today")]
        for row in rows:
            replies._database.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", row)
        if spoilt is not None:
            replies._database.execute("UPDATE replies SET answer = ? WHERE key = ?", (spoilt, name))
    caplog.set_level(logging.WARNING)
    text, calls, _ = asked(file, name="e")
    assert (text, calls) == ("fresh", 1)
    (said,) = [r.getMessage() for r in caplog.records if "passed over" in r.getMessage()]
    assert said.startswith(f"{file}: {name} holds no reply (")
    assert asked(file, name="e")[:2] == ("fresh", 0)


def test_the_tools_pass_over_what_is_no_reply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, copy, other = tmp_path / "r.db", tmp_path / "copy.db", tmp_path / "other.db"
    with closing(Replies(file)) as replies:
        replies.put([Row("good", "openai/m", "{}", as_json(GIVEN), DAY)])
        for number, answer in enumerate(one for one in SPOILT if one is not None):
            row = (f"bad{number}", "openai/m", "no JSON", answer, "today")
            replies._database.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", row)

    def said(*words: str) -> str:
        assert cache([*words]) == 0
        return capsys.readouterr().out

    store = ["--store", str(file)]
    info = said("info", *store)
    assert f"{file}: 1 reply," in info
    assert "openai/m: 1 reply, 0.0 MB of text, 2026-05-28, from openai's own address" in info
    assert "passed over: 16 rows without a reply (bad0, bad1, " in info
    assert f"{copy}: 1 reply." in said("export", str(copy), *store)
    assert "1 new reply of 1" in said("import", str(file), "--store", str(other))
    assert "0 replies now counted as those of x, too" in said("claim", "x", "--of", "y", *store)
    with pytest.raises(ConfigError, match="bad12 holds no reply"):
        cache(["show", "bad12", *store])
    with pytest.raises(ConfigError, match="good holds no reply"):  # its request is none
        cache(["show", "good", *store])


def test_a_foreign_file_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "r.db"
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE replies (id TEXT, body TEXT)")
        made.commit()
    for mode in ("use", "replay"):
        with pytest.raises(ConfigError, match=r"r\.db: no such column"):
            Store(file, mode)


def test_a_store_is_one_whole_file_after_a_normal_end(tmp_path: Path) -> None:
    file = tmp_path / "r.db"

    async def fill(store: Store) -> None:
        for number in range(200):
            await store.keep(f"{number}", "{}", GIVEN)

    with closing(Store(file)) as store:
        asyncio.run(fill(store))
        assert len(list(tmp_path.iterdir())) > 1  # while it is open
    assert [path.name for path in tmp_path.iterdir()] == ["r.db"]
    moved = tmp_path / "moved.db"
    moved.write_bytes(file.read_bytes())
    with closing(Replies(moved, write=False)) as replies:
        assert replies.count() == 200
    # Also where another process still has it open, the file itself holds all replies.
    with closing(Store(file)) as open_elsewhere:
        assert asyncio.run(open_elsewhere.find("0")) is not None
        with closing(Store(file)) as store:
            asyncio.run(store.keep("new", "{}", GIVEN))
        moved.write_bytes(file.read_bytes())
        with closing(sqlite3.connect(f"{moved.as_uri()}?immutable=1", uri=True)) as alone:
            assert alone.execute("SELECT count(*) FROM replies").fetchone() == (201,)


def test_what_is_stored_reads_back_as_it_was() -> None:
    whole = Answered(
        Reply("é \ud800 \x00", Usage(3, 4, 2), True, 0.1),
        Spent(2, Usage(6, 4, 2), 0.30000000000000004, {"server": 1}, Usage(1, 1)),
        "m",
        "http://h/v1",
    )
    assert answered(as_json(whole)) == whole


def test_a_stored_answer_holds_every_field_but_when() -> None:
    """As `asdict` writes them: files that are there are read by the same names and order."""
    spent = Spent(3, Usage(7, 5, 2), None, {"timeout": 2}, Usage(1, 1))
    given = Answered(Reply("a\u00e9", Usage(3, 2, 1), True, 0.5, 1.25), spent, "x/y", None, 9.0)
    fields = asdict(given)
    del fields["time"]
    assert as_json(given) == json.dumps(fields)
