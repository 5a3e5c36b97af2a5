"""How nodes came to what they produced."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.graph import Graph
from sgdflow.prompting.replies import LABEL
from sgdflow.prompting.values import shortened

_LONGEST = 1500
"""Characters of a reasoning that a backward function is shown."""


def reasoning(graph: Graph, passed: ForwardPass, name: str) -> str:
    """Return what a reply holds besides the output that was read from it."""
    if how := passed.transcripts.get(name):
        return how
    calls, ask = passed.calls.get(name, ()), graph.nodes[name].forward.ask
    if not calls or ask is None or ask.reply.format not in ("tagged", "json"):
        return ""
    if not isinstance(passed.produced(name), str):  # made of several replies
        return ""
    if ask.reply.format == "json":
        return shortened(ask.reply.reasoning_in(calls[-1].reply))
    # Without its tags: a prompt that shows them would have to mark all its own.
    tags = rf"</?{re.escape(ask.reply.tag)}(?:-[0-9a-f]+)?(?:\s[^<>]*)?>"
    reply, output = re.sub(tags, "", calls[-1].reply).strip(), str(passed.produced(name))
    said = reply.removesuffix(output).strip()
    return "" if LABEL.fullmatch(said) else shortened(said)


def reasons(graph: Graph, passed: ForwardPass, name: str) -> Mapping[str, str]:
    """Return how a node, and those before it, came to what they produced, where they reasoned."""
    before = (one.partition(".")[0] for one in graph.nodes[name].predecessors)  # a field's node
    own = () if name in passed.transcripts else (name,)  # which its work says
    nodes = dict.fromkeys(node for node in (*own, *before) if node in graph.nodes)
    found = {node: reasoning(graph, passed, node) for node in nodes}
    return {node: shortened(text, _LONGEST) for node, text in found.items() if text}
