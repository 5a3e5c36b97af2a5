"""How a request is sent, and what strange things come back: bounded, told once, or working."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from sgdflow.config.models import build_models
from sgdflow.config.schema import LLMConf
from sgdflow.errors import CallFailed, ConfigError
from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.llm.address import answering, is_own, plain, unreachable
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.failures import Failure, _seconds, reason
from sgdflow.prompting.schemas import schema_of
from sgdflow.simulation.server import running

pytestmark = pytest.mark.usefixtures("transport")

ASK = (Message("user", "What is six times seven?"),)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def completion(text: str = "It is 42.", usage: Any = USAGE) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return body if usage is None else {**body, "usage": usage}


class Server:
    """Answers each request with what it was given, and remembers what it saw."""

    def __init__(self, *answers: web.Response | dict[str, Any] | str) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, Mapping[str, str], dict[str, Any]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.path_qs, headers, json.loads(await request.read())))
        answer = self.answers[min(len(self.seen), len(self.answers)) - 1]
        if isinstance(answer, web.Response):
            return web.Response(
                body=answer.body, status=answer.status, headers=answer.headers.copy()
            )
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="text/event-stream")
        return web.json_response(answer)

    def ask(
        self, where: str = "{url}", keys: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[Reply, Spent]:
        async def main() -> tuple[Reply, Spent]:
            app = web.Application(client_max_size=2**26)
            app.router.add_route("*", "/{path:.*}", self.handle)
            async with running(app) as url:
                parameters = {"temperature": 0, **more.pop("parameters", {})}
                model = more.pop("model", "openai/m")
                asked = more.pop("asked", ASK)
                at = where.format(url=url, host=url.removeprefix("http://"))
                spec = ModelSpec(model, at, more.pop("key", None), parameters)
                limits = Limits(**{"retries": 0, "backoff": 0.001, "timeout": 20.0, **more})
                async with Client({"forward": spec}, limits, keys or {}) as llm:
                    reply = await llm.complete("forward", asked, node="n")
                    return reply, llm.spent()["forward"]

        return asyncio.run(main())


BASIC = "Basic " + base64.b64encode(b"bob:p@w d").decode()


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
@pytest.mark.parametrize(
    ("where", "headers", "sent"),
    [
        ("{url}", {"authorization": "Bearer mine=="}, "Bearer mine=="),
        ("{url}", {"AUTHORIZATION": BASIC}, BASIC),
        ("http://bob:p%40w%20d@{host}", {}, BASIC),
        ("{url}", {"X-Other": "1"}, "Bearer no-key-needed"),
    ],
)
def test_a_declared_authorization_is_the_one_that_is_sent(
    model: str, where: str, headers: Mapping[str, str], sent: str
) -> None:
    server = Server(completion())
    reply, _ = server.ask(where, model=model, parameters={"extra_headers": headers})
    assert reply.text == "It is 42."
    ((path, seen, body),) = server.seen
    assert path == "/v1/chat/completions"
    assert seen["authorization"] == sent
    assert ("x-other" in seen) == ("X-Other" in headers)
    assert not {"extra_headers", "headers"} & body.keys()


@pytest.mark.parametrize(
    ("model", "parameters", "sent"),
    [
        ("openai/gpt-4o-mini", {}, True),
        ("openai/m", {}, False),
        ("openai/gpt-4o-mini", {"response_format": None}, False),
    ],
)
def test_a_schema_is_sent_where_litellm_says_that_the_model_takes_it(
    model: str, parameters: Mapping[str, Any], sent: bool
) -> None:
    schema = schema_of({"department": ["billing", "technical"]})
    server = Server(completion())
    server.ask(asked=(Message("user", "?", form=schema.text),), model=model, parameters=parameters)
    form = server.seen[0][2].get("response_format")
    assert form == (json.loads(schema.text) if sent else None)


def test_an_authorization_that_cannot_be_sent_is_told() -> None:
    headers = {"extra_headers": {"Authorization": "Token abc"}}
    with pytest.raises(ConfigError, match="can be sent as 'Bearer TOKEN'"):
        Server(completion()).ask(parameters=headers)


def stream(*texts: str, usage: Any = None) -> str:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": text} for text in texts]
    lines = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        for delta, end in [*((delta, None) for delta in deltas), ({}, "stop")]
    ]
    if usage:
        lines.append({**chunk, "choices": [], "usage": usage})
    return "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n"


@pytest.mark.parametrize("usage", [USAGE, None])
def test_a_stream_is_read_as_a_whole(usage: Any) -> None:
    server = Server(stream("It is", " 4", "2.", usage=usage))
    reply, spent = server.ask(parameters={"stream": True})
    assert (reply.text, reply.truncated) == ("It is 42.", False)
    ((_, _, body),) = server.seen
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert reply.usage == Usage(10, 5) if usage else reply.usage.completion > 0
    assert spent.faults == {}
    assert reply.cost is None


def test_a_stream_changes_nothing_of_what_a_request_is() -> None:
    keys = {
        next(ModelSpec("openai/m", parameters=parameters).requests(ASK, 0)).key
        for parameters in ({"temperature": 0}, {"temperature": 0, "stream": True})
    }
    assert len(keys) == 1


@pytest.mark.parametrize("said", ["1e999", "nan", "-5", "9" * 10_000, "soon", "1e3", "\x00",
    "Fri, 31 Dec 99999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 -2359", "," * 1000])  # fmt: skip
def test_what_a_server_asks_to_wait_is_bounded(said: str) -> None:
    found = _seconds(said, 1)
    assert found is None or 0 <= found <= 10_000
    limits: dict[str, Any] = {"retries": 1, "timeout": 5.0}
    if found is None and said.isprintable():
        refusal = web.Response(status=429, headers={"Retry-After": said[:4000]}, text="{}")
        server = Server(refusal, completion())
        began = time.monotonic()
        assert server.ask(**limits)[0].text == "It is 42."
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10.5, "completion_tokens": 5, "total_tokens": 15.5},
        {"prompt_tokens": 10**18, "completion_tokens": 5, "total_tokens": 10**18 + 5},
        {"prompt_tokens": 10**400, "completion_tokens": 5, "total_tokens": 10**400},
        {"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 4},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 5},
        {"prompt_tokens": "10", "completion_tokens": None, "total_tokens": True},
        {"prompt_tokens": 10, "completion_tokens": 10**15, "total_tokens": 10**15 + 10},
        [], "many", 7, None,
    ],
    ids=range(12),
)  # fmt: skip
def test_numbers_of_tokens_that_cannot_be_right_are_estimated(
    usage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reply, spent = Server(completion(usage=usage)).ask()
    assert caplog.messages == []
    assert reply.text == "It is 42."
    assert (spent.usage, spent.faults) == (Usage(6, 3), {"usage": 1})
    assert reply.cost is None


@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, '{"error": ' * 50_000, '{"a": "' + "x" * 2_000_000 + '"}', "<" * 2_000_000, ""],
    ids=["brackets", "objects", "2 MB of JSON", "2 MB of text", "nothing"],
)
@pytest.mark.parametrize("status", [400, 503])
def test_an_error_of_any_form_is_one_short_message(body: str, status: int) -> None:
    began = time.monotonic()
    with pytest.raises(CallFailed) as failed:
        Server(web.Response(status=status, text=body)).ask()
    assert failed.value.kind == {400: "bad_request", 503: "server"}[status]
    assert len(str(failed.value)) < 600
    assert "\n" not in str(failed.value)
    assert time.monotonic() - began < 60  # litellm looks for secrets in it, letter by letter


def test_the_environment_may_lead_a_provider_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        app = web.Application()
        server = Server(completion())
        app.router.add_route("*", "/{path:.*}", server.handle)
        async with running(app) as url:
            spec = ModelSpec("openai/gpt-4o-mini", None, "KEY", {"temperature": 0})
            keys = {"KEY": "sk-something-long", "OPENAI_BASE_URL": url}
            async with Client({"forward": spec}, Limits(), keys) as llm:
                assert (await llm.complete("forward", ASK, node="n")).cost is None
        assert len(server.seen) == 1

    asyncio.run(main())
    assert "The environment leads calls to http://127.0.0.1:" in caplog.text


def test_advice_names_the_key_where_a_parameter_stands() -> None:
    parameters = {"temperature": 0, "top_p": 1}
    said = Failure("bad_request", "Unsupported value: 'temperature' does not support 0")
    everywhere = ModelSpec("openai/thinker", parameters=parameters)
    assert reason(said, "optimizer", everywhere).endswith(
        "temperature stands in llm.parameters, for all roles. To leave it out for this one: "
        "'llm.models.optimizer={model: openai/thinker, parameters: {temperature: null}}'"
    )
    own = ModelSpec("openai/thinker", parameters=parameters, own=frozenset({"temperature"}))
    assert "temperature stands in llm.models.optimizer.parameters" in reason(said, "optimizer", own)
    room = Failure("truncated")
    assert reason(room, "forward", everywhere).endswith(
        "Raise llm.models.forward.parameters.max_tokens."
    )
    limited = ModelSpec("openai/thinker", parameters={"max_completion_tokens": 9})
    assert reason(room, "forward", limited).endswith("Raise llm.parameters.max_completion_tokens.")
    other = Failure("bad_request", "no such thing")
    assert reason(other, "optimizer", own).endswith("Check llm.models.optimizer.parameters.")


@pytest.mark.parametrize(
    ("llm", "key"),
    [
        ({"models": {"forward": "openai/a"}, "api_base": "http://h/v1"}, "llm.api_base"),
        ({"models": {"forward": "openai/a"}}, "llm.api_base"),
        (
            {"models": {"forward": {"model": "openai/a", "api_base": "http://h/v1"}}},
            "llm.models.forward.api_base",
        ),
    ],
)
def test_advice_names_the_key_where_an_address_stands(
    llm: Mapping[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = LLMConf.model_validate({"name": "mine", "limits": {}, **llm})
    spec = build_models(declared)["forward"]
    for kind in ("bad_reply", "not_found", *(["unreachable"] if spec.api_base else [])):
        assert re.search(rf"\b{re.escape(key)}\b", reason(Failure(kind), "forward", spec))
    nobody = reason(Failure("unreachable"), "forward", replace(spec, api_base=None))
    assert nobody.endswith("Look at this machine's network and proxy.")
    monkeypatch.setenv("no_proxy", "near")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for host, also in (("far", ", or the proxy that the environment names for it"), ("near", "")):
        asked = replace(spec, api_base=f"http://{host}/v1")
        told = reason(Failure("unreachable"), "forward", asked)
        assert told.endswith(f"or correct {key}{also}." if spec.api_base else f"{also}.")
    moved = replace(spec, api_base="http://h/v1", moved=True)
    assert "the provider's variable" in reason(Failure("unreachable"), "forward", moved)


def test_an_address_is_who_answers_there() -> None:
    same = [
        "http://H:80/v1",
        "http://h/v1/",
        "http://u:p@h/v1/chat/completions",
        "http://h/v1?key=a",
    ]
    assert {plain(one) for one in same} == {"http://h/v1"}
    other = ["https://h/v1", "http://h:81/v1", "http://h/v2", "http://h/v1?api-version=2"]
    assert len({plain(one) for one in [*same, *other]}) == 5
    assert plain("http://[::1]:8000/v1") == "http://[::1]:8000/v1"
    assert answering("openai", None) == answering("openai", "https://api.openai.com/v1") == ""
    assert answering("openai", "https://api.openai.com/v1", "team") == "team"
    assert is_own("azure", "https://mine.openai.azure.com")
    assert not is_own("openai", "https://mine.openai.azure.com")


@pytest.mark.parametrize(
    ("base", "says"),
    [
        (
            "localhost:8000/v1",
            "api_base=localhost:8000/v1 is no address. Did you mean http://local",
        ),
        ("http://h:port/v1", "api_base=http://h:port/v1 is no address: Port could not be cast"),
        ("http:///v1", "api_base=http:///v1 is no address."),
        ("http://u:PLANTED@:80", "api_base=http://u:***@:80 is no address."),
    ],
)
def test_what_is_no_address_is_told(base: str, says: str) -> None:
    with pytest.raises(ConfigError) as told:
        ModelSpec("openai/m", base)
    assert str(told.value).startswith(says)


def test_nothing_that_can_be_reached_is_called_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def main() -> list[str]:
        app = web.Application()
        async with running(app) as url:
            found = [await unreachable(url, 4.0), await unreachable("http://127.0.0.1:9/v1", 4.0)]
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        found.append(await unreachable("http://nowhere.example/v1", 4.0))  # the proxy's affair
        return [*found, await unreachable("http://no such host/", 4.0)]

    reached, refused, proxied, wrong = asyncio.run(main())
    assert (reached, proxied) == ("", "")
    assert "Connect call failed" in refused
    assert wrong == "" or "host" in wrong.lower() or "name" in wrong.lower()
