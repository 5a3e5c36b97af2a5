"""A model chooses demonstrations: it sees own right work by number, and says which should stand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.errors import NodeFailed, ReplyError, listed, plural
from sgdflow.executor.demonstrations import Demonstration, demonstration, read, written
from sgdflow.executor.tree import MANY
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call
from sgdflow.prompting.values import shortened, shown
from sgdflow.update.demonstrations import bootstrapped, candidates
from sgdflow.update.prompt_views import SAMPLE_ITEM, SAMPLE_MEMBER, examples, members, tries
from sgdflow.update.rule import Proposal, Situation
from sgdflow.update.standing import Standing, standing

_NUMBERS = re.compile(r"\d+(?:\s*,\s*\d+)*")


@dataclass(frozen=True, slots=True)
class Piece:
    """Work that may stand as a demonstration, as templates see it."""

    number: int
    given: Sequence[Any]
    output: str
    stands: bool
    """Whether it is among those that are shown now."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A choice that was tried, and what the gate said."""

    numbers: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One call for each parameter that has evidence, and more right work than places."""

    ask: Ask
    pieces: int
    """How many pieces of work are shown at most."""
    memory: int = 0
    """How many of the latest choices tried are shown, with what the gate said of them."""

    async def choose(self, situation: Situation, names: Collection[str], llm: LLM) -> Proposal:
        """Return what should stand; where there is nothing to choose among, what bootstrap takes.

        What is not usable to the last attempt is skipped with the reason.
        """
        asked = {
            name: found
            for name in names
            if name in situation.evidence
            and len(found := candidates(situation, name)[: self.pieces])
            > situation.graph.parameters[name].demonstrations
        }
        others = bootstrapped(situation, [name for name in names if name not in asked])
        how = standing(situation)  # once for all: whole passes are unpacked for it
        made = await together(self._one(n, asked[n], situation, how, llm) for n in asked)
        changes, skipped = dict(others), {}
        calls: dict[str, tuple[Call, ...]] = {}
        for name, (said, own) in zip(asked, made, strict=True):
            calls[name] = own
            if isinstance(said, str):
                skipped[name] = said
            elif (text := written(said)) != situation.parameters[name]:
                changes[name] = text
        return Proposal(changes, skipped, calls)

    async def _one(
        self,
        name: str,
        found: Sequence[Demonstration],
        situation: Situation,
        how: Standing | None,
        llm: LLM,
    ) -> tuple[Sequence[Demonstration] | str, tuple[Call, ...]]:
        """Return the choice, or why there is none, and the calls that were made for it."""
        most = situation.graph.parameters[name].demonstrations

        def accept(texts: Mapping[str, Any]) -> None:
            read_numbers(texts[""], len(found), most)

        variables = self._variables(name, found, situation, how)
        try:
            answered = await self.ask.send(
                llm, name, variables, accept=accept, sample=situation.sample
            )
        except NodeFailed as error:
            return str(error), error.calls
        numbers = read_numbers(answered.texts[""], len(found), most)
        return [found[number - 1] for number in numbers], (answered.call,)

    def _variables(
        self,
        name: str,
        found: Sequence[Demonstration],
        situation: Situation,
        how: Standing | None,
    ) -> Mapping[str, Any]:
        now = [*read(situation.parameters[name])]
        return {
            "members": members(situation, name),
            "standing": how,
            "pieces": [
                Piece(number, shown(one.given), shortened(one.output), one in now)
                for number, one in enumerate(found, 1)
            ],
            "most": situation.graph.parameters[name].demonstrations,
            "examples": examples(situation.evidence[name][:MANY]),
            "left": max(0, len(situation.evidence[name]) - MANY),
            "picks": list(self._picks(name, found, situation)),
        }

    def _picks(
        self, name: str, found: Sequence[Demonstration], situation: Situation
    ) -> Iterator[Pick]:
        """Yield the latest choices of which every piece is shown again."""
        for one in tries(situation.history, name, self.memory):
            chosen = [*read(one.text)]
            if chosen and all(piece in found for piece in chosen):
                numbers = (str(found.index(piece) + 1) for piece in chosen)
                yield Pick(", ".join(numbers), one.verdict)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the template."""
        sample = {
            "members": [SAMPLE_MEMBER],
            "standing": Standing(0.5, 2, "...", "..."),
            "pieces": [Piece(1, shown(demonstration({"input": "..."}, "...").given), "...", True)],
            "most": 1,
            "examples": examples([SAMPLE_ITEM]),
            "left": 1,
            "picks": [Pick("1", "...")],
        }
        yield from self.ask.problems(sample, "the choice of demonstrations")
        if "pieces" not in self.ask.prompts.mentioned(self.ask.prompt):
            yield (
                f"prompts/{self.ask.prompt} never shows pieces, of which the reply names some. Use "
                "optimizer/demonstrations.jinja."
            )


def read_numbers(reply: str, there: int, most: int) -> tuple[int, ...]:
    """Read the numbers of the pieces that should stand; raises ReplyError."""
    said = reply.strip().strip("[]().").strip()
    if not _NUMBERS.fullmatch(said):
        raise ReplyError('it is no list of numbers; write them with commas, such as "2, 5"')
    numbers = tuple(int(one) for one in said.split(","))
    if unknown := [one for one in numbers if not 1 <= one <= there]:
        raise ReplyError(f"there is no piece {unknown[0]}; they have the numbers 1 to {there}")
    if twice := [one for one in dict.fromkeys(numbers) if numbers.count(one) > 1]:
        stand = "stands" if len(twice) == 1 else "stand"
        raise ReplyError(f"{listed(map(str, twice))} {stand} twice; name each piece once")
    if len(numbers) > most:
        raise ReplyError(f"it names {plural(len(numbers), 'piece')}; at most {most} can stand")
    return numbers
