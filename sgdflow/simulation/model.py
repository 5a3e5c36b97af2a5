"""The simulated model: reads a prompt, lets the world that knows the subject answer it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from sgdflow.llm import Message
from sgdflow.simulation.choosing import choice
from sgdflow.simulation.editing import as_edits
from sgdflow.simulation.numbering import another
from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.program import redesign
from sgdflow.simulation.reading import (
    Assess,
    Choose,
    Critique,
    Judge,
    Prompt,
    Redesign,
    Review,
    Revise,
    Rewrite,
    SumUp,
    TellApart,
    Work,
    read,
)
from sgdflow.simulation.summing import joined, requests, summed_up, written_from
from sgdflow.simulation.telling import causes, groups, mended
from sgdflow.simulation.wishes import SETTLED, led, plain


class World(Protocol):
    """Answers prompts about one subject; None where a prompt is about something else."""

    def work(self, prompt: Work) -> str | None:
        """Do a member's work and return its statement."""

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Return a semantic gradient for each target."""

    def revise(self, seen: Seen) -> str | None:
        """Return a value as the feedback asks; None where it asks for nothing that is known."""

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Return the new text of the parameter."""


def answer(worlds: Sequence[World], messages: Sequence[Message], seed: int = 0) -> str:
    """Return the reply to a chat; the same messages and seed always get the same reply."""
    prompt, asked = read(messages, seed)
    for world in worlds:
        texts = _said(world, prompt)
        if texts is not None:
            given = " ".join(prompt.variables.values()) if isinstance(prompt, Work) else ""
            if isinstance(prompt, Critique | SumUp):
                texts = {name: led(text, asked.wishes) for name, text in texts.items()}
            return asked.write(texts, given)
    return asked.write(_at_a_loss(prompt, asked.names))


def known(worlds: Sequence[World], messages: Sequence[Message]) -> bool:
    """Return whether one of the worlds answers the chat."""
    prompt, _ = read(messages, 0)
    return any(_said(world, prompt) is not None for world in worlds)


def _said(world: World, prompt: Prompt) -> Mapping[str, str] | None:
    """Return what a world says, by name; None where it knows nothing of the subject."""
    if isinstance(prompt, SumUp | TellApart | Choose):
        return _single(_of_many(world, prompt))
    match prompt:
        case Work():
            return _single(world.work(prompt))
        case Critique():
            return world.critique(prompt) or None
        case Revise(seen):
            return _single(world.revise(seen))
        case Rewrite():
            return _single(_rewritten(world, prompt))
        case Review(text, examples, seed):
            return _single(_review(text, world.rewrite(Rewrite(text, examples, seed))))
        case Redesign():
            changed = redesign(world, prompt)
            return None if changed is None else {"reasoning": _reasons(changed), **changed}
        case Assess(output, expected):
            verdict = "right" if output.strip() == expected.strip() else "wrong"
            return {"": f"The output is {verdict}. The expected answer is: {expected}"}
        case Judge():
            return _judged(prompt)


def _judged(prompt: Judge) -> Mapping[str, str]:
    """Score by how many of the words that the rubric puts in quotes stand in the output.

    Where it puts none there, by whether what was expected does.
    """
    wanted = re.findall(r'"([^"]+)"', prompt.rubric)
    lacking = [word for word in wanted if word.casefold() not in prompt.output.casefold()]
    share = 1 - len(lacking) / (len(wanted) or 1)
    said = f"It lacks: {', '.join(lacking)}." if lacking else "It lacks nothing."
    whole = rf"(?<!\w){re.escape(prompt.expected)}(?!\w)"
    unmet = prompt.expected and not re.search(whole, prompt.output, re.IGNORECASE)
    if unmet and not wanted:
        share, said = 0.0, f"The expected answer is: {prompt.expected}"
    score = prompt.lowest + share * (prompt.highest - prompt.lowest)
    return {"feedback": said, "score": f"{score:g}"}


def _rewritten(world: World, prompt: Rewrite) -> str | None:
    told = [text for one in prompt.examples for text in one.feedback]
    number = another(prompt.text, prompt.request) if _asks(told) else None
    if number is not None:
        return as_edits(prompt.text, number) if prompt.edits else number
    summed = written_from(prompt.text, prompt.summaries) if prompt.summaries else None
    text = world.rewrite(prompt) if summed is None else summed
    if prompt.cause and text is not None:
        text = mended(prompt.text, text, prompt.cause)
    return as_edits(prompt.text, text) if prompt.edits and text is not None else text


def _asks(feedback: Sequence[str]) -> bool:
    """Return whether feedback asks for anything."""
    return any(not one.startswith(SETTLED) for one in feedback)


def _of_many(world: World, prompt: SumUp | TellApart | Choose) -> str | None:
    if isinstance(prompt, Choose):
        failed = [value for one in prompt.failed for value in one.variables.values()]
        return choice(prompt.pieces, failed, prompt.most)
    return _summed_up(world, prompt) if isinstance(prompt, SumUp) else _told_apart(world, prompt)


def _summed_up(world: World, prompt: SumUp) -> str | None:
    if prompt.summaries:
        if prompt.text:
            return joined(prompt.summaries)
        return requests([plain(one) for one in prompt.summaries], SETTLED)
    if not prompt.text:
        return requests(prompt.feedback, SETTLED)
    better = world.rewrite(Rewrite(prompt.text, prompt.examples, prompt.seed))
    return None if better is None else summed_up(prompt.text, better, len(prompt.examples))


def _told_apart(world: World, prompt: TellApart) -> str | None:
    pieces = [(one,) for one in prompt.examples] if prompt.groups else [prompt.examples]
    better = [world.rewrite(Rewrite(prompt.text, own, prompt.seed)) for own in pieces]
    texts = [one for one in better if one is not None]
    if len(texts) < len(better) or not texts:
        return None
    return (groups if prompt.groups else causes)(prompt.text, texts, prompt.most)


def _single(statement: str | None) -> Mapping[str, str] | None:
    return None if statement is None else {"": statement}


def _review(text: str, better: str | None) -> str | None:
    """Say what a better text has that this one lacks."""
    if better is None:
        return None
    added = [s for s in re.split(r"(?<=\.)\s+", better) if s not in text]
    return " ".join(("What is stated works. Missing:", *added)) if added else "Nothing is missing."


def _reasons(changed: Mapping[str, str]) -> str:
    return f"The runs show what is lacking in: {', '.join(changed) or 'nothing'}."


def _at_a_loss(prompt: Prompt, names: Sequence[str]) -> Mapping[str, str]:
    if isinstance(prompt, Rewrite):
        return {"": as_edits(prompt.text, prompt.text) if prompt.edits else prompt.text}
    if isinstance(prompt, Revise):
        return {"": prompt.seen.output}
    said = "Nothing can be said about this with what is given."
    if isinstance(prompt, Redesign):
        return {"reasoning": said}
    return {name: said for name in names} or {"": said}
