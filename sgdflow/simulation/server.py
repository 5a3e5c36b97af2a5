"""The simulated models over HTTP, OpenAI-compatible, with faults on request (faults.py)."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Literal

from aiohttp import web

from sgdflow.errors import ConfigError, listed
from sgdflow.llm import Message
from sgdflow.llm.models import estimated_tokens
from sgdflow.simulation.faults import BODIES, KINDS, REFUSALS, TEXTS, Faults, spoil

__all__ = ["Answer", "Faults", "create_app", "main", "running"]

Answer = Callable[[Sequence[Message], int], str]
"""(messages, seed) -> the text of the reply."""

_PIECES, _PAUSE = 50, 0.1  # a slow answer: so many pieces, so long between them
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class _Refused(Exception):
    """Report a request that gets an error instead of a reply."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Models:
    """Answers requests; one for each application."""

    def __init__(self, reply: Answer, latency: float, faults: Faults) -> None:
        self._reply, self._latency, self._faults = reply, latency, faults
        self._attempts: Counter[bytes] = Counter()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            asked = _read(body)
            messages = [_message(given) for given in asked["messages"]]
            fault = self._fault(request.headers.get("x-simulate", ""), body)
        except _Refused as refused:
            return _refuse(refused.status, refused.code, str(refused))
        await asyncio.sleep(self._latency)
        failed = await _fail(request, fault)
        if failed is not None:  # a response without headers of its own counts as false
            return failed
        found = _completion(asked, messages, self._reply(messages, _seed(asked)), fault)
        if asked.get("stream"):
            return await _stream(request, asked, found)
        if fault in ("slow", "cut"):
            return await _drip(request, json.dumps(found).encode(), cut=fault == "cut")
        return web.json_response(found)

    def _fault(self, wanted: str, body: bytes) -> str:
        if not wanted and not self._faults.rates:
            return "ok"
        key = sha256(body).digest()
        attempt, self._attempts[key] = self._attempts[key], self._attempts[key] + 1
        if not wanted:
            return self._faults.draw(body, attempt) or "ok"
        kinds = [kind.strip() for kind in wanted.split(",")]
        kind = kinds[min(attempt, len(kinds) - 1)]
        if kind not in {*KINDS, "ok"}:
            raise _Refused(400, "invalid_fault", f"There is no fault '{kind}' to simulate.")
        return kind


async def _fail(request: web.Request, fault: str) -> web.Response | None:
    """Do what a fault does instead of a reply; None for those that change a reply."""
    if fault in REFUSALS:
        after = {"Retry-After": "1"} if fault == "429-after" else {}
        return _refuse(*REFUSALS[fault], after)
    if fault == "hang":
        await asyncio.sleep(3600)
    if fault == "reset" and request.transport is not None:
        request.transport.abort()
    if fault in BODIES:
        return web.Response(text=BODIES[fault], content_type="text/html")
    return None


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
        raise _Refused(400, "invalid_request_error", "The body is no JSON object with messages.")
    if not any(isinstance(m, dict) and m.get("role") == "user" for m in asked["messages"]):
        raise _Refused(400, "invalid_request_error", "There is no message with the role user.")
    return asked


def _message(given: Any) -> Message:
    role = _ROLES.get(given.get("role", "")) if isinstance(given, dict) else None
    if role is None:
        raise _Refused(400, "invalid_request_error", f"Messages have a role: {listed(_ROLES)}.")
    content = given.get("content") or ""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        texts = [text for text in parts if isinstance(text, str)]
        content = "".join(texts) if len(texts) == len(parts) else None
    if not isinstance(content, str):
        raise _Refused(400, "invalid_request_error", "Simulated models read text only.")
    return Message(role, content)


def _seed(asked: Mapping[str, Any]) -> int:
    seed = asked.get("seed")
    return seed if isinstance(seed, int) else 0


def _completion(
    asked: Mapping[str, Any], messages: Sequence[Message], text: str, fault: str
) -> dict[str, Any]:
    text = TEXTS[fault](text) if fault in TEXTS else text
    prompt = estimated_tokens(*(message.content for message in messages))
    completion = estimated_tokens(text)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    found = {
        "id": "chatcmpl-" + sha256(f"{messages}{text}".encode()).hexdigest()[:24],
        "object": "chat.completion",
        "created": 0,  # the same request gets the same reply, byte for byte
        "model": str(asked.get("model", "worlds")),
        "choices": [choice],
        "usage": usage,
    }
    spoil(found, fault)
    return found


def _refuse(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    error = {"message": f"{message} (simulated)", "type": code, "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


async def _stream(
    request: web.Request, asked: Mapping[str, Any], found: Mapping[str, Any]
) -> web.StreamResponse:
    [choice] = found["choices"]
    chunk = {
        **found,
        "object": "chat.completion.chunk",
        "choices": [
            {"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}
        ],
    }
    if not (asked.get("stream_options") or {}).get("include_usage"):
        del chunk["usage"]
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())
    await response.write_eof()
    return response


async def _drip(request: web.Request, body: bytes, *, cut: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    size = -(-len(body) // _PIECES)
    for start in range(0, len(body), size):
        await response.write(body[start : start + size])
        if cut and request.transport is not None:
            request.transport.abort()
            return response
        await asyncio.sleep(_PAUSE)
    await response.write_eof()
    return response


async def _models(request: web.Request) -> web.Response:
    model = {"id": "worlds", "object": "model", "created": 0, "owned_by": "sgdflow"}
    return web.json_response({"object": "list", "data": [model]})


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def create_app(
    reply: Answer, *, latency: float = 0.0, faults: Faults | None = None
) -> web.Application:
    """Return an application that answers chats with `reply`, `latency` seconds after each."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/chat/completions", _Models(reply, latency, faults or Faults()).chat)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/health", _health)
    return app


@asynccontextmanager
async def running(
    app: web.Application, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve an application and yield its base URL, http://HOST:PORT/v1; port 0 is a free one."""
    # A handler that hangs ends with its connection and does not delay the stop.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def _serve(app: web.Application, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(app, host, port) as url:
        said = f"Simulated models at {url} (no language model; Ctrl-C stops)\n"
        sys.stdout.write(said)
        sys.stdout.flush()
        await stop.wait()


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sgdflow simulate",
        description="Serve the simulated models over HTTP, OpenAI-compatible.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: a free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    spec = f"KIND=SHARE,...; kinds: {listed(sorted(KINDS))}"
    parser.add_argument("--faults", default="", metavar="SPEC", help=spec)
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    asked = parser.parse_args(argv)
    if not asked.latency >= 0:
        parser.error(f"argument --latency: {asked.latency:g} is less than 0 seconds")
    return asked


def main(argv: Sequence[str]) -> int:
    """Serve until interrupted; return the exit code."""
    # The worlds are needed to serve only, not to use this module with other answers.
    from sgdflow.simulation.worlds import reply

    asked = _arguments(argv)
    try:
        faults = Faults.parse(asked.faults, asked.seed)
        app = create_app(reply, latency=asked.latency, faults=faults)
        asyncio.run(_serve(app, asked.host, asked.port))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        sys.stderr.write(
            f"Cannot serve at {asked.host}:{asked.port}: {why}. "
            "Choose another --port; 0 takes a free one.\n"
        )
        return 1
    return 0
