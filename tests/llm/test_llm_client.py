"""The client over real HTTP on loopback: what it retries, refuses, counts, shares and hides."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from backends import Answering

import sgdflow
from sgdflow.errors import CallFailed, ConfigError, LLMError, ProviderRefused
from sgdflow.llm import LLM, Message, Reply, Spent, Usage
from sgdflow.llm.backend import Answer, ByProvider
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.credentials import check_keys
from sgdflow.llm.failures import classify
from sgdflow.llm.models import Price
from sgdflow.llm.scripted import Request, ScriptedLLM
from sgdflow.llm.sharing import InFlight
from sgdflow.simulation.backend import Simulated
from sgdflow.simulation.server import create_app, running

pytestmark = pytest.mark.usefixtures("transport")

HOME = Path(sgdflow.__file__).parents[1]
SECRET = "sk-planted-4f9a8b7c6d5e"
TEXT = "<answer>It is 42.</answer>"
ASK = [Message("system", "Be brief."), Message("user", "What is six times seven?")]
FAST = Limits(concurrency=64, timeout=5.0, retries=2, backoff=0.001)


@dataclass
class Seen:
    """What the server saw."""

    requests: list[Mapping[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0


def run(
    use: Callable[[str, Seen, AsyncExitStack], Awaitable[Any]],
    *,
    reply: Callable[[Sequence[Message], int], str] = lambda messages, seed: TEXT,
    latency: float = 0.0,
) -> Any:
    """Serve `reply` and run `use` with the base URL; clients entered on the stack are closed."""

    async def main() -> Any:
        seen = Seen()

        @web.middleware
        async def record(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            seen.requests.append(json.loads(await request.read()))
            seen.keys.append(request.headers.get("Authorization"))
            seen.at_once += 1
            seen.most_at_once = max(seen.most_at_once, seen.at_once)
            try:
                return await handler(request)
            finally:
                seen.at_once -= 1

        app = create_app(reply, latency=latency)
        app.middlewares.append(record)
        async with running(app) as url, AsyncExitStack() as stack:
            return await use(url, seen, stack)

    return asyncio.run(main())


def spec(
    url: str | None,
    fault: str = "",
    *,
    model: str = "openai/worlds",
    key: str | None = None,
    **more: Any,
) -> ModelSpec:
    headers = {"extra_headers": {"x-simulate": fault}} if fault else {}
    return ModelSpec(model, url, key, {"temperature": 0, **headers, **more})


async def client(stack: AsyncExitStack, model: ModelSpec, limits: Limits = FAST) -> Client:
    return await stack.enter_async_context(Client({"forward": model}, limits, {"KEY": SECRET}))


async def failure(llm: LLM, messages: Sequence[Message] = ASK) -> LLMError:
    with pytest.raises(LLMError) as caught:
        await llm.complete("forward", messages, node="hint_1")
    return caught.value


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module", autouse=True)
def warm(transport: str) -> None:
    """Make one call first: the import of litellm and its first call take seconds."""

    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        await (await client(stack, spec(url))).complete("forward", ASK, node="hint_1")

    run(use)


@pytest.mark.parametrize(
    ("fault", "kind", "attempts"),
    [
        ("429", "rate_limit", 3),
        ("500", "server", 3),
        ("503", "server", 3),
        ("reset", "connection", 3),
        ("nonjson", "bad_reply", 3),
        ("emptybody", "bad_reply", 3),
        ("empty", "empty", 3),
        ("hang", "timeout", 3),
        ("slow", "timeout", 3),
        ("context", "context_window", 1),
        ("filter", "content_filter", 1),
    ],
)
def test_a_call_that_fails_is_tried_again_where_that_can_help(
    fault: str, kind: str, attempts: int
) -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        # A busy machine is no reason to give up before the server has seen the request.
        seconds = 0.5 if kind == "timeout" else 30.0
        limits = Limits(timeout=seconds, retries=2, backoff=0.001)
        llm = await client(stack, spec(url, fault), limits)
        error = await failure(llm)
        assert isinstance(error, CallFailed)
        assert (error.kind, len(seen.requests)) == (kind, attempts)
        assert llm.spent()["forward"].calls == attempts
        assert "openai/worlds (llm.models.forward)" in str(error)
        assert "hint_1" in str(error)
        assert error.__context__ is None

    run(use)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("401", "the key was not accepted"),
        ("404", "no such model or path"),
        ("quota", "the quota or balance is used up"),
    ],
)
def test_a_provider_that_refuses_is_asked_once(fault: str, says: str) -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        error = await failure(await client(stack, spec(url, fault, key="KEY")))
        assert isinstance(error, ProviderRefused)
        assert says in str(error)
        assert len(seen.requests) == 1

    run(use)


def test_the_openai_client_of_litellm_is_judged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "False")
    kinds = {
        "429": "rate_limit", "500": "server", "503": "server", "reset": "connection",
        "nonjson": "bad_reply", "emptybody": "bad_reply", "empty": "empty", "hang": "timeout",
        "slow": "timeout", "context": "context_window", "filter": "content_filter",
        "401": "ProviderRefused", "404": "ProviderRefused", "quota": "ProviderRefused",
    }  # fmt: skip

    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> dict[str, str]:
        await (await client(stack, spec(url))).complete("forward", ASK, node="hint_1")
        found = {}
        for fault in kinds:
            seen.requests.clear()
            patience = 2.0 if kinds[fault] == "timeout" else 30.0
            llm = await client(stack, spec(url, fault), Limits(timeout=patience, retries=0))
            error = await failure(llm)
            assert len(seen.requests) == 1
            found[fault] = error.kind if isinstance(error, CallFailed) else type(error).__name__
        return found

    assert run(use) == kinds


def test_an_address_where_nothing_answers_is_tried_a_little() -> None:
    async def use() -> None:
        limits = Limits(retries=50, backoff=0.001)
        for url in ("http://127.0.0.1:9/v1", "http://localhost:9/v1"):
            async with Client({"forward": spec(url)}, limits, {}) as llm:
                error = await failure(llm)
                assert isinstance(error, ProviderRefused)
                assert f"nothing answers at api_base={url}" in str(error)
                assert llm.spent()["forward"].calls == 3

    asyncio.run(use())


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (ModelSpec("nosuch/model"), "no provider is known for it"),
        (ModelSpec("gpt-without-provider"), "PROVIDER/MODEL"),
        (spec("http://127.0.0.1:9/v1", model="openai/gpt-5-mini"), "does not take a parameter"),
    ],
)
def test_a_model_that_cannot_be_called_is_refused_before_the_network(
    model: ModelSpec, says: str
) -> None:
    async def use() -> None:
        async with Client({"forward": model}, FAST, {}) as llm:
            error = await failure(llm)
            assert isinstance(error, ProviderRefused)
            assert says in str(error)

    asyncio.run(use())


def test_a_role_nobody_plays_is_a_mistake_in_the_configuration() -> None:
    async def use() -> None:
        async with Client({"forward": spec(None)}, FAST, {}) as llm:
            with pytest.raises(ConfigError, match="Did you mean 'forward'"):
                await llm.complete("forwrad", ASK, node="hint_1")

    asyncio.run(use())


def test_every_attempt_is_counted_and_answered_ones_are_paid() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> tuple[Reply, Spent]:
        llm = await client(stack, replace(spec(url, "429,empty,ok"), price=Price(0.15, 0.6)))
        return await llm.complete("forward", ASK, node="hint_1"), llm.spent()["forward"]

    reply, spent = run(use)
    prompt, completion = 9, 7
    cost = prompt * 0.15e-6 + completion * 0.6e-6
    assert (reply.text, reply.usage, reply.truncated) == (TEXT, Usage(prompt, completion), False)
    assert reply.cost == pytest.approx(cost)
    assert spent.calls == 3
    assert spent.usage == Usage(2 * prompt, completion)
    assert spent.cost == pytest.approx(cost + prompt * 0.15e-6)


@pytest.mark.parametrize("fault", ["", "usage"])
def test_a_cost_that_nobody_knows_is_unknown(fault: str) -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        for _ in range(2):  # the second client finds the model in litellm's price list
            model = "openai/gpt-4o-mini" if fault else "openai/worlds"
            llm = await client(stack, spec(url, fault, model=model))
            reply = await llm.complete("forward", ASK, node="hint_1")
            assert reply.usage == Usage(9, 7)
            assert reply.cost is None
            faults = {fault: 1} if fault else {}
            assert llm.spent()["forward"] == Spent(1, Usage(9, 7), None, faults)

    run(use)


def test_a_reply_that_hit_its_token_limit_says_so() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> Reply:
        llm = await client(stack, spec(url, "length"))
        return await llm.complete("forward", ASK, node="hint_1")

    reply = run(use)
    assert reply.truncated
    assert reply.text == TEXT[: len(TEXT) // 2]


def test_a_token_limit_used_up_before_the_first_word_is_not_tried_again() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        error = await failure(await client(stack, spec(url, "length")))
        assert isinstance(error, CallFailed)
        assert (error.kind, len(seen.requests)) == ("truncated", 1)
        assert "max_tokens" in str(error)

    run(use, reply=lambda messages, seed: "")


def test_odd_replies_arrive_as_they_are() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> dict[str, str]:
        texts = {}
        for fault in ("twice", "untagged", "huge"):
            llm = await client(stack, spec(url, fault))
            texts[fault] = (await llm.complete("forward", ASK, node="hint_1")).text
        return texts

    texts = run(use)
    assert texts["twice"] == f"{TEXT}\n{TEXT}"
    assert texts["untagged"] == "It is 42."
    assert len(texts["huge"]) > 5_000_000


def test_retry_after_is_honoured() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> float:
        llm = await client(stack, spec(url, "429-after,ok"))
        start = time.perf_counter()
        await llm.complete("forward", ASK, node="hint_1")
        assert len(seen.requests) == 2
        return time.perf_counter() - start

    assert 1.0 <= run(use) < 2.0


def test_no_more_calls_at_once_than_declared() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        llm = await client(stack, spec(url), Limits(concurrency=4))
        calls = (llm.complete("forward", [Message("user", str(i))], node="n") for i in range(30))
        await asyncio.gather(*calls)
        assert seen.most_at_once == 4
        assert len(seen.requests) == 30

    run(use, latency=0.01)


def test_a_wait_for_the_next_attempt_leaves_room_for_other_calls() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        models = {"forward": spec(url, "429-after,ok"), "other": spec(url)}
        llm = await stack.enter_async_context(Client(models, Limits(concurrency=1), {}))
        waiting = asyncio.create_task(llm.complete("forward", ASK, node="n"))
        await asyncio.sleep(0.1)
        await llm.complete("other", [Message("user", "And what is seven?")], node="n")
        assert not waiting.done()
        await waiting

    run(use)


def test_the_same_request_is_made_once_at_temperature_0() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        model = spec(url)
        models = {"forward": model, "other": model}
        llm = await stack.enter_async_context(Client(models, FAST, {}))
        calls = [llm.complete("forward", ASK, node=f"n{i}") for i in range(5)]
        replies = await asyncio.gather(*calls, llm.complete("other", ASK, node="n"))
        assert len(set(replies)) == len(seen.requests) == 1
        assert sum(spent.calls for spent in llm.spent().values()) == 1
        await asyncio.gather(*(llm.complete("forward", ASK, node="n", sample=i) for i in range(3)))
        assert len(seen.requests) == 3  # sample 0 has been answered
        assert await llm.complete("forward", ASK, node="n") == replies[0]
        assert len(seen.requests) == sum(spent.calls for spent in llm.spent().values()) == 3

    run(use, latency=0.02)


def test_requests_are_not_shared_at_a_temperature() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        llm = await client(stack, spec(url, temperature=0.7))
        await asyncio.gather(*(llm.complete("forward", ASK, node="n") for _ in range(3)))
        assert len(seen.requests) == 3

    run(use)


def test_samples_differ_in_their_seed() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        llm = await client(stack, spec(url, temperature=1, seed=7))
        for sample in range(3):
            await llm.complete("forward", ASK, node="n", sample=sample)
        assert [request["seed"] for request in seen.requests] == [7, 8, 9]

    run(use)


def test_a_caller_that_leaves_does_not_take_the_call_away_from_others() -> None:
    async def use() -> None:
        ended: list[str] = []

        async def call() -> str:
            try:
                await asyncio.sleep(0.02)
            finally:
                ended.append("ended")
            return "reply"

        flights: InFlight[str] = InFlight()
        first, second = (asyncio.create_task(flights.result(b"key", call)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "reply"
        assert first.cancelled()
        alone = asyncio.create_task(flights.result(b"key", call))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)
        assert ended == ["ended", "ended"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())


def test_a_failed_call_fails_for_all_who_share_it() -> None:
    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> None:
        llm = await client(stack, spec(url, "401"))
        calls = [llm.complete("forward", ASK, node="n") for _ in range(3)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, ProviderRefused) for error in errors)
        assert len(seen.requests) == 1

    run(use, latency=0.02)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_keys_appear_in_no_message(status: int) -> None:
    async def echo(request: web.Request) -> web.Response:
        said = f"No: {request.headers['Authorization']} and sk-other-123456789 are not keys."
        return web.json_response({"error": {"message": said}}, status=status)

    async def use() -> LLMError:
        app = create_app(lambda messages, seed: TEXT)
        app.router.add_post("/echo/chat/completions", echo)
        async with running(app) as url, AsyncExitStack() as stack:
            base = url.replace("/v1", "/echo")
            return await failure(await client(stack, spec(base, key="KEY"), FAST))

    error = asyncio.run(use())
    assert SECRET not in repr(error)
    assert "123456789" not in repr(error)
    assert "[key]" in str(error)
    assert error.__cause__ is error.__context__ is None


def test_a_key_in_an_address_appears_in_no_message() -> None:
    async def use() -> LLMError:
        async with AsyncExitStack() as stack:
            model = spec(f"http://127.0.0.1:9/{SECRET}/v1", key="KEY")
            return await failure(await client(stack, model))

    assert "http://127.0.0.1:9/[key]/v1" in str(asyncio.run(use()))


def test_a_key_of_the_environment_is_not_sent_where_none_was_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    async def use(url: str, seen: Seen, stack: AsyncExitStack) -> list[str | None]:
        await (await client(stack, spec(url))).complete("forward", ASK, node="n")
        await (await client(stack, spec(url, key="KEY"))).complete("forward", ASK, node="n")
        return seen.keys

    assert run(use) == ["Bearer no-key-needed", f"Bearer {SECRET}"]


def test_two_loops_one_after_the_other_leave_nothing_behind(
    unused_port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    async def use() -> None:
        async with running(create_app(lambda messages, seed: TEXT), port=unused_port):
            for _ in range(2):  # closed and used again within a loop, too
                async with llm:
                    asked = ([Message("user", str(i))] for i in range(9))
                    await asyncio.gather(*(llm.complete("forward", ask, node="n") for ask in asked))
        left = [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]
        assert [task for task in left if "sgdflow" in task] == []

    model = spec(f"http://127.0.0.1:{unused_port}/v1", temperature=1)
    llm = Client({"forward": model}, FAST, {})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            asyncio.run(use())
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")
    assert llm.spent()["forward"].calls == 36


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stand in for the simulated models."""
    module = types.ModuleType("sgdflow.simulation.worlds")
    module.reply = lambda messages, seed: f"{len(messages)} messages"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_simulated_models_answer_without_a_network_and_for_free(worlds: types.ModuleType) -> None:
    async def use() -> None:
        model = ModelSpec("simulated/worlds", parameters={"temperature": 0, "max_tokens": 9})
        async with Client({"forward": model}, FAST, {}, backend=Simulated()) as llm:
            reply = await llm.complete("forward", ASK, node="n")
            assert reply == Reply("2 messages", Usage(9, 3), cost=0.0)
            assert llm.spent() == {"forward": Spent(1, Usage(9, 3), 0.0)}

    for _ in range(3):
        asyncio.run(use())


@pytest.mark.parametrize("defect", [ZeroDivisionError("a defect"), ConfigError("ours")])
def test_a_defect_of_the_simulated_models_is_not_taken_for_a_failed_call(
    worlds: types.ModuleType, defect: Exception
) -> None:
    def reply(messages: Sequence[Message], seed: int) -> str:
        raise defect

    worlds.reply = reply  # type: ignore[attr-defined]

    async def use() -> None:
        models = {"forward": ModelSpec("simulated/worlds")}
        async with Client(models, FAST, {}, backend=Simulated()) as llm:
            with pytest.raises(type(defect), match=str(defect)):
                await llm.complete("forward", ASK, node="n")
            assert llm.spent()["forward"].calls == 1

    asyncio.run(use())


@dataclass
class Canned(Answering):
    """A transport that knows one answer."""

    text: str
    loaded: list[str] = field(default_factory=list)
    closed: int = 0

    def load(self, specs: Iterable[ModelSpec]) -> None:
        self.loaded += [spec.model for spec in specs]

    async def ask(self, spec: ModelSpec, messages: Sequence[Message], **_: Any) -> Answer:
        if self.text == "":
            raise TimeoutError
        return Answer(f"{self.text} of {spec.model}", "stop", Usage(1, 1), 0.5)

        return Price(1, 2)

    async def close(self) -> None:
        self.closed += 1


def test_each_model_is_reached_through_the_backend_of_its_provider() -> None:
    """A fallback may be reached in another way than the model whose place it takes."""
    own, silent, others = Canned("own"), Canned(""), Canned("other")
    backend = ByProvider({"mine": own, "mute": silent}, others)
    models = {
        "a": ModelSpec("mine/m"),
        "b": ModelSpec("far/m"),
        "c": ModelSpec("mute/m", fallbacks=(ModelSpec("mine/n"),)),
    }

    async def use() -> list[str]:
        async with Client(models, Limits(retries=0), {}, backend=backend) as llm:
            said = [(await llm.complete(role, ASK, node="n")).text for role in models]
            assert llm.spent()["c"] == Spent(2, Usage(1, 1), 0.5, {"timeout": 1})
            return said

    assert asyncio.run(use()) == ["own of mine/m", "other of far/m", "own of mine/n"]
    assert (own.loaded, silent.loaded, others.loaded) == (
        ["mine/m", "mine/n"],
        ["mute/m"],
        ["far/m"],
    )
    assert [each.closed for each in (own, silent, others)] == [1, 1, 1]


def test_litellm_is_imported_by_the_first_call_only() -> None:
    code = (
        "import sys, sgdflow.llm.client as c, sgdflow.llm.scripted, sgdflow.simulation.server\n"
        "c.Client({'a': c.ModelSpec('simulated/worlds')}, c.Limits(), {})\n"
        "sys.exit('litellm' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=HOME, check=False, timeout=60)
    assert ran.returncode == 0


def test_each_missing_key_is_told_once() -> None:
    models = {
        "forward": ModelSpec("openai/gpt-4o-mini", api_key_env="OPENAI_API_KEY"),
        "backward": ModelSpec("openai/gpt-4o", api_key_env="OPENAI_API_KEY"),
        "optimizer": ModelSpec("anthropic/claude", api_key_env="ANTHROPIC_API_KEY"),
        "local": ModelSpec("hosted_vllm/qwen", "http://localhost:8000/v1"),
    }
    assert check_keys(models, {"ANTHROPIC_API_KEY": " "}) == [
        "llm.models.forward (and backward): the model openai/gpt-4o-mini needs the environment "
        "variable OPENAI_API_KEY, which is not set. Set it, or choose another llm "
        "(llm=simulated needs none).",
        "llm.models.optimizer: the model anthropic/claude needs the environment variable "
        "ANTHROPIC_API_KEY, which is not set. Set it, or choose another llm "
        "(llm=simulated needs none).",
    ]
    present = {"OPENAI_API_KEY": SECRET, "ANTHROPIC_API_KEY": SECRET}
    assert check_keys(models, present) == []
    with pytest.raises(ConfigError, match="OPENAI_API_KEY, which is not set"):
        Client(models, FAST, {})


@pytest.mark.parametrize(
    ("parameters", "says"),
    [({"api_key": SECRET}, "api_key_env"), ({"timeout": 3, "model": "x"}, "model, timeout")],
)
def test_parameters_leave_alone_what_is_declared_elsewhere(
    parameters: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        ModelSpec("openai/x", parameters=parameters)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("limits", [{"concurrency": 0}, {"timeout": 0}, {"retries": -1}])
def test_limits_have_limits(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"llm\.limits"):
        Limits(**limits)


def provider_error(text: str, status: int, name: str = "BadRequestError") -> Exception:
    cls = type(name, (Exception,), {"__module__": "litellm.exceptions", "status_code": status})
    error: Exception = cls(text)
    return error


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        ("AnthropicException - Your credit balance is too low to access the API.", 400, "quota"),
        ("DeepseekException - Insufficient Balance", 402, "quota"),
        ("GeminiException - You exceeded your current quota, check your plan.", 429, "rate_limit"),
        ("OpenrouterException - Your input was flagged by moderation.", 403, "content_filter"),
        ("OpenAIException - You may not use this model.", 403, "permission"),
        ("OpenAIException - Missing credentials. Please pass an `api_key`", 500, "authentication"),
        ("OpenAIException - temperature: 9 is greater than the maximum of 2", 400, "bad_request"),
        ("AnthropicException - Overloaded", 529, "server"),
        ("GroqException - 'ModelResponse' object has no attribute 'choices'", 500, "bad_reply"),
    ],
)
def test_providers_say_the_same_in_different_words(text: str, status: int, kind: str) -> None:
    failed = classify(provider_error(f"litellm.BadRequestError: {text}", status))
    assert failed is not None
    assert failed.kind == kind
    assert failed.said == text.partition(" - ")[2].rstrip(".")


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"llm_provider-retry-after": "3"}, 3.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_what_a_provider_asks_to_wait_is_read(headers: dict[str, str], after: float | None) -> None:
    error = provider_error("slow down", 429, "RateLimitError")
    error.litellm_response_headers = headers  # type: ignore[attr-defined]
    failed = classify(error)
    assert failed is not None
    assert failed.after == after


def test_a_defect_of_a_program_is_no_failure_of_a_provider() -> None:
    assert classify(TypeError("unexpected keyword argument")) is None


def test_the_script_is_followed_and_recorded() -> None:
    async def use() -> None:
        cut = Reply("cut", truncated=True, cost=None)
        llm: LLM = (scripted := ScriptedLLM({"forward": ["one", CallFailed("no", "server"), cut]}))
        assert (await llm.complete("forward", ASK, node="n")).text == "one"
        assert scripted.spent() == {"forward": Spent(1, Usage(9, 1), 0.0)}
        assert str(await failure(llm)) == "no"
        assert await llm.complete("forward", ASK, node="n", sample=2) is cut
        assert scripted.spent() == {"forward": Spent(3, Usage(9, 1), None)}
        with pytest.raises(LookupError, match="forward"):
            await llm.complete("forward", ASK, node="n")
        assert scripted.requests[2] == Request("forward", "n", tuple(ASK), 2)

    asyncio.run(use())


def test_a_script_can_be_a_function() -> None:
    async def use() -> str:
        llm = ScriptedLLM(lambda role, node, messages: f"{role}/{node}/{len(messages)}")
        return (await llm.complete("backward", ASK, node="hint_1")).text

    assert asyncio.run(use()) == "backward/hint_1/2"
