"""Endpoints that send a call on to another host."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sgdflow.llm.address import plain
from sgdflow.llm.failures import Failure, Noticed


def keep(owner: type, name: str) -> None:
    """Have the HTTP clients that a class makes send nothing to another host than they are given.

    litellm's follow whoever answers that he has moved, with prompts and headers, and what comes
    from there would pass for a reply of the first. Doing it again changes nothing.
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
            client.event_hooks["response"].append(_stay)
        return client

    return made


async def _stay(response: Any) -> None:
    """Raise where an endpoint sends a request on to another host."""
    if not response.has_redirect_location:
        return
    here, there = response.url, response.url.join(response.headers["location"])
    if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port):
        raise Noticed(Failure("moved", plain(str(there))))
