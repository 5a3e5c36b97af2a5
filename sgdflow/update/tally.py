"""Which answers a graph gives, as they were read for their scores, and how often each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from sgdflow.executor.outcomes import Evaluation

_MOST = 6
"""A tally of more different answers tells a reader nothing."""
_OFTEN = 0.1
"""Of many different answers those are told that have this share."""
_LONGEST = 40
"""Characters of an answer that is told."""
_DIFFERENT = 1024
"""Texts whose answers are remembered for others that are the same."""
_FEWEST = 8
"""Of fewer examples nothing is said to be constant."""
_NEARLY_ALL = 0.85
_TOO_OFTEN = 0.2
"""How much larger the share of an answer is than it should be, where answers are constant."""
UNREAD = "no readable answer"


class Reader(Protocol):
    """Reads outputs and targets as a scorer does."""

    def read_as(self, output: Any, target: Any) -> str | None:
        """Return what is taken for the answer; None where there is none."""

    def expected_as(self, target: Any) -> str:
        """Return the answer that a target asks for; empty where outputs are not what it is of."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often each answer is given, and how often it should be, on the same examples."""

    given: Mapping[str, int]
    expected: Mapping[str, int]

    @property
    def answers(self) -> str:
        """Return `"no" 35, "yes" 5`; empty where answers differ too much to be counted."""
        return _words(self.given)

    @property
    def wanted(self) -> str:
        """Return the same of what is expected."""
        return _words(self.expected)

    @property
    def constant(self) -> str:
        """Return `38 of 40 answers are "no" (20 should be)`; empty where they are not so equal."""
        total = sum(self.given.values())
        answer, count = max(self.given.items(), key=lambda one: one[1], default=("", 0))
        right = self.expected.get(answer, 0)
        if total < _FEWEST or count < _NEARLY_ALL * total or count - right < _TOO_OFTEN * total:
            return ""
        if answer == UNREAD:
            return ""  # said by kind already
        should = f"only {right} should be" if right else "none should be"
        return f'{count} of {total} answers are "{_short(answer)}" ({should})'


def tally(evaluation: Evaluation, targets: Mapping[str, Any], output: str, reader: Reader) -> Tally:
    """Count the answers to examples that have a score and a known target."""
    given, expected = Counter[str](), Counter[str]()
    once = lru_cache(_DIFFERENT)
    read_as, expected_as = once(reader.read_as), once(reader.expected_as)
    for name, outcome in evaluation.outcomes.items():
        if outcome.score is None or targets.get(name) is None:
            continue
        target = targets[name]
        plain = type(target) is str
        if not (wanted := (expected_as if plain else reader.expected_as)(target)):
            continue
        value = outcome.values.get(output)
        known = plain and type(value) is str  # what equals a text is the same text
        read = (
            None
            if value is None or outcome.unanswered
            else (read_as if known else reader.read_as)(value, target)
        )
        given[UNREAD if read is None else read] += 1
        expected[wanted] += 1
    return Tally(dict(given.most_common()), dict(expected.most_common()))


def _words(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    often = counts
    if len(counts) > _MOST:
        often = {a: n for a, n in counts.items() if n >= 2 and n >= _OFTEN * total}
    if not often or any(len(answer) > _LONGEST for answer in often):
        return ""
    told = [f'"{a}" {n}' if a != UNREAD else f"{a} {n}" for a, n in often.items()]
    if left := total - sum(often.values()):
        told.append(f"others {left}")
    return ", ".join(told)


def _short(answer: str) -> str:
    return answer if len(answer) <= _LONGEST else f"{answer[:_LONGEST]}..."
