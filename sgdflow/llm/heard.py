"""What was said in a call that somebody else has made, in whatever form it is told.

Forms are those of clients (OpenAI, Anthropic, Gemini), of LangChain's and DSPy's models as MLflow
traces them, and of OpenTelemetry's conventions for generative AI.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgdflow.llm import Message, Usage

_SYSTEMS = ("instructions", "system", "system_instruction")
"""Where clients that keep it apart take what the model is told first."""
_SAID = ("messages", "input", "contents", "prompt")
_FIRST = ("choices", "generations", "candidates", "outputs")
"""Where answers lie beside each other; the first is meant."""
_WITHIN = ("message", "output", "content", "parts", "text")
_CALLS = ("tool_call", "tool_use", "function_call")
_ROLES = {"system": "system", "developer": "system"}
_ROLES |= dict.fromkeys(("assistant", "ai", "model"), "assistant")


@dataclass(frozen=True, slots=True)
class Heard:
    """One call, as whoever made it has seen it."""

    messages: tuple[Message, ...]
    reply: str
    usage: Usage = field(default_factory=Usage)
    times: tuple[float, float] | None = field(default=None, compare=False)
    """When it began and ended, in seconds since 1970."""


def heard(
    asked: Any, answer: Any, usage: Any = None, times: tuple[float, float] | None = None
) -> Heard | None:
    """Return a call; None of one whose answer is no text, as one that is streamed."""
    text = _text(answer)
    spent = usage if usage is not None else _field(answer, "usage")
    return None if text is None else Heard(tuple(_messages(asked)), text, _usage(spent), times)


def _messages(asked: Any) -> Iterator[Message]:
    if isinstance(asked, str):
        yield Message("user", asked)
    elif _is_list(asked):
        for one in asked:
            yield from _messages(one)
    elif isinstance(role := _field(asked, "role") or _field(asked, "type"), str):
        said = _joined([_field(asked, key) for key in ("content", "parts", "output")])
        yield Message(_ROLES.get(role, "user"), said)  # type: ignore[arg-type]
    elif isinstance(asked, Mapping):
        config = _field(asked, "config")  # where Gemini's client keeps it
        for told in (*map(asked.get, _SYSTEMS), _field(config, "system_instruction")):
            if text := _joined([told]):
                yield Message("system", text)
        yield from _messages(next((one for key in _SAID if (one := asked.get(key))), None))


def _joined(parts: Any) -> str:
    """Return the texts of a message, whatever lies beside them."""
    texts = [part if isinstance(part, str) else _text(part) for part in parts]
    return "\n".join(text for text in texts if text)


def _text(answer: Any) -> str | None:
    """Return the text of an answer, or the tools that it calls; None where it has neither."""
    if isinstance(answer, str):
        return answer
    if isinstance(text := _field(answer, "output_text"), str):
        return text
    if _is_list(answer):
        found = [text for one in answer if (text := _text(one)) is not None]
        return "\n".join(filter(None, found)) if found else None
    for key in _FIRST:
        if _is_list(options := _field(answer, key)) and options:
            return _text(options[0])
    inner = [one for key in _WITHIN if (one := _field(answer, key)) is not None]
    found = [text for one in inner if (text := _text(one)) is not None]
    if text := next(filter(None, found), None) or _tools(answer):
        return text
    return "" if found or _field(answer, "role") is not None else None


def _tools(answer: Any) -> str:
    """Return the tools that a message, or a part of one, calls; "" for none."""
    called = [answer] if _field(answer, "type") in _CALLS else _field(answer, "tool_calls")
    functions = [_field(one, "function") or one for one in called or ()]
    calls = [
        {"name": _field(one, "name"), "arguments": _field(one, "arguments") or _field(one, "input")}
        for one in functions
    ]
    return json.dumps(calls, default=str) if calls else ""


def _usage(usage: Any) -> Usage:
    prompt = _field(usage, "prompt_tokens") or _field(usage, "input_tokens") or 0
    completion = _field(usage, "completion_tokens") or _field(usage, "output_tokens") or 0
    return Usage(int(prompt), int(completion))


def _is_list(thing: Any) -> bool:
    return isinstance(thing, Sequence) and not isinstance(thing, str | bytes)


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
