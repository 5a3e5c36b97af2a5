"""Makes calls: in line, again or with the next model where needed."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sgdflow.errors import (
    BudgetSpent,
    CallFailed,
    EndpointDown,
    LLMError,
    ProviderRefused,
    plural,
)
from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.llm.allowance import Cap
from sgdflow.llm.backend import Answer, Backend
from sgdflow.llm.failures import KINDS, Failure, classify, error_of
from sgdflow.llm.ledger import Ledger, Session
from sgdflow.llm.models import Limits, ModelSpec, estimated_tokens
from sgdflow.llm.outage import KINDS as DOWN
from sgdflow.llm.outage import Outages
from sgdflow.llm.queue import Line
from sgdflow.llm.windows import Windows
from sgdflow.secrets import Redactor

log = logging.getLogger(__name__)

_LONGEST_WAIT = 60.0
_ROUNDS = 4
"""How often a request that fails where others are answered is tried, each time with retries."""
WORD = (Message("user", "Reply with the word yes."),)
# Whoever says so has taken the key, knows the model and has read the question.
ANSWERS = frozenset(
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


@dataclass(frozen=True)
class Call:
    """What is asked, and for whom."""

    role: str
    spec: ModelSpec
    messages: tuple[Message, ...]
    node: str
    sample: int
    bill: Ledger = field(default_factory=lambda: Ledger(["call"]))
    """What all attempts took."""
    counts: bool = True
    """Whether it is one of the run's own."""


class Caller:
    """Gets replies from providers; belongs to one event loop."""

    def __init__(
        self,
        backend: Backend,
        line: Line,
        cap: Cap,
        limits: Limits,
        keys: Mapping[str, str],
        redact: Redactor,
        session: Session,
    ) -> None:
        self.line, self.cap, self.redact = line, cap, redact
        self._backend = backend
        self._limits, self._keys, self._session = limits, keys, session
        self._windows = Windows(backend)
        self._random = random.Random()
        self._refused: set[int] = set()
        self._told = False
        """Whether it was said that calls may wait at the server."""
        self._outages = Outages(limits.outage, limits.backoff, self._word, redact)

    async def reply(self, call: Call) -> tuple[Reply, int]:
        """Return a reply and who of the model and its fallbacks gave it.

        Raises what the last of them raised; CallFailed rather than ProviderRefused, where one
        of them may still answer other calls.
        """
        if call.messages[-1].again:
            self._count(call, Spent(faults={"malformed": 1}))
        errors: list[LLMError] = []
        for number, spec in enumerate(call.spec.line):
            if id(spec) in self._refused and number + 1 < len(call.spec.line):
                continue
            try:
                return await self._of_one(call, spec), number
            except LLMError as error:
                errors.append(error)
                if number + 1 < len(call.spec.line):
                    self._say(error, spec, call.spec.line[number + 1])
        raise _joined(errors)

    def _say(self, error: LLMError, spec: ModelSpec, following: ModelSpec) -> None:
        if isinstance(error, ProviderRefused):
            self.pass_over(spec)
            log.warning("%s From here on, %s is asked instead.", error, following.model)
        else:
            log.debug("%s Now %s is asked.", error, following.model)

    async def _of_one(self, call: Call, spec: ModelSpec) -> Reply:
        if (long := self._windows.beyond(spec, call.messages)) is not None:
            self._count(call, Spent(faults={long.kind: 1}))
            raise error_of(long, call.role, spec, call.node, 0, self.redact)
        before, rounds = call.bill.total(), 1
        found, attempts = await self.ask(call, spec)
        # Whoever has a fallback does not wait.
        while isinstance(found, Failure) and spec is call.spec.line[-1] and rounds < _ROUNDS:
            waited = await self._waited(call, spec, found, before)
            # A word was answered in time: this request takes too long.
            if waited is None or (not waited and found.kind == "timeout"):
                break
            rounds += not waited
            found, more = await self.ask(call, spec)
            attempts += more
        if isinstance(found, Reply):
            return found
        # Raised out here, it does not drag along the provider's error with its request.
        raise error_of(found, call.role, spec, call.node, attempts, self.redact)

    async def _waited(
        self, call: Call, spec: ModelSpec, failure: Failure, before: Spent
    ) -> bool | None:
        """Wait where the endpoint is down; see `Outages.over`.

        What went unanswered in an outage cost nothing, and is no part of the run or its budget.
        """
        took, waited = call.bill.total() - before, None
        # Already now: the word that it is asked meanwhile needs room, too.
        self.cap.add(Spent() - took)
        try:
            waited = await self._outages.over(call.role, spec, failure)
        finally:
            if waited:
                call.bill.clear()
                call.bill.add("call", before)
            else:
                self.cap.add(took)
        return waited

    async def ask(self, call: Call, spec: ModelSpec) -> tuple[Reply | Failure, int]:
        """Return a model's reply, or why there is none, and the number of attempts."""
        attempts = 0
        while True:
            found = await self._in_turn(call, spec)
            attempts += 1
            if isinstance(found, Reply) or found.kind in ANSWERS:
                self._outages.answered(spec)
            if isinstance(found, Reply):
                return found, attempts
            self._count(call, Spent(faults={found.kind: 1}))
            if attempts > min(self._limits.retries, KINDS[found.kind].retries):
                return found, attempts
            await asyncio.sleep(self._wait(attempts, found.after))

    async def _word(self, role: str, spec: ModelSpec) -> Failure | None:
        """Ask for one word; return why nothing was said."""
        found = await self._in_turn(Call(role, spec, WORD, "check", 0, counts=False), spec)
        still = isinstance(found, Failure) and found.kind in DOWN | {"bad_reply"}
        return found if isinstance(found, Failure) and still else None

    def pass_over(self, spec: ModelSpec) -> None:
        """Ask a model no more, unless no other is left."""
        self._refused.add(id(spec))

    async def _in_turn(self, call: Call, spec: ModelSpec) -> Reply | Failure:
        texts = (message.content for message in call.messages)
        longest = spec.sent(call.messages).get("max_tokens")
        tokens = estimated_tokens(*texts) + (longest if isinstance(longest, int) else 0)
        turn = await self.line.enter(call.role, tokens)
        found: Reply | Failure | None = None
        used = None
        try:
            await self.cap.enter(tokens)
            with self.cap.passed():
                found, used = await self._attempt(call, spec)
            return found
        finally:
            full = isinstance(found, Failure) and self._too_many(found)
            self.line.leave(turn, tokens=used, succeeded=isinstance(found, Reply), full=full)

    async def _attempt(self, call: Call, spec: ModelSpec) -> tuple[Reply | Failure, int | None]:
        self._count(call, Spent(calls=1))
        timeout, began = self._limits.timeout, time.monotonic()
        key = self._keys.get(spec.api_key_env or "")
        try:
            # litellm enforces a timeout for some providers only.
            async with asyncio.timeout(timeout):
                answer = await self._backend.ask(
                    spec, call.messages, sample=call.sample, key=key, seconds=timeout
                )
        except Exception as error:
            failure = classify(error)
            if failure is None:
                raise
            return self._with_others(failure), None
        seconds = time.monotonic() - began
        self._session.answered(call.role, seconds)
        faults = {} if answer.counted else {"usage": 1}
        again = answer.usage if call.messages[-1].again else Usage()
        self._count(call, Spent(0, answer.usage, answer.cost, faults, again))
        found = self._judge(answer)
        if isinstance(found, Reply):
            found = replace(found, seconds=round(seconds, 6))
        return found, answer.usage.prompt + answer.usage.completion

    def _too_many(self, failure: Failure) -> bool:
        """Return whether a call failed because others were made at the same time, as may be."""
        return failure.kind == "rate_limit" or (failure.kind == "timeout" and self.line.busy > 1)

    def _with_others(self, failure: Failure) -> Failure:
        """Say of a call without an answer in time how many others the server had to answer."""
        if not self._too_many(failure) or failure.kind != "timeout":
            return failure
        others, seconds = plural(self.line.busy - 1, "other call"), f"{self._limits.timeout:g} s"
        if not self._told:
            self._told = True
            log.warning(
                "A call had no answer in %s (llm.limits.timeout), with %s under way. A server that "
                "answers fewer at once lets the rest wait, and that counts. From here on fewer are "
                "made at once; llm.limits.concurrency says how many at most.",
                seconds,
                others,
            )
        return replace(failure, said=f"{seconds}, with {others} under way")

    def _judge(self, answer: Answer) -> Reply | Failure:
        if answer.finish == "content_filter":
            return Failure("content_filter")
        truncated = answer.finish == "length"
        if not answer.text.strip():
            return Failure("truncated") if truncated else answer.instead or Failure("empty")
        # Half a character, which JSON can carry, could be written to no file.
        text = answer.text.encode("utf-8", "replace").decode()
        return Reply(text, answer.usage, truncated, answer.cost)

    def _wait(self, attempts: int, asked: float | None) -> float:
        longest = min(_LONGEST_WAIT, self._limits.backoff * 2.0 ** (attempts - 1))
        if asked is None:
            return self._random.uniform(0, longest)
        # All who were asked to wait were asked to come back at the same moment.
        return min(_LONGEST_WAIT, asked) + self._random.uniform(0, self._limits.backoff)

    def _count(self, call: Call, more: Spent) -> None:
        call.bill.add("call", more)
        self._session.sent.add(call.role, more)
        if call.counts:
            self.cap.add(more)
        else:
            self.cap.beside(more)


def _joined(errors: list[LLMError]) -> LLMError:
    if len(errors) == 1 or isinstance(errors[-1], BudgetSpent | EndpointDown):
        return errors[-1]
    message = "\n".join(map(str, errors))
    failed = next((error for error in errors if isinstance(error, CallFailed)), None)
    return ProviderRefused(message) if failed is None else CallFailed(message, failed.kind)
