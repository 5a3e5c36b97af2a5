"""Nodes whose texts may change, and what it takes to run again what depends on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from sgdflow.executor.forward import PromptForward
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.intervention import downstream


@dataclass(frozen=True, slots=True)
class Unit:
    """A node with parameters of its own that may change."""

    node: str
    parameters: tuple[str, ...]
    """Those that it shares with a node declared before are left to that one."""


def units(
    graph: Graph, optimised: Collection[str], start: Parameters, worded: Collection[str]
) -> tuple[Unit, ...]:
    """Return the nodes that can be given other wordings: texts, and numbers that are `worded`."""
    taken: set[str] = set()
    found = []
    for node in graph.nodes.values():
        own = tuple(
            name
            for name in dict.fromkeys(node.parameters.values())
            if name in optimised
            and name not in taken
            and (name in worded or isinstance(start[name], str))
        )
        taken.update(own)
        if own:
            found.append(Unit(node.name, own))
    return tuple(found)


def pairs_of(graph: Graph, found: Sequence[Unit]) -> tuple[tuple[Unit, Unit], ...]:
    """Return all pairs, those first of which one is given what the other leads to."""

    def apart(pair: tuple[Unit, Unit]) -> bool:
        one, other = pair[0].node, pair[1].node
        return other not in downstream(graph, one) and one not in downstream(graph, other)

    return tuple(sorted(combinations(found, 2), key=apart))


def touched(graph: Graph, parameters: Iterable[str]) -> frozenset[str]:
    """Return the nodes that use one of these parameters, and all that depend on them."""
    users = {node for name in parameters for node in graph.successors[name]}
    return frozenset(users).union(*(downstream(graph, node) for node in users))


def calls_of(graph: Graph, nodes: Collection[str], judges: int) -> int:
    """Return how many calls these nodes and the judges of an output take."""
    forwards = (graph.nodes[name].forward for name in nodes)
    return judges + sum(one.requests for one in forwards if isinstance(one, PromptForward))


def crossed_calls(
    graph: Graph,
    pairs: Sequence[tuple[Unit, Unit]],
    wordings: Mapping[str, int],
    judges: int,
) -> int:
    """Return the calls that one example takes in all cells of these pairs but the start.

    `wordings` says how many other wordings a node has.
    """
    single = {unit.node: unit for pair in pairs for unit in pair}.values()
    alone = sum(
        wordings[unit.node] * calls_of(graph, touched(graph, unit.parameters), judges)
        for unit in single
    )
    return alone + sum(
        wordings[one.node]
        * wordings[other.node]
        * calls_of(graph, touched(graph, (*one.parameters, *other.parameters)), judges)
        for one, other in pairs
    )
