"""The language models of a run: who plays a role, what was answered before, what it all took."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from sgdflow.errors import CallFailed, ConfigError, NotStored, did_you_mean, listed
from sgdflow.llm import Message, Reply, Spent
from sgdflow.llm.allowance import Cap
from sgdflow.llm.answers import Answered, Failed, place
from sgdflow.llm.backend import Backend
from sgdflow.llm.caller import Call, Caller
from sgdflow.llm.check import Check
from sgdflow.llm.credentials import around, check_keys, sent
from sgdflow.llm.known import Known
from sgdflow.llm.models import Limits, ModelSpec, Request, located
from sgdflow.llm.queue import Line
from sgdflow.llm.sharing import InFlight
from sgdflow.llm.store import Store
from sgdflow.llm.together import Together
from sgdflow.llm.transports import reached_by
from sgdflow.secrets import Redactor, Seal

log = logging.getLogger(__name__)

__all__ = ["Client", "Limits", "ModelSpec"]

_SHOWN = 80


@dataclass(frozen=True)
class _Here:
    """What belongs to one event loop."""

    loop: asyncio.AbstractEventLoop
    caller: Caller
    in_flight: InFlight[Reply] = field(default_factory=InFlight)


class Client:
    """Answers chat requests with the model declared for each role.

    Where the temperature is 0 the same request is made once, however often and whenever it
    is asked, so that the number of calls does not depend on timing. At other temperatures a
    request stands for its seed, node, asker, and how many of its kind came before.
    Close it at the end of each event loop that used it (`async with`, or `aclose`).
    """

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        limits: Limits,
        keys: Mapping[str, str],
        store: Store | None = None,
        seed: int = 0,
        check: Collection[str] = (),
        backend: Backend | None = None,
        account: str = "",
    ) -> None:
        """Declare the models by role; `keys` is the environment that holds their keys.

        `seed` tells runs apart whose models answer at random. The models of the roles in
        `check` are asked for one word before the first call. Without a `backend`, litellm
        reaches all of them. Limits that are shared hold for all with the same `account`.
        """
        models = {role: located(spec, keys) for role, spec in models.items()}
        replays = store is not None and store.replays
        if not replays and (missing := check_keys(models, keys)):
            raise ConfigError("\n".join(missing))
        self._models, self._limits, self._store, self._seed = dict(models), limits, store, seed
        specs = [spec for declared in models.values() for spec in declared.line]
        wanted = {spec.api_key_env for spec in specs if spec.api_key_env}
        self._keys = {name: keys[name] for name in wanted if name in keys}
        secrets = list(sent(models, keys))
        self._redact = Redactor([*self._keys.values(), *secrets, *around(models, keys)])
        self._seal = Seal(secrets)
        self.known = Known(models)
        self._check = Check({role: spec for role, spec in self._models.items() if role in check})
        self._backend = backend or reached_by("auto")
        self._account, self._loaded = account, False
        self._told: set[str] = set()
        self._bound: _Here | None = None

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return the reply of the model that plays `role`; see the protocol."""
        spec = self._models.get(role)
        if spec is None:
            raise ConfigError(
                f"No model plays the role '{role}'.{did_you_mean(role, self._models)} "
                f"llm.models has: {listed(self._models)}."
            )
        call = Call(role, spec, tuple(messages), node, spec.which(messages, sample))
        requests = tuple(spec.requests(messages, self._which(call)))
        key = requests[0].key
        self.known.accounts.asked(key, role, node)
        if key in self.known.answered:
            return self.known.answered[key]
        flights = self._here().in_flight
        return await flights.result(key.encode(), lambda: self._obtain(call, requests))

    def forget(self) -> None:
        """Drop replies and bills held in memory; sums stay, and the store keeps its own replies."""
        self.known.forget()

    def spent(self) -> Mapping[str, Spent]:
        """Return what the run's requests took so far, by role; every attempt counts as a call.

        A request whose reply was stored counts as what it took when it was answered.
        """
        return self.known.accounts.spent()

    def by_node(self) -> Mapping[str, Mapping[str, Spent]]:
        """Return the same by role and what the calls were made for."""
        return self.known.accounts.by_node()

    def latencies(self) -> Mapping[str, Sequence[float]]:
        """Return the seconds that calls really made and answered took, by role, in order."""
        return self.known.session.latencies

    def session(self) -> str:
        """Say what was really sent, and how many calls could be made at once in the end."""
        words = self.known.session.words()
        if self._bound is not None and self.known.session.sent.total().calls:
            words += f"; {_at_once(self._bound.caller.line.concurrency())}"
        return words

    async def aclose(self) -> None:
        """Close the connections, which with litellm all clients of the process share."""
        if self._bound is not None:
            self._bound.caller.cap.close()
        self._bound = None
        await self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _which(self, call: Call) -> Any:
        """Return what tells apart requests with the same messages that are not the same."""
        if call.spec.repeats(call.messages):
            return call.sample
        # Without one it is a request as it was before askers were told apart.
        asker = [call.messages[0].asker] if call.messages[0].asker else []
        plain = next(call.spec.requests(call.messages, [call.sample, call.node, *asker]))
        self.known.asked[plain.key] += 1
        return [call.sample, self._seed, call.node, self.known.asked[plain.key], *asker]

    def _here(self) -> _Here:
        loop = asyncio.get_running_loop()
        if self._bound is None or self._bound.loop is not loop:
            line = Line(self._limits, self._models)
            cap = self._cap()
            how = self._limits, self._keys, self._redact, self.known.session
            caller = Caller(self._backend, line, cap, *how)
            self._bound = _Here(loop, caller)
        return self._bound

    def _cap(self) -> Cap:
        shared = self._limits.shared and self._account
        if shared and self._store is not None and not self._store.replays:
            return Together(self._limits, self._store.place, self._account)
        return Cap(self._limits.budget, self.known.accounts.total())

    async def _obtain(self, call: Call, requests: Sequence[Request]) -> Reply:
        """Find or ask for a reply that the run has not had yet, and count it."""
        found = await self._find(requests)
        if found is None:
            if self._store is not None and self._store.replays:
                raise self._not_stored(call, requests[0])
            found = await self._of_others(requests)
        if found is None:
            try:
                found = await self._ask(call, requests)
            except BaseException:
                self.known.accounts.add(requests[0].key, call.role, call.node, call.bill.total())
                raise
            finally:
                if self._store is not None:
                    self._store.give_back(requests[0].key)
        else:
            if isinstance(found, Answered):
                self.known.session.found(place(found), found.time)
            self._here().caller.cap.found(found.spent)
        self.known.accounts.add(requests[0].key, call.role, call.node, found.spent)
        if isinstance(found, Failed):
            raise CallFailed(found.message, found.kind)
        self.known.answered.keep(requests[0].key, found.reply)
        return found.reply

    async def _find(self, requests: Sequence[Request]) -> Answered | Failed | None:
        if self._store is None:
            return None
        for request in requests:
            if (found := await self._store.find(request.key)) is not None:
                return self._shown(found) if isinstance(found, Answered) else found
        return None

    async def _of_others(self, requests: Sequence[Request]) -> Answered | Failed | None:
        """Wait for a reply that another process asks for; None where this one has to ask."""
        if self._store is None:
            return None
        mine = await self._store.claimed(requests[0].key)
        # Whose first model gave no reply has stored that of a fallback, under another key.
        try:
            found = await self._find(requests) if not mine or requests[1:] else None
        except BaseException:
            self._store.give_back(requests[0].key)
            raise
        if mine and found is not None:
            self._store.give_back(requests[0].key)
        return found

    async def _ask(self, call: Call, requests: Sequence[Request]) -> Answered:
        await self._tell_of_others(call.spec)
        caller = self._here().caller
        await self._check.passed(caller, self._load)
        self._load()
        try:
            reply, number = await caller.reply(call)
        except CallFailed as error:
            if self._store is not None:
                failed = Failed(str(error), error.kind, call.bill.total())
                text = self._seal.hide(requests[0].text)
                await self._store.note(requests[0].key, text, call.spec.model, failed)
            raise
        spec = call.spec.line[number]
        found = Answered(reply, call.bill.total(), spec.model, spec.answers)
        if self._store is None:
            return found
        request, text = requests[number], self._seal.hide(reply.text)
        hidden = replace(found, reply=replace(reply, text=text)) if text != reply.text else found
        return self._shown(
            await self._store.keep(request.key, self._seal.hide(request.text), hidden)
        )

    def _shown(self, stored: Answered) -> Answered:
        """Return what was answered with the secrets that the file does not hold."""
        text = self._seal.show(stored.reply.text)
        if text == stored.reply.text:
            return stored
        return replace(stored, reply=replace(stored.reply, text=text))

    async def _tell_of_others(self, spec: ModelSpec) -> None:
        """Say once of a model that all its stored replies are from other endpoints."""
        if self._store is None or spec.in_process or spec.model in self._told:
            return
        self._told.add(spec.model)
        if others := await self._store.elsewhere(spec.model, spec.answers):
            reply = Reply("")
            places = [place(Answered(reply, Spent(), spec.model, one)) for one in others]
            log.warning(
                "%s has replies of %s, but from %s: they are not used for %s. Where that is the "
                "same server, llm.endpoint=NAME says so, and `sgdflow cache claim NAME` counts "
                "those that are there as its own (docs/llm.md).",
                self._store.place,
                spec.model,
                listed(places),
                spec.answers or "the provider's own address",
            )

    def _load(self) -> None:
        if not self._loaded:
            specs = [spec for declared in self._models.values() for spec in declared.line]
            self._backend.load(specs)
            self._loaded = True
            for address in dict.fromkeys(spec.api_base for spec in specs if spec.moved):
                log.info("%s", self._redact(f"The environment leads calls to {address}."))

    def _not_stored(self, call: Call, request: Request) -> NotStored:
        assert self._store is not None
        said = " ".join(call.messages[-1].content.split())
        shown = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."
        return NotStored(
            f"{self._store.place} has no reply to a request of node {call.node} "
            f"({call.spec.model}, llm.models.{call.role}), and llm.store.mode=replay asks nobody. "
            f'Its last message begins: "{self._redact(shown)}". Its key: {request.key}. '
            "Either the configuration, the templates or the data are not those of the run that "
            "filled the store, or it did not end; llm.store.mode=use asks for what is missing."
        )


def _at_once(concurrency: Mapping[str, tuple[int, int]]) -> str:
    """Say what has become of the declared concurrency."""
    less = [f"{now} of {most} {role}" for role, (now, most) in concurrency.items() if now < most]
    most = max(most for _, most in concurrency.values())
    return f"calls at once: {', '.join(less) or most}"
