"""What an example's values took: the price of its calls, and how long somebody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.graph import Graph
from sgdflow.prompting.ask import Call


@dataclass(frozen=True, slots=True)
class Took:
    """What calls of models took, scores aside; of a stored reply what it took when it was asked."""

    cost: float | None = None
    """US dollars; None where the price of one of them is not known."""
    seconds: float | None = None
    """Those of the longest way through the graph, waiting in line and code aside; None where it
    was not noted of a stored reply."""


def took(graph: Graph, passed: ForwardPass) -> Took:
    """Return what the calls of a pass took; nodes beside each other are waited for at once."""
    calls = [call for of_node in passed.calls.values() for call in of_node]
    costs = [call.cost for call in calls if call.cost is not None]
    until: dict[str, float] = {}
    for name in graph.order:
        own = _seconds(passed.calls.get(name, ()), at_once=name not in passed.transcripts)
        before = [until[one] for one in graph.nodes[name].predecessors if one in until]
        until[name] = own + max(before, default=0.0)
    noted = all(call.seconds is not None for call in calls)
    return Took(
        fsum(costs) if len(costs) == len(calls) else None, until[graph.output] if noted else None
    )


def _seconds(calls: Sequence[Call], *, at_once: bool) -> float:
    """Return how long a node's calls take: several samples at once, rounds with tools in turn."""
    each = [call.seconds or 0.0 for call in calls]
    return max(each, default=0.0) if at_once else fsum(each)
