"""What is declared about models: which one plays a role, its parameters, its key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from sgdflow.errors import ConfigError
from sgdflow.llm import Message, Usage
from sgdflow.llm.address import answering, is_own, of_environment, problem
from sgdflow.llm.allowance import Allowance
from sgdflow.secrets import looks_secret

_OURS = frozenset(
    {"api_base", "base_url", "max_retries", "messages", "model", "n", "num_retries"} | {"timeout"}
)
FORM = "response_format"
"""The parameter that holds a model to a schema; a declared one stays as it is."""
_FREE = frozenset({"ollama", "ollama_chat"})
"""Providers that are programs of the user's own, wherever they run."""
_TRANSPORT = frozenset({"stream", "stream_options"})


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float
    completion: float
    cached: float | None = None
    """For tokens of the prompt that the provider had in its cache; None: as all others."""

    def of(self, usage: Usage) -> float:
        """Return what these tokens cost."""
        cached = self.prompt if self.cached is None else self.cached
        prompt = (usage.prompt - usage.cached) * self.prompt + usage.cached * cached
        return (prompt + usage.completion * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class Again:
    """What changes where a reply could not be used and is asked for once more."""

    temperature: float | None = 0.5
    """In place of 0, at which the same would come again; None: it stays."""
    max_tokens: int | None = None
    """After a cut the limit is doubled, up to this one; None: it stays."""

    def changed(self, parameters: Mapping[str, Any], message: Message) -> Mapping[str, Any]:
        """Return the parameters of the call that a conversation ends with this message."""
        if not message.again:
            return parameters
        found = dict(parameters)
        if self.temperature is not None and found.get("temperature") == 0:
            found["temperature"] = self.temperature
        for name in ("max_tokens", "max_completion_tokens"):
            limit = found.get(name)
            if self.max_tokens is not None and isinstance(limit, int):
                found[name] = max(limit, min(self.max_tokens, limit * 2**message.longer))
        return found


@dataclass(frozen=True)
class ModelSpec:
    """A model and how to call it."""

    model: str
    """Its litellm name, such as openai/gpt-4o-mini or simulated/worlds."""
    api_base: str | None = None
    api_key_env: str | None = None
    """The environment variable with the key; None where no key is needed."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Handed to the provider: temperature, max_tokens, seed, ..."""
    price: Price | None = None
    """None: litellm's, where it knows one."""
    fallbacks: tuple[ModelSpec, ...] = ()
    """Asked in this order where the model itself gives no reply."""
    again: Again = Again()
    endpoint: str | None = None
    """A name for who answers, where several addresses or a moving one are the same."""
    moved: bool = False
    """Whether the address comes from the provider's variable in the environment."""
    others: tuple[str, ...] = ()
    """More addresses at which the same is answered; each call goes to one of them."""
    sees: bool | None = None
    """Whether it can be shown images; None: as its backend knows."""
    own: frozenset[str] = frozenset()
    """Parameters (and api_base) that were declared for this model; others hold for all of llm."""

    def __post_init__(self) -> None:
        if "api_key" in self.parameters:
            raise ConfigError(
                f"The parameters of {self.model} hold an api_key. Keys do not belong into a "
                "configuration: set an environment variable and name it in api_key_env."
            )
        if wrong := next(filter(None, map(problem, self.addresses)), ""):
            raise ConfigError(wrong)
        if self.others and not self.endpoint:
            raise ConfigError(
                f"{self.model} has {len(self.addresses)} addresses. Give them a name with endpoint "
                "(llm.endpoint=NAME): it says that the same model answers at all of them, and the "
                "store of replies knows their replies by it."
            )
        if taken := sorted(_OURS & set(self.parameters)):
            raise ConfigError(f"The parameters of {self.model} cannot set {', '.join(taken)}.")

    @property
    def provider(self) -> str:
        """The part of the name before the first slash."""
        return self.model.partition("/")[0]

    @property
    def in_process(self) -> bool:
        """Whether it is one of the simulated models, which need no network."""
        return self.provider == "simulated"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses; none for the provider's own."""
        return (self.api_base, *self.others) if self.api_base else ()

    @property
    def answers(self) -> str:
        """Who answers: the name or address of its endpoint, empty for the provider's own."""
        return "" if self.in_process else answering(self.provider, self.api_base, self.endpoint)

    @property
    def free(self) -> bool:
        """Whether it runs in a program of the user's own, which takes no money."""
        return self.provider in _FREE

    @property
    def listed(self) -> bool:
        """Whether its provider's list of prices holds for it."""
        at = self.addresses or (None,)
        return self.free or all(is_own(self.provider, one) for one in at)

    @property
    def deterministic(self) -> bool:
        """Whether the same request is meant to get the same reply."""
        return self.parameters.get("temperature") == 0

    @cached_property
    def _asked(self) -> Any:
        """Return the declared parameters as a request is known by."""
        return asked(self.parameters)

    def repeats(self, messages: Sequence[Message]) -> bool:
        """Return whether these messages are meant to get the same reply each time."""
        return self._asked_for(messages).get("temperature") == 0

    def which(self, messages: Sequence[Message], sample: int) -> int:
        """Return which sample it is of those that all askers together may get."""
        return sample if self.repeats(messages) else sample + messages[0].shift

    def _asked_for(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        own = [one.temperature for one in messages if one.temperature is not None]
        return {**self.parameters, "temperature": own[0]} if own else self.parameters

    def sent(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        """Return the parameters that these messages are sent with."""
        changed = self.again.changed(self._asked_for(messages), messages[-1])
        if not messages[-1].form or FORM in changed:
            return changed
        return {**changed, FORM: json.loads(messages[-1].form)}

    def parameters_of(self, messages: Sequence[Message], sample: int) -> Mapping[str, Any]:
        """Return the same for one of several samples, which differ in their seed."""
        parameters = self.sent(messages)
        if sample and isinstance(seed := parameters.get("seed"), int):
            return {**parameters, "seed": seed + sample}
        return parameters

    @property
    def line(self) -> tuple[ModelSpec, ...]:
        """The model and its fallbacks."""
        return (self, *self.fallbacks)

    def requests(self, messages: Sequence[Message], sample: Any) -> Iterator[Request]:
        """Yield the request for each model of the line.

        That of a fallback says whose place it takes: its replies are for no one else.
        """
        said = [_said(message) for message in messages]
        for one in self.line:
            instead = {} if one is self else {"instead_of": self.model}
            sent = one.sent(messages)
            parameters = one._asked if sent is one.parameters else asked(sent)
            content = {"model": one.model, "parameters": parameters, "messages": said}
            # Without one it is a request as it was before endpoints were noted.
            at = {"endpoint": one.answers} if one.answers else {}
            yield Request.of({**content, "sample": sample, **instead, **at})


def _said(message: Message) -> list[str]:
    """Return a message as a request is known by: images by their digests."""
    digests = (sha256(image.encode()).hexdigest() for image in message.images)
    return [message.role, message.content, *digests]


def located(spec: ModelSpec, environ: Mapping[str, str]) -> ModelSpec:
    """Return the model as it is reached: a provider's address may stand in the environment."""
    fallbacks = tuple(located(one, environ) for one in spec.fallbacks)
    found = None if spec.api_base else of_environment(spec.provider, environ)
    if found is None:
        return replace(spec, fallbacks=fallbacks)
    return replace(spec, fallbacks=fallbacks, api_base=found[1], moved=True)


def asked(parameters: Any) -> Any:
    """Return parameters without transport: headers and secrets change no reply."""
    if not isinstance(parameters, Mapping):
        return parameters
    return {
        key: asked(value)
        for key, value in parameters.items()
        if not (key in _TRANSPORT or str(key).lower().endswith("headers") or looks_secret(str(key)))
    }


@dataclass(frozen=True, slots=True)
class Request:
    """A request in its canonical form."""

    key: str
    """The same for the same request."""
    text: str
    """JSON."""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Request:
        """Return the request with this content."""
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
        return cls(sha256(text.encode()).hexdigest(), text)


@dataclass(frozen=True)
class Share:
    """What may be used at most; None: as much as there is."""

    concurrency: int | None = None
    """Calls at once."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True)
class Limits:
    """How calls are made."""

    concurrency: int = 64
    """Calls at once."""
    timeout: float = 60.0
    """Seconds that one attempt may take."""
    retries: int = 4
    """Attempts after the first one."""
    backoff: float = 1.0
    """Seconds before the first retry; doubled for each next one, with full jitter."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    roles: Mapping[str, Share] = field(default_factory=dict)
    """What a role may use of it."""
    first: int | None = 5
    """Examples tried before all others, to learn whether the models can be read at all."""
    examples: int = 1024
    """Examples under way at once."""
    outage: float | None = None
    """Seconds to wait for an endpoint that answers nobody; None: its calls fail one by one."""
    budget: Allowance = field(default_factory=Allowance)
    """What all calls of a run may take; then none is made any more."""
    shared: bool = False
    """Whether budget and rates hold for all processes with the same account and store together."""

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.timeout <= 0 or self.retries < 0 or self.backoff < 0:
            raise ConfigError(
                "llm.limits: concurrency is at least 1, timeout more than 0, "
                f"retries and backoff at least 0; got {self}."
            )


PER_TOKEN = 4
"""Characters that are taken for a token."""


def estimated_tokens(*texts: str) -> int:
    """Estimate tokens where nobody counted them: a quarter of the characters, rounded up."""
    return -(-sum(map(len, texts)) // PER_TOKEN)
