"""All providers that litellm speaks to.

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
from dataclasses import replace
from functools import partial
from typing import Any

from sgdflow.llm import Message, Usage
from sgdflow.llm.address import has_login, with_login
from sgdflow.llm.backend import Answer
from sgdflow.llm.chat import NO_KEY_NEEDED, PLAIN, parts, understood
from sgdflow.llm.endpoints import azure_key
from sgdflow.llm.failures import Failure, Noticed
from sgdflow.llm.forms import instead_of_text, plain, text_of, tokens_of, unread
from sgdflow.llm.models import ModelSpec, Price, estimated_tokens
from sgdflow.llm.received import keep

_PRICES = (
    "input_cost_per_token", "output_cost_per_token",
    "cache_read_input_token_cost", "cache_creation_input_token_cost",
)  # fmt: skip
_NO_PRICE = dict.fromkeys(_PRICES, 1e-15)
"""Stands for a price that nobody knows."""


def imported() -> Any:
    """Return litellm."""
    # The list of prices that comes with it will do; without this it asks the network for one.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    return litellm


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
        # With its 100, its bookkeeping falls behind a busy loop and keeps each reply in memory.
        os.environ.setdefault("LOGGING_WORKER_CONCURRENCY", "1000")
        # Its own HTTP handler takes a quarter less CPU than the openai client; requests and
        # failures were compared, the organization's header is all that it leaves out.
        if "OPENAI_ORGANIZATION" not in os.environ:
            os.environ.setdefault("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "True")
        new = "litellm" not in sys.modules
        litellm = imported()
        litellm.suppress_debug_info = True
        _keep_at_home()
        if any(has_login(with_login(s.api_base, None, s.parameters)[0]) for s in asked):
            # The other one refuses to send a login where it sends a key.
            litellm.disable_aiohttp_transport = True
        for name in ("LiteLLM", "LiteLLM Router", "httpx"):
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("LiteLLM").addFilter(_is_news)
        # A call that is cancelled in its first millisecond leaves litellm's coroutine unused.
        never = r"coroutine '\S*completion\S*' was never awaited"
        warnings.filterwarnings("ignore", message=never, category=RuntimeWarning)
        # The openai client's word on a content that is a list of parts.
        warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
        # What litellm does with its first stream.
        warnings.filterwarnings("ignore", "Item '\\w+' on TypedDict class", UserWarning)
        warnings.filterwarnings("ignore", r"Accessing the '\w+' attribute", DeprecationWarning)
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

        asked = spec.parameters_of(messages, sample)
        takes_schema = partial(litellm.supports_response_schema, model=spec.model)
        given = understood(spec, asked, takes_schema)
        api_base, key, parameters = with_login(spec.api_base, key, given)
        if key is None and api_base is not None:
            # Otherwise litellm takes a provider's key from the environment and sends it there.
            key = azure_key(spec, os.environ) or NO_KEY_NEEDED
        told = [{"role": said.role, "content": parts(said)} for said in messages]
        try:
            with _unlogged(litellm):
                response = await litellm.acompletion(
                    model=spec.model,
                    messages=told,
                    api_base=api_base,
                    api_key=key,
                    timeout=seconds,
                    num_retries=0,
                    max_retries=0,
                    **_streaming(parameters),
                )
                if parameters.get("stream"):
                    response = await _joined(litellm, response)
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
        if spec.price is not None or not spec.listed:
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

    def window_of(self, spec: ModelSpec) -> int | None:
        """Return how many tokens the model reads, None where nobody knows; nothing is called."""
        if not spec.listed:
            return None
        self.load([spec])
        import litellm

        found = (_listed(litellm, spec) or {}).get("max_input_tokens")
        return found if isinstance(found, int) else None

    def sees(self, spec: ModelSpec) -> bool:
        """Return whether litellm knows the model to take images; nothing is called."""
        self.load([spec])
        import litellm

        return bool(litellm.supports_vision(model=spec.model))

    async def close(self) -> None:
        """Close the HTTP clients that litellm opened, those of all loops of the process."""
        litellm = sys.modules.get("litellm")
        if litellm is None:
            return
        await litellm.close_litellm_async_clients()
        # It keeps closed clients under the id of their loop, which a later loop may get again.
        litellm.in_memory_llm_clients_cache.flush_cache()


def _streaming(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters; a stream that is asked for ends with the numbers of tokens."""
    if not parameters.get("stream"):
        return parameters
    return {"stream_options": {"include_usage": True}, **parameters}


async def _joined(litellm: Any, stream: Any) -> Any:
    """Return what came in pieces as if it had come at once; litellm counts uncounted tokens."""
    pieces = [piece async for piece in stream]
    # litellm ends such a stream itself, and what came of it would pass for the whole.
    if pieces and not (stream.received_finish_reason or stream.intermittent_finish_reason):
        raise Noticed(Failure("connection", "the stream ended before the reply did"))
    return litellm.stream_chunk_builder(pieces) or litellm.ModelResponse(choices=[])


def _is_news(record: logging.LogRecord) -> bool:
    """Say whether a word of litellm tells more than the counts of a run do; one for each call."""
    return "priced at $0" not in str(record.msg)


def _keep_at_home() -> None:
    """Have litellm's HTTP clients follow no endpoint to another host, nor take without end."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    keep(AsyncHTTPHandler, "create_client")
    keep(BaseOpenAILLM, "_get_async_http_client")


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
    own = spec.api_base and spec.provider in PLAIN
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
    usage = tokens_of(getattr(response, "usage", None))
    if usage is None:
        counted = Usage(estimated_tokens(*(m.content for m in messages)), estimated_tokens(text))
        return Answer(text, finish, counted, None, counted=False, instead=instead)
    cost = _cost(litellm, spec, response) if spec.price is None else spec.price.of(usage)
    return Answer(text, finish, usage, cost, instead=instead)


def _cost(litellm: Any, spec: ModelSpec, response: Any) -> float | None:
    if not spec.listed:
        return None
    listed = _listed(litellm, spec) or {}
    if (listed and _PRICES[0] not in listed) or _NO_PRICE.items() <= listed.items():
        return None
    cost = response._hidden_params.get("response_cost")
    return float(cost) if isinstance(cost, int | float) else None
