"""Whether the paths of a graph lead from its inputs to its output, and in no circle."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgdflow.executor.graph import Graph


def seen_through(
    ways: Mapping[str, Sequence[str]], ends: Collection[str]
) -> Mapping[str, tuple[str, ...]]:
    """Return what each variable leads to; what is none of `ends` gives way to what it leads to."""
    ends, found = frozenset(ends), dict[str, tuple[str, ...]]()
    for name in TopologicalSorter(ways).static_order():
        next_to = ways.get(name, ())
        seen = (one for way in next_to for one in ((way,) if way in ends else found[way]))
        found[name] = tuple(dict.fromkeys(seen))
    return found


def cycle(graph: Graph) -> Iterator[str]:
    """Yield that values would have to flow in a circle."""
    try:
        TopologicalSorter(graph.upstream).prepare()
    except CycleError as error:
        # graphlib lists a cycle against the direction in which values flow only by convention.
        found = list(error.args[1])
        yield f"nodes: there is a cycle: {' -> '.join(found)}. Remove one of these predecessors."


def unused(graph: Graph) -> Iterator[str]:
    """Yield which nodes, or all inputs, have no path to the output."""
    useful = {graph.output}
    for name in reversed(graph.order):
        if name in useful:
            useful.update(graph.nodes[name].predecessors)
    for name in graph.nodes:
        if name not in useful:
            yield (
                f"nodes.{name}: no path leads from it to the output '{graph.output}'. "
                "Make it a predecessor of a node that has one, or remove it."
            )
    if not useful & set(graph.inputs):
        yield f"output: no path leads from an input to '{graph.output}'."


def widths(graph: Graph, optimised: Collection[str]) -> Mapping[str, int]:
    """Return how many successors may give each node gradients."""
    reach = graph.reach(optimised)
    return {
        name: sum(one in reach for one in graph.successors[name])
        for name in graph.nodes
        if name in reach
    }
