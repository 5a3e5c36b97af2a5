"""What to change where no model can be read, by the keys of the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from sgdflow.config import schema
from sgdflow.executor.evaluation import First

_ROOM = 2048
"""Tokens for a reply, where no limit is declared."""


def first_of(config: schema.Config) -> First | None:
    """Return which examples are tried before all others, with advice by key."""
    count = config.llm.limits.first
    return None if count is None else First(count, Remedies(config))


@dataclass(frozen=True, slots=True)
class Remedies:
    """Says what to change after a kind of failure at a node."""

    config: schema.Config

    def __call__(self, kind: str, node: str) -> str:
        """Return advice, empty where the failure carries its own."""
        told = self._own(node, "reply")
        where = f"graph.nodes.{node}.forward" if told is not None else "graph.forward"
        forward = told or self.config.graph.forward
        match kind:
            case "truncated":
                key, limit = self._limit(forward.role)
                return (
                    f"Give replies more room ({key}={limit}), ask for shorter ones, or use what "
                    f"there is ({where}.reply.truncated=keep)."
                )
            case "malformed" if forward.reply.schema_ is not None:
                return (
                    f"Ask for less ({where}.reply.schema), or another model "
                    f"(llm.models.{forward.role}=PROVIDER/MODEL)."
                )
            case "malformed" if forward.reply.format == "tagged" and (
                forward.reply.untagged == "fail"
            ):
                return (
                    f"Take replies without tags whole ({where}.reply.untagged=whole), or all "
                    f"replies as they are ({where}.reply.format=text)."
                )
            case "malformed":
                return f"Take replies as they are: {where}.reply.format=text."
            case "code":
                return (
                    "Mend that function or template, or what it is given. Where it may fail, what "
                    "it raises can count as 0: task.errors=zero."
                )
        return self._without_text(kind, node)

    def _without_text(self, kind: str, node: str) -> str:
        """Return advice where a model has no text to give."""
        role = (self._own(node, "role") or self.config.graph.forward).role
        own = self._own(node, "prompt") is not None
        where = f"graph.nodes.{node}.forward" if own else "graph.forward"
        model = f"llm.models.{role}=PROVIDER/MODEL"
        match kind:
            case "empty":
                return f"Try another model ({model}), or ask in other words ({where}.prompt=FILE)."
            case "refusal" | "content_filter":
                words = self._wording(node, where)
                return f"Ask in other words ({words}), or another model ({model})."
            case "context_window":
                return (
                    f"Take a model with a larger window ({model}), or a prompt that shows less "
                    f"({where}.prompt=FILE)."
                )
            case "reasoning_only":
                return (
                    "Switch thinking off, which vLLM, SGLang and llama.cpp do with "
                    f"{self._thoughtless(role)}, or take another model ({model})."
                )
        return ""

    def _wording(self, node: str, where: str) -> str:
        """Return what to override to tell a node the same in other words."""
        conf = self.config.graph.nodes.get(node)
        told = {} if conf is None else conf.parameters
        own = next((name for name, value in told.items() if isinstance(value, str)), None)
        return (
            f"{where}.prompt=FILE" if own is None else f"graph.nodes.{node}.parameters.{own}=TEXT"
        )

    def _thoughtless(self, role: str) -> str:
        """Return what to override for a model that answers without thoughts."""
        model, key = self.config.llm.models.get(role), f"llm.models.{role}"
        if isinstance(model, schema.Model):
            return f"'{key}.parameters.chat_template_kwargs={{enable_thinking: false}}'"
        off = "parameters: {chat_template_kwargs: {enable_thinking: false}}"
        return f"'{key}={{model: {model or 'PROVIDER/MODEL'}, {off}}}'"

    def _own(self, node: str, key: str) -> schema.Forward | None:
        """Return how a node is asked, where it says that key itself."""
        conf = self.config.graph.nodes.get(node)
        if conf is None or not isinstance(conf.forward, schema.Forward):
            return None
        return conf.forward if key in conf.forward.model_fields_set else None

    def _limit(self, role: str) -> tuple[str, int]:
        """Return the key of the token limit of a role, and twice its value."""
        model = self.config.llm.models.get(role)
        own = model.parameters if isinstance(model, schema.Model) else {}
        for name in ("max_tokens", "max_completion_tokens"):
            if isinstance(limit := own.get(name), int):
                return f"llm.models.{role}.parameters.{name}", 2 * limit
            if isinstance(limit := self.config.llm.parameters.get(name), int):
                return f"llm.parameters.{name}", 2 * limit
        return "llm.parameters.max_tokens", _ROOM
