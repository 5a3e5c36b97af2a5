"""Which way leads to a model: our own to endpoints of OpenAI's protocol, litellm's to all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from sgdflow.errors import ConfigError, listed
from sgdflow.llm.backend import Backend, Choosing
from sgdflow.llm.chat import AS_THEY_ARE, PLAIN, PROVIDERS
from sgdflow.llm.direct import DirectBackend
from sgdflow.llm.endpoints import AZURE, IGNORED, OLLAMA, left_to_litellm
from sgdflow.llm.listing import Listing
from sgdflow.llm.models import ModelSpec
from sgdflow.llm.providers import LitellmBackend
from sgdflow.llm.spread import Spread

Transport = Literal["auto", "litellm", "direct"]
_REWRITTEN = re.compile(r"gpt-5(?!-chat)|gpt-6|^o\d|audio|search|^responses/|computer-use")
"""OpenAI's models for which litellm changes parameters, or asks in another way."""
_SSL = ("SSL_CERTIFICATE", "SSL_SECURITY_LEVEL", "SSL_ECDH_CURVE")


def reached_by(transport: Transport) -> Backend:
    """Return the way to models."""
    return Spread(_one(transport))


def _one(transport: Transport) -> Backend:
    if transport == "litellm":
        return LitellmBackend()
    listing = Listing()
    direct = DirectBackend(listing)
    return direct if transport == "direct" else Preferred(direct, LitellmBackend(), listing)


def check_direct(models: Mapping[str, ModelSpec]) -> None:
    """Raise ConfigError where a model, or what is asked of it, is not of OpenAI's protocol."""
    for role, declared in models.items():
        for spec in declared.line:
            if spec.provider in OLLAMA and (lost := sorted(IGNORED & spec.parameters.keys())):
                raise ConfigError(
                    f"llm.models.{role}: Ollama takes no {listed(lost)} in OpenAI's chat protocol, "
                    f"which llm.transport=direct asks {spec.model} in. Leave llm.transport at auto "
                    "(litellm then uses Ollama's own protocol), or take it out of parameters."
                )
            if spec.provider == AZURE and _odd(spec.api_base):
                raise ConfigError(
                    f"llm.models.{role}: llm.transport=direct asks {spec.model} at an address like "
                    "https://NAME.openai.azure.com: set llm.api_base (or AZURE_API_BASE) to that, "
                    "without a path, or leave llm.transport at auto."
                )
            if not spec.in_process and spec.provider not in PROVIDERS:
                known = listed(f"{one}/..." for one in sorted(PROVIDERS))
                raise ConfigError(
                    f"llm.models.{role}: llm.transport=direct reaches endpoints that speak "
                    f"OpenAI's chat protocol ({known}); {spec.model} is none. Leave "
                    "llm.transport at auto, or choose litellm; where its server speaks that "
                    "protocol, too, write openai/MODEL and its api_base."
                )


def _odd(api_base: str | None) -> bool:
    """Say whether Azure's address is missing, or is that of its other protocol."""
    return not api_base or urlsplit(api_base).path.rstrip("/").endswith("/openai/v1")


@dataclass(frozen=True)
class Preferred(Choosing):
    """Asks a model directly where litellm would send the same, and through litellm elsewhere."""

    direct: DirectBackend
    litellm: Backend
    listing: Listing
    _chosen: dict[int, tuple[ModelSpec, Backend]] = field(default_factory=dict)

    def _of(self, spec: ModelSpec) -> Backend:
        # It holds the model, so that nothing else gets its id.
        if (found := self._chosen.get(id(spec))) is None:
            found = spec, self.litellm if self._needs_litellm(spec) else self.direct
            self._chosen[id(spec)] = found
        return found[1]

    def _all(self) -> Iterable[Backend]:
        return self.direct, self.litellm

    def _needs_litellm(self, spec: ModelSpec) -> bool:
        name = spec.model.partition("/")[2]
        if spec.provider not in PROVIDERS:
            return True
        if spec.provider not in PLAIN:
            if left_to_litellm(spec, os.environ):
                return True
        elif spec.parameters.keys() - AS_THEY_ARE:
            return True
        if spec.provider == "openai" and _REWRITTEN.search(name):
            return True
        if spec.api_base is None and spec.provider == "hosted_vllm":
            return True
        if spec.price is None and spec.listed and not self.listing.is_plain(spec):
            return True
        # What the HTTP client of ours does not do.
        proxies = (one for kind, one in getproxies().items() if kind != "no")
        return any(os.environ.get(name) for name in _SSL) or any(
            "://" in one and not one.lower().startswith("http") for one in proxies
        )
