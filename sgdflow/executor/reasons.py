"""How nodes came to what they produced."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.graph import Graph
from sgdflow.prompting.values import shortened

_LONGEST = 1500
"""Characters of a reasoning that a backward function is shown."""


def reasoning(graph: Graph, passed: ForwardPass, name: str) -> str:
    """Return what a reply holds besides the output that was read from it."""
    if how := passed.transcripts.get(name):
        return how
    calls, ask = passed.calls.get(name, ()), graph.nodes[name].forward.ask
    if not calls or ask is None:
        return ""
    # Without its tags: a prompt that shows them would have to mark all its own.
    tags = rf"</?{re.escape(ask.reply.tag)}(?:-[0-9a-f]+)?(?:\s[^<>]*)?>"
    reply, output = re.sub(tags, "", calls[-1].reply).strip(), str(passed.produced(name))
    return shortened(reply.removesuffix(output).strip())


def reasons(graph: Graph, passed: ForwardPass, names: Iterable[str]) -> Mapping[str, str]:
    """Return the reasoning behind values, of those that have one, by the names of these."""
    nodes = {name: name.partition(".")[0] for name in names}  # a field is its node's
    found = {
        name: reasoning(graph, passed, node) for name, node in nodes.items() if node in graph.nodes
    }
    return {name: shortened(text, _LONGEST) for name, text in found.items() if text}
