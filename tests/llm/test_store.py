"""The response store: what was answered once is not asked again, by anybody."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sgdflow.cli.cache import cache
from sgdflow.errors import CallFailed, ConfigError, NotStored
from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.llm.answers import Answered
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.database import Replies, Row
from sgdflow.llm.models import Request
from sgdflow.llm.store import Mode, Store
from sgdflow.records.resume import finished
from sgdflow.simulation.server import create_app, running

ASK = [Message("system", "Be brief."), Message("user", "What is six times seven?")]
LIMITS = Limits(concurrency=8, timeout=5.0, retries=3, backoff=0.001)
GIVEN = Answered(
    Reply("é \ud800 {{ 7*7 }}\u2028", Usage(3, 4, 2), True, 0.1),
    Spent(2, Usage(6, 4, 2), 0.30000000000000004),
    "m",
)


class Asked:
    """Counts what reaches the server."""

    def __init__(self) -> None:
        self.times = 0

    def reply(self, messages: Sequence[Message], sample: int) -> str:
        self.times += 1
        return f"<answer>{self.times}</answer>"


def session(
    use: Callable[[Client], Awaitable[Any]],
    store: Path | None,
    asked: Asked,
    *,
    mode: Mode = "use",
    since: float = 0.0,
    seed: int = 0,
    parameters: dict[str, Any] | None = None,
) -> Any:
    """Run `use` with a client of its own, as a process of its own would have it."""

    async def main() -> Any:
        async with running(create_app(asked.reply)) as url:
            given = parameters or {"temperature": 0}
            model = ModelSpec("openai/worlds", url, None, given, endpoint="a server that moves")
            opened = Store(store, mode, since) if store else None
            try:
                async with Client({"forward": model}, LIMITS, {}, opened, seed) as llm:
                    return await use(llm)
            finally:
                if opened:
                    opened.close()

    return asyncio.run(main())


async def once(llm: Client) -> tuple[str, Spent]:
    reply = await llm.complete("forward", ASK, node="n")
    return reply.text, llm.spent()["forward"]


def test_a_reply_is_kept_as_it_was(tmp_path: Path) -> None:
    async def use() -> Answered:
        with closing(Store(tmp_path / "new" / "r.db")) as store:
            return await store.keep("key", "{}", GIVEN)

    assert asyncio.run(use()) == GIVEN
    with closing(Store(tmp_path / "new" / "r.db", "replay")) as store:
        assert asyncio.run(store.find("key")) == GIVEN
        assert asyncio.run(store.find("other")) is None


def test_another_run_finds_what_was_answered_and_counts_it_alike(tmp_path: Path) -> None:
    asked, file = Asked(), tmp_path / "r.db"
    headers = {"temperature": 0, "extra_headers": {"x-simulate": "429,empty,ok"}}
    first = session(once, file, asked, parameters=headers)
    again = session(once, file, asked, parameters=headers)  # at another port
    assert first == again == ("<answer>2</answer>", first[1])
    assert (first[1].calls, asked.times) == (3, 2)
    assert first[1].usage.prompt == 2 * 9


def test_requests_differ_in_model_parameters_messages_and_sample_only() -> None:
    spec = ModelSpec("openai/a", "http://one/v1", "KEY", {"temperature": 0, "seed": 1})
    moved = ModelSpec(
        "openai/a", "http://u:p@ONE:80/v1/?key=x", None, {"seed": 1, "temperature": 0}
    )
    others = [
        (replace(spec, api_base="http://two/v1"), ASK, 0),
        (replace(spec, api_base=None), ASK, 0),
        (replace(spec, endpoint="a name"), ASK, 0),
        (replace(spec, model="openai/b"), ASK, 0),
        (replace(spec, parameters={"temperature": 0}), ASK, 0),
        (spec, ASK[1:], 0),
        (spec, ASK, 1),
    ]
    key = next(spec.requests(ASK, 0)).key
    assert next(moved.requests(ASK, 0)).key == key
    keys = {next(one.requests(messages, sample)).key for one, messages, sample in others}
    assert len(keys | {key}) == 8
    named = [replace(spec, endpoint="e"), replace(moved, endpoint="e", api_base="http://two/v1")]
    assert len({next(one.requests(ASK, 0)).key for one in named}) == 1
    fallback = replace(spec, model="openai/b", fallbacks=(spec,))
    assert key not in {request.key for request in fallback.requests(ASK, 0)}


@pytest.mark.parametrize(
    ("mode", "since", "times"), [("refresh", 9e9, 2), ("refresh", 0.0, 1), ("use", 9e9, 1)]
)
def test_refresh_asks_what_was_answered_before_the_run_began(
    tmp_path: Path, mode: Mode, since: float, times: int
) -> None:
    asked, file = Asked(), tmp_path / "r.db"
    session(once, file, asked)
    assert session(once, file, asked, mode=mode, since=since)[0] == f"<answer>{times}</answer>"
    assert session(once, file, asked)[0] == f"<answer>{times}</answer>"


def test_a_renewed_token_is_the_same_request() -> None:
    def key(**parameters: Any) -> str:
        return next(ModelSpec("openai/a", parameters=parameters).requests(ASK, 0)).key

    plain = key(temperature=0, extra_body={"think": False})
    transport: list[dict[str, Any]] = [
        {"extra_headers": {"Authorization": "Bearer 1"}},
        {"default_headers": {"x-team": "a"}, "aws_secret_access_key": "2"},
        {"extra_body": {"think": False, "auth_token": "3"}},
    ]
    for more in transport:
        assert key(**{"temperature": 0, "extra_body": {"think": False}, **more}) == plain
    assert key(temperature=0, extra_body={"think": True}) != plain


def test_a_key_that_a_reply_repeats_is_in_no_file_and_in_the_reply(tmp_path: Path) -> None:
    """A reply is scored as it came, also when it comes from the store; the file holds no key."""
    secret, file = 'pl"anted-4f9a8b7c/6d5e+==', tmp_path / "r.db"
    said = f"Your key is {secret}; postgres; [key:0123456789abcdef]"
    keys = {
        "KEY": secret,
        "POSTGRES_PASSWORD": "postgres",
        "OTHER_API_KEY": "[key:0123456789abcdef]",
    }
    asked: list[int] = []

    def reply(messages: Sequence[Message], sample: int) -> str:
        asked.append(sample)
        return said

    async def main(renewed: str) -> str:
        async with running(create_app(reply)) as url:
            model = ModelSpec("openai/worlds", url, "KEY", {"temperature": 0}, endpoint="e")
            with closing(Store(file)) as store:
                given = {**keys, "KEY": renewed}
                async with Client({"forward": model}, LIMITS, given, store) as llm:
                    told = [Message("user", f"My key is {secret}.")]
                    return (await llm.complete("forward", told, node="n")).text

    assert asyncio.run(main(secret)) == asyncio.run(main(secret)) == said
    renewed = asyncio.run(main("another-key-than-before"))
    assert len(asked) == 1
    assert renewed.startswith("Your key is [key:")
    assert renewed.endswith("; postgres; [key:0123456789abcdef]")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"anted-4f9a8b7c" not in kept
    assert b"Your key is [key:" in kept


def test_replay_names_what_is_missing_and_asks_nobody(tmp_path: Path) -> None:
    asked, file = Asked(), tmp_path / "r.db"
    session(once, file, asked)

    async def other(llm: Client) -> None:
        assert (await once(llm))[0] == "<answer>1</answer>"
        await llm.complete("forward", [Message("user", "Why " + "x" * 100)], node="hint_1")

    with pytest.raises(NotStored) as missing:
        session(other, file, asked, mode="replay")
    assert asked.times == 1
    for words in ("hint_1", "llm.models.forward", '"Why xxx', "...", "llm.store.mode=use"):
        assert words in str(missing.value)
    with pytest.raises(ConfigError, match="There is no store of replies at"):
        Store(tmp_path / "none.db", "replay")
    assert not (tmp_path / "none.db").exists()


def test_a_call_that_failed_is_made_again_but_fails_again_in_a_replay(tmp_path: Path) -> None:
    asked, file = Asked(), tmp_path / "r.db"
    refusing = {"temperature": 0, "extra_headers": {"x-simulate": "filter"}}

    async def fail(llm: Client) -> tuple[str, str, Spent]:
        with pytest.raises(CallFailed) as failed:
            await once(llm)
        return str(failed.value), failed.value.kind, llm.spent()["forward"]

    first = session(fail, file, asked, parameters=refusing)
    assert first[1:] == ("content_filter", Spent(1, faults={"content_filter": 1}))
    assert session(fail, file, asked, parameters=refusing, mode="replay") == first

    async def sent(llm: Client) -> str:
        await fail(llm)
        return llm.session()

    told = session(sent, file, asked, parameters=refusing)
    assert told.startswith("1 call (none answered), 0 replies from the store; faults: ")
    assert session(sent, file, asked, parameters=refusing, mode="replay").startswith("0 calls")


def test_replay_needs_no_key_and_no_right_to_write(tmp_path: Path) -> None:
    model = ModelSpec("openai/worlds", "http://127.0.0.1:9/v1", "KEY", {"temperature": 0})
    request = next(model.requests(ASK, 0))
    with closing(Replies(tmp_path / "r.db")) as replies:
        replies.put([Row(request.key, "m", request.text, json.dumps(STORED), 1.0)])
        replies.single()
    (tmp_path / "r.db").chmod(0o400)
    tmp_path.chmod(0o500)

    async def use() -> str:
        with closing(Store(tmp_path / "r.db", "replay")) as store:
            async with Client({"forward": model}, LIMITS, {}, store) as llm:
                return (await llm.complete("forward", ASK, node="n")).text

    try:
        assert asyncio.run(use()) == "stored"
    finally:
        tmp_path.chmod(0o700)


STORED = {
    "reply": {"text": "stored", "usage": {"prompt": 1, "completion": 1}, "truncated": False},
    "spent": {"calls": 1, "usage": {"prompt": 1, "completion": 1}, "cost": None},
    "model": "m",
}


def test_at_a_temperature_every_request_has_a_reply_of_its_own(tmp_path: Path) -> None:
    asked, file, warm = Asked(), tmp_path / "r.db", {"temperature": 1}

    async def twice(llm: Client) -> list[str]:
        calls = [llm.complete("forward", ASK, node=node) for node in ("a", "a", "b")]
        return [reply.text for reply in await asyncio.gather(*calls)]

    first = session(twice, file, asked, parameters=warm)
    assert len(set(first)) == asked.times == 3
    assert session(twice, file, asked, parameters=warm) == first
    assert asked.times == 3
    assert not set(session(twice, file, asked, parameters=warm, seed=1)) & set(first)


def test_the_first_answer_is_the_one_that_all_go_on_with(tmp_path: Path) -> None:
    other = Answered(Reply("later", cost=None), Spent(1), "m")

    async def use() -> list[Answered]:
        one, two = Store(tmp_path / "r.db"), Store(tmp_path / "r.db")
        with closing(one), closing(two):
            return [await one.keep("key", "{}", GIVEN), await two.keep("key", "{}", other)]

    assert asyncio.run(use()) == [GIVEN, GIVEN]


PROCESS = """
import asyncio, sys
from pathlib import Path
from sgdflow.llm import Reply, Spent
from sgdflow.llm.answers import Answered
from sgdflow.llm.store import Store

async def main():
    store = Store(Path(sys.argv[1]))
    keep = (store.keep(f"{n % 50}", "{}", Answered(Reply(sys.argv[2]), Spent(1), "m"))
            for n in range(int(sys.argv[2]), 200))
    await asyncio.gather(*keep)
    store.close()

asyncio.run(main())
"""


def test_processes_that_start_together_fill_one_store(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "r.db")]
    started = [
        subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(4)
    ]
    assert [(one.communicate()[1], one.returncode) for one in started] == [("", 0)] * 4
    with closing(Replies(tmp_path / "r.db", write=False)) as replies:
        assert len(list(replies.rows())) == 50


def unusable(kind: str, folder: Path) -> Path:
    file = folder / "r.db"
    if kind == "text":
        file.write_text("no database " * 500)
    elif kind == "folder":
        file.mkdir()
    elif kind == "other":
        with closing(sqlite3.connect(file)) as made:
            made.execute("PRAGMA user_version = 99")
            made.commit()
    elif kind == "full":
        return Path("/dev/full/r.db")
    elif kind == "read-only":
        return Path("/proc/r.db")  # even for root
    return file


@pytest.mark.parametrize("kind", ["text", "folder", "other", "full", "read-only"])
def test_a_store_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError) as told:
        Store(unusable(kind, tmp_path))
    assert "r.db" in str(told.value)
    if kind != "other":
        assert "llm.store.path=FILE" in str(told.value)
        assert "llm.store.mode=off" in str(told.value)


def test_a_store_that_fails_later_is_told_once_and_catches_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def keep(store: Store, numbers: Sequence[int]) -> None:
        for number in numbers:
            assert await store.keep(f"{number}", "{}", GIVEN) == GIVEN
            await asyncio.sleep(0.01)

    async def use() -> None:
        with closing(Store(tmp_path / "r.db")) as store, closing(sqlite3.connect(blocker)) as other:
            await keep(store, [1])
            other.execute("ALTER TABLE replies RENAME TO hidden")
            other.commit()
            await keep(store, [2, 3, 4])
            assert await store.find("1") is None
            assert await store.find("2") is None
            other.execute("ALTER TABLE hidden RENAME TO replies")
            other.commit()
            await keep(store, [5])

    blocker = tmp_path / "r.db"
    asyncio.run(use())
    with closing(Replies(blocker, write=False)) as replies:
        assert {row.key for row in replies.rows()} == {"1", "2", "3", "4", "5"}
    said = [record.getMessage() for record in caplog.records]
    assert [words for words in said if "takes no more replies" in words] == said[:1]
    assert [words for words in said if "cannot be read" in words] == said[1:2]
    assert said[2:] == [f"{blocker} takes replies again; none is missing."]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("max_page_count = {pages}", "database or disk is full"),
        ("query_only = 1", "attempt to write a readonly database"),
    ],
)
def test_a_full_disk_loses_nothing_that_the_run_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str, says: str
) -> None:
    asked = Asked()

    async def use(llm: Client) -> None:
        connection = llm._store._writer._replies._database  # type: ignore[union-attr]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA {fault.format(pages=pages)}")
        for _ in range(2):
            texts = [await llm.complete("forward", long(n), node="n") for n in range(9)]
            assert [reply.text for reply in texts] == [
                f"<answer>{n + 1}</answer>" for n in range(9)
            ]
        assert llm.spent()["forward"].calls == 9

    def long(number: int) -> list[Message]:
        return [Message("user", f"{number} " * 3000)]

    session(use, tmp_path / "r.db", asked)
    assert asked.times == 9
    said = [record.getMessage() for record in caplog.records]
    assert len([words for words in said if says in words]) == 1
    assert said[-1] == "9 replies were not stored."


def test_what_a_request_is_does_not_depend_on_the_order_of_its_parts() -> None:
    one, two = Request.of({"a": 1, "b": {"c": "é", "d": 2}}), Request.of({"b": {"d": 2, "c": "é"}})
    assert one.text == '{"a":1,"b":{"c":"\\u00e9","d":2}}'
    assert one.key != two.key
    assert Request.of({"b": {"d": 2, "c": "é"}, "a": 1}) == one


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A store with one reply a day, the last one of now."""
    file = tmp_path / "r.db"
    with closing(Replies(file)) as replies:
        for age in range(5):
            request = Request.of(
                {"messages": [["user", f"é {age}"]], "parameters": {}, "sample": 0}
            )
            given = json.dumps({**STORED, "model": f"m{age % 2}"})
            when = time.time() - age * 86400
            replies.put([Row(request.key, f"m{age % 2}", request.text, given, when)])
    return file


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cache(words) == 0
    return capsys.readouterr().out


def test_a_store_is_looked_into_taken_elsewhere_and_thinned_out(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, copy, other = ["--store", str(filled)], tmp_path / "copy.db", tmp_path / "other.db"
    assert ": 5 replies" in said(capsys, "info", *store)
    assert "m0: 3 replies" in said(capsys, "info", *store)
    assert "5 replies" in said(capsys, "export", str(copy), *store)
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]
    assert "3 replies older than 1.5 days" in said(capsys, "prune", "--older-than", "1.5", *store)
    assert ": 2 replies" in said(capsys, "info", *store)
    assert "3 new replies of 5" in said(capsys, "import", str(copy), *store)
    assert "5 new replies of 5" in said(capsys, "import", str(copy), "--store", str(other))
    with closing(Replies(copy, write=False)) as first, closing(Replies(other)) as second:
        assert list(first.rows()) == list(second.rows())
        key = next(first.rows()).key
    shown = said(capsys, "show", key[:12], *store)
    assert shown.startswith(key)
    assert "--- user\né 4\n--- reply\nstored" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["info", "--store", "none.db"], "There is no store of replies at none.db"),
        (["show", "", "--store", "r.db"], "5 keys begin with"),
        (["show", "zzz", "--store", "r.db"], "no reply whose key begins with zzz"),
        (["export", "r.db", "--store", "r.db"], "r.db exists already"),
        (["import", "text", "--store", "r.db"], "text"),
    ],
)
def test_mistakes_with_a_store_are_told(
    filled: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(filled.parent)
    Path("text").write_text("no database " * 500)
    with pytest.raises(ConfigError, match=says):
        cache(words)
    assert not Path("none.db").exists()


def test_a_run_is_finished_when_it_is_recorded_wherever_it_is_to_be(tmp_path: Path) -> None:
    record = {"format": 1, "scores": {"train": {"final": {"mean": 0.5}}}}
    (tmp_path / "result.json").write_text(json.dumps(record))
    assert finished(tmp_path, tracked=True) == record
    (tmp_path / "config.yaml").write_text("tracking: {kind: none}\n")
    assert finished(tmp_path, tracked=True) == record
    (tmp_path / "config.yaml").write_text("tracking: {kind: mlflow}\n")  # killed before it opened
    assert finished(tmp_path, tracked=True) is None
    assert finished(tmp_path, tracked=False) == record
    paid = "tracking: {kind: mlflow}\nllm: {store: {mode: 'off'}, models: {forward: openai/x}}\n"
    (tmp_path / "config.yaml").write_text(paid)  # nobody would pay once more for a record
    assert finished(tmp_path, tracked=True) == record
    (tmp_path / "mlflow.json").write_text('{"run_id": "1", "status": "KILLED"}')
    assert finished(tmp_path, tracked=True) is None
    assert finished(tmp_path, tracked=False) == record
