"""One word from each model before the first call."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ProviderRefused
from sgdflow.llm import Message, Spent, Usage
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.database import Replies
from sgdflow.llm.store import Store
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.server import Faults, create_app, running

pytestmark = pytest.mark.usefixtures("transport")

LIMITS = Limits(concurrency=8, timeout=10.0, retries=2, backoff=0.001)
ROLES = ("forward", "backward", "optimizer")
KEY = "sk-planted-4f9a8b7c6d5e"
WORD = "Reply with the word yes."


@dataclass(frozen=True)
class Provider(Faults):
    """Does to the calls of a model what it is told, the last of it for good; keeps all calls."""

    does: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def draw(self, body: bytes, attempt: int) -> str | None:
        asked = json.loads(body)
        model = asked["model"]
        kinds = self.does.get(model, "ok").split(",")
        kind: str = kinds[min(sum(name == model for name, _ in self.asked), len(kinds) - 1)]
        self.asked.append((model, asked["messages"][-1]["content"]))
        return kind

    def run(self, use: Callable[[str, AsyncExitStack], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            app = create_app(lambda messages, seed: "fine", latency=0.01, faults=self)
            async with running(app) as url, AsyncExitStack() as stack:
                return await use(url, stack)

        return asyncio.run(main())


def provider_that(**does: str) -> Provider:
    return Provider({"any": 1.0}, does=does)


async def ask(llm: Client, number: int = 0, role: str = "forward") -> str:
    return (await llm.complete(role, [Message("user", f"{number}?")], node="n")).text


def spec(url: str, name: str, *fallbacks: ModelSpec, key: str | None = None) -> ModelSpec:
    return ModelSpec(f"openai/{name}", url, key, {"temperature": 0}, fallbacks=fallbacks)


async def all_at_once(llm: Client) -> list[BaseException]:
    calls = (ask(llm, number) for number in range(20))
    found = await asyncio.gather(*calls, return_exceptions=True)
    return [one for one in found if isinstance(one, BaseException)]


def test_who_keeps_the_first_call_waiting_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sgdflow.llm.check._LONG", 0.05)
    caplog.set_level(logging.INFO, "sgdflow")

    async def main() -> str:
        async with running(create_app(lambda messages, seed: "fine", latency=0.5)) as url:
            models = {"optimizer": spec(url, "slow")}
            async with Client(models, LIMITS, {}, check=ROLES) as llm:
                await ask(llm, role="optimizer")
        return url

    url = asyncio.run(main())
    said = [one.getMessage() for one in caplog.records if one.name == "sgdflow.llm.check"]
    assert said == [
        f"openai/slow at api_base={url} (llm.models.optimizer) was asked for one word and has not "
        "answered yet. The first call waits for it."
    ]


@pytest.mark.parametrize(
    ("fault", "asked", "says"),
    [
        ("401", 1, ': the key was not accepted ("Incorrect API key provided. (simulated)"). '
         "Check the key in OWN_KEY."),
        ("404", 1, "Check llm.models.optimizer.model and llm.api_base (which"),
        ("quota", 1, "the quota or balance is used up"),
        ("503", 3, " in 3 attempts: an error at the provider"),
        ("nonjson", 3, "Check that llm.api_base is an endpoint"),
    ],
)  # fmt: skip
def test_what_no_call_could_mend_is_told_once_before_the_first(
    fault: str, asked: int, says: str
) -> None:
    provider = provider_that(bad=fault)

    async def use(url: str, stack: AsyncExitStack) -> None:
        models = {
            "forward": spec(url, "good"),
            "backward": spec(url, "good"),
            "optimizer": spec(url, "bad", key="OWN_KEY"),
        }
        client = Client(models, LIMITS, {"OWN_KEY": KEY}, check=ROLES)
        llm = await stack.enter_async_context(client)
        errors = await all_at_once(llm)
        assert {type(error) for error in errors} == {ProviderRefused}
        assert len(errors) == 20
        assert len({str(error) for error in errors}) == 1
        first, line, last = str(errors[0]).splitlines()
        assert (
            first == "Before the first call every model is asked for one word, and not all answer:"
        )
        assert line.startswith(f"  openai/bad at api_base={url} (llm.models.optimizer)")
        assert says in line
        assert last == "Nothing else was sent. llm.check=false starts without asking."
        assert llm.session().startswith(f"{asked + 1} calls")
        assert sum(spent.calls for spent in llm.spent().values()) == 0
        with pytest.raises(ProviderRefused):  # and it stays so
            await ask(llm, 99)

    provider.run(use)
    assert sorted(provider.asked) == [("bad", WORD)] * asked + [("good", WORD)]


def test_an_address_where_nothing_answers_is_told() -> None:
    async def use() -> None:
        models = {role: spec("http://127.0.0.1:9/v1", "m") for role in ROLES}
        async with Client(models, LIMITS, {}, check=ROLES) as llm:
            with pytest.raises(ProviderRefused) as told:
                await ask(llm)
        assert (
            str(told.value)
            .splitlines()[1]
            .startswith(
                "  openai/m at api_base=http://127.0.0.1:9/v1 (llm.models.forward, backward, "
                "optimizer): nothing answers at api_base="
            )
        )

    asyncio.run(use())


def test_all_wait_for_the_word_and_it_counts_for_nothing() -> None:
    provider = provider_that(slow="503,429,ok")

    async def use(url: str, stack: AsyncExitStack) -> None:
        models = {role: spec(url, "slow") for role in ROLES}
        models["unused"] = spec(url, "nobody asks it")
        llm = await stack.enter_async_context(Client(models, LIMITS, {}, check=ROLES))
        assert await all_at_once(llm) == []
        await ask(llm, role="optimizer")
        assert llm.spent()["forward"] == Spent(20, Usage(20, 20), None)
        said = llm.session()
        assert said.startswith("23 calls (cost unknown), 0 replies from the store")
        assert "; faults: 1 rate_limit, 1 server;" in said

    provider.run(use)
    words = [said for _, said in provider.asked]
    assert words[:3] == [WORD] * 3
    assert WORD not in words[3:]
    assert len(words) == 23


@pytest.mark.parametrize(
    "fault", ["empty", "length", "filter", "refusal", "reasoning", "tool", "context"]
)
def test_whoever_understood_the_question_will_do(fault: str) -> None:
    provider = provider_that(odd=f"{fault},ok")

    async def use(url: str, stack: AsyncExitStack) -> None:
        models = {"forward": spec(url, "odd")}
        llm = await stack.enter_async_context(Client(models, Limits(retries=0), {}, check=ROLES))
        assert await ask(llm) == "fine"

    provider.run(use)


def test_a_fallback_that_answers_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    provider = provider_that(one="401", three="404")
    caplog.set_level(logging.WARNING)

    async def use(url: str, stack: AsyncExitStack) -> None:
        models = {"forward": spec(url, "one", spec(url, "two"), spec(url, "three"))}
        llm = await stack.enter_async_context(Client(models, LIMITS, {}, check=ROLES))
        assert await all_at_once(llm) == []

    provider.run(use)
    assert [model for model, said in provider.asked if said != WORD] == ["two"] * 20
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all("answers instead" in words for words in said)


def test_nobody_is_asked_for_a_word_where_every_reply_is_stored(tmp_path: Path) -> None:
    provider = provider_that()

    async def use(url: str, stack: AsyncExitStack) -> list[str]:
        said = []
        for mode, base in (("use", url), ("use", "http://127.0.0.1:9/v1"), ("replay", url)):
            with closing(Store(tmp_path / "r.db", mode)) as store:  # type: ignore[arg-type]
                named = replace(spec(base, "m"), endpoint="both")
                models = dict.fromkeys(ROLES, named)
                async with Client(models, LIMITS, {}, store, check=ROLES) as llm:
                    await ask(llm)
                    said.append(llm.session().partition(",")[0])
                    assert llm.spent()["forward"].calls == 1
        return said

    assert provider.run(use) == ["2 calls (cost unknown)", "0 calls ($0)", "0 calls ($0)"]
    assert len(provider.asked) == 2
    with closing(Replies(tmp_path / "r.db", write=False)) as replies:
        assert len(list(replies.rows())) == 1


def test_the_roles_that_a_run_asks_are_those_that_are_checked() -> None:
    def roles(*words: str) -> frozenset[str]:
        raw = compose(["graph=tariff", "task=tariff", "tracking=none", *words])
        return prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {}).roles

    own = "graph.nodes.desk.forward={role: boss}", "+llm.models.boss=simulated/worlds"
    assert roles() == {"forward", "backward", "optimizer"}
    assert roles(f"+{own[0]}", own[1]) == {"forward", "backward", "optimizer", "boss"}
    assert roles("+llm.models.unused=simulated/worlds") == roles()
