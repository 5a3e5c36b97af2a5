"""A reply is bounded, however it is packed."""

from __future__ import annotations

import gzip
import json
import resource
import zlib

import pytest
from aiohttp import web
from test_transport import Server, completion, stream

from sgdflow.errors import CallFailed
from sgdflow.llm.received import MOST

pytestmark = pytest.mark.usefixtures("transport")
MODELS = ("openai/m", "hosted_vllm/m")


def sent(body: bytes, packed: str, kind: str = "application/json") -> web.Response:
    headers = {"Content-Encoding": packed} if packed else {}
    return web.Response(body=body, headers=headers, content_type=kind)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_reply_is_asked_for_as_it_is_and_read_where_it_comes_packed(
    model: str, name: str, pack: object
) -> None:
    assert callable(pack)
    server = Server(sent(pack(json.dumps(completion("It is é.")).encode()), name))
    assert server.ask(model=model)[0].text == "It is é."
    ((_, headers, _),) = server.seen
    assert headers["accept-encoding"] == "identity"


def test_a_packed_stream_is_read_too() -> None:
    body = gzip.compress(stream("The answer", " is 42.").encode())
    server = Server(sent(body, "gzip", "text/event-stream"))
    assert server.ask(parameters={"stream": True})[0].text == "The answer is 42."


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Pack 2 GB of nothing, which takes seconds."""
    packed = zlib.compressobj(9, wbits=31)
    return b"".join(packed.compress(bytes(1_000_000)) for _ in range(2_000)) + packed.flush()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("status", [200, 500])
def test_a_packed_bomb_is_not_unpacked(model: str, status: int, bomb: bytes) -> None:
    assert len(bomb) < 3_000_000
    answer = sent(bomb, "gzip")
    answer.set_status(status)
    Server(completion()).ask(model=model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server = Server(answer)
    with pytest.raises(CallFailed) as failed:
        server.ask(model=model, retries=2)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 6 * MOST / 1024, f"{grown} KB"
    assert str(failed.value) == (
        f"{model} (llm.models.forward) gave no reply to node n in 1 attempt: it sends more than "
        "64 MB. No more was read. Check that llm.api_base is an endpoint of the kind the model's "
        "name says."
    )
    assert (len(server.seen), failed.value.kind) == (1, "too_large")


def test_a_reply_without_an_end_is_cut() -> None:
    body = json.dumps(completion("a" * MOST)).encode()
    with pytest.raises(CallFailed, match="it sends more than 64 MB"):
        Server(sent(body, "")).ask()


@pytest.mark.parametrize(
    ("body", "packed", "words"),
    [(b"whatever", "br", "br"), (b"not packed at all", "gzip", "Error -3")],
)
def test_what_cannot_be_opened_is_told(body: bytes, packed: str, words: str) -> None:
    server = Server(sent(body, packed))
    with pytest.raises(CallFailed) as failed:
        server.ask(retries=2)
    told = str(failed.value)
    assert len(server.seen) == 2  # once more, whatever the limits allow
    assert f'it sends a packed reply that cannot be opened ("{words}' in told
    assert "Accept-Encoding: identity" in told
    assert "llm.api_base" in told
