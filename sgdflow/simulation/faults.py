"""Faults of the simulated endpoint: which there are, whom they strike, what they do to a reply.

Each strikes a share of the calls (`Faults.parse`), or one call that asks for it in its header
x-simulate ("429", or "429,500,ok" for successive attempts; the last one stays):

    429 500 503 401 404   that status              429-after  429 with Retry-After: 1
    quota context filter  what providers say when a quota is used up, when a prompt does not
                          fit the context window, when a content filter refuses
    reset cut             connection reset before the reply, in the middle of it
    hang slow             no answer at all, an answer drop by drop
    nonjson emptybody     a body that is no reply
    empty length untagged no content, half of it, without its tags
    twice huge            the content twice, 5 MB after it
    refusal filtered      the model's own refusal, a reply that was taken back by a filter
    reasoning tool        all of it as reasoning, a call of a tool in place of the content
    parts                 the content as a list of parts, thoughts before the text
    usage nousage         token counts that cannot be right, none at all
    textusage wordusage   token counts as text, words instead of numbers
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sgdflow.errors import ConfigError, did_you_mean, listed

REFUSALS: Mapping[str, tuple[int, str, str]] = {
    "401": (401, "invalid_api_key", "Incorrect API key provided."),
    "404": (404, "model_not_found", "The model does not exist or you do not have access to it."),
    "429": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "429-after": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "500": (500, "server_error", "The server had an error while processing your request."),
    "503": (503, "overloaded", "The server is overloaded."),
    "quota": (429, "insufficient_quota", "You exceeded your current quota, check your plan."),
    "context": (
        400,
        "context_length_exceeded",
        "This model's maximum context length is 4096 tokens; your messages resulted in 5000.",
    ),
    "filter": (400, "content_filter", "The response was filtered by the content policy."),
}
"""Status, code and message of what is said instead of a reply."""
BODIES: Mapping[str, str] = {"nonjson": "<html><body>Bad gateway</body></html>", "emptybody": ""}
TEXTS: Mapping[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "length": lambda text: text[: len(text) // 2],
    "untagged": lambda text: re.sub(r"</?\w[^<>]*>", "", text),
    "twice": lambda text: f"{text}\n{text}",
    "huge": lambda text: f"{text}\n{'and so on ' * (5 * 2**20 // 10)}",
    "filtered": lambda text: text[: len(text) // 2],
}
"""What becomes of the content."""
_ENDS = {"length": "length", "filtered": "content_filter", "tool": "tool_calls"}
_USAGES: Mapping[str, Callable[[Mapping[str, int]], Any]] = {
    "usage": lambda said: {"prompt_tokens": -7, "completion_tokens": 10**12, "total_tokens": 3},
    "nousage": lambda said: None,
    "textusage": lambda said: {what: str(number) for what, number in said.items()},
    "wordusage": lambda said: dict.fromkeys(said, "many"),
}
_MESSAGES: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "refusal": lambda text: {"content": None, "refusal": "I cannot help with that."},
    "reasoning": lambda text: {"content": None, "reasoning_content": text},
    "tool": lambda text: {
        "content": None,
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "calculator", "arguments": "{}"}}
        ],
    },
    "parts": lambda text: {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}]},
            {"type": "text", "text": text[: len(text) // 2]},
            {"type": "text", "text": text[len(text) // 2 :]},
        ]
    },
}
_IN_TRANSIT = ("reset", "cut", "hang", "slow")
KINDS = frozenset({*REFUSALS, *BODIES, *TEXTS, *_USAGES, *_MESSAGES, *_IN_TRANSIT})


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of calls that each kind of fault strikes; the same calls for the same seed."""

    rates: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    @classmethod
    def parse(cls, spec: str, seed: int = 0) -> Faults:
        """Read "429=0.1,length=0.02"."""
        rates: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in spec.split(","))):
            kind, _, share = (word.strip() for word in part.partition("="))
            rates[_known(kind)] = _share(part, share)
        if sum(rates.values()) > 1 + 1e-9:
            raise ConfigError(f"The shares of the faults in '{spec}' add up to more than 1.")
        return cls(rates, seed)

    def draw(self, body: bytes, attempt: int) -> str | None:
        """Return the fault that strikes this attempt of a request, if any."""
        if not self.rates:
            return None
        key = sha256(f"{self.seed}/{attempt}/".encode() + body).digest()
        point = random.Random(key).random()
        for kind, share in self.rates.items():
            if point < share:
                return kind
            point -= share
        return None


def spoil(completion: dict[str, Any], fault: str) -> None:
    """Do to a chat completion, which was made from the spoilt text, what else a fault does."""
    [choice] = completion["choices"]
    choice["finish_reason"] = _ENDS.get(fault, choice["finish_reason"])
    if fault in _MESSAGES:
        choice["message"] |= _MESSAGES[fault](choice["message"]["content"])
    if fault in _USAGES:
        completion["usage"] = _USAGES[fault](completion["usage"])


def _known(kind: str) -> str:
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f" Known: {listed(sorted(KINDS))}."
        raise ConfigError(f"There is no fault '{kind}'.{hint}")
    return kind


def _share(part: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"'{part}' is no fault with its share of the calls; write e.g. 429=0.1.")
    return share
