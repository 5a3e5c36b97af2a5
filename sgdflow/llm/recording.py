"""Calls that somebody's own program makes while it runs, as its clients and its spans show them."""

from __future__ import annotations

import inspect
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from sgdflow.llm.heard import Heard, heard
from sgdflow.llm.providers import imported

_log = logging.getLogger(__name__)
_ENOUGH = 5
"""Runs of a program after which silence means something."""
Span = int | str
"""The name of one."""


@dataclass
class _Recording:
    """What is heard of one run of a program."""

    calls: list[Heard] = field(default_factory=list)
    around: dict[Span, Span | None] = field(default_factory=dict)
    """By span: the one that it lies in."""
    told: set[Span] = field(default_factory=set)
    """The spans within which a call was heard: that one is what they tell of, too."""

    def noted(self, call: Heard, spans: Iterable[Span]) -> None:
        """Take a call that was heard within these spans."""
        self.calls.append(call)
        for span in spans:
            self._tell(span)

    def began(self, span: Span, around: Span | None) -> None:
        """Take a span that begins, and the one that it lies in."""
        self.around[span] = around

    def ended(self, span: Span, call: Heard | None) -> None:
        """Take the end of a span, with the call of a model that it was."""
        if call is None or span in self.told:
            return
        if not any(_is_within(one, call) for one in self.calls):
            self.calls.append(call)
        self._tell(self.around[span])

    def _tell(self, span: Span | None) -> None:
        while span is not None and span not in self.told:
            self.told.add(span)
            span = self.around.get(span)


_RECORDING: ContextVar[_Recording | None] = ContextVar("sgdflow_recording", default=None)


@contextmanager
def recording() -> Iterator[list[Heard]]:
    """Give the calls of models that the block makes, in the order in which they end.

    Those of the openai and litellm clients are heard, and those that are seen as spans: MLflow's,
    and OpenTelemetry's by its conventions for generative AI. So are those of threads and tasks
    that the block starts with its context, as asyncio does. The clients' methods hand on what
    they are asked and what they answer as ever; where nobody records, and that is everywhere
    else, they do nothing more. Replies that are streamed are heard in spans only.
    """
    _listen()
    own = _Recording()
    with _set(own):
        yield own.calls


@contextmanager
def unheard() -> Iterator[None]:
    """Hear nothing of what the block does."""
    with _set(None):
        yield


class Silence:
    """Warns, once, of a program none of whose calls is heard."""

    def __init__(self) -> None:
        self._runs: list[int] = []

    def ran(self, program: str, calls: int) -> None:
        """Take a run of it, and how many calls were heard."""
        self._runs.append(calls)
        if len(self._runs) == _ENOUGH and not any(self._runs):
            _log.warning(
                "trace: no call of a model was heard in %d runs of %s, so that it is taken as one "
                "function. Which calls are heard, and how others come to be, is said in "
                "docs/agents.md; answers from a cache of its own are no calls.",
                _ENOUGH,
                program,
            )


def hear(spans: Sequence[tuple[str, str | None, Heard | None]]) -> None:
    """Note what somebody else has seen: spans in the order in which they ended.

    Each has a name, the span that it lies in and, where it is one of a model, the call. Where
    nobody records, nothing is done.
    """
    if (own := _RECORDING.get()) is not None:
        for name, around, _ in spans:
            own.began(name, around)
        for name, _, call in spans:
            own.ended(name, call)


@contextmanager
def _set(own: _Recording | None) -> Iterator[None]:
    token = _RECORDING.set(own)
    try:
        yield
    finally:
        _RECORDING.reset(token)


def _is_within(inner: Heard, outer: Heard) -> bool:
    """Say whether a call is what another one tells of: in its time, with its reply."""
    if inner.times is None or outer.times is None or inner.reply.split() != outer.reply.split():
        return False
    return outer.times[0] <= inner.times[0] and inner.times[1] <= outer.times[1]


def _listen() -> None:
    """Let clients and spans tell what is asked, once."""
    from openai import AsyncOpenAI, OpenAI

    from sgdflow.llm.spans import hear_spans

    for client in (OpenAI, AsyncOpenAI):
        # All their methods come to this one, also those that were taken from them before.
        owner = next(one for one in client.__mro__ if "request" in vars(one))
        _noting(owner, "request", _of_openai)
    litellm = imported()
    for name in ("completion", "acompletion", "responses", "aresponses"):
        _noting(litellm, name, _of_litellm)
    hear_spans(_RECORDING.get)


def _noting(owner: Any, name: str, asked: Callable[[Mapping[str, Any]], Any]) -> None:
    original = getattr(owner, name, None)
    if original is None or hasattr(original, "_sgdflow_notes"):
        return
    noted = _noted(original, asked)
    setattr(owner, name, noted)
    if inspect.ismodule(owner):
        _hand_out(noted, original, owner.__name__)


def _hand_out(noted: Any, original: Any, source: str) -> None:
    """Give a function to modules that have taken it before: `from litellm import completion`."""
    for name, module in sys.modules.copy().items():  # another thread may import
        if name.partition(".")[0] != source:
            known = dict(getattr(module, "__dict__", {}))
            for own in [key for key, one in known.items() if one is original]:
                setattr(module, own, noted)


def _noted(
    original: Callable[..., Any], asked: Callable[[Mapping[str, Any]], Any]
) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        own = _RECORDING.get()
        if own is None:
            return original(*arguments, **named)
        said = asked(signature.bind_partial(*arguments, **named).arguments)
        began = time.time()

        async def later(answer: Any) -> Any:
            with unheard():  # litellm asks by the openai client: one call is one
                found = await answer
            _note(own, said, found, began)
            return found

        with unheard():
            answer = original(*arguments, **named)
        if inspect.isawaitable(answer):
            return later(answer)
        _note(own, said, answer, began)
        return answer

    call._sgdflow_notes = True  # type: ignore[attr-defined]
    return call


def _of_openai(arguments: Mapping[str, Any]) -> Any:
    return getattr(arguments["options"], "json_data", None)


def _of_litellm(arguments: Mapping[str, Any]) -> Any:
    return {**arguments, **arguments.get("kwargs", {})}


def _note(own: _Recording, asked: Any, answer: Any, began: float) -> None:
    from sgdflow.llm.spans import spans_here

    if not isinstance(asked, Mapping) or asked.get("stream") or not _is_chat(asked):
        return
    # What the raw forms of the openai client's methods return.
    raw = getattr(answer, "text", None) if hasattr(answer, "http_response") else None
    found = heard(asked, _read(raw) if isinstance(raw, str) else answer, None, (began, time.time()))
    if found is not None:
        own.noted(found, spans_here())


def _is_chat(asked: Mapping[str, Any]) -> bool:
    """Say whether a model is asked for a text: not for embeddings, say."""
    return "messages" in asked or "instructions" in asked or "input" in asked


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
