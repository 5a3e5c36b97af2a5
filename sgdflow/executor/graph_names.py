"""Whether the names of a graph tell its variables, and their parameters, apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sgdflow.errors import did_you_mean, listed

if TYPE_CHECKING:
    from sgdflow.executor.graph import Graph, Node

RESERVED = frozenset(
    "node predecessors targets parameters output gradients reply members examples "
    "parameter inputs target score loss mark system".split()
)
SYSTEM = "system"
"""The parameter of a node that its model's system message is."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(rf"{_NAME.pattern}(\.{_NAME.pattern})?")
"""A name, or that of a node's field."""


def problems(graph: Graph) -> Iterator[str]:
    """Yield which names cannot be told apart, or name nothing."""
    variables = (*graph.inputs, *graph.nodes)
    for name in dict.fromkeys(variables):
        if variables.count(name) > 1:
            where = "twice in inputs" if graph.inputs.count(name) > 1 else "an input and a node"
            yield f"'{name}' is {where}. Every variable needs a name of its own."
        own = name.partition(".")[0]
        if not _VARIABLE.fullmatch(name) or own in RESERVED:
            why = "reserved for templates" if own in RESERVED else "not a plain name"
            yield f"'{name}' cannot name a variable: it is {why}. Use letters, digits and _."
    for name in graph.parameters:
        if name in variables:
            yield f"parameters: '{name}' is also the name of a variable."
    for node in graph.nodes.values():
        yield from _node_problems(node, variables)
    if not graph.nodes:
        yield "nodes: there is none. Declare at least one node."
    elif graph.output not in graph.nodes:
        yield (
            f"output: '{graph.output}' is not a node.{did_you_mean(graph.output, graph.nodes)} "
            f"Nodes: {listed(graph.nodes)}."
        )


def _node_problems(node: Node, variables: Sequence[str]) -> Iterator[str]:
    where = f"nodes.{node.name}"
    for predecessor in dict.fromkeys(node.predecessors):
        if node.predecessors.count(predecessor) > 1:
            yield f"{where}.predecessors: '{predecessor}' is listed more than once."
        if predecessor not in variables:
            yield (
                f"{where}.predecessors: there is no variable '{predecessor}'."
                f"{did_you_mean(predecessor, variables)} Variables: {listed(variables)}."
            )
    used = list(node.parameters.values())
    for parameter in dict.fromkeys(used):
        if used.count(parameter) > 1:
            yield f"{where}.parameters: the parameter '{parameter}' is used more than once."
    for local in node.parameters:
        reserved = local in RESERVED
        if local == SYSTEM:
            reserved = node.forward.ask is None  # of others it is the system message
        if not _NAME.fullmatch(local) or reserved:
            yield (
                f"{where}.parameters: '{local}' cannot name a parameter: it is "
                f"{'reserved for templates' if reserved else 'not a plain name'}."
            )
        if local in node.predecessors:
            yield (
                f"{where}.parameters: '{local}' is also a predecessor; "
                "templates could not tell them apart."
            )
