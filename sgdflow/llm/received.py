"""What an endpoint may answer with: nothing from another host, and no more than can be kept."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any

from sgdflow.llm.address import plain
from sgdflow.llm.failures import Failure, Noticed

MOST = 64_000_000
"""Bytes of a reply, unpacked. 128,000 tokens that come one by one take about 30 MB."""
_PIECE = 65_536
_PACKED = {"gzip": zlib.MAX_WBITS | 32, "x-gzip": zlib.MAX_WBITS | 32, "deflate": zlib.MAX_WBITS}


def keep(owner: type, name: str) -> None:
    """Have the HTTP clients that a class makes take replies from nobody else, and bounded ones.

    litellm's follow whoever answers that he has moved, with prompts and headers, and what comes
    from there would pass for a reply of the first; and httpx unpacks whatever comes, a thousand
    times the bytes that were sent. Doing it again changes nothing.
    """
    found = vars(owner)[name]
    make = found.__func__ if isinstance(found, staticmethod) else found
    if not hasattr(make, "__wrapped__"):
        made = _keeping(make)
        setattr(owner, name, staticmethod(made) if isinstance(found, staticmethod) else made)


def _keeping(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def made(*given: Any, **named: Any) -> Any:
        client = make(*given, **named)
        if client is not None and _stay not in client.event_hooks["response"]:
            client.headers["accept-encoding"] = "identity"
            client.event_hooks["response"] += [_stay, _bounding()]
        return client

    return made


async def _stay(response: Any) -> None:
    """Raise where an endpoint sends a request on to another host."""
    if not response.has_redirect_location:
        return
    here, there = response.url, response.url.join(response.headers["location"])
    if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port):
        raise Noticed(Failure("moved", plain(str(there))))


def _bounding() -> Callable[[Any], Awaitable[None]]:
    """Return what has a reply, not yet read, end with a failure once it is larger than `MOST`."""
    import httpx

    class Stream(httpx.AsyncByteStream):
        def __init__(self, stream: Any, packed: str) -> None:
            self._stream, self._packed = stream, packed

        def __aiter__(self) -> AsyncIterator[bytes]:
            return opened(self._stream, self._packed)

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def bound(response: Any) -> None:
        packed = response.headers.pop("content-encoding", "")
        response.stream = Stream(response.stream, packed)

    return bound


def opened(pieces: Any, packed: str) -> AsyncIterator[bytes]:
    """Return a response's bytes as they were before they were packed, and no more than `MOST`.

    `packed` is what it says of itself (Content-Encoding). Raises Noticed where that is nothing
    that can be opened.
    """
    way = packed.strip().lower()
    if way in ("", "identity"):
        return _bounded(pieces)
    if way not in _PACKED:
        raise Noticed(Failure("packed", way[:40]))
    return _bounded(_unpacked(pieces, _PACKED[way]))


async def _bounded(pieces: Any) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > MOST:
            raise Noticed(Failure("too_large"))
        yield piece


async def _unpacked(pieces: Any, wbits: int) -> AsyncIterator[bytes]:
    """Yield what packed bytes hold, a piece of bounded size at a time."""
    opened, left = zlib.decompressobj(wbits), b""
    async for piece in pieces:
        left += piece
        while left:
            try:
                found = opened.decompress(left, _PIECE)
            except zlib.error as error:
                raise Noticed(Failure("packed", str(error)[:80])) from error
            left = opened.unconsumed_tail
            yield found
    yield opened.flush()
