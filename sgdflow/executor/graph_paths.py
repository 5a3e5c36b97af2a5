"""Whether the paths of a graph lead from its inputs to its output, and in no circle."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgdflow.executor.graph import Graph


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
