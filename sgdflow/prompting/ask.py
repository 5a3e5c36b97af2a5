"""One exchange with a model: render, send, read; ask again where the reply is malformed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgdflow.errors import CallFailed, NodeFailed, PromptError, ReplyError, listed
from sgdflow.llm import LLM, Message, Reply, Usage
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

AGAIN = "reply/again.jinja"


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


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model was understood to say, by name ('' where only one text was asked for)."""

    texts: Mapping[str, str]
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
        return self.prompts.messages(self.prompt, {**variables, "reply": self.reply.asking(names)})

    async def send(
        self,
        llm: LLM,
        node: str,
        variables: Mapping[str, Any],
        names: Sequence[str] = (),
        accept: Callable[[Mapping[str, str]], None] = lambda texts: None,
        sample: int = 0,
    ) -> Answered:
        """Return the texts of the reply; raises NodeFailed where there are none to be had.

        `accept` raises ReplyError for texts that have the right form but cannot be used;
        the model is then told why and asked again, as for a malformed reply. `sample` tells
        apart several replies to the same prompt.
        """
        try:
            messages = self.messages(variables, names)
        except PromptError as error:  # it fitted the sample, not this example's values
            raise NodeFailed(str(error)) from error
        call = Call(node, self.role, messages, "", Usage())
        conversation, kind = messages, ""
        for _ in range(self.attempts):
            try:
                reply = await llm.complete(self.role, conversation, node=node, sample=sample)
            except CallFailed as error:
                raise NodeFailed(str(error), (call,), error.kind) from error
            call = replace(call, reply=reply.text, usage=call.usage + reply.usage)
            try:
                texts = self._read(reply, names)
                accept(texts)
            except ReplyError as error:
                kind = error.kind
                call = replace(call, malformed=(*call.malformed, str(error)))
                conversation = self._again(conversation, reply, str(error))
                continue
            return Answered(texts, call)
        raise NodeFailed(
            f"{self.attempts} replies of the {self.role} model could not be used: "
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

    def _read(self, reply: Reply, names: Sequence[str]) -> Mapping[str, str]:
        if reply.truncated:
            raise ReplyError("it was cut off at the token limit", "truncated")
        if not reply.text.strip():
            raise ReplyError("it is empty", "empty")
        return self.reply.read(reply.text, names)

    def _again(
        self, conversation: tuple[Message, ...], reply: Reply, reason: str
    ) -> tuple[Message, ...]:
        """Go on with a conversation; it grows, as the same request would get the same reply."""
        more = Message("user", self.prompts.text(AGAIN, {"reason": reason}), again=True)
        return (*conversation, Message("assistant", reply.text or "(empty)"), more)
