"""What comes back in place of a reply: told in the endpoint's words, and sent nowhere else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from test_transport import ASK, Server, completion, stream

from sgdflow.errors import CallFailed, LLMError, ProviderRefused
from sgdflow.llm import Message
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.credentials import check_keys
from sgdflow.simulation.server import running

pytestmark = pytest.mark.usefixtures("transport")

SECRET = "Bearer of-the-user-alone"


def moved(status: int, model: str, location: str) -> tuple[list[str], str, str]:
    """Ask an endpoint that sends calls on; return what the other saw, what is told, its address."""
    seen: list[str] = []

    async def other(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {dict(request.headers)} {await request.text()}")
        return web.json_response(completion("from elsewhere"))

    async def main() -> tuple[str, str]:
        elsewhere, first = web.Application(), web.Application()
        elsewhere.router.add_route("*", "/{path:.*}", other)
        async with running(elsewhere) as far:
            far = far.replace("127.0.0.1", "localhost")
            there = {"Location": location.format(far=far)}

            async def send_on(request: web.Request) -> web.Response:
                if request.path == "/elsewhere":
                    return web.json_response(completion("from the same host"))
                return web.Response(status=status, headers=there)

            first.router.add_route("*", "/{path:.*}", send_on)
            async with running(first) as url:
                parameters = {"temperature": 0, "extra_headers": {"X-Mine": SECRET}}
                spec = ModelSpec(model, url, "KEY", parameters)
                limits, keys = Limits(retries=1, backoff=0.001), {"KEY": "sk-planted-planted"}
                async with Client({"forward": spec}, limits, keys) as llm:
                    try:
                        return (await llm.complete("forward", ASK, node="n")).text, far
                    except LLMError as error:
                        return str(error), far

    told, far = asyncio.run(main())
    return seen, told, far


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m", "anthropic/m"])
@pytest.mark.parametrize("status", [301, 307, 308])
def test_nothing_is_sent_on_to_another_host(status: int, model: str) -> None:
    seen, told, far = moved(status, model, "{far}/chat/completions?api_key=theirs")
    assert seen == []
    assert told == (
        f"{model} (llm.models.forward) answers no call: it sends calls on to another address "
        f'("{far}"). Nothing was sent there. Set llm.api_base to that address if it is right.'
    )


def test_the_openai_client_sends_nothing_on_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "False")
    seen, told, _ = moved(307, "openai/m", "{far}/chat/completions")
    assert seen == []
    assert "it sends calls on to another address" in told


def test_another_path_of_the_same_host_is_followed() -> None:
    assert moved(307, "openai/m", "/elsewhere")[1] == "from the same host"


BODIES: Mapping[str, tuple[Any, str, str]] = {
    "a text": ({"error": "model is loading"}, "server", "model is loading"),
    "its code as text": (
        {"error": {"message": "Payment needed", "code": "402"}}, "quota", "Payment needed"
    ),
    "words for an empty account": (
        {"error": {"message": "insufficient balance"}}, "quota", "insufficient balance"
    ),
    "a limit": ({"error": {"message": "slow down", "code": 429}}, "rate_limit", "slow down"),
    "a filter": ({"error": {"message": "content_filter"}}, "content_filter", "content_filter"),
    "no code": ({"error": {"message": "something odd"}}, "server", "something odd"),
    "beside choices": (
        {**completion(), "error": {"message": "upstream died", "code": 500}},
        "server", "upstream died",
    ),
    "a detail": ({"detail": "Not authenticated"}, "bad_reply", "Not authenticated"),
    "a message": ({"code": 1001, "msg": "bad token"}, "bad_reply", "bad token"),
    "no message in its choice": (
        {"choices": [{"index": 0, "message": None}]}, "bad_reply", "Invalid response object"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_an_error_within_an_answer_is_told_in_its_own_words(name: str) -> None:
    body, kind, words = BODIES[name]
    server = Server(body)
    with pytest.raises(LLMError) as failed:
        server.ask(retries=1)
    assert f'("{words}")' in str(failed.value)
    assert "Traceback" not in str(failed.value)
    if isinstance(failed.value, CallFailed):
        assert failed.value.kind == kind
    else:
        assert (kind, type(failed.value)) == ("quota", ProviderRefused)
    # What cannot be otherwise the next time is not asked again.
    again = kind in ("server", "rate_limit", "bad_reply")
    assert (len(server.seen) > 1) == again


@pytest.mark.parametrize(
    "said",
    [
        "System role not supported",
        "Developer instruction is not enabled for models/gemma-3",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "System messages are not allowed",
    ],
)
def test_a_model_that_takes_no_system_message_is_told_and_can_be_declared(said: str) -> None:
    asked = (Message("system", "Be brief."), *ASK)
    refusal = web.json_response({"error": {"message": said}}, status=400)
    with pytest.raises(CallFailed) as failed:
        Server(refusal).ask(asked=asked)
    told = "+llm.parameters.supports_system_message=false puts the system message into the user's"
    assert f"{told}, for all roles." in str(failed.value)
    server = Server(completion())
    server.ask(asked=asked, parameters={"supports_system_message": False})
    ((_, _, body),) = server.seen
    assert body["messages"] == [{"role": "user", "content": "Be brief. What is six times seven?"}]
    assert "supports_system_message" not in body


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (42, "42"),
        (4.25, "4.25"),
        ({"text": "It is 42."}, "It is 42."),
        ([{"text": "It is"}, {"type": "output_text", "text": " 42."}], "It is 42."),
        ([{"type": "thinking", "text": "41?"}, "It is 42."], "It is 42."),
    ],
)
def test_content_of_any_form_with_one_meaning_is_read(content: Any, text: str) -> None:
    body = completion()
    body["choices"][0]["message"]["content"] = content
    assert Server(body).ask()[0].text == text


STATUSES = {
    405: "no such model or path", 410: "no such model or path", 451: "not allowed",
    406: "the provider does not accept the request", 431: "the provider does not accept",
}  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_of_any_number_is_not_tried_again(status: int) -> None:
    body = json.dumps({"detail": "This is why."})
    server = Server(web.Response(status=status, text=body, content_type="application/json"))
    with pytest.raises(LLMError) as failed:
        server.ask(retries=2)
    assert f"{STATUSES[status]}" in str(failed.value)
    assert '("This is why")' in str(failed.value)
    assert len(server.seen) == 1


def test_a_stream_that_ends_in_the_middle_is_no_reply() -> None:
    whole = stream("The answer", " is 42.")
    first = whole.split("\n\n")[0] + "\n\n"
    server = Server(first, whole)
    reply, spent = server.ask(parameters={"stream": True}, retries=1)
    assert (reply.text, spent.faults) == ("The answer is 42.", {"connection": 1})
    died = first + 'data: {"error": {"message": "upstream died", "code": 500}}\n\n'
    with pytest.raises(CallFailed, match=r'an error at the provider \("upstream died"\)'):
        Server(died).ask(parameters={"stream": True})


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("sk-abc\n", "a line end at position 7 of 7"),
        (" sk-abc", "a space at position 1 of 7"),
        ("sk-\u2026bc", "U+2026 at position 4 of 6"),
        ("sk-\x00bc", "U+0000 at position 4 of 6"),
    ],
)
def test_a_key_that_cannot_be_sent_is_told_before_a_call(key: str, told: str) -> None:
    models = {role: ModelSpec("openai/m", None, "MINE") for role in ("forward", "judge")}
    (found,) = check_keys(models, {"MINE": key})
    assert found == (
        f"llm.models.forward (and judge): the key in MINE holds {told}, which no key does. Set "
        "the variable again without it."
    )
    assert check_keys(models, {"MINE": "sk-abc+/=="}) == []
