"""litellm's table of models, read from its file: importing litellm takes seconds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from sgdflow.llm.models import ModelSpec, Price

_FILE = "litellm/model_prices_and_context_window_backup.json"
_SPECIAL = re.compile(
    r"cost.*(?:_above_|per_character|per_second|per_request|reasoning)|uplift_multiplier"
)
"""Names of prices that depend on more than the number of tokens."""


@dataclass
class Listing:
    """What is known of models; read once, when it is first asked for."""

    @cached_property
    def _models(self) -> Mapping[str, Any]:
        try:
            file = Path(str(distribution("litellm").locate_file(_FILE)))
            found = json.loads(file.read_text(encoding="utf-8"))
        except (PackageNotFoundError, OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def of(self, spec: ModelSpec) -> Mapping[str, Any]:
        """Return what is known of a model; empty where it is not listed."""
        bare = spec.model.partition("/")[2]
        found = self._models.get(spec.model) or self._models.get(bare)
        return found if isinstance(found, dict) else {}

    def price_of(self, spec: ModelSpec) -> Price | None:
        """Return the declared price of a model's tokens, or the listed one; None: nobody knows."""
        if spec.price is not None or not spec.listed:
            return spec.price
        if spec.free:
            return Price(0.0, 0.0)
        entry = self.of(spec)
        names = ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost")
        match [entry.get(name) for name in names]:
            case [int() | float() as prompt, int() | float() as completion, cached]:
                found = cached * 1e6 if isinstance(cached, int | float) else None
                return Price(prompt * 1e6, completion * 1e6, found)
        return None

    def is_plain(self, spec: ModelSpec) -> bool:
        """Say whether a model's tokens cost the same, however many and whatever they are."""
        entry = self.of(spec)
        special = (name for name, value in entry.items() if value and _SPECIAL.search(name))
        return spec.free or (bool(entry) and next(special, None) is None)

    def window_of(self, spec: ModelSpec) -> int | None:
        """Return how many tokens a model reads, None where nobody knows."""
        found = self.of(spec).get("max_input_tokens") if spec.listed else None
        return found if isinstance(found, int) else None

    def can(self, spec: ModelSpec, what: str) -> bool:
        """Say whether a model of this provider is listed as able to do something."""
        entry = self.of(spec)
        return entry.get("litellm_provider") == spec.provider and entry.get(what) is True
