"""What an endpoint that speaks OpenAI's chat protocol sent back, read without a library."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgdflow.llm import Message, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.bodies import MOST, inner, number, one_line, told, words
from sgdflow.llm.failures import Failure, Noticed, asked_to_wait, by_words
from sgdflow.llm.forms import instead_of_text, text_of, tokens_of
from sgdflow.llm.models import ModelSpec, Price, estimated_tokens

_CUT = frozenset({"length", "max_tokens", "MAX_TOKENS", "compaction"})
_FILTERED = frozenset(
    {"content_filter", "content_filtered", "refusal", "sensitive", "guardrail_intervened"}
    | {"ERROR_TOXIC", "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "SPII"}
    | {"PROHIBITED_CONTENT", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "NO_IMAGE"}
    | {"IMAGE_RECITATION", "IMAGE_OTHER", "ESCALATION"}
)
"""How servers say that a reply was cut off, and that it was taken back."""
_THOUGHT = re.compile(
    r"<(?:think|thinking|budget:thinking)>(.*?)</(?:think|thinking|budget:thinking)>(.*)", re.DOTALL
)
_TOO_LONG = re.compile(
    r"exceed context limit|this model's maximum context length is|model's maximum context limit"
    r"|string too long\. expected a string with maximum length|exceeds the available context size"
    r"|is longer than the model's context length|input tokens exceed the configured limit"
    r"|`inputs` tokens \+ `max_new_tokens` must be|exceeds the maximum number of tokens allowed"
    r"|current length is .*while limit is|maximum input length is .*tokens",
    re.IGNORECASE | re.DOTALL,
)
_NOT_TOO_LONG = re.compile(r"string_above_max_length|invalid 'user'", re.IGNORECASE)
_TOO_MANY = re.compile(r"rate[\s_\-]*limit|service tier capacity exceeded", re.IGNORECASE)


def failure_of(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Say why a response of another status than 200 is no reply."""
    text = body[: 4 * MOST].decode("utf-8", "replace")
    said = told(text)
    message = words(said) or text
    if _TOO_LONG.search(message[:MOST]) and not _NOT_TOO_LONG.search(message[:MOST]):
        kind = "context_window"
    elif status in range(400, 600) and _TOO_MANY.search(f"{message[:MOST]} {said.get('type')}"):
        kind = by_words(429, message, said, inside=False) or "rate_limit"
    else:
        other = "server" if status >= 500 else "bad_reply"
        kind = by_words(status, message, said, inside=False) or other
    return Failure(kind, one_line(message), asked_to_wait(headers))


def answer_of(
    spec: ModelSpec, messages: Sequence[Message], body: bytes, price: Price | None
) -> Answer:
    """Return what a response of status 200 answers; raises Noticed where that is nothing."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = body.decode("utf-8", "replace")[:MOST]
    return _read(spec, messages, _completion(given), price, counted=True)


def streamed(
    spec: ModelSpec, messages: Sequence[Message], body: bytes, price: Price | None
) -> Answer:
    """Return the same of what came in pieces, as if it had come at once.

    A stream may say no number of tokens; they are estimated then, which is no fault.
    """
    pieces: list[Mapping[str, Any]] = []
    done = False
    for data in _events(body):
        done = done or data == "[DONE]"
        if not done:
            pieces.append(_piece(data))
    choices = [one for piece in pieces for one in _choices(piece)]
    ends = [one["finish_reason"] for one in choices if one.get("finish_reason")]
    if pieces and not ends and not done:
        raise Noticed(Failure("connection", "the stream ended before the reply did"))
    usage = next((piece["usage"] for piece in reversed(pieces) if piece.get("usage")), None)
    choice = {"message": _joined(choices), "finish_reason": ends[-1] if ends else "stop"}
    model = next((piece["model"] for piece in pieces if piece.get("model")), None)
    whole = {"choices": [choice] if choices else [], "usage": usage, "model": model}
    return _read(spec, messages, whole, price, counted=usage is not None)


def _completion(given: object) -> Mapping[str, Any]:
    """Return a chat completion; raises Noticed where it is something else, or an error."""
    if not isinstance(given, Mapping):
        raise Noticed(Failure("bad_reply", one_line(str(given))))
    if (error := _error(given)) is not None:
        raise Noticed(error)
    match given.get("choices"):
        case [] | [{"message": Mapping()}, *_]:
            return given
        case list():
            raise Noticed(Failure("bad_reply", "Invalid response object"))
    raise Noticed(Failure("bad_reply", one_line(words(inner(given)) or json.dumps(given)[:MOST])))


def _error(given: Mapping[str, Any]) -> Failure | None:
    """Return the error that an answer of status 200 holds; an empty one is none."""
    match given.get("error"):
        case None | "":
            return None
        case Mapping() as error if not error.get("message") and error.get("code") is None:
            return None
    body = inner(given)
    message = words(body) or str(given["error"])[:MOST]
    kind = by_words(number(body), message, body, inside=True) or "server"
    return Failure(kind, one_line(message))


def _read(
    spec: ModelSpec,
    messages: Sequence[Message],
    given: Mapping[str, Any],
    price: Price | None,
    *,
    counted: bool,
) -> Answer:
    choice = given["choices"][0] if given["choices"] else {}
    message = _without_thought(choice.get("message") or {})
    text, finish = text_of(message.get("content")), _end(choice.get("finish_reason"))
    instead = None if text.strip() else instead_of_text(message)
    usage = tokens_of(given.get("usage"))
    if usage is None:
        usage = Usage(estimated_tokens(*(m.content for m in messages)), estimated_tokens(text))
        if counted:
            return Answer(text, finish, usage, None, counted=False, instead=instead)
    cost = price.of(usage) if price else None
    return Answer(text, finish, usage, cost, instead=instead, model=str(given.get("model") or ""))


def _end(said: object) -> str:
    if not isinstance(said, str):
        return "stop"
    if said in _CUT:
        return "length"
    return "content_filter" if said in _FILTERED else "stop"


def _without_thought(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message whose content does not begin with what the model thought."""
    content = message.get("content")
    if not isinstance(content, str) or "reasoning_content" in message or "reasoning" in message:
        return message
    if (found := _THOUGHT.match(content)) is None:
        return message
    return {**message, "reasoning_content": found[1], "content": found[2]}


def _events(body: bytes) -> Iterator[str]:
    """Yield the data of server-sent events."""
    data: list[str] = []
    for line in [*re.split(r"\r\n|\n|\r", body.decode("utf-8", "replace")), ""]:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data).strip()
            data = []


def _piece(data: str) -> Mapping[str, Any]:
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, Mapping):
        raise Noticed(Failure("bad_reply", one_line(data[:MOST])))
    if (error := _error(given)) is not None:
        raise Noticed(error)
    return given


def _choices(piece: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what a piece holds of the first choice."""
    given = piece.get("choices")
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping) and not one.get("index"):
            yield one


def _joined(choices: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the message that came in pieces: texts one after the other, all else as it came."""
    message: dict[str, Any] = {}
    for choice in choices:
        delta = choice.get("delta")
        for name, value in delta.items() if isinstance(delta, Mapping) else ():
            before = message.get(name)
            if name == "content":
                message[name] = (before or "") + text_of(value)
            elif isinstance(before, str) and isinstance(value, str):
                message[name] = before + value
            elif value is not None and before is None:
                message[name] = value
    return message
