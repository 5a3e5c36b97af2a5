"""Calls that somebody's own program makes while it runs, as its clients see them."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from sgdflow.llm import Message, Usage


@dataclass(frozen=True, slots=True)
class Heard:
    """One call of a client."""

    messages: tuple[Message, ...]
    reply: str
    usage: Usage = field(default_factory=Usage)


_HEARD: ContextVar[list[Heard] | None] = ContextVar("sgdflow_heard", default=None)


@contextmanager
def recording() -> Iterator[list[Heard]]:
    """Give the calls of the openai and litellm clients that the block makes, in their order.

    So do threads and tasks that it starts with its context, as asyncio does. The clients' methods
    hand on what they are asked and what they answer as ever; where nobody records, and that is
    everywhere else, they do nothing more. Replies that are streamed are not heard.
    """
    _listen()
    heard: list[Heard] = []
    with _set(heard):
        yield heard


def hear(asked: Mapping[str, Any], answer: Any) -> None:
    """Note a call that somebody else has seen, as clients have what is asked and answered.

    Where nobody records, nothing is done.
    """
    if (heard := _HEARD.get()) is not None:
        _note(heard, asked, answer)


@contextmanager
def _set(heard: list[Heard] | None) -> Iterator[None]:
    token = _HEARD.set(heard)
    try:
        yield
    finally:
        _HEARD.reset(token)


def _listen() -> None:
    """Let the clients' methods note what they are asked, once."""
    from openai.resources.chat.completions import AsyncCompletions, Completions
    from openai.resources.responses import AsyncResponses, Responses

    for owner in (Completions, AsyncCompletions, Responses, AsyncResponses):
        _noting(owner, "create")
    # Whoever uses litellm has imported it, which takes seconds.
    if (litellm := sys.modules.get("litellm")) is not None:
        for name in ("completion", "acompletion"):
            _noting(litellm, name)


def _noting(owner: Any, name: str) -> None:
    original = getattr(owner, name, None)
    if original is not None and not hasattr(original, "_sgdflow_notes"):
        setattr(owner, name, _noted(original))


def _noted(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        heard = _HEARD.get()
        if heard is None:
            return original(*arguments, **named)
        said = signature.bind_partial(*arguments, **named).arguments
        asked = {**said, **said.get("kwargs", {})}

        async def later(answer: Any) -> Any:
            with _set(None):  # litellm asks by the openai client: one call is one
                found = await answer
            _note(heard, asked, found)
            return found

        with _set(None):
            answer = original(*arguments, **named)
        if inspect.isawaitable(answer):
            return later(answer)
        _note(heard, asked, answer)
        return answer

    call._sgdflow_notes = True  # type: ignore[attr-defined]
    return call


def _note(heard: list[Heard], asked: Mapping[str, Any], answer: Any) -> None:
    text = _text_of(answer)
    if text is not None:
        heard.append(Heard(tuple(_messages(asked)), text, _usage(answer)))


def _messages(asked: Mapping[str, Any]) -> Iterator[Message]:
    if isinstance(system := asked.get("instructions"), str):
        yield Message("system", system)
    said = asked.get("messages", asked.get("input"))
    if isinstance(said, str):
        yield Message("user", said)
        return
    for one in said if isinstance(said, Sequence) else ():
        role, content = _field(one, "role"), _field(one, "content")
        text = content if isinstance(content, str) else "\n".join(_parts(content))
        if role in ("system", "developer"):
            yield Message("system", text)
        else:
            yield Message("assistant" if role == "assistant" else "user", text)


def _parts(content: Any) -> Iterator[str]:
    for part in content if isinstance(content, Sequence) else ():
        if isinstance(text := _field(part, "text"), str):
            yield text


def _text_of(answer: Any) -> str | None:
    """Return the text of an answer, or the tools that it calls; None of one that is streamed."""
    if isinstance(text := _field(answer, "output_text"), str):
        return text
    choices = _field(answer, "choices")
    if not isinstance(choices, Sequence) or not choices:
        return None
    message = _field(choices[0], "message")
    if isinstance(content := _field(message, "content"), str) and content:
        return content
    functions = [_field(one, "function") for one in _field(message, "tool_calls") or ()]
    calls = [{key: _field(one, key) for key in ("name", "arguments")} for one in functions]
    return json.dumps(calls, default=str) if calls else ""


def _usage(answer: Any) -> Usage:
    usage = _field(answer, "usage")
    prompt = _field(usage, "prompt_tokens") or _field(usage, "input_tokens") or 0
    completion = _field(usage, "completion_tokens") or _field(usage, "output_tokens") or 0
    return Usage(int(prompt), int(completion))


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
