"""Candidates and the pool that keeps some of them: which ones the next step starts from."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from random import Random
from typing import Literal

from sgdflow.executor.graph import Graph, Parameters


@dataclass(frozen=True, slots=True)
class Candidate:
    """Parameters with what is known of them."""

    number: int
    """0: what the run started from; then in the order in which they were accepted."""
    parameters: Parameters
    scores: Mapping[str, float] = field(default_factory=dict)
    """On the examples that the pool chooses by; what is not known is not there."""
    parents: tuple[int, ...] = ()
    """Two for a merge."""
    step: int = 0
    changed: tuple[str, ...] = ()
    """What differs from the first parent."""
    why: str = "start"
    """What made it: start, joint, part or merge."""

    @property
    def mean(self) -> float:
        """Return the mean of the known scores; 0 where none is known."""
        return math.fsum(self.scores.values()) / len(self.scores) if self.scores else 0.0


@dataclass(frozen=True, slots=True)
class PoolRules:
    """How many candidates are kept, and which of them a step starts from.

    newest: the last one accepted. best: the highest mean. pareto: at random, those more likely
    that are best on more examples. queue: at random by mean, the more evenly the warmer.
    """

    keep: int = 1
    choose: Literal["newest", "best", "pareto", "queue"] = "newest"
    temperature: float = 0.1
    merge: bool = False
    """Whether changes of different parameters in two candidates are tried together; those that do
    not work on each other come first."""

    @property
    def scored(self) -> bool:
        """Return whether it goes by scores: one candidate leaves nothing to choose."""
        return self.keep > 1


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidates that are kept, in the order in which they came."""

    how: PoolRules
    candidates: tuple[Candidate, ...]
    ancestors: Mapping[int, Candidate] = field(default_factory=dict)
    """All that ever were, by number."""

    @classmethod
    def of(cls, how: PoolRules, start: Candidate) -> Pool:
        """Return a pool of one."""
        return cls(how, (start,), {start.number: start})

    @property
    def newest(self) -> Candidate:
        """Return the candidate that was accepted last."""
        return self.candidates[-1]

    @property
    def foremost(self) -> Candidate:
        """Return the candidate that a run would end with: the best where it goes by scores."""
        if not self.how.scored:
            return self.newest
        return max(self.candidates, key=lambda one: (one.mean, one.number))

    def add(self, candidate: Candidate) -> Pool:
        """Return the pool with a candidate, without the one that has to make room for it.

        The newest one stays: of the others the lowest mean goes, the oldest of equals.
        """
        kept = (*self.candidates, candidate)
        if len(kept) > self.how.keep:
            out = min(kept[:-1], key=lambda one: (one.mean, one.number))
            kept = tuple(one for one in kept if one is not out)
        return Pool(self.how, kept, {**self.ancestors, candidate.number: candidate})

    def besides(self, candidate: Candidate) -> Sequence[Parameters]:
        """Return the parameters of the others."""
        return [one.parameters for one in self.candidates if one is not candidate]

    def choose(self, count: int, random: Random) -> Sequence[Candidate]:
        """Return the candidates to start from; one may come several times."""
        if self.how.choose == "newest":
            return [self.candidates[-1 - i % len(self.candidates)] for i in range(count)]
        if self.how.choose == "best":
            ranked = sorted(self.candidates, key=lambda one: (-one.mean, -one.number))
            return [ranked[i % len(ranked)] for i in range(count)]
        weights = self._wins() if self.how.choose == "pareto" else self._warmth()
        return random.choices(self.candidates, weights, k=count)

    def merges(
        self, tried: Collection[tuple[int, int]], graph: Graph
    ) -> Sequence[tuple[Candidate, Candidate]]:
        """Return pairs, the better first, that changed different parameters since they parted.

        Those come first whose changes are independent: no node of the one works on what comes of
        the other, so that what each has gained holds beside the other.
        """
        apart, behind = list[tuple[Candidate, Candidate]](), list[tuple[Candidate, Candidate]]()
        for one, other in combinations(self.candidates, 2):
            if (one.number, other.number) in tried:
                continue
            mine, theirs = self._line(one), self._line(other)
            if one.number in theirs or other.number in mine:
                continue
            shared = self.ancestors[max(mine.keys() & theirs.keys())].parameters
            changed = [
                {name for name in shared if pick.parameters[name] != shared[name]}
                for pick in (one, other)
            ]
            if all(changed) and not changed[0] & changed[1]:
                pair = (one, other) if one.mean >= other.mean else (other, one)
                (apart if graph.independent(*changed) else behind).append(pair)
        return [*apart, *behind]

    def merged(self, one: Candidate, other: Candidate) -> Mapping[str, object]:
        """Return what the second of a pair brings to the first."""
        shared = self.ancestors[max(self._line(one).keys() & self._line(other).keys())]
        return {
            name: value
            for name, value in other.parameters.items()
            if value != shared.parameters[name]
        }

    def _line(self, candidate: Candidate) -> Mapping[int, Candidate]:
        """Return the candidate and all that it comes from, by number."""
        found: dict[int, Candidate] = {}
        waiting = [candidate.number]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found[number] = self.ancestors[number]
                waiting += found[number].parents
        return found

    def _wins(self) -> Sequence[float]:
        """Return on how many examples each candidate is among the best; at least a little."""
        examples = {i for one in self.candidates for i in one.scores}
        best = {i: max(one.scores.get(i, 0.0) for one in self.candidates) for i in examples}
        return [
            1e-9 + sum(one.scores.get(i, 0.0) >= score > 0 for i, score in best.items())
            for one in self.candidates
        ]

    def _warmth(self) -> Sequence[float]:
        top = max(one.mean for one in self.candidates)
        warm = max(self.how.temperature, 1e-9)
        return [math.exp((one.mean - top) / warm) for one in self.candidates]
