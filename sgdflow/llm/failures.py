"""Why a call brought no reply: the kinds of failure, how they are told apart and told to a user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from typing import Any

from sgdflow.errors import CallFailed, LLMError, ProviderRefused, listed, plural
from sgdflow.llm import places
from sgdflow.llm.bodies import MOST, body_of, causes, number, one_line, said, taken
from sgdflow.llm.models import ModelSpec
from sgdflow.secrets import Redactor


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of failure: how it is told, and whether to try again."""

    means: str
    advice: str
    retries: int = 0
    """At most; the limits may allow fewer."""
    refuses: bool = False
    """No other call of this role can succeed either."""


_ALWAYS = 1_000_000
KINDS: Mapping[str, Kind] = {
    "timeout": Kind(
        "no answer in time",
        "Raise llm.limits.timeout, or lower llm.limits.concurrency: waiting in the server's own "
        "queue counts, too.",
        _ALWAYS,
    ),
    "rate_limit": Kind(
        "too many requests",
        "Lower llm.limits.concurrency, or raise llm.limits.retries or llm.limits.backoff.",
        _ALWAYS,
    ),
    "server": Kind("an error at the provider", "Try again later.", _ALWAYS),
    "connection": Kind("the connection broke", "Try again later.", _ALWAYS),
    "bad_reply": Kind(
        "what came back is no chat completion",
        "Check that {address} is an endpoint of the kind the model's name says.",
        _ALWAYS,
    ),
    "empty": Kind("the reply was empty", "Try again later or choose another model.", _ALWAYS),
    "truncated": Kind(
        "the token limit was used up before the first word",
        "Raise {limit}.",
    ),
    "context_window": Kind(
        "the prompt does not fit the model's context window",
        "Shorten the inputs, or choose a model with a larger one.",
    ),
    "content_filter": Kind(
        "refused by a content filter", "Look at this node's prompt, or choose another model."
    ),
    "refusal": Kind("the model refused", "Look at this node's prompt, or choose another model."),
    "reasoning_only": Kind(
        "it sent reasoning and no text",
        "Have its server part reasoning from text (a reasoning parser that fits the model), switch "
        "thinking off in llm.models.{role}.parameters, or choose another model; what it thought is "
        "never used.",
    ),
    "tool_call": Kind(
        "it called a tool where a text was asked for",
        "Nothing offers it tools: take tools and tool_choice out of llm.models.{role}.parameters, "
        "switch off those of its server, or choose another model.",
    ),
    "bad_request": Kind(
        "the provider does not accept the request", "Check llm.models.{role}.parameters."
    ),
    "authentication": Kind("the key was not accepted", "Check {key}.", refuses=True),
    "permission": Kind("not allowed", "Check what {key} may use.", refuses=True),
    "not_found": Kind(
        "no such model or path",
        "Check llm.models.{role}.model and {address} (which usually ends in /v1).",
        refuses=True,
    ),
    "quota": Kind(
        "the quota or balance is used up",
        "Look at the plan and billing of the account behind {key}.",
        refuses=True,
    ),
    "provider": Kind(
        "no provider is known for it",
        "Model names are PROVIDER/MODEL as in litellm, such as openai/gpt-4o-mini.",
        refuses=True,
    ),
    "parameters": Kind(
        "the model does not take a parameter",
        "Take it out of llm.models.{role}.parameters.",
        refuses=True,
    ),
    "moved": Kind(
        "it sends calls on to another address",
        "Nothing was sent there. Set {address} to that address if it is right.",
        refuses=True,
    ),
    "too_large": Kind(
        "it sends more than 64 MB",
        "No more was read. Check that {address} is an endpoint of the kind the model's name says.",
    ),
    "packed": Kind(
        "it sends a packed reply that cannot be opened",
        "It was asked to send it as it is (Accept-Encoding: identity). Have the server at "
        "{address}, or the proxy before it, do so; gzip and deflate are opened, too.",
        retries=1,
    ),
    "unreachable": Kind(
        "nothing answers at {at}",
        "{reach}.",
        retries=2,
        refuses=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one attempt brought no reply."""

    kind: str
    said: str = ""
    """The provider's words, short; may hold a key until it is redacted."""
    after: float | None = None
    """Seconds the provider asks to wait before the next attempt."""


class Noticed(Exception):
    """A failure that was seen before the library saw one."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.said or failure.kind)
        self.failure = failure


def error_of(
    failure: Failure, role: str, spec: ModelSpec, node: str, attempts: int, redact: Redactor
) -> LLMError:
    """Return what to raise when a call failed for good."""
    why = reason(failure, role, spec)
    if KINDS[failure.kind].refuses:
        return ProviderRefused(redact(f"{spec.model} (llm.models.{role}) answers no call: {why}"))
    tried = plural(attempts, "attempt")
    message = f"{spec.model} (llm.models.{role}) gave no reply to node {node} in {tried}: {why}"
    return CallFailed(redact(message), failure.kind)


def at(spec: ModelSpec) -> str:
    """Say where a model is asked, which may hold a password until it is redacted."""
    return f"api_base={listed(spec.addresses)}" if spec.api_base else "the provider's address"


def reason(failure: Failure, role: str, spec: ModelSpec) -> str:
    """Say why a call failed and what to do, which may hold a key until it is redacted."""
    kind = KINDS[failure.kind]
    names = {
        "at": at(spec),
        "key": f"the key in {spec.api_key_env}" if spec.api_key_env else "the key",
        "role": role,
        "address": places.address(role, spec),
        "reach": places.reach(role, spec),
        "limit": places.limit(role, spec),
    }
    said = f' ("{failure.said}")' if failure.said else ""
    advice = kind.advice.format(**names)
    if failure.kind in ("bad_request", "parameters"):
        advice = places.about_parameter(failure.said, role, spec) or advice
    return f"{kind.means.format(**names)}{said}. {advice}"


_LONGEST, _HOUR = 200, 3600.0
_LIBRARIES = ("litellm", "openai", "httpx", "aiohttp")
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|balance|credits?|funds)|billing_hard_limit"
    r"|credit balance is too low",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[_ ]?filter|content management policy|content[_ ]policy"
    r"|flagged|moderation|safety system",
    re.IGNORECASE,
)
_NO_KEY = re.compile(r"missing credentials|api_key.{0,40}(?:must be set|is required)", re.I | re.S)
_NO_PROVIDER = re.compile(r"LLM Provider NOT provided|Unmapped LLM provider", re.IGNORECASE)
_NEVER_CONNECTED = {
    "ClientConnectorError",
    "ConnectionRefusedError",
    "InvalidURL",
    "SSLError",
    "gaierror",
}
_BROKEN = {"ClientError", "NetworkError", "ProtocolError", "OSError", "TransportError"}
_SERVER = range(501, 600)  # litellm gives 500 to whatever it does not know


def classify(error: Exception) -> Failure | None:
    """Say why a call failed; None for what is no provider's failure but a defect of a program.

    Status, class names and causes tell; litellm is not needed for it.
    """
    if isinstance(error, TimeoutError):
        return Failure("timeout")
    found = list(causes(error))
    for cause in found:
        if isinstance(cause, Noticed):
            return cause.failure
    if not type(error).__module__.startswith(_LIBRARIES):
        return None
    answer = next(taken(error), None)
    body = body_of(error, answer)
    kind = _kind(error, found, body, inside=answer is not None and bool(answer.get("error")))
    words = said(error, body)
    if kind in ("connection", "unreachable") and len(found) > 1:
        words = one_line(str(found[-1]))
    return Failure(kind, words, _retry_after(error))


def _kind(
    error: Exception, found: list[BaseException], body: Mapping[str, Any], *, inside: bool
) -> str:
    """Return the kind of failure; `inside`: an answer of status 200 that holds an error."""
    names = {cls.__name__ for cause in found for cls in type(cause).__mro__}
    by_name = {
        "ContextWindowExceededError": "context_window",
        "ContentPolicyViolationError": "content_filter",
        "UnsupportedParamsError": "parameters",
        "Timeout": "timeout",
    }
    for cls in type(error).__mro__:
        if cls.__name__ in by_name:
            return by_name[cls.__name__]
    status = number(body) if inside else getattr(error, "status_code", None)
    told = by_words(status, str(error), body, inside=inside)
    return told or ("server" if inside else _by_causes(status, names))


def by_words(status: Any, said: str, body: Mapping[str, Any], *, inside: bool) -> str | None:
    """Return the kind of failure that a status and words tell; None where they tell none."""
    text = f"{said[:MOST]} {body.get('code')} {body.get('type')}"[: 2 * MOST]
    if _NO_KEY.search(text):
        return "authentication"
    if (inside or status in (400, 402, 403, 429)) and _QUOTA.search(text):
        return "quota"
    if (inside or status in (400, 403, 422)) and _FILTERED.search(text):
        return "content_filter"
    if status == 400 and _NO_PROVIDER.search(text):
        return "provider"
    known = {
        401: "authentication", 402: "quota", 403: "permission", 404: "not_found",
        405: "not_found", 408: "timeout", 409: "server", 410: "not_found", 413: "context_window",
        425: "server", 429: "rate_limit", 451: "permission", 498: "server", 499: "server",
    }  # fmt: skip
    if status in range(400, 500):
        return known.get(status, "bad_request")
    return None


def _by_causes(status: Any, names: set[str]) -> str:
    if names & {"HTTPStatusError", "MidStreamFallbackError"}:
        return "server"
    if names & _NEVER_CONNECTED:
        return "unreachable"
    if names & _BROKEN:
        return "connection"
    return "server" if status in _SERVER else "bad_reply"


def _retry_after(error: Exception) -> float | None:
    headers = getattr(error, "litellm_response_headers", None)
    return asked_to_wait(
        headers or getattr(getattr(error, "response", None), "headers", None) or {}
    )


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a response asks to wait before the next attempt."""
    for name, scale in (("retry-after-ms", 1000), ("retry-after", 1)):
        if said := headers.get(name) or headers.get(f"llm_provider-{name}"):
            return _seconds(str(said), scale)
    return None


def _seconds(said: str, scale: float) -> float | None:
    """Return the seconds that a header asks for; None where it says nothing that can be meant."""
    with suppress(ValueError):
        asked = float(said[:_LONGEST]) / scale
        return min(_HOUR, max(0.0, asked)) if isfinite(asked) else None
    with suppress(ValueError, TypeError, OverflowError, OSError):
        return min(_HOUR, max(0.0, parsedate_to_datetime(said[:_LONGEST]).timestamp() - time()))
    return None
