"""Demonstrations are chosen, not written: from what turned out right in training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sgdflow.executor.demonstrations import Demonstration, demonstration, read, written
from sgdflow.executor.graph import Graph
from sgdflow.update.evidence import gather_evidence
from sgdflow.update.rule import Proposal, Situation


def texts(graph: Graph, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the parameters that an update rule writes."""
    return tuple(name for name in names if not graph.parameters[name].demonstrations)


def with_demonstrations(proposal: Proposal, situation: Situation, names: Iterable[str]) -> Proposal:
    """Return a proposal with another choice for each of the parameters that hold demonstrations.

    What is missing to the declared number is filled up; where nothing is, one gives way to another.
    """
    chosen: dict[str, str] = {}
    for name in names:
        found = written(_chosen(situation, name))
        if found != situation.parameters[name]:
            chosen[name] = found
    return replace(proposal, changes={**proposal.changes, **chosen})


def _chosen(situation: Situation, name: str) -> Sequence[Demonstration]:
    count = situation.graph.parameters[name].demonstrations
    shown = list(read(situation.parameters[name]))[:count]
    known = [one.given for one in shown]
    new = [one for one in _right(situation, name) if one.given not in known]
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
