"""What is sent with a prompt and is no text of its own: turns before it, images beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgdflow.errors import shortly
from sgdflow.llm import Message

_ROLES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Beside:
    """Turns of a conversation so far, images as data URLs, and a temperature."""

    turns: tuple[Message, ...] = ()
    images: tuple[str, ...] = ()
    after: tuple[Message, ...] = ()
    """Turns that follow the prompt, such as calls of tools and what they returned."""
    temperature: float | None = None
    """That it is answered at; None: that of the model."""

    def placed(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return a prompt with the turns behind its system message, and the images at its end."""
        first = [said for said in messages[:1] if said.role == "system"]
        *others, last = messages[len(first) :]
        shown = replace(last, images=self.images) if self.images else last
        if self.temperature is not None:
            shown = replace(shown, temperature=self.temperature)
        if not self.after:
            return (*first, *self.turns, *others, shown)
        *turns, end = self.after
        return (*first, *self.turns, *others, shown, *turns, replace(end, form=last.form))


NOTHING = Beside()


def turns_of(value: Any) -> tuple[Message, ...]:
    """Return the turns that a value holds; raises ValueError where it is no conversation."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"is {shortly(repr(value))}, no list of turns, {_SUCH}")
    found = []
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, Mapping) or not isinstance(turn.get("content"), str):
            raise ValueError(f"has a turn {number} without a content that is a text, {_SUCH}")
        if turn.get("role") not in _ROLES:
            role = shortly(repr(turn.get("role")))
            raise ValueError(f"has a turn {number} of the role {role}; there are user, assistant")
        if turn["content"].strip():
            found.append(Message(turn["role"], turn["content"]))
    return tuple(found)


_SUCH = 'such as [{"role": "user", "content": "Hello."}]'
