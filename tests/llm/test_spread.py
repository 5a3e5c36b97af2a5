"""Several addresses of one endpoint: who is asked, who is left out, and what stays one."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backends import Answering

from sgdflow.config.compose import compose
from sgdflow.config.models import build_models
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.config.schema import LLMConf
from sgdflow.errors import ConfigError, ProviderRefused
from sgdflow.llm import Message, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.credentials import sent
from sgdflow.llm.failures import Failure, Noticed
from sgdflow.llm.spread import Spread
from sgdflow.llm.store import Store
from sgdflow.prompting.templates import Prompts
from sgdflow.records.demands import Folder
from sgdflow.simulation.server import create_app, running

A, B, C = (f"http://{name}:1/v1" for name in "abc")
ASK = (Message("user", "?"),)


def model(*addresses: str, name: str | None = "mine") -> ModelSpec:
    first, *others = addresses
    parameters = {"temperature": 0}
    return ModelSpec("openai/m", first, None, parameters, endpoint=name, others=tuple(others))


@dataclass
class Servers(Answering):
    """Servers that answer when they are let, or fail."""

    fails: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    busy: Counter[str] = field(default_factory=Counter)

    async def ask(self, spec: ModelSpec, messages: Sequence[Message], **_: Any) -> Answer:
        at = spec.api_base or ""
        self.asked[at] += 1
        self.busy[at] += 1
        try:
            if at in self.held:
                await self.held[at].wait()
            await asyncio.sleep(0)
        finally:
            self.busy[at] -= 1
        if kind := self.fails.get(at):
            raise Noticed(Failure(kind))
        return Answer(at, "stop", Usage(1, 1), None)

    async def close(self) -> None: ...


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def ask(spread: Spread, spec: ModelSpec) -> str:
    return (await spread.ask(spec, ASK, sample=0, key=None, seconds=10.0)).text


def test_the_least_busy_is_asked() -> None:
    async def main() -> None:
        servers = Servers(held={B: asyncio.Event()})
        spread, spec = Spread(servers), model(A, B, C)
        first = [asyncio.create_task(ask(spread, spec)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert servers.busy == {A: 0, B: 1, C: 0}
        for _ in range(20):
            assert await ask(spread, spec) in (A, C)
        assert servers.asked == {A: 11, B: 1, C: 11}
        servers.held[B].set()
        assert sorted(await asyncio.gather(*first)) == [A, B, C]
        assert await ask(spread, spec) == B

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["unreachable", "connection"])
def test_one_that_is_down_is_left_out_and_tried_again_later(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        servers, clock = Servers(fails={A: kind}), Clock()
        spread, spec = Spread(servers, clock), model(A, B)

        async def asked() -> str:
            try:
                return await ask(spread, spec)
            except Noticed as error:  # a call was under way: it counts, and is tried again
                return error.failure.kind

        assert [await asked() for _ in range(9)] == [B if kind == "unreachable" else kind] + [B] * 8
        assert servers.asked[A] == 1
        clock.now = 1.5
        found = await asyncio.gather(*(asked() for _ in range(9)))
        assert servers.asked[A] == 2  # one tries it for all
        assert found.count(B) == (9 if kind == "unreachable" else 8)
        clock.now = 2.9
        await asked()
        assert servers.asked[A] == 2  # its pause has doubled
        servers.fails.clear()
        clock.now = 3.6
        assert {await asked() for _ in range(4)} == {A, B}
        assert sorted(await asyncio.gather(*(asked() for _ in range(4)))) == [A, A, B, B]

    asyncio.run(main())
    assert [record.message for record in caplog.records] == [
        "http://a:1/v1 does not answer for mine (openai/m) and is left out; from time to time it "
        "is tried."
    ]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("server", "an error at the provider"),
        ("bad_reply", "what came back is no chat completion"),
        ("rate_limit", "too many requests"),
    ],
)
def test_one_that_fails_at_once_does_not_draw_the_calls_to_itself(
    kind: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never busy, so that the least busy would always be the one that does no work."""

    async def main() -> None:
        servers, clock = Servers(fails={A: kind}, held={B: asyncio.Event()}), Clock()
        spread, roles = Spread(servers, clock), (model(A, B), model(A, B))
        calls = []
        for number in range(20):
            calls.append(asyncio.create_task(ask(spread, roles[number % 2])))
            await asyncio.sleep(0.001)
        assert servers.busy == {A: 0, B: 19}
        servers.held.pop(B).set()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert (found.count(B), servers.asked[A]) == (19, 1)
        assert not caplog.messages  # once may be the request's own fault
        for clock.now in (1.1, 1.2, 3.2, 3.3):
            await asyncio.gather(*(ask(spread, one) for one in roles), return_exceptions=True)
        assert servers.asked[A] == 3
        servers.fails.clear()
        clock.now = 8.0
        assert {await ask(spread, roles[0]) for _ in range(4)} == {A, B}

    asyncio.run(main())
    assert caplog.messages == [
        f"http://a:1/v1 keeps failing ({why}) for mine (openai/m) and is left out; from time to "
        "time it is tried."
    ]


def test_calls_that_fail_together_leave_an_address_out_once() -> None:
    """The pause doubles with each further try, and not with each call that was under way."""
    clock, servers = Clock(), Servers(fails=dict.fromkeys((A, B), "connection"))
    spread, spec = Spread(servers, clock), model(A, B)

    async def asked(count: int) -> None:
        calls = (spread.ask(spec, ASK, sample=0, key=None, seconds=9.0) for _ in range(count))
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(asked(16))
    assert sum(servers.asked.values()) == 16
    clock.now = 1.1  # a pause of one second is over, one of two is not
    servers.fails.clear()
    servers.asked.clear()
    asyncio.run(asked(2))
    assert servers.asked == {A: 1, B: 1}


def test_where_all_are_down_that_is_told_and_all_are_tried() -> None:
    async def main() -> None:
        servers = Servers(fails={A: "unreachable", B: "unreachable"})
        spread, spec = Spread(servers, Clock()), model(A, B)
        for number in (1, 2):
            with pytest.raises(Noticed):
                await ask(spread, spec)
            assert servers.asked == {A: number, B: number}

    asyncio.run(main())


def test_one_that_gives_no_answer_in_time_is_left_out() -> None:
    async def main() -> None:
        servers, clock = Servers(held={A: asyncio.Event()}), Clock()
        spread, spec = Spread(servers, clock), model(A, B)
        hanging = asyncio.create_task(ask(spread, spec))
        await asyncio.sleep(0.01)
        clock.now = 9.9
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        assert {await ask(spread, spec) for _ in range(5)} == {B}
        short = asyncio.create_task(ask(spread, spec))
        short.cancel()  # nobody wants it any more, which says nothing of the server
        await asyncio.gather(short, return_exceptions=True)
        assert await ask(spread, spec) == B

    asyncio.run(main())


def said(name: str, messages: Sequence[Message], seed: int) -> str:
    return name


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.usefixtures("transport")
def test_a_run_does_not_notice_that_one_of_its_servers_is_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sgdflow")

    async def main() -> None:
        dead = f"http://127.0.0.1:{free_port()}/v1"
        async with AsyncExitStack() as stack:
            urls = []
            for name in ("one", "two"):
                app = create_app(partial(said, name))
                urls.append(await stack.enter_async_context(running(app)))
            store = stack.enter_context(closing(Store(tmp_path / "r.db")))
            spec = model(dead, *urls)
            limits = Limits(concurrency=8, retries=0)
            llm = await stack.enter_async_context(
                Client({"forward": spec}, limits, {}, store, check=["forward"])
            )
            calls = (
                llm.complete("forward", [Message("user", str(n))], node="n") for n in range(40)
            )
            found = Counter(reply.text for reply in await asyncio.gather(*calls))
            assert found.total() == 40
            assert min(found["one"], found["two"]) > 5
            assert llm.spent()["forward"].faults == {}
            # Whoever answers: a request is the same, and its reply is stored once.
            other = Client(
                {"forward": replace(spec, api_base=urls[1], others=())}, limits, {}, store
            )
            again = await stack.enter_async_context(other)
            await again.complete("forward", [Message("user", "7")], node="n")
            assert again.session().startswith("0 calls")

    asyncio.run(main())
    assert len([one for one in caplog.messages if "is left out" in one]) == 1


def test_all_of_them_down_is_told_before_the_first_call() -> None:
    async def main() -> str:
        spec = model(*(f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)))
        async with Client({"forward": spec}, Limits(), {}, check=["forward"]) as llm:
            with pytest.raises(ProviderRefused) as told:
                await llm.complete("forward", ASK, node="n")
        for address in spec.addresses:
            assert address in str(told.value)
        return str(told.value)

    assert "nothing answers at api_base=http://127.0.0.1:" in asyncio.run(main())


BARE = {"name": "x", "models": {"forward": "openai/m"}, "parameters": {"temperature": 0}}


def declared(**llm: Any) -> ModelSpec:
    conf = LLMConf.model_validate({**BARE, **llm})
    return build_models(conf)["forward"]


def test_several_addresses_are_declared_with_a_name() -> None:
    spec = declared(api_base=[A, B, A], endpoint="mine")
    assert (spec.addresses, spec.answers) == ((A, B), "mine")
    assert declared(api_base=A).addresses == (A,)
    assert declared(api_base=[A]).answers == A
    assert declared(api_base=[]).addresses == declared(api_base=None).addresses == ()
    own = {"forward": {"model": "openai/m", "api_base": [B, C], "endpoint": "other"}}
    assert declared(api_base=A, models=own).addresses == (B, C)
    keys = {next(one.requests(ASK, 0)).key for one in (spec, model(C), model(B, C, A))}
    assert len(keys) == 1
    with pytest.raises(ConfigError) as told:
        declared(api_base=[A, B])
    assert str(told.value) == (
        "llm.models.forward: openai/m has 2 addresses. Give them a name with endpoint "
        "(llm.endpoint=NAME): it says that the same model answers at all of them, and the store of "
        "replies knows their replies by it."
    )
    with pytest.raises(
        ConfigError, match=r"api_base=b:1/v1 is no address. Did you mean http://b:1"
    ):
        declared(api_base=[A, "b:1/v1"], endpoint="mine")


@pytest.mark.parametrize("given", ["7", "[7]", "['']", "{a: b}", "true"])
def test_what_is_no_list_of_addresses_is_told(given: str) -> None:
    raw = compose(["llm=vllm", f"llm.api_base={given}", "tracking=none"])
    with pytest.raises(ConfigError, match=r"llm\.api_base.*an address, or a list of addresses"):
        prepare(raw, Prompts(prompt_folders(Path())), {})


def test_a_list_is_given_on_the_command_line() -> None:
    raw = compose(["llm=vllm", f"llm.api_base=[{A},{B}]", "llm.endpoint=mine", "tracking=none"])
    ready = prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {})
    assert ready.calling.models["forward"].addresses == (A, B)


def test_each_address_is_asked_about_and_its_secret_kept() -> None:
    llm = {"models": {"forward": "openai/m"}, "api_base": ["http://localhost:1/v1", B, C]}
    assert list(Folder({"llm": llm}, Path.cwd()).demands("llm")) == [
        f"send all inputs to {B} (llm.api_base)",
        f"send all inputs to {C} (llm.api_base)",
    ]
    hidden = model(A, "http://bob:planted-secret-2@b/v1", "http://c/v1?key=planted-secret-3")
    assert {"planted-secret-2", "planted-secret-3"} <= set(sent({"forward": hidden}, {}))
