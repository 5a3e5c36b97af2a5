"""A family of questions: how they are read, solved with slips, and what prevents each slip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Generic, Protocol, TypeVar

from sgdflow.simulation.procedures.rules import Rule, stated

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Question:
    """A question that has been understood."""

    rules: tuple[Rule, ...]
    """In declared order."""
    answer: Callable[[frozenset[str]], str]
    """The answer a worker gives who has been told the rules of these names."""
    step: str
    """A part of the work that any worker can do; it states no rule."""

    def told(self, *texts: str) -> frozenset[str]:
        """Return the names of this question's rules that the texts state."""
        return stated(self.rules, *texts)

    def solution(self) -> str:
        """Return the answer that all rules together lead to."""
        return self.answer(frozenset(rule.name for rule in self.rules))

    def bearing(self, told: frozenset[str]) -> tuple[Rule, ...]:
        """Return those of the rules told that can make a difference to this question."""
        return tuple(r for r in self.rules if r.name in told and self._matters(r.name))

    def missing(self, told: frozenset[str], output: str, expected: str) -> tuple[Rule, ...]:
        """Return the fewest rules that explain a wrong output; none if no slip explains it.

        They explain it if a worker without them gives just this output and with them the
        expected answer. An expected answer that does not follow from the question with all
        rules explains nothing. Among equally few the first declared are chosen.
        """
        if same(output, expected) or not same(self.answer(told), output):
            return ()
        if not same(self.solution(), expected):
            return ()
        untold = [rule for rule in self.rules if rule.name not in told]
        for size in range(1, len(untold) + 1):
            for chosen in combinations(untold, size):
                if same(self.answer(told | {rule.name for rule in chosen}), expected):
                    return chosen
        return ()

    def _matters(self, name: str) -> bool:
        others = [rule.name for rule in self.rules if rule.name != name]
        return any(
            self.answer(frozenset(chosen)) != self.answer(frozenset((*chosen, name)))
            for size in range(len(others) + 1)
            for chosen in combinations(others, size)
        )


class Family(Protocol):
    """What the world asks of a family."""

    @property
    def name(self) -> str:
        """Name for people."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in declared order."""

    @property
    def opening(self) -> str:
        """How the steps stated for this family's questions begin."""

    def read(self, text: str) -> Question | None:
        """Understand a text that is, as a whole, a question of this family."""

    def read_off(self, output: str, expected: str) -> tuple[Rule, ...]:
        """Return the missing rules that an output and the expected one show by themselves."""


@dataclass(frozen=True, slots=True)
class Procedure(Generic[P]):
    """A family given by its functions."""

    name: str
    rules: tuple[Rule, ...]
    parse: Callable[[str], P | None]
    solve: Callable[[P, frozenset[str]], str]
    opening: str
    step: Callable[[P], str]
    """Continues the opening."""
    compare: Callable[[str, str], tuple[Rule, ...]] = lambda output, expected: ()

    def read(self, text: str) -> Question | None:
        """Understand a text that is, as a whole, a question of this family."""
        problem = self.parse(text.strip())
        if problem is None:
            return None
        answer = partial(self.solve, problem)
        return Question(self.rules, answer, f"{self.opening} {self.step(problem)}")

    def read_off(self, output: str, expected: str) -> tuple[Rule, ...]:
        """Return the missing rules that an output and the expected one show by themselves."""
        return self.compare(output, expected)


def same(one: str, other: str) -> bool:
    """Tell whether two answers are the same but for case, spacing and a final full stop."""
    return _bare(one) == _bare(other)


def _bare(answer: str) -> str:
    return " ".join(answer.lower().split()).removesuffix(".")
