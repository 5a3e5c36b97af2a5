"""What a provider's message holds: its text, in whichever form, or what came in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sgdflow.llm import Usage
from sgdflow.llm.bodies import one_line, taken
from sgdflow.llm.failures import Failure

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
_TEXTS = frozenset({"text", "output_text"})
_CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens")
"""What some providers call the tokens that they had in their caches."""
_MOST = 100_000_000
"""Tokens that one call can have."""


def text_of(content: object) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    match content:
        case str():
            return content
        case int() | float() if not isinstance(content, bool):
            return str(content)
        case list():
            return "".join(_part(part) for part in content)
        case Mapping():
            return _part(content)
    return ""


def instead_of_text(message: object) -> Failure | None:
    """Say what a message without a text holds; None where it is merely empty."""
    refusal = _refusal(message)
    if refusal:
        return Failure("refusal", one_line(refusal))
    tool = next(_tools(message), None)
    if tool is not None:
        return Failure("tool_call", one_line(tool))
    if _any(message, "reasoning_content", "reasoning", "thinking_blocks") or _thoughts(message):
        return Failure("reasoning_only")
    return None


def unread(error: BaseException) -> Mapping[str, Any] | None:
    """Return the body of a reply that litellm refused for its form, None for other failures.

    Its types are stricter than what servers send: a list of parts as content, 12.5 tokens, no
    role.
    """
    for given in taken(error):
        match given:
            case {"choices": [{"message": Mapping()}, *_]} if not given.get("error"):
                return given
    return None


def plain(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what counts of a reply's body, in types that litellm takes."""
    choice: Mapping[str, Any] = body["choices"][0]
    text = text_of(choice["message"].get("content"))
    finish = choice.get("finish_reason")
    return {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": finish if isinstance(finish, str) else "stop",
            }
        ],
        "usage": _whole(body.get("usage")),
    }


def _whole(usage: object) -> Mapping[str, int] | None:
    counts = {name: _get(usage, name) for name in _TOKENS}
    return counts if all(type(count) is int for count in counts.values()) else None


def _part(part: object) -> str:
    match part:
        case str():
            return part
        case {"text": str(text), **rest} if rest.get("type", "text") in _TEXTS:
            return text
    return ""


def _get(message: object, name: str) -> Any:
    # Of most it is told at once that they are mappings; to ask what else is one takes longer.
    if type(message) is dict or isinstance(message, Mapping):
        return message.get(name)
    return getattr(message, name, None)


def _any(message: object, *names: str) -> bool:
    beside = _get(message, "provider_specific_fields") or {}
    return any(_get(message, name) or beside.get(name) for name in names)


def _refusal(message: object) -> str:
    """Return the words of a model that would not answer, which stand beside the content."""
    beside = _get(message, "provider_specific_fields") or {}
    said = _get(message, "refusal") or beside.get("refusal")
    parts = (part.get("refusal") for part in _parts(message) if part.get("type") == "refusal")
    return str(said or next(parts, None) or "")


def _tools(message: object) -> Iterator[str]:
    """Yield the names of the tools that the model wants called."""
    for call in _get(message, "tool_calls") or ():
        yield str(_get(_get(call, "function"), "name") or "")
    if call := _get(message, "function_call"):
        yield str(_get(call, "name") or "")
    yield from (str(part.get("name") or "") for part in _parts(message) if "tool" in _kind(part))


def _thoughts(message: object) -> bool:
    return any(_kind(part) in ("thinking", "reasoning") for part in _parts(message))


def _kind(part: Mapping[str, Any]) -> str:
    return str(part.get("type") or "")


def _parts(message: object) -> Iterator[Mapping[str, Any]]:
    content = _get(message, "content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, Mapping):
            yield part


def tokens_of(said: Any) -> Usage | None:
    """Return the tokens a provider counted, None where its numbers cannot be right."""
    numbers = [_number(_get(said, name)) for name in _TOKENS]
    match numbers:
        case [int(prompt), int(completion), int(total)]:
            plausible = prompt > 0 and completion >= 0 and _MOST >= total >= max(prompt, completion)
            return Usage(prompt, completion, _cached(said, prompt)) if plausible else None
    return None


def _cached(said: Any, prompt: int) -> int:
    """Return how many tokens of the prompt were cached; litellm has one name for all providers."""
    named = (_get(said, name) for name in _CACHED)
    counts = [_get(_get(said, "prompt_tokens_details"), "cached_tokens"), *named]
    cached = next((count for count in reversed(counts) if isinstance(count, int)), 0)
    return max(0, min(cached, prompt))


def _number(said: object) -> object:
    """Return a number as a whole one, where it is one in another form."""
    if isinstance(said, bool):
        return None
    if isinstance(said, str) and len(said) < 20 and said.strip().isdecimal():
        return int(said)
    return int(said) if isinstance(said, float) and said.is_integer() else said
