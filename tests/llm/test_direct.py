"""Our own HTTP to OpenAI's protocol: litellm is the oracle of what is sent and read."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from test_transport import ASK, BASIC, Server, completion, stream

from sgdflow.config.compose import compose
from sgdflow.config.models import build_calling, build_models
from sgdflow.config.schema import LLMConf
from sgdflow.errors import CallFailed, ConfigError, LLMError
from sgdflow.llm import Message, Usage
from sgdflow.llm.address import proxied, proxy_of, unreachable
from sgdflow.llm.backend import Answer, Backend
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.direct import DirectBackend
from sgdflow.llm.listing import Listing
from sgdflow.llm.models import Price
from sgdflow.llm.providers import LitellmBackend
from sgdflow.llm.responses import _end, answer_of, failure_of
from sgdflow.llm.spread import Spread
from sgdflow.llm.transports import Preferred, Transport, reached_by
from sgdflow.simulation.server import running

SAID = (
    Message("system", "Be é brief."),
    Message("user", 'a\nb "q" \u2028', images=("data:image/png;base64,AAAA",)),
)
ASKED: Mapping[str, Mapping[str, Any]] = {
    "usual": {"temperature": 0, "top_p": 1, "max_tokens": 10, "seed": 3},
    "all of OpenAI's": {
        "frequency_penalty": 0.1, "presence_penalty": 0, "logit_bias": {"5": 1}, "stop": ["x"],
        "logprobs": True, "top_logprobs": 2, "max_completion_tokens": 4, "top_p": None,
        "response_format": {"type": "json_object"}, "parallel_tool_calls": False,
    },
    "of servers": {
        "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "chat_template_kwargs": {"t": False},
        "extra_body": {"a": {"b": "é"}, "seed": 4}, "seed": 3,
    },
    "headers": {"extra_headers": {"X-Mine": "1", "authorization": BASIC}},
    "a stream": {"temperature": 0, "stream": True},
}  # fmt: skip


async def asked_of(
    backend: Backend, answer: Any, model: str, parameters: Mapping[str, Any]
) -> tuple[str, Mapping[str, str], bytes, Answer]:
    """Return what a backend sends, and what it reads in the answer."""
    seen: list[tuple[str, Mapping[str, str], bytes]] = []

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.path_qs, headers, await request.read()))
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="text/event-stream")
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with running(app) as url:
        spec = ModelSpec(model, url, None, parameters, Price(1, 2, 0.5))
        backend.load([spec])
        try:
            found = await backend.ask(spec, SAID, sample=1, key=None, seconds=20)
        finally:
            await backend.close()
    return (*seen[0], found)


@pytest.mark.parametrize("model", ["openai/m", "openai/gpt-4o-mini", "hosted_vllm/m"])
@pytest.mark.parametrize("name", ASKED)
def test_the_same_is_sent_and_read_as_through_litellm(name: str, model: str) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    answer: Any = {
        **completion(),
        "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 4}},
    }
    if "stream" in ASKED[name]:
        answer = stream("It is", " 42.", usage=usage)

    async def main() -> None:
        path, headers, body, read = await asked_of(DirectBackend(), answer, model, ASKED[name])
        found = await asked_of(LitellmBackend(), answer, model, ASKED[name])
        assert (path, body) == (found[0], found[2])
        assert headers["accept-encoding"] == "identity"
        for told in ("authorization", "content-type", "x-mine"):
            assert headers.get(told) == found[1].get(told)
        assert read == found[3]

    asyncio.run(main())


def way(transport: Transport) -> Backend:
    """Return what reaches one address."""
    spread = reached_by(transport)
    assert isinstance(spread, Spread)
    return spread.backend


def test_what_is_declared_to_be_left_to_litellm_or_has_to_be_is() -> None:
    auto = way("auto")
    assert isinstance(auto, Preferred)
    here = "http://localhost:8000/v1"
    directly = {
        "openai/m": here, "hosted_vllm/m": here, "openai/gpt-4o-mini": None,
        "openai/gpt-5-chat": here,
    }  # fmt: skip
    for model, base in directly.items():
        assert auto._of(ModelSpec(model, base, parameters={"temperature": 0})) is auto.direct
    for spec in (
        ModelSpec("anthropic/claude-sonnet-4-5"),
        ModelSpec("ollama_chat/m", "http://localhost:11434"),
        ModelSpec("azure/m", "https://mine.openai.azure.com"),
        ModelSpec(
            "openai/gpt-5-mini", here
        ),  # litellm renames its limit and refuses its temperature
        ModelSpec("openai/o3", here),
        ModelSpec("openai/ft:unlisted"),  # what it costs
        ModelSpec("hosted_vllm/m"),  # where it is
        ModelSpec("openai/m", here, parameters={"drop_params": True}),
    ):
        assert auto._of(spec) is auto.litellm
    assert isinstance(way("litellm"), LitellmBackend)
    assert isinstance(way("direct"), DirectBackend)


def test_proxies_of_another_kind_are_left_to_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = way("auto")
    assert isinstance(auto, Preferred)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert auto._of(ModelSpec("openai/m", "http://h/v1")) is auto.litellm
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert auto._of(ModelSpec("openai/m", "http://h/v1")) is auto.direct
    monkeypatch.setenv("SSL_CERTIFICATE", "mine.pem")
    assert auto._of(ModelSpec("openai/m", "http://h/v1")) is auto.litellm


@pytest.mark.parametrize(
    ("llm", "says"),
    [
        (
            {"models": {"forward": "anthropic/c"}},
            "llm.models.forward: llm.transport=direct reaches endpoints that speak OpenAI's chat "
            "protocol (azure/..., hosted_vllm/..., ollama/..., ollama_chat/..., openai/...); "
            "anthropic/c is none. Leave llm.transport at auto, or choose litellm; where its server "
            "speaks that protocol, too, write openai/MODEL and its api_base.",
        ),
        (
            {"models": {"forward": "openai/a"}, "fallbacks": {"forward": ["groq/b"]}},
            "groq/b is none",
        ),
    ],
)
def test_a_model_of_another_protocol_cannot_be_asked_directly(
    llm: Mapping[str, Any], says: str
) -> None:
    declared = LLMConf.model_validate({"name": "mine", "transport": "direct", **llm})
    with pytest.raises(ConfigError) as told:
        build_calling(build_models(declared), declared, 0)
    assert says in str(told.value)
    simulated = LLMConf.model_validate(
        {"name": "mine", "transport": "direct", "models": {"forward": "simulated/worlds"}}
    )
    build_calling(build_models(simulated), simulated, 0)


def test_a_transport_that_there_is_not_is_told() -> None:
    from sgdflow.config.paths import prompt_folders
    from sgdflow.config.prepare import prepare
    from sgdflow.prompting.templates import Prompts

    raw = compose(["llm=vllm", "llm.transport=http", "tracking=none"])
    with pytest.raises(ConfigError, match=r"llm\.transport(.|\n)*'auto', 'litellm' or 'direct'"):
        prepare(raw, Prompts(prompt_folders(Path())), {})


def ask(answer: web.Response | dict[str, Any], **more: Any) -> tuple[Any, Server]:
    server = Server(answer)
    try:
        return server.ask(**more)[0], server
    except LLMError as error:
        return error, server


def test_a_stream_is_over_with_its_last_word_also_where_the_connection_stays_open() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        sent = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await sent.prepare(request)
        pieces = stream("It is ", "42.").encode()
        for start in range(0, len(pieces), 7):
            await sent.write(pieces[start : start + 7])
        await asyncio.sleep(3600)
        return sent

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handle)
        async with running(app) as url:
            spec = ModelSpec("openai/m", url, None, {"temperature": 0, "stream": True})
            async with Client({"forward": spec}, Limits(timeout=60, retries=0), {}) as llm:
                assert (await llm.complete("forward", ASK, node="n")).text == "It is 42."

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (['{"choices": [{"delta": {"content": [{"text": "a"}]}}]}', "[DONE]"], "a"),
        (['{"choices": [{"delta": {"content": "a"}, "finish_reason": "length"}]}'], "a"),
        (['{"choices": [{"delta": {"refusal": "N"}}, {"delta": {"refusal": "o"}}]}'], "No"),
        (['{"choices": [{"delta": {"tool_calls": [{"function": {"name": "f"}}]}}]}'], "f"),
        (["no JSON"], "bad_reply"),
        (['{"choices": [{"delta": {"content": "a"}}]}'], "connection"),
        (['{"error": {"message": "slow down", "code": 429}}'], "rate_limit"),
        (['{"choices": 7}', '{"choices": [7, {"delta": 7}]}', "[DONE]"], "empty"),
        (["[DONE]"], "empty"),
    ],
    ids=range(9),
)  # fmt: skip
def test_pieces_of_any_form_are_read(data: list[str], found: str) -> None:
    data = [*data, "[DONE]"] if found in ("No", "f") else data
    text = "".join(f": alive\r\n\r\ndata: {one}\r\n\r\n" for one in data)
    response = web.Response(text=text, content_type="text/event-stream")
    got, _ = ask(response, parameters={"stream": True})
    if isinstance(got, CallFailed):
        assert got.kind == found or f'("{found}")' in str(got)
    else:
        assert got.text == found
        assert got.truncated == ("length" in data[0])


@pytest.fixture
def oracle() -> None:
    """Import litellm as it is imported for calls."""
    LitellmBackend().load([ModelSpec("openai/gpt-4o")])


@pytest.mark.usefixtures("oracle")
def test_litellm_calls_an_end_by_the_same_names() -> None:
    from litellm.litellm_core_utils.core_helpers import _FINISH_REASON_MAP as ENDS

    for said, end in ENDS.items():
        assert _end(said) == (end if end in ("length", "content_filter") else "stop"), said
    assert _end("anything") == _end(None) == _end(["length"]) == "stop"


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens; your messages resulted in 5000.",
        "the request exceeds the available context size, try increasing it",
        "Input tokens exceed the configured limit of 9 tokens",
        "`inputs` tokens + `max_new_tokens` must be <= 9",
        "Current length is 9 while limit is 8",
        "The maximum input length is 9 tokens",
        "string_above_max_length: string too long. Expected a string with maximum length 64",
        "Unknown parameter: context",
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_the_same_words(said: str) -> None:
    from litellm.litellm_core_utils.exception_mapping_utils import ExceptionCheckers

    too_long = ExceptionCheckers.is_error_str_context_window_exceeded(said)
    found = failure_of(400, {}, json.dumps({"error": {"message": said}}).encode())
    assert (found.kind == "context_window") == too_long


@pytest.mark.parametrize("model", ["m", "qwen"])
@pytest.mark.parametrize(
    "content",
    ["<think>41?</think>It is 42.", "<think>41?</think>", "<think>41?", "It is <think>1</think>."],
)
def test_thoughts_before_a_text_are_no_part_of_it(content: str, model: str) -> None:
    body = completion(content)

    async def main() -> None:
        found = [
            (await asked_of(backend, body, f"openai/{model}", {}))[3]
            for backend in (DirectBackend(), LitellmBackend())
        ]
        assert found[0] == found[1]

    asyncio.run(main())


@pytest.mark.usefixtures("oracle")
def test_prices_and_abilities_are_those_that_litellm_knows() -> None:
    import litellm

    listing = Listing()
    models = sorted(one for one in litellm.open_ai_chat_completion_models if "/" not in one)
    usage, plain = Usage(1000, 200, 400), 0
    for name in models:
        spec = ModelSpec(f"openai/{name}")
        for what in ("vision", "response_schema"):
            says = getattr(litellm, f"supports_{what}")(model=spec.model)
            assert listing.can(spec, f"supports_{what}") == says, name
        entry = listing.of(spec)
        if not (listing.is_plain(spec) and entry.get("litellm_provider") == "openai"):
            continue
        plain += 1
        price = listing.price_of(spec)
        both = litellm.cost_per_token(
            model=name, custom_llm_provider="openai", prompt_tokens=usage.prompt,
            completion_tokens=usage.completion, cache_read_input_tokens=usage.cached,
            usage_object=litellm.Usage(
                prompt_tokens=usage.prompt, completion_tokens=usage.completion,
                total_tokens=1200, prompt_tokens_details={"cached_tokens": usage.cached},
            ),
        )  # fmt: skip
        assert (price is None) == (LitellmBackend().price_of(spec) is None)
        if price is None:
            continue
        assert price.of(usage) == pytest.approx(sum(both)), name
        assert listing.window_of(spec) == LitellmBackend().window_of(spec)
    assert plain > 20
    for name in ("hosted_vllm/gpt-4o", "openai/nobody", "hosted_vllm/m"):
        assert not listing.can(ModelSpec(name), "supports_vision")


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def main() -> None:
        async def through(request: web.BaseRequest) -> web.StreamResponse:
            seen.append(f"{request.method} {request.url.host} {request.raw_path}")
            return web.json_response(completion())

        runner = web.ServerRunner(web.Server(through))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{runner.addresses[0][1]}")
        monkeypatch.setenv("no_proxy", "other.example")
        spec = ModelSpec("openai/m", "http://far.example/v1", None, {"temperature": 0})
        async with Client({"forward": spec}, Limits(), {}) as llm:
            assert (await llm.complete("forward", ASK, node="n")).text == "It is 42."
        await runner.cleanup()

    asyncio.run(main())
    assert len(seen) == 1
    assert "http://far.example/v1/chat/completions" in seen[0]
    assert proxy_of("http://other.example/v1") is None


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of one's own for localhost."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    return key, cert


def test_certificates_are_looked_at_as_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def asked(url: str) -> str:
        spec = ModelSpec("openai/m", url, None, {"temperature": 0})
        async with Client({"forward": spec}, Limits(retries=0), {}) as llm:
            try:
                return (await llm.complete("forward", ASK, node="n")).text
            except LLMError as error:
                return str(error)

    async def main() -> list[str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        async with AsyncExitStack() as stack:
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            url = f"https://localhost:{runner.addresses[0][1]}/v1"
            found = [await asked(url)]
            for name, value in {"SSL_CERT_FILE": str(cert), "SSL_VERIFY": "False"}.items():
                with monkeypatch.context() as patched:
                    patched.setenv(name, value)
                    found.append(await asked(url))
            return found

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(completion())

    refused, *trusted = asyncio.run(main())
    assert "nothing answers at api_base=https://localhost" in refused
    assert "certificate verify failed" in refused.lower()
    assert trusted == ["It is 42.", "It is 42."]


def test_only_the_provider_gets_what_stands_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sgdflow.llm.chat import target

    environ = {"OPENAI_API_KEY": "sk-mine", "OPENAI_ORGANIZATION": "org", "OPENAI_PROJECT": "p"}
    own = target(ModelSpec("openai/gpt-4o-mini"), None, environ)
    assert own.url == "https://api.openai.com/v1/chat/completions"
    assert own.headers["authorization"] == "Bearer sk-mine"
    assert (own.headers["openai-organization"], own.headers["openai-project"]) == ("org", "p")
    other = target(ModelSpec("openai/m", "http://h:1/v1?api-version=2"), None, environ)
    assert other.url == "http://h:1/v1/chat/completions?api-version=2"
    assert other.headers["authorization"] == "Bearer no-key-needed"
    assert "openai-organization" not in other.headers
    declared = target(ModelSpec("openai/m", "http://h/v1/chat/completions/"), "mine", environ)
    assert declared.url == "http://h/v1/chat/completions"
    assert declared.headers["authorization"] == "Bearer mine"


@pytest.mark.parametrize("header", [{"X-A": "a\nb: c"}, {"X A\n": "1"}])
def test_a_header_that_cannot_be_sent_is_told(header: Mapping[str, str]) -> None:
    found, server = ask(completion(), parameters={"extra_headers": header})
    assert isinstance(found, CallFailed)
    assert found.kind == "bad_request"
    assert server.seen == []


@pytest.mark.parametrize("body", [b"\xff\xfe", b"7", b"null", b"[]", b'{"choices": {}}', b"{}"])
def test_what_is_no_completion_is_no_reply(body: bytes) -> None:
    found, _ = ask(web.Response(body=body))
    assert isinstance(found, CallFailed)
    assert found.kind == "bad_reply"


def test_an_empty_error_is_none() -> None:
    spec = ModelSpec("openai/m")
    for error in (None, "", {}, {"message": ""}):
        body = json.dumps({**completion(), "error": error}).encode()
        assert answer_of(spec, ASK, body, None).text == "It is 42."


def test_redirects_within_a_host_end() -> None:
    there = web.Response(status=307, headers={"Location": "/v1/again"})
    found, server = ask(there)
    assert isinstance(found, CallFailed)
    assert "it was sent on 5 times" in str(found)
    assert {path for path, _, _ in server.seen[1:]} == {"/v1/again"}


WORDS = [
    "graph=tariff", "task=tariff", "task.splits.train=4", "task.splits.validation=2",
    "task.splits.test=2", "method.stop.steps=1", "method.sample.count=2", "tracking=none",
    "llm=vllm", "llm.limits.retries=0",
]  # fmt: skip


@pytest.mark.parametrize("command", ["optimize", "plan", "check"])
def test_litellm_is_not_imported_where_it_is_not_needed(
    command: str, endpoint: str, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom sgdflow.cli.main import main\ncode = main()\n"
        "sys.exit(code or ('litellm imported' if 'litellm' in sys.modules else 0))"
    )
    words = [command, *WORDS, f"llm.api_base={endpoint}"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=100,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_one_client_that_ends_leaves_the_calls_of_others_alone() -> None:
    seen: list[str] = []
    backend = DirectBackend()

    async def handle(request: web.Request) -> web.Response:
        asked = (await request.json())["messages"][0]["content"]
        seen.append(asked)
        await asyncio.sleep(0.6 if asked == "slow" else 0.0)
        return web.json_response(completion(asked))

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", handle)
        async with running(app) as url:
            spec = ModelSpec("openai/m", url)

            async def client(word: str) -> str:
                async with Client({"forward": spec}, Limits(), {}, backend=backend) as llm:
                    reply = await llm.complete("forward", [Message("user", word)], node="n")
                    assert llm.spent()["forward"].faults == {}
                    return reply.text

            replies = await asyncio.gather(client("slow"), client("fast"))
            assert list(replies) == ["slow", "fast"]
            assert await client("later") == "later"

    asyncio.run(main())
    assert seen == ["slow", "fast", "later"]


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_what_a_proxy_reaches_is_the_proxys_affair(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(one, raising=False)
    url = "http://nowhere.example/v1"
    assert not proxied(url)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert proxied(url)
    assert proxy_of(url) == "http://127.0.0.1:9"
    assert asyncio.run(unreachable(url, 1.0)) == ""
