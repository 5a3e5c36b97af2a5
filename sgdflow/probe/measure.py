"""The start and its noise, from examples that were answered once and twice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from sgdflow.descent.method import Problem
from sgdflow.executor.graph import Graph
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.probe.findings import Noise, Start


def start_of(problem: Problem, evaluation: Evaluation) -> Start:
    """Return how far from perfect these outcomes are, and how much of it is form."""
    summary = evaluation.summary()
    assert summary is not None
    targets = {one.id: one.target for one in problem.splits.train}
    output = problem.graph.output
    unread: Counter[str] = Counter()
    by_form = lacking = 0.0
    known = False
    where = ""
    for name, outcome in evaluation.outcomes.items():
        if outcome.score is None:
            continue
        lacking += 1 - outcome.score
        kind, told = _unread(problem, outcome, output, targets[name])
        known = known or told
        if kind and outcome.score < 1:
            unread[kind] += 1
            by_form += 1 - outcome.score
            where = where or (outcome.failure or "").partition(":")[0]
    most = unread.most_common(1)
    advise = problem.first.advice if problem.first is not None else None
    advice = advise(most[0][0], where) if advise is not None and most else ""
    return Start(
        summary.mean,
        summary.n,
        summary.low,
        summary.high,
        summary.failed,
        dict(unread.most_common()),
        by_form / lacking if lacking else 0.0,
        known,
        advice,
    )


def _unread(problem: Problem, outcome: Outcome, output: str, target: object) -> tuple[str, bool]:
    """Return why an answer could not be read, and whether it is known how answers are read."""
    if outcome.unanswered:
        return outcome.kind, False
    reading = problem.score.reading(outcome.values.get(output), target)
    if reading.read_as is None and reading.compared_as:
        return f"without {reading.compared_as}", True
    return "", bool(reading.compared_as)


def noise_of(graph: Graph, first: Evaluation, second: Evaluation) -> Noise | None:
    """Return how far two evaluations of the same examples differ; None where none was scored."""
    both = [i for i in second.scores if i in first.scores]
    if not both:
        return None
    gains = [second.scores[i] - first.scores[i] for i in both]
    wrong = [i for i in both if first.scores[i] < 1]
    return Noise(
        len(both),
        sum(abs(gain) > 1e-9 for gain in gains),
        math.fsum(gain * gain for gain in gains) / 2 / len(gains),
        len(wrong),
        sum(second.scores[i] >= 1 for i in wrong),
        _by_node(graph, first, second),
    )


def _by_node(graph: Graph, first: Evaluation, second: Evaluation) -> Mapping[str, tuple[int, int]]:
    """Count, where a node was given the same values twice, how often it made others of them."""
    found: dict[str, tuple[int, int]] = {}
    for name, node in graph.nodes.items():
        differed = compared = 0
        for example, outcome in second.outcomes.items():
            one, other = first.outcomes[example].values, outcome.values
            if name not in one or name not in other:
                continue
            if all(repr(one[p]) == repr(other[p]) for p in node.predecessors):
                compared += 1
                differed += repr(one[name]) != repr(other[name])
        if compared:
            found[name] = (differed, compared)
    return found
