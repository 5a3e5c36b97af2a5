"""The simulated models over HTTP: the protocol, the faults and the command."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import sgdflow
from sgdflow.errors import ConfigError
from sgdflow.llm import Message
from sgdflow.simulation import server, worlds
from sgdflow.simulation.server import Faults, create_app, running

TEXT = "<answer>It is 42.</answer>"
ASK: Mapping[str, Any] = {
    "model": "worlds",
    "messages": [{"role": "user", "content": "What is six times seven?"}],
}


def run(
    use: Callable[[str, aiohttp.ClientSession], Awaitable[Any]],
    *,
    reply: server.Answer = lambda messages, seed: TEXT,
    faults: Faults | None = None,
    latency: float = 0.0,
) -> Any:
    async def main() -> Any:
        app = create_app(reply, latency=latency, faults=faults)
        async with running(app) as url, aiohttp.ClientSession() as session:
            return await use(url, session)

    return asyncio.run(main())


async def post(
    session: aiohttp.ClientSession, url: str, body: Any = ASK, fault: str = ""
) -> tuple[int, Any]:
    headers = {"x-simulate": fault} if fault else {}
    async with session.post(f"{url}/chat/completions", json=body, headers=headers) as response:
        return response.status, await response.json()


def test_a_chat_is_answered_as_openai_does() -> None:
    heard: list[Message] = []

    def reply(messages: Sequence[Message], seed: int) -> str:
        heard.extend(messages)
        return TEXT

    async def use(url: str, session: aiohttp.ClientSession) -> Any:
        parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "six?"}]
        messages = [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None},
        ]
        body = {"model": "m", "messages": messages, "temperature": 0, "no_such_parameter": 1}
        return await post(session, url, body)

    status, found = run(use, reply=reply)
    assert status == 200
    assert heard == [
        Message("system", "Be brief."),
        Message("user", "What is six?"),
        Message("assistant", ""),
    ]
    assert found["model"] == "m"
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT},
            "finish_reason": "stop",
        }
    ]
    assert found["usage"] == {"prompt_tokens": 6, "completion_tokens": 7, "total_tokens": 13}


@pytest.mark.parametrize("kind", ["Ticket", "Dossier"])
def test_hands_of_a_chain_and_of_a_relay_are_served(kind: str) -> None:
    """As `sgdflow simulate` does; what a hand was told is all that it knows."""
    instruction = "Fill in the code of the age. The age new is C4."
    said = (
        f"<instruction>\n{instruction}\n</instruction>\n"
        f'<variable name="paper">\n{kind}: age new; size tiny.\n</variable>\n# How to reply\n\n'
    )

    async def use(url: str, session: aiohttp.ClientSession) -> Any:
        return await post(session, url, {"messages": [{"role": "user", "content": said}]})

    status, found = run(use, reply=worlds.reply)
    assert status == 200
    text = found["choices"][0]["message"]["content"]
    assert set(text.partition(f"{kind}: ")[2].partition(".")[0].split("; ")) == {
        "age new=C4",
        "size tiny",
    }


def test_a_stream_is_one_chunk_and_its_end() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> tuple[str, str]:
        body = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            return response.content_type, await response.text()

    kind, text = run(use)
    first, last = text.removesuffix("\n\n").split("\n\n")
    chunk = json.loads(first.removeprefix("data: "))
    assert (kind, last) == ("text/event-stream", "data: [DONE]")
    assert chunk["object"] == "chat.completion.chunk"
    assert chunk["choices"][0]["delta"] == {"role": "assistant", "content": TEXT}
    assert chunk["choices"][0]["finish_reason"] == "stop"
    assert chunk["usage"]["completion_tokens"] == 7


def test_models_and_health_are_told() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> tuple[Any, Any]:
        async with session.get(f"{url}/models") as models:
            listed = await models.json()
        async with session.get(url.replace("/v1", "/health")) as health:
            return [model["id"] for model in listed["data"]], health.status

    assert run(use) == (["worlds"], 200)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "no JSON object with messages"),
        ({"model": "m"}, "no JSON object with messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no message with the role user"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "tool"}]}, "have a role"),
        ({"messages": [{"role": "user", "content": "x"}, "y"]}, "have a role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "read text only",
        ),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(body: Any, says: str) -> None:
    status, found = run(lambda url, session: post(session, url, body))
    assert status == 400
    assert says in found["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("401", 401, "invalid_api_key"),
        ("404", 404, "model_not_found"),
        ("429", 429, "rate_limit_exceeded"),
        ("500", 500, "server_error"),
        ("503", 503, "overloaded"),
        ("quota", 429, "insufficient_quota"),
        ("context", 400, "context_length_exceeded"),
        ("filter", 400, "content_filter"),
        ("no-such-fault", 400, "invalid_fault"),
    ],
)
def test_a_call_can_ask_for_an_error(fault: str, status: int, code: str) -> None:
    found = run(lambda url, session: post(session, url, fault=fault))
    assert (found[0], found[1]["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("fault", "content", "finish"),
    [
        ("empty", "", "stop"),
        ("length", TEXT[: len(TEXT) // 2], "length"),
        ("untagged", "It is 42.", "stop"),
        ("twice", f"{TEXT}\n{TEXT}", "stop"),
    ],
)
def test_a_call_can_ask_for_an_odd_reply(fault: str, content: str, finish: str) -> None:
    status, found = run(lambda url, session: post(session, url, fault=fault))
    [choice] = found["choices"]
    assert status == 200
    assert (choice["message"]["content"], choice["finish_reason"]) == (content, finish)


def test_a_call_can_ask_for_bodies_that_are_no_reply() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> list[tuple[int, str]]:
        found = []
        for fault in ("nonjson", "emptybody"):
            headers = {"x-simulate": fault}
            async with session.post(f"{url}/chat/completions", json=ASK, headers=headers) as got:
                found.append((got.status, await got.text()))
        return found

    (status, html), (also, nothing) = run(use)
    assert (status, also, nothing) == (200, 200, "")
    assert html.startswith("<html>")


def test_numbers_sizes_and_headers_can_be_wrong() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> tuple[Any, int, str]:
        _, wrong = await post(session, url, fault="usage")
        _, huge = await post(session, url, fault="huge")
        headers = {"x-simulate": "429-after"}
        async with session.post(f"{url}/chat/completions", json=ASK, headers=headers) as response:
            after = response.headers["Retry-After"]
        return wrong["usage"], len(huge["choices"][0]["message"]["content"]), after

    usage, size, after = run(use)
    assert usage["prompt_tokens"] < 0
    assert size > 5_000_000
    assert after == "1"


def test_connections_can_break_hang_and_drip() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> None:
        with pytest.raises(aiohttp.ClientError):
            await post(session, url, fault="reset")
        for fault in ("hang", "slow"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await post(session, url, fault=fault)

    start = time.perf_counter()
    run(use)  # and the server stops although calls hang
    assert time.perf_counter() - start < 5


def test_successive_attempts_can_fare_differently() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> list[int]:
        return [(await post(session, url, fault="429, 503, ok"))[0] for _ in range(4)]

    assert run(use) == [429, 503, 200, 200]


def test_faults_strike_the_same_calls_for_the_same_seed() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> list[int]:
        statuses = []
        for number in [*range(60), *range(60)]:  # each body twice: its second attempt
            body = {**ASK, "messages": [{"role": "user", "content": str(number)}]}
            statuses.append((await post(session, url, body))[0])
        return statuses

    spec = "429=0.2,500=0.1"
    first, again, other = (run(use, faults=Faults.parse(spec, seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert first[:60] != first[60:]
    assert 10 <= first.count(429) <= 40
    assert 4 <= first.count(500) <= 25


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("lenght=0.1", "Did you mean 'length'"),
        ("429", "write e.g. 429=0.1"),
        ("429=2", "write e.g. 429=0.1"),
        ("429=0.6,500=0.6", "more than 1"),
    ],
)
def test_faults_are_declared_clearly(spec: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Faults.parse(spec)


def test_replies_take_their_time() -> None:
    start = time.perf_counter()
    run(lambda url, session: post(session, url), latency=0.2)
    assert time.perf_counter() - start >= 0.2


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def _worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the simulated models."""
    module = types.ModuleType("sgdflow.simulation.worlds")
    module.reply = lambda messages, seed: TEXT  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("_worlds")
def test_a_port_in_use_is_told(taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--port", str(taken_port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Cannot serve at 127.0.0.1:{taken_port}" in err
    assert "Choose another --port" in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("_worlds")
def test_a_wrong_fault_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--faults", "lenght=1"]) == 1
    assert "Did you mean 'length'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_serves_and_stops_when_told(number: signal.Signals) -> None:
    code = (
        "import sys, types; worlds = types.ModuleType('sgdflow.simulation.worlds')\n"
        "worlds.reply = lambda messages, seed: 'hello'; sys.modules[worlds.__name__] = worlds\n"
        "from sgdflow.simulation.server import main\n"
        "sys.exit(main(['--port', '0', '--faults', 'hang=1']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(sgdflow.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.removeprefix("Simulated models at ").partition(" ")[0]
        host, _, port = url.removeprefix("http://").removesuffix("/v1").partition(":")
        with socket.create_connection((host, int(port))) as waiting:
            body = json.dumps(ASK)
            waiting.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            time.sleep(0.1)
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
    assert said == f"Simulated models at {url} (no language model; Ctrl-C stops)\n"
    assert (process.returncode, out, err) == (0, "", "")


def test_the_seed_of_a_request_reaches_the_models() -> None:
    async def use(url: str, session: aiohttp.ClientSession) -> Any:
        said = {"messages": [{"role": "user", "content": "What is six?"}]}
        bodies = [said, {**said, "seed": 7}, {**said, "seed": None}]
        return [(await post(session, url, body))[1] for body in bodies]

    found = run(use, reply=lambda messages, seed: f"seed {seed}")
    replies = [one["choices"][0]["message"]["content"] for one in found]
    assert replies == ["seed 0", "seed 7", "seed 0"]
