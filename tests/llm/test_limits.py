"""Limits, adaptive concurrency, fallbacks and prices."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from backends import Answering
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdflow.config.compose import compose
from sgdflow.config.models import build_limits, build_models
from sgdflow.config.prepare import validated
from sgdflow.errors import CallFailed, ConfigError, ProviderRefused
from sgdflow.llm import Message, Reply, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.failures import Failure, Noticed
from sgdflow.llm.models import Price, Share
from sgdflow.llm.queue import Line, Slots, Turn, Window
from sgdflow.llm.store import Store
from sgdflow.simulation.server import create_app, running

QUICK = Limits(concurrency=64, timeout=5.0, retries=1, backoff=0.001)


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 25), st.integers(1, 25)), max_size=60),
)
def test_no_minute_holds_more_than_the_limit(
    limit: int, asked: list[tuple[float, int, int]]
) -> None:
    window, now, used = Window(limit), 0.0, list[tuple[float, int]]()
    for pause, amount, true in asked:
        now += pause
        while (wait := window.wait(amount, now)) > 0:
            assert wait <= 60 + 1e-9
            now += wait
        entry = window.take(amount, now)
        true = min(true, amount)  # an estimate that was too low is corrected too late
        window.correct(entry, true)
        used.append((now, true))
        within = [amount for at, amount in used if at > now - 60 + 1e-6]
        assert sum(within) <= limit or len(within) == 1
    assert math.isclose(window._used, sum(entry[1] for entry in window._entries))


def test_calls_at_once_halve_at_a_429_and_grow_again() -> None:
    slots = Slots(256)
    assert slots.now == 64
    for _ in range(1000):
        slots.succeeded()
    assert slots.now == 256
    for _ in range(50):  # all of one wave
        slots.throttled(began=1.0, now=2.0)
    assert slots.now == 128
    slots.throttled(began=2.5, now=3.0)
    assert slots.now == 64
    for _ in range(64):
        slots.succeeded()
    assert 64.9 < slots.now < 65.1
    for now in range(10, 30):
        slots.throttled(now, now + 0.5)
    assert slots.now == 1.0
    assert slots.free


class Clock:
    """An event loop whose time passes as soon as nobody has anything to do."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.shift = 0.0
        real, select = self.loop.time, self.loop._selector.select  # type: ignore[attr-defined]
        self.loop.time = lambda: real() + self.shift  # type: ignore[method-assign]

        def skip(timeout: float | None) -> Any:
            if timeout:
                self.shift += timeout
            return select(0)

        self.loop._selector.select = skip  # type: ignore[attr-defined]

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await work()

        try:
            return self.loop.run_until_complete(main())
        finally:
            self.loop.close()


def begun(
    limits: Limits, calls: list[tuple[str, int]], lasting: float = 1.0
) -> list[tuple[str, float]]:
    """Return role and second of each call's beginning, in that order."""
    found: list[tuple[str, float]] = []

    async def work() -> None:
        line = Line(limits, ["a", "b"])
        start = asyncio.get_running_loop().time()

        async def call(role: str, tokens: int) -> None:
            turn = await line.enter(role, tokens)
            found.append((role, round(asyncio.get_running_loop().time() - start, 1)))
            await asyncio.sleep(lasting)
            line.leave(turn, succeeded=True)

        await asyncio.gather(*(call(role, tokens) for role, tokens in calls))

    Clock().run(work)
    return found


def test_calls_wait_in_line_for_their_minute() -> None:
    limits = Limits(requests_per_minute=3)
    times = [at for _, at in begun(limits, [("a", 1)] * 8)]
    assert times == [0, 0, 0, 60, 60, 60, 120, 120]
    limits = Limits(tokens_per_minute=100)
    times = [at for _, at in begun(limits, [("a", 60), ("a", 40), ("a", 500), ("a", 1)])]
    assert times == [0, 0, 60, 120]


def test_a_role_that_has_to_wait_does_not_hold_up_the_others() -> None:
    limits = Limits(concurrency=3, roles={"a": Share(concurrency=1), "b": Share(None, 3)})
    found = begun(limits, [("a", 1)] * 3 + [("b", 1)] * 4)
    assert found == [("a", 0), ("b", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 60)]


def test_a_caller_that_leaves_the_line_takes_no_turn() -> None:
    async def work() -> None:
        line = Line(Limits(concurrency=1), ["a"])
        first = await line.enter("a", 1)
        waiting = [asyncio.create_task(line.enter("a", 1)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        line.leave(first)
        waiting[1].cancel()  # in the moment in which it got its turn
        third: Turn = await waiting[2]
        line.leave(third)
        await line.enter("a", 1)
        assert [task.cancelled() for task in waiting] == [True, True, False]

    Clock().run(work)


@dataclass
class Provider:
    """Answers with its model's name; bears so many calls at once, or fails as it is told."""

    bears: int = 1000
    fails: Mapping[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    at_once: int = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        model = (await request.json())["model"]
        self.asked.append(model)
        self.at_once += 1
        try:
            if self.at_once > self.bears:
                return web.json_response({"error": {"message": "slow down"}}, status=429)
            await asyncio.sleep(0.005)
            if status := self.fails.get(model):
                return web.json_response({"error": {"message": "no"}}, status=status)
            usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
            choice = {"index": 0, "message": {"role": "assistant", "content": f"I am {model}"}}
            return web.json_response(
                {"choices": [{**choice, "finish_reason": "stop"}], "usage": usage}
            )
        finally:
            self.at_once -= 1

    def run(self, use: Callable[[str, AsyncExitStack], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            app = create_app(lambda messages, sample: "")
            app.router.add_post("/own/chat/completions", self.chat)
            async with running(app) as url, AsyncExitStack() as stack:
                return await use(url.replace("/v1", "/own"), stack)

        return asyncio.run(main())


async def ask(llm: Client, number: int = 0) -> Reply:
    return await llm.complete("forward", [Message("user", f"{number}?")], node="n")


def test_a_provider_that_says_429_is_asked_less_at_once() -> None:
    provider = Provider(bears=8)

    async def use(url: str, stack: AsyncExitStack) -> str:
        limits = Limits(concurrency=64, retries=40, backoff=0.01)
        models = {"forward": ModelSpec("openai/m", url, None, {"temperature": 0})}
        llm = await stack.enter_async_context(Client(models, limits, {}))
        await asyncio.gather(*(ask(llm, number) for number in range(300)))
        return llm.session()

    said = provider.run(use)
    now = int(said.partition("calls at once: ")[2].split()[0])
    assert 1 <= now <= 16
    assert "of 64 forward" in said
    assert len(provider.asked) < 600


@dataclass
class Few(Answering):
    """A backend that bears so many calls at once, each of which takes half a second."""

    bears: int
    busy: int = 0
    asked: int = 0

    async def ask(self, spec: ModelSpec, messages: Sequence[Message], **_: Any) -> Answer:
        self.asked += 1
        self.busy += 1
        try:
            if self.busy > self.bears:
                await asyncio.sleep(0.1)
                raise Noticed(Failure("rate_limit"))
            await asyncio.sleep(0.5)
            return Answer("yes", "stop", Usage(1, 1), None)
        finally:
            self.busy -= 1


@pytest.mark.parametrize("bears", [1, 4, 16])
def test_at_the_default_limits_a_provider_that_bears_little_answers_all(bears: int) -> None:
    assert Limits().concurrency == 64
    few = Few(bears)

    async def work() -> list[Reply]:
        models = {"forward": ModelSpec("openai/m", "http://h", None, {"temperature": 0})}
        async with Client(models, Limits(outage=600.0), {}, backend=few) as llm:
            return await asyncio.gather(*(ask(llm, number) for number in range(200)))

    assert len(Clock().run(work)) == 200
    assert few.asked < 600


def line_of(url: str, *names: str) -> ModelSpec:
    first, *others = [ModelSpec(f"openai/{name}", url, None, {"temperature": 0}) for name in names]
    return ModelSpec(first.model, url, None, first.parameters, fallbacks=tuple(others))


@pytest.mark.parametrize(
    ("status", "asked"), [(500, ["one", "one", "two"] * 2), (401, ["one", "two", "two"])]
)
def test_a_fallback_answers_where_the_model_does_not(
    tmp_path: Any, caplog: pytest.LogCaptureFixture, status: int, asked: list[str]
) -> None:
    caplog.set_level(logging.WARNING)
    provider = Provider(fails={"one": status})

    async def use(url: str, stack: AsyncExitStack) -> None:
        models = {"forward": line_of(url, "one", "two")}
        for _ in range(2):
            store = Store(tmp_path / "r.db")
            llm = await stack.enter_async_context(Client(models, QUICK, {}, store))
            assert [(await ask(llm, number)).text for number in range(2)] == ["I am two"] * 2
            assert llm.spent()["forward"].calls == len(asked)
            store.close()
        # A run that asks the first model alone does not get the other's words.
        store = Store(tmp_path / "r.db")
        llm = await stack.enter_async_context(
            Client({"forward": line_of(url, "two")}, QUICK, {}, store)
        )
        await ask(llm)
        store.close()

    provider.run(use)
    assert provider.asked == [*asked, "two"]
    warned = [record.getMessage() for record in caplog.records if "instead" in record.getMessage()]
    assert len(warned) == (status == 401)


@pytest.mark.parametrize(
    ("fails", "error"),
    [({"one": 401, "two": 404}, ProviderRefused), ({"one": 401, "two": 500}, CallFailed)],
)
def test_all_of_a_line_may_fail(fails: Mapping[str, int], error: type[Exception]) -> None:
    async def use(url: str, stack: AsyncExitStack) -> None:
        models = {"forward": line_of(url, "one", "two")}
        llm = await stack.enter_async_context(Client(models, QUICK, {}))
        with pytest.raises(error, match=r"openai/one(.|\n)*openai/two"):
            await ask(llm)

    Provider(fails=fails).run(use)


def test_an_own_price_is_used_and_an_unknown_one_stays_unknown() -> None:
    async def use(url: str, stack: AsyncExitStack) -> tuple[float | None, float | None]:
        spec = ModelSpec("openai/own", url, None, {"temperature": 0}, Price(0.5, 2.0))
        models = {"forward": spec, "other": ModelSpec("openai/own", url)}
        llm = await stack.enter_async_context(Client(models, QUICK, {}))
        await ask(llm)
        await llm.complete("other", [Message("user", "What?")], node="n")
        assert llm.spent()["forward"].usage == Usage(10, 20)
        assert "cost unknown" in llm.session()
        return llm.spent()["forward"].cost, llm.spent()["other"].cost

    assert Provider().run(use) == (pytest.approx(45e-6), None)


def test_limits_fallbacks_and_prices_are_declared() -> None:
    words = ["llm=openai", "+llm.limits.roles.optimizer={concurrency: 2, tokens_per_minute: 900}"]
    words += ["llm.limits.requests_per_minute=60", "+llm.fallbacks.forward=[openai/gpt-4o]"]
    words += ["+llm.prices={openai/gpt-4o-mini: {prompt: 1, completion: 2}}"]
    config = validated(compose(words))
    limits, models = build_limits(config.llm.limits), build_models(config.llm)
    assert limits.roles == {"optimizer": Share(2, None, 900)}
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (60, None)
    (fallback,) = models["forward"].fallbacks
    assert (fallback.model, fallback.api_key_env) == ("openai/gpt-4o", "OPENAI_API_KEY")
    assert models["forward"].price == Price(1, 2)
    assert models["optimizer"].price is None
    with pytest.raises(ConfigError, match=r"llm\.limits\.requests_per_minute"):
        validated(compose(["llm.limits.requests_per_minute=0"]))


def test_the_line_costs_little() -> None:
    async def work() -> float:
        line = Line(Limits(concurrency=256, tokens_per_minute=10**9), ["a", "b"])
        start = time.process_time()

        async def call() -> None:
            turn = await line.enter("a", 1)
            await asyncio.sleep(0)
            line.leave(turn, tokens=1, succeeded=True)

        await asyncio.gather(*(call() for _ in range(5000)))
        return (time.process_time() - start) / 5000

    assert asyncio.run(work()) < 1e-3
