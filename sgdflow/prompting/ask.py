"""One exchange with a model: render, send, read; ask again where the reply is malformed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sgdflow.errors import CallFailed, NodeFailed, PromptError, ReplyError, listed, plural
from sgdflow.llm import LLM, Message, Reply, Usage
from sgdflow.prompting.beside import NOTHING, Beside
from sgdflow.prompting.marks import MARK
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.prompting.values import shortened

AGAIN = "reply/again.jinja"
_APART = 1000
"""So far apart are the sample numbers of the attempts at one reply."""
_QUOTED = 600
"""Characters of a bad reply that its writer is shown again; more of it would be copied."""
_LOOP = 60
"""Characters at the end of a reply that stand in it three times where it goes round in circles."""


@dataclass(frozen=True, slots=True)
class Call:
    """One exchange with a model, as it was sent and answered."""

    node: str
    role: str
    messages: tuple[Message, ...]
    reply: str
    usage: Usage
    malformed: tuple[str, ...] = ()
    """Why earlier replies of this exchange could not be read."""
    times: tuple[float, float] | None = field(default=None, compare=False)
    """When it began and ended, in seconds since 1970, waiting for a turn included."""
    cost: float | None = field(default=0.0, compare=False)
    """US dollars, of all its replies; None where no price is known."""
    seconds: float | None = field(default=0.0, compare=False)
    """How long its replies took, one after another; None where one's time is not known."""

    def answered(self, reply: Reply, began: float) -> Call:
        """Return the call with a reply that came just now."""
        return replace(
            self,
            reply=reply.text,
            usage=self.usage + reply.usage,
            times=(began, time.time()),
            cost=_sum(self.cost, reply.cost),
            seconds=_sum(self.seconds, reply.seconds),
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model was understood to say, by name ('' where only one text was asked for)."""

    texts: Mapping[str, Any]
    """A mapping stands in the place of the one text, where the reply has a schema."""
    call: Call


@dataclass(frozen=True, slots=True)
class Ask:
    """A declared exchange: which template, which model role, which form of reply."""

    prompts: Prompts
    prompt: str
    role: str
    reply: ReplyFormat
    attempts: int = 3
    """How often a malformed reply is asked for, in all."""

    def messages(
        self, variables: Mapping[str, Any], names: Sequence[str] = ()
    ) -> tuple[Message, ...]:
        """Render the prompt without sending it."""
        return self._prompt(variables, names)[0]

    def _prompt(
        self, variables: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[tuple[Message, ...], ReplyFormat]:
        """Return the prompt, and the form of reply that it asks for."""
        mark = self.prompts.mark(self.prompt, variables, self.reply.tag)
        form = replace(self.reply, tag=f"{self.reply.tag}{mark}") if mark else self.reply
        asking = {"reply": form.asking(names), MARK: mark}
        messages = self.prompts.messages(self.prompt, {**variables, **asking})
        if sent := _sent(form):
            messages = (*messages[:-1], replace(messages[-1], form=sent))
        return messages, form

    async def send(
        self,
        llm: LLM,
        node: str,
        variables: Mapping[str, Any],
        names: Sequence[str] = (),
        accept: Callable[[Mapping[str, Any]], None] = lambda texts: None,
        sample: int = 0,
        beside: Beside = NOTHING,
    ) -> Answered:
        """Return the texts of the reply; raises NodeFailed where there are none to be had.

        `accept` raises ReplyError for texts that have the right form but cannot be used;
        the model is then told why and asked again, as for a malformed reply. `sample` tells
        apart several replies to the same prompt; `beside` is sent with it.
        """
        try:
            messages, form = self._prompt(variables, names)
            messages = beside.placed(messages)
        except PromptError as error:  # it fitted the sample, not this example's values
            raise NodeFailed(str(error)) from error
        call = Call(node, self.role, messages, "", Usage())
        conversation, kind, began = messages, "", time.time()
        for attempt in range(self.attempts):
            which = sample + _APART * attempt
            try:
                reply = await llm.complete(self.role, conversation, node=node, sample=which)
            except CallFailed as error:
                raise NodeFailed(str(error), (call,), error.kind) from error
            call = call.answered(reply, began)
            try:
                texts = _read(reply, form, names)
                accept(texts)
            except ReplyError as error:
                kind = error.kind
                call = replace(call, malformed=(*call.malformed, str(error)))
                conversation = (*messages, *self._again(reply, form, names, error, attempt + 1))
                continue
            return Answered(texts, call)
        raise NodeFailed(
            f"{plural(self.attempts, 'reply')} of the {self.role} model could not be used: "
            f"{call.malformed[-1]}",
            (call,),
            kind,
        )

    def problems(
        self, sample: Mapping[str, Any], owner: str, names: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yield what is wrong with the prompt, tried with sample values of its variables."""
        sample = {**sample, "reply": self.reply.asking(names)}
        yield from self.prompts.problems(self.prompt, sample, owner)
        if not self.reply.accepts(names):
            yield (
                f"prompts/{self.prompt}: the reply format '{self.reply.format}' cannot carry "
                f"{f'one text for each of {listed(names)}' if names else 'a single text'}; "
                "use tagged or json."
            )

    def _again(
        self,
        reply: Reply,
        form: ReplyFormat,
        names: Sequence[str],
        error: ReplyError,
        attempt: int,
    ) -> tuple[Message, ...]:
        """Return what is said after a reply that could not be used: what it was, and what for."""
        cut = error.kind == "truncated"
        variables = {"reason": str(error), "truncated": cut, "reply": form.asking(names)}
        quoted = shortened(reply.text.strip(), _QUOTED) or "(empty)"
        looping = cut and repeats_itself(reply.text)
        return (
            Message("assistant", quoted),
            Message(
                "user",
                self.prompts.text(AGAIN, variables),
                again=True,
                longer=attempt if cut and not looping else 0,
                form=_sent(form),
            ),
        )


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def repeats_itself(text: str) -> bool:
    """Return whether a text ends in a loop: then it would fill any limit."""
    end = text[-_LOOP:]
    return len(text) >= 3 * _LOOP and text.count(end) >= 3


def _sent(form: ReplyFormat) -> str:
    return form.schema.text if form.schema is not None else ""


def _read(reply: Reply, form: ReplyFormat, names: Sequence[str]) -> Mapping[str, Any]:
    if not reply.text.strip():
        raise ReplyError("it is empty", "truncated" if reply.truncated else "empty")
    return form.read(reply.text, names, cut=reply.truncated)
