"""What stands against scores of what an example took: nobody knows the price, or how long it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sgdflow.config import schema, score_schema
from sgdflow.errors import listed
from sgdflow.executor.forward import forward_roles
from sgdflow.executor.graph import Graph
from sgdflow.executor.trace import TracedForward
from sgdflow.llm.calling import Calling


def unknown(
    config: schema.Config, graph: Graph, calling: Calling, environ: Mapping[str, str]
) -> Iterator[str]:
    """Yield what such a score could not find out."""
    thrifty = score_schema.thrifty(config.task.score)
    traced = [name for name, one in graph.nodes.items() if isinstance(one.forward, TracedForward)]
    if thrifty and traced:
        yield (
            f"{listed(thrifty)}: what the program of graph.nodes: {listed(traced)} takes is not "
            "known here, as it asks models itself. Leave this objective out."
        )
    for where, conf in thrifty.items():
        if isinstance(conf, score_schema.CostConf):
            yield from _unpriced(where, graph, calling, environ)


def _unpriced(
    where: str, graph: Graph, calling: Calling, environ: Mapping[str, str]
) -> Iterator[str]:
    prices = calling.prices(environ)
    asking: dict[str, list[str]] = {}
    for node, role in forward_roles(graph).items():
        if role in prices and prices[role] is None:
            asking.setdefault(role, []).append(node)
    for role, nodes in asking.items():
        model = calling.models[role].model
        yield (
            f"{where}.cost: nobody knows the price of {model} (llm.models.{role}), which "
            f"graph.nodes: {listed(nodes)} ask. Say it, in dollars for a million tokens: "
            f"'+llm.prices={{{model}: {{prompt: 0.1, completion: 0.4}}}}'."
        )
