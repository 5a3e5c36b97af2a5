"""Azure and Ollama in OpenAI's protocol: what is asked where, and what is left to litellm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from test_direct import way
from test_transport import ASK, completion

from sgdflow.config.compose import compose
from sgdflow.config.models import build_calling, build_models
from sgdflow.config.schema import LLMConf
from sgdflow.errors import ConfigError
from sgdflow.llm import Reply
from sgdflow.llm.backend import Backend
from sgdflow.llm.chat import target
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.direct import DirectBackend
from sgdflow.llm.endpoints import left_to_litellm
from sgdflow.llm.failures import Noticed
from sgdflow.llm.models import Request, located
from sgdflow.llm.providers import LitellmBackend
from sgdflow.llm.transports import Preferred, Transport, check_direct, reached_by
from sgdflow.simulation.server import running

HOT = {"temperature": 0, "max_tokens": 9}
AZURE = "https://mine.openai.azure.com"
OLLAMAS = {
    "message": {"role": "assistant", "content": "It is 42."},
    "done": True, "done_reason": "stop", "prompt_eval_count": 10, "eval_count": 5,
}  # fmt: skip
"""The same reply in Ollama's own protocol."""
Seen = list[tuple[str, Mapping[str, str], dict[str, Any]]]


@pytest.fixture(autouse=True)
def _no_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_BASE", "API_KEY", "API_VERSION", "AD_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(f"AZURE_{name}", raising=False)


def asked(
    spec: ModelSpec, base: str, transport: Transport, keys: Mapping[str, str] | None = None
) -> tuple[Reply, Seen]:
    """Return what a model that is served here answers, and what was seen of the request."""
    seen: Seen = []

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.path_qs, headers, json.loads(await request.read())))
        return web.json_response({**completion(), **OLLAMAS})

    async def main() -> Reply:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        async with running(app) as url:
            root = url.removesuffix("/v1")
            declared = replace(spec, api_base=base.format(root=root)) if base else spec
            given = {name: value.format(root=root) for name, value in (keys or {}).items()}
            backend, limits = reached_by(transport), Limits(retries=0, timeout=20)
            async with Client({"forward": declared}, limits, given, backend=backend) as llm:
                return await llm.complete("forward", ASK, node="n")

    return asyncio.run(main()), seen


@pytest.mark.parametrize(
    ("model", "transport"), [("ollama/m:7b", "direct"), ("ollama_chat/m:7b", "auto")]
)
@pytest.mark.parametrize("base", ["{root}", "{root}/v1/", "{root}/api/chat"])
def test_ollama_is_asked_at_its_own_path_of_openais_protocol(
    model: str, transport: Transport, base: str
) -> None:
    reply, ((path, headers, body),) = asked(ModelSpec(model, parameters=HOT), base, transport)
    assert (reply.text, reply.cost) == ("It is 42.", 0.0)
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer no-key-needed"
    said = [{"role": "user", "content": ASK[0].content}]
    assert body == {"model": "m:7b", "messages": said, **HOT}


def test_the_environments_address_of_ollama_is_litellms_own_matter() -> None:
    spec, environ = ModelSpec("ollama_chat/m", None, None, HOT), {"OLLAMA_API_BASE": "http://a:1"}
    assert left_to_litellm(spec, environ)
    assert not left_to_litellm(replace(spec, api_base="http://b:2"), environ)
    assert target(spec, None, environ).url == "http://a:1/v1/chat/completions"


@pytest.mark.parametrize("base", [None, "https://n.openai.azure.com/openai/v1/"])
def test_an_address_that_azure_is_not_asked_at_is_told_before_any_call(base: str | None) -> None:
    with pytest.raises(ConfigError, match=r"set llm\.api_base \(or AZURE_API_BASE\) to that"):
        check_direct({"forward": ModelSpec("azure/m", base, None, HOT)})


def test_the_preset_of_ollama_can_be_asked_directly() -> None:
    conf = LLMConf.model_validate(compose(["llm=ollama", "llm.transport=direct"])["llm"])
    spec = build_models(conf)["forward"]
    build_calling({"forward": spec}, conf, 0)
    there = "http://localhost:11434/v1/chat/completions"
    assert target(spec, None, {}).url == target(replace(spec, api_base=None), None, {}).url == there


def test_a_deployment_is_asked_at_its_path_with_its_key() -> None:
    spec = ModelSpec("azure/gpt-4o", None, "K", {**HOT, "api_version": "2024-10-21", "seed": 3})
    reply, ((path, headers, body),) = asked(spec, "{root}/", "auto", {"K": "secret-of-mine"})
    assert (reply.text, reply.cost) == ("It is 42.", None)
    assert path == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == "secret-of-mine"
    assert "authorization" not in headers
    said = [{"role": "user", "content": ASK[0].content}]
    assert body == {"model": "gpt-4o", "messages": said, **HOT, "seed": 3}


def test_the_environments_key_goes_to_azure_and_the_environments_address_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_API_KEY", "secret-of-mine")
    monkeypatch.setenv("AZURE_API_VERSION", "2024-10-21")
    spec = ModelSpec("azure/gpt-4o", parameters=HOT)
    _, ((path, headers, _),) = asked(spec, "", "auto", {"AZURE_API_BASE": "{root}"})
    assert path.endswith("?api-version=2024-10-21")
    assert headers["api-key"] == "secret-of-mine"
    _, ((_, headers, _),) = asked(spec, "{root}", "direct")
    assert headers["api-key"] == "no-key-needed"
    environ = {"AZURE_API_KEY": "secret-of-mine"}
    own = target(replace(spec, api_base=AZURE), None, environ)
    assert own.url == (
        f"{AZURE}/openai/deployments/gpt-4o/chat/completions?api-version=2025-02-01-preview"
    )
    assert own.headers["api-key"] == "secret-of-mine"
    with pytest.raises(Noticed, match="AZURE_API_KEY is not set"):
        target(replace(spec, api_base=AZURE), None, {})
    token = {"extra_headers": {"Authorization": "Bearer token"}}
    entra = target(ModelSpec("azure/m", AZURE, None, token), None, environ)
    assert entra.headers["authorization"] == "Bearer token"
    assert "api-key" not in entra.headers


def test_what_their_own_protocols_alone_can_do_is_left_to_litellm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    auto = way("auto")
    assert isinstance(auto, Preferred)
    here = "http://localhost:11434"
    for spec in (
        ModelSpec("ollama_chat/m", here, None, {"temperature": 0.7, "top_p": 0.9}),
        ModelSpec("ollama_chat/m", None, None, HOT),
        ModelSpec("azure/gpt-4o-mini", AZURE, None, HOT),
        ModelSpec("azure/mine", "http://localhost:1", None, HOT),
    ):
        assert auto._of(spec) is auto.direct, spec
    versioned = {**HOT, "api_version": "2023-05-15"}
    left = [
        ModelSpec("ollama/m", here, None, HOT),  # a completion there
        ModelSpec("ollama_chat/m", here),  # other defaults
        ModelSpec("ollama_chat/m", here, None, {"temperature": 0.7}),
        ModelSpec("ollama_chat/m", here, None, {**HOT, "num_ctx": 9}),
        ModelSpec("azure/gpt-4o-mini", None, None, HOT),
        ModelSpec("azure/mine", AZURE, None, HOT),  # what it costs
        ModelSpec("azure/gpt-5-mini", AZURE, None, HOT),
        ModelSpec("azure/my-o3", AZURE, None, HOT),
        ModelSpec("azure/gpt-4o", f"{AZURE}/openai/v1", None, HOT),
        ModelSpec("azure/gpt-4o", AZURE, None, versioned),
        ModelSpec("azure/gpt-4o", AZURE, None, {**HOT, "base_model": "azure/gpt-5"}),
    ]
    for spec in left:
        assert auto._of(spec) is auto.litellm, spec
    monkeypatch.setenv("AZURE_AD_TOKEN", "t")
    assert auto._of(ModelSpec("azure/gpt-4o-mini", AZURE, None, HOT)) is auto.litellm


def test_what_ollama_would_silently_leave_out_is_refused() -> None:
    words = ["llm=ollama", "llm.transport=direct", "+llm.parameters.num_ctx=8192"]
    conf = LLMConf.model_validate(compose(words)["llm"])
    with pytest.raises(ConfigError, match="Ollama takes no num_ctx in OpenAI's chat protocol"):
        build_calling(build_models(conf), conf, 0)


def test_requests_are_known_as_they_were_before() -> None:
    said = [["user", ASK[0].content]]
    content: dict[str, Any] = {"parameters": HOT, "messages": said, "sample": 0}
    here = "http://localhost:11434"
    before = Request.of({**content, "model": "ollama_chat/m", "endpoint": here})
    assert next(ModelSpec("ollama_chat/m", here, None, HOT).requests(ASK, 0)) == before
    moved = located(ModelSpec("azure/m", parameters=HOT), {"AZURE_API_BASE": AZURE})
    assert next(moved.requests(ASK, 0)) == Request.of({**content, "model": "azure/m"})


@pytest.mark.parametrize("answers", ["gpt-4o", "gpt-4o-2024-05-13", "gpt-nobody"])
def test_azure_is_asked_and_priced_as_through_litellm(
    answers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {**HOT, "top_p": 1, "stop": ["x"], "extra_headers": {"X-Mine": "1"}}
    spec = ModelSpec("azure/gpt-4o", "http://mine.openai.azure.com", None, parameters)

    async def found(backend: Backend) -> Sequence[Any]:
        backend.load([spec])
        try:
            answer = await backend.ask(spec, ASK, sample=0, key="secret", seconds=20)
        finally:
            await backend.close()
        ((path, headers, body),) = seen
        seen.clear()
        told = [headers.get(name) for name in ("api-key", "authorization", "x-mine")]
        return answer.cost, path, told, body, replace(answer, cost=None)

    seen: Seen = []

    async def through(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.raw_path, headers, json.loads(await request.read())))
        return web.json_response({**completion(), "model": answers})

    async def main() -> None:
        runner = web.ServerRunner(web.Server(through))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{runner.addresses[0][1]}")
        directly, through_litellm = [await found(b) for b in (DirectBackend(), LitellmBackend())]
        assert directly[1:] == through_litellm[1:]
        assert directly[0] == pytest.approx(through_litellm[0])
        await runner.cleanup()

    asyncio.run(main())
