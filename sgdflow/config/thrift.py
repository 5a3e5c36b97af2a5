"""What stands against scores and budgets of what is taken: a price that nobody knows, or none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sgdflow.config import schema, score_schema
from sgdflow.config.task import Notice
from sgdflow.errors import listed
from sgdflow.executor.forward import forward_roles
from sgdflow.executor.graph import Graph
from sgdflow.executor.trace import TracedForward
from sgdflow.llm.calling import Calling
from sgdflow.llm.models import Price


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


def unbound(
    config: schema.Config, calling: Calling, environ: Mapping[str, str], asked: Collection[str]
) -> Iterator[Notice]:
    """Yield which bounds of cost bound nothing, and which end a run at once.

    `asked` are the roles that the run asks something.
    """
    prices = calling.prices(environ)
    bounds = {"llm.limits.budget": (config.llm.limits.budget, asked)}
    stop = config.method.stop.budget
    bounds |= {"method.stop.budget": (stop, asked)}
    bounds |= {
        f"method.stop.budget.roles.{role}": (one, [role]) for role, one in stop.roles.items()
    }
    for where, (allowed, roles) in bounds.items():
        priced = {role: prices[role] for role in sorted(roles) if role in prices}
        if allowed.cost is None or not priced:
            continue
        models = listed(dict.fromkeys(calling.models[role].model for role in priced))
        if all(_free(price) for price in priced.values()):
            yield Notice(
                f"{where}.cost: calls of {models} cost nothing, so that this bounds nothing. Bound "
                f"their number: {where}.calls=1000.",
                unsure=True,
            )
        for role in (role for role, price in priced.items() if price is None):
            model = calling.models[role].model
            yield Notice(
                f"{where}.cost: nobody knows the price of {model} (llm.models.{role}), so that the "
                f"run ends early. {_said(model)}",
                unsure=True,
            )
    for where, conf in score_schema.thrifty(config.task.score).items():
        cost = isinstance(conf, score_schema.CostConf)
        if cost and all(_free(prices.get(role)) for role in prices):
            yield Notice(
                f"{where}.cost: the models cost nothing, so that each example scores 1 there. "
                "Leave it out, or declare prices (llm.prices).",
                unsure=True,
            )


def _free(price: Price | None) -> bool:
    return price is not None and not price.prompt and not price.completion


def _said(model: str) -> str:
    return (
        "Say it, in dollars for a million tokens: "
        f"'+llm.prices={{{model}: {{prompt: 0.1, completion: 0.4}}}}'."
    )


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
            f"graph.nodes: {listed(nodes)} ask. {_said(model)}"
        )
