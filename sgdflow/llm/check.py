"""One word from each model before the first call: a wrong name or key costs no batch."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sgdflow.errors import ProviderRefused, listed, plural
from sgdflow.llm import Reply
from sgdflow.llm.address import unreachable
from sgdflow.llm.caller import ANSWERS, WORD, Call, Caller
from sgdflow.llm.failures import KINDS, Failure, at, reason
from sgdflow.llm.models import ModelSpec
from sgdflow.llm.sharing import InFlight

log = logging.getLogger(__name__)

_PATIENCE = 4.0
"""Seconds that a connection may take."""
_LONG = 10.0
"""Seconds after which it is said who has not answered yet."""


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

    async def passed(self, caller: Caller, load: Callable[[], None]) -> None:
        """Return when all is well; raises ProviderRefused with all that is not.

        `load` is called before anybody is asked: it takes seconds, which nobody waits for where
        nothing can be reached.
        """
        if self._models and not self._refused:
            await self._flight.result(b"", lambda: self._make(caller, load))
        if self._refused:
            raise ProviderRefused(self._refused)

    async def _make(self, caller: Caller, load: Callable[[], None]) -> None:
        roles: dict[str, list[str]] = {}
        specs: dict[str, ModelSpec] = {}
        for role, declared in self._models.items():
            for spec in declared.line:
                roles.setdefault(_which(spec), []).append(role)
                specs.setdefault(_which(spec), spec)
        asking = [_Asking(caller, roles[which], spec) for which, spec in specs.items()]
        lacks = await asyncio.gather(*(one.reached() for one in asking))
        if not all(lacks):
            load()
        pairs = zip(asking, lacks, strict=True)
        lacks = await asyncio.gather(*(one.answered(lack) for one, lack in pairs))
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
_WAITING = "%s was asked for one word and has not answered yet. The first call waits for it."


@dataclass(frozen=True, slots=True)
class _Asking:
    """One model, asked for all roles that it plays."""

    caller: Caller
    roles: list[str]
    spec: ModelSpec

    async def reached(self) -> _Lack | None:
        """Say why nothing can be reached at a declared address."""
        if self.spec.in_process or self.spec.api_base is None:
            return None
        asked = (unreachable(one, _PATIENCE) for one in self.spec.addresses)
        said = await asyncio.gather(*asked)
        return self._lack(Failure("unreachable", said[0]), 1) if all(said) else None

    async def answered(self, lack: _Lack | None) -> _Lack | None:
        """Say why the model does not answer, where nothing was found lacking before."""
        if self.spec.in_process or lack is not None:
            return lack
        call = Call(self.roles[0], self.spec, WORD, "check", 0, counts=False)
        tell = asyncio.get_running_loop().call_later(_LONG, log.info, _WAITING, self._who())
        try:
            found, attempts = await self.caller.ask(call, self.spec)
        finally:
            tell.cancel()
        if isinstance(found, Reply) or found.kind in ANSWERS:
            return None
        return self._lack(found, attempts)

    def _lack(self, failure: Failure, attempts: int) -> _Lack:
        tried = f" in {plural(attempts, 'attempt')}" if attempts > 1 else ""
        line = f"{self._who()}{tried}: {reason(failure, self.roles[0], self.spec)}"
        return _Lack(self.caller.redact(line), KINDS[failure.kind].refuses)

    def _who(self) -> str:
        where = "its provider's address" if self.spec.api_base is None else at(self.spec)
        roles = listed(dict.fromkeys(self.roles))
        return self.caller.redact(f"{self.spec.model} at {where} (llm.models.{roles})")


def _which(spec: ModelSpec) -> str:
    """Return what one answer stands for: the same model, asked in the same way."""
    how = [spec.model, spec.addresses, spec.api_key_env, dict(spec.parameters)]
    return json.dumps(how, sort_keys=True, default=str)
