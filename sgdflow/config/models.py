"""Builds the models of a run and their limits from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sgdflow.config import schema
from sgdflow.errors import ConfigError
from sgdflow.llm.allowance import Allowance
from sgdflow.llm.backend import Backend, ByProvider
from sgdflow.llm.calling import Calling, Keeping
from sgdflow.llm.models import Again, Limits, ModelSpec, Price, Share
from sgdflow.llm.server import Server, problem
from sgdflow.llm.transports import Transport, check_direct, reached_by
from sgdflow.simulation.backend import Simulated


def build_models(conf: schema.LLMConf) -> Mapping[str, ModelSpec]:
    """Return the models by role; what a model does not say comes from llm."""
    found = {}
    for role, declared in conf.models.items():
        try:
            fallbacks = [_model(one, conf) for one in conf.fallbacks.get(role, [])]
            found[role] = _model(declared, conf, fallbacks)
        except ConfigError as error:
            raise ConfigError(f"llm.models.{role}: {error}") from error
    return found


def _model(
    declared: schema.Model | str, conf: schema.LLMConf, fallbacks: Sequence[ModelSpec] = ()
) -> ModelSpec:
    model = declared if isinstance(declared, schema.Model) else schema.Model(model=declared)
    price = conf.prices.get(model.model)
    addresses = list(dict.fromkeys(model.api_base or conf.api_base))
    return ModelSpec(
        model=model.model,
        api_base=next(iter(addresses), None),
        others=tuple(addresses[1:]),
        api_key_env=model.api_key_env or conf.api_key_env,
        parameters={**conf.parameters, **model.parameters},
        price=Price(**price.model_dump()) if price else None,
        fallbacks=tuple(fallbacks),
        again=Again(**conf.again.model_dump()),
        # A name that is declared for all does not hold for a model with an address of its own.
        endpoint=model.endpoint or (None if model.api_base else conf.endpoint),
        sees=model.sees,
        own=frozenset({*model.parameters, *(["api_base"] if model.api_base else [])}),
    )


def build_limits(conf: schema.LimitsConf) -> Limits:
    """Return the limits."""
    roles = {role: Share(**share.model_dump()) for role, share in conf.roles.items()}
    budget = Allowance(**conf.budget.model_dump())
    return Limits(**{**conf.model_dump(), "roles": roles, "budget": budget})


def build_calling(models: Mapping[str, ModelSpec], llm: schema.LLMConf, seed: int) -> Calling:
    """Return who is called, within which limits, and where replies are kept."""
    if llm.limits.shared and llm.store.mode == "off":
        raise ConfigError(
            "llm.limits.shared: jobs share their limits in the store of replies, and "
            "llm.store.mode is off. Set llm.store.mode=use, or llm.limits.shared=false."
        )
    keeping = Keeping(llm.store.mode, llm.store.path, _server(llm.store))
    if llm.transport == "direct":
        check_direct(models)
    backend = build_backend(llm.transport)
    return Calling(models, build_limits(llm.limits), keeping, seed, llm.check, backend)


def _server(conf: schema.StoreConf) -> Server | None:
    if conf.uri is None or "${" in conf.uri:  # what it refers to is not set yet
        return None
    if conf.path is not None:
        raise ConfigError(
            "llm.store: replies are kept in one place. Say llm.store.path=null, or "
            "llm.store.uri=null."
        )
    if wrong := problem(conf.uri):
        raise ConfigError(wrong)
    return Server(conf.uri)


def build_backend(transport: Transport) -> Backend:
    """Return how models are reached: the simulated ones here, all others as is declared."""
    return ByProvider({"simulated": Simulated()}, reached_by(transport))
