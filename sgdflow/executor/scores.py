"""Scores: what a callable, or a model that goes by a rubric, says of an output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any, ClassVar, Literal, Protocol

from sgdflow.data import Example
from sgdflow.data.reading import expected_as, read, read_as
from sgdflow.errors import NodeFailed, ReplyError, ScoringFailed, listed, shortly
from sgdflow.executor.functions import Function
from sgdflow.executor.loss import ANSWERED, Reading
from sgdflow.executor.samples import ANYTHING
from sgdflow.executor.took import Took
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call

SCORE = "score"
"""What the calls of a judge are counted for, as those of a node are for the node."""
UNJUDGED = "unjudged"
"""The kind of failure of an output that a judge could not score: it is not the output's."""
GIVEN = ("output", "target", "inputs", "values")
"""What a scoring callable may take, by name."""
NAMES = ("feedback", "score")
"""What a judge writes."""
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")

Errors = Literal["stop", "zero"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a scorer says of an output."""

    score: float
    feedback: str = ""
    """In its own words; empty where it has none."""
    calls: tuple[Call, ...] = ()


class Scorer(Protocol):
    """Scores outputs."""

    @property
    def errors(self) -> Errors:
        """What an exception counts as, of the scorer or of a code node."""

    @property
    def needs_target(self) -> bool:
        """Whether an example without a target cannot be scored."""

    async def __call__(
        self, example: Example, values: Mapping[str, Any], output: Any, llm: LLM, took: Took
    ) -> Verdict:
        """Return the verdict on an output, given all values of the graph, and what they took.

        Raises NodeFailed for an exception, or where a judge gave no verdict (of kind UNJUDGED,
        with its calls); ScoringFailed for what is no score.
        """

    def reading(self, output: Any, target: Any) -> Reading:
        """Return what it takes an output for, where that is known."""

    def read_as(self, output: Any, target: Any) -> str | None:
        """Return what it takes for the answer; None where it finds none."""

    def expected_as(self, target: Any) -> str:
        """Return the answer that a target asks for; empty where outputs are not what it is of."""

    def judges(self) -> Sequence[Judge]:
        """Return the models that it asks."""

    def problems(self, inputs: Sequence[str], nodes: Sequence[str]) -> Iterator[str]:
        """Yield what would go wrong in a graph of these variables, before anything is computed."""


@dataclass(frozen=True)
class Score:
    """A scoring callable: it returns a number in [0, 1], or that with feedback in its own words.

    It is called by name where it names inputs or values, or needs nothing but what it may take by
    name (GIVEN); else as (output, target).
    """

    function: Function
    errors: Errors = "stop"

    @property
    def needs_target(self) -> bool:
        """Return whether it takes the target."""
        return self._by_name is None or "target" in self._by_name

    async def __call__(
        self, example: Example, values: Mapping[str, Any], output: Any, llm: LLM, took: Took
    ) -> Verdict:
        """Return what the callable says."""
        if (names := self._by_name) is None:
            return self._verdict(await self.function(output, example.target))
        given = {
            "output": output,
            "target": example.target,
            "inputs": _Named(example.inputs, "inputs"),
            "values": _Named(values, "values"),
        }
        return self._verdict(await self.function(**{name: given[name] for name in names}))

    @property
    def takes(self) -> frozenset[str]:
        """Return which of GIVEN it is given."""
        return frozenset(("output", "target") if self._by_name is None else self._by_name)

    @cached_property
    def _by_name(self) -> tuple[str, ...] | None:
        """Return what it takes by name; None where it is called with an output and a target."""
        named = self.function.named() or {}
        names = tuple(name for name in GIVEN if name in named)
        others = [name for name, required in named.items() if required and name not in GIVEN]
        return names if {"inputs", "values"} & {*names} or (names and not others) else None

    def _verdict(self, said: Any) -> Verdict:
        value, feedback = said, ""
        if isinstance(said, Mapping):
            value, feedback = said.get("score"), said.get("feedback") or ""
            if not isinstance(feedback, str) or not said.keys() <= {"score", "feedback"}:
                raise ScoringFailed(self._no_score(said))
        if isinstance(value, Real | Decimal) and 0 <= (score := float(value)) <= 1:
            return Verdict(score, feedback.strip())
        raise ScoringFailed(self._no_score(said))

    def _no_score(self, said: Any) -> str:
        several = isinstance(said, Mapping | Sequence) and not isinstance(said, str)
        also = ", or {score: that number, feedback: a text}" if several else ""
        found = shortly(repr(said))
        return f"{self.function.name} returned {found}; a score is a number in [0, 1]{also}"

    def reading(self, output: Any, target: Any) -> Reading:
        """Return what the callable takes an output for, where that is known."""
        found = read(self.function.call, output, target)
        return ANSWERED if found is None else Reading(True, "", "", **found._asdict())

    def read_as(self, output: Any, target: Any) -> str | None:
        """Return what the callable takes for the answer; None where it finds none."""
        return read_as(self.function.call, output, target)

    def expected_as(self, target: Any) -> str:
        """Return the answer that a target asks for, as it would be read; else empty."""
        if self._by_name is not None and "output" not in self._by_name:
            return ""
        return expected_as(self.function.call, target)

    def judges(self) -> Sequence[Judge]:
        """Return nobody."""
        return ()

    def problems(self, inputs: Sequence[str], nodes: Sequence[str]) -> Iterator[str]:
        """Yield why the function cannot be called."""
        if (names := self._by_name) is None:
            found = [*self.function.problems("output", "target")]
        else:
            found = [*self.function.problems(**{name: name for name in names})]
        named = [name for name, required in (self.function.named() or {}).items() if required]
        # What comes first is the output, whatever it is called.
        meant = [name for name in named[1:] if name in inputs and name not in GIVEN]
        if meant and not found and names is None:
            found = [f"{self.function.name}: its second parameter is given the target."]
        for told in found:
            may = "" if self.function.unknown() else f" A scorer may take: {listed(GIVEN)}."
            yield f"{told}{may}{_inputs(meant)}"


def unscored(example: Example, error: NodeFailed | ScoringFailed) -> str:
    """Say that an example has no score, and what to do about the scorer."""
    raised = isinstance(error, NodeFailed)
    return (
        f"task.score: {example.place}: {error}. Mend the scorer or the example"
        f"{', or let exceptions count as 0 (task.errors=zero)' * raised}."
    )


def _inputs(names: Sequence[str]) -> str:
    """Say how inputs are looked at that were meant to be given alone."""
    return f" '{names[0]}' is an input: take inputs, and use inputs['{names[0]}']." if names else ""


class _Named(dict[str, Any]):
    """Values by name, which say what there is where one is asked for that is not there."""

    def __init__(self, values: Mapping[str, Any], what: str) -> None:
        super().__init__(values)
        self._what = what

    def __missing__(self, name: str) -> Any:
        known = listed(self)
        raise KeyError(f"there is no {name!r} among the {self._what}; there are: {known}")


class ReadsPlainly:
    """Takes outputs and targets as they are."""

    __slots__ = ()

    def reading(self, output: Any, target: Any) -> Reading:
        """Return that the output was read as it is."""
        return ANSWERED

    def read_as(self, output: Any, target: Any) -> str | None:
        """Return the output."""
        return self.expected_as(output)

    def expected_as(self, target: Any) -> str:
        """Return the target."""
        return " ".join(str(target).split())


@dataclass(frozen=True, slots=True)
class Judge(ReadsPlainly):
    """A model that scores by a rubric, and says why."""

    ask: Ask
    rubric: str
    lowest: float = 0.0
    highest: float = 1.0
    """The score that the rubric gives at worst and at best; 0 and 1 in all records."""
    errors: Errors = "stop"
    needs_target: ClassVar[bool] = False

    async def __call__(
        self, example: Example, values: Mapping[str, Any], output: Any, llm: LLM, took: Took
    ) -> Verdict:
        """Return the model's verdict; a reply without a score on the scale is asked for again."""
        variables = self.variables(example, values, output)
        try:
            answered = await self.ask.send(llm, SCORE, variables, NAMES, accept=self._accept)
        except NodeFailed as error:
            told = f"the judge gave no score: {error}"
            raise NodeFailed(told, error.calls, UNJUDGED, error.kind) from error
        number = self._number(answered.texts["score"])
        share = (number - self.lowest) / (self.highest - self.lowest)
        return Verdict(share, answered.texts["feedback"], (answered.call,))

    def variables(
        self, example: Example, values: Mapping[str, Any], output: Any
    ) -> Mapping[str, Any]:
        """Return what the template may use."""
        return {
            "rubric": self.rubric,
            "lowest": f"{self.lowest:g}",
            "highest": f"{self.highest:g}",
            "inputs": dict(example.inputs),
            "values": dict(values),
            "output": output,
            "target": example.target,
        }

    def _accept(self, texts: Mapping[str, str]) -> None:
        self._number(texts["score"])

    def _number(self, text: str) -> float:
        found = text.strip()
        if not _NUMBER.fullmatch(found) or not self.lowest <= float(found) <= self.highest:
            raise ReplyError(
                f"the score is {shortly(found)!r}; write a number from {self.lowest:g} to "
                f"{self.highest:g} and nothing else"
            )
        return float(found)

    def judges(self) -> Sequence[Judge]:
        """Return this one."""
        return (self,)

    def problems(self, inputs: Sequence[str], nodes: Sequence[str]) -> Iterator[str]:
        """Yield what is wrong with the template."""
        values = dict.fromkeys((*inputs, *nodes), ANYTHING)
        for target in ("...", None):
            example = Example("", dict.fromkeys(inputs, "..."), target)
            sample = self.variables(example, values, ANYTHING)
            yield from self.ask.problems(sample, "the judge", NAMES)
