"""Why a call brought no reply: the kinds of failure and what a user is told about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sgdflow.errors import CallFailed, LLMError, ProviderRefused
from sgdflow.llm.models import ModelSpec

_KEYS = re.compile(
    r"\b(?:sk|rk|pk)-[\w*-]{8,}|\bgsk_\w{8,}|\bAIza[\w-]{20,}|\bbearer\s+[\w*.~+/=-]{8,}",
    re.IGNORECASE,
)


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
        "no answer in time", "Raise llm.limits.timeout or lower llm.limits.concurrency.", _ALWAYS
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
        "Check that llm.models.{role}.api_base is an endpoint of the kind the model's name says.",
        _ALWAYS,
    ),
    "empty": Kind("the reply was empty", "Try again later or choose another model.", _ALWAYS),
    "truncated": Kind(
        "the token limit was used up before the first word",
        "Raise max_tokens in llm.models.{role}.parameters.",
    ),
    "context_window": Kind(
        "the prompt does not fit the model's context window",
        "Shorten the inputs, or choose a model with a larger one.",
    ),
    "content_filter": Kind(
        "refused by a content filter", "Look at this node's prompt, or choose another model."
    ),
    "bad_request": Kind(
        "the provider does not accept the request", "Check llm.models.{role}.parameters."
    ),
    "authentication": Kind("the key was not accepted", "Check {key}.", refuses=True),
    "permission": Kind("not allowed", "Check what {key} may use.", refuses=True),
    "not_found": Kind(
        "no such model or path",
        "Check llm.models.{role}.model and its api_base (which usually ends in /v1).",
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
    "unreachable": Kind(
        "nothing answers at {at}",
        "Start the server there, or correct llm.models.{role}.api_base.",
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


class Redactor:
    """Takes keys out of texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Placeholders such as "none" are no secrets, and replacing them would garble messages.
        self._secrets = sorted({s for s in secrets if len(s) > 4}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without the secrets and anything else that looks like a key."""
        return _KEYS.sub("[key]", self.own(text))

    def own(self, text: str) -> str:
        """Return the text without the secrets; all else stays as it is."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text


def error_of(
    failure: Failure, role: str, spec: ModelSpec, node: str, attempts: int, redact: Redactor
) -> LLMError:
    """Return what to raise when a call failed for good."""
    why = reason(failure, role, spec)
    if KINDS[failure.kind].refuses:
        return ProviderRefused(redact(f"{spec.model} (llm.models.{role}) answers no call: {why}"))
    tried = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    message = f"{spec.model} (llm.models.{role}) gave no reply to node {node} in {tried}: {why}"
    return CallFailed(redact(message), failure.kind)


def reason(failure: Failure, role: str, spec: ModelSpec) -> str:
    """Say why a call failed and what to do, which may hold a key until it is redacted."""
    kind = KINDS[failure.kind]
    names = {
        "at": f"api_base={spec.api_base}" if spec.api_base else "the provider's address",
        "key": f"the key in {spec.api_key_env}" if spec.api_key_env else "the key",
        "role": role,
    }
    said = f' ("{failure.said}")' if failure.said else ""
    return f"{kind.means.format(**names)}{said}. {kind.advice.format(**names)}"
