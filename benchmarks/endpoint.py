"""A chat endpoint that costs as little as Python allows: it reads no request, and says one thing.

Whoever names the model canned-gradients or canned-rewrites is told another.

`python benchmarks/endpoint.py SECONDS [TEXT]` prints its port and serves until its input ends. Then
it prints what it has seen: how many requests, how many at once at most, and when the first came, on
the clock of the machine (time.monotonic).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TEXT = "<output>42</output>"
_OTHERS = {
    b"canned-gradients": '<gradient name="hint_1">CHANGE: say more.</gradient>'
    '<gradient name="hint_2">CHANGE: say less.</gradient>',
    b"canned-rewrites": "<improved>Solve the problem with care.</improved>",
}


@dataclass
class _Seen:
    """What was asked."""

    requests: int = 0
    at_once: int = 0
    most_at_once: int = 0
    first: float = 0.0

    def came(self) -> None:
        self.first = self.first or time.monotonic()
        self.requests += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)


def _response(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90}
    usage |= {"input_tokens": 50, "output_tokens": 40}
    # The same for those who ask OpenAI's newer interface.
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"id": "msg-1", "type": "message", "role": "assistant", "content": content}]
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "any",
            "choices": [{**choice, "finish_reason": "stop"}],
            "usage": usage,
            "output": output,
            "status": "completed",
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class _Answering(asyncio.Protocol):
    def __init__(
        self, latency: float, response: bytes, others: Mapping[bytes, bytes], seen: _Seen
    ) -> None:
        self._latency, self._response, self._seen = latency, response, seen
        self._others = others
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
        self._seen.came()
        others = (response for name, response in self._others.items() if name in body)
        response = next(others, self._response)
        asyncio.get_running_loop().call_later(self._latency, self._answer, response)

    def _answer(self, response: bytes) -> None:
        self._seen.at_once -= 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(response)


async def _serve(latency: float, text: str) -> None:
    loop, seen = asyncio.get_running_loop(), _Seen()
    said = _response(text), {name: _response(other) for name, other in _OTHERS.items()}
    server = await loop.create_server(lambda: _Answering(latency, *said, seen), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(asdict(seen)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else _TEXT))
