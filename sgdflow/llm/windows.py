"""Prompts that a model surely cannot read: told before they are sent."""

from __future__ import annotations

from collections.abc import Sequence

from sgdflow.errors import plural
from sgdflow.llm import Message
from sgdflow.llm.backend import Backend, window_of
from sgdflow.llm.endpoints import AZURE, OLLAMA
from sgdflow.llm.failures import Failure
from sgdflow.llm.models import ModelSpec, estimated_tokens

_NAMED_BY_USERS = OLLAMA | {AZURE}
"""Providers where a listed name may stand for a model that reads more."""


class Windows:
    """Knows how much models read, as far as that is listed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: dict[int, tuple[ModelSpec, int | None]] = {}

    def beyond(self, spec: ModelSpec, messages: Sequence[Message]) -> Failure | None:
        """Say that a prompt is too long, where nobody could count it shorter; None elsewhere."""
        window = self._of(spec)
        if not window or estimated_tokens(*(one.content for one in messages)) <= window:
            return None
        # Tokens may be longer than is estimated, but none holds more than one word.
        words = sum(len(one.content.split()) for one in messages)
        if words <= window:
            return None
        said = f"at least {plural(words, 'token')}, where it reads {window:,}; this was not sent"
        return Failure("context_window", said)

    def _of(self, spec: ModelSpec) -> int | None:
        if (found := self._known.get(id(spec))) is None:
            # It holds the model, so that nothing else gets its id.
            found = self._known[id(spec)] = spec, self._listed(spec)
        return found[1]

    def _listed(self, spec: ModelSpec) -> int | None:
        # A header may ask a provider for a larger one.
        headers = any(spec.parameters.get(name) for name in ("headers", "extra_headers"))
        unsure = headers or spec.provider in _NAMED_BY_USERS
        return None if unsure else window_of(self._backend, spec)
