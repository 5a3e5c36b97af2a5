"""An endpoint that goes down: the run waits, says so, goes on, or stops and is gone on with."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent, Result, Step
from sgdflow.errors import BudgetSpent, CallFailed, EndpointDown, ProviderRefused
from sgdflow.llm import Message, Spent
from sgdflow.llm.allowance import Allowance
from sgdflow.llm.caller import WORD
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.store import Store
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.server import create_app, running
from sgdflow.simulation.worlds import reply as worlds

ASK = (Message("user", "What is six times seven?"),)
HANG = -1
BRIEF: dict[str, Any] = {"timeout": 10.0, "retries": 1, "backoff": 0.01, "concurrency": 4}


@dataclass
class Trouble:
    """A server in which requests go wrong while `wrong` says so of their last message."""

    wrong: Callable[[str], bool] = lambda said: False
    status: int = 503
    asked: list[str] = field(default_factory=list)
    after: int = 10**9
    """Requests from which on all go wrong."""

    @property
    def middleware(self) -> Any:
        @web.middleware
        async def trouble(request: web.Request, handler: Any) -> web.StreamResponse:
            said = json.loads(await request.read())["messages"][-1]["content"]
            self.asked.append(said)
            if not (self.wrong(said) or len(self.asked) > self.after):
                response: web.StreamResponse = await handler(request)
                return response
            if self.status == HANG:
                await asyncio.sleep(3600)
            if self.status == 0:
                assert request.transport is not None
                request.transport.abort()
            return web.json_response(
                {"error": {"message": "in trouble"}}, status=self.status or 500
            )

        return trouble


def served(
    use: Callable[[str, AsyncExitStack], Any],
    trouble: Trouble,
    reply: Callable[[Sequence[Message], int], str] = lambda messages, seed: "It is 42.",
) -> Any:
    async def main() -> Any:
        app = create_app(reply)
        app.middlewares.append(trouble.middleware)
        async with running(app) as url, AsyncExitStack() as stack:
            return await use(url, stack)

    return asyncio.run(main())


async def opened(stack: AsyncExitStack, url: str, check: bool = False, **limits: Any) -> Client:
    spec = ModelSpec("openai/worlds", url, None, {"temperature": 0}, endpoint="e")
    roles = ["forward"] if check else []
    client = Client({"forward": spec}, Limits(**{**BRIEF, **limits}), {}, check=roles)
    return await stack.enter_async_context(client)


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_a_run_waits_for_an_endpoint_that_comes_back_and_is_as_if_nothing_had_been(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = Trouble(status=status)
    count = 12

    async def use(url: str, stack: AsyncExitStack) -> Spent:
        llm = await opened(stack, url, outage=30.0)
        await llm.complete("forward", ASK, node="n")  # imports what takes seconds
        trouble.wrong = lambda said: True

        async def mend() -> None:
            await asyncio.sleep(1.0)
            trouble.wrong = lambda said: False

        asks = [(Message("user", f"{number}?"),) for number in range(count - 1)]
        mending = asyncio.create_task(mend())
        replies = await asyncio.gather(*(llm.complete("forward", ask, node="n") for ask in asks))
        await mending
        assert {reply.text for reply in replies} == {"It is 42."}
        return llm.spent()["forward"]

    caplog.set_level(logging.WARNING)
    spent = served(use, trouble)
    assert (spent.calls, spent.faults) == (count, {})
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("openai/worlds at api_base=http://127.0.0.1:")
    assert "The run waits for it, up to 30 seconds (llm.limits.outage)." in said[0]
    assert "answers again after" in said[1]
    # All wait together: one of them asks, with a pause that grows.
    assert trouble.asked.count(WORD[0].content) < 10
    assert len(trouble.asked) < 4 * count


def test_an_outage_that_lasts_too_long_ends_all_calls_with_the_reason() -> None:
    trouble = Trouble(wrong=lambda said: True)

    async def use(url: str, stack: AsyncExitStack) -> tuple[list[BaseException], float, Spent]:
        llm = await opened(stack, url, outage=0.5)
        began = time.monotonic()
        calls = (llm.complete("forward", (Message("user", f"{n}"),), node="n") for n in range(6))
        found = await asyncio.gather(*calls, return_exceptions=True)
        return list(found), time.monotonic() - began, llm.spent()["forward"]  # type: ignore[arg-type]

    errors, seconds, spent = served(use, trouble)
    assert {type(error) for error in errors} == {EndpointDown}
    told = str(errors[0])
    assert "(llm.models.forward) gave no reply to anybody for 0.5 seconds" in told
    assert "an error at the provider" in told
    assert "the same command goes on where this one stopped" in told
    assert seconds < 10
    assert spent.usage.prompt == 0


def test_a_request_that_an_endpoint_never_answers_is_no_outage() -> None:
    """Others are answered, so this one fails alone, tried more often than the limits say."""
    trouble = Trouble(wrong=lambda said: said == "poison")

    async def use(url: str, stack: AsyncExitStack) -> CallFailed:
        llm = await opened(stack, url, outage=600.0)
        with pytest.raises(CallFailed) as failed:
            await llm.complete("forward", (Message("user", "poison"),), node="n")
        assert (await llm.complete("forward", ASK, node="n")).text == "It is 42."
        return failed.value

    failed = served(use, trouble)
    assert failed.kind == "server"
    assert "in 8 attempts" in str(failed)
    assert trouble.asked.count(WORD[0].content) == 3


@pytest.mark.parametrize(("down", "left"), [(True, 1), (False, 0)])
def test_an_outage_takes_nothing_of_the_budget(down: bool, left: int) -> None:
    """Of a budget of 3 calls; attempts at a request that fails where others do not count."""
    trouble = Trouble()

    async def use(url: str, stack: AsyncExitStack) -> None:
        llm = await opened(stack, url, outage=30.0, budget=Allowance(calls=3))
        await llm.complete("forward", ASK, node="n")
        trouble.wrong = lambda said: len(trouble.asked) < 6 if down else said == "one"
        waiting = llm.complete("forward", (Message("user", "one"),), node="n")
        if down:
            assert (await waiting).text == "It is 42."
            assert trouble.asked[1:6].count(WORD[0].content) == 3
        else:
            with pytest.raises(BudgetSpent):
                await waiting
        for number in range(left):
            await llm.complete("forward", (Message("user", f"more {number}"),), node="n")
        with pytest.raises(BudgetSpent, match="budget: 3 calls of 3"):
            await llm.complete("forward", (Message("user", "too many"),), node="n")

    served(use, trouble)


@pytest.mark.parametrize(("all_of_it", "tried"), [(True, EndpointDown), (False, CallFailed)])
def test_a_server_that_hangs_is_down_and_a_request_that_takes_too_long_is_not(
    all_of_it: bool, tried: type[Exception]
) -> None:
    trouble = Trouble(status=HANG)

    async def use(url: str, stack: AsyncExitStack) -> None:
        llm = await opened(stack, url, outage=0.5)
        await llm.complete("forward", ASK, node="n")
        brief = await opened(stack, url, outage=0.5, timeout=0.4)
        trouble.wrong = lambda said: all_of_it or said == "long"
        with pytest.raises(tried):
            await brief.complete("forward", (Message("user", "long"),), node="n")
        trouble.wrong = lambda said: False
        assert trouble.asked.count("long") == 2

    served(use, trouble)


def test_a_word_first_tells_a_server_that_never_was_from_one_that_has_gone() -> None:
    """Nobody waits for an address where nothing ever answered; that is told at once."""
    began = time.monotonic()

    async def never() -> None:
        async with AsyncExitStack() as stack:
            llm = await opened(stack, "http://127.0.0.1:9/v1", check=True, outage=600.0)
            await llm.complete("forward", ASK, node="n")

    with pytest.raises(ProviderRefused, match=r"nothing answers at api_base=http://127\.0\.0\.1:9"):
        asyncio.run(never())
    assert time.monotonic() - began < 5

    async def gone(url: str, stack: AsyncExitStack) -> None:
        llm = await opened(stack, url, outage=0.3)
        await llm.complete("forward", ASK, node="n")
        trouble.status = 0
        trouble.wrong = lambda said: True
        await llm.complete("forward", (Message("user", "more"),), node="n")

    trouble = Trouble()
    with pytest.raises(EndpointDown, match=r"0\.3 seconds"):
        served(gone, trouble)


def test_whoever_has_a_fallback_does_not_wait() -> None:
    trouble = Trouble(wrong=lambda said: True)

    async def use(url: str, stack: AsyncExitStack) -> str:
        async with running(create_app(lambda messages, seed: "the other")) as other:
            second = ModelSpec("openai/other", other, None, {"temperature": 0})
            spec = ModelSpec("openai/worlds", url, None, {"temperature": 0}, fallbacks=(second,))
            limits = Limits(**BRIEF, outage=600.0)
            llm = await stack.enter_async_context(Client({"forward": spec}, limits, {}))
            return (await llm.complete("forward", ASK, node="n")).text

    assert served(use, trouble) == "the other"
    assert len(trouble.asked) == 2


@dataclass
class Watch:
    steps: list[Step] = field(default_factory=list)

    def scored(self, initial: object) -> None: ...

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def descend(trouble: Trouble, file: Path) -> tuple[Result, int]:
    """Return the result of a descent and how many requests the server saw."""
    sizes = ["task.splits.train=6", "task.splits.validation=3", "task.splits.test=4"]
    words = ["tracking=none", *sizes, "method.stop.steps=2", "method.sample.count=2"]
    ready = prepare(compose(words), Prompts(prompt_folders(Path())), {})
    before = len(trouble.asked)

    async def use(url: str, stack: AsyncExitStack) -> Result:
        spec = ModelSpec("openai/worlds", url, None, {"temperature": 0}, endpoint="e")
        roles = dict.fromkeys(("forward", "backward", "optimizer"), spec)
        store = stack.enter_context(closing(Store(file)))
        limits = Limits(**BRIEF, outage=0.2)
        llm = await stack.enter_async_context(Client(roles, limits, {}, store))
        return await Descent(ready.problem, ready.method, llm, Watch()).run(ready.start)

    return served(use, trouble, worlds), len(trouble.asked) - before


def test_a_run_that_an_outage_ended_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, needed = descend(Trouble(), tmp_path / "whole.db")
    assert whole.steps == 2
    for share in (0.1, 0.4, 0.7, 0.95):
        file = tmp_path / f"{share}.db"
        trouble = Trouble(after=round(share * needed))
        with pytest.raises(EndpointDown):
            descend(trouble, file)
        answered = round(share * needed)
        on, asked = descend(Trouble(), file)
        assert on == whole
        assert asked == needed - answered  # nothing that was answered is asked again
