"""What went wrong, taken apart: failure modes or causes, each of them mended by a proposal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sgdflow.errors import NodeFailed, ReplyError, listed, plural, shortly
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call
from sgdflow.update.evidence import Evidence, Item
from sgdflow.update.prompt_views import (
    SAMPLE_ITEM,
    SAMPLE_MEMBER,
    Attempt,
    examples,
    members,
    tries,
)
from sgdflow.update.rule import Cause, Proposal, Situation
from sgdflow.update.standing import Frame, Standing, about, frames, standing

Read = Callable[[str, Sequence[Item], int], tuple[Cause, ...]]
"""(reply, evidence, how many causes at most) -> the causes; raises ReplyError."""
_GROUP = re.compile(r"(?:[-*]\s+)?(?P<label>\S.*?)\s*:\s*(?P<numbers>\d+(?:\s*,\s*\d+)*)[\s.]*")
_CAUSE = re.compile(r"(?:[-*]\s+|\d+[.)]\s+)?(?P<label>[^:\s][^:]*?)\s*:\s*(?P<words>\S.*?)\s*")


@dataclass(frozen=True, slots=True)
class Alternative:
    """What one of a step's proposals is written from."""

    evidence: Evidence
    causes: Mapping[str, Cause]
    """By parameter; none where all is to be mended at once."""


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What a step's proposals are written from, and what it took to tell them apart."""

    each: tuple[Alternative, ...]
    skipped: Mapping[str, str]
    """Parameter -> why nothing could be told apart; it is not rewritten then."""
    calls: Mapping[str, tuple[Call, ...]]

    def beside(self, proposal: Proposal) -> Proposal:
        """Return the proposal with these calls and reasons in front of its own."""
        return proposal.after(self.skipped, self.calls)


@dataclass(frozen=True, slots=True)
class Apart:
    """Asks, once for each parameter, for at most so many causes of what went wrong."""

    ask: Ask
    read: Read
    count: int
    """Causes of a parameter, and proposals of a step, at most."""
    fallback: Literal["collect", "skip"] = "collect"
    """Where no reply can be used: all evidence at once, or no new text."""
    fewest: int = 1
    """Of fewer items there is nothing to ask."""
    memory: int = 0
    """How many of the latest texts tried are shown, with what the gate said of them."""

    async def alternatives(self, situation: Situation, llm: LLM) -> Alternatives:
        """Return what each proposal of the step is written from."""
        names = list(situation.evidence)
        how = standing(situation)  # once for all: whole passes are unpacked for it
        found = await together(self._one(name, situation, how, llm) for name in names)
        causes: dict[str, Sequence[Cause]] = {}
        skipped: dict[str, str] = {}
        calls: dict[str, tuple[Call, ...]] = {}
        for name, (said, made) in zip(names, found, strict=True):
            calls[name] = made
            if not isinstance(said, str):
                causes[name] = said
            elif self.fallback == "skip":
                skipped[name] = said
            else:
                causes[name] = (Cause("", "", situation.evidence[name]),)
        made_of = tuple(arranged(causes, self.count))
        return Alternatives(made_of, skipped, {n: one for n, one in calls.items() if one})

    def problems(self, owner: str) -> Iterator[str]:
        """Yield what is wrong with the template."""
        sample = {
            "parameter": {"name": "parameter", "text": "..."},
            "members": [SAMPLE_MEMBER],
            "frames": [Frame("node", "...")],
            "about": "...",
            "standing": Standing(0.5, 2, "...", "..."),
            "others": ["other"],
            "attempts": [Attempt("...", 0.5, 0.5, "...", accepted=True)],
            "examples": examples([SAMPLE_ITEM], numbered=True),
            "causes": self.count,
        }
        yield from self.ask.problems(sample, owner)

    async def _one(
        self, name: str, situation: Situation, how: Standing | None, llm: LLM
    ) -> tuple[Sequence[Cause] | str, tuple[Call, ...]]:
        """Return the causes, or why there are none, and the calls that were made for them."""
        items = situation.evidence[name]
        if len(items) < self.fewest:
            return (Cause("", "", items),), ()
        variables = {
            "parameter": {"name": name, "text": situation.parameters[name]},
            "members": members(situation, name),
            "frames": frames(situation, name),
            "about": about(situation, name),
            "standing": how,
            "others": [other for other in situation.evidence if other != name],
            "attempts": tries(
                situation.history, name, self.memory, situation.graph, situation.parameters
            ),
            "examples": examples(items, numbered=True),
            "causes": self.count,
        }

        def accept(texts: Mapping[str, Any]) -> None:
            self.read(texts[""], items, self.count)

        try:
            answered = await self.ask.send(
                llm, name, variables, accept=accept, sample=situation.sample
            )
        except NodeFailed as error:
            return f"causes: {error}", error.calls
        return self.read(answered.texts[""], items, self.count), (answered.call,)


def arranged(causes: Mapping[str, Sequence[Cause]], most: int) -> Iterator[Alternative]:
    """Yield at most so many alternatives, with at most one cause of each parameter in them.

    A cause goes where the most of its examples are behind the causes of other parameters that are
    there already, and of equal places to the first: one failure may take several new texts.
    """
    places: list[dict[str, Cause]] = [{} for _ in range(most)]
    for name in sorted(causes, key=lambda name: -len(causes[name])):
        free = list(range(most))
        for cause in causes[name]:
            shared = [_shared(places[place].values(), cause) for place in free]
            chosen = free.pop(shared.index(max(shared)))
            places[chosen][name] = cause
    for place in filter(None, places):
        here = {name: place[name] for name in causes if name in place}
        told = {name: cause for name, cause in here.items() if cause.label}
        yield Alternative({name: cause.items for name, cause in here.items()}, told)


def read_groups(reply: str, items: Sequence[Item], most: int) -> tuple[Cause, ...]:
    """Read lines of a label, a colon and the numbers of examples; the largest group first."""
    found = list(_lines(reply, _GROUP, "what its examples have in common: 1, 3"))
    groups = [(one["label"], [int(n) for n in one["numbers"].split(",")]) for one in found]
    _check([label for label, _ in groups], most, "group")
    times = Counter(number for _, numbers in groups for number in numbers)
    if unknown := [n for n in times if not 1 <= n <= len(items)]:
        raise ReplyError(
            f"there is no example {unknown[0]}; they have the numbers 1 to {len(items)}"
        )
    if twice := [n for n, count in times.items() if count > 1]:
        raise ReplyError(f"example {twice[0]} stands twice; put it into one group")
    if left := [str(n) for n in range(1, len(items) + 1) if n not in times]:
        are = "example {} is" if len(left) == 1 else "the examples {} are"
        raise ReplyError(f"{are.format(listed(left))} in no group; put each into exactly one")
    made = [Cause(label, label, tuple(items[n - 1] for n in sorted(ns))) for label, ns in groups]
    return tuple(sorted(made, key=lambda one: -len(one.items)))


def read_causes(reply: str, items: Sequence[Item], most: int) -> tuple[Cause, ...]:
    """Read lines of a label, a colon and what is to be mended; all evidence belongs to each."""
    found = list(_lines(reply, _CAUSE, "two or three words: what the instruction lacks"))
    _check([one["label"] for one in found], most, "cause")
    return tuple(
        Cause(one["label"], f"{one['label']}: {one['words']}", tuple(items)) for one in found
    )


def _lines(reply: str, form: re.Pattern[str], example: str) -> Iterator[re.Match[str]]:
    for line in filter(None, map(str.strip, reply.splitlines())):
        if (found := form.fullmatch(line)) is None:
            raise ReplyError(f'"{shortly(line)}" is not of the form "{example}"')
        yield found


def _check(labels: Sequence[str], most: int, what: str) -> None:
    if not labels:
        raise ReplyError(f"it names no {what}")
    if len(labels) > most:
        raise ReplyError(f"there are {plural(len(labels), what)}; give {most} at most")
    if same := [label for label, count in Counter(map(str.casefold, labels)).items() if count > 1]:
        raise ReplyError(f'two of the {what}s are called "{shortly(same[0])}"; join them')


def _shared(there: Iterable[Cause], cause: Cause) -> int:
    known = {item.example for other in there for item in other.items}
    return len(known & {item.example for item in cause.items})
