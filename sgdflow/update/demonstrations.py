"""Demonstrations are chosen, not written: from what turned out right in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sgdflow.executor.demonstrations import Demonstration, demonstration, read, written
from sgdflow.executor.graph import Graph
from sgdflow.update.evidence import gather_evidence
from sgdflow.update.rule import Situation


def texts(graph: Graph, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the parameters that an update rule writes."""
    return tuple(name for name in names if not graph.parameters[name].demonstrations)


def bootstrapped(situation: Situation, names: Iterable[str]) -> Mapping[str, str]:
    """Return another choice for each of the parameters, where there is one.

    What is missing to the declared number is filled up; where nothing is, one gives way to another.
    """
    chosen = {name: written(_chosen(situation, name)) for name in names}
    return {name: text for name, text in chosen.items() if text != situation.parameters[name]}


def candidates(situation: Situation, name: str) -> Sequence[Demonstration]:
    """Return what may stand: what does so now, and then other right work, other first each step."""
    return [*_shown(situation, name), *_new(situation, name)]


def _shown(situation: Situation, name: str) -> Sequence[Demonstration]:
    most = situation.graph.parameters[name].demonstrations
    return list(read(situation.parameters[name]))[:most]


def _new(situation: Situation, name: str) -> Sequence[Demonstration]:
    known = [one.given for one in _shown(situation, name)]
    return [one for one in _right(situation, name) if one.given not in known]


def _chosen(situation: Situation, name: str) -> Sequence[Demonstration]:
    count = situation.graph.parameters[name].demonstrations
    shown, new = _shown(situation, name), _new(situation, name)
    free = count - len(shown)
    if free or not new:
        return [*shown, *new[:free]]
    place = situation.step % count
    return [*shown[:place], new[0], *shown[place + 1 :]]


def _right(situation: Situation, name: str) -> Sequence[Demonstration]:
    """Return the work in right answers of the nodes that use a parameter, other first ones a step.

    One for each query: of nodes that share a parameter, that of the first.
    """
    right = [
        outcome.passed
        for outcome in situation.standing.outcomes.values()
        if outcome.score is not None and outcome.score >= 1
    ]
    first = (situation.step + situation.variant) % len(right) if right else 0
    items = gather_evidence(situation.graph, [*right[first:], *right[:first]], None, [name])
    found: dict[str, Demonstration] = {}
    for item in items.get(name, ()):
        one = demonstration(item.predecessors, item.output)
        found.setdefault(repr(one.given), one)
    return list(found.values())
