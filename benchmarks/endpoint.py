"""A chat endpoint that costs as little as Python allows: it reads no request, and says one thing.

`python benchmarks/endpoint.py SECONDS` prints its port and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
# Holds what a node, a joint backward function and an update rule are asked for.
_TEXT = (
    "<output>42</output>"
    '<gradient name="hint_1">Say more.</gradient><gradient name="hint_2">Say less.</gradient>'
    "<improved>Solve the problem with care.</improved>"
)


def _response() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": _TEXT}}
    usage = {"prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90}
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "any",
            "choices": [{**choice, "finish_reason": "stop"}],
            "usage": usage,
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class _Answering(asyncio.Protocol):
    def __init__(self, latency: float, response: bytes) -> None:
        self._latency, self._response = latency, response
        self._got = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length and len(body) < int(length[1])):
            return
        self._got = b""
        asyncio.get_running_loop().call_later(self._latency, self._answer)

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._response)


async def _serve(latency: float) -> None:
    loop, response = asyncio.get_running_loop(), _response()
    server = await loop.create_server(lambda: _Answering(latency, response), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
