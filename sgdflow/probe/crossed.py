"""Pairs of nodes with other wordings: alone, both together, and what does not add up."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from sgdflow.data import Example
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Advance
from sgdflow.executor.walk import together
from sgdflow.probe.findings import Pair
from sgdflow.probe.units import Unit, touched
from sgdflow.probe.wordings import Wordings
from sgdflow.update.statistics import chance, largest_share

_ROUNDING = 9
"""Decimals beyond which sums of scores are equal."""
Cell = tuple[tuple[str, int], ...]
"""Which wording each changed node has; empty: the start."""
Scores = Mapping[Cell, Mapping[str, float]]
"""By cell and example."""


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of all pairs, and how they are scored."""

    graph: Graph
    start: Parameters
    pairs: Sequence[tuple[Unit, Unit]]
    wordings: Wordings

    def cells(self) -> Mapping[Cell, Mapping[str, Any]]:
        """Return the new values of each cell but the start's, each cell once."""
        found: dict[Cell, Mapping[str, Any]] = {}
        for one, other in self.pairs:
            mine, others = self.wordings.of(one), self.wordings.of(other)
            for (i, left), (j, right) in product(enumerate(mine), enumerate(others)):
                found[((one.node, i),)] = left
                found[((other.node, j),)] = right
                found[((one.node, i), (other.node, j))] = {**left, **right}
        return found

    async def scored(
        self,
        evaluate: Evaluator,
        examples: Sequence[Example],
        known: Evaluation,
        done: Advance,
    ) -> Scores:
        """Run again what depends on the new values, in all cells; `known` are the start's outcomes.

        What does not depend on them stays as it was, so that it adds no noise.
        """
        cells = self.cells()
        after = {cell: touched(self.graph, new) for cell, new in cells.items()}

        async def score(cell: Cell, example: Example) -> float | None:
            values = known.outcomes[example.id].values
            kept = _kept(self.graph, values, after[cell])
            outcome = await evaluate.given({**self.start, **cells[cell]}, example, kept)
            done(outcome.score)
            return outcome.score

        places = [(cell, example) for cell in cells for example in examples]
        found = await together(score(cell, example) for cell, example in places)
        scores: dict[Cell, dict[str, float]] = {cell: {} for cell in cells}
        for (cell, example), value in zip(places, found, strict=True):
            if value is not None:
                scores[cell][example.id] = value
        return {(): {one.id: known.scores[one.id] for one in examples}, **scores}

    def judged(self, scores: Scores, level: float) -> Iterator[Pair]:
        """Yield what the scores say of each pair; the level is shared by all that is tested."""
        sizes = [(len(self.wordings.of(a)), len(self.wordings.of(b))) for a, b in self.pairs]
        tests = sum(i * j for i, j in sizes)
        for (one, other), (mine, others) in zip(self.pairs, sizes, strict=True):
            nodes = (one.node, other.node)
            if not mine * others:
                lacking = one if not mine else other
                why = f"no other wording of {lacking.node}: {self.wordings.why_none(lacking)}"
                yield Pair(nodes, "not tried", why)
                continue
            combined = product(range(mine), range(others))
            found = [_contrast(nodes, i, j, scores, tests) for i, j in combined]
            strongest = min(found, key=lambda pair: (pair.p, -pair.unlike))
            moved = any(
                scores[cell][i] != scores[()][i]
                for cell in scores
                if cell and {node for node, _ in cell} <= {*nodes}
                for i in scores[cell]
            )
            yield _with_verdict(strongest, level, moved=moved)


def _kept(graph: Graph, values: Mapping[str, Any], after: Collection[str]) -> Mapping[str, Any]:
    return {n: v for n, v in values.items() if n in graph.nodes and n not in after}


def _contrast(nodes: tuple[str, str], i: int, j: int, scores: Scores, tests: int) -> Pair:
    """Return what two wordings gain alone and together, on examples scored in all four cells."""
    start = scores[()]
    left, right = scores[((nodes[0], i),)], scores[((nodes[1], j),)]
    both = scores[((nodes[0], i), (nodes[1], j))]
    ids = [one for one in both if one in left and one in right]
    gains = [both[e] - left[e] - right[e] + start[e] for e in ids]
    unlike = sum(round(gain, _ROUNDING) != 0 for gain in gains)
    p = min(1.0, 2 * tests * min(chance(gains), chance([-gain for gain in gains])))
    return Pair(
        nodes,
        "add up",
        examples=len(ids),
        alone=(_mean_gain(left, start, ids), _mean_gain(right, start, ids)),
        both=_mean_gain(both, start, ids),
        unlike=unlike,
        p=p,
        at_most=largest_share(unlike, len(ids)) if ids else 1.0,
    )


def _mean_gain(
    after: Mapping[str, float], before: Mapping[str, float], ids: Sequence[str]
) -> float:
    return math.fsum(after[i] - before[i] for i in ids) / len(ids) if ids else 0.0


def _with_verdict(pair: Pair, level: float, *, moved: bool) -> Pair:
    if not pair.examples:
        return Pair(pair.nodes, "not tried", "no example could be scored with all wordings")
    if pair.p <= level:
        return replace(pair, verdict="interact")
    if pair.unlike:
        return replace(pair, verdict="cannot be told")
    return pair if moved else replace(pair, verdict="nothing moved")
