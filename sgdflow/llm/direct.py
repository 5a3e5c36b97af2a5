"""Endpoints that speak OpenAI's chat protocol, reached without litellm.

The only module of calls that imports aiohttp, inside functions.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

from sgdflow.errors import plural
from sgdflow.llm import Message
from sgdflow.llm.address import plain, proxy_of
from sgdflow.llm.backend import Answer
from sgdflow.llm.chat import Target, content, target, understood
from sgdflow.llm.endpoints import AZURE
from sgdflow.llm.failures import Failure, Noticed
from sgdflow.llm.listing import Listing
from sgdflow.llm.models import ModelSpec, Price
from sgdflow.llm.received import opened
from sgdflow.llm.responses import answer_of, failure_of, streamed

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_MOVED = frozenset({301, 302, 303, 307, 308})
_MOVES = 5
_DONE = b"data: [DONE]"


@dataclass(frozen=True, slots=True)
class _Way:
    """How a model is reached."""

    spec: ModelSpec
    target: Target
    proxy: str | None
    trusted: ssl.SSLContext | bool
    price: Price | None


@dataclass(slots=True)
class _Open:
    """The connections of an event loop, and the calls that are under way on them."""

    session: ClientSession
    busy: int = 0
    leaving: bool = False
    """Whether one of those who use them, who may be several, has ended."""

    async def closed(self) -> None:
        """Close them where they may be; who asks again opens others."""
        if self.leaving and not self.busy and not self.session.closed:
            await self.session.close()
            await asyncio.sleep(0)  # the transports end with the next round of the loop


class DirectBackend:
    """Reaches endpoints that speak OpenAI's chat protocol."""

    def __init__(self, listing: Listing | None = None) -> None:
        self._listing = listing or Listing()
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, _Open] = WeakKeyDictionary()
        self._ways: dict[tuple[int, str | None], _Way] = {}

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Import what takes a moment, if it is needed."""
        if list(specs):
            import aiohttp  # noqa: F401

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Make one attempt; raises Noticed, or what aiohttp raises."""
        way = self._way(spec, key)
        asked = spec.parameters_of(messages, sample)
        takes_schema = partial(self._listing.can, spec, "supports_response_schema")
        parameters = understood(spec, asked, takes_schema)
        body = content(spec, messages, parameters)
        try:
            kind, said = await self._sent(way, body)
        except ssl.SSLError as error:
            raise Noticed(Failure("unreachable", str(error))) from error
        except OSError as error:
            if type(error).__module__.startswith("aiohttp") or isinstance(error, TimeoutError):
                raise
            raise Noticed(Failure("connection", str(error))) from error
        read = streamed if "event-stream" in kind else answer_of
        answer = read(spec, messages, said, way.price)
        if spec.provider != AZURE or spec.price is not None or not answer.counted:
            return answer
        price = self._of_deployment(spec, answer.model)
        return replace(answer, cost=price.of(answer.usage) if price else None)

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return what the model's tokens cost, None where nobody knows; nothing is called."""
        if (found := self._exact(spec)) is None or spec.price:
            return found
        return Price(found.prompt, found.completion)

    def window_of(self, spec: ModelSpec) -> int | None:
        """Return how many tokens the model reads, None where nobody knows; nothing is called."""
        return self._listing.window_of(spec)

    def sees(self, spec: ModelSpec) -> bool:
        """Return whether the model is known to take images; nothing is called."""
        return self._listing.can(spec, "supports_vision")

    async def close(self) -> None:
        """Close the connections that the event loop has opened, once no call is under way."""
        if (found := self._open.get(asyncio.get_running_loop())) is not None:
            found.leaving = True
            await found.closed()

    def _way(self, spec: ModelSpec, key: str | None) -> _Way:
        way = self._ways.get((id(spec), key))
        if way is None:
            to = target(spec, key, os.environ)
            price = self._exact(spec)
            # It holds the model, so that nothing else gets its id.
            proxy = proxy_of(to.url)
            safe = any(one and one.startswith("https") for one in (to.url, proxy))
            way = _Way(spec, to, proxy, self._trusted if safe else True, price)
            self._ways[id(spec), key] = way
        return way

    def _exact(self, spec: ModelSpec) -> Price | None:
        """Return a model's price; what is not known to the cent is not known."""
        known = spec.price is not None or self._listing.is_plain(spec)
        return self._listing.price_of(spec) if known else None

    def _of_deployment(self, spec: ModelSpec, model: str) -> Price | None:
        """Return what a deployment's tokens cost: it may bear any name, and says what it is."""
        named = replace(spec, model=f"{AZURE}/{model}")
        return self._exact(named if self._listing.of(named) else spec)

    @cached_property
    def _trusted(self) -> ssl.SSLContext | bool:
        return trusted(os.environ)

    async def _sent(self, way: _Way, body: bytes) -> tuple[str, bytes]:
        """Return the type and the content of the response to a request, once it is a reply."""
        opened_here = self._here()
        opened_here.busy += 1
        try:
            return await self._posted(opened_here.session, way, body)
        finally:
            opened_here.busy -= 1
            await opened_here.closed()

    async def _posted(self, session: ClientSession, way: _Way, body: bytes) -> tuple[str, bytes]:
        url, headers = way.target.url, way.target.headers
        for _ in range(_MOVES):
            try:
                async with session.post(
                    url,
                    data=body,
                    headers=headers,
                    proxy=way.proxy,
                    ssl=way.trusted,
                    allow_redirects=False,
                ) as response:
                    location = response.headers.get("Location", "")
                    if response.status in _MOVED and location:
                        url = _moved(url, location)
                        continue
                    said = await _content(response)
                    if response.status in range(200, 300):
                        return response.content_type, said
                    raise Noticed(failure_of(response.status, response.headers, said))
            except (ValueError, TypeError) as error:
                if type(error).__module__.startswith("aiohttp"):
                    raise
                # A header that cannot be sent, a proxy of a kind that is not known.
                raise Noticed(Failure("bad_request", str(error))) from error
        raise Noticed(Failure("bad_reply", f"it was sent on {plural(_MOVES, 'time')}"))

    def _here(self) -> _Open:
        import aiohttp

        loop = asyncio.get_running_loop()
        found = self._open.get(loop)
        if found is None or found.session.closed:
            # How many calls are made at once, and how long one may take, is said elsewhere.
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
            )
            found = self._open[loop] = _Open(session)
        return found


def trusted(environ: Mapping[str, str]) -> ssl.SSLContext | bool:
    """Return whose certificates are believed: those of SSL_VERIFY, SSL_CERT_FILE or certifi."""
    verify = environ.get("SSL_VERIFY", "")
    if verify.strip().lower() == "false":
        return False
    named = (verify, environ.get("SSL_CERT_FILE", ""))
    if (file := next((name for name in named if name and Path(name).is_file()), None)) is None:
        import certifi

        file = certifi.where()
    return ssl.create_default_context(cafile=file)


def _moved(url: str, location: str) -> str:
    """Return where a request is sent on to; raises Noticed where that is another host."""
    there = urljoin(url, location)
    if _host(url) != _host(there):
        raise Noticed(Failure("moved", plain(there)))
    return there


def _host(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname, port
    except ValueError:
        return "", url, None


async def _content(response: ClientResponse) -> bytes:
    """Return what a response holds; raises Noticed where that cannot be opened, or is too much."""
    parts: list[bytes] = []
    try:
        packed = response.headers.get("Content-Encoding", "")
        async for part in opened(response.content.iter_any(), packed):
            parts.append(part)
            # Some leave the connection open after the last word of a stream.
            ended = _DONE in b"".join(parts[-2:])[-64:]
            if ended and response.content_type == "text/event-stream":
                break
    except Noticed:
        response.close()
        raise
    return b"".join(parts)
