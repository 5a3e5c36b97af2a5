"""A graph as a person reads it: text and Mermaid."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator

from sgdflow.executor.backward_functions import CallableBackward, PassThrough, PromptBackward
from sgdflow.executor.graph import BackwardFunction, Graph, Node, Parameters

_WORDS = frozenset(
    "_blank _parent _self _top call callback class classdef click default direction end flowchart "
    "graph href interpolate linkstyle style subgraph".split()
)
"""What means something else in a Mermaid flowchart."""


def as_text(
    graph: Graph,
    parameters: Parameters,
    optimised: Collection[str],
    default: BackwardFunction | None,
) -> str:
    """Return the graph node by node, in the order in which values flow.

    `default` is the method's backward function; None where it makes no backward pass.
    """
    reach = graph.reach(optimised)
    lines = [f"graph {graph.name}: {', '.join(graph.inputs)} -> {graph.output}"]
    for name in graph.order:
        node = graph.nodes[name]
        lines += ["", f"{name} <- {', '.join(node.predecessors) or '(nothing)'}"]
        lines += [f"  when      {node.when.described}"] if node.when else []
        lines.append(f"  forward   {node.forward.described}")
        lines.append(f"  backward  {_backward(node, reach, optimised, default)}")
        lines += _parameters(node, graph, parameters, optimised)
    return "\n".join(lines)


def as_mermaid(graph: Graph, optimised: Collection[str]) -> str:
    """Return a Mermaid flowchart; nodes with an optimised parameter stand out."""
    ids = _ids([*graph.inputs, *graph.nodes])
    lines = ["flowchart LR"]
    lines += [f"  {ids[name]}([{_label(name)}])" for name in graph.inputs]
    for name, node in graph.nodes.items():
        label, code = _label(name), bool(node.forward.code)
        lines.append(f"  {ids[name]}[[{label}]]" if code else f"  {ids[name]}[{label}]")
    for name, node in graph.nodes.items():
        lines += [f"  {ids[predecessor]} --> {ids[name]}" for predecessor in node.predecessors]
    learning = [
        ids[name]
        for name, node in graph.nodes.items()
        if any(parameter in optimised for parameter in node.parameters.values())
    ]
    if learning:
        lines.append("  classDef optimised stroke-width:3px")
        lines.append(f"  class {','.join(learning)} optimised")
    return "\n".join(lines) + "\n"


def _ids(names: Collection[str]) -> dict[str, str]:
    """Return an id for each variable: its name, changed where that is a word of Mermaid's."""
    ids: dict[str, str] = {}
    for name in names:
        one = name.replace(".", "_")
        while one.lower() in _WORDS or (one != name and one in names):
            one += "_"
        ids[name] = one
    return ids


def _label(name: str) -> str:
    return f'"{name}"' if name.lower() in _WORDS else name


def _backward(
    node: Node, reach: Collection[str], optimised: Collection[str], default: BackwardFunction | None
) -> str:
    if default is None:
        return "(no call: the method makes no backward pass)"
    function = node.backward or default
    targets = function.targets(node, reach, optimised)
    if not targets:
        return "(no call: nothing before it is optimised)"
    # A node may speak of itself, for all its parameters.
    to = f" to {', '.join('itself' if name == node.name else name for name in targets)}"
    if isinstance(function, PassThrough):
        return f"passes its gradient through{to}"
    if node.backward is not None:
        return f"its own{to}"
    match function:
        case CallableBackward(own):
            return f"python {own.name}{to}"
        case PromptBackward(ask, per_edge):
            calls = "one call each" if per_edge else "one call"
            return f"prompts/{ask.prompt}, model {ask.role}, {calls}{to}"
    return f"{type(function).__name__}{to}"


def _parameters(
    node: Node, graph: Graph, parameters: Parameters, optimised: Collection[str]
) -> Iterator[str]:
    for local, name in node.parameters.items():
        marks = [] if name == f"{node.name}.{local}" else [f"shared: {name}"]
        marks += (
            [] if name in optimised else ["frozen" if graph.parameters[name].frozen else "fixed"]
        )
        mark = f" ({', '.join(marks)})" if marks else ""
        text = textwrap.indent(str(parameters[name]), " " * 4)
        yield f"  {local}{mark}:\n{text}"
