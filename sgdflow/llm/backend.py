"""How models are reached, and the one way that there is: litellm.

The only module that imports litellm, inside functions: the import takes seconds.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sgdflow.llm import Message, Usage
from sgdflow.llm.failures import Failure
from sgdflow.llm.forms import instead_of_text, plain, text_of, unread
from sgdflow.llm.models import ModelSpec, Price, estimated_tokens

_OWN_ENDPOINTS = ("openai", "hosted_vllm")
_NO_KEY_NEEDED = "no-key-needed"
_PRICES = (
    "input_cost_per_token", "output_cost_per_token",
    "cache_read_input_token_cost", "cache_creation_input_token_cost",
)  # fmt: skip
_NO_PRICE = dict.fromkeys(_PRICES, 1e-15)
"""Stands for a price that nobody knows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered."""

    text: str
    finish: str
    usage: Usage
    cost: float | None
    counted: bool = True
    """Whether the provider said how many tokens these were; otherwise they are estimated."""
    instead: Failure | None = None
    """What came in place of a text."""


class Backend(Protocol):
    """A way to reach models: what differs between one transport and another."""

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Get ready to ask these models; raises where what that takes is not installed."""

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Make one attempt; what `failures.classify` does not know is taken for a defect."""

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return what the model's tokens cost, None where nobody knows; nothing is called."""

    async def close(self) -> None:
        """Close what the event loop has opened."""


@dataclass(frozen=True, slots=True)
class ByProvider:
    """Asks each model through the backend of its provider."""

    own: Mapping[str, Backend]
    """By provider."""
    others: Backend
    """For all other providers."""

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Get each backend ready to ask its own models."""
        for spec in specs:
            self._of(spec).load([spec])

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Make one attempt."""
        backend = self._of(spec)
        return await backend.ask(spec, messages, sample=sample, key=key, seconds=seconds)

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return what the model's tokens cost, None where nobody knows; nothing is called."""
        return self._of(spec).price_of(spec)

    async def close(self) -> None:
        """Close what all of them have opened."""
        for backend in (*self.own.values(), self.others):
            await backend.close()

    def _of(self, spec: ModelSpec) -> Backend:
        return self.own.get(spec.provider, self.others)


class LitellmBackend:
    """Reaches all providers that litellm speaks to.

    litellm keeps its settings, prices, custom providers and HTTP clients in module globals, so
    what is set here holds for the process; doing it again changes nothing.
    """

    def load(self, specs: Iterable[ModelSpec]) -> None:
        """Import litellm quietly, if it is needed, and tell it about models that it cannot know."""
        asked = list(specs)
        if not asked:
            return
        # The list of prices that comes with it will do; without this it asks the network for one.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        # With its 100, its bookkeeping falls behind a busy loop and keeps each reply in memory.
        os.environ.setdefault("LOGGING_WORKER_CONCURRENCY", "1000")
        # Its own HTTP handler takes a quarter less CPU than the openai client; requests and
        # failures were compared, the organization's header is all that it leaves out.
        if "OPENAI_ORGANIZATION" not in os.environ:
            os.environ.setdefault("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "True")
        new = "litellm" not in sys.modules
        import litellm

        litellm.suppress_debug_info = True
        for name in ("LiteLLM", "LiteLLM Router", "httpx"):
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.WARNING)
        # A call that is cancelled in its first millisecond leaves litellm's coroutine unused.
        never = r"coroutine '\S*completion\S*' was never awaited"
        warnings.filterwarnings("ignore", message=never, category=RuntimeWarning)
        # The openai client's word on a content that is a list of parts.
        warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
        for spec in asked:
            _introduce(litellm, spec)
        if new:
            _import_the_rest(litellm)

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        """Make one attempt; what it raises is litellm's."""
        import litellm

        if key is None and spec.api_base is not None:
            # Otherwise litellm takes a provider's key from the environment and sends it there.
            key = _NO_KEY_NEEDED
        try:
            with _unlogged(litellm):
                response = await litellm.acompletion(
                    model=spec.model,
                    messages=[{"role": said.role, "content": said.content} for said in messages],
                    api_base=spec.api_base,
                    api_key=key,
                    timeout=seconds,
                    num_retries=0,
                    max_retries=0,
                    **spec.parameters_of(messages, sample),
                )
        except Exception as error:
            body = unread(error)
            if body is None:
                raise
            answer = _read(litellm, spec, messages, litellm.ModelResponse(**plain(body)))
            price = self.price_of(spec)
            cost = price.of(answer.usage) if price and answer.counted else None
            return replace(
                answer, cost=cost, instead=instead_of_text(body["choices"][0]["message"])
            )
        return _read(litellm, spec, messages, response)

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return what the model's tokens cost, None where nobody knows; nothing is called."""
        if spec.price is not None:
            return spec.price
        self.load([spec])
        import litellm

        listed = _listed(litellm, spec)
        listed = {} if listed is None or _NO_PRICE.items() <= listed.items() else listed
        prices = [listed.get(f"{side}_cost_per_token") for side in ("input", "output")]
        match prices:
            case [int() | float() as prompt, int() | float() as completion]:
                return Price(prompt * 1e6, completion * 1e6)
        return None

    async def close(self) -> None:
        """Close the HTTP clients that litellm opened, those of all loops of the process."""
        litellm = sys.modules.get("litellm")
        if litellm is None:
            return
        await litellm.close_litellm_async_clients()
        # It keeps closed clients under the id of their loop, which a later loop may get again.
        litellm.in_memory_llm_clients_cache.flush_cache()


def _import_the_rest(litellm: Any) -> None:
    """Have litellm import what it leaves to its first call, which many others may wait behind."""
    # One that is answered by litellm itself.
    litellm.completion(
        model="openai/gpt-4o-mini", messages=[{"role": "user", "content": "?"}], mock_response="!"
    )
    litellm.encode(model="gpt-4o-mini", text="?")
    # What was imported stays: the collector need not look through it again and again.
    gc.freeze()


def _introduce(litellm: Any, spec: ModelSpec) -> None:
    # An unknown name sends litellm through about ten price look-ups in each call, and a price of
    # 0 through a search for its reason, which takes a third of a call's CPU time.
    own = spec.api_base and spec.provider in _OWN_ENDPOINTS
    if own and _listed(litellm, spec) is None:
        known = {"litellm_provider": spec.provider, "mode": "chat", **_NO_PRICE}
        litellm.register_model({spec.model: known})


def _listed(litellm: Any, spec: ModelSpec) -> Any:
    prices = litellm.model_cost
    return prices.get(spec.model) or prices.get(spec.model.partition("/")[2])


@contextmanager
def _unlogged(litellm: Any) -> Iterator[None]:
    """Have litellm prepare no log entry for the call, where nobody has asked it for any.

    An entry takes a fifth of a call's CPU time. What says that a call is litellm's own affair,
    and needs none, is no part of its public interface: where it is gone, entries are made.
    """
    wanted = litellm.callbacks or litellm.success_callback or litellm.failure_callback
    own_affair = None if wanted else _own_affair()
    if own_affair is None:
        yield
        return
    before = own_affair.set(True)
    try:
        yield
    finally:
        own_affair.reset(before)


def _own_affair() -> ContextVar[bool] | None:
    try:
        from litellm._internal_context import is_internal_call
    except ImportError:
        return None
    return is_internal_call if isinstance(is_internal_call, ContextVar) else None


def _read(litellm: Any, spec: ModelSpec, messages: Sequence[Message], response: Any) -> Answer:
    choice = response.choices[0] if response.choices else None
    message = getattr(choice, "message", None)
    text = text_of(getattr(message, "content", None))
    finish = str(choice.finish_reason) if choice is not None else "stop"
    instead = None if text.strip() else instead_of_text(message)
    usage = _usage(getattr(response, "usage", None))
    if usage is None:
        counted = Usage(estimated_tokens(*(m.content for m in messages)), estimated_tokens(text))
        return Answer(text, finish, counted, None, counted=False, instead=instead)
    cost = _cost(litellm, spec, response) if spec.price is None else spec.price.of(usage)
    return Answer(text, finish, usage, cost, instead=instead)


def _usage(said: Any) -> Usage | None:
    """Return the tokens a provider counted, None where its numbers cannot be right."""
    numbers = [getattr(said, f"{what}_tokens", None) for what in ("prompt", "completion", "total")]
    match numbers:
        case [int(prompt), int(completion), int(total)]:
            plausible = prompt > 0 and completion >= 0 and total >= max(prompt, completion)
            return Usage(prompt, completion, _cached(said, prompt)) if plausible else None
    return None


def _cached(said: Any, prompt: int) -> int:
    """Return how many tokens of the prompt were cached; litellm has one name for all providers."""
    cached = getattr(getattr(said, "prompt_tokens_details", None), "cached_tokens", None)
    return min(cached, prompt) if isinstance(cached, int) and cached > 0 else 0


def _cost(litellm: Any, spec: ModelSpec, response: Any) -> float | None:
    listed = _listed(litellm, spec) or {}
    if (listed and _PRICES[0] not in listed) or _NO_PRICE.items() <= listed.items():
        return None
    cost = response._hidden_params.get("response_cost")
    return float(cost) if isinstance(cost, int | float) else None
