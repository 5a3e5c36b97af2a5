"""One word from each model before the first call: a wrong name or key costs no batch."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sgdflow.errors import ProviderRefused, listed, plural
from sgdflow.llm import Message, Reply
from sgdflow.llm.caller import Call, Caller, InFlight
from sgdflow.llm.failures import KINDS, reason
from sgdflow.llm.models import ModelSpec

log = logging.getLogger(__name__)

_WORD = (Message("user", "Reply with the word yes."),)
# Whoever says so has taken the key, knows the model and has read the question.
_ANSWERS = frozenset(
    {
        "content_filter",
        "context_window",
        "empty",
        "reasoning_only",
        "refusal",
        "tool_call",
        "truncated",
    }
)


@dataclass(frozen=True, slots=True)
class _Lack:
    """Why a model did not answer."""

    line: str
    refuses: bool


class Check:
    """Lets calls pass as soon as every role has a model that answers; made once.

    The question is sent as all calls of the role are, with the declared parameters.
    """

    def __init__(self, models: Mapping[str, ModelSpec]) -> None:
        """Declare whom to ask, by role."""
        self._models = models
        self._flight: InFlight[None] = InFlight()
        self._refused = ""

    async def passed(self, caller: Caller) -> None:
        """Return when all is well; raises ProviderRefused with all that is not."""
        if self._models and not self._refused:
            await self._flight.result(b"", lambda: self._make(caller))
        if self._refused:
            raise ProviderRefused(self._refused)

    async def _make(self, caller: Caller) -> None:
        roles: dict[str, list[str]] = {}
        specs: dict[str, ModelSpec] = {}
        for role, declared in self._models.items():
            for spec in declared.line:
                roles.setdefault(_which(spec), []).append(role)
                specs.setdefault(_which(spec), spec)
        lacks = await asyncio.gather(
            *(_ask(caller, roles[which], spec) for which, spec in specs.items())
        )
        self._judge(caller, dict(zip(specs, lacks, strict=True)))

    def _judge(self, caller: Caller, lacks: Mapping[str, _Lack | None]) -> None:
        alone: dict[str, None] = {}
        helped: dict[str, None] = {}
        for declared in self._models.values():
            found = [(spec, lacks[_which(spec)]) for spec in declared.line]
            lines = dict.fromkeys(lack.line for _, lack in found if lack)
            if all(lack for _, lack in found):
                alone |= lines
                continue
            helped |= lines
            for spec, lack in found:
                if lack and lack.refuses:
                    caller.pass_over(spec)
        if alone:
            self._refused = "\n".join([_BEFORE, *(f"  {line}" for line in alone), _AFTER])
            return
        for line in helped:
            log.warning("%s Another one of llm.fallbacks or llm.models answers instead.", line)
        self._models = {}


_BEFORE = "Before the first call every model is asked for one word, and not all answer:"
_AFTER = "Nothing else was sent. llm.check=false starts without asking."


async def _ask(caller: Caller, roles: list[str], spec: ModelSpec) -> _Lack | None:
    if spec.in_process:
        return None
    call = Call(roles[0], spec, _WORD, "check", 0, counts=False)
    found, attempts = await caller.ask(call, spec)
    if isinstance(found, Reply) or found.kind in _ANSWERS:
        return None
    at = f"api_base={spec.api_base}" if spec.api_base else "its provider's address"
    tried = f" in {plural(attempts, 'attempt')}" if attempts > 1 else ""
    which = f"{spec.model} at {at} (llm.models.{listed(dict.fromkeys(roles))})"
    line = f"{which}{tried}: {reason(found, roles[0], spec)}"
    return _Lack(caller.redact(line), KINDS[found.kind].refuses)


def _which(spec: ModelSpec) -> str:
    """Return what one answer stands for: the same model, asked in the same way."""
    how = [spec.model, spec.api_base, spec.api_key_env, dict(spec.parameters)]
    return json.dumps(how, sort_keys=True, default=str)
